"""Wakes an idle worker: by notifications if they arrive, else by polling.

NOTIFY only wakes the worker. A pooler accepts LISTEN and loses it, a firewall may silently drop an idle connection, an
address may not answer at all. So the listener has its own connection and thread, which may stall without stalling the
worker. The worker sends test notifications from its other connection, and relies on the listener only while they
arrive.
"""

import logging
import random
import select
import threading
import time
import uuid
from collections.abc import Callable

import psycopg

from aisle import db
from aisle.db import Connection, addresses

logger = logging.getLogger(__name__)

CHANNEL = "aisle_embedding_jobs"
FIRST_POLL = 0.1  # seconds between polls without notifications, just after work; doubles up to the poll interval
PROBE_INTERVAL = 30.0  # seconds between test notifications
PATIENCE = 5.0  # seconds until a missing test notification, or a missing reply to LISTEN, counts as a failure
RETRY_INTERVAL = 30.0  # seconds until it reconnects after a failure; a tenth of it if notifications arrived before
SLICE = 0.5  # seconds between a thread's checks whether it should end


class Listener:
    """Listens for notifications on a direct connection, in the background."""

    def __init__(self, url: str, poll_interval: float) -> None:
        self._url = url
        self._poll_interval = poll_interval
        self._channel = f"aisle_test_{uuid.uuid4().hex}"
        self._pause = FIRST_POLL
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._listens = False  # LISTEN was accepted
        self._hears = False  # and a test notification arrived
        self._probed_at = -PROBE_INTERVAL
        self._unheard_since: float | None = None
        self._has_warned = False
        threading.Thread(target=self._listen, name="listener", daemon=True).start()

    def wait(self, connection: Connection, longest: float, keep_on: Callable[[], bool]) -> None:
        """Return when there may be work, or after `longest` seconds; `connection` is not the listener's.

        It waits a moment even if jobs are due: another worker may hold those that could not be claimed just now.
        """
        if self._listens and time.monotonic() - self._probed_at >= PROBE_INTERVAL:
            self._probed_at = time.monotonic()
            self._unheard_since = self._unheard_since or self._probed_at
            connection.execute("select pg_notify(%s, '')", (self._channel,))
        deadline = time.monotonic() + min(self._poll_interval if self._hears else self._pause, max(longest, FIRST_POLL))
        self._pause = min(2 * self._pause, self._poll_interval)
        while keep_on() and (left := deadline - time.monotonic()) > 0:
            if self._woken.wait(min(left, SLICE)):
                break
        self._woken.clear()

    def was_busy(self) -> None:
        """Poll soon, since there may be more work."""
        self._pause = FIRST_POLL

    def close(self) -> None:
        """Let the thread end, without waiting for it."""
        self._closed.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            worked = False
            try:
                with psycopg.connect(
                    self._url, autocommit=True, application_name="aisle listener", **db.CONNECTION_OPTIONS
                ) as connection:
                    worked = self._serve(connection)
            except psycopg.Error as error:
                self._warn_once(addresses.reason(error, self._url))
            except TimeoutError as error:
                self._warn_once(str(error))
            self._listens = self._hears = False
            self._closed.wait(RETRY_INTERVAL * (0.1 if worked else 1) * random.uniform(0.5, 1))  # noqa: S311  # jitter

    def _serve(self, connection: Connection) -> bool:
        """Wake the worker on each notification until one is missed; return whether any test notification arrived."""
        # The session keeps its default search path, so names have their schema.
        _execute(connection, "select pg_catalog.pg_backend_pid()")
        if _execute(connection, "select pg_catalog.pg_backend_pid()") != str(connection.info.backend_pid):
            self._warn_once("a pooler stands between")
            return False
        _execute(connection, f"listen {CHANNEL}; listen {self._channel}; set idle_session_timeout = 0")
        self._unheard_since, self._probed_at, self._listens = None, -PROBE_INTERVAL, True
        self._woken.set()  # earlier notifications were missed: poll once, and send a test
        worked = False
        while not self._closed.is_set():
            for notification in connection.notifies(timeout=SLICE, stop_after=1):
                self._woken.set()
                if notification.channel == self._channel:
                    if not worked:
                        logger.info("Listening on %s.", CHANNEL)
                    self._unheard_since, self._has_warned = None, False
                    self._hears = worked = True
            unheard = self._unheard_since
            if unheard is not None and time.monotonic() - unheard > PATIENCE:
                self._warn_once("they do not arrive")
                break
        return worked

    def _warn_once(self, reason: str) -> None:
        """Warn once that the worker polls."""
        if not self._has_warned and not self._closed.is_set():
            logger.warning("No notifications (%s): polling at least every %g s.", reason.strip(), self._poll_interval)
        self._has_warned = True


def _execute(connection: Connection, statement: str) -> str | None:
    """Execute a statement and return its first value; raises TimeoutError if no answer comes in time."""
    pgconn, deadline = connection.pgconn, time.monotonic() + PATIENCE
    pgconn.send_query(statement.encode())
    value = None
    while True:
        while pgconn.is_busy():
            if not select.select([pgconn.socket], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError("the address does not answer")
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return value
        if result.error_message:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace"))
        if result.ntuples:
            value = (result.get_value(0, 0) or b"").decode()
