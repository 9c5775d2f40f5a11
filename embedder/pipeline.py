"""Takes batches from the queue to the tables: the model works on one while the database reads and writes others.

    claim ──▶ read ──▶ model, in a thread of its own ──▶ write back

There are three kinds of failure. A row's own error costs that row an attempt. If a model cannot be used (out of memory,
gone, broken), its rows wait, no attempt is counted, and other models go on. A lost database is raised to the caller,
which calls again with a new connection.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import psycopg

from aisle.db import Connection, errors
from aisle.embedder import queue
from aisle.embedder.backoff import Backoff, UnusableModelError, is_unusable

logger = logging.getLogger(__name__)

BATCH_SIZE = 256  # rows a claim
DEPTH = 2  # batches in progress: one in the model, one being read or written
LOCK_TIMEOUT = "100ms"  # below any deadlock_timeout: the worker gives way, so the shop is never a deadlock's victim
GIVE_WAY = timedelta(seconds=1)  # until a row that another transaction holds is tried again
HOPELESS = 8  # failing rows, without a success, before the model itself is suspected


class Row(Protocol):
    """The pipeline's view of a row."""

    @property
    def id(self) -> str:
        """The id of the row's job."""

    @property
    def is_current(self) -> bool:
        """Whether its stored vector belongs to its present content."""


class Embedder(Protocol):
    """The task-specific part: one class a task reads, embeds and writes its rows."""

    task: str

    def generations(self, connection: Connection) -> list[int]:
        """Return the models whose vectors are kept up to date now."""

    def load(self, connection: Connection, model_id: int) -> Any:
        """Return a generation, ready to use."""

    def read(self, connection: Connection, generation: Any, ids: Sequence[str]) -> Sequence[Row]:
        """Return the rows that exist."""

    def embed(self, generation: Any, rows: Sequence[Any]) -> Any:
        """Run the model, in a thread that has no connection."""

    def write(self, connection: Connection, generation: Any, results: Any, keep: set[str]) -> set[str]:
        """Store the results of `embed` for the ids in `keep` whose rows did not change; return the ids stored."""

    def hold(self, connection: Connection) -> None:
        """Lock the tables to write, and the shop's table against TRUNCATE and DDL, to the end of the transaction."""

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove the vectors of deleted rows."""

    def still_works(self, connection: Connection, generation: Any) -> bool | None:
        """Return whether the model can still embed a row that it embedded before; None if there is no such row."""


@dataclass
class Embedded:
    """The model's results for some rows."""

    results: list[Any] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)


@dataclass
class Part:
    """The rows of a batch that one generation embeds."""

    model_id: int
    generation: Any
    stale: set[str]
    future: "Future[Embedded]"


@dataclass
class Batch:
    """A claim in progress."""

    embedder: Embedder
    claim: queue.Claim
    current: set[int]  # the models that it updates
    present: set[str]
    parts: list[Part] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    unusable: set[int] = field(default_factory=set)  # models that could not be used
    trouble: Exception | None = None  # why nothing could be written; no row's fault


