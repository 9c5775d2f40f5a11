"""The worker: stays, and keeps vectors in step with rows."""

import logging
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType

import psycopg

from aisle import sql
from aisle.embedder import queue
from aisle.embedder.doorbell import Doorbell
from aisle.embedder.items import ItemEmbedder
from aisle.embedder.metrics import Metrics
from aisle.embedder.pipeline import BATCH_SIZE, Embedder, Pipeline
from aisle.sql import Connection

logger = logging.getLogger(__name__)

POLL_INTERVAL = 5.0  # seconds; notifications come sooner, but nothing depends on them
FIRST_RECONNECT, LONGEST_RECONNECT = 0.5, 30.0  # seconds; doubles, and chance adds half
EMBEDDERS = {ItemEmbedder.task: ItemEmbedder}


@dataclass(frozen=True)
class Options:
    """What `aisle worker` can be told."""

    tasks: Sequence[str] = tuple(EMBEDDERS)
    batch_size: int = BATCH_SIZE
    poll_interval: float = POLL_INTERVAL  # seconds
    lease: timedelta = queue.LEASE
    listen_url: str | None = None  # None: the database's own
    once: bool = False
    idle_exit: float | None = None  # seconds
    metrics_port: int | None = None


class Worker:
    """Wakes on NOTIFY, polls in case none comes, reconnects when it must."""

    def __init__(self, url: str, options: Options, embedders: Sequence[Embedder] | None = None) -> None:
        """`embedders` are those of the options' tasks unless given."""
        self._url = url
        self._options = options
        self._embedders = embedders or [EMBEDDERS[task]() for task in options.tasks]
        self._metrics = Metrics(options.metrics_port)
        self._stopping = False

    def run(self) -> None:
        """Work until SIGTERM or SIGINT: the first lets the batch end, the second raises KeyboardInterrupt at once."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        pipeline = Pipeline(
            self._embedders,
            batch_size=self._options.batch_size,
            lease=self._options.lease,
            report=self._metrics.count,
        )
        bell = Doorbell(self._options.listen_url or self._url, self._options.poll_interval)
        delay = FIRST_RECONNECT
        try:
            while not self._stopping:
                try:
                    with sql.connect(self._url, application_name="aisle worker") as connection:
                        connection.prepare_threshold = None  # a transaction pooler may lend another session each time
                        delay = FIRST_RECONNECT
                        self._serve(connection, pipeline, bell)
                except (psycopg.OperationalError, sql.errors.ConnectionFailedError) as error:
                    pause = delay * random.uniform(1, 1.5)  # noqa: S311  # jitter, no secret
                    logger.warning("Lost the database, trying again in %.1f s: %s", pause, error)
                    self._sleep(pause)
                    delay = min(2 * delay, LONGEST_RECONNECT)
        finally:
            bell.close()

    def _serve(self, connection: Connection, pipeline: Pipeline, bell: Doorbell) -> None:
        busy_at = time.monotonic()
        while not self._stopping:
            done = pipeline.drain(connection, keep_on=self._keeps_on)
            self._metrics.look(connection)
            if done:
                logger.info("Embedded %d rows.", done)
                bell.was_busy()
                busy_at = time.monotonic()
            idle_exit = self._options.idle_exit
            if self._options.once or (idle_exit is not None and time.monotonic() - busy_at >= idle_exit):
                self._stopping = True
            elif not self._stopping:
                bell.wait(connection, pipeline.seconds_to_next(connection), self._keeps_on)

    def _keeps_on(self) -> bool:
        return not self._stopping

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(0.1)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        logger.info("Stopping after this batch; signal again to leave at once.")
        self._stopping = True
