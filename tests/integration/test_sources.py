"""Items and orders as normalised shops have them: a query over several tables, variants, states, stock."""

from typing import Any

import psycopg
import pytest

from aisle import migrations
from aisle.db import doctor
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from aisle.embedder.queue import collect
from tests.conftest import Shop, load_tiny_basket, load_tiny_recommender

TABLES = """
create schema shop;
create type shop.state as enum ('cart', 'done', 'cancelled');
create table shop.brands (id int primary key, name text);
create table shop.products (id int primary key, title jsonb, brand_id int references shop.brands, kind text,
                            active boolean default true, available_on timestamptz);
create table shop.variants (id int primary key, product_id int references shop.products, size text);
create table shop.stock (variant_id int, shelf int, quantity int, primary key (variant_id, shelf));
create table shop.orders (id int primary key, who text, at timestamptz, state shop.state, note text);
create table shop.lines (id int primary key, order_id int references shop.orders,
                         variant_id int references shop.variants, bought int default 1, returned int default 0);
insert into shop.brands values (1, 'Ada'), (2, 'Bo');
insert into shop.products (id, title, brand_id, kind)
select n, jsonb_build_object('en', 'tea ' || n, 'ko', '차'), 1 + n % 2, 'tea' from generate_series(1, 6) n;
insert into shop.variants select 10 * n + s, n, s::text from generate_series(1, 6) n, generate_series(1, 2) s;
insert into shop.stock select id, 1, 5 from shop.variants;
insert into shop.orders values (1, 'ann', '2024-01-01', 'done'), (2, 'ann', '2024-01-05', 'done'),
                               (3, 'bob', '2024-01-02', 'cart');
insert into shop.lines (id, order_id, variant_id) values (1, 1, 11), (2, 1, 21), (3, 2, 11), (4, 3, 31);
"""
ITEMS = """
select aisle.attach_items(
    query => $$ select p.id, p.title->>'en' as name, b.name as brand, p.kind, p.active, p.available_on
                from shop.products p left join shop.brands b on b.id = p.brand_id $$,
    manufacturer => 'brand', category => 'kind',
    eligible => $$ active and exists (select from shop.variants v join shop.stock s on s.variant_id = v.id
                                      where v.product_id = r.id and s.quantity > 0) $$)
"""
ORDERS = """
select aisle.attach_orders('shop.orders', 'id', 'variant_id', 'who', 'at', lines => 'shop.lines',
                           line_order_id => 'order_id', quantity => 'bought - returned', counts => $$ state = 'done' $$,
                           item_via => 'shop.variants(id → product_id)')
"""


@pytest.fixture
def normal(shop: Shop, tiny_model: Any) -> Shop:
    """A normalised shop, attached by a query for items, and by orders whose lines name variants; three tiny models."""
    shop.execute(TABLES)
    shop.said = (shop.value(ITEMS), shop.value(ORDERS))  # type: ignore[attr-defined]
    shop.execute(
        "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft)"
        f" select {tiny_model.model_id}, n::text, format('[1,%s]', n / 10.0)::vector, '', false"
        " from generate_series(1, 6) n"
    )
    load_tiny_recommender(shop.connection, {n: ("tea", (1, n / 10), (0, 1)) for n in range(1, 7)})
    load_tiny_basket(
        shop.connection,
        {str(n): (1, n / 10) for n in range(1, 7)},
        {"ann": ((1, 0), ["1"]), "bob": ((1, 0), ["3"])},
    )
    shop.execute("update aisle.basket_items set co_purchase = embedding")
    collect(shop.connection)
    shop.forget_jobs()
    return shop


QUESTIONS = [
    "similar_items('1', 4)", "similar_items('1', 4, space => 'basket')", "search_items('tea', 4)",
    "recommend('nobody', 4)", "recommend('ann', 4)", "recommend('ann', 4, exclude_seen => false)",
    "recommend('ann', 4, category => 'tea')", "next_basket('ann', 4)", "next_basket('ann', null)",
    "next_basket('nobody', 4)", "complete_basket('{1}', 4)", "complete_basket('{}', 4)",
    "complete_basket('{2}', 4, 'ann')",
]  # fmt: skip


def answer(shop: Shop, question: str) -> list[str]:
    return [item for (item,) in shop.execute(f"select item_id from aisle.{question} order by rank")]


