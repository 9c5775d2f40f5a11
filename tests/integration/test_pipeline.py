"""The pipeline: failures of rows and of models, leases, and one loop for every task."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from click.testing import CliRunner

from aisle import db
from aisle.cli import aisle
from aisle.db import Connection
from aisle.embedder import queue
from aisle.embedder.backoff import is_unusable
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import Pipeline, drain
from tests.conftest import Shop, TinyModel
from tests.integration.test_embedder import FakeEncoder, drafts, load, run

ONE_SECOND = timedelta(seconds=1)


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    with db.connect(database_url) as connection:
        yield connection


@pytest.fixture
def products(shop: Shop, load_model: Callable[..., TinyModel]) -> Shop:
    """An attached table with rows, and a live model whose vectors only the worker can compute."""
    shop.create()
    shop.attach()
    load_model(encoder="fake")
    return shop


def charged(shop: Shop) -> dict[str, int]:
    """Return the attempts of each job."""
    return dict(shop.execute("select id, attempts from aisle._embedding_jobs").fetchall())


def breaking(error: Exception) -> FakeEncoder:
    """An encoder that raises the given error."""

    def fail() -> None:
        raise error

    return FakeEncoder(meanwhile=fail)


# ---- failures of rows and of models ----


UNUSABLE = [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    ConnectionRefusedError("the model's host"),
    TimeoutError(),
    OSError(28, "No space left on device"),
]


@pytest.mark.trap(15)
@pytest.mark.parametrize("error", UNUSABLE, ids=lambda error: type(error).__name__)
def test_an_unusable_model_costs_no_attempt_and_the_rows_wait(products: Shop, error: Exception) -> None:
    assert is_unusable(error)
    products.insert("tea")
    assert run(products, breaking(error)) == 0
    assert charged(products) == {"1": 0}
    due = "select run_after > now() and lease_token is null from aisle._embedding_jobs"
    assert products.value(due), "It is tried again later, by whoever comes first."
    assert products.value("select last_error from aisle.freshness").startswith(type(error).__name__)
    assert products.execute("select from aisle.failures").fetchall() == []


@pytest.mark.trap(15)
def test_a_model_that_is_left_alone_is_tried_again_and_recovers(products: Shop) -> None:
    products.insert("tea")
    encoder = breaking(MemoryError())
    pipeline = Pipeline([ItemEmbedder([load(products, encoder)])])
    assert pipeline.drain(products.connection) == 0
    products.execute("update aisle._embedding_jobs set run_after = now()")
    assert pipeline.drain(products.connection) == 0
    assert len(encoder.batches) == 1, "It is left alone for a while."
    encoder.meanwhile = lambda: None
    deadline = time.monotonic() + 30
    while not pipeline.drain(products.connection):
        assert time.monotonic() < deadline, "It must be tried again after a second or two."
        time.sleep(0.05)
    assert charged(products) == {}
    pipeline.close()


@pytest.mark.trap(15)
def test_a_model_that_can_do_nothing_any_more_is_at_fault_and_not_its_rows(products: Shop) -> None:
    products.insert("tea")
    run(products, FakeEncoder())
    products.insert_more(2, "커피", "녹차")
    broken = breaking(ValueError("weights of the wrong shape"))
    assert run(products, broken) == 0
    assert charged(products) == {"2": 0, "3": 0}
    assert len(broken.batches) <= 5, "The batch, its two rows, and the row that it once could do."


@pytest.mark.trap(15)
def test_a_model_that_never_worked_is_not_blamed_on_many_rows(products: Shop) -> None:
    products.insert(*["tea"] * 300)
    broken = breaking(ValueError("weights of the wrong shape"))
    run(products, broken)
    assert set(charged(products).values()) == {0}
    assert len(broken.batches) < 60, "It is not asked about every row."


@pytest.mark.trap(2)
@pytest.mark.parametrize("others", ["changed to poison, too", "gone behind the triggers' back"])
def test_a_model_is_not_tested_on_a_row_that_is_no_longer_what_it_embedded(
    shop: Shop, load_model: Callable[..., TinyModel], others: str
) -> None:
    """The row that the model embedded before is now the failing one, or gone: the model is usable."""
    shop.create()
    shop.attach(draft_rows=0)  # so that no draft marks the vector as stale
    load_model(encoder="fake")
    shop.insert("tea", "커피")
    run(shop, FakeEncoder())
    if others.startswith("gone"):
        shop.execute("alter table shop.products disable trigger all")
        shop.execute("delete from shop.products where id = 1")
        shop.execute("alter table shop.products enable trigger all")
    else:
        shop.execute("update shop.products set name = 'poison' where id = 1")
    shop.execute("update shop.products set name = 'poison' where id = 2")
    run(shop, FakeEncoder(), batch_size=1)
    assert set(charged(shop).values()) == {1}, "Without an attempt it would be tried for ever, and hold up all others."


@pytest.mark.trap(3)
def test_an_error_of_the_write_back_is_recorded_although_its_transaction_is_lost(products: Shop) -> None:
    products.insert("tea", "nonsense", "커피")

    class WithoutANumber(FakeEncoder):
        def encode(self, texts: Sequence[str]) -> Any:
            vectors = super().encode(texts)
            return np.where(np.array(texts)[:, None] == "nonsense", np.nan, vectors).astype(np.float32)

    assert run(products, WithoutANumber()) == 2
    rows = products.execute("select id, attempts, last_error from aisle._embedding_jobs").fetchall()
    assert rows == [("2", 1, "DataException: NaN not allowed in vector")]
    assert drafts(products) == {"1": False, "2": True, "3": False}


def test_a_row_that_cannot_be_read_is_charged_alone(
    shop: Shop, load_model: Callable[..., TinyModel], other: Connection
) -> None:
    shop.create(table="shop.stock")
    shop.execute(
        "create view shop.products as select id, name, maker, category, (1 / price)::text as specs from shop.stock"
    )
    shop.attach(text_columns=["specs"])
    load_model(encoder="fake")
    shop.execute("insert into shop.stock (id, name, price) select i, 'tea', i - 3 from generate_series(1, 5) i")
    shop.execute("select aisle._enqueue('category', array['1', '2', '3', '4', '5'])")
    assert run(shop, FakeEncoder()) == 4
    failed = shop.execute("select id, last_error from aisle._embedding_jobs").fetchall()
    assert failed == [("3", "DivisionByZero: division by zero")]


def test_a_table_that_cannot_be_read_is_not_blamed_on_its_rows(
    products: Shop, login: Callable[..., Connection]
) -> None:
    products.insert("tea", "커피")
    generation = load(products, FakeEncoder())
    worker = login(
        "usage on schema aisle",
        "all on all tables in schema aisle",
        "usage on all sequences in schema aisle",
        "execute on all functions in schema aisle",
    )
    assert drain(worker, [ItemEmbedder([generation])]) == 0
    assert charged(products) == {"1": 0, "2": 0}
    assert "permission denied for table products" in products.value("select last_error from aisle.freshness")


def test_what_keeps_all_rows_from_being_written_is_said_and_not_blamed_on_them(
    products: Shop, login: Callable[..., Connection], caplog: pytest.LogCaptureFixture
) -> None:
    products.insert("tea", "커피")
    generation = load(products, FakeEncoder())
    worker = login(
        "usage on schema aisle",
        "usage on schema shop",
        "select on shop.products",
        "all on all tables in schema aisle",
        "usage on all sequences in schema aisle",
        "execute on all functions in schema aisle",
    )
    products.execute(f"revoke insert, update, delete, truncate on aisle._item_predictions from {worker.info.user}")
    assert drain(worker, [ItemEmbedder([generation])]) == 0
    assert charged(products) == {"1": 0, "2": 0}
    assert "permission denied for table _item_predictions" in products.value("select last_error from aisle.freshness")
    assert "permission denied for table _item_predictions" in caplog.text


@pytest.mark.trap(16)
def test_one_broken_model_does_not_stop_the_others(products: Shop, load_model: Callable[..., TinyModel]) -> None:
    """The newer generation has an encoder by its row, but the database has no file of it."""
    working = load(products, FakeEncoder())
    broken = load_model(dimensions=3, encoder="lost", deploy=False)
    products.insert("tea", "커피")
    pipeline = Pipeline([ItemEmbedder([working])])
    pipeline.drain(products.connection)
    served = products.execute("select distinct model_id, is_draft from aisle.item_vectors").fetchall()
    assert served == [(working.model_id, False)], "The live model's vectors are there."
    assert charged(products) == {"1": 0, "2": 0}, "The rows wait for the other model, at no cost."
    products.execute("select aisle._drop_model(%s)", [broken.model_id])
    products.execute("update aisle._embedding_jobs set run_after = now()")
    pipeline.drain(products.connection)
    assert products.jobs() == {}
    pipeline.close()


def test_embed_says_by_its_exit_code_that_rows_wait_for_a_model(
    shop: Shop, tiny_model: TinyModel, load_model: Callable[..., TinyModel], database_url: str
) -> None:
    broken = load_model(dimensions=3, encoder="lost", deploy=False)
    shop.create()
    shop.attach()
    shop.insert("tea")
    done = CliRunner().invoke(aisle, ["--database-url", database_url, "embed"])
    assert (done.exit_code, "1 still wait (" in done.output) == (1, True), done.output
    shop.execute("select aisle._drop_model(%s)", [broken.model_id])
    shop.execute("update aisle._embedding_jobs set run_after = now()")
    assert CliRunner().invoke(aisle, ["--database-url", database_url, "embed"]).exit_code == 0


def test_a_model_that_recovers_while_a_batch_waits_for_it_stops_nobody(
    products: Shop, load_model: Callable[..., TinyModel]
) -> None:
    """One of two models runs out of memory in a batch, works in the next, and is left out of the third."""
    products.insert(*["tea"] * 6)
    live = load(products, FakeEncoder())
    encoder = FakeEncoder(dimensions=3)
    weak = load(products, encoder, load_model(dimensions=3, encoder="fake", deploy=False).model_id)

    def run_out_of_memory() -> None:
        if len(encoder.batches) <= 2:  # the first batch, and one of its rows alone
            raise MemoryError

    encoder.meanwhile = run_out_of_memory
    pipeline = Pipeline([ItemEmbedder([live, weak])], batch_size=2)
    pipeline.drain(products.connection)
    assert set(charged(products).values()) == {0}
    assert len(charged(products)) == 4, "The middle batch is done."
    pipeline.close()


@pytest.mark.trap(18)
def test_a_stop_between_two_models_of_a_batch_lets_the_batch_end(
    products: Shop, load_model: Callable[..., TinyModel]
) -> None:
    """The worker gets the signal to stop while the second batch is in its first model and waits for the second."""
    products.insert(*["tea"] * 4)
    first, second = FakeEncoder(), FakeEncoder(dimensions=3)
    generations = [load(products, first)]
    generations.append(load(products, second, load_model(dimensions=3, encoder="fake", deploy=False).model_id))
    is_stopping = False
    has_begun, may_end = threading.Event(), threading.Event()

    def pause() -> None:
        if len(first.batches) == 2:
            has_begun.set()
            may_end.wait(10)

    first.meanwhile = pause

    class Slow(ItemEmbedder):
        """Reads the second batch for its second model while the first model runs."""

        reads = 0

        def read(self, *arguments: Any, **options: Any) -> Any:
            self.reads += 1
            rows = super().read(*arguments, **options)
            if self.reads == 4:
                nonlocal is_stopping
                assert has_begun.wait(10)
                is_stopping = True
                threading.Timer(0.5, may_end.set).start()
            return rows

    pipeline = Pipeline([Slow(generations)], batch_size=2)
    assert pipeline.drain(products.connection, keep_on=lambda: not is_stopping) == 4
    assert products.jobs() == {}
    pipeline.close()


# ---- leases ----


@pytest.mark.trap(9)
def test_a_lease_outlives_a_batch_that_takes_longer(products: Shop, other: Connection) -> None:
    products.insert("tea")
    encoder = FakeEncoder()
    claimed_by_others: list[str] = []

    def take_long() -> None:
        for _ in range(25):
            time.sleep(0.1)
            claimed_by_others.extend(queue.claim(other, "category", 10).ids)

    encoder.once(take_long)
    pipeline = Pipeline([ItemEmbedder([load(products, encoder)])], lease=ONE_SECOND)
    assert pipeline.drain(products.connection) == 1
    assert claimed_by_others == [], "Two and a half leases later it is still this worker's."
    assert products.vectors() == {"1": [3, 1]}
    pipeline.close()


@pytest.mark.trap(9, 17)
def test_a_worker_that_slept_through_its_lease_cannot_write(products: Shop, other: Connection) -> None:
    products.insert("tea")
    slow, quick = FakeEncoder(), FakeEncoder()
    generation = load(products, quick)

    def others_finish() -> None:
        other.execute("update aisle._embedding_jobs set leased_until = now() - interval '1 s'")
        other.execute("update shop.products set name = 'green tea'")
        assert drain(other, [ItemEmbedder([generation])]) == 1

    slow.once(others_finish)
    run(products, slow)
    assert products.vectors() == {"1": [9, 1]}, "The slow result is that of the older text."
    assert products.jobs() == {}


@pytest.mark.trap(9)
def test_a_batch_whose_reading_alone_takes_longer_than_its_lease_comes_to_an_end(
    products: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the worker would read it again and again, and never write it."""
    products.insert("tea")

    class Slow(ItemEmbedder):
        def read(self, *arguments: Any, **options: Any) -> Any:
            time.sleep(1.2)
            return super().read(*arguments, **options)

    pipeline = Pipeline([Slow([load(products, FakeEncoder())])], lease=ONE_SECOND)
    deadline = time.monotonic() + 5
    assert pipeline.drain(products.connection, keep_on=lambda: time.monotonic() < deadline) == 1
    assert products.vectors() == {"1": [3, 1]}
    assert "Make --lease longer" in caplog.text, "It must be said, for others may have done the same work."
    pipeline.close()


