"""The worker's loop, in this process: polling, logging, and what it leaves behind."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aisle.db import Connection, sessions
from aisle.embedder import metrics
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.worker import Options, Worker
from tests.conftest import Shop, TinyModel


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A worker handles the process's signals, so a process has one worker."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def products(shop: Shop, load_model: Callable[..., TinyModel]) -> Shop:
    """An attached table with a pending row."""
    shop.create()
    shop.attach()
    load_model()
    shop.insert("tea")
    return shop


class Embedder(ItemEmbedder):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def generations(self, connection: Connection) -> list[int]:
        self.looks += 1
        return super().generations(connection)


@pytest.mark.trap(15)
def test_a_worker_whose_model_cannot_be_used_sleeps_although_work_is_due(products: Shop, database_url: str) -> None:
    class Broken(Embedder):
        def load(self, connection: Connection, model_id: int) -> Any:
            raise MemoryError

    embedder = Broken()
    Worker(database_url, Options(idle_exit=2), [embedder]).run()
    assert len(products.jobs()) == 1
    assert embedder.looks < 20, "It asked the database as fast as it could whether the model has come back."


def test_a_worker_does_not_spin_at_a_job_that_somebody_holds(
    products: Shop, database_url: str, connection: Connection
) -> None:
    products.collect()
    embedder = Embedder()
    with connection.transaction():
        connection.execute("select from aisle._embedding_jobs for update")
        Worker(database_url, Options(idle_exit=2), [embedder]).run()
    assert len(products.jobs()) == 1
    assert embedder.looks < 40, "It asked the database as fast as it could whether the job has become free."


def test_a_server_that_takes_no_writes_for_a_while_is_waited_for(
    products: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a failover: the server was the primary until just now."""
    monkeypatch.setitem(sessions.SESSION_ONLY, "default_transaction_read_only", "on")
    recovery = threading.Timer(
        3, lambda: monkeypatch.setitem(sessions.SESSION_ONLY, "default_transaction_read_only", "off")
    )
    recovery.start()
    Worker(database_url, Options(idle_exit=1)).run()
    recovery.join()
    assert products.jobs() == {}
    pauses = [float(re.findall(r"in ([\d.]+) s", text)[0]) for text in caplog.messages if "trying again" in text]
    assert len(pauses) >= 2
    assert pauses[-1] > pauses[0], "The pauses grow as long as nothing can be done, connection or not."


def test_a_worker_that_is_never_idle_says_how_things_stand(
    products: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    products.insert_more(2, "tea", "tea")
    monkeypatch.setattr(metrics, "LOOK_INTERVAL", 0)
    with caplog.at_level("INFO"):
        Worker(database_url, Options(once=True, batch_size=1)).run()
    pending = [int(count) for text in caplog.messages for count in re.findall(r"category: (\d+) pending", text)]
    assert pending == [2, 1, 0], "After each batch, and not only in the end: filling a generation may take hours."
