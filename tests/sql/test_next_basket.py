"""attach_orders() and next_basket() on a model that fits in the head: two tastes, five products."""

import math
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from aisle import db
from aisle.db import Connection
from tests.conftest import Shop, load_tiny_basket, scans, tiny_weights

ITEMS = {"tea": (1.0, 0.0), "milk": (1.0, 0.0), "bread": (0.0, 1.0), "jam": (0.0, 1.0), "salt": (0.0, 0.0)}
CUSTOMERS = {"bob": ((1.0, 0.0), ["milk", "jam"]), "cid": ((0.0, 1.0), ["bread", "salt"])}
LINES = """
create schema shop;
create table shop.lines (order_no bigint, customer text, product text, ordered_at timestamptz, quantity integer);
create index on shop.lines (customer, ordered_at);
insert into shop.lines values
    (1, 'ann', 'tea', '2024-01-01', 1), (1, 'ann', 'bread', '2024-01-01', 2),
    (2, 'ann', 'tea', '2024-01-11', 1), (2, 'ann', 'tea', '2024-01-11', 3);
"""
ATTACH = (
    "select aisle.attach_orders('shop.lines', 'order_no', 'product', 'customer', at => 'ordered_at',"
    " quantity => 'quantity', time_zone => 'UTC')"
)


@pytest.fixture
def orders(shop: Shop) -> Shop:
    """Ann's two orders, and a live model."""
    shop.execute(LINES)
    shop.execute(ATTACH)
    load_tiny_basket(shop.connection, ITEMS, CUSTOMERS)
    shop.execute("set aisle.now = '2024-01-21'")
    return shop


def answer(shop: Shop, user: Any = "ann", k: int | None = 10) -> list[tuple[str, float, bool]]:
    rows = shop.execute("select item_id, score, bought_before from aisle.next_basket(%s, %s)", [user, k]).fetchall()
    return [(item, round(score, 3), bought) for item, score, bought in rows]


def scores(shop: Shop) -> dict[str, float]:
    """Return the scores of Ann's items."""
    return {item: score for item, score, _ in answer(shop)}


def history(shop: Shop, user: str = "ann") -> list[tuple[str, int]]:
    """Return what was bought, and how many orders ago."""
    rows = shop.execute(
        "select l.* from aisle._read_orders(%s, null) o, unnest(o.items, o.ago) l (item, ago) order by 2, 1",
        [user],
    )
    return list(rows.fetchall())


def test_what_was_bought_before_and_what_neighbours_bought_next(orders: Shop) -> None:
    # Ann's taste: tea ln(1 + 1.5), bread ln(1 + .5), at length 1; squares are the neighbours' weights.
    tea, bread = math.log(2.5) ** 2, math.log(1.5) ** 2
    bob, cid = tea / (tea + bread), bread / (tea + bread)
    found = answer(orders)
    assert found[:2] == [("tea", round(math.log(1.5), 3), True), ("jam", round(math.log(bob + 0.001), 3), False)]
    assert {item: score for item, score, _ in found} == {
        "tea": round(math.log(1.5), 3),
        "bread": round(math.log(0.5), 3),
        "milk": round(math.log(bob + 0.001), 3),
        "jam": round(math.log(bob + 0.001), 3),
        "salt": round(math.log(cid + 0.001), 3),
    }
    rows = orders.execute("select rank, score, probability from aisle.next_basket('ann')").fetchall()
    assert [rank for rank, _, _ in rows] == [1, 2, 3, 4, 5]
    assert all(p == pytest.approx(1 / (1 + math.exp(-score))) for _, score, p in rows)


@pytest.mark.parametrize("weight", [1e5, -1e5, 1e300, -1e300])
def test_scores_of_any_size_have_a_probability(shop: Shop, weight: float) -> None:
    shop.execute(LINES)
    shop.execute(ATTACH)
    weights = tiny_weights(constant=weight, new_constant=-weight)
    load_tiny_basket(shop.connection, ITEMS, CUSTOMERS, weights=weights)
    for k in (10, None):
        rows = shop.execute("select score, probability from aisle.next_basket('ann', %s)", [k]).fetchall()
        assert rows
        assert all(p == pytest.approx(float(score > 0), abs=1e-200) for score, p in rows)
    completed = shop.execute("select score from aisle.complete_basket(array['tea'], 5, 'ann')").fetchall()
    assert all(math.isfinite(score) for (score,) in completed)


