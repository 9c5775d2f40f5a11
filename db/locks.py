"""Giving way to the shop: who waits for a strong lock on a table lets everybody else queue up behind.

Attaching and detaching take such locks, for milliseconds; an update from a file locks the rows that it changes. If a
transaction of the shop's is in the way, they wait for it a moment only, let the queue pass, and try again.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from aisle.db import Connection, errors

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = (
    0.5  # seconds that the shop may have to wait behind us; less than a deadlock takes to be found, so we yield
)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds in which the queue passes; doubles, and chance adds half
PATIENCE = 120.0  # seconds until we give up

REFUSED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

Result = TypeVar("Result")


def giving_way(connection: Connection, action: Callable[[], Result]) -> Result:
    """Do in one transaction what takes strong locks; again, if they cannot be had at once.

    Raises BusyError after `PATIENCE` seconds.
    """
    pause, deadline = FIRST_PAUSE, time.monotonic() + PATIENCE
    while True:
        try:
            with connection.transaction():
                connection.execute("select set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT * 1000:.0f}",))
                return action()
        except REFUSED as error:
            seconds = pause * random.uniform(1, 1.5)  # noqa: S311  # jitter, no secret
            culprit = oldest_transaction(connection)
            if time.monotonic() + seconds > deadline:
                raise errors.BusyError(
                    f"Another transaction is in the way, and did not end in {PATIENCE:g} seconds. {culprit}",
                    hint="Try again at a quiet hour, or end it: select pg_terminate_backend(PROCESS)",
                ) from error
            logger.warning("Another transaction is in the way, trying again in %.1f s. %s", seconds, culprit)
        time.sleep(seconds)
        pause = min(2 * pause, LONGEST_PAUSE)


def oldest_transaction(connection: Connection) -> str:
    """Say which transaction of the database has been open longest: most likely what is in the way."""
    row = connection.execute(
        "select a.pid, coalesce(nullif(a.application_name, ''), a.usename, 'unknown'), now() - a.xact_start "
        "from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() "
        "and a.xact_start is not null "
        # That of a training run holds a lock that is in nobody's way here.
        "and not exists (select from pg_locks l where l.pid = a.pid "
        "                and l.relation = to_regclass('aisle._training_lock')) order by a.xact_start limit 1"
    ).fetchone()
    return f"The oldest is that of process {row[0]} ({row[1]}), open for {row[2]}." if row else ""
