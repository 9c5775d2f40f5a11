"""From orders to the next one: SQL answers equal the trainer's, and only a better model is deployed."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import click
import numpy as np
import psycopg
import pytest

from aisle import db
from aisle.commands import experiment
from aisle.db import Connection, errors, model_registry
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.orders import Targets
from aisle.embedder.pipeline import drain
from aisle.trainers import evaluation, run
from aisle.trainers.basket import baselines as basket_baselines
from aisle.trainers.basket import experiment as basket_experiment
from aisle.trainers.basket import score as basket_score
from aisle.trainers.basket import task as basket
from aisle.trainers.basket.options import NetworkOptions
from aisle.trainers.basket.read_orders import read_baskets
from tests.basket_model import read_model
from tests.conftest import Server, Shop, TinyModel

CUSTOMERS = 1200
QUERIED = 1000
TOP = 50

# A checkerboard: customers and products are black or white; each customer buys its own colour, some things often.
ORDERS = """
create schema shop;
create table shop.orders (id bigint primary key, customer_id bigint, ordered_at timestamptz);
create table shop.order_items (order_id bigint, product_id bigint, quantity integer);
create index on shop.orders (customer_id, ordered_at);
create index on shop.order_items (order_id);
select setseed(.7);
insert into shop.orders
select row_number() over (), c, timestamptz '2024-01-01' + n * interval '9 days' + random() * interval '5 days'
from generate_series(1, {customers}) c, generate_series(1, 8) n where n <= 2 + c % 7;
insert into shop.order_items
select o.id, 2 * floor(random() * 60)::bigint + o.customer_id % 2, 1 from shop.orders o, generate_series(1, 3)
union all
select o.id, 2 * (o.customer_id * i % 30) + o.customer_id % 2, 2 from shop.orders o, generate_series(1, 2) i
where random() < .7;
select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer_id', 'ordered_at', quantity => 'quantity',
                           lines => 'shop.order_items', line_order_id => 'order_id', time_zone => 'Asia/Seoul');
