"""attach_items and detach: any table of a shop, and no trace afterwards."""

import re
from typing import Any

import psycopg
import pytest

from tests.conftest import Shop, TinyModel

NASTY = 'x"; drop table y; --'
NASTY_QUOTED = '"x""; drop table y; --"'

SNAPSHOT = """
    select 'trigger', t.tgrelid::regclass::text, t.tgname::text from pg_trigger t
    union all select 'relation', c.oid::regclass::text, c.relkind::text from pg_class c
    union all select 'column', a.attrelid::regclass::text, a.attname || a.attnum from pg_attribute a
    union all select 'function', p.oid::regprocedure::text, '' from pg_proc p
    union all select 'constraint', c.conrelid::regclass::text, c.conname::text from pg_constraint c
    union all select 'dependency', pg_describe_object(classid, objid, objsubid), refobjid::text from pg_depend
    order by 1, 2, 3
"""


def refused(shop: Shop, sqlstate: str, message: str, relation: str = "shop.products", **options: Any) -> str:
    """Check that attaching is refused with this message; return the hint."""
    with pytest.raises(psycopg.Error, match=message) as caught:
        shop.attach(relation, **options)
    assert caught.value.sqlstate == sqlstate
    assert shop.value("select count(*) from aisle._attachments") == 0, "A refused table must leave nothing behind."
    return str(caught.value.diag.message_hint)


@pytest.mark.trap(8)
@pytest.mark.parametrize(
    ("id_type", "ids"),
    [
        ("smallint", [1, -32768, 32767]),
        ("integer", [1, -2147483648, 2147483647]),
        ("bigint", [1, -9223372036854775808, 9223372036854775807, 1745000000000000000]),
        ("uuid", ["5b0e6a2c-4f0b-4b7e-9d5c-0f2d3c4b5a69"]),
        ("text", ["a", "한글 키", "it's", 'q"q', "a,b", "{}", "\\", " "]),
        ("varchar(40)", ["a", "NULL"]),
        ("char(4)", ["ab"]),
    ],
)
def test_every_type_of_id(shop: Shop, tiny_model: TinyModel, id_type: str, ids: list[Any]) -> None:
    shop.create(id_type)
    shop.attach()
    for id_ in ids:
        shop.execute("insert into shop.products (id, name) values (%s, 'tea')", [id_])
    keys = {str(id_) for id_ in ids}
    assert set(shop.jobs()) == keys
    assert set(shop.vectors()) == keys, "A row of every id must be read back for its draft."
    shop.execute("delete from aisle.item_vectors")
    for key in keys:
        assert shop.value("select category from aisle.item_category(%s::text)", [key]) == tiny_model.tea
    shop.execute("update shop.products set name = 'xyzzy'")
    shop.execute("delete from shop.products")
    assert shop.jobs() == shop.vectors() == {}


def test_a_domain_over_a_type_that_is_fit(shop: Shop, tiny_model: TinyModel) -> None:
    shop.execute("create domain sku as varchar(20)")
    shop.create("sku")
    shop.attach()
    shop.execute("insert into shop.products (id, name) values ('A-1', 'tea')")
    assert shop.vectors().keys() == {"A-1"}


@pytest.mark.parametrize("id_type", ["numeric", "timestamptz", "double precision", "bytea"])
def test_an_id_of_another_type_is_refused(shop: Shop, id_type: str) -> None:
    shop.create(id_type)
    assert "a view that casts it" in refused(shop, "AIS04", "an id must be a whole number, a uuid or a text")


@pytest.mark.trap(25)
def test_names_are_quoted_wherever_they_come_from(shop: Shop, tiny_model: TinyModel) -> None:
    shop.execute("create table y ()")
    shop.execute(f"create schema {NASTY_QUOTED}")
    relation = f"{NASTY_QUOTED}.{NASTY_QUOTED}"
    columns = {role: f"{role} {NASTY} %s ' \\ 이름" for role in ("id", "name", "maker", "kind", "text")}
    quoted = {role: '"' + name.replace('"', '""') + '"' for role, name in columns.items()}
    shop.execute(
        f"create table {relation} ({quoted['id']} text primary key, "
        + ", ".join(f"{quoted[role]} text" for role in ("name", "maker", "kind", "text"))
        + ")"
    )
    message = shop.attach(
        relation,
        id=columns["id"],
        name=columns["name"],
        manufacturer=columns["maker"],
        category=columns["kind"],
        text_columns=[columns["text"]],
    )
    assert message == f"Attached {relation}."
    shop.execute(f"insert into {relation} values ('{NASTY}', 'tea', 'M', 'K', 'T')")
    shop.execute(f"update {relation} set ({quoted['text']}) = row('커피')")
    assert shop.jobs() == {NASTY: 2}
    row = shop.execute("select item_id, name, manufacturer, category, details from aisle._items").fetchone()
    assert row == (NASTY, "tea", "M", "K", "커피")
    shop.execute(f"truncate {relation}")
    assert shop.jobs() == {}
    assert shop.value("select aisle.detach('items')") == f"Detached {relation}."
    assert shop.value("select to_regclass('y') is not null"), "A name was run as SQL."


