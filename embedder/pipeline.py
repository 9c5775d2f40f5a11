"""Batches on their way from the queue to the tables: the model works on one while the database serves its neighbours.

    claim ──▶ read ──▶ model, in a thread of its own ──▶ write back

Three kinds of trouble end differently. A row's own error costs that row an attempt. A model that cannot be used (out of
memory, gone, broken) is an outage: its rows wait, no attempt is counted, and other models go on. A lost database is
raised to the caller, who comes back with a new connection.
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
DEPTH = 2  # batches under way: one in the model, one being read or written
LOCK_TIMEOUT = (
    "100ms"  # below any deadlock_timeout: the worker gives way, and no transaction of the shop's is its victim
)
GIVE_WAY = timedelta(seconds=1)  # until a row that somebody else holds is tried again
HOPELESS = 8  # rows that fail on their own, with none that succeeds, before the model itself is suspected


class Row(Protocol):
    """What the pipeline needs to know of a row."""

    @property
    def id(self) -> str:
        """The id of the row's job."""

    @property
    def is_current(self) -> bool:
        """Whether its vector is that of its content already."""


class Embedder(Protocol):
    """Everything that one task's vectors need and the queue does not know: one class a task."""

    task: str

    def generations(self, connection: Connection) -> list[int]:
        """Return the models whose vectors are kept in step now."""

    def load(self, connection: Connection, model_id: int) -> Any:
        """Return a generation, ready to be used."""

    def read(self, connection: Connection, generation: Any, ids: Sequence[str]) -> Sequence[Row]:
        """Return the rows that exist."""

    def embed(self, generation: Any, rows: Sequence[Any]) -> Any:
        """Run the model; called in a thread that has no connection."""

    def write(self, connection: Connection, generation: Any, results: Any, keep: set[str]) -> set[str]:
        """Store what `embed` returned of the ids in `keep`, unless their rows changed; return the ids stored."""

    def hold(self, connection: Connection) -> None:
        """Lock what will be written, and the shop's table against TRUNCATE and DDL, to the end of the transaction."""

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove what was derived from rows that are gone."""

    def still_works(self, connection: Connection, generation: Any) -> bool | None:
        """Return whether the model can still do what it once did; None if it never did anything."""


@dataclass
class Embedded:
    """What the model made of some rows."""

    results: list[Any] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)


@dataclass
class Part:
    """The rows of a batch that one generation has to embed."""

    model_id: int
    generation: Any
    stale: set[str]
    future: "Future[Embedded]"


@dataclass
class Batch:
    """A claim under way."""

    embedder: Embedder
    claim: queue.Claim
    current: set[int]  # the models that it brings up to date
    present: set[str]
    parts: list[Part] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    unusable: set[int] = field(default_factory=set)  # models that could not be used
    trouble: Exception | None = None  # why nothing could be written, which is no row's fault


class Pipeline:
    """Takes batches from the queue, in turn from each embedder's task, until nothing is due."""

    def __init__(
        self,
        embedders: Sequence[Embedder],
        *,
        batch_size: int = BATCH_SIZE,
        lease: timedelta = queue.LEASE,
        report: Callable[[str, int, int], None] = lambda task, rows, errors: None,
    ) -> None:
        """`report` hears of each finished batch: its task, the rows brought up to date, the rows that failed."""
        self._embedders = deque(embedders)
        self._batch_size = batch_size
        self._lease = lease
        self._report = report
        self._backoff = Backoff()
        self._resting: dict[str, float] = {}  # tasks that have no model to use, and until when
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
        """Embed queued rows until no job is due; return the number of rows that were brought up to date.

        Batches that the model has begun are finished even if `keep_on` says no. Whatever is raised, leases are given
        back if the connection allows it, or else by the next call, with a new connection.
        """
        try:
            return self._drain(connection, progress, keep_on)
        except BaseException:
            self.abandon()
            if not connection.broken and not connection.closed:
                self.give_back(connection)
            raise

    def seconds_to_next(self, connection: Connection) -> float:
        """Return how long it is, after a `drain`, until there may be work; infinity if nothing waits.

        Jobs may be due for which there is no model to use: it is the model that is waited for.
        """
        awake = [embedder.task for embedder in self._embedders if embedder.task not in self._resting]
        rests = [max(until - time.monotonic(), 0.0) for until in self._resting.values()]
        return min([queue.seconds_to_next(connection, awake), *rests])

    def close(self) -> None:
        """Let go of the model's thread, without waiting for it."""
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
        """Forget what was under way; its leases are given back as soon as there is a connection."""
        for batch in self._batches:
            self._lost.append(batch.claim)
            for part in batch.parts:
                part.future.cancel()
        self._batches.clear()

    def give_back(self, connection: Connection) -> None:
        """Give the leases of abandoned batches back."""
        while self._lost:
            queue.release(connection, self._lost[-1])
            self._lost.pop()

    def _start(self, connection: Connection) -> bool:
        """Hand one batch to the model; return whether there was one."""
        self._renew(connection)
        queue.collect(connection, self._batch_size)  # not all, which may take minutes after a bulk load
        for _ in range(len(self._embedders)):
            self._embedders.rotate(-1)
            embedder = self._embedders[-1]
            current = embedder.generations(connection)
            usable = {m: g for m in current if (g := self._load(connection, embedder, m)) is not None}
            if len(usable) < len(current):  # some may be gone, rather than unable
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
        """Return whether a model that failed was removed meanwhile, which is nobody's fault; say so."""
        if model_id in embedder.generations(connection):
            return False
        self._backoff.note_success(model_id)
        logger.info("Model %s is gone: it was removed.", model_id)
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
                    "Leases of %g s were renewed after %.1f s only; others may have taken the rows up meanwhile. "
                    "Make --lease longer or --batch-size smaller.", lease, age,
                )  # fmt: skip
            for batch in self._batches:
                queue.renew(connection, batch.claim, self._lease)
            self._renewed = time.monotonic()

    def _settle(self, connection: Connection, batch: Batch) -> int:
        """Write back what the model made of a batch; end, defer or fail each of its jobs. Return how many ended."""
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
        """Return whether it is the rows' fault that not one of them could be read or embedded."""
        works = batch.embedder.still_works(connection, generation)
        return rows == 1 if works is None else works

    def _write(
        self,
        connection: Connection,
        batch: Batch,
        results: list[tuple[Part, list[Any]]],
        ids: Collection[str],
    ) -> set[str]:
        """Write back in one transaction, and end the jobs that are done with; halve what meets a lock or an error."""
        self._renew(connection)
        is_about_rows = False
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'".encode())
                # TRUNCATE and DDL hold the shop's table and may want our rows: the table first, then the rows.
                batch.embedder.hold(connection)
                is_about_rows = True
                held = queue.lock(connection, batch.claim) & set(ids)
                # A generation may have come, whose backfill passed over our leases, or gone since the claim.
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
            if not is_about_rows or isinstance(error, psycopg.ProgrammingError):  # a right or a table is missing
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
            # The model takes the parts in turn: one that has begun the first will have to do the others, too.
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
    """Embed queued rows until no job is due; return the number of rows that were brought up to date."""
    pipeline = Pipeline(embedders, batch_size=batch_size)
    try:
        return pipeline.drain(connection, progress=progress, keep_on=keep_on)
    finally:
        pipeline.close()


def _read_each_good_row(
    connection: Connection, embedder: Embedder, generation: Any, ids: Sequence[str], failed: dict[str, Exception]
) -> list[Row]:
    """Read a batch; halve one that fails, and note in `failed` the rows that cannot be read."""
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
    """Embed a batch; halve one that fails until the rows at fault are alone, so that their neighbours pay no price.

    Raises UnusableModelError when memory or the model's own host is what is missing. Rows that are in neither part of the
    answer were not tried.
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
