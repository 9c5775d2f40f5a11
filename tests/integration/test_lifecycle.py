"""Models come, answer and are taken back while a shop asks and writes; a copy of the database answers alike."""

import itertools
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg.types.json import Jsonb

from aisle import db, migrations
from aisle.cli import aisle
from aisle.db import Connection, errors, model_registry
from aisle.embedder import item_factors
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from aisle.trainers import drift, evaluation, overlap, run, task_of
from aisle.trainers.basket import task as basket
from aisle.trainers.category import loading
from aisle.trainers.category import task as category
from aisle.trainers.gate import Verdict
from aisle.trainers.options import Limits
from aisle.trainers.recommender import task as recommender
from tests.chaos import small_shop
from tests.chaos.waiting import PATIENCE, wait_until
from tests.conftest import (
    SEPARATOR,
    Server,
    Shop,
    TinyModel,
    load_tiny_basket,
    load_tiny_model,
    load_tiny_recommender,
)

LoadModel = Callable[..., TinyModel]
CLIENTS, SWAPS = 4, 20
REVISIONS = migrations.revisions()

# Of three models, all that an application may ask; `real` values as they are, so that equal means bit for bit.
QUESTIONS = (
    "select * from aisle.predict_category('녹차', k => 9)",
    "select * from aisle.item_category(1, 9)",
    "select * from aisle.similar_items(1)",
    "select * from aisle.search_items('녹차 커피')",
    "select aisle.embed_text('녹차')::text",
    "select * from aisle.recommend('ann')",
    "select * from aisle.recommend('stranger', exclude_seen => false)",
    "select * from aisle.next_basket('ann')",
    "select * from aisle.complete_basket('{1}')",
    "select task, model_id from aisle._live_models",
)


def answers(connection: Connection) -> dict[str, Any]:
    return {question: connection.execute(question.encode()).fetchall() for question in QUESTIONS}


@pytest.fixture
def models(shop: Shop) -> Shop:
    """A shop in which a model of each task answers, and a category model has answered before."""
    open_tiny_shop(shop)
    return shop