def test_null_columns_and_empty_categories(shop: Shop) -> None:
    shop.create()
    shop.attach(text_columns=["specs", "price"])
    shop.execute(
        "insert into shop.products values (1, null, null, null, null, null), (2, '', '', '', '', null), "
        "(3, 'n', null, 'c', 's', 7)"
    )
    rows = shop.execute("select name, manufacturer, category, details from aisle._items order by id").fetchall()
    assert rows == [(None, None, None, None), ("", "", None, None), ("n", None, "c", "s 7")]


def test_only_id_and_name_are_needed(shop: Shop) -> None:
    shop.create()
    shop.attach(manufacturer=None, category=None)
    shop.insert("tea")
    row = shop.execute("select item_id, name, manufacturer, category, details from aisle._items").fetchone()
    assert row == ("1", "tea", None, None, None)


def test_places_are_numbers_by_twos(shop: Shop) -> None:
    shop.create()
    shop.execute('alter table shop.products add "Lat." numeric(9, 6), add lon real')
    refused(shop, "AIS05", "latitude and longitude, or neither", latitude="Lat.")
    refused(shop, "AIS05", "has no column lng", latitude="Lat.", longitude="lng")
    refused(shop, "AIS04", "shop.products has specs of type text", latitude="specs", longitude="lon")
    shop.attach(latitude="Lat.", longitude="lon")
    shop.execute(
        "insert into shop.products (id, name, \"Lat.\", lon) values (1, 'tea', 37.5665, 126.5), (2, 'pot', 1, null)"
    )
    assert shop.execute("select latitude, longitude from aisle._items order by id").fetchall() == [
        (37.5665, 126.5), (1, None),
    ]  # fmt: skip
    assert shop.jobs() == {"1": 1, "2": 1}
    shop.execute("update shop.products set lon = 127")
    assert shop.jobs() == {"1": 1, "2": 1}, "No vector is computed from a place."


def test_what_cannot_be_a_name_is_no_relation(shop: Shop) -> None:
    assert "double quotes" in refused(shop, "AIS04", "There is no relation my-table", "my-table")


