"""`aisle apply` and `aisle undo`: predicted categories go back to the shop."""

from collections import Counter

import click

from aisle import db
from aisle.commands import Database, json_option, pass_database, print_rows

BATCH = 500  # items of a transaction: each keeps its rows of the shop's locked until it ends
COLUMNS = ("item_id", "category", "confidence", "category_id", "is_written", "problem")


@click.group()
def apply() -> None:
    """Write predicted categories to the shop's table."""


@apply.command("category")
@click.option("--dry-run", is_flag=True, help="Write nothing; list what would be written.")
@click.option("--limit", type=click.IntRange(1), help="Largest number of items to look at.  [default: all]")
@json_option
@pass_database
def apply_category(database: Database, dry_run: bool, limit: int | None, as_json: bool) -> None:
    """Write the categories of items that have none.

    An item gets one if the model is sure enough.
    """
    with database.connect() as connection:
        with db.guarded(connection):
            connection.execute("select aisle._check_source(a) from aisle._attachments a where a.kind = 'items'")
            query = "select item_id from aisle._items where category is null order by item_id limit %s"
            ids = [item_id for (item_id,) in connection.execute(query, (limit,))]
        answers = [
            row
            for at in range(0, len(ids), BATCH)
            for row in connection.execute(
                f"select {', '.join(COLUMNS)} from aisle.apply_categories(%s, %s)",  # noqa: S608 - our own names
                (ids[at : at + BATCH], dry_run),
            ).fetchall()
        ]
    counts = Counter("written" if row[4] else row[5] or "would be written" for row in answers)
    if dry_run or as_json:
        print_rows(COLUMNS, answers, as_json)
    if not as_json:
        found = "".join(f"; {n:,} {what}" for what, n in counts.most_common())
        click.echo(f"{len(answers):,} items without a category{found}.")


@click.group()
def undo() -> None:
    """Take back the categories that Aisle wrote."""


@undo.command("category")
@click.option("--model", "model_id", type=int, required=True, help="Number of the model, as aisle models lists it.")
@pass_database
def undo_category(database: Database, model_id: int) -> None:
    """Take back the categories of a model that nobody confirmed or changed."""
    with database.connect() as connection:
        undone = db.fetch_value(connection, "select aisle.undo_categories(%s)", (model_id,))
    click.echo(f"{undone:,} categories taken back.")
