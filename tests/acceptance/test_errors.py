"""Whatever goes wrong is one sentence and a hint on stderr, exit code 1, and no traceback unless it is asked for."""

import os
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import TRAIN, Aisle
from tests.conftest import Server

READERS = (
    ("status",),
    ("models",),
    ("failures",),
    ("embed",),
    ("predict-category", "tea"),
    ("item-category", "1"),
    ("similar", "1"),
    ("search", "tea"),
    ("evaluate", "category"),
    ("deploy", "1"),
    ("rollback", "category"),
    ("detach", "items"),
    ("attach", "items", "shop.products"),
    TRAIN,
)
ASKERS = (("predict-category", "tea"), ("search", "tea"), ("evaluate", "category"))
ITEM_ASKERS = (("item-category", "1"), ("similar", "1"))


def products(aisle: Aisle, rows: str, *, attach: bool = True) -> None:
    """Fill the table from `values …` of name and category, and attach it."""
    aisle.query("create schema shop")
    aisle.query("create table shop.products (id bigint primary key, name text, category text)")
    aisle.query(f"insert into shop.products select row_number() over (), n, c from ({rows}) r (n, c)")
    if attach:
        aisle("attach", "items", "shop.products", "--category", "category")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_an_unmigrated_database(bare: Aisle, command: tuple[str, ...]) -> None:
    assert "aisle migrate" in bare.refusal(*command)


def test_the_doctor_finds_an_unmigrated_database(bare: Aisle) -> None:
    outcome = bare.run("doctor")
    assert outcome.code == 1
    assert "aisle migrate" in outcome.output


@pytest.mark.parametrize("command", [("migrate",), ("models",), TRAIN], ids=" ".join)
@pytest.mark.parametrize(
    "url",
    ["postgresql://nobody@127.0.0.1:1/nowhere", "postgresql://nobody@no-such-host.invalid/x", "postgresql://[", "shop"],
)
def test_a_wrong_address(url: str, command: tuple[str, ...]) -> None:
    refusal = Aisle(url).refusal(*command)
    assert "Cannot connect to the database" in refusal
    assert "--database-url" in refusal


def test_an_unknown_table_and_a_missing_column(aisle: Aisle) -> None:
    assert "shop.nothing" in aisle.refusal("attach", "items", "shop.nothing")
    products(aisle, "values ('tea', 'drink')", attach=False)
    assert "maker" in aisle.refusal("attach", "items", "shop.products", "--manufacturer", "maker")
    assert "sku" in aisle.refusal("attach", "items", "shop.products", "--id", "sku")
    assert "a.b.c.d.e" in aisle.refusal("attach", "items", "a.b.c.d.e")
    aisle("attach", "items", "shop.products")
    assert "aisle detach items" in aisle.refusal("attach", "items", "shop.products")


@pytest.mark.parametrize(
    "command",
    [("embed",), ("detach", "items"), ("export", "items", "/tmp/never.csv"), *ITEM_ASKERS, TRAIN],
    ids=" ".join,
)
def test_nothing_is_attached(aisle: Aisle, command: tuple[str, ...]) -> None:
    refusal = aisle.refusal(*command)
    assert "attach" in refusal or "aisle train category" in refusal


@pytest.mark.parametrize("command", [("embed",), ("export", "items", "/tmp/never.csv"), ("item-category", "1")])
def test_the_attached_table_is_gone(shop: Aisle, command: tuple[str, ...]) -> None:
    shop.query("drop table shop.products cascade")
    refusal = shop.refusal(*command)
    assert "The attached table is gone." in refusal
    assert "aisle detach items" in refusal


@pytest.mark.parametrize("command", [*ASKERS, *ITEM_ASKERS], ids=" ".join)
def test_no_model_is_live(aisle: Aisle, command: tuple[str, ...]) -> None:
    products(aisle, "values ('tea', 'drink')")
    assert "aisle train category" in aisle.refusal(*command)


def test_an_unknown_model(aisle: Aisle) -> None:
    assert "aisle models" in aisle.refusal("deploy", 99)
    assert "99" in aisle.refusal("deploy", 99)
    aisle.refusal("rollback", "category")


def test_an_unknown_revision(aisle: Aisle) -> None:
    assert "Known revisions" in aisle.refusal("migrate", "--to", "9999")


@pytest.mark.trap(28)
@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("select null, null where false", "empty"),
        ("select 'tea ' || i, null from generate_series(1, 50) i", "category"),
        ("select 'tea ' || i, 'drink' from generate_series(1, 50) i", "two"),
        ("select null, (array['drink', 'food'])[1 + i % 2] from generate_series(1, 50) i", "names"),
        ("select '  ', (array['drink', 'food'])[1 + i % 2] from generate_series(1, 50) i", "names"),
        ("values ('tea', 'drink'), ('bread', 'food')", "rows"),
    ],
    ids=["no rows", "no labels", "one class", "names are NULL", "names are blank", "one row a class"],
)
def test_too_little_to_train_on(aisle: Aisle, rows: str, reason: str) -> None:
    products(aisle, rows)
    assert reason in aisle.refusal(*TRAIN)
    assert aisle.json("models") == [], "A refusal leaves nothing behind."