def test_without_k_the_set_of_the_largest_expected_f1_is_returned(orders: Shop) -> None:
    p = [x[0] for x in orders.execute("select probability from aisle.next_basket('ann', 100) order by rank")]
    expected = [2 * sum(p[:k]) / (k + max(sum(p), 1.5)) for k in range(1, len(p) + 1)]  # Ann's orders have 1.5 products
    assert len(answer(orders, k=None)) == expected.index(max(expected)) + 1


def test_a_new_order_counts_from_the_next_statement_on(orders: Shop) -> None:
    orders.execute("insert into shop.lines values (3, 'ann', 'salt', '2024-01-20', 1)")
    assert scores(orders)["salt"] == 0
    assert scores(orders)["tea"] == round(math.log(0.75), 3)


def test_time_since_the_last_purchase_is_compared_with_the_usual_gap(orders: Shop) -> None:
    load_tiny_basket(orders.connection, ITEMS, weights=tiny_weights(late=1))
    # Tea: 10 days since; 10 between the two, mixed with the item's usual 10. Bread: 20 days since, usually 10.
    assert scores(orders) == pytest.approx({"tea": 0, "bread": round(math.log(2), 3)})


def test_what_is_due_changes_with_the_days_alone(orders: Shop) -> None:
    load_tiny_basket(orders.connection, ITEMS, weights=tiny_weights(late_squared=-1))
    orders.execute(
        "update aisle.basket_items set gap = case item_id when 'tea' then 7 else 21 end;"
        " insert into shop.lines values (3, 'dan', 'tea', '2024-02-01'), (3, 'dan', 'bread', '2024-02-01')"
    )
    for now, due in (("2024-02-08", "tea"), ("2024-02-22", "bread")):
        orders.execute(f"set aisle.now = '{now}'")
        assert answer(orders, "dan", 1) == [(due, 0, True)]


def test_a_value_that_the_fit_has_not_seen_counts_as_the_nearest_that_it_has(orders: Shop) -> None:
    ranges = {"bought_before": {"late": [-1, 0.5]}, "new": {"popularity": [math.log(0.2), 0]}}
    weights = tiny_weights(late=1, late_squared=1, new_popularity=1)
    load_tiny_basket(orders.connection, ITEMS, CUSTOMERS, weights=weights, ranges=ranges)
    assert scores(orders) == {
        "tea": 0, "bread": 0.75, "milk": round(math.log(0.26), 3), "jam": round(math.log(0.2), 3),
        "salt": round(math.log(0.2), 3),
    }  # fmt: skip
    orders.execute("set aisle.now = '2025-01-21'")
    assert scores(orders)["tea"] == scores(orders)["bread"] == 0.75


@pytest.mark.parametrize("user", ["ann", "a stranger"])
def test_an_explanation_adds_up_to_the_score(orders: Shop, user: str) -> None:
    weights = tiny_weights(
        constant=-2, neighbours=0.2, popularity=0.3, logit=0.4, size=0.5, orders=0.6, recency=0.7, fast_recency=0.8,
        last=0.9, late=-0.1, late_squared=-0.2, new_constant=-3, new_neighbours=0.5, new_popularity=0.1, new_logit=0.2,
    )  # fmt: skip
    load_tiny_basket(orders.connection, ITEMS, CUSTOMERS, weights=weights)
    found = orders.execute("select item_id, score from aisle.next_basket(%s)", [user]).fetchall()
    assert len(found) == 5
    for item, score in found:
        rows = orders.execute("select because, value, share from aisle.explain_basket(%s, %s)", [user, item]).fetchall()
        assert sum(share for *_, share in rows) == pytest.approx(score)
    assert orders.execute("select * from aisle.explain_basket(%s, 'unheard of')", [user]).fetchall() == []


def test_an_explanation_says_what_a_term_is_about(orders: Shop) -> None:
    weights = tiny_weights(recency=1, late=1, new_neighbours=1, new_popularity=1)
    load_tiny_basket(orders.connection, ITEMS, CUSTOMERS, weights=weights)
    why = "select because, value from aisle.explain_basket('ann', %s) order by because"
    assert orders.execute(why, ["bread"]).fetchall() == [("repeats", "1.000"), ("timing", "20.000")]
    rows = dict(orders.execute(why, ["milk"]).fetchall())
    assert rows.keys() == {"neighbours", "popularity"}
    assert rows["popularity"] == "0.250"
    assert 0 < float(rows["neighbours"]) < 1