def queued(shop: Shop, task: str = "category") -> set[str]:
    """Take in the log, and return which rows became jobs of a task; forget them."""
    collect(shop.connection)
    ids = {i for (i,) in shop.execute("select id from aisle._embedding_jobs where task = %s", (task,))}
    shop.forget_jobs()
    return ids


def pending(shop: Shop, task: str) -> int:
    return int(shop.value("select pending from aisle.freshness where task = %s", (task,)))


# ---- what is watched ----


def test_what_is_watched_is_derived_and_said(normal: Shop) -> None:
    items, orders = normal.said  # type: ignore[attr-defined]
    assert "Watches shop.brands (derived): select t1.id from shop.products t1 where t1.brand_id = r.id" in items
    assert "Watches shop.products (derived): select r.id" in items
    assert "6 of 6 items are eligible." in items
    assert "3 of 3 rows (100 %) are about an attached item." in orders, "Lines of the cart do not count."
    assert {w for (w,) in normal.execute("select relation::text from aisle._watches where kind = 'orders'")} == {
        "shop.orders", "shop.lines", "shop.variants",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "items"),
    [
        ("update shop.brands set name = 'Cy' where id = 2", {"1", "3", "5"}),
        ("""update shop.products set title = '{"en": "coffee"}' where id = 4""", {"4"}),
        ("update shop.products set brand_id = 2 where id = 4", {"4"}),
        ("insert into shop.products (id, title) values (7, '{\"en\": \"jam\"}')", {"7"}),
        ("delete from shop.variants where product_id = 6; delete from shop.products where id = 6", {"6"}),
        ("update shop.stock set quantity = 0", set()),
        ("update shop.variants set size = 'XL'", set()),
        ("insert into shop.brands values (3, 'Di')", set()),
        ("update shop.brands set name = name", set()),
    ],
)  # fmt: skip
def test_a_change_in_any_table_of_the_query_becomes_jobs(normal: Shop, change: str, items: set[str]) -> None:
    normal.execute(change)
    assert (pending(normal, "category") > 0) is (items != set()) or "insert into shop.brands" in change
    assert queued(normal) == items
    assert pending(normal, "category") == 0


