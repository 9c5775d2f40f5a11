"""What migrations do to the attached tables of shops of three shapes."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from aisle.cli import aisle
from aisle.db import errors
from tests.attached_shops import Attached, work
from tests.integration.life import run
from tests.shapes import SHAPES

of_all = pytest.mark.parametrize("attached", list(SHAPES), indirect=True)

KINDS = ("items", "orders")
SWAP = """
    create table fresh (like {items} including all); insert into fresh select * from {items};
    alter table {items} rename to old; alter table fresh rename to {items}"""
PARTITION = """
    alter table {items} rename to old; create table {items} (like old including defaults) partition by hash (id);
    alter table {items} attach partition old for values with (modulus 1, remainder 0);
    alter table {items} add primary key (id)"""


def check_that_resume_keeps(attached: Attached, before: list[Any]) -> None:
    """Resume all, and see that the vectors are those of before and that everything works."""
    for kind in KINDS:
        attached.execute("select aisle.resume(%s)", [kind])
    assert attached.problems() == []
    assert attached.kept() == before
    check_that_all_works(attached)


def check_that_all_works(
    attached: Attached, items: str | None = None, name: str | None = None, key: str = "id"
) -> None:
    """A write of the shop's makes a job of its row alone, and a worker renews that vector alone."""
    before = attached.kept()
    assert attached.waiting() == set(), "What reads as before keeps its vector."
    attached.write(items and items.format(**vars(attached.names)), name, key)
    assert attached.waiting() == {attached.shape.product(13)}
    work(attached)
    assert [row[0] for row in set(before) - set(attached.kept())] == [attached.shape.product(13)]
    for question in ("next_basket", "recommend"):
        assert attached.value(f"select count(*) from aisle.{question}(%s, 3)", [attached.shape.buyer]) == 3


@of_all
@pytest.mark.parametrize(
    ("change", "then"),
    [
        ("alter table {items} add column further text default 'x'", {}),
        ("alter table {items} rename {name} to renamed", {"name": "renamed"}),
        ("alter table {items} rename {category} to renamed", {}),
        ("alter table {items} rename to renamed", {"items": "renamed"}),
        ("create schema other; alter table {items} set schema other", {"items": "other.{items}"}),
        ("alter table {lines} rename to renamed", {}),
        ("alter table {orders} rename to renamed", {}),
    ],
)
def test_passes_and_all_works(attached: Attached, change: str, then: dict[str, str]) -> None:
    attached.run(change)
    check_that_all_works(attached, **then)
    if problems := attached.problems():
        # Triggers on the items' own table name its columns; without them, drafts are left to the worker.
        assert attached.shape.name == "prisma"
        assert [problem.endswith(" -> aisle resume items") for problem in problems] == [True]
        attached.execute("select aisle.resume('items')")
        assert attached.problems() == []


# What the shop changes in its file after a migration renamed the key, or the customer's column.
RENAMED = {
    ("items", "medusa"): {"p.id,": "p.renamed as id,"},
    ("items", "odoo"): {"p.id,": "p.renamed as id,", "= p.id)": "= p.renamed)"},
    ("items", "prisma"): {'category = "': 'id = "renamed"\ncategory = "', "r.id": "r.renamed"},
    ("orders", "medusa"): {"o.customer_id": "o.renamed"},
    ("orders", "odoo"): {"o.partner_id": "o.renamed"},
    ("orders", "prisma"): {'o."customerId"': "o.renamed"},
}


@of_all
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("items", "alter table {items} rename id to renamed"),
        ("orders", "alter table {orders} rename {user} to renamed"),
    ],
)
def test_a_renamed_key_is_named_and_the_changed_file_attached(
    attached: Attached, tmp_path: Path, kind: str, change: str
) -> None:
    attached.run(change)
    (problem,) = attached.problems()
    assert "no longer has the column " in problem
    assert problem.endswith(f" -> aisle resume {kind}")
    with pytest.raises(psycopg.Error, match="cannot be read") as raised:
        attached.execute("select aisle.resume(%s)", [kind])
    assert attached.shape.name == "prisma" or "aisle attach -f FILE" in str(raised.value.diag.message_hint)
    text = attached.file.read_text(encoding="utf-8")
    for old, new in RENAMED[kind, attached.shape.name].items():
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "shop.toml"
    file.write_text(text, encoding="utf-8")
    run(attached.url, f"attach -f {file} --accept-changes")
    assert attached.problems() == []
    check_that_all_works(attached, key="renamed" if kind == "items" else "id")


