"""Draining the queue: the stored vector always belongs to the committed row, whatever happened meanwhile."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import psycopg
import pytest

from aisle import db
from aisle.db import Connection
from aisle.embedder import queue
from aisle.embedder.category_model import Generation
from aisle.embedder.encoders import Floats
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import Shop, TinyModel

LN4 = round(float(np.float16(np.log(4))), 3)  # n-grams are stored in half precision


def vector_of(text: str, dimensions: int) -> list[float]:
    """The fake encoder's vector of a text: its length, and 1."""
    return [float(len(text)), 1.0, *[0.0] * (dimensions - 2)]


@dataclass
class FakeEncoder:
    """A fake transformer: records its inputs, and lets a test act while the model runs."""

    dimensions: int = 2
    batches: list[list[str]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def tokenise(self, texts: Sequence[str]) -> list[str]:
        return list(texts)

    def encode(self, texts: Sequence[str]) -> Floats:
        self.batches.append(list(texts))
        self.meanwhile()
        if any("poison" in text for text in texts):
            raise ValueError("the model chokes on poison")
        return np.array([vector_of(text, self.dimensions) for text in texts], dtype=np.float32)

    def once(self, action: Callable[[], object]) -> None:
        """Run an action during the first batch, and in no other."""

        def act() -> None:
            self.meanwhile = lambda: None
            action()

        self.meanwhile = act


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    """The shop's application, while the worker works."""
    with db.connect(database_url) as connection:
        yield connection


@pytest.fixture
def products(shop: Shop, load_model: Callable[..., TinyModel]) -> Shop:
    """An attached table, and a live model whose rows have vectors of an encoder that only the worker can run."""
    shop.create()
    shop.attach()
    load_model(encoder="fake")
    return shop


def load(shop: Shop, encoder: FakeEncoder, model_id: int | None = None) -> Generation:
    """Return a generation with the fake encoder in place of a stored one."""
    model_id = model_id or shop.value("select max(model_id) from aisle._models")
    shop.execute("update aisle._models set encoder = null where model_id = %s", [model_id])
    generation = Generation.load(shop.connection, model_id)
    shop.execute("update aisle._models set encoder = 'fake' where model_id = %s", [model_id])
    return replace(generation, encoder=encoder, ngram_scale=0.0)  # type: ignore[arg-type]


def run(shop: Shop, encoder: FakeEncoder, **options: Any) -> int:
    return drain(shop.connection, [ItemEmbedder([load(shop, encoder)])], **options)


def drafts(shop: Shop) -> dict[str, bool]:
    return dict(shop.execute("select item_id, is_draft from aisle.item_vectors").fetchall())


@pytest.mark.trap(6)
def test_an_empty_queue_is_no_work(products: Shop) -> None:
    encoder = FakeEncoder()
    assert run(products, encoder) == 0
    assert encoder.batches == []


def test_without_a_model_there_is_nothing_to_keep_up_to_date(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.insert("녹차")
    assert drain(shop.connection, [ItemEmbedder()]) == 1
    assert shop.jobs() == {}
    assert shop.vectors() == {}


def test_the_final_vector_replaces_the_draft(products: Shop) -> None:
    products.insert("녹차")
    assert products.vectors() == {"1": [LN4, 0]}, "the n-gram model's, in the shop's own transaction."
    assert drafts(products) == {"1": True}
    assert run(products, FakeEncoder()) == 1
    assert products.vectors() == {"1": [2, 1]}
    assert drafts(products) == {"1": False}
    assert products.jobs() == {}
    prediction = products.execute("select item_id, category, ngram_category from aisle._item_predictions").fetchone()
    assert prediction == ("1", "음료 > 차", "음료 > 차")


def test_the_ngram_vector_is_added_to_the_encoder_at_its_scale(products: Shop) -> None:
    products.insert("녹차")
    generation = replace(load(products, FakeEncoder()), ngram_scale=2.0)
    drain(products.connection, [ItemEmbedder([generation])])
    assert products.vectors() == {"1": [round(2 + 2 * float(np.float16(np.log(4))), 3), 1]}


def test_the_encoder_reads_name_manufacturer_and_details(shop: Shop, load_model: Callable[..., TinyModel]) -> None:
    shop.create()
    shop.attach(text_columns=["specs"])
    load_model(encoder="fake")
    shop.execute(
        "insert into shop.products values (1, ' 녹차 ', 'M', '빵', '100g', 5), (2, '커피', null, null, ' ', 6)"
    )
    encoder = FakeEncoder()
    run(shop, encoder)
    assert sorted(encoder.batches[0]) == ["녹차 | M | 100g", "커피"]


@pytest.mark.trap(7)
@pytest.mark.parametrize("name", [None, "", "  ", "\t\n", "🍵", "x" * 1_000_000, "\u0001"])
def test_any_text_has_a_vector(products: Shop, name: str | None) -> None:
    products.insert(name)
    run(products, FakeEncoder())
    assert products.jobs() == {}
    assert products.vectors() == {"1": [len((name or "").strip()), 1]}


def test_batches_are_of_the_size_given(products: Shop) -> None:
    products.insert(*["tea"] * 7)
    encoder = FakeEncoder()
    done: list[int] = []
    assert run(products, encoder, batch_size=3, progress=done.append) == 7
    assert [len(batch) for batch in encoder.batches] == [3, 3, 1]
    assert done == [3, 6, 7]


def test_stopping_ends_after_the_batch_and_leaves_no_lease(products: Shop) -> None:
    products.insert(*["tea"] * 6)
    encoder = FakeEncoder()
    assert run(products, encoder, batch_size=2, keep_on=lambda: len(encoder.batches) < 2) == 4
    assert len(products.jobs()) == 2
    assert products.value("select count(*) from aisle._embedding_jobs where lease_token is not null") == 0


def test_a_batch_gets_the_vector_that_each_row_would_get_alone(products: Shop) -> None:
    names = ["녹차", "green tea", None, "커피 원두 1kg", "식빵"]
    products.insert(*names)
    run(products, FakeEncoder())
    together = products.vectors()
    for item_id in together:
        products.execute("select aisle._enqueue('category', array[%s])", [item_id])
        run(products, FakeEncoder())
    assert products.vectors() == together


# ---- the shop writes while the model runs ----


@pytest.mark.trap(17)
def test_a_row_that_changed_meanwhile_is_done_again(products: Shop, other: Connection) -> None:
    products.insert("tea", "커피")
    encoder = FakeEncoder()
    seen: list[dict[str, list[float]]] = []

    def change() -> None:
        other.execute("update shop.products set name = 'green tea' where id = 1")
        encoder.meanwhile = lambda: seen.append(products.vectors())

    encoder.once(change)
    run(products, encoder)
    assert encoder.batches == [["tea", "커피"], ["green tea"]] or encoder.batches == [["커피", "tea"], ["green tea"]]
    assert seen[0]["1"] != [3, 1], "The vector of the old name must not be written."
    assert products.vectors() == {"1": [9, 1], "2": [2, 1]}
    assert products.jobs() == {}


def test_a_change_that_is_not_committed_yet_is_waited_for_by_nobody(products: Shop, other: Connection) -> None:
    products.insert("tea", "커피")
    encoder = FakeEncoder()
    products.execute("set lock_timeout = '2s'")
    with other.transaction():
        encoder.once(lambda: other.execute("update shop.products set name = 'green tea' where id = 1"))
        run(products, encoder)
        assert products.vectors()["2"] == [2, 1]
        assert drafts(products)["1"]
    assert len(products.jobs()) == 1
    run(products, encoder)
    assert products.vectors()["1"] == [9, 1]


def test_a_change_that_is_rolled_back_costs_only_time(products: Shop, other: Connection) -> None:
    products.insert("tea")
    encoder = FakeEncoder()
    with other.transaction(force_rollback=True):
        encoder.once(lambda: other.execute("update shop.products set name = 'green tea' where id = 1"))
        run(products, encoder)
    assert products.value("select attempts from aisle._embedding_jobs") == 0
    products.execute("update aisle._embedding_jobs set run_after = now()")
    run(products, encoder)
    assert products.vectors() == {"1": [3, 1]}
    assert products.jobs() == {}


@pytest.mark.parametrize("removal", ["delete from shop.products where id = 1", "truncate shop.products"])
def test_a_row_that_is_deleted_meanwhile_leaves_nothing_behind(products: Shop, other: Connection, removal: str) -> None:
    products.insert("tea")
    encoder = FakeEncoder()
    encoder.once(lambda: other.execute(removal.encode()))
    run(products, encoder)
    assert products.vectors() == {}
    assert products.jobs() == {}
    assert products.value("select count(*) from aisle._item_predictions") == 0


def test_a_prediction_without_a_vector_goes_with_its_row(products: Shop) -> None:
    model = products.value("select model_id from aisle._live_models where task = 'category'")
    products.execute(  # training copies vectors, then predictions: so does a row deleted in between remain
        "insert into aisle._item_predictions values (%s, '77', 'x', 1, 'x', 1, '')", [model]
    )
    products.execute("select aisle._enqueue_stale()")
    assert products.value("select count(*) from aisle._item_predictions where item_id = '77'") == 0


@pytest.mark.trap(1, 17)
def test_jobs_of_rows_that_are_gone_end_and_the_drain_goes_on(products: Shop) -> None:
    products.insert(*["tea"] * 5)
    products.execute("set session_replication_role = replica")  # as if the triggers had been off
    products.execute("alter table shop.products disable trigger all")
    products.execute("delete from shop.products where id < 5")
    assert run(products, FakeEncoder(), batch_size=2) == 5
    assert list(products.vectors()) == ["5"]
    assert products.jobs() == {}


def test_a_row_that_is_deleted_and_comes_back_has_the_vector_of_what_came_back(
    products: Shop, other: Connection
) -> None:
    products.insert("tea")
    encoder = FakeEncoder()

    def replace_row() -> None:
        other.execute("delete from shop.products")
        other.execute("insert into shop.products (id, name) values (1, 'green tea')")

    encoder.once(replace_row)
    run(products, encoder)
    assert products.vectors() == {"1": [9, 1]}
    assert products.jobs() == {}


def test_a_view_that_changed_without_a_trigger_is_not_given_an_older_vector(
    shop: Shop, load_model: Callable[..., TinyModel], other: Connection
) -> None:
    shop.create(table="shop.stock")
    shop.execute("create view shop.products as select id + 0 as id, name, maker, category from shop.stock")
    assert "Nothing tells of all changes in shop.stock" in shop.attach()
    load_model(encoder="fake")
    shop.execute("insert into shop.stock (id, name) values (1, 'tea')")
    shop.execute("select aisle._enqueue_stale()")
    encoder = FakeEncoder()
    encoder.once(lambda: other.execute("update shop.stock set name = 'green tea'"))
    run(shop, encoder)
    assert shop.vectors() == {}
    shop.execute("select aisle._enqueue_stale()")
    run(shop, encoder)
    assert shop.vectors() == {"1": [9, 1]}


@pytest.mark.trap(14)
def test_no_transaction_is_open_while_the_model_runs(products: Shop, other: Connection) -> None:
    products.insert("tea")
    encoder = FakeEncoder()
    worker = products.connection.info.backend_pid
    seen: list[Any] = []
    encoder.once(
        lambda: seen.extend(
            other.execute(
                "select state, xact_start, backend_xmin, (select count(*) from pg_locks l where l.pid = a.pid) "
                "from pg_stat_activity a where pid = %s",
                [worker],
            ).fetchall()
        )
    )
    run(products, encoder)
    assert seen == [("idle", None, None, 0)]


@pytest.mark.parametrize("statement", ["truncate shop.products", "alter table shop.products add column extra text"])
def test_a_shop_that_locks_its_table_never_deadlocks_with_the_worker(
    products: Shop, other: Connection, database_url: str, statement: str
) -> None:
    """The shop locks the table and waits for the jobs; the worker waits for the table, so it must not hold them."""
    products.insert("tea", "커피")
    encoder = FakeEncoder()
    errors: list[Exception] = []

    def work() -> None:
        try:
            with db.connect(database_url) as connection:
                drain(connection, [ItemEmbedder([generation])])
        except psycopg.Error as error:
            errors.append(error)

    generation = load(products, encoder)
    at_work = threading.Event()
    locked = threading.Event()
    encoder.once(lambda: (at_work.set(), locked.wait(10)))
    worker = threading.Thread(target=work)
    worker.start()
    assert at_work.wait(10)
    with other.transaction():
        other.execute("lock table shop.products in access exclusive mode")
        locked.set()
        while not db.fetch_value(  # the worker waits to write
            products.connection, "select count(*) from pg_locks where not granted and pid <> pg_backend_pid()"
        ):
            assert worker.is_alive(), f"The worker ended without waiting: {errors}"
        other.execute(statement.encode())
        if statement.startswith("alter"):
            other.execute("update shop.products set name = name || ' 1kg'")
    worker.join(10)
    assert errors == []
    drain(products.connection, [ItemEmbedder([generation])])
    assert products.jobs() == {}
    assert len(products.vectors()) == (0 if statement.startswith("truncate") else 2)


# ---- rows at fault ----


@pytest.mark.trap(2)
def test_only_the_poison_row_is_charged(products: Shop) -> None:
    products.insert(*["tea"] * 5, "poison", *["커피"] * 10)
    encoder = FakeEncoder()
    assert run(products, encoder) == 15
    assert products.execute("select id, attempts, last_error from aisle._embedding_jobs").fetchall() == [
        ("6", 1, "ValueError: the model chokes on poison")
    ]
    assert sum(not is_draft for is_draft in drafts(products).values()) == 15, "Its neighbours have their vectors."
    assert drafts(products)["6"], "It keeps its draft."
    assert max(map(len, encoder.batches[1:])) < 16
    assert len(encoder.batches) <= 10, "A batch is halved, not taken row by row."


@pytest.mark.trap(2)
def test_several_poison_rows_in_one_batch(products: Shop) -> None:
    products.insert("poison", "tea", "poison", "poison", "커피")
    run(products, FakeEncoder())
    charged = products.execute("select id, attempts from aisle._embedding_jobs order by id").fetchall()
    assert charged == [("1", 1), ("3", 1), ("4", 1)]


@pytest.mark.trap(10)
def test_a_poison_row_is_given_up_and_then_cured_by_a_change(products: Shop) -> None:
    products.insert("poison")
    for _ in range(queue.MAX_ATTEMPTS):
        products.execute("update aisle._embedding_jobs set run_after = now()")
        run(products, FakeEncoder())
    assert run(products, FakeEncoder()) == 0
    failure = products.execute("select id, attempts from aisle.failures").fetchall()
    assert failure == [("1", queue.MAX_ATTEMPTS)]
    products.execute("update shop.products set name = 'tea'")
    run(products, FakeEncoder())
    assert products.vectors() == {"1": [3, 1]}
    assert products.execute("select from aisle.failures").fetchall() == []


def test_poison_that_is_changed_while_the_model_chokes_is_not_charged(products: Shop, other: Connection) -> None:
    products.insert("poison")
    encoder = FakeEncoder()
    encoder.once(lambda: other.execute("update shop.products set name = 'tea'"))
    run(products, encoder)
    assert products.vectors() == {"1": [3, 1]}
    assert products.jobs() == {}


@pytest.mark.trap(15)
def test_running_out_of_memory_charges_no_row_and_gives_the_lease_back(products: Shop) -> None:
    products.insert("tea", "커피")

    def exhaust() -> None:
        raise MemoryError

    assert run(products, FakeEncoder(meanwhile=exhaust)) == 0
    jobs = products.execute("select attempts, lease_token from aisle._embedding_jobs").fetchall()
    assert jobs == [(0, None), (0, None)]


# ---- generations ----


def test_two_generations_are_kept_up_to_date(products: Shop, load_model: Callable[..., TinyModel]) -> None:
    products.insert("tea", "커피")
    newer = load_model(dimensions=3, encoder="fake", deploy=False)
    generations = [
        load(products, FakeEncoder(dimensions), model_id)
        for model_id, dimensions in products.execute("select model_id, dimensions from aisle._models").fetchall()
    ]
    drain(products.connection, [ItemEmbedder(generations)])
    stored = products.execute(
        "select model_id = %s, item_id, embedding::real[] from aisle.item_vectors order by 1, 2", [newer.model_id]
    ).fetchall()
    assert stored == [
        (False, "1", [3, 1]),
        (False, "2", [2, 1]),
        (True, "1", [3, 1, 0]),
        (True, "2", [2, 1, 0]),
    ]
    assert products.jobs() == {}


def test_a_generation_that_is_dropped_is_forgotten_and_a_new_one_is_loaded(
    products: Shop, load_model: Callable[..., TinyModel]
) -> None:
    embedder = ItemEmbedder()
    older = products.value("select model_id from aisle._models")
    products.execute("update aisle._models set encoder = null")
    assert embedder.generations(products.connection) == [older]
    newer = load_model(dimensions=3)
    assert embedder.generations(products.connection) == [older, newer.model_id]
    products.execute("select aisle._drop_model(%s)", [older])
    assert embedder.generations(products.connection) == [newer.model_id]


def test_a_worker_without_an_encoder_stores_the_ngram_vectors(shop: Shop, tiny_model: TinyModel) -> None:
    shop.create()
    shop.attach(draft_rows=0)
    shop.insert("녹차", "커피", None)
    assert shop.vectors() == {}, "No drafts were asked for."
    drain(shop.connection, [ItemEmbedder()])
    assert shop.vectors() == {"1": [LN4, 0], "2": [0, LN4], "3": [0, 0]}
    assert drafts(shop) == {"1": False, "2": False, "3": False}
    confidence = shop.value("select confidence from aisle._item_predictions where item_id = '1'")
    assert confidence == pytest.approx(4 / 7, abs=1e-3), "As the hand-made model has it: 4 : 1 : 2."
