"""Warm starts: training starts from the live model's weights, and is measured only on rows that these have not seen.

With a learning rate near 0, weights stay at their initial values, which shows these.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from aisle.cli import aisle
from aisle.db import Connection, errors, model_registry
from aisle.trainers import run, task_of
from aisle.trainers.basket import task as basket
from aisle.trainers.basket.options import NetworkOptions
from aisle.trainers.basket.read_orders import read_baskets
from aisle.trainers.category import ngram_models
from aisle.trainers.category import task as category
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.category.products import read_catalogue
from aisle.trainers.preference import task as preference
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.warm_start import NOTHING_SEEN, Seen, Start
from tests.conftest import Shop

NOTHING = 1e-12  # a learning rate
TINY = 1e-3  # stored weights are rounded to 16 bits

TEXTS = category.Options(ngram=NgramOptions(dimensions=8, epochs=2, members=1), baseline=False, deploy=True)
TOWERS = TowerOptions(dimensions=4, epochs=1, history=5)
EVENTS = recommender.Options(model="towers", features=("user", "item", "category"), towers=TOWERS, deploy=True)
NETWORK = NetworkOptions(dimensions=4, hidden=4, n_orders=4, epochs=1, product_epochs=1)
ORDERS = basket.Options(model="cnn-gru", network=NETWORK, deploy=True)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network for few rows, too: only networks start from weights."""
    monkeypatch.setattr(ngram_models, "NETWORK_FROM", 0)


@pytest.fixture
def products(shop: Shop, network: None) -> Shop:
    """240 products of three categories; names tell the category, and no two are near-equal."""
    shop.create()
    shop.attach()
    add_products(shop, range(240))
    return shop


def add_products(shop: Shop, numbers: range, categories: tuple[str, ...] = ("tea", "bread", "soap")) -> None:
    rows = [(n, f"{categories[n % 3]} {word(n)} {word(n // 7)}", categories[n % 3]) for n in numbers]
    with shop.connection.cursor() as cursor:
        cursor.executemany("insert into shop.products (id, name, category) values (%s, %s, %s)", rows)


def word(number: int) -> str:
    """Return a different word for each number."""
    return "".join(chr(ord("a") + int(digit)) * 2 for digit in f"{number:03}")


def warm(options: Any, **changes: Any) -> Any:
    return type(options)(**{**vars(options), "warm_start": True, **changes})


def kept(connection: Connection, model_id: int) -> Start:
    return Start.read(connection, model_id)


def started_from(connection: Connection, model_id: int) -> int | None:
    found: int | None = model_registry.get(connection, model_id).parameters["started_from"]
    return found


def count_models(shop: Shop) -> int:
    return int(shop.value("select count(*) from aisle._models"))


# ---- the keys that weights have learned from ----


def test_who_was_learned_from_is_known_by_hash_with_the_latest_moment() -> None:
    seen = Seen.of(["ann", "bob"], np.array([3.0, 5.0])) | Seen.of(["bob", "cid"], np.array([4.0, 6.0]))
    assert seen.until_of(["ann", "bob", "cid", "dan"]).tolist() == [3, 5, 6, -np.inf]
    assert Seen.of(["ann"]).until_of(["ann"]).tolist() == [np.inf]
    assert NOTHING_SEEN.until_of(["ann"]).tolist() == [-np.inf]


# ---- category ----


def test_a_category_model_starts_from_what_it_knows(products: Shop, database_url: str) -> None:
    first = run.train(category.TASK, database_url, TEXTS)
    assert started_from(products.connection, first.model_id) is None
    add_products(products, range(240, 300), ("tea", "bread", "wine"))
    still = NgramOptions(dimensions=8, epochs=1, members=1, learning_rate=NOTHING, weight_decay=0)
    second = run.train(category.TASK, database_url, warm(TEXTS, ngram=still, deploy=False))
    assert started_from(products.connection, second.model_id) == first.model_id
    old, new = kept(products.connection, first.model_id), kept(products.connection, second.model_id)
    known = list(old.names["ngrams"])
    assert new.rows("ngrams", known) == pytest.approx(old.rows("ngrams", known), abs=TINY)
    assert new.rows("categories", ["soap", "tea"]) == pytest.approx(old.rows("categories", ["soap", "tea"]), abs=TINY)
    strangers = sorted(set(new.names["ngrams"]) - set(known))
    assert strangers, "New names must bring new n-grams."
    assert not new.rows("ngrams", strangers).any()
    assert new.rows("categories", ["wine"]).any()
    assert not set(old.seen.keys) - set(new.seen.keys), "What it has learned from is passed on."

    again = run.train(category.TASK, database_url, warm(TEXTS, ngram=still, deploy=False))
    same = "select array_agg(embedding::text order by ngram) from aisle.ngram_vectors where model_id = %s"
    assert products.value(same, [again.model_id]) == products.value(same, [second.model_id])


