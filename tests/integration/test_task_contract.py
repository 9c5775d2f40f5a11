"""The contract of all tasks: one test for each promise, run over all of them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from aisle import db, trainers
from aisle.cli import aisle
from aisle.db import Connection, errors, model_registry
from aisle.trainers import drift, evaluation, run
from aisle.trainers.basket.options import Options as BasketOptions
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.category.options import Options as CategoryOptions
from aisle.trainers.options import Limits, dump, restore
from aisle.trainers.preference.options import Options as PreferenceOptions
from aisle.trainers.recommender.options import Options as RecommenderOptions
from aisle.trainers.recommender.options import TowerOptions
from tests.conftest import Server
from tests.integration.life import ATTACH, SHOP

NGRAM = NgramOptions(dimensions=8, epochs=3, members=1)
QUICK: dict[str, Any] = {
    "category": CategoryOptions(ngram=NGRAM, baseline=True, deploy=True),
    "preference": PreferenceOptions(liked_from=4, ngram=NGRAM, deploy=True),
    "recommender": RecommenderOptions(
        model="towers", towers=TowerOptions(dimensions=8, epochs=2, history=5), deploy=True
    ),
    "basket": BasketOptions(neighbours=20, deploy=True),
}
REVIEWS = """
alter table shop.visits add review text, add rating integer;
update shop.visits set rating = 1 + 4 * (product % 2),
       review = concat_ws(' ', (array['good', 'bad'])[2 - product % 2], 'tea', left(md5(concat(visitor, product)), 5));
"""
VECTORS = "select vectors::text from aisle.{0} vectors where model_id = %s order by 1"
EMPTY = {
    "no rows": "truncate shop.products, shop.visits, shop.orders, shop.lines",
    "one class": """
        update shop.products set category = 'drink';
        update shop.visits set rating = 5;
        delete from shop.visits where product <> (select min(product) from shop.visits);
        update shop.lines set product = 1;
    """,
    "one user": """
        delete from shop.visits where visitor <> 'v1';
        delete from shop.lines where order_id >= 20;
        delete from shop.orders where id >= 20;
        delete from shop.products where id > 2;
    """,
}


def test_every_task_is_here() -> None:
    assert set(QUICK) == set(trainers.names())


def test_tasks_come_in_the_order_in_which_they_build_on_each_other(connection: Connection) -> None:
    rows = connection.execute("select task from aisle._tasks order by place").fetchall()
    assert trainers.names() == [task for (task,) in rows]


def test_what_is_of_one_run_is_not_stored() -> None:
    recommender = dump(RecommenderOptions(test_from=1.0, validate_from=1.0, deploy=True, warm_start=True))
    assert not {"test_from", "validate_from", "deploy", "warm_start"} & set(recommender)
    assert "baseline" not in dump(CategoryOptions(baseline=False))
    assert "test_customers" not in dump(BasketOptions(test_customers=frozenset({"a"})))


@pytest.mark.parametrize("name", QUICK)
def test_options_are_restored_as_they_were_stored(name: str) -> None:
    options = replace(QUICK[name], seed=11)
    stored = json.loads(json.dumps(dump(options)))
    assert {"seed", *stored} - {"deploy", "warm_start"} == set(stored), "These two are of one run."
    assert restore(type(options), stored) == for_another_run(options)


def for_another_run(options: Any) -> Any:
    changes = {"deploy": None} | ({"baseline": None} if isinstance(options, CategoryOptions) else {})
    return replace(options, **changes)


@pytest.fixture(scope="module")
def url(server: Server, template: str) -> Iterator[str]:
    with server.database(f"template {template} strategy file_copy") as address, db.connect(address) as connection:
        fill(address, connection)
        yield address


@pytest.fixture
def own_url(server: Server, template: str) -> Iterator[str]:
    with server.database(f"template {template} strategy file_copy") as address, db.connect(address) as connection:
        fill(address, connection)
        yield address


def fill(url: str, connection: Connection) -> None:
    connection.execute((SHOP + REVIEWS).encode())
    for command in ATTACH:
        rated = " --review review --rating rating" if "interactions" in command else ""
        done = CliRunner().invoke(aisle, ["--database-url", url, *(command + rated).split()])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", QUICK)
def test_a_task_is_trained_measured_and_trained_again(url: str, name: str) -> None:
    task, options = trainers.task_of(name), QUICK[name]
    metric = task.metric_of(options)
    with db.connect(url) as connection:
        first = run.train(task, url, options)
        assert first.deployed
        assert model_registry.live(connection, name) == first.model_id
        (row, *_) = evaluation.evaluate(task, connection, baselines=False)
        assert row["answer"] == task.answer
        assert row[metric] == pytest.approx(first.metrics[metric]), "Asked again, it answers the same."
        model = model_registry.get(connection, first.model_id)
        assert task.options_of(model) == for_another_run(task.settle(connection, options))

        again = run.train(task, url, replace(options, deploy=False))
        assert again.metrics[metric] == first.metrics[metric], "The same seed gives the same model."
        for table in tables_of(connection, name):
            one, other = (
                connection.execute(VECTORS.format(table).encode(), [model_id]).fetchall()
                for model_id in (first.model_id, again.model_id)
            )
            assert strip(one) == strip(other), table
        retrained = run.retrain(task, connection, url, lambda line: None)
        assert task.options_of(model_registry.get(connection, retrained.model_id)) == task.options_of(model)
        assert retrained.passed is not True or name == "preference", "It is no better than itself."
        assert drift.reasons(drift.examine(task, connection), Limits()) == []
        model_registry.drop(connection, again.model_id)
        assert [connection.execute(VECTORS.format(t).encode(), [again.model_id]).fetchall()
                for t in tables_of(connection, name)] == [[]] * len(tables_of(connection, name))  # fmt: skip


def tables_of(connection: Connection, task: str) -> list[str]:
    return list(db.fetch_value(connection, "select vector_tables from aisle._tasks where task = %s", [task]))


def strip(rows: list[Any]) -> list[str]:
    """Return rows without their model and creation time."""
    return sorted(str(row[0]).partition(",")[2].rpartition(",")[0] for row in rows)


@pytest.mark.parametrize("change", EMPTY)
@pytest.mark.parametrize("name", QUICK)
def test_too_little_to_learn_from_is_said_and_leaves_nothing(own_url: str, name: str, change: str) -> None:
    task = trainers.task_of(name)
    with db.connect(own_url) as connection:
        connection.execute(EMPTY[change].encode())
        if (name, change) == ("basket", "one class"):  # customers repeat their purchases
            run.train(task, own_url, QUICK[name])
            assert evaluation.evaluate(task, connection, baselines=False)[0][task.metric_of(QUICK[name])] == 1
            return
        with pytest.raises(errors.TrainingDataError, match=r"\.$"):
            run.train(task, own_url, QUICK[name])
        assert connection.execute("select model_id from aisle._models").fetchall() == []