def test_returned_lines_do_not_count(orders: Shop) -> None:
    orders.execute(
        "insert into shop.lines values (3, 'ann', 'salt', '2024-01-20', -1), (3, 'ann', 'jam', '2024-01-20', 0)"
    )
    assert history(orders) == [("tea", 0), ("bread", 1), ("tea", 1)]


def test_orders_of_one_time_are_ordered_by_their_ids(orders: Shop) -> None:
    orders.execute(
        "insert into shop.lines values (10, 'dan', 'jam', '2024-01-01', 1), (9, 'dan', 'tea', '2024-01-01', 1)"
    )
    assert history(orders, "dan") == [("jam", 0), ("tea", 1)], "10 is after 9, though '10' is before '9'."


def test_rows_may_come_in_any_order_and_lines_of_an_order_at_any_time(orders: Shop) -> None:
    orders.execute(
        "insert into shop.lines values (5, 'dan', 'jam', '2024-03-01', 1), (4, 'dan', 'tea', '2024-04-01', 1),"
        " (5, 'dan', 'salt', '2024-03-01 00:05', 1)"
    )
    assert history(orders, "dan") == [("tea", 0), ("jam", 1), ("salt", 1)]


def test_a_customer_without_orders_gets_what_is_popular(orders: Shop) -> None:
    for nobody in ("nobody", None):
        assert [item for item, *_ in answer(orders, nobody, 2)] == ["tea", "milk"]
        assert len(answer(orders, nobody, None)) == 2, "As many as an order has on average."
    assert not any(bought for *_, bought in answer(orders, "nobody"))


def test_a_customer_of_unknown_products_gets_them_again(orders: Shop) -> None:
    orders.execute("insert into shop.lines values (7, 'eve', 'unheard of', '2024-01-20', 1)")
    assert answer(orders, "eve", 1) == [("unheard of", 0.0, True)]


def test_a_customer_with_one_order_is_answered(orders: Shop) -> None:
    orders.execute("insert into shop.lines values (7, 'eve', 'tea', '2024-01-20', 1)")
    assert ("tea", 0.0, True) in answer(orders, "eve", 3)


def test_a_customer_of_thousands_of_orders_is_answered(orders: Shop) -> None:
    """A house account, say. PostgreSQL raises an error where others round powers to 0."""
    orders.execute(
        "insert into shop.lines select n, 'guest', case n when 10 then 'jam' else 'salt' end, '2020-01-01', 1"
        " from generate_series(10, 3000) n"
    )
    found = {item: (score, bought) for item, score, bought in answer(orders, "guest")}
    assert found["jam"][1]
    assert found["salt"][0] > 0 > found["jam"][0] > -200


def test_an_id_that_no_index_can_hold_stops_nobody_else(orders: Shop) -> None:
    orders.execute("drop index shop.lines_customer_ordered_at_idx")
    endless = "(select string_agg(md5(n::text), '') from generate_series(1, 200) n)"
    orders.execute(
        "insert into shop.lines select 8, customer, 'tea', '2024-01-20', 1"
        f" from (values ({endless}), ('eve')) v (customer)"
    )
    assert changed(orders) == {"eve"}
    assert orders.value("select aisle._enqueue_stale()") >= 0


def test_a_column_that_no_trigger_sees_is_refused(shop: Shop) -> None:
    if shop.connection.info.server_version < 180000:
        pytest.skip("Virtual columns came with PostgreSQL 18.")
    shop.execute(LINES)
    shop.execute("alter table shop.lines add kept integer generated always as (quantity - 1) virtual")
    with pytest.raises(psycopg.Error, match="computed when it is read") as raised:
        shop.execute(ATTACH.replace("'quantity'", "'kept'").encode())
    assert raised.value.sqlstate == "AIS04"