def test_a_table_that_is_both_items_and_events_keeps_the_triggers_of_the_one(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.execute("alter table shop.products add author text, add written_at timestamp")
    said = shop.value("select aisle.attach_interactions('shop.products', 'author', 'id', 'written_at')")
    assert "Its times are read as those of" in said
    shop.execute("select aisle.detach('interactions')")
    shop.insert("tea")
    assert shop.jobs() == {"1": 1}


def test_attaching_twice(shop: Shop) -> None:
    shop.create()
    shop.attach()
    with pytest.raises(psycopg.Error, match=r"attached already, to shop\.products") as caught:
        shop.attach()
    assert caught.value.sqlstate == "AIS03"
    assert "aisle detach items" in str(caught.value.diag.message_hint)


def test_detaching_what_is_not_attached(shop: Shop) -> None:
    with pytest.raises(psycopg.Error, match="No items are attached") as caught:
        shop.execute("select aisle.detach('items')")
    assert caught.value.sqlstate == "AIS02"


def test_a_missing_relation(shop: Shop) -> None:
    assert "SCHEMA.TABLE" in refused(shop, "AIS04", "There is no relation shop.nothing", "shop.nothing")


@pytest.mark.parametrize("relation", ["shop.some_sequence", "shop.products_pkey"])
def test_a_relation_that_is_no_table(shop: Shop, relation: str) -> None:
    shop.create()
    shop.execute("create sequence shop.some_sequence")
    refused(shop, "AIS04", "is not a table or view", relation)


@pytest.mark.parametrize("role", ["id", "name", "manufacturer", "category", "text_columns"])
def test_a_missing_column_lists_those_there_are(shop: Shop, role: str) -> None:
    shop.create()
    shop.execute('alter table shop.products drop column price, add column "Net Weight" text')
    wrong = ["specs", "prcie"] if role == "text_columns" else "prcie"
    hint = refused(shop, "AIS05", "shop.products has no column prcie", **{role: wrong})
    assert hint == 'Its columns: id, name, maker, category, specs, "Net Weight"'


@pytest.mark.parametrize("role", ["id", "name"])
def test_id_and_name_must_be_named(shop: Shop, role: str) -> None:
    shop.create()
    refused(shop, "AIS05", "Name the columns of the id and of the name", **{role: None})


@pytest.mark.parametrize("option", ["category_separator", "draft_rows"])
def test_options_outside_their_range(shop: Shop, option: str) -> None:
    shop.create()
    for value in (None, {"category_separator": "", "draft_rows": -1}[option]):
        refused(shop, "AIS06", "must not be empty|must be at least 0", **{option: value})


def test_a_system_column_is_no_column(shop: Shop) -> None:
    shop.create()
    refused(shop, "AIS05", "has no column ctid", id="ctid")


@pytest.mark.trap(8)
def test_a_composite_key(shop: Shop) -> None:
    shop.execute(
        "create schema shop; create table shop.products (shop_id int, id int, name text, primary key (shop_id, id))"
    )
    hint = refused(shop, "AIS04", "no unique index of its own", manufacturer=None, category=None)
    assert "composite key" in hint
    assert "view" in hint


@pytest.mark.parametrize(
    "index",
    [
        "",
        "create index on shop.products (id)",
        "create unique index on shop.products (id) where name is not null",
        "create unique index on shop.products ((id + 0))",
        "create unique index on shop.products (id, name)",
    ],
)
def test_no_unique_id(shop: Shop, index: str) -> None:
    shop.create()
    shop.execute(f"alter table shop.products drop constraint products_pkey; {index}")
    hint = refused(shop, "AIS04", "no unique index of its own")
    assert hint == "create unique index concurrently on shop.products (id);"
    shop.execute(re.sub(" concurrently", "", hint))
    assert shop.attach() == "Attached shop.products."


def test_a_unique_index_that_includes_further_columns_will_do(shop: Shop) -> None:
    shop.create()
    shop.execute("alter table shop.products drop constraint products_pkey")
    shop.execute("create unique index on shop.products (id) include (name)")
    assert shop.attach() == "Attached shop.products."


def test_children_by_inheritance_are_named(shop: Shop, tiny_model: TinyModel) -> None:
    shop.create()
    shop.insert("tea")
    shop.execute(
        'create table shop.books (isbn text) inherits (shop.products); create table shop."E" () inherits (shop.books)'
    )
    shop.execute("insert into shop.books (id, name) values (1, 'a book with the same id')")
    hint = refused(shop, "AIS04", "children by inheritance: shop.books. Triggers do not see")
    shop.execute(hint.split(": ")[1].replace("…", "shop.own"))
    assert "Watches shop.products" in shop.attach("shop.own")
    assert shop.value("select count(*) from aisle._items") == 1
    shop.execute("select aisle.detach('items'); drop view shop.own; drop table shop.books cascade")
    assert shop.attach().startswith("Attached shop.products."), "The children are gone."


@pytest.mark.parametrize("part", ["orders", "lines"])
def test_children_of_orders_are_named(shop: Shop, part: str) -> None:
    shop.execute(
        "create table orders (id int, who text, at date); create table lines (order_id int, product text);"
        f"create table old () inherits ({part})"
    )
    with pytest.raises(psycopg.Error, match=f"{part} has children by inheritance: public.old"):
        shop.execute(
            "select aisle.attach_orders('orders', 'id', 'product', 'who', 'at', null, null, 'lines', 'order_id')"
        )


def test_events_may_have_children_as_they_have_no_triggers(shop: Shop) -> None:
    shop.execute(
        "create table visits (who text, product text, at date); create table visits_2023 () inherits (visits);"
        "insert into visits_2023 values ('ann', 'tea', '2023-05-01')"
    )
    shop.execute("select aisle.attach_interactions('visits', 'who', 'product', 'at')")
    assert shop.value("select count(*) from aisle._interactions") == 1


@pytest.mark.parametrize(("kind", "is_watched"), [("view", True), ("materialized view", False)])
def test_a_view_is_watched_where_that_can_be_and_else_says_so(shop: Shop, kind: str, is_watched: bool) -> None:
    shop.create()
    shop.insert("tea")
    shop.execute(f"create {kind} shop.visible as select id, lower(name) as name from shop.products")
    message = shop.attach("shop.visible", manufacturer=None, category=None)
    assert ("Watches shop.products (derived): select r.id" in message) is is_watched
    assert ("Nothing tells of all changes in shop.visible" in message and "aisle embed" in message) is not is_watched
    assert (shop.value("select count(*) from pg_trigger where tgname like 'aisle%'") > 0) is is_watched
    assert shop.value("select aisle._enqueue_stale()") == 0, "No model, nothing to embed."
    assert shop.value("select aisle.detach('items')") == "Detached shop.visible."


@pytest.mark.parametrize("id_", ["1", "null::int"])
def test_a_view_whose_ids_are_not_unique(shop: Shop, id_: str) -> None:
    shop.create()
    shop.insert("tea", "coffee")
    shop.execute(
        f"create view shop.visible as select case when id < 2 then 1 else {id_} end as id, name from shop.products"
    )
    refused(shop, "AIS04", "null or occur twice", "shop.visible", manufacturer=None, category=None)


def test_a_view_is_swept(shop: Shop, tiny_model: TinyModel) -> None:
    shop.create()
    shop.insert("tea", "coffee")
    shop.execute("create view shop.visible as select id, name from shop.products")
    shop.attach("shop.visible", manufacturer=None, category=None)
    assert shop.value("select aisle._enqueue_stale()") == 2
    assert shop.jobs().keys() == {"1", "2"}
    assert shop.value("select category from aisle.item_category(1)") == tiny_model.tea


@pytest.mark.parametrize("partitioned", [False, True])
def test_detach_removes_every_trace(shop: Shop, tiny_model: TinyModel, partitioned: bool) -> None:
    shop.create(tail="partition by range (id)" if partitioned else "")
    if partitioned:
        shop.execute("create table shop.low partition of shop.products for values from (0) to (100)")
    before = shop.execute(SNAPSHOT).fetchall()
    shop.attach(text_columns=["specs"])
    if partitioned:
        shop.execute("create table shop.high partition of shop.products for values from (100) to (200)")
    shop.insert("tea", "coffee")
    shop.execute("select aisle.detach('items')")
    if partitioned:
        shop.execute("drop table shop.high")
    assert shop.execute(SNAPSHOT).fetchall() == before
    assert shop.jobs() == shop.vectors() == {}
    shop.execute("update shop.products set name = 'green tea'")
    assert shop.jobs() == {}
    assert shop.value("select count(*) from shop.products") == 2, "The shop's rows are the shop's."
    assert shop.value("select category from aisle.predict_category('tea')") == tiny_model.tea, "Models stay."
    assert shop.attach().startswith("Attached shop.products.")


def test_a_table_that_the_shop_dropped_can_be_detached(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.insert("tea")
    shop.execute("drop table shop.products cascade")
    assert shop.value("select aisle.detach('items')").startswith("Detached")
    assert shop.jobs() == {}


def test_attach_and_detach_are_all_or_nothing(shop: Shop) -> None:
    shop.create()
    before = shop.execute(SNAPSHOT).fetchall()
    with shop.connection.transaction(force_rollback=True):
        shop.attach()
    assert shop.execute(SNAPSHOT).fetchall() == before
    with shop.connection.transaction():
        shop.attach()
        shop.execute("select aisle.detach('items')")
    assert shop.execute(SNAPSHOT).fetchall() == before


def test_the_shops_other_triggers_are_left_alone(shop: Shop) -> None:
    shop.create()
    shop.execute("create function shop.own() returns trigger language plpgsql as 'begin return null; end'")
    for name in ("aisle_custom", "zz"):
        shop.execute(f"create trigger {name} after insert on shop.products for each row execute function shop.own()")
    shop.attach()
    shop.execute("select aisle.detach('items')")
    names = shop.execute(
        "select tgname from pg_trigger where tgrelid = 'shop.products'::regclass order by 1"
    ).fetchall()
    assert names == [("aisle_custom",), ("zz",)]


def test_the_shops_own_index_serves(shop: Shop, tiny_model: TinyModel) -> None:
    shop.create()
    shop.execute("insert into shop.products (id, name) select i, 'tea' from generate_series(1, 20000) i")
    shop.execute("analyze shop.products")
    shop.attach()
    shop.execute("set enable_sort = on; select pg_stat_force_next_flush()")
    scans = "select seq_scan, idx_scan from pg_stat_user_tables where relid = 'shop.products'::regclass"
    before = shop.execute(scans).fetchall()[0]
    for i in range(1, 11):
        assert shop.value("select category from aisle.item_category(%s)", [i]) == tiny_model.tea
    shop.execute("select pg_stat_force_next_flush()")
    after = shop.execute(scans).fetchall()[0]
    assert after == (before[0], before[1] + 10), "aisle._read_items must find a row by the shop's own index."
