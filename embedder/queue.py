"""The queue of rows whose vectors lag behind: claims are short transactions, and a lease is a fencing token.

Nothing is locked while a model runs. A worker that dies loses its lease, and the rows come free; one that comes back
late finds that its token no longer counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aisle import sql
from aisle.sql import Connection

LEASE = timedelta(minutes=5)  # longer than the slowest batch
FIRST_BACKOFF = timedelta(seconds=10)  # doubles with each attempt
MAX_ATTEMPTS = 5
MAX_ERROR_LENGTH = 500  # characters


@dataclass(frozen=True)
class Claim:
    """Jobs leased together: the version of each id's job at that moment."""

    task: str
    token: int
    versions: Mapping[str, int]

    @property
    def ids(self) -> list[str]:
        """The claimed ids."""
        return list(self.versions)


def claim(connection: Connection, task: str, limit: int) -> Claim:
    """Lease up to `limit` due jobs."""
    token = sql.fetch_value(connection, sql.read("queries/next_lease_token"))
    rows = connection.execute(
        sql.read("queries/claim_jobs"), {"task": task, "token": token, "lease": LEASE, "limit": limit}
    ).fetchall()
    return Claim(task, token, dict(rows))


def lock(connection: Connection, claim: Claim) -> set[str]:
    """Lock, until the end of the transaction, the jobs that the claim still holds; return their ids."""
    rows = connection.execute(
        sql.read("queries/lock_jobs"), {"task": claim.task, "token": claim.token, "ids": claim.ids}
    ).fetchall()
    return {row[0] for row in rows}


def finish(connection: Connection, claim: Claim, ids: Sequence[str]) -> None:
    """End the jobs of ids whose rows did not change since the claim."""
    connection.execute(
        sql.read("queries/finish_jobs"),
        {
            "task": claim.task,
            "token": claim.token,
            "ids": list(ids),
            "versions": [claim.versions[i] for i in ids],
        },
    )


def release(connection: Connection, claim: Claim) -> None:
    """Give back what the claim still holds."""
    connection.execute(sql.read("queries/release_jobs"), {"task": claim.task, "token": claim.token})


def fail(connection: Connection, claim: Claim, id_: str, error: Exception) -> None:
    """Record a row's own error, in a transaction of its own: try again later, or give the row up visibly."""
    connection.execute(
        sql.read("queries/fail_job"),
        {
            "task": claim.task,
            "token": claim.token,
            "id": id_,
            "error": _text_of(error),
            "max_attempts": MAX_ATTEMPTS,
            "backoff": FIRST_BACKOFF,
        },
    )


def _text_of(error: Exception) -> str:
    """Return an error as text that the database takes, whatever a library put into it."""
    text = f"{type(error).__name__}: {error}".replace("\x00", "")
    return text.encode(errors="replace").decode()[:MAX_ERROR_LENGTH]
