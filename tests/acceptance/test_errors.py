"""Whatever goes wrong is one sentence and a hint on stderr, exit code 1, and no traceback unless it is asked for."""

import csv
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import PROGRAM, TRAIN, Aisle
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


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("embed",), "Aisle's view of the items is gone: they are paused, or a table was dropped."),
        (("export", "items", "/tmp/never.csv"), "The attached table no longer exists."),
        (("item-category", "1"), "The attached table no longer exists."),
    ],
)
def test_the_attached_table_is_gone(shop: Aisle, command: tuple[str, ...], words: str) -> None:
    shop.query("drop table shop.products cascade")
    refusal = shop.refusal(*command)
    assert words in refusal
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


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("plain", "id"),
        ('"Odd $(touch x) `table`"', "상품번호(스마트스토어)"),
        ("shop.npath", "옵션 ID"),
        ("shop.q", "it's a \"key\"; rm -rf 'x' | & < > # ! * ~"),
        ("shop.c", "two\nlines"),
        ("shop.d", "--name"),
    ],
)
def test_the_printed_next_command_can_be_pasted_into_a_shell(aisle: Aisle, tmp_path: Path, name: str, key: str) -> None:
    file = tmp_path / "products.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([(key, "품명 (1)"), (1, "tea")])
    printed = aisle("import", "items", file, "--table", name, "--key", key)
    assert printed.count("Next: ") == 1
    stub = tmp_path / "bin" / "aisle"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    stub.chmod(0o755)
    pasted = printed.partition("Next: ")[2].replace("--name …", "--name '품명 (1)'").replace(" --category …", "")
    environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    arguments = done.stdout.split("\0")[:-1]
    assert arguments == ["attach", "items", name, *(["--id", key] if key != "id" else []), "--name", "품명 (1)"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "products.csv"], "nothing else was run"
    aisle(*arguments)


def test_an_import_says_what_it_did(aisle: Aisle, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_bytes("상품 목록\nid,이름,이름,\n1,녹차,차,\n2,현미,밥,\n".encode("cp949"))
    said = aisle("import", "items", file)
    assert said.splitlines()[:4] == [
        "shop.products created and filled: 2 rows, read as CP949, columns id, 이름, 이름 2.",
        "Line 2 is the header; skipped 1 line above it (--header-line N chooses another).",
        "Column 3 becomes '이름 2', because an earlier column is '이름' (--rename 3=NAME chooses another name).",
        "Skipped 1 empty column at the end.",
    ]
    file.write_text("id;이름;이름 2\n1;녹차;차\n2;쌀;밥\n3;콩;밥\n", encoding="utf-8")
    assert "--update" in aisle.refusal("import", "items", file)
    assert aisle("import", "items", file, "--update", "--delimiter", ";").startswith(
        "shop.products updated: 1 row added, 1 changed, 1 left as before, columns id, 이름, 이름 2."
    )
    assert "one character" in aisle.run("import", "items", file, "--delimiter", "||").errors
    file.write_text("id\tname\n1\ttea\n")
    aisle("import", "items", file, "--table", "shop.tabs", "--delimiter", "tab")


@pytest.mark.parametrize(
    "command",
    [
        ("predict-category", "\udcb0\udca1"), ("search", "\udcb0\udca1"), ("similar", "\udcb0\udca1"),
        ("attach", "items", "\udcb0\udca1"), ("export", "items", "/tmp/never.csv", "--table", "\udcb0\udca1"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_bytes_that_are_no_utf_8_on_the_command_line(shop: Aisle, command: tuple[str, ...]) -> None:
    refusal = shop.refusal(*command)
    assert r"bytes that are not UTF-8: \xb0\xa1." in refusal
    assert "iconv -f CP949 -t UTF-8" in refusal


def test_a_file_may_have_any_name(aisle: Aisle, tmp_path: Path) -> None:
    file = tmp_path / "\udcb0\udca1.csv"
    file.write_text("id,name\n1,tea\n")
    aisle("import", "items", file)
    assert "0 rows" not in aisle("export", "items", tmp_path / "out.csv", "--table", "shop.products")
    command = [PROGRAM, "export", "items", file, "--table", "shop.products"]
    done = subprocess.run(command, env=aisle.environment(), capture_output=True, check=True)
    assert done.stdout == os.fsencode(file) + b": 1 row of shop.products.\n"
    file.write_text("id,name\n1,tea\n1,tea\n")
    assert "line 3" in aisle.refusal("import", "items", file, "--table", "shop.other")


def test_an_export_into_a_pipe(shop: Aisle, tmp_path: Path) -> None:
    outcome = shop.run("export", "items", "/dev/stdout")
    assert outcome.code == 0, outcome.errors
    assert outcome.errors.startswith("/dev/stdout: 400 rows of ")
    shop("export", "items", tmp_path / "out.csv")
    assert outcome.output == (tmp_path / "out.csv").read_text(encoding="utf-8")
    with (tmp_path / "log").open("w") as log:
        log.write("before\n")
        log.flush()
        subprocess.run([PROGRAM, "export", "items", "/dev/stdout"], stdout=log, env=shop.environment(), check=True)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "before\n" + outcome.output
    assert "cannot be written" in shop.refusal("export", "items", "/dev/nothing/here.csv")
    assert "cannot be written" in shop.refusal("export", "items", "/dev/full")
    reader = shop.start("export", "items", "/dev/stdout")
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.close()
    assert reader.stderr.read() == "", "whoever has read enough is no error"


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
