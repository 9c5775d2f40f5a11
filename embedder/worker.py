"""The worker: a process that keeps vectors up to date with rows."""

import logging
import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import psycopg

from aisle import db
from aisle.db import Connection
from aisle.embedder import queue
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.listener import Listener
from aisle.embedder.metrics import Metrics
from aisle.embedder.pipeline import BATCH_SIZE, Embedder, Pipeline
from aisle.embedder.row_embedder import RowEmbedder

logger = logging.getLogger(__name__)

# Vectors are compared with their rows, in case no trigger logged a change: rows a second and task, by all workers.
COMPARE_RATE = 200
STEP = 2000  # rows at most; as in functions/comparison/_compare.sql
POLL_INTERVAL = 5.0  # seconds; notifications come sooner, but nothing depends on them
FIRST_RECONNECT, LONGEST_RECONNECT = 0.5, 30.0  # seconds; doubles, and chance adds half
LOSSES = (*queue.LOST, db.errors.ConnectionFailedError)
EMBEDDERS: dict[str, type[RowEmbedder[Any]]] = {e.task: e for e in (ItemEmbedder, FactorEmbedder, CustomerEmbedder)}


@dataclass(frozen=True)
class Options:
    """The options of `aisle worker`."""

    tasks: Sequence[str] = tuple(EMBEDDERS)
    batch_size: int = BATCH_SIZE
    poll_interval: float = POLL_INTERVAL  # seconds
    lease: timedelta = queue.LEASE
    compare_rate: int = COMPARE_RATE  # rows a second; 0: not at all
    listen_url: str | None = None  # None: the database's own
    once: bool = False
    idle_exit: float | None = None  # seconds
    metrics_port: int | None = None


class Worker:
    """Wakes on NOTIFY, polls without it, reconnects after a loss."""

    def __init__(
        self,
        url: str,
        options: Options,
        embedders: Sequence[Embedder] | None = None,
        *,
        check: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        """`embedders` defaults to those of the options' tasks; `check` raises if the database does not fit."""
        self._url = url
        self._options = options
        self._embedders = embedders or [EMBEDDERS[task]() for task in options.tasks]
        self._check = check
        self._metrics = Metrics(options.metrics_port)
        self._pause = FIRST_RECONNECT
        self._stopping = False
        self._last_complaint = ""

    def run(self) -> None:
        """Work until SIGTERM or SIGINT: the first lets the batch end, the second raises KeyboardInterrupt at once.

        It waits for a database that cannot be reached. Raises WrongAddressError or the check's error if waiting does
        not help, and ConnectionFailedError with `once`.
        """
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        pipeline = Pipeline(
            self._embedders,
            batch_size=self._options.batch_size,
            lease=self._options.lease,
            report=self._metrics.count,
        )
        listener: Listener | None = None
        try:
            while not self._stopping:
                try:
                    with db.connect(self._url, application_name="aisle worker", settings=queue.SETTINGS) as connection:
                        connection.prepare_threshold = None  # a pooler may use another session each time
                        self._check(connection)
                        listener = listener or Listener(
                            self._options.listen_url or self._url, self._options.poll_interval
                        )
                        self._serve(connection, pipeline, listener)
                except LOSSES as error:
                    if listener is None and (self._options.once or isinstance(error, db.errors.WrongAddressError)):
                        raise
                    seconds = self._pause * random.uniform(1, 1.5)  # noqa: S311  # jitter, no secret
                    what = "Lost the database" if listener else "There is no database yet"
                    logger.warning("%s, trying again in %.1f s: %s", what, seconds, error)
                    self._metrics.lose_database()
                    self._sleep(seconds)
                    self._pause = min(2 * self._pause, LONGEST_RECONNECT)
        finally:
            pipeline.close()
            if listener:
                listener.close()

    def _serve(self, connection: Connection, pipeline: Pipeline, listener: Listener) -> None:
        busy_at = time.monotonic()
        next_step = STEP / self._options.compare_rate if self._options.compare_rate else math.inf
        while not self._stopping:
            done = pipeline.drain(
                connection, progress=lambda rows: self._metrics.look(connection), keep_on=self._keeps_on
            )
            self._pause = FIRST_RECONNECT
            self._metrics.look(connection)
            if done:
                logger.info("Embedded %d rows.", done)
                listener.was_busy()
                busy_at = time.monotonic()
            idle_exit = self._options.idle_exit
            if self._options.once or (idle_exit is not None and time.monotonic() - busy_at >= idle_exit):
                self._stopping = True
            elif not self._stopping and not self._compare(connection):
                listener.wait(connection, min(pipeline.seconds_to_next(connection), next_step), self._keeps_on)

    def _compare(self, connection: Connection) -> int:
        """Compare some rows with their vectors, if it is time to; return the number of stale ones."""
        found = 0
        for embedder in self._embedders if self._options.compare_rate else ():
            query = "select aisle._compare(%s, %s)"
            try:
                mended = db.fetch_value(connection, query, (embedder.task, self._options.compare_rate))
            except queue.LOST:
                raise
            except psycopg.Error as error:  # the relation is gone, unreadable or locked
                self._complain(f"{embedder.task}: rows are not compared with their vectors: {queue.text_of(error)}")
                continue
            if mended:
                logger.warning("%s: rows that changed without a trigger: %d", embedder.task, mended)
            found += mended or 0
        return found

    def _complain(self, message: str) -> None:
        """Log a warning, unless it repeats the last one."""
        if message != self._last_complaint:
            logger.warning(message)
        self._last_complaint = message

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
