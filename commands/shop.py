"""Commands for the shop's tables: `aisle attach`, `detach`, `import`, `export`."""

import shlex
from pathlib import Path

import click

from aisle import db
from aisle.commands import Database, pass_database
from aisle.commands.progress import transfer_progress
from aisle.commands.shop_file import attach_file

ACCEPT_ITEM_IDS = click.option(
    "--accept-item-ids",
    is_flag=True,
    help="Attach the table although its item ids look like those of another table.",
)


@click.group(invoke_without_command=True)
@click.option(
    "-f", "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Shop file that declares all."
)
@click.option("--check", is_flag=True, help="Print what the file would change, and change nothing.")
@click.option("--accept-changes", is_flag=True, help="Change what the live models read of the items; train again then.")
@click.pass_context
def attach(context: click.Context, file: Path | None, check: bool, accept_changes: bool) -> None:
    """Point Aisle at the shop's tables. It copies nothing.

    A shop file declares all of them (docs/shop-file.md). With --check, the exit code is 3 if something would change.
    """
    if file is not None and context.invoked_subcommand is not None:
        raise click.UsageError("The file declares all tables: give -f alone, or a command without it.")
    if file is None and (check or accept_changes):
        raise click.UsageError("--check and --accept-changes need a shop file: -f FILE")
    if file is not None:
        attach_file(context, context.ensure_object(Database), file, check, accept_changes)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


@attach.command("items")
@click.argument("relation", metavar="TABLE")
@click.option(
    "--id", "id_column", default="id", show_default=True, help="Column with a unique id: whole number, uuid or text."
)
@click.option("--name", default="name", show_default=True, help="Column with the product's name.")
@click.option("--manufacturer", help="Column with the manufacturer or brand.")
@click.option("--category", help="Column with the category. Aisle predicts it for rows where it is NULL.")
@click.option(
    "--text", "text_columns", multiple=True, help="Another column that models read, such as specifications; repeatable."
)
@click.option(
    "--category-separator",
    default=" > ",
    show_default=True,
    help="Text between the steps of a category path, or `3 digits` for codes of so many digits a level.",
)
@click.option(
    "--category-list",
    help="Text between several categories in one cell, of which the first counts.  [default: guessed]",
)
@click.option(
    "--draft-rows",
    default=100,
    show_default=True,
    help="Largest number of rows of a statement that get draft vectors at once.",
)
@click.option("--latitude", help="Column with the latitude in degrees, such as a store's; needs --longitude.")
@click.option("--longitude", help="Column with the longitude in degrees; needs --latitude.")
@pass_database
def attach_items(
    database: Database,
    relation: str,
    id_column: str,
    name: str,
    manufacturer: str | None,
    category: str | None,
    text_columns: tuple[str, ...],
    category_separator: str,
    category_list: str | None,
    draft_rows: int,
    latitude: str | None,
    longitude: str | None,
) -> None:
    """Attach the table (or view) of products, such as shop.products."""
    message = database.call(
        "select aisle.attach_items(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, category_list => %s)",
        (
            relation,
            id_column,
            name,
            manufacturer,
            category,
            list(text_columns),
            category_separator,
            draft_rows,
            latitude,
            longitude,
            category_list,
        ),
    )
    click.echo(message)


@attach.command("interactions")
@click.argument("relation", metavar="TABLE")
@click.option("--user", "user_id", default="user_id", show_default=True, help="Column with the user's id.")
@click.option("--item", "item_id", default="item_id", show_default=True, help="Column with the item's id.")
@click.option("--at", default="created_at", show_default=True, help="Column with the time: timestamp or date.")
@click.option("--weight", help="Column with the weight of an event.")
@click.option(
    "--context",
    "context_columns",
    multiple=True,
    help="Column with the situation of an event, such as meal_time; repeatable.",
)
@click.option("--review", help="Column with the text of a review.")
@click.option("--rating", help="Column with the user's rating: a number, a boolean or a word.")
@click.option(
    "--time-zone", help="Time zone of hours and weekdays, and of times without a zone.  [default: the database's]"
)
@ACCEPT_ITEM_IDS
@pass_database
def attach_interactions(
    database: Database, relation: str, user_id: str, item_id: str, at: str, weight: str | None,
    context_columns: tuple[str, ...], review: str | None, rating: str | None, time_zone: str | None,
    accept_item_ids: bool,
) -> None:  # fmt: skip
    """Attach the table (or view) of views, ratings, visits or purchases."""
    message = database.call(
        "select aisle.attach_interactions(%s, %s, %s, %s, %s, %s, %s, coalesce(%s, current_setting('TimeZone')), %s,"
        " %s)",
        (relation, user_id, item_id, at, weight, list(context_columns), review, time_zone, rating, accept_item_ids),
    )
    click.echo(message)


