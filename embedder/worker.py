"""The worker: claims queued rows, runs the model outside any transaction, and writes vectors back conditionally."""

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

import psycopg

from aisle import sql
from aisle.embedder import queue
from aisle.embedder.generation import Generation
from aisle.embedder.items import ItemEmbedder, ItemRow
from aisle.sql import Connection

logger = logging.getLogger(__name__)

CHANNEL = "aisle_embedding_jobs"
POLL_INTERVAL = 5.0  # seconds; notifications come sooner, but nothing depends on them
RECONNECT_DELAY = 2.0  # seconds
BATCH_SIZE = 256  # rows a claim


def drain(
    connection: Connection,
    embedder: ItemEmbedder,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] = lambda rows: None,
    keep_on: Callable[[], bool] = lambda: True,
) -> int:
    """Embed queued rows until no job is due; return the number of jobs that were taken up."""
    done = 0
    while keep_on():
        claim = queue.claim(connection, embedder.task, batch_size)
        if not claim.versions:
            break
        try:
            _process(connection, embedder, claim)
        finally:
            if not connection.closed:
                queue.release(connection, claim)
        done += len(claim.versions)
        progress(done)
    return done


def _process(connection: Connection, embedder: ItemEmbedder, claim: queue.Claim) -> None:
    results: list[tuple[Generation, dict[str, list[object]]]] = []
    present: set[str] = set(claim.ids)
    failed: dict[str, Exception] = {}
    for generation in embedder.generations(connection):
        rows = embedder.read(connection, generation, claim.ids)
        present = {row.item_id for row in rows}
        for columns in _embed_each_good_row(embedder, generation, rows, failed):
            results.append((generation, columns))
    with connection.transaction():
        embedder.hold(connection)
        held = queue.lock(connection, claim)
        gone = held - present
        if gone:
            embedder.forget(connection, sorted(gone))
        good = held & present - failed.keys()
        for generation, columns in results:
            embedder.write(connection, generation, columns, keep=good)
        queue.finish(connection, claim, sorted(good | gone))
    for id_, error in failed.items():
        logger.warning("Row %s cannot be embedded: %s", id_, error)
        queue.fail(connection, claim, id_, error)


def _embed_each_good_row(
    embedder: ItemEmbedder, generation: Generation, rows: list[ItemRow], failed: dict[str, Exception]
) -> list[dict[str, list[object]]]:
    """Embed a batch; halve one that fails until the rows at fault are alone, so that their neighbours pay no price."""
    if not rows:
        return []
    try:
        return [embedder.embed(generation, rows)]
    except MemoryError:
        raise
    except Exception as error:
        if len(rows) == 1:
            failed[rows[0].item_id] = error
            return []
        middle = len(rows) // 2
        return [
            *_embed_each_good_row(embedder, generation, rows[:middle], failed),
            *_embed_each_good_row(embedder, generation, rows[middle:], failed),
        ]


class Worker:
    """Stays and keeps vectors in step: wakes on NOTIFY, polls in case none comes, reconnects when it must."""

    def __init__(self, url: str, *, batch_size: int = BATCH_SIZE, poll_interval: float = POLL_INTERVAL) -> None:
        self.url = url
        self.batch_size = batch_size
        self.poll_interval = poll_interval
        self._stopping = False

    def run(self) -> None:
        """Work until SIGTERM or SIGINT: the first lets the batch end, the second leaves at once."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        embedder = ItemEmbedder()
        while not self._stopping:
            try:
                with sql.connect(self.url, application_name="aisle worker") as connection:
                    connection.execute("listen aisle_embedding_jobs")
                    logger.info("Listening on %s, polling every %g s.", CHANNEL, self.poll_interval)
                    self._serve(connection, embedder)
            except (psycopg.OperationalError, sql.errors.ConnectionFailedError) as error:
                logger.warning("Lost the database, trying again in %g s: %s", RECONNECT_DELAY, error)
                self._wait(RECONNECT_DELAY)

    def _serve(self, connection: Connection, embedder: ItemEmbedder) -> None:
        while not self._stopping:
            done = drain(connection, embedder, batch_size=self.batch_size, keep_on=lambda: not self._stopping)
            if done:
                logger.info("Embedded %d rows.", done)
            deadline = time.monotonic() + self.poll_interval
            # Short waits, because a signal cannot interrupt the wait for notifications.
            while not self._stopping and (left := deadline - time.monotonic()) > 0:
                if any(True for _ in connection.notifies(timeout=min(left, 0.5), stop_after=1)):
                    break

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(0.1)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        logger.info("Stopping after this batch; signal again to leave at once.")
        self._stopping = True