def test_what_is_kept_of_a_category_model_has_not_seen_what_calibrates_and_measures(
    products: Shop, database_url: str
) -> None:
    """Other labels of these rows change the served model, but not the weights for a warm start."""
    splits = {}
    models = []
    for labels in ("as they are", "changed"):
        catalogue = read_catalogue(products.connection, split_column=None, seed=TEXTS.seed)
        splits[labels] = dict(zip(catalogue.item_ids.tolist(), catalogue.splits.tolist(), strict=True))
        models.append(run.train(category.TASK, database_url, TEXTS).model_id)
        measured = [int(item) for item, split in splits[labels].items() if split != "train"]
        products.execute("update shop.products set category = 'soap' where id = any(%s)", [measured])
    assert splits["as they are"] == splits["changed"]
    one, other = (kept(products.connection, model_id) for model_id in models)
    for name, array in one.arrays.items():
        assert np.array_equal(array, other.arrays[name]), f"{name} depends on rows that were set aside."
    served = "select array_agg(embedding::text order by ngram) from aisle.ngram_vectors where model_id = %s"
    assert products.value(served, [models[0]]) != products.value(served, [models[1]])


def test_a_category_model_is_not_started_from_where_that_means_nothing(products: Shop, database_url: str) -> None:
    with pytest.raises(errors.NoLiveModelError):
        run.train(category.TASK, database_url, warm(TEXTS))
    first = run.train(category.TASK, database_url, TEXTS)
    products.execute("alter table shop.products add split text default 'train'")
    products.execute("update shop.products set split = case id % 4 when 0 then 'test' else 'train' end")
    refused: dict[str, dict[str, Any]] = {
        "learned from": {"seed": 8},
        "split column": {"split_column": "split"},
        "encoder": {"encoder": "some/encoder"},
        "dimensions": {"ngram": NgramOptions(dimensions=9)},
    }
    for reason, changes in refused.items():
        with pytest.raises(errors.WarmStartError, match=reason) as refusal:
            run.train(category.TASK, database_url, warm(TEXTS, **changes))
        assert "without --warm-start" in str(refusal.value.hint)
    products.execute("delete from aisle._model_files where model_id = %s", [first.model_id])
    with pytest.raises(errors.WarmStartError, match="stores no weights"):
        run.train(category.TASK, database_url, warm(TEXTS))
    assert count_models(products) == 1
    result = CliRunner().invoke(aisle, ["--database-url", database_url, "train", "category", "--warm-start"])
    assert isinstance(result.exception, errors.WarmStartError)


def test_a_shops_own_split_must_not_have_moved(products: Shop, database_url: str) -> None:
    products.execute("alter table shop.products add split text")
    products.execute("update shop.products set split = (array['test', 'valid', 'train', 'train'])[id % 4 + 1]")
    own = warm(TEXTS, warm_start=False, split_column="split")
    first = run.train(category.TASK, database_url, own)
    second = run.train(category.TASK, database_url, warm(own))
    assert started_from(products.connection, second.model_id) == first.model_id
    products.execute("update shop.products set split = 'test' where id = 3")
    with pytest.raises(errors.WarmStartError, match="learned from 1 of the"):
        run.train(category.TASK, database_url, warm(own))


# ---- preference ----