def test_a_watch_sees_what_both_of_two_transactions_did(normal: Shop, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("update shop.products set brand_id = 2 where id = 4")
        normal.execute("update shop.brands set name = 'Cy' where id = 2")
        assert queued(normal) == {"1", "3", "5"}, "That 4 is of this brand is not committed."
        other.commit()
    assert queued(normal) == {"4"}


def test_a_watch_that_is_declared(shop: Shop, tiny_model: Any) -> None:
    shop.execute(TABLES.replace(" references shop.brands", ""))
    said = shop.value(
        "select aisle.attach_items(query => $$ select id, title->>'en' as name,"
        " (select b.name from shop.brands b where b.id = least(p.brand_id, 5)) as brand from shop.products p $$,"
        " manufacturer => 'brand')"
    )
    assert "Nothing tells of all changes in shop.brands. Declare which ids" in said
    assert shop.value("select warning from aisle.warnings where warning like '%%shop.brands%%'")
    assert pending(shop, "category") == 6
    shop.execute("select aisle._enqueue_stale()")
    drain(shop.connection, [ItemEmbedder()])
    assert pending(shop, "category") == 0
    shop.execute("update shop.brands set name = 'Cy' where id = 2")
    assert pending(shop, "category") == 3, "Rows that differ are counted, though nothing told of them."
    shop.execute(
        "create role blind; grant usage on schema aisle to blind; grant select on aisle.freshness,"
        " aisle.warnings to blind; grant execute on function aisle._now, aisle._unnoticed_rows to blind"
    )
    shop.execute("set role blind")
    assert pending(shop, "category") == 0, "It may not read the items."
    assert shop.value("select count(*) from aisle.warnings where warning like '%%shop.brands%%'") == 1
    shop.execute("reset role")
    assert queued(shop) == set()
    assert shop.value("select aisle.changed('items', '{2,4,4}')") == 2
    assert queued(shop) == {"2", "4"}
    shop.execute("select aisle.detach('items')")
    said = shop.value(
        "select aisle.attach_items(query => $$ select id, title->>'en' as name,"
        " (select b.name from shop.brands b where b.id = least(p.brand_id, 5)) as brand from shop.products p $$,"
        " manufacturer => 'brand',"
        ' watch => \'{"shop.brands": "select id from shop.products where brand_id = r.id"}\')'
    )
    assert "Watches shop.brands: select id from shop.products where brand_id = r.id" in said
    shop.execute("update shop.brands set name = 'Di' where id = 2")
    assert queued(shop) == {"1", "3", "5"}
    shop.execute("truncate shop.brands")
    assert queued(shop) == {"1", "2", "3", "4", "5", "6"}


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        ('{"shop.brands": "select id from shop.products"}', "names no column of its row"),
        ('{"shop.brands": "select id from shop.product where brand_id = r.id"}', "shop.product"),
        ('{"shop.stock": "select r.variant_id"}', "does not read shop.stock"),
        ('{"shop.nothing": "select r.id"}', "There is no relation shop.nothing"),
    ],
)
def test_a_watch_that_cannot_be(shop: Shop, watch: str, message: str) -> None:
    shop.execute(TABLES)
    with pytest.raises(psycopg.Error, match=message):
        shop.execute(ITEMS.replace("$$)\n", f"$$, watch => '{watch}')"))
    assert shop.value("select count(*) from aisle._attachments") == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("query => 'select id, nam from shop.products'", 'column "nam" does not exist'),
        ("query => 'select id from shop.products'", "The query of the items has no column name"),
        ("query => 'select brand_id as id, kind as name from shop.products'", "null or occur twice, such as"),
        (
            "'shop.products', name => 'kind', eligible => 'activ'",
            'eligible cannot be read: column "activ" does not exist',
        ),
        ("'shop.products', name => 'kind', eligible => 'active and'", "eligible cannot be read: syntax error"),
        (
            "'shop.products', name => 'kind', eligible => 'kind'",
            "eligible cannot be read: argument of WHERE must be type boolean",
        ),
        (
            "'shop.products', name => 'upper(kind)', eligible => 'kind'",
            "eligible cannot be read: argument of WHERE must be",
        ),
        ("'shop.products', name => 'kind', query => 'select 1 as id'", "not both"),
        ("name => 'kind'", "Name a table or write a query"),
        ("'shop.products', name => 'title'", "name->>'en_US'"),
        ("'shop.products', name => 'titel->>''en'''", 'column "titel" does not exist'),
    ],
)
def test_a_declaration_that_cannot_be_read(shop: Shop, wrong: str, message: str) -> None:
    shop.execute(TABLES)
    with pytest.raises(psycopg.Error) as raised:
        shop.execute(f"select aisle.attach_items({wrong})".encode())
    diag = raised.value.diag
    assert message in f"{diag.message_primary} {diag.message_hint}"
    assert str(diag.sqlstate).startswith("AIS")


# ---- eligible ----


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "change",
    [
        "update shop.products set active = false where id in (1, 5)",
        "update shop.products set active = null where id in (1, 5)",
        "update shop.stock set quantity = 0 from shop.variants v where v.id = variant_id and product_id in (1, 5)",
        "delete from shop.stock where variant_id in (11, 12, 51, 52)",
    ],
)
def test_what_is_not_eligible_is_not_answered_from_the_next_statement_on(
    normal: Shop, question: str, change: str
) -> None:
    before = answer(normal, question)
    assert {"1", "5"} & set(before)
    normal.execute(change)
    after = answer(normal, question)
    assert not {"1", "5"} & set(after)
    if "null" not in question:
        assert len(after) >= min(len(before), 3)
    normal.execute("update shop.products set active = true")
    normal.execute("insert into shop.stock select id, 2, 5 from shop.variants")
    assert answer(normal, question) == before


def test_an_item_becomes_eligible_when_its_time_comes(normal: Shop) -> None:
    normal.execute("select aisle.pause('items')")
    normal.execute(ITEMS.replace("$$ active", "$$ (available_on is null or available_on <= now()) and active"))
    normal.execute("update shop.products set available_on = now() + interval '1 second' where id = 3")
    assert "3" not in answer(normal, "recommend('nobody', 6)")
    normal.execute("select pg_sleep(1)")
    assert "3" in answer(normal, "recommend('nobody', 6)")