def test_nobody_is_a_neighbour_to_themselves(orders: Shop) -> None:
    load_tiny_basket(orders.connection, ITEMS, {**CUSTOMERS, "ann": ((1.0, 0.0), ["salt"])})
    assert scores(orders)["salt"] < math.log(0.2)


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_at_least_1(orders: Shop, k: int) -> None:
    with pytest.raises(psycopg.Error, match="at least 1") as raised:
        answer(orders, k=k)
    assert raised.value.sqlstate == "AIS06"


def test_without_a_model_the_error_says_how_to_get_one(shop: Shop) -> None:
    with pytest.raises(psycopg.Error, match="No basket model is live") as raised:
        shop.execute("select * from aisle.next_basket('ann')")
    assert raised.value.sqlstate == "AIS01"


def test_bigint_and_text_ids_answer_alike(shop: Shop) -> None:
    shop.execute(LINES)
    shop.execute(
        "update shop.lines set customer = '7'; alter table shop.lines alter customer type int using customer::int"
    )
    shop.execute(ATTACH)
    load_tiny_basket(shop.connection, ITEMS, CUSTOMERS)
    assert answer(shop, 7) == answer(shop, "7")
    assert [item for item, *_ in answer(shop, "no number", 1)] == ["tea"]


# ---- completing ----


def completed(
    shop: Shop, cart: Sequence[str | None] | None, k: int | None = 10, user: str | None = None
) -> dict[str, float]:
    rows = shop.execute("select item_id, score from aisle.complete_basket(%s, %s, %s) order by rank", [cart, k, user])
    return {item: round(score, 3) for item, score in rows.fetchall()}


def test_a_cart_is_completed_by_what_goes_with_its_products(orders: Shop) -> None:
    assert completed(orders, ["tea"]) == {"milk": 1, "bread": 0, "jam": 0, "salt": 0}
    assert completed(orders, ["tea", "bread"], 2) == {"jam": round(0.5**0.5, 3), "milk": round(0.5**0.5, 3)}
    assert completed(orders, ["tea", "unheard of"], 1) == {"milk": 1}
    assert completed(orders, ["tea", None]) == completed(orders, ["tea"]), "As array_agg makes them of an outer join."
    assert completed(orders, [None]) == completed(orders, []) == completed(orders, None)


def test_what_is_bought_with_the_carts_products_counts_by_its_cosines(orders: Shop) -> None:
    orders.execute(
        "update aisle.basket_items set companions = '{salt,bread}', cosines = '{.5,.2}' where item_id = 'tea'"
    )
    orders.execute(
        "update aisle.basket_items set companions = '{salt,tea}', cosines = '{.25,.9}' where item_id = 'jam'"
    )
    orders.execute("""update aisle._models set parameters = parameters || '{"companions": 2}'""")
    half = 0.5**0.5
    assert completed(orders, ["tea", "jam"]) == {
        "salt": round(2 * math.log(0.751), 3),
        "bread": round(half + 2 * math.log(0.201), 3),
        "milk": round(half + 2 * math.log(0.001), 3),
    }


def test_a_customers_next_order_counts_beside_the_cart(orders: Shop) -> None:
    p = dict(orders.execute("select item_id, probability from aisle.next_basket('ann')").fetchall())
    popular = {item: 0.5 / n for n, item in enumerate(ITEMS, start=1)}
    assert completed(orders, ["tea"], user="ann") == {
        item: round((item == "milk") + math.log(p[item] / (popular[item] + 0.01)), 3)
        for item in ("milk", "bread", "jam", "salt")
    }


def test_an_empty_or_unknown_cart_is_the_next_order_or_what_is_popular(orders: Shop) -> None:
    for cart in ([], None, ["unheard of"]):
        assert list(completed(orders, cart, 2)) == ["tea", "milk"]
        assert list(completed(orders, cart, 2, "ann")) == [item for item, *_ in answer(orders, k=2)]


def test_k_may_be_as_large_as_an_integer(orders: Shop) -> None:
    assert len(answer(orders, k=2**31 - 1)) == 5
    for cart in (["tea"], ["unheard of"]):
        assert completed(orders, cart, 2**31 - 1) == completed(orders, cart)


@pytest.mark.parametrize("k", [0, None])
def test_k_of_a_completion_is_at_least_1(orders: Shop, k: int | None) -> None:
    with pytest.raises(psycopg.Error, match="at least 1") as raised:
        completed(orders, ["tea"], k)
    assert raised.value.sqlstate == "AIS06"