def open_tiny_shop(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.execute(
        "create table shop.visits (who text, what bigint, seen_at timestamptz);"
        "create index on shop.visits (who, seen_at); create index on shop.visits (seen_at);"
        "select aisle.attach_interactions('shop.visits', 'who', 'what', 'seen_at');"
        "create table shop.lines (number text, who text, at timestamptz, what bigint);"
        "select aisle.attach_orders('shop.lines', 'number', 'what', 'who', 'at')"
    )
    shop.insert("녹차", "커피", "식빵", "녹차 커피")
    shop.execute("insert into shop.visits values ('ann', 1, '2024-01-01'), ('bob', 3, '2024-01-02')")
    shop.execute("insert into shop.lines values ('a', 'ann', '2024-01-01', 1), ('b', 'bob', '2024-01-02', 2)")
    load_tiny_model(shop.connection, dimensions=3, scale=2)
    load_tiny_model(shop.connection)
    shop.execute("select aisle._enqueue_stale()")
    drain(shop.connection, [ItemEmbedder()])
    load_tiny_recommender(
        shop.connection, {1: (None, (1, 0), (0, 1)), 2: (None, (0.3, 2), (1, 0)), 3: (None, (0.1, 1), (1, 1))}
    )
    load_tiny_basket(shop.connection, {"1": (1, 0), "2": (0.6, 0.8), "3": (0, 1)}, {"bob": ((0.6, 0.8), ("2", "3"))})


# ---- deploys ----


@pytest.mark.trap(20)
def test_a_model_of_another_size_takes_over_unnoticed(shop: Shop, database_url: str, tmp_path: Path) -> None:
    """Four clients ask and the shop writes, while an encoder's generation takes over and is taken back, many times."""
    connection = shop.connection
    small_shop.open_shop(connection, rows=60)
    old = small_shop.load_model(connection, "ngram", dimensions=small_shop.OTHER_DIMENSIONS)
    drain(connection, [ItemEmbedder()])
    stop, asked, rounds = threading.Event(), threading.Semaphore(0), [0] * CLIENTS

    def ask(client: int) -> set[str]:
        seen = set()
        with db.connect(database_url) as application:
            while not stop.is_set():
                text = small_shop.WORDS[rounds[client] % 16]
                categories = application.execute(
                    "select c.category from shop.products p, lateral aisle.item_category(p.id, 100) c where p.id < 0"
                    " union all select category from aisle.predict_category(%s, k => 100)",
                    [text],
                    prepare=True,
                ).fetchall()
                assert len(categories) == 61 * len(small_shop.WORDS), "An answer has a gap."
                (model,) = {name.split(SEPARATOR)[0] for (name,) in categories}
                seen.add(model)
                for question in ("similar_items('-1')", f"search_items('{text}')"):
                    found = application.execute(f"select item_id from aisle.{question}".encode()).fetchall()
                    assert len(found) == 10, f"{question} has a gap."
                rounds[client] += 1
                asked.release()
        return seen

    def write() -> int:
        with db.connect(database_url) as application:
            for number in itertools.count():
                if not asked.acquire(timeout=PATIENCE) or stop.is_set():
                    break
                name = f"{small_shop.WORDS[number % 16]} {number}"
                application.execute("update shop.products set name = %s where id = %s", [name, -1 - number % 60])
                application.execute("insert into shop.products (id, name) values (%s, %s)", [number, name])
        return number

    def embed() -> None:
        with db.connect(database_url) as worker:
            while not stop.is_set():
                drain(worker, [ItemEmbedder()], keep_on=lambda: not stop.is_set())

    with ThreadPoolExecutor() as threads:
        running: list[Future[Any]] = [threads.submit(ask, client) for client in range(CLIENTS)]
        try:
            new = small_shop.load_model(connection, "encoder", encoder=small_shop.build_encoder(tmp_path), deploy=False)
            drain(connection, [ItemEmbedder()])
            running += [threads.submit(write), threads.submit(embed)]
            for swap in range(SWAPS):
                if swap % 2:
                    model_registry.rollback(connection, "category")
                else:
                    model_registry.deploy(connection, new)
                target = min(rounds) + 1
                wait_until(
                    lambda target=target: min(rounds) > target or any(task.done() for task in running),
                    "every client asks again",
                )
        finally:
            stop.set()
            asked.release()
        *seen, written, _ = [task.result() for task in running]
    assert seen == [{"ngram", "encoder"}] * CLIENTS
    assert written > SWAPS
    assert model_registry.live(connection, "category") == old


def test_held_out_rows_outlive_what_the_shop_does_to_them(models: Shop) -> None:
    live = model_registry.require_live(models.connection, "category")
    models.execute("update shop.products set category = 'tea' where id < 4")
    assert loading.measure(models.connection, live, ["1", "2", "3"])["held_out_rows"] == 3
    models.execute("update shop.products set category = null where id = 1")
    assert loading.measure(models.connection, live, ["1", "2", "3"], keep=False)["held_out_rows"] == 2
    models.execute("select aisle.detach('items')")
    models.attach()
    with pytest.raises(errors.TrainingDataError, match="No held-out row has both a category and a vector"):
        evaluation.evaluate(category.TASK, models.connection, baselines=False)
    assert set(loading.heldout_of(models.connection, live)) == {"1", "2", "3"}


@pytest.mark.parametrize("kind", ["items", "interactions", "orders"])
def test_what_is_not_attached_any_more_cannot_be_stale(models: Shop, kind: str) -> None:
    task = {"items": "category", "interactions": "recommender", "orders": "basket"}[kind]
    if kind == "interactions":
        models.execute("select aisle.detach('orders')")  # which would serve
    models.execute("select aisle.detach(%s)", [kind])
    with pytest.raises(
        errors.NotAttachedError, match=f"The table that the {task} model learned from is no longer attached"
    ):
        drift.examine(task_of(task), models.connection)


def test_without_its_events_a_recommender_is_not_measured(models: Shop) -> None:
    models.execute("select aisle.detach('interactions'); select aisle.detach('orders')")
    with pytest.raises(errors.NotAttachedError, match="that the recommender model learned from"):
        evaluation.evaluate(recommender.TASK, models.connection, baselines=False)


def test_one_task_that_cannot_be_trained_again_stops_no_other(models: Shop, database_url: str) -> None:
    models.execute("select aisle.detach('interactions'); select aisle.detach('orders')")
    limits = ["--new-rows", "99", "--mix", "1", "--confidence", "1"]
    done = CliRunner().invoke(aisle, ["--database-url", database_url, "retrain", "--if-stale", *limits])
    assert done.exit_code == 1
    assert "category: not stale." in done.output
    for task in ("recommender", "basket"):
        assert done.output.count(f"{task}: The table that the {task} model learned from is no longer attached") == 1


def test_one_task_whose_table_cannot_be_read_stops_no_other(models: Shop, database_url: str) -> None:
    models.execute(
        "select aisle.detach('interactions');"
        "create view shop.seen as select who, 1 / (what - 1) as what, seen_at from shop.visits;"
        "select aisle.attach_interactions('shop.seen', 'who', 'what', 'seen_at')"
    )
    limits = ["--new-rows", "99", "--mix", "1", "--confidence", "1"]
    done = CliRunner().invoke(aisle, ["--database-url", database_url, "retrain", "--if-stale", *limits])
    assert done.exit_code == 1
    assert "recommender: The database says: division by zero." in done.output
    assert "basket: not stale." in done.output


@pytest.mark.trap(21)
def test_after_a_rollback_the_answers_are_those_from_before(models: Shop) -> None:
    before = answers(models.connection)
    other = load_tiny_model(models.connection, dimensions=4, scale=3, deploy=False)
    models.execute("select aisle._enqueue_stale()")
    drain(models.connection, [ItemEmbedder()])
    assert answers(models.connection) == before, "A generation that is filled is not asked."
    model_registry.deploy(models.connection, other.model_id)
    changed = {question for question, rows in answers(models.connection).items() if rows != before[question]}
    assert {QUESTIONS[0], QUESTIONS[4], QUESTIONS[-1]} <= changed
    model_registry.rollback(models.connection, "category")
    assert answers(models.connection) == before


def test_a_deploy_of_what_is_live_asks_for_no_force(shop: Shop, load_model: LoadModel) -> None:
    model_id = load_model().model_id
    shop.execute("update aisle._models set passed_gate = false")
    assert shop.value("select aisle.deploy(%s)", [model_id]) == f"Model {model_id} answers for category already."


def test_what_was_learned_from_events_outlives_a_detach(models: Shop) -> None:
    learned = "select item_id, embedding from aisle.item_factors where origin = 'events' order by 1"
    before = models.execute(learned).fetchall()
    models.execute("select aisle.detach('items')")
    models.attach()
    gone = before.pop()
    models.execute("delete from shop.products where id::text = %s", [gone[0]])
    models.execute("select aisle._enqueue_stale()")
    assert models.execute(learned).fetchall() == before != []


@pytest.mark.parametrize("by", ["truncate shop.products", "delete from shop.products"])
@pytest.mark.parametrize("draft_rows", [100, 0])
def test_what_was_learned_from_events_outlives_a_reload_of_the_table(models: Shop, by: str, draft_rows: int) -> None:
    models.execute("update aisle._attachments set draft_rows = %s where kind = 'items'", [draft_rows])
    item_factors.store(models.connection, model_registry.require_live(models.connection, "recommender"), [])
    models.execute("select aisle._enqueue_stale()")
    drain(models.connection, [ItemEmbedder(), FactorEmbedder()])
    learned = "select item_id, embedding, in_embedding from aisle.item_factors where origin = 'events' order by 1"
    before = models.execute(learned).fetchall()
    asked = answers(models.connection)
    with models.connection.transaction():
        models.execute("create table shop.copy as table shop.products")
        models.execute(by.encode())
        assert models.execute(learned).fetchall() == []
        models.execute("insert into shop.products select * from shop.copy where id <> 2")
    drain(models.connection, [ItemEmbedder(), FactorEmbedder()])
    assert models.execute(learned).fetchall() == [row for row in before if row[0] != "2"]
    models.execute("insert into shop.products select * from shop.copy where id = 2")
    drain(models.connection, [ItemEmbedder(), FactorEmbedder()])
    assert models.execute(learned).fetchall() == before != []
    assert answers(models.connection)[QUESTIONS[5]] == asked[QUESTIONS[5]]
    load_tiny_recommender(models.connection, {1: (None, (1, 0), (0, 1))})
    models.execute("select aisle.prune('recommender', 1)")
    assert models.value("select count(*) from aisle._learned_factors") == 0


def test_a_model_that_is_compared_replaces_only_what_it_was_compared_with(shop: Shop, load_model: LoadModel) -> None:
    first, better, by_hand = load_model(), load_model(deploy=False), load_model(deploy=False)
    metrics = {"accuracy": 0.9, "live": {"model_id": first.model_id, "accuracy": 0.8}}

    def end(told: bool | None) -> tuple[bool, str]:
        verdict = category.TASK.verdict(metrics, category.Options())
        result = run.conclude(shop.connection, category.TASK, better.model_id, metrics, {}, verdict, told, 1)
        return result.deployed, result.reason

    model_registry.deploy(shop.connection, by_hand.model_id)
    deployed, reason = end(None)
    assert not deployed
    assert "another model has been deployed since" in reason
    assert model_registry.live(shop.connection, "category") == by_hand.model_id
    assert not end(False)[0]
    assert end(True)[0]
    assert model_registry.live(shop.connection, "category") == better.model_id
    model_registry.rollback(shop.connection, "category")
    model_registry.rollback(shop.connection, "category")
    assert end(None) == (True, "its accuracy 0.9000 is better than that of the live model, 0.8000")


def test_a_category_model_is_compared_on_rows_that_neither_has_learned_from() -> None:
    live = {"model_id": 1, "accuracy": 0.8, "against": {"accuracy": 0.79}}
    verdict = category.TASK.verdict({"accuracy": 0.9, "live": live, "svm": {"accuracy": 0.7}}, category.Options())
    assert verdict == Verdict(
        False,
        "its accuracy 0.7900 on rows that neither learned from is not better than that of the live model, 0.8000",
        False,
    )
    verdict = category.TASK.verdict({"accuracy": 0.9, "live": {"model_id": 1}}, category.Options())
    assert (verdict.passed, verdict.deploys) == (None, False), "There was no such row."


def test_a_candidate_gets_the_queries_of_the_live_model(models: Shop) -> None:
    """A candidate of the same vectors answers alike; one that knows other categories, users and items does not."""
    connection = models.connection
    twin = load_tiny_model(connection, deploy=False).model_id
    live = model_registry.require_live(connection, "category")
    assert overlap.compare(connection, category.TASK, live, twin, 2, exclude_seen=True) == {"asked": 4, "overlap@2": 1}
    models.execute(
        "update aisle.category_vectors set category = category || '!' where model_id = %s and category like '음료%%'",
        [twin],
    )
    # Of tea, coffee and bread only bread has its name in both; among the first two it comes for all four items.
    compared = overlap.compare(connection, category.TASK, live, twin, 3, exclude_seen=True)
    assert compared == {"asked": 4, "overlap@3": pytest.approx(1 / 3)}

    live = model_registry.require_live(connection, "recommender")
    other = load_tiny_recommender(connection, {2: (None, (1, 0), (0, 1)), 3: (None, (0.1, 1), (1, 1))})
    # Ann has seen 1 and is told 2 and 3 by both; Bob, who has seen 3, is told 1 and 2 by the one and 2 by the other.
    assert overlap.compare(connection, recommender.TASK, live, other, 5, exclude_seen=True) == {
        "asked": 2,
        "overlap@5": 0.75,
    }

    live = model_registry.require_live(connection, "basket")
    assert overlap.compare(connection, basket.TASK, live, live, 5, exclude_seen=True) == {"asked": 2, "overlap@5": 1}


# ---- stale models ----


def test_a_category_model_is_stale_when_the_shop_has_moved_on(shop: Shop) -> None:
    """40 items, tea and coffee by halves, of which the model was sure; then 60 of bread come, of which it is not."""
    shop.create()
    shop.attach()
    model = load_tiny_model(shop.connection)

    def insert(first: int, last: int, kind: str) -> None:
        shop.execute(
            "insert into shop.products (id, name, category) select i, %s || i, %s from generate_series(%s::int, %s) i",
            [kind, kind, first, last],
        )
        shop.execute("select aisle._enqueue_stale()")
        drain(shop.connection, [ItemEmbedder()])

    insert(1, 20, model.tea)
    insert(21, 40, model.coffee)
    shop.execute("delete from aisle.category_vectors where category = '빵'")
    shop.execute("update aisle.category_vectors set support = 20")
    shop.execute(
        "insert into aisle._heldout_predictions select model_id, item_id, 'x', 'x', 0.9, 0.9, 'x'"
        " from aisle.item_vectors"
    )
    shop.execute("update aisle._models set environment = jsonb_build_object('finished_at', clock_timestamp())")
    fresh = drift.examine(category.TASK, shop.connection)
    assert (fresh.new_rows, fresh.mix, fresh.confidence) == (0, 0, None)
    assert drift.reasons(fresh, Limits()) == []

    insert(41, 100, model.bread)
    stale = drift.examine(category.TASK, shop.connection)
    assert stale.new_rows == pytest.approx(0.6)
    assert stale.mix == pytest.approx(0.6)
    assert stale.confidence == pytest.approx(0.9 - 0.5, abs=1e-4), "Tea or coffee: it does not know."
    assert len(drift.reasons(stale, Limits())) == 3
    loose = Limits(new_rows=0.7, mix=0.7)
    assert drift.reasons(stale, loose) == ["its mean confidence in new items is lower by 0.400 (limit: 0.05)"]


def test_a_basket_model_is_stale_when_orders_have_come(models: Shop) -> None:
    models.execute("update aisle._models set data = '{\"rows\": 2}' where task = 'basket'")
    assert drift.reasons(drift.examine(basket.TASK, models.connection), Limits()) == []
    models.execute("insert into shop.lines values ('c', 'bob', '2024-01-03', 2)")
    (reason,) = drift.reasons(drift.examine(basket.TASK, models.connection), Limits())
    assert reason.startswith("50.0% of the rows are new or gone")


@pytest.mark.parametrize(
    ("task", "row"), [("recommender", "('ann', 1, '2024-02-01')"), ("basket", "('c', 'ann', '2024-02-01', 1)")]
)
def test_rows_that_came_while_others_went_are_counted(models: Shop, task: str, row: str) -> None:
    connection, table = models.connection, {"recommender": "shop.visits", "basket": "shop.lines"}[task]
    trained = task_of(task)
    data = {"rows": trained.count_rows(connection), "newest": trained.newest_moment(connection)}
    models.execute("update aisle._models set data = %s where task = %s", [Jsonb(data), task])
    assert drift.examine(trained, connection).new_rows == 0
    models.execute(f"delete from {table} where who = 'ann'; insert into {table} values {row}")
    assert drift.examine(trained, connection).new_rows == 1, "Of two rows one went, and one came."


# ---- back-ups and upgrades ----


def program(server: Server, name: str) -> Path:
    path = server.program(name)
    if not path.exists():
        pytest.skip(f"The embedded PostgreSQL comes without {name}.")
    return path


def test_a_restored_copy_answers_alike(models: Shop, database_url: str, server: Server, tmp_path: Path) -> None:
    before = answers(models.connection)
    archive = tmp_path / "shop.dump"
    dump, restore = program(server, "pg_dump"), program(server, "pg_restore")
    subprocess.run([dump, "--format=custom", f"--file={archive}", database_url], check=True)
    with server.database("template template0") as copy_url:
        subprocess.run([restore, "--exit-on-error", f"--dbname={copy_url}", archive], check=True)
        with db.connect(copy_url) as connection:
            assert answers(connection) == before
            copy = Shop(connection)
            copy.insert_more(9, "식빵")
            assert "9" in copy.vectors(), "Triggers work in the copy."
            model_registry.rollback(connection, "category")
            assert answers(connection) != before


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_keeps_models_and_answers(revision: str, empty_url: str) -> None:
    """From each revision that was released, with a shop and models in it; a new one is covered by being there."""
    migrations.migrate(empty_url, revision)
    with db.connect(empty_url) as connection:
        open_tiny_shop(Shop(connection))
        before = answers(connection)
        migrations.migrate(empty_url)
        assert migrations.current(connection) == migrations.head()
        assert answers(connection) == before
        model_registry.rollback(connection, "category")
        Shop(connection).insert_more(9, "식빵")