class Pipeline:
    """Takes batches from the queue, from each embedder's task in turn, until no job is due."""

    def __init__(
        self,
        embedders: Sequence[Embedder],
        *,
        batch_size: int = BATCH_SIZE,
        lease: timedelta = queue.LEASE,
        report: Callable[[str, int, int], None] = lambda task, rows, errors: None,
    ) -> None:
        """`report` receives each finished batch's task, number of updated rows and number of failed rows."""
        self._embedders = deque(embedders)
        self._batch_size = batch_size
        self._lease = lease
        self._report = report
        self._backoff = Backoff()
        self._resting: dict[str, float] = {}  # tasks without a usable model, and until when
        self._batches: deque[Batch] = deque()
        self._lost: list[queue.Claim] = []
        self._renewed = time.monotonic()
        self._model = ThreadPoolExecutor(1, "model")

    def drain(
        self,
        connection: Connection,
        *,
        progress: Callable[[int], None] = lambda rows: None,
        keep_on: Callable[[], bool] = lambda: True,
    ) -> int:
        """Embed queued rows until no job is due; return the number of updated rows.

        Batches that the model has begun are finished even if `keep_on` returns false. After an error, leases are given
        back now if the connection still works, else by the next call, with a new connection.
        """
        try:
            return self._drain(connection, progress, keep_on)
        except BaseException:
            self.abandon()
            if not connection.broken and not connection.closed:
                self.give_back(connection)
            raise

    def seconds_to_next(self, connection: Connection) -> float:
        """Return the time until there may be work, after a `drain`; infinity if no job waits.

        Due jobs without a usable model wait for the model.
        """
        awake = [embedder.task for embedder in self._embedders if embedder.task not in self._resting]
        rests = [max(until - time.monotonic(), 0.0) for until in self._resting.values()]
        return min([queue.seconds_to_next(connection, awake), *rests])

    def close(self) -> None:
        """Release the model's thread, without waiting for it."""
        self._model.shutdown(wait=False, cancel_futures=True)

    def _drain(self, connection: Connection, progress: Callable[[int], None], keep_on: Callable[[], bool]) -> int:
        self.give_back(connection)
        done = 0
        while True:
            while keep_on() and len(self._batches) < DEPTH and self._start(connection):
                pass
            if not keep_on():
                self._give_back_unstarted(connection)
            if not self._batches:
                return done
            batch = self._batches[0]
            self._await(connection, batch)
            done += self._settle(connection, batch)
            self._batches.popleft()
            progress(done)

    def abandon(self) -> None:
        """Drop the batches in progress; their leases are given back once there is a connection."""
        for batch in self._batches:
            self._lost.append(batch.claim)
            for part in batch.parts:
                part.future.cancel()
        self._batches.clear()

    def give_back(self, connection: Connection) -> None:
        """Give back the leases of abandoned batches."""
        while self._lost:
            queue.release(connection, self._lost[-1])
            self._lost.pop()

    def _start(self, connection: Connection) -> bool:
        """Hand one batch to the model; return whether there was one."""
        self._renew(connection)
        queue.collect(connection, self._batch_size)  # not all: after a bulk load that may take minutes
        for _ in range(len(self._embedders)):
            self._embedders.rotate(-1)
            embedder = self._embedders[-1]
            current = embedder.generations(connection)
            usable = {m: g for m in current if (g := self._load(connection, embedder, m)) is not None}
            if len(usable) < len(current):  # some may have been removed
                there = embedder.generations(connection)
                current = [model_id for model_id in current if model_id in there]
            if current and not usable:
                self._resting[embedder.task] = time.monotonic() + min(map(self._backoff.seconds_left, current))
                continue
            self._resting.pop(embedder.task, None)
            if not self._batches:
                self._renewed = time.monotonic()
            claim = queue.claim(connection, embedder.task, self._batch_size, self._lease)
            if claim.jobs:
                batch = Batch(embedder, claim, set(current), set(claim.ids), unusable=set(current) - usable.keys())
                self._batches.append(batch)
                self._read(connection, batch, usable)
                return True
        return False

    def _load(self, connection: Connection, embedder: Embedder, model_id: int) -> Any | None:
        if self._backoff.seconds_left(model_id):
            return None
        try:
            return embedder.load(connection, model_id)
        except queue.LOST:
            raise
        except Exception as error:
            if not self._is_gone(connection, embedder, model_id):
                self._backoff.note_failure(model_id, error)
            return None

    def _is_gone(self, connection: Connection, embedder: Embedder, model_id: int) -> bool:
        """Return whether a model that failed has been removed meanwhile, which is no error; log it."""
        if model_id in embedder.generations(connection):
            return False
        self._backoff.note_success(model_id)
        logger.info("Model %s was removed.", model_id)
        return True

    def _read(self, connection: Connection, batch: Batch, generations: dict[int, Any]) -> None:
        for model_id, generation in generations.items():
            failed: dict[str, Exception] = {}
            try:
                rows = _read_each_good_row(connection, batch.embedder, generation, batch.claim.ids, failed)
            except UnusableModelError as unusable:
                self._backoff.note_failure(model_id, unusable.error)
                batch.unusable.add(model_id)
                continue
            if failed and self._is_gone(connection, batch.embedder, model_id):
                continue
            if failed and not rows and not self._fails_alone(connection, batch, model_id, generation, len(failed)):
                self._backoff.note_failure(model_id, next(iter(failed.values())))
                batch.unusable.add(model_id)
                continue
            batch.failed |= failed
            batch.present = {row.id for row in rows} | batch.failed.keys()
            stale = [row for row in rows if not row.is_current]
            if stale:
                future = self._model.submit(_embed_each_good_row, batch.embedder, generation, stale)
                batch.parts.append(Part(model_id, generation, {row.id for row in stale}, future))

    def _await(self, connection: Connection, batch: Batch) -> None:
        """Wait for the model, and renew the leases meanwhile."""
        futures = [part.future for part in batch.parts]
        self._renew(connection)
        while wait(futures, self._lease.total_seconds() / 6).not_done:
            self._renew(connection)

    def _renew(self, connection: Connection) -> None:
        """Renew the leases if a third of their time has passed."""
        lease, age = self._lease.total_seconds(), time.monotonic() - self._renewed
        if age > lease / 3:
            if age > lease and self._batches:
                logger.warning(
                    "Leases of %g s were renewed only after %.1f s; other workers may have taken the rows. "
                    "Make --lease longer or --batch-size smaller.", lease, age,
                )  # fmt: skip
            for batch in self._batches:
                queue.renew(connection, batch.claim, self._lease)
            self._renewed = time.monotonic()

    def _settle(self, connection: Connection, batch: Batch) -> int:
        """Write back a batch's vectors; end, defer or fail each of its jobs. Return how many ended."""
        results: list[tuple[Part, list[Any]]] = []
        for part in batch.parts:
            try:
                embedded = part.future.result()
                if embedded.failed and self._is_gone(connection, batch.embedder, part.model_id):
                    continue
                nothing = bool(embedded.failed) and not embedded.results
                if nothing and not self._fails_alone(
                    connection, batch, part.model_id, part.generation, len(part.stale)
                ):
                    raise UnusableModelError(next(iter(embedded.failed.values())))
            except UnusableModelError as unusable:
                if self._is_gone(connection, batch.embedder, part.model_id):
                    continue
                self._backoff.note_failure(part.model_id, unusable.error)
                batch.unusable.add(part.model_id)
            else:
                self._backoff.note_success(part.model_id)
                results.append((part, embedded.results))
                batch.failed |= embedded.failed
        ended = self._write(connection, batch, results, batch.claim.ids)
        for id_, error in batch.failed.items():
            logger.warning("Row %s cannot be embedded: %s", id_, queue.text_of(error))
            queue.fail(connection, batch.claim, id_, error)
        left = batch.claim.jobs.keys() - ended - batch.failed.keys()
        if left:
            delays = [timedelta(seconds=self._backoff.seconds_left(model_id)) for model_id in batch.unusable]
            reason = next(filter(None, map(self._backoff.error, batch.unusable)), batch.trouble)
            queue.defer(connection, batch.claim, left, max([GIVE_WAY, *delays]), reason)
        self._report(batch.claim.task, len(ended), len(batch.failed))
        return len(ended)

    def _fails_alone(self, connection: Connection, batch: Batch, model_id: int, generation: Any, rows: int) -> bool:
        """Return whether the rows, not the model, are at fault if none of them could be read or embedded."""
        works = batch.embedder.still_works(connection, generation)
        return rows == 1 if works is None else works

    def _write(
        self,
        connection: Connection,
        batch: Batch,
        results: list[tuple[Part, list[Any]]],
        ids: Collection[str],
    ) -> set[str]:
        """Write back in one transaction, and end the finished jobs; on a lock or an error, retry with halves."""
        self._renew(connection)
        is_about_rows = False
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'".encode())
                # TRUNCATE and DDL lock the shop's table, then perhaps our rows: use the same order.
                batch.embedder.hold(connection)
                is_about_rows = True
                held = queue.lock(connection, batch.claim) & set(ids)
                # Since the claim, generations may have come or gone; a new one's backfill skipped our leased jobs.
                current = set(batch.embedder.generations(connection))
                gone = held - batch.present
                if gone:
                    batch.embedder.forget(connection, sorted(gone))
                done = held & batch.present - batch.failed.keys()
                for part, columns in results:
                    if part.model_id not in current:
                        continue
                    stored: set[str] = set()
                    for column in columns:
                        stored |= batch.embedder.write(connection, part.generation, column, done)
                    done -= part.stale - stored
                ended = gone if batch.unusable or not current <= batch.current else gone | done
                queue.finish(connection, batch.claim, ended)
                return ended
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            if not is_about_rows or len(ids) == 1:
                return set()
        except queue.LOST:
            raise
        except psycopg.Error as error:
            if not is_about_rows or isinstance(error, psycopg.ProgrammingError):  # a missing right or table
                logger.warning("Vectors cannot be written: %s", queue.text_of(error))
                batch.trouble = error
                return set()
            if len(ids) == 1:
                batch.failed.update(dict.fromkeys(ids, error))
                return set()
        ordered = sorted(ids)
        middle = len(ordered) // 2
        return self._write(connection, batch, results, ordered[:middle]) | self._write(
            connection, batch, results, ordered[middle:]
        )

    def _give_back_unstarted(self, connection: Connection) -> None:
        for batch in list(self._batches)[1:]:
            # The model takes a batch's parts in turn; once it has begun the first, it must finish the others.
            if not batch.parts or batch.parts[0].future.cancel():
                for part in batch.parts:
                    part.future.cancel()
                queue.release(connection, batch.claim)
                self._batches.remove(batch)