# ---- products that are gone ----


@pytest.fixture
def catalogue(orders: Shop) -> Shop:
    """The products are attached, and tea and jam were deleted."""
    orders.execute("create table shop.products (id text primary key, name text)")
    orders.execute("insert into shop.products select id, id from unnest(%s::text[]) id", [list(ITEMS)])
    orders.execute("select aisle.attach_items('shop.products', 'id', 'name')")
    orders.execute("delete from shop.products where id in ('tea', 'jam')")
    return orders


def test_what_is_gone_is_no_next_order(catalogue: Shop) -> None:
    left = ["bread", "milk", "salt"]
    assert sorted(item for item, *_ in answer(catalogue)) == left
    assert len(answer(catalogue, k=2)) == 2, "Others take its place."
    assert {item for item, *_ in answer(catalogue, k=None)} <= set(left)
    assert [item for item, *_ in answer(catalogue, "nobody", 2)] == ["milk", "bread"]
    rows = catalogue.execute("select rank from aisle.next_basket('ann')").fetchall()
    assert [rank for (rank,) in rows] == [1, 2, 3]
    catalogue.execute("insert into shop.products values ('tea', 'tea')")
    assert "tea" in scores(catalogue), "It has come back."


def test_what_is_gone_completes_no_cart(catalogue: Shop) -> None:
    assert completed(catalogue, ["bread"]) == {"milk": 0, "salt": 0}
    assert completed(catalogue, ["bread"], 1) == {"milk": 0}, "Jam would be better."
    assert set(completed(catalogue, ["bread"], user="ann")) == {"milk", "salt"}
    assert set(completed(catalogue, [], 2)) == {"milk", "bread"}


def test_what_is_gone_is_like_nothing(catalogue: Shop) -> None:
    catalogue.execute("update aisle.basket_items set co_purchase = taste")
    query = "select rank, item_id from aisle.similar_items('bread', %s, space => 'basket')"
    assert catalogue.execute(query, [1]).fetchall() == [(1, "milk")], "Jam would be nearer."


def test_a_model_is_measured_on_what_is_gone_too(catalogue: Shop) -> None:
    model = catalogue.value("select aisle._live_model('basket')")
    query = "select item_id from aisle._next_basket(%s, 'ann', 1, '2024-01-20')"
    assert catalogue.value(query, [model]) == "tea"
    assert catalogue.value(db.read("queries/complete_heldout"), {"model_id": model, "carts": ["{bread}"], "k": 1}) == [
        "jam"
    ]


@pytest.mark.parametrize(
    ("id_type", "prefix"), [("integer", ""), ("uuid", "00000000-0000-0000-0000-00000000"), ("text", "p")]
)
def test_rows_are_looked_up_until_there_are_enough(shop: Shop, id_type: str, prefix: str) -> None:
    ids = [f"{prefix}{n}" for n in range(1000, 1200)]
    shop.execute(f"create table products (id {id_type} primary key, name text)")
    shop.execute(f"insert into products select id::{id_type}, '' from unnest(%s::text[]) id", [ids[150:]])
    asked = ["no such id", *ids]
    answerable = "select aisle._answerable(%s, %s)"
    assert shop.value(answerable, [asked, 2]) == asked, "Nothing is attached."
    shop.execute("select aisle.attach_items('products', 'id', 'name')")
    for k in (1, 50, 60, None):
        assert shop.value(answerable, [asked, k]) == ids[150:][:k], "In their order."
    assert shop.value(answerable, [[], 2]) == []


# ---- attaching ----


def test_orders_and_their_lines_may_be_two_tables_numbered_instead_of_dated(shop: Shop) -> None:
    shop.execute(
        "create schema shop;"
        " create table shop.orders (order_id int primary key, user_id int, order_number int, is_target text);"
        " create table shop.order_items (order_id int, item_id int, position int);"
        " insert into shop.orders values (1, 1, 1), (2, 1, 3), (3, 1, 2);"
        " insert into shop.order_items values (1, 5), (2, 6), (3, 7)"
    )
    message = shop.value(
        "select aisle.attach_orders('shop.orders', 'order_id', 'item_id', 'user_id', order_number => 'order_number',"
        " lines => 'shop.order_items')"
    )
    assert message == "Attached shop.orders and shop.order_items."
    assert history(shop, "1") == [("6", 0), ("7", 1), ("5", 2)]
    assert shop.value("select (aisle._read_orders('1', null)).now") == 4, "The next order is the one to come."
    assert shop.value("select (aisle._read_orders('1', timestamptz '1970-01-03 00:00Z')).items") == ["5"]


