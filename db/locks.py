"""Takes locks without making the shop wait: a wait for a strong lock on a table makes all later queries on it wait.

Attaching and detaching take such locks for milliseconds; an update from a file locks the rows that it changes. If a
transaction of the shop holds such a table, they wait only briefly, let the waiting queries run, and try again.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from aisle.db import Connection, errors

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 0.5  # seconds that the shop may wait for us; less than deadlock_timeout, so that we give way first
PAUSES = 0.5, 8.0  # seconds in which waiting queries run: the first pause and the longest
PATIENCE = 120.0  # seconds until we give up

REFUSED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

Result = TypeVar("Result")


def retrying(
    action: Callable[[], Result],
    retried: type[Exception] | tuple[type[Exception], ...],
    pauses: tuple[float, float],
    patience: float,
    before_pause: Callable[[float], None] = lambda seconds: None,
) -> Result:
    """Return the action's result. After one of the `retried` errors, pause and try again, for `patience` seconds.

    The pauses double from the first to the longest, and chance adds up to half. At last it raises the error itself.
    """
    pause, longest = pauses
    deadline = time.monotonic() + patience
    while True:
        try:
            return action()
        except retried:
            seconds = pause * random.uniform(1, 1.5)  # noqa: S311  # jitter, no secret
            if time.monotonic() + seconds > deadline:
                raise
            before_pause(seconds)
        time.sleep(seconds)
        pause = min(2 * pause, longest)


def giving_way(connection: Connection, action: Callable[[], Result]) -> Result:
    """Run an action that takes strong locks, in one transaction; try again while it cannot get them at once.

    Raises BusyError after `PATIENCE` seconds.
    """

    def attempt() -> Result:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT * 1000:.0f}",))
            return action()

    def warn(seconds: float) -> None:
        culprit = oldest_transaction(connection)
        logger.warning("Another transaction is in the way, trying again in %.1f s. %s", seconds, culprit)

    try:
        return retrying(attempt, REFUSED, PAUSES, PATIENCE, warn)
    except REFUSED as error:
        raise errors.BusyError(
            f"Another transaction is in the way, and did not end in {PATIENCE:g} seconds. "
            f"{oldest_transaction(connection)}",
            hint="Try again at a quiet hour, or end it: select pg_terminate_backend(PROCESS)",
        ) from error


def oldest_transaction(connection: Connection) -> str:
    """Return a sentence on the transaction that has been open longest: most likely it is in the way."""
    row = connection.execute(
        "select a.pid, coalesce(nullif(a.application_name, ''), a.usename, 'unknown'), now() - a.xact_start "
        "from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() "
        "and a.xact_start is not null "
        # A training run holds a lock for long, but that lock is in nobody's way here.
        "and not exists (select from pg_locks l where l.pid = a.pid "
        "                and l.relation = to_regclass('aisle._training_lock')) order by a.xact_start limit 1"
    ).fetchone()
    return f"The oldest one is of process {row[0]} ({row[1]}), open for {row[2]}." if row else ""
