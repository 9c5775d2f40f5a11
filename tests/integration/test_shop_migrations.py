"""What an ORM does to attached tables: changed types, renamed and dropped columns, swapped and partitioned tables."""

from typing import Any

import psycopg
import pytest

from aisle import migrations
from aisle.db import doctor
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import Shop, load_tiny_basket, load_tiny_recommender

SWAP = (
    "create table shop.new (like shop.products including all); insert into shop.new select * from shop.products;"
    "alter table shop.products rename to old; alter table shop.new rename to products"
)
PARTITION = (
    "alter table shop.products rename to old;"
    "create table shop.products (id int primary key, name varchar(200), category text, price int)"
    " partition by range (id);"
    "alter table shop.products attach partition shop.old for values from (0) to (1000)"
)


@pytest.fixture
def live(shop: Shop, tiny_model: Any) -> Shop:
    """A shop with items and orders in two tables, three tiny models, and nothing pending."""
    shop.execute(
        "create schema shop;"
        "create table shop.products (id int primary key, name varchar(200), category text, price int);"
        "create table shop.orders (id int primary key, who varchar(20), at timestamp);"
        "create table shop.lines (order_id int, product int);"
        "create index on shop.lines (product);"
        "insert into shop.products select n, 'tea ' || n, 'tea', 1 from generate_series(1, 5) n;"
        "insert into shop.orders select n, 'ann', '2024-01-01' from generate_series(1, 3) n;"
        "insert into shop.lines select n, n from generate_series(1, 3) n"
    )
    shop.execute("select aisle.attach_items('shop.products', category => 'category')")
    shop.execute(
        "select aisle.attach_orders('shop.orders', 'id', 'product', 'who', 'at', lines => 'shop.lines',"
        " line_order_id => 'order_id')"
    )
    shop.execute(
        "update aisle._models set declaration = (select declaration from aisle._attachments where kind = 'items')"
    )
    load_tiny_recommender(shop.connection, {n: ("tea", (1, n / 10), (0, 1)) for n in range(1, 6)})
    load_tiny_basket(shop.connection, {str(n): (1, n / 10) for n in range(1, 6)}, {})
    shop.execute("select aisle._enqueue_stale_rows('items')")
    drain(shop.connection, [ItemEmbedder()])
    shop.forget_jobs()
    return shop


def problems(url: str) -> list[str]:
    return [
        f"{f.found} -> {f.remedy}"
        for f in doctor.examine(url, migrations.head())
        if f.remedy and f.check in ("items", "orders")
    ]


def waiting(shop: Shop) -> set[str]:
    shop.collect()
    return {i for (i,) in shop.execute("select id from aisle._embedding_jobs where task = 'category'")}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("items", "alter table shop.products alter name type varchar(500)"),
        ("items", "alter table shop.products alter name type text"),
        ("items", "alter table shop.products alter id type bigint"),
        ("items", "alter table shop.products alter id type text"),
        ("items", "alter table shop.products rename name to title"),
        ("items", "alter table shop.products rename id to number"),
        ("items", "alter table shop.products rename to goods; alter table shop.goods rename name to title"),
        ("items", "alter table shop.products set schema public"),
        ("items", SWAP),
        ("items", PARTITION),
        ("orders", "alter table shop.orders alter at type timestamptz"),
        ("orders", "alter table shop.orders alter who type text"),
        ("orders", "alter table shop.lines alter product type bigint"),
        ("orders", "alter table shop.orders rename who to customer"),
        ("orders", "alter table shop.lines rename to items"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at_once", [True, False])
def test_a_migration_between_pause_and_resume(
    live: Shop, database_url: str, kind: str, change: str, at_once: bool
) -> None:
    vectors = live.execute("select item_id, embedding::text, embedded_at from aisle.item_vectors order by 1").fetchall()
    before = live.execute("select user_id::text, item_id from aisle._orders order by 1, 2").fetchall()
    if at_once:
        live.execute(f"begin; select aisle.pause('{kind}'); {change}; select aisle.resume('{kind}'); commit")
    else:
        live.execute(f"select aisle.pause('{kind}')")
        for statement in change.split(";"):
            live.execute(statement)
        assert problems(database_url) == [f"paused -> aisle resume {kind}"]
        live.execute(f"select aisle.resume('{kind}')")
    assert problems(database_url) == []
    assert (
        live.execute("select item_id, embedding::text, embedded_at from aisle.item_vectors order by 1").fetchall()
        == vectors
    )
    assert waiting(live) == set(), "What reads as before keeps its vector."
    assert live.execute("select user_id::text, item_id from aisle._orders order by 1, 2").fetchall() == before
    table = live.value("select relation::text from aisle._attachments where kind = 'items'")
    key, name = ("number" if "to number" in change else "id"), ("title" if "to title" in change else "name")
    live.execute(f"insert into {table} ({key}, {name}) values ('7', 'coffee')")
    live.execute(f"update {table} set {name} = 'jam' where {key} = '2'")
    assert waiting(live) == {"2", "7"}
    live.execute(f"delete from {table} where {key} = '3'") if "lines" not in change else None
    assert {i for (i,) in live.execute("select item_id from aisle.next_basket('ann', 9)")} <= {
        "1",
        "2",
        "3",
        "4",
        "5",
        "7",
    }


def test_without_a_pause_postgresql_refuses_the_change_of_a_type(live: Shop) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=r"aisle\._items"):
        live.execute("alter table shop.products alter name type text")


