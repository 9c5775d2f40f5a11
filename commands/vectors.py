"""Vectors in step with rows: `aisle embed`, `worker`, `status`, `failures`."""

import click

from aisle import sql
from aisle.commands import Database, json_option, pass_database, print_query
from aisle.commands.progress import transfer_progress


@click.command()
@click.option("--batch-size", default=256, show_default=True, help="Rows taken up at once.")
@pass_database
def embed(database: Database, batch_size: int) -> None:
    """Bring every vector up to date once, then leave."""
    from aisle.embedder.items import ItemEmbedder
    from aisle.embedder.worker import drain

    with database.connect() as connection, transfer_progress("Embedding") as progress:
        if not ItemEmbedder().generations(connection):
            raise sql.errors.NoLiveModelError
        stale = sql.fetch_value(connection, "select aisle._enqueue_stale()")
        done = drain(
            connection, ItemEmbedder(), batch_size=batch_size, progress=lambda rows: progress(rows, stale or None)
        )
        given_up = sql.fetch_value(connection, "select count(*) from aisle.failures")
    click.echo(f"{done:,} rows embedded." + (f" {given_up} were given up: aisle failures" if given_up else ""))


@click.command()
@click.option("--batch-size", default=256, show_default=True, help="Rows taken up at once.")
@click.option(
    "--poll-interval", default=5.0, show_default=True, help="Seconds between looks when no notification comes."
)
@pass_database
def worker(database: Database, batch_size: int, poll_interval: float) -> None:
    """Stay, and embed rows as they change."""
    from aisle.embedder.worker import Worker

    with database.connect():
        pass  # a schema of the wrong version is said at once, not retried
    Worker(database.url, batch_size=batch_size, poll_interval=poll_interval).run()


@click.command()
@json_option
@pass_database
def status(database: Database, as_json: bool) -> None:
    """Say what is attached, what is live, and how far vectors lag."""
    with database.connect() as connection:
        print_query(connection, "select * from aisle.status", as_json=as_json)


@click.command()
@click.option("--requeue", is_flag=True, help="Give the rows another round of attempts.")
@json_option
@pass_database
def failures(database: Database, requeue: bool, as_json: bool) -> None:
    """List rows that the worker gave up, and why."""
    with database.connect() as connection:
        if requeue:
            click.echo(f"{sql.fetch_value(connection, 'select aisle.requeue_failures()')} rows queued again.")
        elif not print_query(connection, "select * from aisle.failures", as_json=as_json) and not as_json:
            click.echo("None.")
