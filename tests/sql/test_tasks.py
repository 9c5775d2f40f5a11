"""The table of tasks: what a task is stands there, and a task that nobody thought of works like the others."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from aisle import db
from aisle.db import errors, model_registry
from aisle.embedder.pipeline import drain
from aisle.trainers import drift, evaluation, indexes, run
from aisle.trainers.options import TaskOptions
from aisle.trainers.task import Metrics, Report, Task
from tests.conftest import Shop

TASKS = ("category", "recommender", "basket", "preference")
# Who may name a task: its own folder and views, and a public argument. The recommender builds on the vectors of the
# live category model.
MAY_NAME = {
    "category": ("functions/category/", "functions/recommender/_draft_item_factors",
                 "functions/recommender/_neighbours_links", "functions/search/similar_items", "functions/write_back/",
                 "views/category_", "views/confusion", "views/applied_categories"),
    "recommender": ("functions/recommender/",),
    "basket": ("functions/basket/", "functions/search/similar_items"),
    "preference": ("functions/preference/",),
}  # fmt: skip


def without_comments(text: str) -> str:
    return re.sub(r"--.*", "", text)


@pytest.mark.parametrize("task", TASKS)
def test_only_what_belongs_to_a_task_names_it(task: str) -> None:
    for path in sorted(db.SQL.rglob("*.sql")):
        name = path.relative_to(db.SQL).with_suffix("").as_posix()
        if name == "tasks" or name.startswith(MAY_NAME[task]):
            continue
        text = without_comments(path.read_text("utf-8"))
        named = re.findall(rf"(?<!columns ->> )'{task}'(?!, category| = any \(named\)| end\))", text)
        assert not named, f"sql/{name}.sql names the task {task}: read aisle._tasks instead, as every task's code does."


def test_the_tables_and_columns_of_a_task_are_there(connection: db.Connection) -> None:
    for task, tables, searched in connection.execute(
        "select task, vector_tables, searched from aisle._tasks"
    ).fetchall():
        for table in tables:
            assert db.fetch_value(connection, "select to_regclass('aisle.' || %s) is not null", [table]), (task, table)
        for part in searched:
            query = "select count(*) from pg_attribute where attrelid = ('aisle.' || %s)::regclass and attname = %s"
            assert db.fetch_value(connection, query, [part["table"], part["column"]]) == 1, (task, part)
            assert part["table"] in tables
            assert part["operator"] in indexes.OPERATOR_CLASSES


def test_only_the_owner_changes_tasks(connection: db.Connection, login: Callable[..., db.Connection]) -> None:
    from aisle.db import grants

    for kind in ("reader", "worker", "admin"):
        role = login()
        grants.grant(connection, kind, role.info.user)
        assert role.execute("select count(*) from aisle._tasks").fetchone() == (len(TASKS),)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.execute("update aisle._tasks set row_vectors = row_vectors")


# A fourth task: the length of an item's name

TOY = """
create table aisle.toy_vectors (
    model_id integer not null, item_id text not null, embedding public.vector not null, content_hash bytea not null,
    primary key (item_id, model_id)
) partition by list (model_id);
insert into aisle._tasks (task, place, learns_from, vector_tables, follows, row_vectors, searched)
values ('toy', 5, '{items}', '{toy_vectors}', 'items', 'toy_vectors',
        '[{"table": "toy_vectors", "column": "embedding", "operator": "<=>"}]');
