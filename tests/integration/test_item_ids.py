"""Ids of events and order lines: rows that are about something else than the attached items are refused."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aisle import migrations
from aisle.db import doctor
from tests.conftest import Shop

VARIANTS = """
create table shop.variants (id bigint primary key, product bigint not null references shop.products);
create table shop.lines (order_id bigint, customer bigint, at timestamptz, variant bigint references shop.variants);
insert into shop.products (id, name) select n, 'p' || n from generate_series(1, 10) n;
insert into shop.variants select n, 1 + n / 3 from generate_series(1, 20) n;
insert into shop.lines select n, n, now(), n from generate_series(1, 20) n;
"""
ATTACH_LINES = "select aisle.attach_orders('shop.lines', 'order_id', 'variant', 'customer', 'at'{})"


def test_lines_of_variants_are_not_taken_for_lines_of_products(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.execute(VARIANTS)
    with pytest.raises(
        psycopg.Error,
        match=r"Column variant of shop\.lines refers to shop\.variants, but the attached items",
    ) as raised:
        shop.execute(ATTACH_LINES.format(""))
    assert "accept_item_ids" in (raised.value.diag.message_hint or "")
    assert shop.value("select count(*) from aisle._attachments where kind = 'orders'") == 0
    said = shop.value(ATTACH_LINES.format(", accept_item_ids => true"))
    assert "\n10 of 20 rows (50 %) are about an attached item." in said
    shop.execute("select aisle.detach('orders')")
    # The way that the hint names.
    shop.execute(
        "create view shop.product_lines as"
        " select l.*, v.product from shop.lines l join shop.variants v on v.id = l.variant"
    )
    said = shop.value("select aisle.attach_orders('shop.product_lines', 'order_id', 'product', 'customer', 'at')")
    assert "\n20 of 20 rows (100 %) are about an attached item." in said


@pytest.mark.parametrize("kind", ["orders", "interactions"])
def test_ids_are_not_compared_while_the_items_are_paused(shop: Shop, kind: str) -> None:
    shop.create()
    shop.attach()
    shop.execute("create table shop.seen (who text, what bigint, at timestamptz); select aisle.pause('items')")
    with pytest.raises(psycopg.Error, match=r"^The items are paused\."):
        shop.execute(
            "select aisle.attach_orders('shop.seen', 'who', 'what', 'who', 'at')"
            if kind == "orders"
            else "select aisle.attach_interactions('shop.seen', 'who', 'what', 'at')"
        )


def test_items_without_a_name_are_counted(shop: Shop) -> None:
    shop.create()
    shop.execute("alter table shop.products add names jsonb")
    shop.insert("tea", "cup", "pot")
    shop.execute("""update shop.products set names = '{"en": "tea"}' where id = 1""")
    assert "\n2 of 3 items have no name." in shop.attach(name="names ->> 'en'")


@pytest.mark.parametrize("kind", ["orders", "interactions"])
def test_ids_of_something_else_are_refused(shop: Shop, kind: str) -> None:
    shop.create()
    shop.attach()
    shop.insert(*["tea"] * 4)
    shop.execute(
        "create table shop.seen (who text, what bigint, at timestamptz);"
        "insert into shop.seen select 'ann', n, now() from generate_series(1, 10) n"
    )
    call = (
        "select aisle.attach_orders('shop.seen', 'who', 'what', 'who', 'at'{})"
        if kind == "orders"
        else "select aisle.attach_interactions('shop.seen', 'who', 'what', 'at'{})"
    )
    with pytest.raises(psycopg.Error, match=r"Only 4 of 10 rows \(40 %\) are about an attached item\.") as raised:
        shop.execute(call.format(""))
    assert raised.value.diag.message_hint == (
        "Is what the column of the ids of shop.products? If so: accept_item_ids (--accept-item-ids)"
    )
    assert "40 %" in shop.value(call.format(", accept_item_ids => true"))


def test_a_key_that_the_items_share_is_their_id(shop: Shop) -> None:
    shop.execute(
        "create schema shop; create table shop.templates (id bigint primary key);"
        "create table shop.products (id bigint primary key references shop.templates, name text, manufacturer text,"
        " category text);"
        "create table shop.seen (who text, what bigint references shop.templates, at timestamptz);"
        "insert into shop.templates values (1); insert into shop.products values (1, 'tea');"
        "insert into shop.seen values ('ann', 1, now());"
        "select aisle.attach_items('shop.products', 'id', 'name')"
    )
    said = shop.value("select aisle.attach_interactions('shop.seen', 'who', 'what', 'at')")
    assert "1 of 1 rows (100 %)" in said


# ---- keys that lead to more than one row ----


def repeated_keys(url: str) -> list[str]:
    return [f.found for f in doctor.examine(url, migrations.head()) if "occur twice" in f.found]


def test_a_key_that_leads_to_several_rows_is_refused(shop: Shop, database_url: str) -> None:
    """Joined, a line would count once for each: of variants of two tenants, of two versions of an order."""
    shop.execute(
        "create schema shop; create table shop.products (id int primary key, name text);"
        " insert into shop.products select n, 'tea' from generate_series(1, 9) n;"
        " create table shop.variants (tenant int, id int, product int, primary key (tenant, id));"
        " insert into shop.variants select t, n, n from generate_series(1, 2) t, generate_series(1, 9) n;"
        " create table shop.orders (id int, version int, customer int, at timestamptz, primary key (id, version));"
        " insert into shop.orders select n, v, 1, now() from generate_series(1, 9) n, generate_series(1, 2) v;"
        " create table shop.lines (order_id int, variant int);"
        " insert into shop.lines select n, n from generate_series(1, 9) n;"
        " select aisle.attach_items('shop.products')"
    )
    attach_lines = "select aisle.attach_orders('shop.orders', 'id', 'variant', 'customer', 'at', lines => 'shop.lines'"
    attach_lines += ", line_order_id => 'order_id'{})"
    with pytest.raises(psycopg.Error, match=r"Column id of shop\.orders has values that occur twice"):
        shop.execute(attach_lines.format(""))
    shop.execute("delete from shop.orders where version = 2")
    via = attach_lines.format(", item_via => 'shop.variants(id -> product)'")
    with pytest.raises(psycopg.Error, match=r"Column id of shop\.variants has values that occur twice"):
        shop.execute(via)
    shop.execute("delete from shop.variants where tenant = 2")
    assert "9 of 9 rows (100 %) are about an attached item." in shop.value(via)
    assert not repeated_keys(database_url)
    shop.execute("insert into shop.variants values (2, 3, 4); insert into shop.orders values (5, 2, 1, now())")
    assert repeated_keys(database_url) == [
        "Column id of shop.variants has values that occur twice, such as 3",
        "Column id of shop.orders has values that occur twice, such as 5",
    ]


def test_a_category_of_two_rows_is_refused(shop: Shop) -> None:
    shop.execute(
        "create schema shop; create table shop.names (category int, locale text, name text);"
        " insert into shop.names values (1, 'ko', '차'), (1, 'en', 'tea');"
        " create table shop.products (id int primary key, name text, category int)"
    )
    attach = "select aisle.attach_items('shop.products', category => 'category', categories => %s)"
    categories = {"table": "shop.names", "id": "category"}
    with pytest.raises(psycopg.Error, match=r"shop\.names has values that occur twice"):
        shop.execute(attach, [Jsonb(categories)])
    with pytest.raises(
        psycopg.Error, match="where cannot be read: argument of WHERE must be type boolean, not type text"
    ):
        shop.execute(attach, [Jsonb(categories | {"where": "locale"})])
    shop.execute(attach, [Jsonb(categories | {"where": "locale = 'ko'"})])
    assert shop.value("select array_agg(path) from aisle._categories") == [["차"]]