@pytest.mark.parametrize("relation", ["table", "query"])
def test_there_are_k_answers_as_long_as_k_items_are_eligible(shop: Shop, tiny_model: Any, relation: str) -> None:
    n = 3000
    shop.execute(
        "create schema shop; create table shop.products (id int primary key, name text, category text, active boolean);"
        f"insert into shop.products select n, 'tea', 'tea', n % 10 = 0 from generate_series(1, {n}) n"
    )
    source = "'shop.products'" if relation == "table" else "query => 'select * from shop.products'"
    shop.execute(f"select aisle.attach_items({source}, category => 'category', eligible => 'active')".encode())
    shop.execute(
        "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft)"
        f" select {tiny_model.model_id}, n::text, format('[1,%s]', n)::vector, '', false from generate_series(1, {n}) n"
    )
    load_tiny_recommender(shop.connection, {i: ("tea", (1, i / n), (0, 1)) for i in range(1, n + 1)})
    load_tiny_basket(shop.connection, {str(i): (1, i / n) for i in range(1, n + 1)}, {})
    shop.execute("update aisle.basket_items set co_purchase = embedding")
    for question in (
        "similar_items('10', 40)", "similar_items('10', 40, space => 'basket')", "recommend('nobody', 40)",
        "recommend('ann', 40)", "recommend('ann', 40, category => 'tea')", "next_basket('ann', 40)",
        "complete_basket('{10}', 40)",
    ):  # fmt: skip
        found = answer(shop, question)
        assert len(found) == len(set(found)) == 40, question
        assert all(int(i) % 10 == 0 for i in found), question
    # Far fewer than when the share was counted.
    shop.execute("update shop.products set active = id in (30, 60, 90)")
    assert set(answer(shop, "recommend('ann', 40)")) == {"30", "60", "90"}
    assert set(answer(shop, "similar_items('10', 40)")) == {"30", "60", "90"}
    assert set(answer(shop, "complete_basket('{10}', 40)")) == {"30", "60", "90"}
    assert set(answer(shop, "next_basket('ann', 40)")) == {"30", "60", "90"}


# ---- groups ----


@pytest.fixture
def variants(shop: Shop, tiny_model: Any) -> Shop:
    """A shop whose items are variants, two of each product; ann has bought one of product 1."""
    shop.execute(TABLES)
    shop.execute(
        "select aisle.attach_items(query => $$ select v.id, p.kind || ' ' || v.size as name, p.id as product"
        " from shop.variants v join shop.products p on p.id = v.product_id $$, group_column => 'product');"
        "select aisle.attach_orders('shop.orders', 'id', 'variant_id', 'who', 'at', lines => 'shop.lines',"
        " line_order_id => 'order_id')"
    )
    ids = [10 * n + s for n in range(1, 7) for s in (1, 2)]
    for i in ids:
        shop.execute(
            "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft)"
            f" values ({tiny_model.model_id}, '{i}', '[1,{i / 100}]', '', false)"
        )
    load_tiny_recommender(shop.connection, {i: (None, (1, i / 100), (0, 1)) for i in ids})
    load_tiny_basket(shop.connection, {str(i): (1, i / 100) for i in ids}, {"ann": ((1, 0), ["11"])})
    shop.execute("update aisle.basket_items set co_purchase = embedding")
    return shop


OF_VARIANTS = [q.replace("'1'", "'11'").replace("{1}", "{11}").replace("{2}", "{21}") for q in QUESTIONS]


@pytest.mark.parametrize("question", [q for q in OF_VARIANTS if "category =>" not in q])
def test_an_answer_has_one_item_of_a_group(variants: Shop, question: str) -> None:
    found = answer(variants, question)
    products = [i[0] for i in found]
    assert len(found) >= (2 if "null" in question else 3)
    assert len(products) == len(set(products)), found
    if question.startswith("similar_items") or question == "recommend('ann', 4)" or "{11}" in question:
        assert "1" not in products, "Nothing else of the product that is asked about, or was bought."


# ---- states, quantities, variants ----


