"""Commands that keep vectors up to date: `aisle embed`, `backfill`, `worker`, `status`, `failures`."""

import os
from datetime import timedelta

import click

from aisle import db
from aisle.commands import Database, check_schema, json_option, logs, pass_database, print_query
from aisle.commands.progress import transfer_progress

batch_size_option = click.option(
    "--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Rows to claim at once."
)


@click.command()
@batch_size_option
@pass_database
def embed(database: Database, batch_size: int) -> None:
    """Bring every vector up to date once, then exit.

    The exit code is 1 if an error, such as an unusable model, makes rows wait.
    """
    from aisle.embedder.pipeline import drain
    from aisle.embedder.worker import EMBEDDERS

    with database.connect() as connection, transfer_progress("Embedding") as progress:
        embedders = [embedder() for embedder in EMBEDDERS.values()]
        if not any(embedder.generations(connection) for embedder in embedders):
            raise db.errors.NoLiveModelError
        stale = db.fetch_value(connection, "select aisle._enqueue_stale()")
        done = drain(connection, embedders, batch_size=batch_size, progress=lambda rows: progress(rows, stale or None))
        given_up = db.fetch_value(connection, "select count(*) from aisle.failures")
        waiting, error = db.fetch_row(connection, "select sum(pending)::bigint, max(last_error) from aisle.freshness")
    click.echo(
        f"{done:,} rows embedded."
        + (f" {given_up:,} were given up: aisle failures" if given_up else "")
        + (f" {waiting:,} still wait{f' ({error})' if error else ''}: aisle status" if waiting else "")
    )
    if waiting and error:
        raise click.exceptions.Exit(1)


@click.command()
@pass_database
def backfill(database: Database) -> None:
    """Queue every row without a current vector for the workers.

    The live model answers meanwhile.
    """
    with database.connect() as connection:
        queued = db.fetch_value(connection, "select aisle._enqueue_stale()")
    click.echo(f"{queued:,} rows queued. Follow the workers: aisle status")


@click.command()
@click.option(
    "--tasks",
    help="Tasks whose rows it embeds, separated by commas.  [default: all]",
)
@batch_size_option
@click.option(
    "--poll-interval",
    type=click.FloatRange(0.01),
    default=5.0,
    show_default=True,
    help="Seconds between two polls of the queue while no notification comes.",
)
@click.option(
    "--compare-rate",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Rows a second that it compares with their vectors, to find changes without a trigger; 0 compares none.",
)
@click.option("--listen-url", help="Direct address for notifications, if --database-url is that of a pooler.")
@click.option(
    "--lease",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
    help="Seconds after which other workers take over the rows of a worker that died.",
)
@click.option("--once", is_flag=True, help="Exit when no row is due.")
@click.option("--idle-exit", type=click.FloatRange(0), help="Seconds without work after which it exits.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port on which it serves Prometheus metrics.")
@click.option("--log-format", type=click.Choice(logs.FORMATS), help="Format of log lines, as before the command.")
@pass_database
def worker(
    database: Database,
    tasks: str | None,
    batch_size: int,
    poll_interval: float,
    compare_rate: int,
    listen_url: str | None,
    lease: float,
    once: bool,
    idle_exit: float | None,
    metrics_port: int | None,
    log_format: str | None,
) -> None:
    """Keep running, and embed rows as they change."""
    if log_format:
        logs.use(log_format)
    from aisle.embedder.worker import EMBEDDERS, Options, Worker

    wanted = tuple(EMBEDDERS) if tasks is None else tuple(task.strip() for task in tasks.split(","))
    if unknown := set(wanted) - set(EMBEDDERS):
        raise db.errors.InvalidArgumentError(
            f"There is no task {', '.join(sorted(unknown))!r}.", hint=f"Tasks: {', '.join(EMBEDDERS)}"
        )

    options = Options(
        tasks=wanted,
        batch_size=batch_size,
        poll_interval=poll_interval,
        lease=timedelta(seconds=lease),
        compare_rate=compare_rate,
        listen_url=listen_url,
        once=once,
        idle_exit=idle_exit,
        metrics_port=metrics_port,
    )
    try:
        Worker(database.url, options, check=check_schema).run()
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        os._exit(130)  # a normal exit would wait for the model's thread, which may be in the middle of a batch


@click.command()
@json_option
@pass_database
def status(database: Database, as_json: bool) -> None:
    """Show attached tables, live models and pending rows."""
    with database.connect() as connection:
        print_query(connection, "select * from aisle.status", as_json=as_json)
        for warning, remedy in connection.execute("select warning, remedy from aisle.warnings"):
            click.echo(f"Warning: {warning}\n{remedy}", err=True)


@click.command()
@click.option("--requeue", is_flag=True, help="Queue these rows again, with new attempts.")
@json_option
@pass_database
def failures(database: Database, requeue: bool, as_json: bool) -> None:
    """List the rows that the worker gave up, with the errors."""
    with database.connect() as connection:
        if requeue:
            click.echo(f"{db.fetch_value(connection, 'select aisle.requeue_failures()')} rows queued again.")
        elif not print_query(connection, "select * from aisle.failures", as_json=as_json) and not as_json:
            click.echo("No row was given up.")