"""


@pytest.fixture(scope="module")
def orders_url(server: Server, template: str) -> Iterator[str]:
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute(ORDERS.format(customers=CUSTOMERS).encode())
        connection.execute("analyze")
        yield url


@pytest.fixture(scope="module")
def orders(orders_url: str) -> Iterator[Connection]:
    with db.connect(orders_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def trained(orders_url: str) -> run.Result:
    return run.train(basket.TASK, orders_url, basket.Options(deploy=True))


def answers(connection: Connection, users: list[str], k: int | None) -> list[Any]:
    return connection.execute(
        "select array_agg(b.item_id order by b.rank), array_agg(b.score order by b.rank) "
        "from unnest(%s::text[]) with ordinality u (id, n), lateral aisle.next_basket(u.id, %s) b "
        "group by u.n order by u.n",
        (users, k),
    ).fetchall()


def test_sql_and_python_give_the_same_scores(orders: Connection, trained: run.Result) -> None:
    model = model_registry.get(orders, trained.model_id)
    options = basket.Options()
    baskets = read_baskets(orders)
    learned, weights = read_model(orders, trained.model_id, baskets)
    now = db.fetch_value(
        orders, "select extract(epoch from timestamptz '2024-06-01 00:00+09' at time zone 'Asia/Seoul') / 86400"
    )
    orders.execute("set aisle.now = '2024-06-01 00:00+09'")
    try:
        customers = np.sort(np.random.default_rng(7).choice(baskets.customers, QUERIED, replace=False))
        nothing = np.zeros(QUERIED + 1, dtype=np.int64)
        targets = Targets(customers, np.full(QUERIED, float(now)), nothing, nothing[:0])
        found = basket_score.candidates(
            baskets, targets, learned, basket_score.neighbours_of(baskets, learned),
            neighbours=options.neighbours, nearest=options.nearest, by_time=False,
        )  # fmt: skip
        scores = weights.scores(found)
        rows = answers(orders, [baskets.customer_ids[c] for c in customers], TOP)
    finally:
        orders.execute("reset aisle.now")
    assert len(rows) == QUERIED
    assert model.parameters["time"] == "days"
    number = {item: n for n, item in enumerate(baskets.item_ids)}
    for customer, (items, given) in zip(customers, rows, strict=True):
        mine = found.customer == customer
        expected = dict(zip(found.item[mine].tolist(), scores[mine].tolist(), strict=True))
        assert [expected[number[item]] for item in items] == pytest.approx(given, abs=1e-3)
        assert sorted(expected.values(), reverse=True)[: len(given)] == pytest.approx(given, abs=1e-3)


def test_the_top_items_are_of_the_customers_own_colour(orders: Connection, trained: run.Result) -> None:
    rows = answers(orders, [str(c) for c in range(1, 101)], 3)
    own = [int(item) % 2 == c % 2 for c, (items, _) in enumerate(rows, start=1) for item in items]
    assert np.mean(own) > 0.99


def test_training_measures_through_sql_beside_the_baselines(orders: Connection, trained: run.Result) -> None:
    model = model_registry.get(orders, trained.model_id)
    assert trained.deployed
    assert model.state == "ready"
    assert model.data.keys() == {"rows", "newest", "orders", "customers", "items", "fingerprint"}
    for who in (model.metrics, *(model.metrics[name] for name in basket.GATE)):
        assert 0 < who["recall@10"] <= who["phr@10"] <= 1
        assert 0 < who["ndcg_whole@10"] <= who["ndcg@10"] <= 1
    assert 0 < model.metrics["f1-optimal"]["f1"] < 1
    completed = model.metrics["completion"]
    assert 0 < completed["complete_basket"] < completed["complete_basket of a customer"] <= 1
    assert db.fetch_value(orders, "select count(*) from aisle._embedding_jobs where task = 'basket'") == 0


def test_evaluation_repeats_what_training_measured(orders: Connection, trained: run.Result) -> None:
    rows = evaluation.evaluate(basket.TASK, orders, baselines=True)
    assert rows[0]["recall@10"] == pytest.approx(trained.metrics["recall@10"])
    assert {row["answer"] for row in rows} >= {"next_basket", *basket_baselines.BASELINES} - {"xgboost"}
    (tifu,) = (row for row in rows if row["answer"] == "tifu-knn")
    assert tifu["recall@10"] == pytest.approx(trained.metrics["tifu-knn"]["recall@10"])


def test_same_seed_same_model_and_no_better_one_no_deploy(orders_url: str, trained: run.Result) -> None:
    again = run.train(basket.TASK, orders_url, basket.Options())
    assert again.metrics["recall@10"] == pytest.approx(trained.metrics["recall@10"])
    assert not again.deployed
    assert "not better" in again.reason


def test_products_bought_alike_are_found_by_their_cosine(orders: Connection, trained: run.Result) -> None:
    rows = orders.execute(
        "select item_id, co_purchase::real[] from aisle.basket_items where model_id = %s", (trained.model_id,)
    ).fetchall()
    vectors = {item: np.array(vector) / np.linalg.norm(vector) for item, vector in rows}
    found = orders.execute("select item_id, score from aisle.similar_items(4, 5, space => 'basket')").fetchall()
    best = sorted((float(vectors["4"] @ v) for item, v in vectors.items() if item != "4"), reverse=True)[:5]
    assert [score for _, score in found] == pytest.approx(best, abs=2e-3), "As near as halves can tell."
    assert [float(vectors["4"] @ vectors[item]) for item, _ in found] == pytest.approx(best, abs=2e-3)
    assert {int(item) % 2 for item, _ in found} == {0}, "Nobody buys both colours."
    assert orders.execute("select from aisle.similar_items('nothing', 5, 'basket')").fetchall() == []


def test_a_space_that_does_not_exist_is_said(orders: Connection) -> None:
    with pytest.raises(psycopg.Error, match="no space cart") as caught:
        orders.execute("select from aisle.similar_items('4', space => 'cart')")
    assert caught.value.sqlstate == errors.InvalidArgumentError.sqlstate
    assert caught.value.diag.message_hint == "There are: category, after, behaviour, basket"


def test_sets_of_the_largest_expected_f1_stand_beside_the_best_of_one_size(trained: run.Result) -> None:
    sets = trained.metrics["f1-optimal"]
    assert 1 <= sets["best fixed size"]["value"] <= 50
    for rule in ("best fixed size", "best threshold"):
        assert 0 < sets[rule]["f1"] < 1
    assert sets["best fixed size"]["f1"] >= trained.metrics["f1@10"] - 1e-9, "Ten is one of the sizes."


def test_a_new_order_changes_the_answer_at_once_and_the_vectors_by_the_worker(
    orders: Connection, trained: run.Result
) -> None:
    shop = Shop(orders)
    query = "select embedding::text from aisle.customer_vectors where user_id = '5' and model_id = %s"
    before, row = answers(orders, ["5"], 200), shop.value(query, [trained.model_id])
    orders.execute(
        "insert into shop.orders values (99999, 5, '2024-06-01'); insert into shop.order_items values (99999, 0, 1)"
    )
    try:
        assert "0" in answers(orders, ["5"], 200)[0][0]
        assert answers(orders, ["5"], 200) != before
        assert shop.value("select pending from aisle.freshness where task = 'basket'") == 2, "An order, and its lines."
        assert drain(orders, [CustomerEmbedder()]) == 1
        assert shop.value(query, [trained.model_id]) != row
        assert shop.value("select pending from aisle.freshness where task = 'basket'") == 0
        kept = shop.execute("select next_items from aisle.customer_vectors where user_id = '5'").fetchall()
        assert (["0"],) in kept
    finally:
        orders.execute("delete from shop.order_items where order_id = 99999; delete from shop.orders where id = 99999")
        drain(orders, [CustomerEmbedder()])
    assert shop.value(query, [trained.model_id]) == row


def test_a_customer_who_is_gone_leaves_no_vector(orders: Connection, trained: run.Result) -> None:
    orders.execute(
        "insert into shop.orders values (99999, 77777, '2024-06-01'); insert into shop.order_items values (99999, 0, 1)"
    )
    drain(orders, [CustomerEmbedder()])
    count = "select count(*) from aisle.customer_vectors where user_id = '77777'"
    assert db.fetch_value(orders, count) > 0
    orders.execute("delete from shop.orders where id = 99999; delete from shop.order_items where order_id = 99999")
    drain(orders, [CustomerEmbedder()])
    assert db.fetch_value(orders, count) == 0


def test_too_few_orders_are_said(database_url: str, connection: Connection) -> None:
    with pytest.raises(errors.NotAttachedError):
        run.train(basket.TASK, database_url, basket.Options())
    connection.execute(
        "create table lines (id int, who text, item text, at date);"
        " select aisle.attach_orders('lines', 'id', 'item', 'who', 'at')"
    )
    with pytest.raises(errors.TrainingDataError, match="no orders"):
        run.train(basket.TASK, database_url, basket.Options())
    connection.execute("insert into lines select i, 'c' || i, 'tea', '2024-01-01' from generate_series(1, 50) i")
    with pytest.raises(errors.TrainingDataError, match="0 customers with two orders or more, and 0 orders"):
        run.train(basket.TASK, database_url, basket.Options())


# Six customers who order every six days and hardly differ.
REGULAR = """
create table lines (order_id int, who text, item int, at timestamptz);
insert into lines
select 10 * ((n - 1) / 4 + 1) + (n - 1) % 4 + 1, 'u' || 1 + (n - 1) / 4, item::int,
       now() - (9 - (n - 1) % 4) * interval '6 days'