def test_orders_without_customers_are_each_their_own(shop: Shop) -> None:
    shop.execute(
        "create table lines (order_id int, product_id int); insert into lines values (1, 10), (1, 11), (2, 12)"
    )
    shop.execute("select aisle.attach_orders('lines', 'order_id', 'product_id')")
    assert history(shop, "1") == [("10", 0), ("11", 0)]


def test_recommend_reads_attached_orders_where_there_are_no_interactions(orders: Shop) -> None:
    assert orders.value("select (aisle._event_source()).kind") == "orders"
    assert orders.value("select (aisle._read_history(aisle._event_source(), 'ann', null, 10, false)).items") == [
        "tea",
        "tea",
        "tea",
        "bread",
    ]
    assert orders.value(
        "select (aisle._read_history(aisle._event_source(), 'ann', '2024-01-05', 10, false)).items"
    ) == ["tea", "bread"]


USERS = {
    "text": ("ann", "bob"),
    "uuid": ("6f1c1c1e-0000-4000-8000-00000000000a", "6f1c1c1e-0000-4000-8000-00000000000b"),
    "smallint": ("7", "-8"),
    "integer": ("7", "-8"),
    "bigint": ("7", "5000000000"),
}


@pytest.mark.parametrize("source", ["interactions", "orders"])
@pytest.mark.parametrize("id_type", USERS)
def test_a_history_is_that_of_the_user_whatever_the_type_of_ids(shop: Shop, source: str, id_type: str) -> None:
    user, other = USERS[id_type]
    shop.execute(f"create table visits (id int, who {id_type}, what text, seen_at timestamptz)")
    shop.execute(
        "insert into visits values (1, %(user)s, 'tea', '2024-01-01'), (2, %(other)s, 'jam', '2024-01-02'), "
        "(3, %(user)s, 'bread', '2024-01-03'), (4, null, 'milk', '2024-01-04')",
        {"user": user, "other": other},
    )
    roles = "'id', 'what', 'who'" if source == "orders" else "'who', 'what'"
    shop.execute(f"select aisle.attach_{source}('visits', {roles}, 'seen_at')")
    asked = "select (aisle._read_history(aisle._event_source(), %s, {}, 10, false)).items"
    for moment in ("null", "'2030-01-01'"):  # each has a statement of its own
        assert shop.value(asked.format(moment), [user]) == ["bread", "tea"]
        assert shop.value(asked.format(moment), [other]) == ["jam"]
        assert shop.value(asked.format(moment), ["nobody"]) is None


def test_of_dates_the_day_before_a_held_out_order_counts(orders: Shop) -> None:
    orders.execute("select aisle.detach('orders'); alter table shop.lines alter ordered_at type date")
    orders.execute("insert into shop.lines values (3, 'ann', 'jam', '2024-01-12', 1)")
    orders.execute(ATTACH)
    before = "select r.items, r.ago from aisle._read_orders('ann', '2024-01-11 23:59:59.999998Z') r"
    ((items, ago),) = orders.execute(before).fetchall()
    assert sorted(zip(ago, items, strict=True)) == [(0, "tea"), (1, "bread"), (1, "tea")], "All but that of the 12th."


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message"),
    [
        ("'nowhere', 'order_no', 'product', 'customer', 'ordered_at'", "AIS04", "no relation"),
        ("'shop.lines', 'order_no', 'product', 'customer', 'when'", "AIS05", "no column \"when\""),
        ("'shop.lines', 'order_no', 'product', 'customer'", "AIS05", "time or a number"),
        ("'shop.lines', 'order_no', 'product', 'customer', 'ordered_at', 'quantity'", "AIS05", "not both"),
        ("'shop.lines', 'order_no', 'product', 'customer', 'quantity'", "AIS04", "a timestamp or a date"),
        ("'shop.lines', 'order_no', 'product', 'customer', order_number => 'ordered_at'", "AIS04", "a whole number"),
        ("'shop.lines', 'order_no', 'product', 'ordered_at', 'ordered_at'", "AIS04", "whole number, a uuid or a text"),
        ("'shop.lines', 'order_no', null, 'customer', 'ordered_at'", "AIS05", "Name the columns of the order"),
        ("'shop.lines', 'order_no', 'product', line_order_id => 'order_no'", "AIS05", "name that table, too"),
        ("'shop.lines', 'order_no', 'product', 'customer', 'ordered_at', time_zone => 'Mars'", "AIS06", "time zone"),
        ("'shop.lines', 'order_no', 'product', 'customer', 'ordered_at', quantity => 'product'", "AIS04", "a number"),
        ("'shop.lines', 'product', 'product', lines => 'shop.lines', line_order_id => 'order_no'",
         "AIS04", "order_no of shop.lines is of type bigint, but product of shop.lines is of type text"),
    ],
)  # fmt: skip
def test_what_cannot_be_attached_is_refused(shop: Shop, arguments: str, sqlstate: str, message: str) -> None:
    shop.execute(LINES)
    with pytest.raises(psycopg.Error, match=message) as raised:
        shop.execute(f"select aisle.attach_orders({arguments})")
    assert raised.value.sqlstate == sqlstate


