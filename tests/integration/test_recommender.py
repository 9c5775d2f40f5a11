"""From visits to recommendations: SQL answers equal the trainer's, and only a better model is deployed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("implicit")

from click.testing import CliRunner

from aisle import db
from aisle.cli import aisle
from aisle.db import Connection, errors, model_registry
from aisle.demo.shop import generate, load
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.pipeline import drain
from aisle.trainers import evaluation, index_recall, run
from aisle.trainers.gate import Verdict
from aisle.trainers.recommender import als, baselines, experiment, item_links, mixture, towers
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.events import Events, Items, read_events
from aisle.trainers.recommender.fit import fit
from aisle.trainers.recommender.held_out import HeldOut, check, hold_out
from aisle.trainers.recommender.mixture import Mixture
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.run import Result
from tests.conftest import Server, Shop

USERS = 1000
TOP = 50
FEATURES = ("user", "item", "category", "meal_time", "weekday")
QUICK = TowerOptions(features=FEATURES, epochs=1, batch_size=4096)


@pytest.fixture(scope="module")
def demo_url(server: Server, template: str) -> Iterator[str]:
    """An eighth of the demo shop's products, with their visits, attached: as telling as all, and sooner trained."""
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        load(connection, generate())
        connection.execute("delete from shop.visits where product_id % 8 > 0")
        connection.execute("delete from shop.order_items where product_id % 8 > 0")
        connection.execute("delete from shop.products where id % 8 > 0")
        # An item whose only visit is held out is none that the trainer knows.
        connection.execute(
            "delete from shop.visits where product_id in"
            " (select product_id from shop.visits group by product_id having count(*) < 5)"
        )
        connection.execute("create index on shop.visits (visited_at)")
        connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category')")
        connection.execute(
            "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at', "
            "context_columns => array['meal_time'], time_zone => 'Asia/Seoul')"
        )
        yield url


@pytest.fixture(scope="module")
def demo(demo_url: str) -> Iterator[Connection]:
    with db.connect(demo_url) as connection:
        yield connection


def trained(
    connection: Connection, *, repeats: bool, model: str = "towers", **changes: Any
) -> tuple[int, Events, Events, Mixture]:
    """Train for a moment, load and deploy; return the model, all events, those learned from, and the mixture."""
    given = replace(QUICK, **changes)
    options = recommender.Options(repeats=repeats, model=model, features=given.features, towers=given)
    events = read_events(connection, given.features)
    test = recommender.TASK.split(events, options)
    fitted = recommender.TASK.fit(connection, events, test, options, lambda line: None)
    model_id = recommender.TASK.load(connection, events, test, fitted, options, {})
    connection.execute("update aisle._models set state = 'ready' where model_id = %s", [model_id])
    connection.execute("select aisle.deploy(%s)", [model_id])
    return model_id, events, test.events, fitted.mixture


def test_how_validation_went_is_stored_with_the_model(demo: Connection) -> None:
    model_id, _, _, _ = trained(demo, repeats=False, epochs=3)
    parameters = model_registry.get(demo, model_id).parameters
    recalls = parameters["validation"]
    assert len(recalls) >= parameters["epochs"] >= 1
    assert recalls[parameters["epochs"] - 1] == max(recalls) > 0