def test_a_preference_model_starts_from_the_live_one(shop: Shop, network: None, database_url: str) -> None:
    shop.create()
    shop.attach()
    shop.insert("tea")
    shop.execute("create table shop.reviews (who text, what bigint, at timestamptz, said text, gave boolean)")
    texts = {f"{word(n)} was {'tasty' if n % 3 else 'stale'}": bool(n % 3) for n in range(300)}
    with shop.connection.cursor() as cursor:
        cursor.executemany("insert into shop.reviews values ('ann', 1, now(), %s, %s)", list(texts.items()))
    shop.execute(
        "select aisle.attach_interactions('shop.reviews', 'who', 'what', 'at', review => 'said', rating => 'gave')"
    )
    learning = NgramOptions(dimensions=4, epochs=8, members=1, learning_rate=0.05, weight_decay=0)
    still = NgramOptions(dimensions=4, epochs=1, members=1, learning_rate=NOTHING, weight_decay=0)
    first = run.train(preference.TASK, database_url, preference.Options(ngram=learning, deploy=True))
    second = run.train(preference.TASK, database_url, preference.Options(ngram=still, warm_start=True, deploy=False))
    assert started_from(shop.connection, second.model_id) == first.model_id
    old, new = (kept(shop.connection, model.model_id) for model in (first, second))
    known = list(old.names["ngrams"])
    assert new.rows("ngrams", known) == pytest.approx(old.rows("ngrams", known), abs=TINY)
    assert old.rows("ngrams", known).any()
    assert second.metrics["auc"] > 0.9


# ---- recommender ----


@pytest.fixture
def visits(products: Shop) -> Shop:
    """48 users, each with events of eight products, one a day."""
    products.execute(
        "create table shop.visits (who text, what bigint, seen_at timestamptz);"
        "create index on shop.visits (who, seen_at); create index on shop.visits (seen_at);"
        "insert into shop.visits"
        " select 'user ' || u, (u * 7 + n * 31) % 60, timestamptz '2026-01-01' + n * interval '1 day'"
        " from generate_series(1, 48) u, generate_series(1, 8) n;"
        "select aisle.attach_interactions('shop.visits', 'who', 'what', 'seen_at')"
    )
    return products


def held_out_days(shop: Shop, model_id: int) -> dict[str, int]:
    """Return the day of the moment from which each held-out user's events were held out."""
    rows = shop.execute(
        "select user_id, extract(day from as_of + interval '1 second')::int from aisle._heldout_users"
        " where model_id = %s",
        [model_id],
    )
    return dict(rows.fetchall())


def test_a_recommender_starts_from_the_items_that_it_knows(visits: Shop, database_url: str) -> None:
    first = run.train(recommender.TASK, database_url, EVENTS)
    add_products(visits, range(240, 243), ("wine", "wine", "wine"))
    visits.execute("insert into shop.visits select 'user ' || u, 240, '2026-01-10' from generate_series(1, 9) u")
    still = TowerOptions(**{**vars(TOWERS), "learning_rate": NOTHING})
    second = run.train(recommender.TASK, database_url, warm(EVENTS, towers=still, deploy=False))
    assert started_from(visits.connection, second.model_id) == first.model_id
    old, new = kept(visits.connection, first.model_id), kept(visits.connection, second.model_id)
    assert new.rows("0.ids", old.names["0.ids"]) == pytest.approx(old.rows("0.ids", old.names["0.ids"]), abs=TINY)
    known = old.names["0.categories"]
    assert new.rows("0.categories", known) == pytest.approx(old.rows("0.categories", known), abs=TINY)
    assert new.rows("0.ids", ["240"]).any()
    again = run.train(recommender.TASK, database_url, warm(EVENTS, towers=still, deploy=False))
    vectors = "select array_agg(embedding::text order by item_id) from aisle.item_factors where model_id = %s"
    assert visits.value(vectors, [again.model_id]) == visits.value(vectors, [second.model_id])


def test_what_is_kept_of_a_recommender_has_not_seen_what_validates_and_measures(
    visits: Shop, database_url: str
) -> None:
    models = []
    for _ in range(2):
        models.append(run.train(recommender.TASK, database_url, EVENTS).model_id)
        visits.execute("update shop.visits set what = what + 60 where seen_at >= '2026-01-08'")  # the last two days
    one, other = (kept(visits.connection, model_id) for model_id in models)
    for name, array in one.arrays.items():
        assert np.array_equal(array, other.arrays[name]), f"{name} depends on events that were set aside."
    served = "select array_agg(embedding::text order by item_id) from aisle.item_factors where model_id = %s"
    assert visits.value(served, [models[0]]) != visits.value(served, [models[1]])