def test_numbers_that_no_day_stands_for_are_refused(shop: Shop) -> None:
    shop.execute(LINES)
    attach = "select aisle.attach_orders('shop.lines', 'order_no', 'product', 'customer', order_number => 'order_no')"
    shop.execute("update shop.lines set order_no = 202401150001 where order_no = 2")
    with pytest.raises(psycopg.Error, match="has the number 202401150001; an order's number is at most") as raised:
        shop.execute(attach)
    assert raised.value.sqlstate == "AIS06"
    shop.execute("update shop.lines set order_no = 100000000 where order_no = 202401150001")
    shop.execute(attach)
    assert history(shop) == [("tea", 0), ("bread", 1), ("tea", 1)]
    assert shop.value("select count(*) from aisle._customers") == 1


def test_orders_are_attached_once_and_detached_without_a_trace(orders: Shop) -> None:
    with pytest.raises(psycopg.Error, match="attached already") as raised:
        orders.execute(ATTACH)
    assert raised.value.sqlstate == "AIS03"
    orders.execute("select aisle.detach('orders')")
    assert orders.value("select count(*) from pg_trigger where tgname like 'aisle%'") == 0
    assert orders.value("select to_regclass('aisle._orders')") is None
    assert orders.value("select to_regclass('aisle._customers')") is None
    assert [item for item, *_ in answer(orders, "ann", 1)] == ["tea"], "What is popular is known still."
    orders.execute(ATTACH)


@pytest.mark.trap(25)
def test_names_are_quoted(shop: Shop) -> None:
    shop.execute(
        'create table "x""; drop table y; --" ("Order No" int, "Ünser Kunde" text, "item" text, "at" date, "qty" int);'
        """ insert into "x""; drop table y; --" values (1, 'ann', 'tea', '2024-01-01', 1)"""
    )
    shop.execute(
        """select aisle.attach_orders('"x""; drop table y; --"', 'Order No', 'item', 'Ünser Kunde', 'at',"""
        " quantity => 'qty')"
    )
    assert history(shop) == [("tea", 0)]
    load_tiny_basket(shop.connection, ITEMS)
    shop.execute("""update "x""; drop table y; --" set item = 'milk'""")
    assert changed(shop) == {"ann"}


# ---- in step ----


def changed(shop: Shop) -> set[str]:
    """Return the customers whose jobs wait, and forget them."""
    shop.collect()
    ids = {row[0] for row in shop.execute("delete from aisle._embedding_jobs where task = 'basket' returning id")}
    return ids


def test_who_orders_is_logged_once_a_statement(orders: Shop) -> None:
    orders.execute(
        "insert into shop.lines"
        " select 100 + i, 'customer ' || i % 3, 'tea', '2024-02-01', 1 from generate_series(1, 30) i"
    )
    assert orders.value("select count(*) from aisle._changes") == 1
    assert changed(orders) == {"customer 0", "customer 1", "customer 2"}
    orders.execute("update shop.lines set quantity = quantity + 1 where customer = 'ann'")
    orders.execute("update shop.lines set customer = 'bea' where customer = 'customer 1'")
    assert changed(orders) == {"ann", "bea", "customer 1"}
    orders.execute("delete from shop.lines where customer = 'bea'")
    assert changed(orders) == {"bea"}


