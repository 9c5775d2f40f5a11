"""The page on freshness: how far vectors lag behind the shop's rows, over the last hours, and dead letters."""

from datetime import timedelta
from functools import partial

from aisle import db
from aisle.db import Connection
from aisle.reports import figures, pages
from aisle.reports.pages import Figure, Section, Table

STEP = timedelta(minutes=5)
MOST_FAILURES = 50


def read(connection: Connection) -> pages.Page:
    """Read the page on all tasks' vectors."""
    cursor = connection.execute("select task, model_id, deployed_at from aisle._live_models order by task")
    live = {f"live {task} model": model_id for task, model_id, _ in cursor.fetchall()}
    return pages.Page(
        "Freshness of vectors",
        live or {"live models": "none"},
        [
            Section("Now", [_present(connection)]),
            Section("From commit to visible", _over_time(connection)),
            Section("Dead letters", _failures(connection)),
            Section("Warnings", _warnings(connection)),
            Section("Live models", [_models(connection)] if live else ["None. Train one: aisle train category"]),
        ],
        pages.now(connection),
    )


def _present(connection: Connection) -> Table:
    cursor = connection.execute("select * from aisle.freshness order by task")
    columns = [column.name.replace("_", " ") for column in cursor.description or ()]
    return Table(columns, cursor.fetchall())


def _over_time(connection: Connection) -> list[str | Figure | Table]:
    rows = connection.execute(db.read("queries/waits_over_time"), {"step": STEP}).fetchall()
    if not rows:
        return ["No changed row has been embedded in the last hours, by aisle worker or aisle embed."]
    parts: list[str | Figure | Table] = [
        "Seconds from a change's commit to its vector: 50th, 95th and 99th percentiles of five minutes each."
    ]
    for task in sorted({row[0] for row in rows}):
        times, embedded, *waits = zip(*(row[1:] for row in rows if row[0] == task), strict=True)
        lines = dict(zip(("p50", "p95", "p99"), waits, strict=True))
        parts.append(
            Figure(
                f"{task.capitalize()}: seconds, and changed rows",
                partial(figures.percentiles, times, lines, embedded, STEP),
            )
        )
    return parts


def _failures(connection: Connection) -> list[str | Figure | Table]:
    count = db.fetch_value(connection, "select count(*) from aisle.failures")
    if not count:
        return ["There are none."]
    rows = connection.execute(
        "select task, id, attempts, last_error, enqueued_at from aisle.failures order by enqueued_at desc limit %s",
        (MOST_FAILURES,),
    ).fetchall()
    return [
        f"{count:,}{f', of which these are the latest {MOST_FAILURES}' if count > len(rows) else ''}. "
        "To retry: aisle failures --requeue",
        Table(("task", "id", "attempts", "last error", "changed"), rows),
    ]


def _warnings(connection: Connection) -> list[str | Figure | Table]:
    rows = connection.execute("select warning, remedy from aisle.warnings").fetchall()
    return [Table(("warning", "what to do"), rows)] if rows else ["There are none."]


def _models(connection: Connection) -> Table:
    rows = connection.execute(
        "select task, model_id, created_at, deployed_at, encoder, dimensions, (environment ->> 'seconds')::float8 "
        "from aisle.models where state = 'live' order by task"
    ).fetchall()
    return Table(("task", "model", "trained", "answers since", "encoder", "dimensions", "seconds"), [
        (task, str(model_id), *rest) for task, model_id, *rest in rows
    ])  # fmt: skip