@attach.command("orders")
@click.argument("relation", metavar="TABLE")
@click.argument("lines", metavar="[LINES]", required=False)
@click.option("--order-id", default="order_id", show_default=True, help="Column with the order's id.")
@click.option("--item", "item_id", default="item_id", show_default=True, help="Column with the product's id.")
@click.option(
    "--user", "user_id", help="Column with the customer's id. Without it, each order is from another customer."
)
@click.option("--at", help="Column with the time of an order: timestamp or date.")
@click.option("--order-number", help="Column with a number that grows with time, if no column has the time.")
@click.option("--quantity", help="Column with the quantity; lines of 0 or less count as returned.")
@click.option("--line-order-id", help="Column of LINES with the order's id.  [default: as --order-id]")
@click.option("--time-zone", help="Time zone of days, and of times without a zone.  [default: the database's]")
@ACCEPT_ITEM_IDS
@pass_database
def attach_orders(
    database: Database, relation: str, lines: str | None, order_id: str, item_id: str, user_id: str | None,
    at: str | None, order_number: str | None, quantity: str | None, line_order_id: str | None, time_zone: str | None,
    accept_item_ids: bool,
) -> None:  # fmt: skip
    """Attach the orders: a TABLE of lines, or a TABLE of orders and a table of their LINES."""
    message = database.call(
        "select aisle.attach_orders(%s, %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s, current_setting('TimeZone')), %s)",
        (
            relation,
            order_id,
            item_id,
            user_id,
            at,
            order_number,
            quantity,
            lines,
            line_order_id,
            time_zone,
            accept_item_ids,
        ),
    )
    click.echo(message)


@click.command()
@click.argument("kind", type=click.Choice(["items", "interactions", "orders"]))
@pass_database
def detach(database: Database, kind: str) -> None:
    """Remove Aisle's triggers, view and vectors of a table."""
    click.echo(database.call("select aisle.detach(%s)", (kind,)))


@click.command()
@click.argument("kind", type=click.Choice(["items", "interactions", "orders"]))
@pass_database
def pause(database: Database, kind: str) -> None:
    """Take Aisle's views and triggers off for a migration. Vectors stay."""
    click.echo(database.call("select aisle.pause(%s)", (kind,)))


@click.command()
@click.argument("kind", type=click.Choice(["items", "interactions", "orders"]))
@pass_database
def resume(database: Database, kind: str) -> None:
    """Put back what `aisle pause`, or a migration, took away."""
    click.echo(database.call("select aisle.resume(%s)", (kind,)))


@click.group("import")
def import_() -> None:
    """Fill a table from a CSV, Excel or Parquet file."""