def basket_rows(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.execute("select user_id, item_id, quantity from aisle._orders order by 1, 2, 3").fetchall()


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ("update shop.orders set state = 'cancelled' where id = 2", [("ann", "1", 1), ("ann", "2", 1)]),
        ("update shop.orders set state = 'done' where id = 3",
         [("ann", "1", 1), ("ann", "1", 1), ("ann", "2", 1), ("bob", "3", 1)]),
        ("update shop.lines set returned = 1 where id = 3", [("ann", "1", 1), ("ann", "2", 1)]),
        ("update shop.variants set product_id = 4 where id = 11", [("ann", "2", 1), ("ann", "4", 1), ("ann", "4", 1)]),
        ("delete from shop.lines where id in (1, 3)", [("ann", "2", 1)]),
    ],
)  # fmt: skip
def test_a_change_of_state_counts_from_the_next_statement_on(normal: Shop, change: str, lines: Any) -> None:
    assert basket_rows(normal) == [("ann", "1", 1), ("ann", "1", 1), ("ann", "2", 1)]
    normal.execute(change)
    assert basket_rows(normal) == lines
    assert queued(normal, "basket") == ({"bob"} if "id = 3" in change and "orders" in change else {"ann"})
    normal.execute("update shop.orders set note = 'please ring'")
    assert queued(normal, "basket") == set(), "No model reads it."


def test_events_may_have_states_and_variants_too(normal: Shop) -> None:
    normal.execute(
        "create table shop.clicks (who text, variant_id int, at timestamptz, is_bot boolean);"
        "insert into shop.clicks values ('ann', 11, now(), false), ('ann', 41, now(), true)"
    )
    normal.execute(
        "select aisle.attach_interactions('shop.clicks', 'who', 'variant_id', 'at', counts => 'not is_bot',"
        " item_via => 'shop.variants(id -> product_id)')"
    )
    assert normal.execute("select user_id, item_id from aisle._interactions").fetchall() == [("ann", "1")]
    assert "1" not in answer(normal, "recommend('ann', 6)")
    normal.execute("update shop.clicks set is_bot = false")
    assert not {"1", "4"} & set(answer(normal, "recommend('ann', 6)"))


def test_a_query_for_lines(normal: Shop) -> None:
    normal.execute("select aisle.detach('orders')")
    said = normal.value(
        "select aisle.attach_orders(query => $$ select o.id, o.who, o.at, v.product_id, o.state, l.bought"
        " from shop.orders o join shop.lines l on l.order_id = o.id join shop.variants v on v.id = l.variant_id $$,"
        " order_id => 'id', user_id => 'who', at => 'at', item_id => 'product_id', quantity => 'bought',"
        " counts => $$ state = 'done' $$)"
    )
    assert "Watches shop.lines (derived): select t1.who from shop.orders t1 where t1.id = r.order_id" in said
    assert basket_rows(normal) == [("ann", "1", 1), ("ann", "1", 1), ("ann", "2", 1)]
    normal.execute("update shop.orders set state = 'done'")
    assert queued(normal, "basket") == {"bob"}


def test_a_column_that_a_watch_names_and_that_was_renamed_is_a_warning(normal: Shop) -> None:
    normal.execute("select aisle._enqueue_stale()")
    drain(normal.connection, [ItemEmbedder()])
    normal.execute("alter table shop.brands rename id to brand")
    normal.execute("update shop.brands set name = 'Cy' where brand = 2")
    assert pending(normal, "category") == 3
    (warning, remedy), *others = normal.execute("select warning, remedy from aisle.warnings").fetchall()
    assert (
        warning
        == "id of shop.brands, which triggers read, is gone: they tell of no change there, and the items lag behind."
    )
    assert "aisle attach -f FILE" in remedy
    assert others == []


