"""Reports a worker's state: in the log, and as metrics for Prometheus."""

import logging
import time

from psycopg.rows import dict_row

from aisle.db import Connection, errors

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 30.0  # seconds between reads of the queue's state

LOOK = """
    select f.task, f.pending, coalesce(extract(epoch from f.oldest_pending), 0)::float8 as oldest_seconds, f.retrying,
           (select count(*) from aisle.failures d where d.task = f.task) as failures,
           f.p50_seconds, f.p95_seconds, f.p99_seconds, f.rows_per_second,
           coalesce(extract(epoch from f.eta), 0)::float8 as eta_seconds
    from aisle.freshness f
"""


class Metrics:
    """Counts this worker's rows and errors, and shows the state of the queue."""

    def __init__(self, port: int | None) -> None:
        """Serve Prometheus' text format on a port, unless it is None."""
        self._rows = self._errors = 0
        self._counts_since = time.monotonic()
        self._looked_at = self._counts_since - LOOK_INTERVAL  # read it at once
        self._exporter = _Exporter(port) if port is not None else None

    def count(self, task: str, rows: int, errors: int) -> None:
        """Count a finished batch."""
        self._rows += rows
        self._errors += errors
        if self._exporter:
            self._exporter.rows.labels(task).inc(rows)
            self._exporter.errors.labels(task).inc(errors)

    def lose_database(self) -> None:
        """Count a failed or lost connection to the database."""
        if self._exporter:
            self._exporter.losses.inc()

    def look(self, connection: Connection) -> None:
        """Log and export the queue's state, if it is time to."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_INTERVAL:
            return
        self._looked_at = now
        connection.execute("delete from aisle._embedding_batches where finished_at < aisle._now() - interval '1 day'")
        with connection.cursor(row_factory=dict_row) as cursor:
            tasks = cursor.execute(LOOK).fetchall()
        here = self._rows / max(now - self._counts_since, 1.0)
        for queue in tasks:
            if self._rows or queue["pending"]:
                logger.info(
                    "%s: %s pending, the oldest for %.1f s; %.1f rows/s here, %s errors; p95 freshness %s s.",
                    queue["task"], queue["pending"], queue["oldest_seconds"], here, self._errors, queue["p95_seconds"],
                    extra={"fields": {**queue, "rows_per_second_here": here, "errors_here": self._errors}},
                )  # fmt: skip
            if self._exporter:
                self._exporter.show(queue)
        if self._exporter:
            row = connection.execute("select count(*) from aisle.warnings").fetchone()
            self._exporter.warnings.set(row[0] if row else 0)
            self._exporter.looked_at.set_to_current_time()
        self._rows = self._errors = 0
        self._counts_since = now


class _Exporter:
    """Exports metrics to Prometheus, whose client is imported only if a port is given."""

    def __init__(self, port: int) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise errors.MissingExtraError(
                "--metrics-port needs prometheus-client.", hint="pip install '.[worker]'"
            ) from error
        registry = prometheus.CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> prometheus.Counter:
            return prometheus.Counter(f"aisle_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> prometheus.Gauge:
            return prometheus.Gauge(f"aisle_{name}", text, labels, registry=registry)

        # Of this worker.
        self.rows = counter("embedded_rows", "Rows brought up to date", "task")
        self.errors = counter("row_errors", "Attempts that failed", "task")
        self.losses = counter("database_losses", "Times that the database could not be reached or was lost")
        self.looked_at = gauge("last_look_timestamp_seconds", "When the metrics of the database were last read")
        # Of the database: the same on every worker.
        self._queue = {
            "pending": gauge("pending_rows", "Pending rows", "task"),
            "oldest_seconds": gauge("oldest_pending_seconds", "Age of the oldest pending row", "task"),
            "retrying": gauge("retrying_rows", "Rows pending for another attempt", "task"),
            "failures": gauge("failed_rows", "Dead letters", "task"),
            "rows_per_second": gauge("rows_per_second", "Speed of all workers in the last minute", "task"),
            "eta_seconds": gauge("eta_seconds", "Time until the queue is empty at that speed", "task"),
        }
        self._visible = gauge("visible_seconds", "From a change to its vector, in the last hour", "task", "quantile")
        self.warnings = gauge("warnings", "Rows of aisle.warnings")
        prometheus.start_http_server(port, registry=registry)

    def show(self, queue: dict[str, float | None]) -> None:
        """Export one task's row of `LOOK`; an unknown speed is 0, an unknown freshness NaN."""
        task = str(queue["task"])
        self.rows.labels(task)
        self.errors.labels(task)
        for column, metric in self._queue.items():
            metric.labels(task).set(queue[column] or 0)
        for quantile, column in (("0.5", "p50_seconds"), ("0.95", "p95_seconds"), ("0.99", "p99_seconds")):
            seconds = queue[column]
            self._visible.labels(task, quantile).set(float("nan") if seconds is None else seconds)