def test_a_swapped_table_is_noticed_and_resume_mends_it(live: Shop, database_url: str) -> None:
    live.execute(SWAP)
    live.execute("update shop.products set name = 'jam' where id = 4")
    (said,) = problems(database_url)
    assert said == "the declared name is now another table's; the attached one is shop.old -> aisle resume items"
    assert live.value("select warning from aisle.warnings") == (
        "The name shop.products is another table's now; the items are still read from shop.old."
    )
    live.execute("select aisle.resume('items')")
    assert problems(database_url) == []
    assert not live.value("select exists (select from aisle.warnings)")
    assert waiting(live) == {"4"}, "The only row that reads otherwise."
    live.execute("drop table shop.old")
    assert problems(database_url) == []


def test_a_table_that_became_a_partition_is_noticed(live: Shop, database_url: str) -> None:
    live.execute(PARTITION)
    assert problems(database_url) == [
        "the declared name is now another table's; the attached one is shop.old -> aisle resume items"
    ]
    live.execute("select aisle.resume('items')")
    live.execute("create table shop.high partition of shop.products for values from (1000) to (2000)")
    live.execute("insert into shop.products values (1001, 'coffee')")
    assert waiting(live) == {"1001"}
    assert problems(database_url) == []


@pytest.mark.parametrize("column", ["name", "category", "specs"])
@pytest.mark.parametrize("change", ["rename {} to other", "drop column {} cascade"])
def test_a_column_that_went_without_a_pause_stops_no_write(
    live: Shop, database_url: str, column: str, change: str
) -> None:
    live.execute("alter table shop.products add specs text; select aisle.pause('items')")
    live.execute(
        "select aisle.attach_items('shop.products', category => 'category', text_columns => '{specs}',"
        " accept_changes => true)"
    )
    live.forget_jobs()
    live.execute(f"alter table shop.products {change.format(column)}")
    live.execute("insert into shop.products (id) values (7), (8)")
    live.execute("update shop.products set price = 9 where id = 7")
    if "rename" in change:
        live.execute("update shop.products set other = 'jam' where id = 7")
    live.execute("delete from shop.products where id = 8")
    assert waiting(live) >= {"7"}
    assert any(column in said or "missing" in said for said in problems(database_url))