def test_nobody_is_held_out_from_whom_the_weights_have_learned(visits: Shop, database_url: str) -> None:
    """If a user's last events are deleted, the last remaining one may be in the weights."""
    first = run.train(recommender.TASK, database_url, EVENTS)
    assert set(held_out_days(visits, first.model_id).values()) == {9}
    assert kept(visits.connection, first.model_id).seen.until_of(["user 1"]).tolist() == [
        visits.value("select extract(epoch from timestamp '2026-01-07')::float8")
    ]
    visits.execute("delete from shop.visits where seen_at > '2026-01-07 12:00' and who < 'user 3'")
    visits.execute("insert into shop.visits values ('user 1', 59, '2026-02-20')")
    cut = set(dict(visits.execute("select distinct who, 1 from shop.visits where who < 'user 3'").fetchall()))
    second = run.train(recommender.TASK, database_url, warm(EVENTS, deploy=False))
    held_out = held_out_days(visits, second.model_id)
    assert set(held_out) == {f"user {n}" for n in range(1, 49)} - cut | {"user 1"}
    assert held_out["user 1"] == 20
    cold = run.train(recommender.TASK, database_url, warm(EVENTS, warm_start=False, deploy=False))
    assert cut <= set(held_out_days(visits, cold.model_id)), "Without a start, they can be."

    visits.execute("delete from shop.visits where seen_at > '2026-01-07 12:00'")
    models = count_models(visits)
    with pytest.raises(errors.WarmStartError, match="all 48 users"):
        run.train(recommender.TASK, database_url, warm(EVENTS))
    assert count_models(visits) == models


def test_a_recommender_of_another_shape_is_no_start(visits: Shop, database_url: str) -> None:
    run.train(recommender.TASK, database_url, EVENTS)
    for name, value in {"dimensions": 5, "members": 2}.items():
        other = TowerOptions(**{**vars(TOWERS), name: value})
        with pytest.raises(errors.WarmStartError, match=name):
            run.train(recommender.TASK, database_url, warm(EVENTS, towers=other))


# ---- basket ----


@pytest.fixture
def orders(shop: Shop) -> Shop:
    """100 customers with three to five orders of three products."""
    shop.execute("create schema shop; create table shop.lines (number bigint, who bigint, at timestamptz, what bigint)")
    add_orders(shop, 1, 100)
    shop.execute("select aisle.attach_orders('shop.lines', 'number', 'what', 'who', 'at')")
    return shop


LAST_ORDERS = "select who::text, (extract(epoch from max(at)) / 86400)::float8 from shop.lines group by 1"


def add_orders(shop: Shop, first: int, last: int) -> None:
    shop.execute(
        "insert into shop.lines"
        " select c * 10 + n, c, timestamptz '2026-01-01' + n * interval '7 days', (c + n * p * 7) %% 40"
        " from generate_series(%s::int, %s::int) c, generate_series(1, 5) n, generate_series(1, 3) p"
        " where n <= 3 + c %% 3",
        [first, last],
    )


def chosen_of(shop: Shop, start: Start | None = None) -> set[str]:
    """Return the customers that would be held out now."""
    history, test = basket.hold_out(read_baskets(shop.connection), ORDERS, start)
    return {history.customer_ids[c] for c in test.customer}


def network_of(shop: Shop, model_id: int) -> Any:
    from aisle.embedder.customer_vectors import CustomerEmbedder

    return CustomerEmbedder().load(shop.connection, model_id)


def test_a_basket_network_starts_from_the_live_one(orders: Shop, database_url: str) -> None:
    first = run.train(basket.TASK, database_url, ORDERS)
    orders.execute("insert into shop.lines values (9001, 1, '2026-03-01', 1), (9001, 1, '2026-03-01', 99)")
    orders.execute("insert into shop.lines values (9002, 1, '2026-03-08', 2), (9002, 1, '2026-03-08', 98)")
    still = replace(NETWORK, learning_rate=NOTHING)
    second, again = (run.train(basket.TASK, database_url, warm(ORDERS, network=still, deploy=False)) for _ in range(2))
    assert started_from(orders.connection, second.model_id) == first.model_id
    old, new = network_of(orders, first.model_id), network_of(orders, second.model_id)
    rows = [new.numbers[item] for item in old.numbers]
    for name, weight in old.network.weights.items():
        known = weight.shape != new.network.weights[name].shape
        ours = new.network.weights[name][[*rows, -1] if len(weight) > len(rows) else rows] if known else None
        assert (new.network.weights[name] if ours is None else ours) == pytest.approx(weight, abs=1e-6), name
    place = new.numbers["99"]  # was bought with product 1 alone
    vectors = new.network.weights["vectors.weight"]
    assert vectors[place] == pytest.approx(vectors[new.numbers["1"]], abs=1e-6)
    repeated = network_of(orders, again.model_id)
    for name, weight in new.network.weights.items():
        assert np.array_equal(weight, repeated.network.weights[name])


