"""Rows that no shop should have, and shops have: one of them changes no other's answer, and stops nothing."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection, errors
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.orders import Targets
from aisle.embedder.pipeline import drain
from aisle.trainers import run
from aisle.trainers.basket import score as basket_score
from aisle.trainers.basket import task as basket
from aisle.trainers.basket.read_orders import read_baskets
from aisle.trainers.category.products import read_catalogue
from aisle.trainers.copy_rows import copy_rows
from aisle.trainers.recommender import baselines
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.events import read_events, read_items
from aisle.trainers.recommender.options import TowerOptions
from tests.basket_model import read_model
from tests.conftest import Server, Shop, load_tiny_basket, load_tiny_model, load_tiny_recommender

LARGEST, SMALLEST = 1e9, 1e-30  # of a weight or a quantity
NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e39", "-1e39", "1e300", "1001000000", None]
NO_TIMES = ["infinity", "-infinity", "290000-01-01", "10000-01-01", "4713-01-02 BC", "0001-12-31 BC"]
TIMES = ["0001-01-02", "1969-12-31", "2024-02-29", "9999-12-31", "9999-12-31 23:59:59.999999"]
QUICKLY = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
NUMBERS = st.one_of(
    st.floats(), st.sampled_from([1e9, -1e9, math.nextafter(1e9, 2e9), 1e-30, 1e-46, 5e-324, 0.0, -0.0, 3.5e38])
)
TIMESTAMPS = st.one_of(
    st.datetimes().map(str),
    st.sampled_from([*NO_TIMES, *TIMES, "294276-12-31 23:59:59", "-infinity", "4714-12-31 BC"]),
)


def events(shop: Shop, number_type: str = "double precision", time_type: str = "timestamptz") -> None:
    shop.execute(f"create table visits (who text, product text, at {time_type}, weight {number_type})")
    shop.execute(
        "select aisle.attach_interactions('visits', 'who', 'product', 'at', 'weight', time_zone => 'Asia/Seoul')"
    )


@pytest.mark.trap(44)
@pytest.mark.parametrize("number_type", ["double precision", "numeric", "real"])
def test_a_weight_that_is_no_number_counts_as_none(shop: Shop, number_type: str) -> None:
    events(shop, number_type)
    no_numbers = [w for w in NO_NUMBERS if number_type != "real" or w is None or ("39" not in w and "300" not in w)]
    numbers = {"2.5": 2.5, "0": 0, "-7": -7, "1e9": 1e9, "-1e9": -1e9, "1e-40": 0}
    numbers |= {"1e-320": 0, "-1e-320": 0} if number_type != "real" else {}
    numbers |= {"1e-400": 0} if number_type == "numeric" else {}
    for weight in [*no_numbers, *numbers]:
        shop.execute(f"insert into visits values (%s, 'tea', '2024-01-01', %s::{number_type})", [str(weight), weight])
    read = dict(shop.execute("select user_id, weight::float8 from aisle._interactions").fetchall())
    assert read == {**{str(w): 1.0 for w in no_numbers}, **numbers}


@pytest.mark.parametrize("number_type", ["smallint", "integer", "bigint"])
def test_whole_numbers_are_weights(shop: Shop, number_type: str) -> None:
    events(shop, number_type)
    shop.execute("insert into visits values ('a', 'tea', '2024-01-01', 7), ('b', 'tea', '2024-01-01', null)")
    weights = {"a": 7.0, "b": 1.0}
    if number_type == "bigint":
        shop.execute("insert into visits values ('c', 'tea', '2024-01-01', 9223372036854775807)")
        weights["c"] = 1.0
    assert dict(shop.execute("select user_id, weight::float8 from aisle._interactions").fetchall()) == weights


@pytest.mark.parametrize("time_type", ["timestamptz", "timestamp", "date"])
def test_an_event_at_a_time_that_is_none_is_left_out(shop: Shop, time_type: str) -> None:
    events(shop, time_type=time_type)
    shop.execute(f"create table lines (id int, who text, product text, at {time_type}, quantity numeric)")
    shop.execute("select aisle.attach_orders('lines', 'id', 'product', 'who', 'at', quantity => 'quantity')")
    for time in [*NO_TIMES, *TIMES]:
        shop.execute(f"insert into visits values (%s, 'tea', %s::{time_type}, 1)", [time, time])
        shop.execute(f"insert into lines values (1, %s, 'tea', %s::{time_type}, 'NaN')", [time, time])
    for view in ("_interactions", "_orders"):
        rows = shop.execute(f"select user_id, extract(epoch from local_at)::float8 from aisle.{view}").fetchall()
        assert sorted(user for user, _ in rows) == sorted(TIMES)
        assert all(math.isfinite(seconds) for _, seconds in rows)
    assert shop.value("select count(*) from aisle._customers") == len(TIMES)


def test_a_quantity_that_is_no_number_counts_as_1_and_one_that_is_0_does_not_count(shop: Shop) -> None:
    shop.execute("create table lines (id int, who text, product text, at date, quantity numeric)")
    shop.execute("select aisle.attach_orders('lines', 'id', 'product', 'who', 'at', quantity => 'quantity')")
    for quantity in [*NO_NUMBERS, "2", "0", "-3", "1e-400"]:
        shop.execute("insert into lines values (1, %s, 'tea', '2024-01-01', %s::numeric)", [str(quantity), quantity])
    read = dict(shop.execute("select user_id, quantity::float8 from aisle._orders").fetchall())
    assert read == {**{str(q): 1.0 for q in NO_NUMBERS}, "2": 2.0}


def test_an_order_whose_number_is_no_date_is_left_out(shop: Shop) -> None:
    shop.execute("create table lines (id int, who text, product text, number bigint)")
    shop.execute("select aisle.attach_orders('lines', 'id', 'product', 'who', order_number => 'number')")
    numbers = [5, -700_000, 100_000_000]
    for number in [*numbers, -700_001, 100_000_001, 2**63 - 1, -(2**63)]:
        shop.execute("insert into lines values (1, %s, 'tea', %s)", [str(number), number])
    rows = shop.execute("select user_id, round(extract(epoch from local_at) / 86400)::bigint from aisle._orders")
    assert sorted(rows.fetchall()) == sorted((str(n), n) for n in numbers)


def test_degrees_that_are_no_numbers_are_none(shop: Shop) -> None:
    shop.execute("create table stores (id int primary key, name text, north numeric, east double precision)")
    shop.execute("select aisle.attach_items('stores', 'id', 'name', latitude => 'north', longitude => 'east')")
    odd = ["NaN", "Infinity", "-Infinity", "1e300"]
    for number, value in enumerate([*odd, "37.5"]):
        shop.execute("insert into stores values (%s, 'a', %s::numeric, %s::float8)", [number, value, value])
    shop.execute("insert into stores values (9, 'a', '1e-400', 1e-320), (10, 'a', '1e400', 127)")
    places = read_items(shop.connection, with_texts=False, with_places=True).places
    assert places is not None
    known = np.degrees(places[np.isfinite(places).all(axis=1)])
    assert known.tolist() == [[37.5, 37.5]], "A place at 0 beside 0 is none."


# ---- training ----

SHOP = """
create table products (id integer primary key, name text);
insert into products select n, 'p' || n from generate_series(1, 30) n;
create table visits (who integer, product integer, at timestamptz, weight double precision);
insert into visits
select u, 1 + (u * 7 + n * (1 + u % 3)) % 30, timestamptz '2024-01-01' + (u * 13 + n) * interval '1 hour', 1 + n % 3
from generate_series(1, 60) u, generate_series(1, 8) n;
select aisle.attach_items('products', 'id', 'name');
"""
ODD = """
insert into visits values (1, 2, '2024-01-02', 'NaN'), (2, 3, '2024-01-02', 'Infinity'), (3, 4, '2024-01-02', 1e39),
    (4, 5, 'infinity', 1), (5, 6, '4000-01-01 BC', 1), (6, 31, '2024-01-02', 1)
