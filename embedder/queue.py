"""The queue of rows with stale vectors: each step is a short transaction, and a lease has a fencing token.

Nothing is locked while a model runs. A dead worker's leases run out, and its rows become free; if it comes back late,
its token is no longer valid.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from aisle import db
from aisle.db import Connection

# Besides OperationalError: the server ended a session that froze in a transaction, or it is no longer the primary and
# accepts no writes.
LOST = (
    psycopg.OperationalError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)
# A worker that freezes inside a transaction holds locks on our rows and on the shop's table.
SETTINGS = {"idle_in_transaction_session_timeout": "3s"}

LEASE = timedelta(seconds=30)  # renewed well before; the rows of a dead worker wait this long
FIRST_BACKOFF = timedelta(seconds=10)  # doubles with each attempt
MAX_ATTEMPTS = 5
MAX_ERROR_LENGTH = 500  # characters
BACKFILL = 2  # the priority of jobs that fill a generation
MAX_WAITS = 20  # samples of freshness that a batch stores


@dataclass(frozen=True)
class Job:
    """A claimed job."""

    version: int
    priority: int
    enqueued_at: datetime


@dataclass(frozen=True)
class Claim:
    """Jobs leased together, by id."""

    task: str
    token: int
    jobs: Mapping[str, Job]

    @property
    def ids(self) -> list[str]:
        """The claimed ids."""
        return list(self.jobs)

    def parameters(self, ids: Collection[str] | None = None) -> dict[str, object]:
        """Return the query parameters for this claim, or for some of its ids."""
        return {"task": self.task, "token": self.token, "ids": sorted(self.jobs if ids is None else ids)}


def collect(connection: Connection, enough: float = float("inf")) -> int:
    """Make jobs of the log of changes, the oldest first, until there are enough; return how many."""
    total = 0
    while db.fetch_value(connection, "select aisle._resolve_watches()"):
        pass
    while total < enough and (collected := db.fetch_value(connection, "select aisle._collect_changes()")):
        total += collected
    return total


def claim(connection: Connection, task: str, limit: int, lease: timedelta = LEASE) -> Claim:
    """Lease up to `limit` due jobs."""
    token = db.fetch_value(connection, db.read("queries/next_lease_token"))
    rows = connection.execute(
        db.read("queries/claim_jobs"), {"task": task, "token": token, "lease": lease, "limit": limit}
    ).fetchall()
    return Claim(task, token, {id_: Job(*job) for id_, *job in rows})


def seconds_to_next(connection: Connection, tasks: Sequence[str]) -> float:
    """Return the seconds until a job is due or a lease runs out; infinity if there is no job."""
    row = connection.execute(db.read("queries/seconds_to_next_job"), {"tasks": list(tasks)}).fetchone()
    return row[0] if row else float("inf")


def renew(connection: Connection, claim: Claim, lease: timedelta = LEASE) -> None:
    """Renew the leases of jobs that the claim still holds, or whose lease ran out without another claim."""
    connection.execute(db.read("queries/renew_leases"), {**claim.parameters(), "lease": lease})


def lock(connection: Connection, claim: Claim) -> set[str]:
    """Lock, until the end of the transaction, the jobs that the claim still holds; return their ids."""
    return {row[0] for row in connection.execute(db.read("queries/lock_jobs"), claim.parameters()).fetchall()}


def finish(connection: Connection, claim: Claim, ids: Collection[str]) -> None:
    """End the jobs whose rows did not change since the claim, and record their freshness."""
    ordered = sorted(ids)
    connection.execute(
        db.read("queries/finish_jobs"),
        {**claim.parameters(ids), "versions": [claim.jobs[i].version for i in ordered]},
    )
    changes = sorted(claim.jobs[i].enqueued_at for i in ids if claim.jobs[i].priority < BACKFILL)
    samples = min(len(changes), MAX_WAITS)
    spread = [changes[(2 * i + 1) * len(changes) // (2 * samples)] for i in range(samples)]
    connection.execute(db.read("queries/record_batch"), {"task": claim.task, "rows": len(ids), "changes": spread})


def release(connection: Connection, claim: Claim) -> None:
    """Give back the jobs that the claim still holds."""
    connection.execute(db.read("queries/release_jobs"), claim.parameters())


def defer(
    connection: Connection, claim: Claim, ids: Collection[str], delay: timedelta, error: Exception | None = None
) -> None:
    """Give jobs back until later; it is not the rows' fault, so it costs no attempt."""
    connection.execute(
        db.read("queries/defer_jobs"),
        {**claim.parameters(ids), "delay": delay, "error": error and text_of(error)},
    )


def fail(connection: Connection, claim: Claim, id_: str, error: Exception) -> None:
    """Record a row's own error, in a separate transaction: retry later, or make the row a dead letter."""
    connection.execute(
        db.read("queries/fail_job"),
        {
            "task": claim.task,
            "token": claim.token,
            "id": id_,
            "error": text_of(error),
            "max_attempts": MAX_ATTEMPTS,
            "backoff": FIRST_BACKOFF,
        },
    )


def text_of(error: Exception) -> str:
    """Return an error as text that the database accepts."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        error_text = error.diag.message_primary
    else:
        error_text = str(error)
    text = f"{type(error).__name__}: {error_text}".replace("\x00", "")
    return text.encode(errors="replace").decode()[:MAX_ERROR_LENGTH]