def test_a_batch_that_begins_after_a_long_pause_is_not_said_to_be_late(
    products: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline([ItemEmbedder([load(products, FakeEncoder())])], lease=ONE_SECOND)
    time.sleep(1.2)
    products.insert("tea")
    assert pipeline.drain(products.connection) == 1
    assert caplog.messages == []
    pipeline.close()


@pytest.mark.trap(18)
def test_a_stop_need_not_wait_until_a_long_log_is_taken_in(products: Shop) -> None:
    for _ in range(3):
        products.execute("select aisle._enqueue('category', array(select 'x' || i from generate_series(1, 20000) i))")
    encoder = FakeEncoder()
    batches = 0

    def keep_on() -> bool:
        nonlocal batches
        batches += 1
        return batches == 1

    run(products, encoder, batch_size=10, keep_on=keep_on)
    assert products.value("select count(*) from aisle._changes") == 2, "One batch's worth was taken in, and no more."


def test_what_was_under_way_when_the_database_went_is_given_back_first(products: Shop, database_url: str) -> None:
    products.insert("tea")
    encoder = FakeEncoder()
    pipeline = Pipeline([ItemEmbedder([load(products, encoder)])])
    with db.connect(database_url) as lost:
        pid = lost.info.backend_pid
        encoder.once(lambda: products.execute("select pg_terminate_backend(%s, 5000)", [pid]))
        with pytest.raises(psycopg.OperationalError):
            pipeline.drain(lost)
    assert products.value("select count(lease_token) from aisle._embedding_jobs") == 1
    assert pipeline.drain(products.connection) == 1, "Without waiting for the lease to end."
    pipeline.close()


# ---- the worker gives way to the shop ----


@pytest.mark.trap(17)
def test_a_shop_that_holds_rows_is_never_waited_for_and_never_the_victim(products: Shop, other: Connection) -> None:
    """Drafts of an open transaction lock rows that the worker waits for, then wait for the worker's."""
    products.insert(*["tea"] * 40)
    encoder = FakeEncoder()
    generation = load(products, encoder)
    with other.transaction():
        other.execute("update shop.products set name = 'green tea' where id <= 20")
        # The drafts that there was time for.
        other.execute("select from aisle.item_vectors where item_id::integer <= 20 for update")
        started = time.monotonic()
        done = drain(products.connection, [ItemEmbedder([generation])])
        assert time.monotonic() - started < 10
        assert done == 20, "The other rows are not held up."
        other.execute("update shop.products set name = 'green tea' where id > 20")
    products.execute("update aisle._embedding_jobs set run_after = now()")
    drain(products.connection, [ItemEmbedder([generation])])
    assert set(map(tuple, products.vectors().values())) == {(9, 1)}


def test_a_repeatable_read_of_the_shops_can_delete_what_a_worker_embedded_meanwhile(
    products: Shop, other: Connection
) -> None:
    products.insert("tea")
    with other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select from shop.products")
        run(products, FakeEncoder())
        other.execute("delete from shop.products")
    drain(products.connection, [ItemEmbedder([load(products, FakeEncoder())])])
    assert products.vectors() == {}
    assert products.execute("select from aisle._embedding_jobs").fetchall() == []


# ---- one loop for every task ----


@dataclass
class Visitor:
    """A row of a task that the queue does not know."""

    id: str
    visits: int
    is_current: bool = False


class VisitorEmbedder:
    """All that a new task needs: queue, pipeline and worker stay unchanged."""

    task = "visitors"

    def generations(self, connection: Connection) -> list[int]:
        return [1]

    def load(self, connection: Connection, model_id: int) -> int:
        return model_id

    def read(self, connection: Connection, generation: int, ids: Sequence[str]) -> list[Visitor]:
        rows = connection.execute("select id, visits from shop.visitors where id = any (%s)", (list(ids),))
        return [Visitor(*row) for row in rows.fetchall()]

    def embed(self, generation: int, rows: Sequence[Visitor]) -> list[tuple[str, int]]:
        return [(row.id, 2 * row.visits) for row in rows]

    def hold(self, connection: Connection) -> None:
        connection.execute("lock table shop.visitors in access share mode")

    def write(
        self, connection: Connection, generation: int, results: list[tuple[str, int]], keep: set[str]
    ) -> set[str]:
        for id_, doubled in results:
            connection.execute("update shop.visitors set doubled = %s where id = %s", (doubled, id_))
        return {id_ for id_, _ in results}

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """A deleted visitor has no vectors."""

    def still_works(self, connection: Connection, generation: int) -> bool:
        return True


def test_another_task_needs_one_class_and_shares_the_worker_in_turn(products: Shop) -> None:
    products.insert(*["tea"] * 6)
    products.execute("create table shop.visitors (id text, visits integer, doubled integer)")
    products.execute("insert into shop.visitors select i, i from generate_series(1, 6) i")
    products.execute("select aisle._enqueue('visitors', array['1', '2', '3', '4', '5', '6', 'gone'])")
    order: list[str] = []
    pipeline = Pipeline(
        [ItemEmbedder([load(products, FakeEncoder())]), VisitorEmbedder()],
        batch_size=2,
        report=lambda task, rows, errors: order.append(task),
    )
    assert pipeline.drain(products.connection) == 13
    assert products.value("select count(*) from shop.visitors where doubled = 2 * visits") == 6
    assert products.execute("select from aisle._embedding_jobs").fetchall() == []
    assert order[:4] in (["category", "visitors"] * 2, ["visitors", "category"] * 2), "None waits for the other to end."
    pipeline.close()


# ---- filling a generation ----


def test_a_generation_is_filled_in_the_background_and_resumed(
    products: Shop, load_model: Callable[..., TinyModel], other: Connection
) -> None:
    products.insert(*["tea"] * 50)
    live = load(products, FakeEncoder())
    drain(products.connection, [ItemEmbedder([live])])
    newer = load_model(dimensions=3, encoder="fake", deploy=False)
    encoder = FakeEncoder(dimensions=3)
    generations = [live, load(products, encoder, newer.model_id)]
    assert products.value("select aisle._enqueue_stale()") == 50

    stopped = drain(
        products.connection, [ItemEmbedder(generations)], batch_size=10, keep_on=lambda: len(encoder.batches) < 2
    )
    assert 20 <= stopped < 50
    products.execute("update shop.products set name = 'green tea' where id = 50")
    assert products.value("select aisle._enqueue_stale()") == 50 - stopped, "What is filled is not done again."
    drain(products.connection, [ItemEmbedder(generations)], batch_size=10)
    assert encoder.batches[-1] != ["green tea"], "What the shop changed does not wait for the rest."
    assert any("green tea" in batch for batch in encoder.batches[2:5])
    filled = products.value("select count(*) from aisle.item_vectors where model_id = %s", [newer.model_id])
    assert filled == 50
    assert sum(map(len, encoder.batches)) == 50, "Each row went through the new model once."
    assert products.value("select p50_seconds from aisle.freshness") is not None
    waits = products.value("select sum(cardinality(waits)) from aisle._embedding_batches")
    assert waits <= 22, "Backfill tells nothing about how soon a change is visible."


def test_a_generation_that_comes_while_a_batch_is_under_way_misses_none_of_its_rows(
    products: Shop, load_model: Callable[..., TinyModel]
) -> None:
    """Its backfill skips the job, which a worker has leased without knowing the new generation."""
    products.insert("tea")
    encoder, newer = FakeEncoder(), 0

    def train() -> None:
        nonlocal newer
        newer = load_model(dimensions=3, encoder="fake", deploy=False).model_id
        products.execute("select aisle._enqueue_stale()")

    encoder.once(train)
    live = load(products, encoder)
    drain(products.connection, [ItemEmbedder([live])])
    assert products.vectors() == {"1": [3, 1]}, "The live model's vector need not wait."
    assert charged(products) == {"1": 0}, "The job must not end before the new generation has a vector, too."
    products.execute("update aisle._embedding_jobs set run_after = now()")
    drain(products.connection, [ItemEmbedder([live, load(products, FakeEncoder(dimensions=3), newer)])])
    stored = products.execute("select model_id, embedding::real[] from aisle.item_vectors order by 1").fetchall()
    assert stored == [(live.model_id, [3, 1]), (newer, [3, 1, 0])]
    assert products.jobs() == {}


def test_a_generation_that_is_dropped_while_a_batch_is_under_way_is_no_fault_of_the_rows(
    products: Shop, load_model: Callable[..., TinyModel]
) -> None:
    products.insert("tea", "커피")
    live = load(products, FakeEncoder())
    encoder = FakeEncoder(dimensions=3)
    older = load(products, encoder, load_model(dimensions=3, encoder="fake", deploy=False).model_id)
    encoder.once(lambda: products.execute("select aisle._drop_model(%s)", [older.model_id]))
    assert drain(products.connection, [ItemEmbedder([live, older])]) == 2
    assert products.vectors() == {"1": [3, 1], "2": [2, 1]}
    assert products.execute("select from aisle._embedding_jobs").fetchall() == []


class SlowToLoad(ItemEmbedder):
    """Lets a test act while a model is loaded, then fails as on a partial read."""

    def __init__(self, loaded: list[Any], meanwhile: Callable[[int], object]) -> None:
        super().__init__(loaded)
        self.meanwhile = meanwhile

    def load_generation(self, connection: Connection, model_id: int) -> Any:
        self.meanwhile(model_id)
        raise ValueError("matmul: Input operand 1 has a mismatch in its core dimension")


def test_a_model_that_is_removed_while_it_is_loaded_is_gone_and_not_unusable(
    products: Shop, load_model: Callable[..., TinyModel], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    products.insert("tea", "커피")
    live = load(products, FakeEncoder())
    older = load_model(dimensions=3, encoder="fake", deploy=False)
    embedder = SlowToLoad([live], lambda model_id: products.execute("select aisle._drop_model(%s)", [model_id]))
    assert drain(products.connection, [embedder]) == 2
    assert products.execute("select from aisle._embedding_jobs").fetchall() == [], "Nothing waits for it."
    assert f"Model {older.model_id} was removed" in caplog.text
    assert "matmul" not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("error", [ValueError("matmul: a mismatch"), MemoryError()], ids=["rows", "unusable"])
def test_a_model_that_fails_because_it_was_removed_is_gone_and_not_unusable(
    products: Shop, load_model: Callable[..., TinyModel], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level("INFO")
    products.insert("tea", "커피")
    live = load(products, FakeEncoder())
    encoder = FakeEncoder(dimensions=3)
    older = load(products, encoder, load_model(dimensions=3, encoder="fake", deploy=False).model_id)

    def remove_and_fail() -> None:
        if products.value("select exists (select from aisle._models where model_id = %s)", [older.model_id]):
            products.execute("select aisle._drop_model(%s)", [older.model_id])
        raise error

    encoder.meanwhile = remove_and_fail
    assert drain(products.connection, [ItemEmbedder([live, older])]) == 2
    assert products.execute("select from aisle._embedding_jobs").fetchall() == []
    assert f"Model {older.model_id} was removed" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


# ---- monitoring ----


def test_freshness_weighs_waits_by_the_rows_that_they_stand_for(connection: Connection) -> None:
    """90 rows that waited 1 s, in one batch that stores 2 waits, and 10 single rows that waited 9 s."""
    record = "insert into aisle._embedding_batches values ('category', aisle._now(), %s, %s)"
    connection.execute(record, (90, [1, 1]))
    for _ in range(10):
        connection.execute(record, (1, [9]))
    connection.execute("insert into aisle._embedding_batches values ('category', now() - interval '2 h', 999, '{50}')")
    row = connection.execute("select p50_seconds, p95_seconds, p99_seconds from aisle.freshness").fetchone()
    assert row == (1, 9, 9)


def test_freshness_counts_what_no_worker_has_taken_in_yet(products: Shop) -> None:
    products.insert(*["tea"] * 3)
    products.execute("update shop.products set name = 'x' where id = 1")
    assert products.value("select pending from aisle.freshness") == 4, "Changes, until a worker makes jobs of them."
    products.collect()
    assert products.value("select pending from aisle.freshness") == 3
    assert products.value("select oldest_pending > interval '0' from aisle.freshness")
    run(products, FakeEncoder())
    row = products.execute("select pending, oldest_pending, eta, rows_per_second > 0 from aisle.freshness").fetchone()
    assert row == (0, None, None, True)


def test_a_batch_keeps_a_few_waits_evenly_spread(connection: Connection) -> None:
    for seconds in range(100):
        connection.execute("select set_config('aisle.now', %s, false)", ["2026-01-05 12:00:00+00"])
        connection.execute(
            "insert into aisle._embedding_jobs (task, id, enqueued_at, run_after) values ('category', %s, "
            "timestamptz '2026-01-05 12:00:00+00' - %s * interval '1 s', aisle._now())",
            (str(seconds), seconds),
        )
    claimed = queue.claim(connection, "category", 100)
    queue.finish(connection, claimed, claimed.ids)
    waits = db.fetch_value(connection, "select waits from aisle._embedding_batches")
    assert len(waits) == queue.MAX_WAITS
    assert waits == sorted(waits)
    assert np.allclose(np.diff(waits), 5), "Every fifth of a hundred."