def drain(
    connection: Connection,
    embedders: Sequence[Embedder],
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] = lambda rows: None,
    keep_on: Callable[[], bool] = lambda: True,
) -> int:
    """Embed queued rows until no job is due; return the number of updated rows."""
    pipeline = Pipeline(embedders, batch_size=batch_size)
    try:
        return pipeline.drain(connection, progress=progress, keep_on=keep_on)
    finally:
        pipeline.close()


def _read_each_good_row(
    connection: Connection, embedder: Embedder, generation: Any, ids: Sequence[str], failed: dict[str, Exception]
) -> list[Row]:
    """Read a batch; halve it if it fails, and put rows that cannot be read into `failed`."""
    try:
        return list(embedder.read(connection, generation, ids))
    except queue.LOST:
        raise
    except Exception as error:
        if isinstance(error, psycopg.Error) and isinstance(errors.translate(error), errors.ForeignCodeError):
            raise UnusableModelError(error) from error
        if len(ids) == 1:
            failed[ids[0]] = error
            return []
    middle = len(ids) // 2
    return [
        *_read_each_good_row(connection, embedder, generation, ids[:middle], failed),
        *_read_each_good_row(connection, embedder, generation, ids[middle:], failed),
    ]


def _embed_each_good_row(embedder: Embedder, generation: Any, rows: Sequence[Row]) -> Embedded:
    """Embed a batch; halve it if it fails, until the failing rows are alone and no other row fails with them.

    Raises UnusableModelError if memory or the model's host is missing. Rows in neither part of the result were not
    tried.
    """
    embedded = Embedded()
    parts = deque([list(rows)])
    while parts and (embedded.results or len(embedded.failed) < HOPELESS):
        part = parts.popleft()
        try:
            embedded.results.append(embedder.embed(generation, part))
        except Exception as error:
            if len(part) > 1:
                middle = len(part) // 2
                parts.extendleft([part[middle:], part[:middle]])
            elif is_unusable(error):
                raise UnusableModelError(error) from error
            else:
                embedded.failed[part[0].id] = error
    return embedded
