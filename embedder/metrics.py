"""What a worker says of itself: a line in the log now and then, and numbers for Prometheus."""

import logging
import time

from aisle.sql import Connection, errors

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 30.0  # seconds between looks at the queue


class Metrics:
    """Counts what this worker does, and shows how far behind the queue is."""

    def __init__(self, port: int | None) -> None:
        """Serve Prometheus' text format on a port, unless it is None."""
        self._rows = self._errors = 0
        self._looked_at = time.monotonic()
        self._exporter = _Exporter(port) if port is not None else None

    def count(self, task: str, rows: int, errors: int) -> None:
        """Note a finished batch."""
        self._rows += rows
        self._errors += errors
        if self._exporter:
            self._exporter.rows.labels(task).inc(rows)
            self._exporter.errors.labels(task).inc(errors)

    def look(self, connection: Connection) -> None:
        """Say how things stand, if it is time to."""
        seconds = time.monotonic() - self._looked_at
        if seconds < LOOK_INTERVAL:
            return
        self._looked_at = time.monotonic()
        connection.execute("delete from aisle._embedding_batches where finished_at < aisle._now() - interval '1 day'")
        for task, pending, oldest, p95 in connection.execute(
            "select task, pending, coalesce(extract(epoch from oldest_pending), 0)::float8, p95_seconds "
            "from aisle.freshness"
        ):
            if self._rows or pending:
                logger.info(
                    "%s: %s waiting, the oldest for %.1f s; %.1f rows/s here, %s errors; p95 %s s to visible.",
                    task, pending, oldest, self._rows / seconds, self._errors, p95,
                )  # fmt: skip
            if self._exporter:
                self._exporter.pending.labels(task).set(pending)
                self._exporter.oldest.labels(task).set(oldest)
        self._rows = self._errors = 0


class _Exporter:
    """The Prometheus side, imported only where it is asked for."""

    def __init__(self, port: int) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise errors.MissingExtraError(
                "--metrics-port needs prometheus-client.", hint="pip install 'aisle[worker]'"
            ) from error
        registry = prometheus.CollectorRegistry()
        self.rows = prometheus.Counter("aisle_embedded_rows", "Rows brought up to date", ["task"], registry=registry)
        self.errors = prometheus.Counter("aisle_row_errors", "Attempts that failed", ["task"], registry=registry)
        self.pending = prometheus.Gauge("aisle_pending_rows", "Rows that wait", ["task"], registry=registry)
        self.oldest = prometheus.Gauge(
            "aisle_oldest_pending_seconds", "How long the oldest row has waited", ["task"], registry=registry
        )
        prometheus.start_http_server(port, registry=registry)