def test_columns_of_a_query_that_have_the_names_of_roles_have_these_roles(normal: Shop) -> None:
    for kind in ("orders", "items"):
        normal.execute("select aisle.detach(%s)", [kind])
    normal.execute(
        "select aisle.attach_items(query => $$ select p.id, p.title->>'en' as name, b.name as manufacturer, p.kind"
        " as category, p.title->>'ko' as text from shop.products p left join shop.brands b on b.id = p.brand_id $$);"
        "select aisle.attach_orders(query => $$ select l.order_id, v.product_id as item_id, o.who as user_id, o.at,"
        " l.bought as quantity from shop.lines l join shop.orders o on o.id = l.order_id"
        " join shop.variants v on v.id = l.variant_id $$);"
        "select aisle.attach_interactions(query => $$ select o.who as user_id, v.product_id as item_id, o.at,"
        " l.bought as weight from shop.lines l join shop.orders o on o.id = l.order_id"
        " join shop.variants v on v.id = l.variant_id $$)"
    )
    assert normal.execute("select manufacturer, category, details from aisle._items where id = 1").fetchone() == (
        "Bo", "tea", "차",
    )  # fmt: skip
    assert normal.execute("select distinct user_id from aisle._orders order by 1").fetchall() == [("ann",), ("bob",)]
    assert normal.value("select count(distinct at) from aisle._orders") == 3
    columns = dict(normal.execute("select kind, declaration - 'query' from aisle._attachments").fetchall())
    assert {"user_id", "at", "quantity"} <= columns["orders"].keys()
    assert columns["interactions"]["weight"] == "weight"
    for kind in ("items", "interactions", "orders"):
        normal.execute("select aisle.resume(%s)", [kind])


def test_a_join_of_several_columns_is_one_step(shop: Shop) -> None:
    shop.execute(
        "create table orders (id int primary key, version int, who text, at timestamptz);"
        "create table lines (order_id int references orders, version int, item text);"
        "insert into orders values (1, 2, 'ann', now()), (2, 1, 'bob', now())"
    )
    said = shop.value(
        "select aisle.attach_orders(query => $$ select o.id, o.who, o.at, l.item from orders o"
        " join lines l on l.order_id = o.id and l.version = o.version $$,"
        " order_id => 'id', user_id => 'who', at => 'at', item_id => 'item')"
    )
    assert (
        "Watches public.lines (derived): select t1.who from public.orders t1"
        " where t1.id = r.order_id and t1.version = r.version"
    ) in said
    shop.execute("insert into lines values (1, 2, 'tea'), (1, 1, 'jam')")
    assert shop.execute("select user_id, item_id from aisle._orders").fetchall() == [("ann", "tea")]
    assert queued(shop, "basket") == {"ann"}


def test_indexes_that_conditions_and_joins_need_are_named(shop: Shop) -> None:
    shop.execute(TABLES)
    shop.execute("insert into shop.variants select 1000 + n, 1, repeat('x', 200) from generate_series(1, 60000) n")
    said = shop.value(ITEMS)
    assert "For fast joins: create index concurrently on shop.variants (product_id);" in said
    assert said.count("create index") == 1, "The other tables are small, or have the index."


@pytest.mark.parametrize(
    "query",
    [
        "select p.id, (select t.name from shop.brands t where t.id = p.brand_id) || (select t.kind from shop.products t"
        " where t.id = p.id) as name from shop.products p",
        "select p.id, b.name from shop.products p join shop.brands b on b.id = p.brand_id or b.id is null",
        "select p.id, b.name from shop.products p join shop.brands b on not (b.id <> p.brand_id)",
        "select p.id, b.name from shop.products p join shop.brands b on b.id = coalesce(p.brand_id, 1)",
        "select p.id, b.name from shop.products p join shop.brands b on b.id = any (array[p.brand_id, 9])",
        "with c as (select id as key, name from shop.brands)"
        " select p.id, c.name from shop.products p join c on c.key = p.brand_id",
        "select p.id, b.name from shop.products p join shop.brands a on a.id = p.brand_id"
        " join shop.brands b on b.id = abs(p.brand_id)",
        "select p.id, b.name || count(*) over () as name from shop.products p join shop.brands b on b.id = p.brand_id",
        "select p.id, case when p.brand_id = b.id then b.name end as name from shop.products p cross join shop.brands b"
        " where b.id < 2",
    ],
)
def test_what_joins_do_not_tell_is_said(shop: Shop, query: str) -> None:
    shop.execute(TABLES)
    said = shop.value("select aisle.attach_items(query => %s)", [query])
    assert "Nothing tells of all changes in " in said
    assert "shop.brands" in said.partition("Nothing tells of all changes in ")[2]