def test_who_is_held_out_stays_so_when_customers_come(orders: Shop) -> None:
    before = chosen_of(orders)
    assert len(before) == 20
    add_orders(orders, 101, 110)
    after = chosen_of(orders)
    assert len(after) == 22
    assert len(before & after) >= 18


def test_no_order_is_held_out_that_the_network_has_learned_from(orders: Shop, database_url: str) -> None:
    first = run.train(basket.TASK, database_url, ORDERS)
    start = kept(orders.connection, first.model_id)
    learned = {who for who, at in orders.execute(LAST_ORDERS) if start.seen.until_of([who])[0] >= at}
    assert 50 < len(learned) < 80, "Of a fifth and a quarter of the rest, the last order is not learned from."
    assert not learned & chosen_of(orders)

    # The weights have learned from all customers that another seed chooses, except those with a later order.
    new = sorted(learned)[0]
    orders.execute("insert into shop.lines values (9001, %s, '2026-04-01', 1)", [int(new)])
    other = basket.Options(**{**vars(ORDERS), "seed": 11, "test_share": 1.0})
    history, test = basket.hold_out(read_baskets(orders.connection), other, start)
    held_out = {history.customer_ids[c] for c in test.customer}
    assert new in held_out
    assert not (learned - {new}) & held_out


def test_what_is_kept_of_a_basket_network_has_not_seen_what_measures(orders: Shop, database_url: str) -> None:
    networks = []
    for _ in range(2):
        model_id = run.train(basket.TASK, database_url, ORDERS).model_id
        networks.append(network_of(orders, model_id).network)
        unseen = [
            int(who)
            for who, at in orders.execute(LAST_ORDERS)
            if kept(orders.connection, model_id).seen.until_of([who])[0] < at
        ]
        orders.execute(
            "update shop.lines l set what = (what + 1) %% 40 where who = any(%s)"
            " and at = (select max(at) from shop.lines m where m.who = l.who)",
            [unseen],
        )
    for name, weight in networks[0].weights.items():
        assert np.array_equal(weight, networks[1].weights[name]), f"{name} depends on orders that were set aside."


def test_a_basket_without_a_network_or_of_another_shape_is_no_start(
    orders: Shop, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    without_network = run.train(basket.TASK, database_url, basket.Options(deploy=True))
    with pytest.raises(errors.WarmStartError, match="taste has no network"):
        run.train(basket.TASK, database_url, basket.Options(warm_start=True))
    with pytest.raises(errors.WarmStartError, match="another model: taste, not cnn-gru"):
        run.train(basket.TASK, database_url, warm(ORDERS))
    lines: list[str] = []
    again = run.retrain(basket.TASK, orders.connection, database_url, lines.append, warm_start=True)
    assert again.model_id > without_network.model_id, "A nightly training goes on without."
    assert any("from scratch" in line for line in lines)
    run.train(basket.TASK, database_url, ORDERS)
    with pytest.raises(errors.WarmStartError, match="another hidden: 4, not 8"):
        run.train(basket.TASK, database_url, warm(ORDERS, network=replace(NETWORK, hidden=8)))


@pytest.mark.parametrize("train", ["category", "recommender"])
def test_retraining_passes_the_warm_start_on(visits: Shop, database_url: str, train: str) -> None:
    trainers: dict[str, Callable[[], Any]] = {
        "category": lambda: run.train(category.TASK, database_url, TEXTS),
        "recommender": lambda: run.train(recommender.TASK, database_url, EVENTS),
    }
    first = trainers[train]()
    again = run.retrain(task_of(train), visits.connection, database_url, lambda line: None, warm_start=True)
    assert started_from(visits.connection, again.model_id) == first.model_id