@pytest.mark.parametrize(
    ("repeats", "changes"),
    [
        (False, {}),
        (True, {}),
        (False, {"cosine": False}),
        (False, {"model": "ials", "features": ("item", "category")}),
        (True, {"model": "ials", "features": ("item", "category")}),
        (False, {"model": "item-item"}),
        (True, {"model": "item-item"}),
        (False, {"model": "mixture"}),
        (True, {"model": "mixture"}),
    ],
)
def test_sql_and_the_trainer_give_the_same_scores(demo: Connection, repeats: bool, changes: dict[str, Any]) -> None:
    _, events, learned_from, mixture = trained(demo, repeats=repeats, **changes)
    users = np.random.default_rng(7).choice(len(events.user_ids), USERS, replace=False)
    users.sort()
    meals, days = ("lunch", "dinner"), ("1", "7")
    asked = [{"meal_time": meals[u % 2], "weekday": days[u % 2]} if events.context else {} for u in users]
    context = {
        name: np.array([values.index(one[name]) for one in asked]) for name, values in events.context_values.items()
    }
    queries = towers.Queries.of_users(events, users, context)
    expected = mixture.scores(queries, repeat=repeats)  # (users, items)
    number = {item: n for n, item in enumerate(events.items.ids)}
    rows = demo.execute(
        "select array_agg(r.item_id order by r.rank), array_agg(r.score order by r.rank) "
        "from unnest(%s::text[], %s::text[]) with ordinality u (id, context, n), "
        "lateral aisle.recommend(u.id, %s, null, u.context::jsonb, %s) r group by u.n order by u.n",
        (
            [events.user_ids[u] for u in users],
            [json.dumps(one) for one in asked],
            TOP,
            not repeats,
        ),
    ).fetchall()
    assert len(rows) == USERS
    learned = np.isin(np.arange(len(number)), learned_from.item)
    for wanted, (items, scores), user in zip(expected, rows, users, strict=True):
        columns = np.array([number[item] for item in items])
        known = learned[columns]  # items without events have their towers' vectors, not their own
        assert np.allclose(wanted[columns][known], np.array(scores)[known], atol=1e-3)
        assert list(scores) == sorted(scores, reverse=True)
        seen = set(events.item[events.user == user].tolist())
        assert repeats or not seen & set(columns.tolist())
        others = np.setdiff1d(np.flatnonzero(learned), [*columns, *([] if repeats else seen)])
        assert wanted[others].max() <= scores[-1] + 1e-3, "No other item is better."


def test_training_through_to_an_answer(demo_url: str, demo: Connection) -> None:
    lines: list[str] = []
    options = recommender.Options(features=FEATURES, towers=QUICK, deploy=True)
    result = run.train(recommender.TASK, demo_url, options, lines.append)
    model = model_registry.get(demo, result.model_id)
    assert result.deployed
    assert model.state == "ready"
    assert model.metrics["users"] > USERS
    for who in (model.metrics, model.metrics["popularity"], model.metrics["ials"]):
        assert 0 <= who["ndcg@10"] <= who["recall@10"] <= who["hit@10"] < 1
    assert model.data.keys() == {"rows", "newest", "events", "users", "items", "fingerprint"}
    assert any("validation recall@10" in line for line in lines)

    again = run.train(recommender.TASK, demo_url, options)
    # An approximate index may miss different items; the vectors are the same.
    assert again.metrics["recall@10"] == pytest.approx(result.metrics["recall@10"], abs=0.005)
    live = again.metrics["live"]
    assert live.pop("model_id") == result.model_id
    assert live == pytest.approx({k: result.metrics[k] for k in live}, abs=0.005)
    query = "select item_id, embedding::real[] from aisle.item_factors where model_id = %s order by item_id"
    first, second = (dict(demo.execute(query, (model.model_id,)).fetchall()) for model in (result, again))
    assert first.keys() == second.keys()
    np.testing.assert_allclose(list(second.values()), list(first.values()), atol=1e-3, err_msg="Same seed, same model")


def test_evaluation_asks_the_same_users_whatever_happened_since(demo: Connection) -> None:
    model_id = model_registry.live(demo, "recommender")
    assert model_id is not None
    before = evaluation.evaluate(recommender.TASK, demo, baselines=True)
    demo.execute("insert into shop.visits select distinct customer_id, 1, now(), 'lunch' from shop.visits")
    try:
        assert evaluation.evaluate(recommender.TASK, demo, baselines=False) == before[:1]
        assert {row["answer"] for row in before} == {"recommend", *baselines.BASELINES}
        stored = model_registry.get(demo, model_id).metrics
        assert before[0]["recall@10"] == stored["recall@10"]
        (popularity,) = (row for row in before if row["answer"] == "popularity")
        assert popularity["recall@10"] == pytest.approx(stored["popularity"]["recall@10"])
    finally:
        demo.execute("delete from shop.visits where visited_at > now() - interval '1 hour'")