@pytest.mark.trap(28)
def test_a_failing_training_run_leaves_the_live_model_answering(shop: Aisle) -> None:
    answer = shop.json("predict-category", "초코 과자")
    shop.query("update shop.products set category = null")
    shop.refusal(*TRAIN)
    assert shop.json("predict-category", "초코 과자") == answer


def test_an_encoder_that_cannot_be_loaded(shop: Aisle, tmp_path: Path) -> None:
    refusal = shop.refusal("train", "category", "--encoder", tmp_path / "missing")
    assert "missing" in refusal
    assert "--encoder ngram" in refusal


def test_a_split_column_that_does_not_exist_or_holds_something_else(shop: Aisle) -> None:
    assert "fold" in shop.refusal(*TRAIN, "--split-column", "fold")
    assert "train, valid and test" in shop.refusal(*TRAIN, "--split-column", "name")
    shop.query("alter table shop.products add fold text")
    assert "is empty in" in shop.refusal(*TRAIN, "--split-column", "fold")


@pytest.mark.parametrize("item", ["999999999", "no number", "", "'; drop table x; --"])
def test_an_unknown_item_has_no_answers(shop: Aisle, item: str) -> None:
    assert shop.json("item-category", item) == []
    assert shop.json("similar", item) == []


def test_a_name_is_shown_as_it_is(shop: Aisle) -> None:
    name = "[new] :apple: CD [/disc 2]"
    shop.query(f"update shop.products set name = '{name}'")
    assert name in shop("search", "초코 과자")


def test_a_table_without_a_primary_key_cannot_be_attached_at_once(aisle: Aisle, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text("sku,name\n1,tea\n")
    said = aisle("import", "items", file, "--table", "shop.unkeyed")
    assert "primary key" in said
    assert "aisle attach items shop.unkeyed --id KEY --name" in said
    assert "shop.keyed --id sku --name" in aisle("import", "items", file, "--table", "shop.keyed", "--key", "sku")


def test_a_broken_file(aisle: Aisle, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text('id,name\n1,tea\n2,"bread\n')
    assert "products.csv" in aisle.refusal("import", "items", file)
    assert aisle.value("select to_regclass('shop.products')") is None


def test_wrong_usage_has_an_exit_code_of_its_own(aisle: Aisle) -> None:
    for arguments in (("no-such-command",), ("predict-category",), ("predict-category", "tea", "-k", "0")):
        outcome = aisle.run(*arguments)
        assert outcome.code == 2
        assert "Usage" in outcome.errors


def test_the_trace_is_there_for_who_asks(server: Server) -> None:
    outcome = Aisle(server.url("no_such_database")).run("-v", "models")
    assert outcome.code == 1
    assert "Traceback" in outcome.errors
    assert "Error: Cannot connect" in outcome.errors


def test_a_reader_that_has_read_enough_is_no_error(shop: Aisle) -> None:
    command = shop.start("predict-category", "tea", "-k", "100")
    assert command.stdout is not None
    command.stdout.close()
    assert command.stderr is not None
    assert command.stderr.read() == ""


def test_no_password_is_shown(server: Server) -> None:
    url = server.url("postgres").replace("postgres@", "postgres:s3cr3t@")
    aisle = Aisle(url)
    shown = aisle("db", "url").strip()
    assert "s3cr3t" not in shown
    with psycopg.connect(shown) as connection:
        assert connection.info.dbname == "postgres"
    assert aisle("db", "url", "--with-password").strip() == url
    for wrong in ("postgresql://ann:a@s3cr3t@127.0.0.1:1/shop", "postgresql://ann:s3cr3t@["):
        for command in (("-v", "worker", "--once"), ("-v", "migrate"), ("doctor",), ("db", "shell")):
            outcome = Aisle(wrong).run(*command)
            assert outcome.code == 1, command
            assert "s3cr3t" not in outcome.output + outcome.errors, command


def test_no_password_is_among_the_arguments_of_a_process(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psql = tmp_path / "psql"
    psql.write_text('#!/bin/sh\necho "arguments: $*"\necho "PGPASSWORD: $PGPASSWORD"\n')
    psql.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    output = Aisle(server.url("postgres").replace("postgres@", "postgres:s3cr%40t@"))("db", "shell")
    arguments, environment = output.splitlines()
    assert arguments == f"arguments: {server.url('postgres')}"
    assert environment == "PGPASSWORD: s3cr@t"
