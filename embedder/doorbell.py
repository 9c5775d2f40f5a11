"""What wakes an idle worker: a notification where one can come, else a look at the queue every so often.

NOTIFY is a wake-up and nothing else. Behind a transaction pooler LISTEN is accepted and then lost, and a firewall may
drop an idle connection without a word; so the worker rings its own bell now and then, from its other connection, and
believes only what it hears.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable

import psycopg

from aisle.sql import Connection

logger = logging.getLogger(__name__)

CHANNEL = "aisle_embedding_jobs"
FIRST_POLL = 0.1  # seconds between looks of a deaf worker that was busy a moment ago; doubles up to the poll interval
PROBE_INTERVAL = 30.0  # seconds between tests of the bell
PROBE_PATIENCE = 2.0  # seconds until a bell that was rung and not heard counts as broken
SLICE = 0.5  # seconds; a signal cannot interrupt a longer wait


class Doorbell:
    """Listens on a connection of its own, directly to the server."""

    def __init__(self, url: str, poll_interval: float) -> None:
        self._url = url
        self._poll_interval = poll_interval
        self._connection: Connection | None = None
        self._channel = f"aisle_bell_{uuid.uuid4().hex}"
        self._rung_at: float | None = None  # a probe under way
        self._probed_at = -PROBE_INTERVAL
        self._pause = FIRST_POLL
        self._said_deaf = False
        self.hears = False

    def wait(self, connection: Connection, longest: float, keep_on: Callable[[], bool]) -> None:
        """Return when there may be work, or after `longest` seconds; `connection` is another than the bell's."""
        self._probe(connection)
        pause = self._poll_interval if self.hears else self._pause
        deadline = time.monotonic() + min(pause, longest)
        self._pause = min(2 * self._pause, self._poll_interval)
        while keep_on() and (left := deadline - time.monotonic()) > 0:
            if self._listen(min(left, SLICE)):
                return

    def was_busy(self) -> None:
        """Look again soon, because where there was work there may be more."""
        self._pause = FIRST_POLL

    def close(self) -> None:
        """Hang up."""
        self.hears, self._rung_at = False, None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _probe(self, connection: Connection) -> None:
        now = time.monotonic()
        if self._rung_at is not None and now - self._rung_at > PROBE_PATIENCE:
            self._listen(0)  # it may have come while nobody listened
        if self._rung_at is not None and now - self._rung_at > PROBE_PATIENCE:
            if self.hears or not self._said_deaf:
                logger.warning("Notifications do not arrive; polling at least every %g s.", self._poll_interval)
                self._said_deaf = True
            self.close()
        if now - self._probed_at < PROBE_INTERVAL:
            return
        self._probed_at = now
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    application_name="aisle doorbell",
                    connect_timeout=10,
                    keepalives_idle=30,
                    keepalives_interval=10,
                    keepalives_count=3,
                )
                self._connection.execute(f"listen {CHANNEL}".encode())
                self._connection.execute(f"listen {self._channel}".encode())
                self._pause = FIRST_POLL  # what happened before this moment was not heard
            connection.execute("select pg_notify(%s, '')", (self._channel,))
            self._rung_at = now
        except psycopg.OperationalError as error:
            if connection.closed:
                raise
            logger.warning("Cannot listen for notifications, polling instead: %s", error)
            self.close()

    def _listen(self, seconds: float) -> bool:
        """Wait for a notification; return whether it announces work."""
        if self._connection is None:
            time.sleep(seconds)
            return False
        try:
            for notification in self._connection.notifies(timeout=seconds, stop_after=1):
                if notification.channel == CHANNEL:
                    return True
                if not self.hears:
                    logger.info("Listening on %s.", CHANNEL)
                self.hears, self._rung_at = True, None
        except psycopg.OperationalError as error:
            logger.warning("The connection that listens was lost, polling until it is back: %s", error)
            self.close()
            self._probed_at = time.monotonic() - PROBE_INTERVAL + random.uniform(0.5, 2)  # noqa: S311  # jitter
        return False