def test_what_finds_more_on_validation_is_loaded(
    demo_url: str, demo: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = ("item", "category")
    for name in ("REGULARISATION", "ALPHA"):
        monkeypatch.setattr(als, name, (20.0,))
    monkeypatch.setattr(item_links, "RIDGES", (50.0,))
    candidates = {"after", "beside", "item-item", "ials", "towers", "mixture"}
    for best in ("item-item", "towers"):
        monkeypatch.setattr(mixture, "choose", lambda measured, best=best: best)
        model_id, *_ = trained(demo, repeats=False, model="best", features=features)
        parameters = model_registry.get(demo, model_id).parameters
        assert parameters["kind"] == best
        assert parameters["tried"].keys() == candidates
        assert parameters["ahead"].keys() == candidates - {best}
        assert bool(parameters["validation"]) == (best == "towers")
        assert bool(parameters["links"]) == (best == "item-item")
    for model in ("ials", "mixture"):
        model_id, *_ = trained(demo, repeats=False, model=model, features=features)
        assert model_registry.get(demo, model_id).parameters["kind"] == model
    options = recommender.Options(features=("item", "meal_time"), model="ials")
    with pytest.raises(errors.InvalidArgumentError, match="ials has no contexts, so it cannot learn from meal_time"):
        run.train(recommender.TASK, demo_url, options)


def test_the_index_is_measured_where_vectors_are_searched(demo: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_recall, "INDEX_FROM", 1)
    towers_alone, *_ = trained(demo, repeats=False)
    assert index_recall.recall(demo, recommender.TASK, towers_alone)["100 %"] > 0.95
    links_alone, *_ = trained(demo, repeats=False, model="item-item")
    assert index_recall.recall(demo, recommender.TASK, links_alone) == {}


def test_an_experiment_says_what_is_shown_and_leaves_no_model(demo_url: str, demo: Connection) -> None:
    models = db.fetch_value(demo, "select count(*) from aisle._models")
    options = recommender.Options(towers=TowerOptions(epochs=1, batch_size=4096))
    table = experiment.compare_features(demo_url, [("user", "item"), ("user", "item", "category")], 2, options)
    assert [arm.features for arm in table] == [("user", "item"), ("user", "item", "category")]
    assert all(len(arm.recall) == 2 and arm.sd is not None for arm in table)
    assert table[1].difference == pytest.approx(table[1].mean - table[0].mean)
    assert table[1].verdict.startswith(("shown", "not shown"))
    assert db.fetch_value(demo, "select count(*) from aisle._models") == models
    rows = demo.execute("select mean, p, verdict from aisle.experiments").fetchall()
    assert rows == [(arm.mean, arm.p, arm.verdict) for arm in table]


def test_an_experiment_needs_two_different_sets(demo_url: str) -> None:
    for arms in ([("user",)], [("user",), ("user",)]):
        with pytest.raises(errors.InvalidArgumentError, match="two different"):
            experiment.compare_features(demo_url, arms, 1, recommender.Options())


def test_a_new_item_gets_the_towers_vectors_from_the_worker(demo: Connection) -> None:
    model_id, events, _, mixture = trained(demo, repeats=False)
    category = next(path for path in events.items.categories if path)
    demo.execute(
        "insert into shop.products (id, name, category) values (900001, 'new', %s), (900002, 'new', null)",
        (" > ".join(category),),
    )
    assert drain(demo, [FactorEmbedder()]) == 2
    rows = demo.execute(
        "select embedding::real[], in_embedding::real[], origin, category_key from aisle.item_factors "
        "where model_id = %s and item_id in ('900001', '900002') order by item_id",
        (model_id,),
    ).fetchall()
    into, out = mixture.factors.content([category, None], None)
    for row, p, q in zip(rows, into, out, strict=True):
        assert np.allclose(row[0], q, atol=1e-6)
        assert np.allclose(row[1], p, atol=1e-6)
        assert row[2] == "content"
    assert rows[0][3] == " > ".join([*category, ""])
    assert rows[1][3] is None
    items = {i for (i,) in demo.execute("select item_id from aisle.recommend('user-42', 100000)").fetchall()}
    assert "900001" in items

    learned = events.items.ids[int(np.bincount(events.item).argmax())]
    before = demo.execute("select embedding from aisle.item_factors where item_id = %s", (learned,)).fetchall()
    demo.execute("update shop.products set category = 'elsewhere' where id = %s", (learned,))
    drain(demo, [FactorEmbedder()])
    after = demo.execute("select embedding from aisle.item_factors where item_id = %s", (learned,)).fetchall()
    assert after == before, "What comes from events is not undone by a changed text."
    assert demo.execute("select r.item_id from aisle.recommend('nobody', 9, 'elsewhere') r").fetchall() == [(learned,)]
    demo.execute("delete from shop.products where id > 900000")


def test_an_item_that_changes_while_a_model_is_fitted_is_brought_up_to_date(demo: Connection) -> None:
    options = recommender.Options(features=("item", "category"), model="towers", towers=QUICK)
    events = read_events(demo, ("item", "category"))
    test = recommender.TASK.split(events, options)
    fitted = recommender.TASK.fit(demo, events, test, options, lambda line: None)
    item = events.items.ids[int(np.bincount(test.events.item).argmax())]
    before = db.fetch_value(demo, "select category from shop.products where id = %s", (item,))
    demo.execute("update shop.products set category = 'moved' where id = %s", (item,))
    drain(demo, [FactorEmbedder()])
    model_id = recommender.TASK.load(demo, events, test, fitted, options, {})
    row = "select category_key, origin from aisle.item_factors where model_id = %s and item_id = %s"
    assert demo.execute(row, (model_id, item)).fetchall() == [("moved > ", "events")]
    demo.execute("update shop.products set category = %s where id = %s", (before, item))


def test_a_model_is_deployed_if_it_beats_all_that_it_is_compared_with() -> None:
    metrics = {"users": 3, "recall@10": 0.2, "popularity": {"recall@10": 0.1}, "live": {"recall@10": 0.19}}
    verdict = partial(recommender.TASK.verdict, options=recommender.Options())
    assert verdict(metrics) == Verdict(True, "its recall@10 0.2000 is better than that of the live model, 0.1900", True)
    assert verdict(metrics | {"ials": {"recall@10": 0.3}}).deploys, "Validation has chosen between it and others."
    first = {name: value for name, value in metrics.items() if name != "live"}
    assert verdict(first).deploys
    assert verdict(first | {"own-history": {"recall@10": 0.2}}) == Verdict(
        False, "its recall@10 0.2000 is not better than that of own-history, 0.2000", False
    )
    metrics["live"]["against"] = {"recall@10": 0.15}
    assert verdict(metrics).reason == (
        "its recall@10 0.1500 on rows that neither learned from is not better than that of the live model, 0.1900"
    )


def events_of(rows: list[tuple[int, int, float]]) -> Events:
    user, item, at = zip(*sorted(rows, key=lambda row: (row[0], row[2])), strict=True)
    return Events(
        user=np.array(user), item=np.array(item), at=np.array(at), weight=np.ones(len(rows), np.float32), context={},
        context_values={}, user_ids=["a", "b", "c"], items=Items([str(i) for i in range(9)], [None] * 9),
    )  # fmt: skip


def held(test: HeldOut) -> tuple[list[tuple[int, float]], set[tuple[int, int]], int]:
    """Return (user, moment), the relevant (user, item), and the number of events that are left."""
    relevant = set(zip(test.relevant.user.tolist(), test.relevant.item.tolist(), strict=True))
    return list(zip(test.user.tolist(), test.at.tolist(), strict=True)), relevant, len(test.events)


def test_each_users_last_moment_is_held_out() -> None:
    events = events_of([(0, 1, 1), (0, 2, 2), (0, 3, 3), (0, 4, 3), (1, 1, 5), (2, 1, 1), (2, 2, 2), (2, 1, 3)])
    # b has one moment: it stays. c comes back to 1 at last.
    assert held(hold_out(events, None, exclude_seen=False)) == (
        [(0, 3.0), (2, 3.0)], {(0, 3), (0, 4), (2, 1)}, 5,
    )  # fmt: skip
    # If seen items are not recommended, c's last new item counts, and no later event trains.
    assert held(hold_out(events, None, exclude_seen=True)) == (
        [(0, 3.0), (2, 2.0)], {(0, 3), (0, 4), (2, 2)}, 4,
    )  # fmt: skip


def test_what_came_from_a_date_on_is_held_out() -> None:
    events = events_of([(0, 1, 1), (0, 1, 2), (0, 2, 3), (1, 1, 2), (1, 2, 3), (2, 1, 1)])
    # b has no event before the date, so b is not held out.
    assert held(hold_out(events, 2, exclude_seen=True)) == ([(0, 2.0)], {(0, 2)}, 4)
    assert held(hold_out(events, 2, exclude_seen=False)) == ([(0, 2.0)], {(0, 1), (0, 2)}, 4)


def test_a_moment_that_holds_out_nobody_is_refused() -> None:
    events = events_of([(0, 1, 1), (0, 2, 2), (1, 1, 2), (1, 2, 3)])
    with pytest.raises(errors.TrainingDataError, match=r"No user has events before 1970-01-01 00:01"):
        check(hold_out(events, 60, exclude_seen=True), 60)
    with pytest.raises(errors.TrainingDataError, match="No user has events before") as raised:
        fit(events, 60, QUICK, 7, lambda line: None)
    assert "--validate-from" in (raised.value.hint or "")


def test_users_whose_events_have_one_moment_each_are_said() -> None:
    events = events_of([(user, item, 1) for user in range(3) for item in range(3)])
    with pytest.raises(errors.TrainingDataError, match="No event can be held out") as raised:
        check(hold_out(events, None, exclude_seen=True), None)
    assert "different times" in (raised.value.hint or "")


@pytest.mark.parametrize(
    "given",
    [
        "--members 0",
        "--dimensions 0",
        "--dimensions 20000",
        "--history -3",
        "--history 0",
        "--dimensions 999 --members 3",
    ],
)
def test_what_no_model_can_have_is_refused_before_anything_is_read(database_url: str, given: str) -> None:
    arguments = ["--database-url", database_url, "train", "recommender", *given.split()]
    refused = CliRunner().invoke(aisle, arguments)
    assert refused.exit_code == 2
    assert "Invalid value for" in refused.output


def create_visits(shop: Shop) -> None:
    shop.create()
    shop.execute("create table shop.visits (who text, what text, seen_at date)")


def attach_visits(shop: Shop) -> None:
    shop.attach()
    shop.execute("select aisle.attach_interactions('shop.visits', 'who', 'what', 'seen_at')")


@pytest.mark.trap(28)
def test_too_little_to_learn_from_is_said(shop: Shop, database_url: str) -> None:
    def refused(match: str, error: type[errors.AisleError] = errors.TrainingDataError) -> str:
        with pytest.raises(error, match=match) as raised:
            run.train(recommender.TASK, database_url, recommender.Options())
        assert db.fetch_value(shop.connection, "select count(*) from aisle._models") == 0
        return raised.value.hint or ""

    create_visits(shop)
    assert "aisle attach interactions" in refused("No interactions", errors.NotAttachedError)
    shop.execute("select aisle.attach_interactions('shop.visits', 'who', 'what', 'seen_at')")
    assert "aisle attach items" in refused("No table", errors.NotAttachedError)
    shop.attach()
    refused("table of items is empty")
    shop.insert("tea", "bread")
    refused("no events")
    shop.execute("insert into shop.visits values ('ann', '7', '2026-01-01'), (null, '1', '2026-01-01')")
    assert "ids of the attached items" in refused("None of the 1 events")
    shop.execute("insert into shop.visits values ('ann', '1', '2026-01-01')")
    refused("1 users with 1 items")
    shop.execute("insert into shop.visits values ('bob', '2', '2026-01-01')")
    refused("No event can be held out")


def test_a_feature_that_there_is_not_is_named(shop: Shop, database_url: str) -> None:
    create_visits(shop)
    shop.insert("tea")
    attach_visits(shop)
    with pytest.raises(errors.InvalidArgumentError, match="no feature mealtime") as raised:
        run.train(recommender.TASK, database_url, recommender.Options(features=("user", "mealtime")))
    assert "hour" in (raised.value.hint or "")
    with pytest.raises(errors.NoLiveModelError, match="text needs a live category model"):
        run.train(recommender.TASK, database_url, recommender.Options(features=("user", "text")))


@pytest.mark.parametrize("text_model", [False, True])
def test_a_tiny_shop_learns_and_its_items_without_events_are_there(
    shop: Shop, database_url: str, load_model: Any, text_model: bool
) -> None:
    if text_model:
        load_model()
    create_visits(shop)
    shop.insert("tea", "tea", "tea", "식빵", "식빵", "식빵", "tea")  # 7 has no event
    attach_visits(shop)
    for user in range(40):
        items = (1, 2, 3) if user % 2 else (4, 5, 6)
        for day in range(3):
            shop.execute("insert into shop.visits values (%s, %s, %s)",
                         [str(user), items[(user + day) % 3], f"2026-01-{day + 1}"])  # fmt: skip
    result = run.train(
        recommender.TASK, database_url, recommender.Options(features=("user", "item", "text") if text_model else None)
    )
    assert result.metrics["users"] == 40
    shop.execute("select aisle.deploy(%s, force => true)", [result.model_id])  # with six items, popularity finds all
    shop.execute("insert into shop.visits values ('new', '1', '2026-01-03')")
    answer = [i for (i,) in shop.execute("select item_id from aisle.recommend('new')").fetchall()]
    assert set(answer[:2] if not text_model else answer[:3]) - {"7"} == {"2", "3"}
    assert set(answer) == {"2", "3", "4", "5", "6", "7"}
    assert (answer.index("7") < answer.index("4")) or not text_model, "By its text, it is like 1 and 2."


def test_where_stores_are_is_learned_from_and_checked(shop: Shop, database_url: str) -> None:
    create_visits(shop)
    shop.execute("alter table shop.products add lat float8, add lon float8")
    shop.insert(*["store"] * 40)  # eight on each of five streets
    shop.attach()
    shop.execute("select aisle.attach_interactions('shop.visits', 'who', 'what', 'seen_at')")
    shop.execute(
        "insert into shop.visits select 'user ' || u, 1 + u / 8 * 8 + (u + 2 * day) % 8, date '2026-01-01' + day"
        " from generate_series(0, 39) u, generate_series(0, 2) day"
    )  # to every second store of a street, or to the others

    def train(*features: str) -> Result:
        return run.train(recommender.TASK, database_url, recommender.Options(features=features or None))

    with pytest.raises(errors.InvalidArgumentError, match="location needs columns of latitude and longitude"):
        train("user", "item", "location")
    shop.execute("select aisle.detach('items')")
    shop.attach(latitude="lat", longitude="lon")
    train()  # without any place yet
    shop.execute("update shop.products set lat = 127 + (id - 1) / 8 * 0.1, lon = 37 + (id - 1) % 8 * 0.001")
    with pytest.raises(
        errors.TrainingDataError, match="40 items have impossible coordinates, such as 1 at latitude 127"
    ) as e:
        train()
    assert "exchanged" in (e.value.hint or "")
    shop.execute("update shop.products set lat = lon, lon = lat")
    result = train()
    model = model_registry.get(shop.connection, result.model_id)
    assert model.parameters["options"]["features"] == ["user", "item", "category", "location"]
    shop.execute("select aisle.deploy(%s, force => true)", [model.model_id])
    shop.execute("insert into shop.visits values ('new', '1', '2026-01-04')")
    near = shop.execute("select item_id::int from aisle.recommend('new', 7)").fetchall()
    assert {item for (item,) in near} == set(range(2, 9)), "The rest of the street, though nobody was at 1 and at 2."
    assert "ials" in str(evaluation.evaluate(recommender.TASK, shop.connection, baselines=True))
    model = model_registry.get(shop.connection, train("user", "item").model_id)
    shop.execute("select aisle.deploy(%s, force => true)", [model.model_id])
    near = shop.execute("select item_id::int from aisle.recommend('new', 7)").fetchall()
    assert {item for (item,) in near} != set(range(2, 9))
    shop.execute("update shop.products set lat = 99 where id > 37")
    train()  # a few may have impossible coordinates


def test_an_experiment_asks_the_same_whatever_the_shop_writes_meanwhile(shop: Shop, database_url: str) -> None:
    create_visits(shop)
    shop.insert("tea", "bread", "jam")
    attach_visits(shop)
    visit = (
        "insert into shop.visits select 'user ' || u, 1 + (u + day) %% 3, date '2026-01-01' + day"
        " from generate_series(%s::int, %s::int) u, generate_series(0, 2) day"
    )
    shop.execute(visit, [1, 20])

    def write(line: str) -> None:
        shop.execute(visit, [21, 25])

    arms = [("item",), ("user", "item", "weekday")]
    table = experiment.compare_features(database_url, arms, 1, recommender.Options(), write)
    assert table[1].difference is not None
    assert shop.value("select users from aisle.experiments limit 1") == 20