def _one_character(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Return the delimiter. A tab has a name, because it is hard to type."""
    if value in ("tab", "\\t"):
        return "\t"
    if value is not None and len(value) != 1:
        raise click.BadParameter(f"{value!r} is not one character; a tab is `tab`.")
    return value


@import_.command("items")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--table", default="shop.products", show_default=True, help="Table to create or fill.")
@click.option("--key", help="Column that becomes the primary key of a new table.  [default: id, if there is one]")
@click.option(
    "--update",
    is_flag=True,
    help="Change rows whose key the table has, and add the others.",
)
@click.option(
    "--encoding", help="Encoding: cp949, gbk, latin-1, utf-16, ….  [default: UTF-8, or CP949 for Korean text]"
)
@click.option(
    "--delimiter", callback=_one_character, help="Character between fields, or `tab`.  [default: from the first lines]"
)
@click.option(
    "--header-line",
    type=click.IntRange(min=1),
    help="Number of the line that names the columns.  [default: the first, or below a title]",
)
@click.option("--skip-rows", type=click.IntRange(min=0), help="Number of rows below the header to skip.")
@click.option(
    "--rename", multiple=True, metavar="OLD=NEW", help="New name of a column; OLD may be its position. Repeatable."
)
@click.option("--sheet", help="Sheet of an Excel file.  [default: the first that is not empty]")
@pass_database
def import_items(
    database: Database, file: Path, table: str, key: str | None, update: bool, encoding: str | None,
    delimiter: str | None, header_line: int | None, skip_rows: int | None, rename: tuple[str, ...], sheet: str | None,
) -> None:  # fmt: skip
    """Create or fill a table of products from FILE. An error changes nothing."""
    from aisle.files import import_export
    from aisle.files.table_files import Reading, counted

    reading = Reading(encoding, delimiter, header_line, skip_rows, rename, sheet)
    with database.connect() as connection, transfer_progress(f"Importing {file.name}") as progress:
        result = import_export.import_table(
            connection, file, table, key=key, update=update, reading=reading, progress=progress
        )
    if result.changes:
        added, changed, equal = result.changes.added, result.changes.changed, result.changes.equal
        made = f"updated: {counted(added, 'row')} added, {changed:,} changed, {equal:,} left as before"
    else:
        made = f"{'created and filled' if result.created else 'filled'}: {counted(result.rows, 'row')}"
    said = f", read {result.said}" if result.said else ""
    click.echo(f"{table} {made}{said}, columns {', '.join(result.columns)}.")
    for note in result.notes:
        click.echo(note)
    if result.key is None:
        click.echo(
            f"The table has no primary key; the id must be one. In SQL: alter table {table} add primary key (KEY); "
            "or drop the table and import again with --key COLUMN"
        )
    id_option = [] if result.key == "id" else ["--id", result.key or "KEY"]
    # The reader fills in the dots. The names are quoted, so that any name is safe to paste.
    click.echo(f"Next: {shlex.join(['aisle', 'attach', 'items', table, *id_option])} --name … --category …")


@click.group()
def export() -> None:
    """Write a table to a CSV or Parquet file."""


def _say_written(file: Path, what: str) -> None:
    """Print what the file contains; on stderr if the file is a pipe, which may be stdout."""
    from aisle.files.import_export import is_stream

    click.echo(f"{file}: {what}.", err=is_stream(file))


@export.command("items")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--table", help="Table to export.  [default: the attached table]")
@click.option("--excel", is_flag=True, help="Write a CSV file that Excel opens as UTF-8.")
@pass_database
def export_items(database: Database, file: Path, table: str | None, excel: bool) -> None:
    """Write the attached table, or another, to FILE (.csv, .csv.gz, .parquet)."""
    from aisle.db import errors
    from aisle.files import import_export
    from aisle.files.table_files import counted

    with database.connect() as connection, transfer_progress(f"Exporting {file.name}") as progress:
        if table is None:
            row = connection.execute(
                "select c.oid::regclass::text from aisle._attachments a left join pg_class c on c.oid = a.relation "
                "where a.kind = 'items'"
            ).fetchone()
            if row is None:
                raise errors.NotAttachedError
            if row[0] is None:
                raise errors.AttachedTableGoneError
            table = str(row[0])
        rows = import_export.export_table(connection, table, file, excel=excel, progress=progress)
    _say_written(file, f"{counted(rows, 'row')} of {table}")


@export.command("recommendations")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-k", "--top", "k", default=10, show_default=True, type=click.IntRange(min=1), help="Number of items for each user."
)
@click.option("--repeats", is_flag=True, help="Include items from the user's own history.")
@click.option("--excel", is_flag=True, help="Write a CSV file that Excel opens as UTF-8.")
@pass_database
def export_recommendations(database: Database, file: Path, k: int, repeats: bool, excel: bool) -> None:
    """Write recommendations for every user with an event to FILE (.csv, .csv.gz, .parquet)."""
    from psycopg import sql as compose

    from aisle.files import import_export
    from aisle.files.table_files import counted

    with database.connect() as connection, transfer_progress(f"Exporting {file.name}") as progress:
        db.fetch_value(connection, "select aisle._live_model('recommender')")
        kind = db.fetch_value(connection, "select (aisle._event_source()).kind")
        if kind is None:
            raise db.errors.NotAttachedError("No interactions are attached.")
        query = compose.SQL(
            "select u.user_id, r.rank, r.item_id, r.score from (select distinct user_id::text from aisle.{}) u, "
            "lateral aisle.recommend(u.user_id, {}, exclude_seen => {}) r"
        ).format(compose.Identifier(f"_{kind}"), compose.Literal(k), compose.Literal(not repeats))
        rows = import_export.export_table(connection, query, file, excel=excel, progress=progress)
    _say_written(file, counted(rows, "recommendation"))


@export.command("baskets")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-k",
    "--top",
    "k",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of items for each customer; 0 chooses the number that maximises the expected F1.",
)
@click.option("--excel", is_flag=True, help="Write a CSV file that Excel opens as UTF-8.")
@pass_database
def export_baskets(database: Database, file: Path, k: int, excel: bool) -> None:
    """Write every customer's predicted next order to FILE (.csv, .csv.gz, .parquet)."""
    from psycopg import sql as compose

    from aisle.files import import_export

    with database.connect() as connection, transfer_progress(f"Exporting {file.name}") as progress:
        db.fetch_value(connection, "select aisle._live_model('basket')")
        if not db.fetch_value(connection, "select exists (select from aisle._attachments where kind = 'orders')"):
            raise db.errors.NotAttachedError("No orders are attached.")
        query = compose.SQL(
            "select u.user_id, b.rank, b.item_id, b.score, b.probability, b.bought_before "
            "from (select distinct user_id::text from aisle._orders) u, lateral aisle.next_basket(u.user_id, {}) b"
        ).format(compose.Literal(k or None))
        rows = import_export.export_table(connection, query, file, excel=excel, progress=progress)
    _say_written(file, f"{rows:,} items of next orders")