"""


@pytest.mark.parametrize("model", ["ials", "towers"])
def test_odd_events_stop_no_training_and_are_counted(database_url: str, connection: Connection, model: str) -> None:
    pytest.importorskip("implicit")
    connection.execute(SHOP.encode())
    connection.execute("select aisle.attach_interactions('visits', 'who', 'product', 'at', 'weight')")
    connection.execute(ODD.encode())
    lines: list[str] = []
    options = recommender.Options(model=model, deploy=True, towers=TowerOptions(epochs=1))
    result = run.train(recommender.TASK, database_url, options, lines.append)
    assert result.metrics["recall@10"] > 0
    assert [line for line in lines if "eft out" in line or "Counted" in line] == [
        "Left out: 2 rows of public.visits, whose column at holds no time in the years 1 to 9999.",
        "Counted as 1: 3 rows of public.visits, whose column weight holds NaN, infinity, or more than 10^9.",
        "Events left out because their items are not attached: 1.",
    ]
    for user in range(1, 6):
        assert connection.execute("select item_id from aisle.recommend(%s, 5)", [user]).rowcount == 5


def test_odd_orders_stop_no_training_and_are_counted(database_url: str, connection: Connection) -> None:
    connection.execute(
        "create table lines (id integer, who integer, product integer, at date, quantity numeric);"
        "insert into lines select 10 * u + n, u, 1 + (u + n * i) % 7, date '2024-01-01' + 9 * n + u % 3, 1"
        " from generate_series(1, 40) u, generate_series(1, 4) n, generate_series(1, 3) i;"
        "select aisle.attach_orders('lines', 'id', 'product', 'who', 'at', quantity => 'quantity');"
        "insert into lines values (11, 1, 7, '2024-01-10', 'NaN'), (99, 1, 1, 'infinity', 1),"
        " (99, 2, 1, '11000-01-01', 1)"
    )
    lines: list[str] = []
    result = run.train(basket.TASK, database_url, basket.Options(deploy=True), lines.append)
    assert result.metrics["recall@10"] > 0
    assert [line for line in lines if "eft out" in line or "Counted" in line] == [
        "Left out: 2 rows of public.lines, whose column at holds no time in the years 1 to 9999.",
        "Counted as 1: 1 row of public.lines, whose column quantity holds NaN, infinity, or more than 10^9.",
    ]
    for user in (1, 2, 3):
        assert connection.execute("select item_id from aisle.next_basket(%s, 3)", [user]).rowcount == 3


def test_numbers_of_vectors_that_make_products_round_to_0_are_0(shop: Shop) -> None:
    """pgvector raises an error for such a product, and answers multiply what is stored."""
    model_id = load_tiny_recommender(shop.connection, {})
    copy_rows(
        shop.connection,
        "user_vectors",
        ("model_id", "user_id", "embedding"),
        [(model_id, "tiny", np.array([1e-30, 1e-19], dtype=np.float32))],
    )
    query = "select (embedding * embedding)::real[] from aisle.user_vectors where user_id = 'tiny'"
    assert shop.value(query) == [0, pytest.approx(1e-38)]


def test_weights_that_cannot_be_solved_for_are_said() -> None:
    pytest.importorskip("implicit")
    from tests.unit.test_baselines import checkerboard

    board = checkerboard()
    weight = np.where(np.arange(len(board)) % 7 == 0, 1e30, 1).astype(np.float32)
    with pytest.raises(errors.TrainingDataError, match="up to 1e\\+30"):
        baselines.ImplicitAls().fit(replace(board, weight=weight))


# ---- any rows ----


@pytest.fixture(scope="module")
def any_shop(server: Server, template: str) -> Iterator[Shop]:
    """Products whose ids are texts, events, orders, and three tiny models."""
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        shop = Shop(connection)
        shop.execute(
            "create table products (id text primary key, name text, maker text, category text, north float8,"
            " east float8);"
            "create table visits (who text, product text, at timestamptz, weight double precision);"
            "create table lines (id text, who text, product text, at timestamptz, quantity double precision);"
            "select aisle.attach_items('products', 'id', 'name', 'maker', 'category', latitude => 'north',"
            " longitude => 'east');"
            "select aisle.attach_interactions('visits', 'who', 'product', 'at', 'weight', time_zone => 'Asia/Seoul');"
            "select aisle.attach_orders('lines', 'id', 'product', 'who', 'at', quantity => 'quantity');"
        )
        load_tiny_model(connection)
        shop.execute("insert into products values ('1', 'tea', null, 'drinks'), ('2', 'jam', null, 'food')")
        load_tiny_recommender(connection, {1: ("drinks", (1, 0), (0, 1)), 2: ("food", (0, 1), (1, 0))})
        load_tiny_basket(connection, {"1": (1, 0), "2": (0, 1)}, {"bob": ((1, 0), ["2"])})
        yield shop


@QUICKLY
@given(rows=st.lists(st.tuples(TEXTS, st.sampled_from(["1", "2", "?"]), TIMESTAMPS, NUMBERS), min_size=1, max_size=8))
def test_any_event_is_read_or_passed_over(any_shop: Shop, rows: list[tuple[str, str, str, float]]) -> None:
    any_shop.execute("truncate visits, lines")
    with any_shop.connection.cursor() as cursor:
        cursor.executemany("insert into visits values (%s, %s, %s, %s)", rows)
        cursor.executemany("insert into lines values (%s, %s, %s, %s, %s)", [(*row[:1], *row) for row in rows])
    given = any_shop.execute(
        "select product, weight, extract(epoch from at at time zone 'Asia/Seoul')::float8 from visits"
        " where isfinite(at) and extract(year from at at time zone 'UTC') between 1 and 9999"
    ).fetchall()
    expected = sorted((product, as_weight(weight), at) for product, weight, at in given if product != "?")
    if not any(weight for _, weight, _ in expected):
        with pytest.raises(errors.TrainingDataError):
            read_events(any_shop.connection, ("user", "item"))
    else:
        read = read_events(any_shop.connection, ("user", "item"))
        found = zip([read.items.ids[i] for i in read.item], read.weight.tolist(), read.at.tolist(), strict=True)
        assert sorted(found) == expected
    bought = [(who, product, time) for who, product, time, number in rows if as_weight(number) > 0]
    if any(shop_time(any_shop, time) for _, _, time in bought):
        assert np.isfinite(read_baskets(any_shop.connection).at).all()
    for user, *_ in rows:
        for question in ("recommend(%s, 5)", "next_basket(%s, 5)", "next_basket(%s, null)"):
            answers(any_shop, question, user)
        answers(any_shop, "complete_basket(array['1', %s], 5, %s)", user, user)


def as_weight(number: float) -> float:
    """Return what a weight counts as."""
    if not abs(number) <= LARGEST:
        return 1.0
    return 0.0 if abs(number) <= SMALLEST else float(np.float32(number))


def shop_time(shop: Shop, time: str) -> bool:
    """Return whether a time is in the years 1 to 9999."""
    years = "isfinite(t) and extract(year from t at time zone 'UTC') between 1 and 9999"
    return bool(shop.value(f"select {years} from (select %s::timestamptz) x (t)", [time]))


def answers(shop: Shop, question: str, *parameters: Any) -> list[Any]:
    """Ask; whatever the answer, no score and no probability is NaN."""
    rows = shop.execute(f"select to_jsonb(a) from aisle.{question} a", parameters).fetchall()
    numbers = [
        value for (row,) in rows for name, value in row.items() if name in ("score", "probability", "confidence")
    ]
    assert all(isinstance(number, int | float) for number in numbers), "JSON has NaN and infinity as texts."
    return rows


@QUICKLY
@given(
    rows=st.lists(
        st.tuples(TEXTS, TEXTS, st.none() | TEXTS, st.none() | TEXTS, NUMBERS, NUMBERS),
        min_size=1,
        max_size=5,
        unique_by=lambda row: row[0],
    )
)
def test_any_product_is_read_embedded_and_found(any_shop: Shop, rows: list[tuple[Any, ...]]) -> None:
    any_shop.execute("truncate visits, lines; delete from products")
    with any_shop.connection.cursor() as cursor:
        cursor.executemany("insert into products values (%s, %s, %s, %s, %s, %s)", rows)
    assert drain(any_shop.connection, [ItemEmbedder()]) >= len(rows)
    assert any_shop.value("select count(*) from aisle._embedding_jobs where attempts > 0") == 0
    assert sorted(read_catalogue(any_shop.connection, split_column=None, seed=7).item_ids) == sorted(
        row[0] for row in rows
    )
    with contextlib.suppress(errors.TrainingDataError):  # more than a few are nowhere on earth
        assert len(read_items(any_shop.connection, with_texts=True, with_places=True)) == len(rows)
    for item, name, maker, category, *_ in rows:
        assert answers(any_shop, "item_category(%s)", item)
        assert answers(any_shop, "predict_category(%s, %s)", name, maker)
        answers(any_shop, "search_items(%s, 5)", name)
        answers(any_shop, "similar_items(%s, 5)", item)
        try:
            answers(any_shop, "recommend(%s, 5, category => %s)", item, category)
        except psycopg.DatabaseError as error:
            if error.sqlstate != "AIS06":  # the recommender does not know the category
                raise


@pytest.mark.parametrize("decay", [-1, 1e6, 1e-300])
def test_a_long_history_has_a_score_however_it_decays(shop: Shop, decay: float) -> None:
    events(shop)
    shop.execute("create table products (id text primary key, name text); insert into products values ('1', 'tea')")
    shop.execute("select aisle.attach_items('products', 'id', 'name')")
    model_id = load_tiny_recommender(shop.connection, {1: (None, (1, 0), (0, 1))})
    repeats = {"seen": 1, "count": 0, "recency": 1, "decay": decay, "context": {}}
    shop.execute(
        "update aisle._models set parameters = parameters || jsonb_build_object('repeats', %s::jsonb)"
        " where model_id = %s",
        [Jsonb(repeats), model_id],
    )
    shop.execute(
        "insert into visits select 'ann', '1', timestamptz '2024-01-01' + n * interval '1 hour', 1"
        " from generate_series(1, 1000) n"
    )
    scores = shop.execute("select score from aisle.recommend('ann', 5, exclude_seen => false)").fetchall()
    assert scores
    assert all(math.isfinite(score) for (score,) in scores)


@pytest.fixture(scope="module")
def regular(server: Server, template: str) -> Iterator[tuple[Connection, int, Any]]:
    """A trained basket model, and the terms of its candidates at a moment, as Python computes them."""
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        connection.execute(
            "create table lines (id integer, who integer, product integer, at date);"
            "insert into lines select 10 * u + n, u, 1 + (u + n * i) % 7, date '2024-01-01' + 9 * n + u % 3"
            " from generate_series(1, 40) u, generate_series(1, 4) n, generate_series(1, 3) i;"
            "select aisle.attach_orders('lines', 'id', 'product', 'who', 'at', time_zone => 'UTC')"
        )
        result = run.train(basket.TASK, url, basket.Options(deploy=True))
        baskets = read_baskets(connection)
        learned, weights = read_model(connection, result.model_id, baskets)
        customers = np.arange(baskets.customers)
        nothing = np.zeros(len(customers) + 1, dtype=np.int64)
        days = db.fetch_value(connection, "select date '2024-03-01' - date '1970-01-01'")
        found = basket_score.candidates(
            baskets, Targets(customers, np.full(len(customers), float(days)), nothing, nothing[:0]), learned,
            basket_score.neighbours_of(baskets, learned), neighbours=200, nearest=100, by_time=False,
        )  # fmt: skip
        connection.execute("set aisle.now = '2024-03-01 00:00+00'")
        yield connection, result.model_id, (baskets, found, weights)


WEIGHTS = st.floats(-1e5, 1e5)


@QUICKLY
@given(again=st.lists(WEIGHTS, min_size=12, max_size=12), new=st.lists(WEIGHTS, min_size=7, max_size=7))
def test_sql_gives_the_scores_of_python_whatever_the_weights(
    regular: tuple[Connection, int, Any], again: list[float], new: list[float]
) -> None:
    connection, model_id, (baskets, found, learned) = regular
    weights = replace(learned, again=np.array(again), new=np.array(new))
    connection.execute(
        "update aisle._models set parameters = jsonb_set(parameters, '{weights}', %s) where model_id = %s",
        [Jsonb(weights.named()), model_id],
    )
    scores = weights.scores(found)
    size = max(np.abs(again + new)) + 1
    for customer in (0, 7):
        mine = found.customer == customer
        expected = {baskets.item_ids[i]: s for i, s in zip(found.item[mine], scores[mine], strict=True)}
        rows = connection.execute(
            "select item_id, score, probability from aisle.next_basket(%s, 50)", [baskets.customer_ids[customer]]
        ).fetchall()
        assert {item: score for item, score, _ in rows} == pytest.approx(expected, abs=1e-4 * size)
        for _, score, probability in rows:
            assert probability == pytest.approx(1 / (1 + math.exp(-max(score, -600))), abs=1e-200)


def test_who_has_bought_nothing_for_nine_months_is_offered_what_they_bought(server: Server, template: str) -> None:
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        # Everybody has six products, and orders four or five of them each week.
        connection.execute(
            "create table lines (id integer, who integer, product integer, at date);"
            "insert into lines select 100 * u + n, u, 1 + (u * 7 + i) % 60, date '2024-01-01' + 7 * n + u * n * i % 3"
            " from generate_series(1, 120) u, generate_series(1, 12) n, generate_series(1, 6) i"
            " where (n + u + i) % 5 <> 0;"
            "select aisle.attach_orders('lines', 'id', 'product', 'who', 'at', time_zone => 'UTC')"
        )
        run.train(basket.TASK, url, basket.Options(deploy=True))
        for now in ("2024-04-01", "2025-01-04"):
            connection.execute(f"set aisle.now = '{now}'".encode())
            rows = connection.execute(
                "select u, bool_and(b.bought_before), max(abs(b.score))"
                " from generate_series(1, 120) u, aisle.next_basket(u, 6) b group by u"
            ).fetchall()
            assert [u for u, are_known, _ in rows if not are_known] == []
            assert max(score for *_, score in rows) < 50