def test_what_no_model_reads_logs_nothing(orders: Shop) -> None:
    orders.execute("alter table shop.lines add state text")
    orders.execute("update shop.lines set state = 'sent', quantity = quantity")
    orders.execute("update shop.lines set state = 'lost' where false")
    assert orders.value("select count(*) from aisle._changes") == 0


def test_an_order_that_ends_after_a_model_is_loaded_is_not_missed(shop: Shop, database_url: str) -> None:
    """Its transaction began when there was no model, and nothing but the log tells of it."""
    shop.execute(LINES)
    shop.execute(ATTACH)
    with db.connect(database_url) as other, other.transaction():
        other.execute("insert into shop.lines values (3, 'ann', 'salt', '2024-01-20', 1)")
        load_tiny_basket(shop.connection, {"salt": (1, 0)}, {})
        shop.execute("select aisle._enqueue_stale()")
        shop.execute("delete from aisle._embedding_jobs")
    assert changed(shop) == {"ann"}


def test_lines_in_a_table_of_their_own_are_logged_for_whom_the_order_is(shop: Shop) -> None:
    shop.execute(
        "create table orders (id int primary key, who text, at timestamptz);"
        " create table lines (order_id int, item text);"
        " select aisle.attach_orders('orders', 'id', 'item', 'who', 'at', lines => 'lines',"
        " line_order_id => 'order_id')"
    )
    load_tiny_basket(shop.connection, ITEMS)
    shop.execute("insert into orders values (1, 'ann', '2024-01-01'), (2, 'bob', '2024-01-01')")
    assert changed(shop) == {"ann", "bob"}
    shop.execute("insert into lines values (1, 'tea')")
    assert changed(shop) == {"ann"}
    shop.execute("truncate lines")
    shop.collect()
    assert shop.value("select count(*) from aisle.customer_vectors") == 0


def test_a_writer_needs_no_right_on_aisle(orders: Shop, login: Any) -> None:
    with login("usage on schema shop", "insert, select on shop.lines") as writer:
        writer.execute("insert into shop.lines values (3, 'ann', 'salt', '2024-01-20', 1)")
    assert changed(orders) == {"ann"}


def test_a_customers_orders_are_found_by_the_shops_own_indexes(connection: Connection) -> None:
    shop = Shop(connection)
    shop.execute(
        "create table orders (id bigint primary key, who int, at timestamptz);"
        " create table lines (order_id bigint, item int);"
        " insert into orders"
        " select i, i % 5000, timestamptz '2024-01-01' + i * interval '1 minute' from generate_series(1, 50000) i;"
        " insert into lines select o, i from generate_series(1, 50000) o, generate_series(1, 4) i;"
        " create index on orders (who, at); create index on lines (order_id); analyze orders; analyze lines"
    )
    message = shop.value(
        "select aisle.attach_orders('orders', 'id', 'item', 'who', 'at', lines => 'lines', line_order_id => 'order_id')"
    )
    assert message == "Attached public.orders and public.lines.", "There is nothing to advise."
    load_tiny_basket(shop.connection, {"1": (1, 0), "2": (0, 1)})
    before = [scans(shop, table) for table in ("orders", "lines")]
    for user in range(20):
        assert len(answer(shop, user)) == 4
        shop.execute("select * from aisle._read_customers(array[%s])", [str(user)])
    after = [scans(shop, table) for table in ("orders", "lines")]
    assert [a[0] - b[0] for a, b in zip(after, before, strict=True)] == [0, 0], "A table was read as a whole."


def test_attach_says_which_indexes_are_missing(shop: Shop) -> None:
    shop.execute(
        "create table lines (id bigint, who int, item text, at timestamptz);"
        " insert into lines select i, i, repeat('x', 100), now() from generate_series(1, 60000) i"
    )
    message = shop.value("select aisle.attach_orders('lines', 'id', 'item', 'who', 'at')")
    assert "create index concurrently on public.lines (who, at);" in message