def test_a_column_that_is_dropped_with_cascade_is_named(live: Shop, database_url: str) -> None:
    live.execute("alter table shop.products drop column category cascade")
    (said,) = problems(database_url)
    assert "Aisle's view of the items is missing: a table that it reads was dropped" in said
    for question in ("next_basket('ann', 3)", "complete_basket('{1}')"):
        with pytest.raises(psycopg.Error, match=r"^Aisle's view of the items is gone\.") as raised:
            live.execute(f"select * from aisle.{question}")
        assert raised.value.diag.message_hint == "After a migration: select aisle.resume('items')"
    with pytest.raises(psycopg.Error) as raised:
        live.execute("select aisle.resume('items')")
    assert "shop.products has no column category" in str(raised.value)
    live.execute("select aisle.pause('items')")
    with pytest.raises(psycopg.Error, match=r"another make-up of the items; this differs in: category"):
        live.execute("select aisle.attach_items('shop.products')")
    live.execute("select aisle.attach_items('shop.products', accept_changes => true)")
    assert problems(database_url) == []
    assert waiting(live) == set(), "The texts read as before."


def test_a_swapped_table_of_orders(live: Shop, database_url: str) -> None:
    live.execute(
        "create table shop.new (like shop.orders including all); insert into shop.new select * from shop.orders;"
        "alter table shop.orders rename to old; alter table shop.new rename to orders;"
        "insert into shop.orders values (9, 'zoe', '2024-02-01');"
        "insert into shop.lines values (9, 4)"
    )
    assert any("the attached one is shop.old" in said for said in problems(database_url))
    live.execute("select aisle.resume('orders')")
    assert problems(database_url) == []
    assert live.value("select count(*) from aisle._orders where user_id = 'zoe'") == 1


def test_a_condition_with_an_enums_former_value_is_said_in_one_sentence(live: Shop) -> None:
    live.execute(
        "create type shop.state as enum ('live', 'gone');"
        "alter table shop.products add state shop.state not null default 'live'; select aisle.pause('items')"
    )
    live.execute("select aisle.attach_items('shop.products', category => 'category', eligible => $$state = 'live'$$)")
    live.execute("alter type shop.state rename value 'live' to 'active'")
    assert live.value("select count(*) from aisle.recommend('bob', 3)") == 3, "Views know it by its number."
    live.execute("select aisle.pause('items')")
    said = r'^eligible cannot be read: invalid input value for enum shop\.state: "live"\.\n'
    with pytest.raises(psycopg.Error, match=said):
        live.execute("select aisle.resume('items')")


def test_pause_and_resume_say_nothing_of_their_own_objects(live: Shop) -> None:
    notices: list[str] = []
    live.connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    live.execute("set client_min_messages = notice; select aisle.pause('items'), aisle.pause('orders')")
    live.execute("select aisle.resume('items'), aisle.resume('orders')")
    assert not [notice for notice in notices if "skipping" in notice]
    assert live.value("show client_min_messages") == "notice"


def test_answers_while_the_items_are_paused(live: Shop) -> None:
    live.execute("select aisle.pause('items')")
    assert live.value("select count(*) from aisle.recommend('bob', 3)") == 3, "They need no look at the table."
    with pytest.raises(psycopg.Error, match=r"^The items are paused\.") as raised:
        live.execute("select aisle.next_basket('ann', 3)")
    assert raised.value.diag.message_hint == "When the migration is done: select aisle.resume('items')"
    assert len(str(raised.value)) < 600, "Nobody wants to read our SQL."
    assert live.value("select warning from aisle.warnings").startswith("The items are paused")
    live.execute("insert into aisle._changes (topic, ids, changed_at) values ('items', '{1}', now())")
    assert drain(live.connection, [ItemEmbedder()]) == 0, "A worker leaves them alone."
    live.execute("select aisle.resume('items')")
    assert live.value("select count(*) from aisle.next_basket('ann', 3)") == 3
    assert drain(live.connection, [ItemEmbedder()]) >= 1


@pytest.mark.parametrize("function", ["pause", "resume"])
def test_what_is_not_attached_cannot_be_paused(shop: Shop, function: str) -> None:
    with pytest.raises(psycopg.Error, match=r"No orders are attached\."):
        shop.execute(f"select aisle.{function}('orders')")


def test_another_make_up_of_the_items_needs_a_word(live: Shop) -> None:
    live.execute("select aisle.detach('items')")
    with pytest.raises(psycopg.Error, match=r"another make-up of the items; this differs in: category"):
        live.execute("select aisle.attach_items('shop.products')")
    live.execute("select aisle.attach_items('shop.products', category => 'category', eligible => 'price > 0')")