@of_all
@pytest.mark.parametrize(
    "change",
    [
        "alter table {items} alter {name} type {other_type} using {name}::{other_type}",
        "alter table {items} alter id type {wider_key}",
        "alter table {orders} alter {user} type varchar(80)",
        SWAP,
        PARTITION,
    ],
)
def test_passes_between_pause_and_resume_and_keeps_all_vectors(attached: Attached, change: str) -> None:
    before = attached.kept()
    if "type" in change:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="used by a view"):
            attached.run(change)
    for kind in KINDS:
        attached.execute("select aisle.pause(%s)", [kind])
    attached.run(change)
    check_that_resume_keeps(attached, before)


@of_all
@pytest.mark.parametrize("change", [SWAP, PARTITION])
def test_another_table_of_the_name_is_noticed(attached: Attached, change: str) -> None:
    before = attached.kept()
    attached.run(change)
    assert {problem.rpartition(" -> ")[2] for problem in attached.problems()} <= {
        "aisle resume items",
        "aisle resume orders",
    }
    assert any("the attached one is public.old" in problem for problem in attached.problems())
    said: list[str] = []
    attached.connection.add_notice_handler(
        lambda notice: said.append(f"{notice.message_primary} {notice.message_hint}")
    )
    attached.execute("select aisle.recommend(%s), aisle.next_basket(%s)", [attached.shape.buyer, attached.shape.buyer])
    assert any("Another table has the name" in line and "aisle.resume(" in line for line in said)
    check_that_resume_keeps(attached, before)


@of_all
def test_a_dropped_column_is_named(attached: Attached) -> None:
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        attached.run("alter table {items} drop column {category}")
    attached.run("alter table {items} drop column {category} cascade")
    assert {problem.rpartition(" -> ")[2] for problem in attached.problems()} == {"aisle resume items"}
    with pytest.raises(psycopg.Error, match="view of the items is gone") as raised:
        attached.execute("select * from aisle.next_basket('x')")
    assert raised.value.diag.message_hint == "After a migration: select aisle.resume('items')"
    with pytest.raises(psycopg.Error, match=attached.names.category.strip('"')):
        attached.execute("select aisle.resume('items')")
    attached.write()


@of_all
def test_a_dropped_table_is_named(attached: Attached) -> None:
    attached.run("drop table {items} cascade")
    problems = attached.problems()
    assert any("items" in problem for problem in problems)
    assert all(problem.split()[0].isdigit() is False for problem in problems), "Nobody knows the numbers of tables."
    with pytest.raises(psycopg.Error, match=r"view of the items is gone|attached table no longer exists"):
        attached.execute("select * from aisle.next_basket('x')")
    attached.execute("select aisle.detach('items')")
    assert not any("is missing" in problem for problem in attached.problems() if "orders" not in problem)


@of_all
def test_truncate_empties_the_answers(attached: Attached) -> None:
    attached.run("truncate {items} cascade")
    work(attached)
    assert attached.kept() == []
    assert attached.value("select count(*) from aisle.recommend('nobody')") == 0


@of_all
def test_triggers_that_lost_their_mode_are_named_with_their_repair(attached: Attached) -> None:
    attached.run("alter table {items} disable trigger all; alter table {items} enable trigger all")
    for problem in attached.problems():
        repair = problem.rpartition(" -> ")[2].removesuffix(" Then: aisle embed")
        assert repair.startswith("alter table ")
        attached.execute(repair)
    assert attached.problems() == []
    check_that_all_works(attached)


@of_all
def test_a_second_shop_is_refused_and_less_text_needs_a_word(attached: Attached, tmp_path: Path) -> None:
    with pytest.raises(psycopg.Error, match="attached already"):
        attached.execute("select aisle.attach_items('shop.products')")
    text = attached.file.read_text(encoding="utf-8")
    less = {
        "medusa": text.replace(", m.value as manufacturer", ""),
        "odoo": text.replace(" as manufacturer", " as something"),
        "prisma": text.replace('category = "categoryId"', "").partition("[categories]")[0]
        + "[orders]" + text.partition("[orders]")[2],
    }[attached.shape.name]  # fmt: skip
    assert less != text
    file = tmp_path / "shop.toml"
    file.write_text(less, encoding="utf-8")
    refused = CliRunner().invoke(aisle, ["--database-url", attached.url, "attach", "-f", str(file)])
    assert isinstance(refused.exception, errors.AisleError | psycopg.Error)
    assert "another make-up of the items" in str(refused.exception)
    check_that_all_works(attached)
