"""`aisle attach -f`: all or nothing, any number of times, and --check writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aisle.cli import aisle
from aisle.db import errors
from aisle.files import declaring, shop_file
from tests.conftest import Shop, TinyModel

FILE = """
[items]
table = "shop.products"
manufacturer = "maker"
category = "category"

[orders]
query = \"\"\"
select o.id as order_id, l.product_id as item_id, o.customer_id as user_id, o.ordered_at as at, o.state
from shop.orders o
join shop.lines l on l.order_id = o.id
\"\"\"
counts = "state <> 'cancelled'"
"""

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _tables(shop: Shop) -> None:
    shop.create()
    shop.execute(
        "create table shop.orders (id bigint primary key, customer_id bigint, ordered_at timestamptz, state text);"
        " create table shop.lines (id bigint primary key, order_id bigint references shop.orders, product_id bigint,"
        " quantity integer);"
        " insert into shop.products (id, name) values (1, '녹차'), (2, '커피');"
        " insert into shop.orders values (1, 7, now(), 'done'), (2, 7, now(), 'cancelled');"
        " insert into shop.lines values (1, 1, 1, 2), (2, 2, 2, 1)"
    )


@pytest.fixture
def run(tmp_path: Path, database_url: str) -> Run:
    """`run(TEXT, "--check")` attaches a file of this text."""

    def run(text: str, *options: str) -> Result:
        file = tmp_path / "shop.toml"
        file.write_text(text, encoding="utf-8")
        return CliRunner().invoke(aisle, ["--database-url", database_url, "attach", "-f", str(file), *options])

    return run


def kinds(shop: Shop) -> list[str]:
    return [kind for (kind,) in shop.execute("select kind from aisle._attachments order by 1").fetchall()]


def triggers(shop: Shop) -> int:
    return int(shop.value("select count(*) from pg_trigger where not tgisinternal"))


def test_check_says_what_would_change_and_changes_nothing(shop: Shop, run: Run) -> None:
    before = triggers(shop)
    done = run(FILE, "--check")
    assert done.exit_code == 3, done.output
    assert "items: attach\n" in done.output
    assert "manufacturer: maker" in done.output
    assert "1 of 1 rows (100 %) are about an attached item." in done.output, "The evidence is of the real rows."
    assert "Nothing was written." in done.output
    assert kinds(shop) == []
    assert triggers(shop) == before


def test_a_file_attaches_all_kinds_and_again_changes_nothing(shop: Shop, run: Run) -> None:
    assert run(FILE).exit_code == 0
    assert kinds(shop) == ["items", "orders"]
    assert shop.execute("select user_id::text, item_id from aisle._orders").fetchall() == [("7", "1")]
    before = triggers(shop)
    for options in ([], ["--check"]):
        again = run(FILE, *options)
        assert (again.exit_code, again.output) == (0, "items: nothing\norders: nothing\nNothing changes.\n")
    assert triggers(shop) == before


def test_spaces_and_comments_are_no_change(shop: Shop, run: Run) -> None:
    run(FILE)
    text = FILE.replace("select o.id", "\n\nselect o.id").replace('"category"', '"category"  # of the shop')
    assert "Nothing changes." in run(text).output


def test_a_change_shows_the_old_and_the_new(shop: Shop, run: Run) -> None:
    run(FILE)
    text = FILE.replace("<> 'cancelled'", "= 'done'").replace("o.state\n", "o.state, l.quantity\n")
    done = run(text, "--check")
    assert done.exit_code == 3
    assert "items: nothing\norders: change\n" in done.output
    assert "counts: state <> 'cancelled' → state = 'done'" in done.output
    assert "quantity: nothing → quantity" in done.output
    assert "+ select o.id as order_id" in done.output
    assert "orders: change" in run(text).output
    assert (
        shop.value("select declaration ->> 'counts' from aisle._attachments where kind = 'orders'") == "state = 'done'"
    )
    assert "Nothing changes." in run(text).output


def test_a_key_that_is_taken_out_goes_back_to_its_default(shop: Shop, run: Run) -> None:
    run(FILE.replace("[items]", "[items]\ndraft_rows = 5"))
    assert "draft_rows: 5 → 100" in run(FILE).output
    assert shop.value("select draft_rows from aisle._attachments where kind = 'items'") == 100


def test_a_change_keeps_the_vectors(shop: Shop, tiny_model: TinyModel, run: Run) -> None:
    run(FILE)
    shop.insert_more(3, "식빵")  # a small statement gets its draft vector at once
    before = shop.vectors()
    assert before
    assert "items: change" in run(FILE.replace("[items]", "[items]\neligible = 'price is not null'")).output
    assert shop.vectors() == before


def test_texts_of_live_models_change_only_if_it_is_meant(shop: Shop, tiny_model: TinyModel, run: Run) -> None:
    run(FILE)
    shop.execute(
        "update aisle._models set declaration = (select declaration from aisle._attachments where kind = 'items')"
    )
    text = FILE.replace('manufacturer = "maker"\n', "")
    refused = run(text)
    assert isinstance(refused.exception, Exception)
    assert "The live models learned from another make-up of the items" in str(refused.exception)
    assert "manufacturer: maker → nothing" in run(text, "--accept-changes").output


def test_all_or_nothing(shop: Shop, run: Run) -> None:
    refused = run(FILE.replace("state <> 'cancelled'", "stat <> 'cancelled'"))
    assert "stat" in str(refused.exception)
    assert kinds(shop) == [], "The items are not attached either."


def test_what_is_not_in_the_file_is_left_alone(shop: Shop, run: Run) -> None:
    run(FILE)
    done = run(FILE.partition("[orders]")[0])
    assert done.output == (
        "items: nothing\n"
        "orders: attached, but not in the file. Left alone; to remove them: aisle detach orders\n"
        "Nothing changes.\n"
    )
    assert kinds(shop) == ["items", "orders"]


def test_what_was_paused_is_resumed(shop: Shop, run: Run) -> None:
    run(FILE)
    shop.execute("select aisle.pause('items')")
    checked = run(FILE, "--check")
    assert checked.exit_code == 3
    assert "items: resume" in checked.output
    assert shop.value("select is_paused from aisle._attachments where kind = 'items'")
    assert "items: resume" in run(FILE).output
    assert not shop.value("select is_paused from aisle._attachments where kind = 'items'")


def test_a_paused_table_may_come_back_otherwise(shop: Shop, run: Run) -> None:
    run(FILE)
    shop.execute("select aisle.pause('items'); alter table shop.products rename column maker to brand")
    assert "manufacturer: maker → brand" in run(FILE.replace("maker", "brand")).output


def test_what_the_functions_attached_is_compared_too(shop: Shop, run: Run) -> None:
    shop.attach()
    assert "Nothing changes." in run(FILE.partition("[orders]")[0]).output


def test_the_time_zone_of_the_database_is_the_default(shop: Shop, run: Run) -> None:
    run(FILE)
    text = FILE + 'time_zone = "Asia/Seoul"\n'
    assert "→ Asia/Seoul" in run(text).output
    assert "time_zone: Asia/Seoul → " in run(FILE).output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "from shop.orders o",
            "from shop.order o",
            'The query of the orders cannot be read: relation "shop.order" does not',
        ),
        ("from shop.orders o", "form shop.orders o", "The query of the orders cannot be read: syntax error at or near"),
        ('"shop.products"', '"shop.product"', "There is no relation shop.product."),
        ('"maker"', '"makr"', "shop.products has no column makr."),
    ],
)
def test_errors_are_one_sentence(shop: Shop, run: Run, old: str, new: str, said: str) -> None:
    failed = run(FILE.replace(old, new))
    assert str(failed.exception).startswith(said)
    assert kinds(shop) == []


def test_write_back_is_declared_changed_and_printed(shop: Shop, run: Run, database_url: str) -> None:
    settings = "select settings from aisle._write_back"
    written = "[write_back]\ncolumn = 'category'\nthreshold = {}\n"
    assert "write_back: attach" in run(FILE + written.format(0.9)).output
    assert shop.value(settings) == {"column": "category", "threshold": 0.9}
    assert "Nothing changes." in run(FILE + written.format(0.9)).output
    assert "threshold: 0.9 → 0.8" in run(FILE + written.format(0.8), "--check").output
    assert shop.value(settings)["threshold"] == 0.9
    printed = CliRunner().invoke(aisle, ["--database-url", database_url, "attachments"]).output
    assert '[write_back]\ncolumn = "category"' in printed
    assert "Nothing changes." in run(printed).output
    assert "write_back: set, but not in the file." in run(FILE).output
    failed = run(FILE + "[write_back]\ncolumn = 'nothing'\nthreshold = 0.9\n")
    assert str(failed.exception).startswith("shop.products has no column nothing.")
    assert shop.value(settings)["threshold"] == 0.9


def test_a_shop_that_is_locked_is_not_kept_waiting(shop: Shop, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("aisle.db.locks.PATIENCE", 0.1)
    with shop.connection.transaction():
        shop.execute("lock table shop.products in access exclusive mode")
        failed = run(FILE)
    assert isinstance(failed.exception, errors.BusyError)


def test_a_file_and_a_command_are_not_mixed(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(FILE, encoding="utf-8")
    attach = ["--database-url", database_url, "attach"]
    assert "give -f alone" in CliRunner().invoke(aisle, [*attach, "-f", str(file), "items", "shop.products"]).output
    assert "need a shop file" in CliRunner().invoke(aisle, [*attach, "--check"]).output
    assert "Usage: aisle attach" in CliRunner().invoke(aisle, attach).output


def test_attachments_are_printed(shop: Shop, database_url: str, run: Run) -> None:
    show = ["--database-url", database_url, "attachments"]
    assert CliRunner().invoke(aisle, show).output == "Nothing is attached.\n"
    run(FILE)
    printed = CliRunner().invoke(aisle, show).output
    assert printed.startswith('[items]\ntable = "shop.products"\n')
    changes = declaring.declare(shop.connection, shop_file.parse(printed))
    assert not any(change.is_change for change in changes)
    listed = json.loads(CliRunner().invoke(aisle, [*show, "--json"]).output)
    assert [(row["kind"], row["is_paused"]) for row in listed] == [("items", False), ("orders", False)]
    assert listed[0]["declaration"]["manufacturer"] == "maker"