from unnest(string_to_array('34 44 33 34 13 33 23 24 22 33 23 34 24 24 24 23 33 44 14 24 45 12 22 13', ' '))
         with ordinality b (items, n), regexp_split_to_table(items, '') item;
select aisle.attach_orders('lines', 'order_id', 'item', 'who', 'at');
"""


def test_a_small_shop_whose_customers_are_regular_gets_answers(database_url: str, connection: Connection) -> None:
    connection.execute(REGULAR)
    result = run.train(basket.TASK, database_url, basket.Options(deploy=True))
    weights = model_registry.get(connection, result.model_id).parameters["weights"]
    assert max(abs(w) for kind in ("bought_before", "new") for w in weights[kind].values()) < 20, (
        "A spread of a thousandth must not get a weight that rules all else when the next order is late."
    )
    for customer in range(1, 7):
        rows = connection.execute("select probability from aisle.next_basket(%s, 3)", [f"u{customer}"]).fetchall()
        assert len(rows) == 3
        assert all(0.001 < p < 0.9999 for (p,) in rows)


def test_a_model_that_cannot_answer_is_not_measured(database_url: str, connection: Connection) -> None:
    connection.execute(REGULAR)
    run.train(basket.TASK, database_url, basket.Options(deploy=True))
    connection.execute("set aisle.now = 'no time at all'")  # which only a query as of now reads
    with pytest.raises(psycopg.Error, match="no time at all"):
        evaluation.evaluate(basket.TASK, connection, baselines=False)
    connection.execute("reset aisle.now")
    assert evaluation.evaluate(basket.TASK, connection, baselines=False)[0]["answer"] == "next_basket"


def test_an_experiment_goes_on_where_it_was(orders_url: str, orders: Connection) -> None:
    lines: list[str] = []
    options = basket.Options(network=NetworkOptions(loss="bce", epochs=1, hidden=8, dimensions=8, product_epochs=1))
    grid: dict[str, list[Any]] = {"pos_weight": [1.0, 20.0], "threshold": [0.1, 0.3]}
    first = basket_experiment.try_networks(orders_url, {**grid, "pos_weight": [1.0]}, 1, options, lines.append)
    assert len(lines) == 1
    table = basket_experiment.try_networks(orders_url, grid, 2, options, lines.append)
    assert len(lines) == 4, "What was fitted is not fitted again."
    assert len(table) == 4
    assert all(set(arm.seeds) == {"7", "8"} for arm in table)
    assert [arm.means["f1_micro"] for arm in table] == sorted((a.means["f1_micro"] for a in table), reverse=True)
    assert table[0].means.keys() >= {"f1", "precision@10", "recall@10", "ndcg@10", "ndcg_whole@10", "phr@10"}
    assert first[0].settings in [arm.settings for arm in table]
    rows = orders.execute("select features, mean from aisle.experiments where task = 'basket'").fetchall()
    assert sorted(mean for _, mean in rows) == pytest.approx(sorted(arm.means["f1_micro"] for arm in table))
    with pytest.raises(errors.InvalidArgumentError, match="no option weight"):
        basket_experiment.try_networks(orders_url, {"weight": [1]}, 1, options)
    with pytest.raises(errors.InvalidArgumentError, match="between 0 and 1"):
        basket_experiment.try_networks(orders_url, {"threshold": [0.5, 1]}, 1, options)


@pytest.mark.parametrize("grid", ["threshold=.1,1", "dimensions=abc", "epochs=0", "memory=perhaps", "model=taste"])
def test_a_value_that_an_option_cannot_have_is_said_first(grid: str) -> None:
    with pytest.raises(click.BadParameter, match=grid.partition("=")[0]):
        experiment._grid((grid,))


def test_a_networks_states_are_loaded_and_kept_by_the_worker(orders_url: str, orders: Connection) -> None:
    network = NetworkOptions(epochs=1, hidden=8, dimensions=8, product_epochs=1)
    result = run.train(basket.TASK, orders_url, basket.Options(model="attention-gru", network=network, deploy=False))
    assert 0 < result.metrics["network alone"]["recall@10"] < 1
    query = "select embedding::text from aisle.customer_vectors where user_id = '5' and model_id = %s"
    before = db.fetch_value(orders, query, [result.model_id])
    orders.execute(
        "update aisle.customer_vectors set content_hash = '', embedding = public.l2_normalize(embedding)"
        " where user_id = '5'"
    )
    orders.execute("select aisle._enqueue_stale()")
    assert drain(orders, [CustomerEmbedder()]) == 1
    assert np.allclose(vector(db.fetch_value(orders, query, [result.model_id])), vector(before), atol=1e-5)


def test_products_vectors_may_start_from_their_texts(shop: Shop, tiny_model: TinyModel) -> None:
    shop.create()
    shop.insert("tea", "커피")
    shop.attach()
    texts = basket.read_texts(shop.connection, ["2", "gone", "1"])
    assert texts.shape == (3, 2)
    for row, name in ((0, "커피"), (2, "tea")):
        assert texts[row].tolist() == pytest.approx(vector(shop.value("select aisle.embed_text(%s)::text", [name])))
    assert not texts[1].any()


def vector(text: str) -> list[float]:
    return [float(x) for x in text.strip("[]").split(",")]


def test_where_nobody_has_two_orders_baskets_are_completed(database_url: str, connection: Connection) -> None:
    connection.execute(
        "create table lines (order_id int, item text);"
        " insert into lines select o, o % 2 || '-' || i from generate_series(1, 400) o, generate_series(1, 12) i"
        " where (o * i * 7919) % 13 < 6;"
        " select aisle.attach_orders('lines', 'order_id', 'item')"
    )
    result = run.train(basket.TASK, database_url, basket.Options())
    assert result.metrics["repeat customers"] == 0
    assert result.metrics["completion"]["complete_basket"] > 0.5
    connection.execute("select aisle.deploy(%s, force => true)", [result.model_id])  # the cosine is as perfect
    rows = connection.execute("select item_id from aisle.complete_basket(array['1-1', '1-2'], 5)").fetchall()
    assert all(item.startswith("1-") for (item,) in rows)

    again = run.train(basket.TASK, database_url, basket.Options())
    completed = again.metrics["completion"]
    assert completed["live model"] == completed["complete_basket"], "The same orders are held out, and it is the same."
    assert not again.deployed

    (*rows,) = evaluation.evaluate(basket.TASK, connection, baselines=True)
    if find_spec("xgboost"):
        assert rows[-1]["answer"] == "xgboost: This baseline needs customers with two orders; there are none."
        assert rows[-1].keys() == rows[0].keys()


def test_where_nobody_has_two_orders_the_live_model_must_be_beaten() -> None:
    completion = {"complete_basket": 0.5, "cosine": 0.4}
    metrics = {"repeat customers": 0, "completion": completion}
    verdict = partial(basket.TASK.verdict, options=basket.Options())
    assert verdict(metrics).deploys
    assert not verdict({**metrics, "completion": {**completion, "live model": 0.5}}).deploys
    assert verdict({**metrics, "completion": {**completion, "live model": 0.45}}).deploys


def test_a_first_model_goes_live_if_it_is_as_good_as_own_frequencies() -> None:
    metrics = {"repeat customers": 9, "recall@10": 0.5, "p-top": {"recall@10": 0.5}, "tifu-knn": {"recall@10": 0.6}}
    verdict = partial(basket.TASK.verdict, options=basket.Options())
    assert (verdict(metrics).deploys, verdict(metrics).passed) == (True, False)
    assert not verdict({**metrics, "recall@10": 0.49}).deploys
    assert not verdict({**metrics, "live": {"recall@10": 0.4}}).deploys, "It is not the first."


def test_two_customers_may_have_orders_of_one_number(shop: Shop) -> None:
    shop.execute(
        "create table lines (order_id int, who text, item text, at date);"
        " insert into lines values (1, 'ann', 'tea', '2024-01-01'), (2, 'ann', 'jam', '2024-01-05'),"
        " (1, 'bob', 'tea', '2024-03-01'), (2, 'bob', 'jam', '2024-02-01'), (3, 'ann', 'milk', '2024-01-05');"
        " select aisle.attach_orders('lines', 'order_id', 'item', 'who', 'at')"
    )
    baskets = read_baskets(shop.connection)
    assert (baskets.at - baskets.at[0]).tolist() == [0, 4, 4, 31, 60]
    assert [baskets.item_ids[i] for i in baskets.item] == ["tea", "jam", "milk", "jam", "tea"]
    assert baskets.customer_start.tolist() == [0, 3, 5]