"""


@dataclass
class Row:
    id: str
    name: str
    content_hash: bytes
    is_current: bool = False


class ToyEmbedder:
    task = "toy"

    def generations(self, connection: db.Connection) -> list[int]:
        rows = connection.execute(db.read("queries/generations_to_embed"), {"task": self.task}).fetchall()
        return [model_id for (model_id,) in rows]

    def load(self, connection: db.Connection, model_id: int) -> int:
        return model_id

    def read(self, connection: db.Connection, generation: int, ids: Sequence[str]) -> list[Row]:
        query = "select item_id, name, content_hash from aisle._read_items(%s)"
        return [Row(*row) for row in connection.execute(query, [list(ids)]).fetchall()]

    def embed(self, generation: int, rows: Sequence[Row]) -> list[tuple[str, str, bytes]]:
        return [(row.id, f"[{len(row.name)},1]", row.content_hash) for row in rows]

    def hold(self, connection: db.Connection) -> None:
        connection.execute("select from aisle._read_items('{}')")

    def write(self, connection: db.Connection, generation: int, results: Any, keep: set[str]) -> set[str]:
        for id_, vector, content_hash in results:
            connection.execute(
                "insert into aisle.toy_vectors values (%(model)s, %(id)s, %(vector)s, %(hash)s) on conflict "
                "(item_id, model_id) do update set embedding = %(vector)s, content_hash = %(hash)s",
                {"model": generation, "id": id_, "vector": vector, "hash": content_hash},
            )
        return {id_ for id_, *_ in results}

    def forget(self, connection: db.Connection, ids: Sequence[str]) -> None:
        connection.execute("select aisle._forget_items(%s)", [list(ids)])

    def still_works(self, connection: db.Connection, generation: int) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class ToyOptions(TaskOptions):
    rival: float = 0.0  # the accuracy of the baseline
    top: int = 1


class ToyTask(Task[ToyOptions, list[str], list[str], None]):
    name, options, answer, metric = "toy", ToyOptions, "toy", "accuracy"

    def source(self, connection: db.Connection) -> str:
        return "_items"

    def read(self, connection: db.Connection, options: ToyOptions, report: Report) -> list[str]:
        return [name for (name,) in connection.execute("select name from aisle._items order by item_id").fetchall()]

    def split(self, data: list[str], options: ToyOptions, start: None = None) -> list[str]:
        return data

    def describe(self, data: list[str], held_out: list[str]) -> str:
        return f"{len(data)} names."

    def fit(
        self, connection: db.Connection, data: list[str], held_out: list[str], options: ToyOptions, report: Report,
        start: None = None,
    ) -> None:  # fmt: skip
        return None

    def load(
        self, connection: db.Connection, data: list[str], held_out: list[str], fitted: None, options: ToyOptions,
        parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        model_id = model_registry.create(connection, self.name, 2, encoder=None, parameters=dict(parameters))
        connection.execute("update aisle._models set state = 'filling' where model_id = %s", [model_id])
        connection.execute("select aisle._enqueue_stale()")
        drain(connection, [ToyEmbedder()])
        indexes.index_generation(connection, self.name, model_id)
        return model_id

    def score(
        self, connection: db.Connection, model_id: int, held_out: list[str], options: ToyOptions, *, heldout_of: int
    ) -> Metrics:
        query = "select embedding::text from aisle.toy_vectors where model_id = %s"
        known = {vector for (vector,) in connection.execute(query, [model_id]).fetchall()}
        return {"accuracy": sum(f"[{len(name)},1]" in known for name in held_out) / len(held_out)}

    def baselines(
        self, held_out: list[str], options: ToyOptions, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        return {"a rival": lambda: {"accuracy": options.rival}}

    def held_out_of(
        self, connection: db.Connection, model_id: int, options: ToyOptions, *, for_baselines: bool
    ) -> list[str]:
        return self.read(connection, options, lambda line: None)


def stored(shop: Shop, model: int) -> dict[str, str]:
    query = "select item_id, embedding::text from aisle.toy_vectors where model_id = %s"
    return dict(shop.execute(query, [model]).fetchall())


def pending(shop: Shop) -> dict[str, int]:
    return dict(shop.execute("select task, pending from aisle.freshness where task = 'toy'").fetchall())


def test_a_task_that_nobody_thought_of(shop: Shop, database_url: str) -> None:
    shop.execute(TOY)
    shop.create()
    shop.attach()
    shop.insert("tea", "coffee")
    assert pending(shop) == {}, "It has no model yet."

    task = ToyTask()
    trained, rejected = (
        run.train(task, database_url, ToyOptions()),
        run.train(task, database_url, ToyOptions(rival=1, seed=3)),
    )
    assert (trained.deployed, rejected.deployed) == (True, False)
    assert rejected.reason == "its accuracy 1.0000 is not better than that of the live model, 1.0000"
    first, second = trained.model_id, rejected.model_id
    assert stored(shop, first) == stored(shop, second) == {"1": "[3,1]", "2": "[6,1]"}
    assert [row["answer"] for row in evaluation.evaluate(task, shop.connection, baselines=True)] == ["toy", "a rival"]
    assert drift.examine(task, shop.connection).new_rows == 0
    with pytest.raises(errors.ModelStateError, match="is not better than that of the live model"):
        model_registry.deploy(shop.connection, second)
    model_registry.deploy(shop.connection, second, force=True)
    assert shop.value("select aisle.rollback('toy')") == f"Model {first} answers for toy again."
    assert shop.execute("select state from aisle.models where task = 'toy' order by model_id").fetchall() == [
        ("live",),
        ("ready",),
    ]
    status = shop.execute("select attached, live_model, pending, vectors, drafts from aisle.status where task = 'toy'")
    assert status.fetchall() == [("shop.products", first, 0, 2, 0)]

    # The worker keeps it current.
    shop.execute("update shop.products set name = 'green tea' where id = 1; insert into shop.products values (3, 'x')")
    assert pending(shop) == {"toy": 2}
    drain(shop.connection, [ToyEmbedder()])
    assert stored(shop, first) == {"1": "[9,1]", "2": "[6,1]", "3": "[1,1]"}
    shop.execute("delete from shop.products where id = 2")
    assert stored(shop, first).keys() == {"1", "3"}
    assert shop.value("select vectors from aisle.status where task = 'toy'") == 2

    # Comparing finds what no trigger told of.
    shop.execute("alter table shop.products disable trigger all; update shop.products set name = 'y' where id = 3")
    shop.execute("delete from shop.products where id = 1; alter table shop.products enable trigger all")
    shop.execute("delete from aisle._changes; delete from aisle._embedding_jobs")
    assert shop.value("select aisle._compare('toy', 100)") == 2
    drain(shop.connection, [ToyEmbedder()])
    assert stored(shop, first) == stored(shop, second) == {"3": "[1,1]"}
    assert shop.value("select mended from aisle.freshness where task = 'toy'") == 2

    shop.execute("truncate shop.products")
    assert stored(shop, first) == {}
    shop.insert("tea")
    drain(shop.connection, [ToyEmbedder()])
    partition = db.fetch_value(shop.connection, db.read("queries/searched_partitions"))
    assert partition == f"aisle.toy_vectors_{first}"
    shop.execute("select aisle.detach('items')")
    assert stored(shop, first) == {}

    model_registry.drop(shop.connection, second)
    assert shop.execute("select model_id from aisle.models where task = 'toy'").fetchall() == [(first,)]
    assert shop.value("select to_regclass(%s) is null", [f"aisle.toy_vectors_{second}"])
    with pytest.raises(errors.ModelStateError, match="is live"):
        model_registry.drop(shop.connection, first)


def test_a_task_can_be_taken_back(shop: Shop) -> None:
    shop.execute(TOY)
    shop.execute("delete from aisle._tasks where task = 'toy'; drop table aisle.toy_vectors")
    assert shop.execute("select task from aisle.status").fetchall() == [("category",)]


def test_an_unknown_task_is_named_with_those_that_there_are(shop: Shop) -> None:
    shop.execute(TOY)
    with pytest.raises(psycopg.Error, match="There is no task 'x'") as caught:
        shop.execute("select aisle.rollback('x')")
    assert caught.value.diag.message_hint == "There are: category, recommender, basket, preference, toy"
    with pytest.raises(psycopg.Error, match="There is no space toy") as caught:
        shop.execute("select aisle.similar_items('1', space => 'toy')")
    assert caught.value.diag.message_hint == "There are: category, after, behaviour, basket"


def test_changes_of_orders_are_seen_while_no_worker_runs(shop: Shop) -> None:
    shop.execute(
        "create table orders (id bigint, customer text, product text, at timestamptz);"
        "select aisle.attach_orders('orders', 'id', 'product', 'customer', 'at');"
        "insert into orders values (1, 'ann', 'tea', now()), (2, 'bob', 'tea', now())"
    )
    assert shop.execute("select task, pending from aisle.freshness").fetchall() == [("category", 0), ("basket", 2)]
    shop.execute("select set_config('aisle.now', (now() + interval '1 hour')::text, false)")
    assert shop.value("select warning from aisle.warnings where warning like '%%rows wait%%'").startswith("2 rows wait")
    shop.collect()
    assert shop.value("select pending from aisle.freshness where task = 'basket'") == 2