def test_a_key_is_logged_as_its_rows_have_it(shop: Shop) -> None:
    shop.execute(
        'create table codes (code char(8) primary key, "na$me" text);'
        'create table things (id char(6) primary key, "c$1" char(8));'
        "insert into codes values ('a', 'tea'); insert into things values ('x1', 'a'), ('x2', 'b')"
    )
    shop.execute(
        'select aisle.attach_items(query => $$ select t.id, c."na$me" as name from things t'
        ' left join codes c on c.code = t."c$1" $$)'
    )
    shop.execute("""update codes set "na$me" = 'jam'""")
    assert queued(shop) == {"x1"}
    shop.execute("""update things set "c$1" = 'a' where id = 'x2'""")
    assert queued(shop) == {"x2"}


def test_a_join_on_a_time_is_watched_by_its_other_columns(shop: Shop) -> None:
    shop.execute(
        "create table orders (id int, at timestamptz, who text, primary key (id, at)) partition by range (at);"
        "create table orders_2024 partition of orders for values from ('2024-01-01') to ('2025-01-01');"
        "create table lines (order_id int, order_at timestamptz, item text);"
        "insert into orders values (1, '2024-01-02', 'ann'), (2, '2024-01-02', 'bob')"
    )
    shop.execute(
        "select aisle.attach_orders(query => $$ select o.id as order_id, o.who as user_id, o.at, l.item as item_id"
        " from orders o join lines l on l.order_id = o.id and l.order_at = o.at $$, user_id => 'user_id', at => 'at')"
    )
    shop.execute("insert into lines values (1, '2024-01-02', 'tea')")
    assert queued(shop, "basket") == {"ann"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("counts => $$ state = 'DONE'::text::shop.state $$", "invalid input value for enum"),
        ("counts => $$ note = 'paid' $$", "Not one row of shop.orders counts."),
        ("counts => 'note'", "counts cannot be read: argument of WHERE must be type boolean, not type"),
        ("item_via => 'shop.variants(product_id → id)'", "has values that occur twice"),
        ("quantity => 'bought / returned'", "The rows of the orders cannot be read: division by zero."),
    ],
)
def test_orders_of_which_nothing_counts_are_refused(normal: Shop, wrong: str, message: str) -> None:
    normal.execute("select aisle.detach('orders')")
    name = wrong.partition(" ")[0]
    right = {"counts": "", "quantity": "", "item_via": "item_via => 'shop.variants(id → product_id)'"} | {name: wrong}
    with pytest.raises(psycopg.Error, match=message):
        normal.execute(
            "select aisle.attach_orders('shop.orders', 'id', 'variant_id', 'who', 'at', lines => 'shop.lines',"
            f" line_order_id => 'order_id', {', '.join(filter(None, right.values()))})"
        )


def test_lines_whose_variant_is_missing_are_counted(normal: Shop) -> None:
    normal.execute("select aisle.detach('orders')")
    normal.execute("alter table shop.lines drop constraint lines_variant_id_fkey")
    normal.execute("update shop.lines set variant_id = 999 where id in (1, 2, 3)")
    with pytest.raises(psycopg.Error, match=r"Only 0 of 3 rows \(0 %\) are about an attached item"):
        normal.execute(ORDERS)


def test_a_watch_that_fails_holds_up_nobody(shop: Shop, tiny_model: Any) -> None:
    shop.execute(TABLES)
    shop.execute(
        ITEMS.replace("$$)\n", '$$, watch => \'{"shop.brands": "select 10 / (r.id - 2) from shop.products"}\')')
    )
    shop.execute(
        "update shop.brands set name = 'Cy' where id = 2;"
        'update shop.products set title = \'{"en": "jam"}\' where id = 1'
    )
    assert queued(shop) == {"1", "2", "3", "4", "5", "6"}, "They are compared, and none has a vector yet."


@pytest.mark.parametrize("table", ["brands", "stock"])
def test_a_table_below_a_query_that_was_swapped_is_noticed(normal: Shop, database_url: str, table: str) -> None:
    normal.execute(
        f"create table shop.new (like shop.{table} including all); insert into shop.new select * from shop.{table};"
        f"alter table shop.{table} rename to old; alter table shop.new rename to {table}"
    )
    found = [f for f in doctor.examine(database_url, migrations.head()) if f.remedy and f.check == "items"]
    assert [f.found for f in found] == ["the declared name is now another table's; the attached one is shop.old"]
    normal.execute("select aisle.resume('items')")
    assert not [f for f in doctor.examine(database_url, migrations.head()) if f.remedy and f.check == "items"]
