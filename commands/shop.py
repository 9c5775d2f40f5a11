"""The shop's tables: `aisle attach`, `detach`, `import`, `export`."""

import shlex
from pathlib import Path

import click

from aisle import db
from aisle.commands import Database, pass_database
from aisle.commands.progress import transfer_progress


@click.group()
def attach() -> None:
    """Point Aisle at a table of the shop. Nothing is copied."""


@attach.command("items")
@click.argument("relation", metavar="TABLE")
@click.option(
    "--id", "id_column", default="id", show_default=True, help="Column with a unique id: whole number, uuid or text."
)
@click.option("--name", default="name", show_default=True, help="Column with the product's name.")
@click.option("--manufacturer", help="Column with the manufacturer or brand.")
@click.option("--category", help="Column with the category; rows where it is NULL are the ones to predict.")
@click.option(
    "--text", "text_columns", multiple=True, help="Further column that models read, such as specifications; repeatable."
)
@click.option(
    "--category-separator", default=" > ", show_default=True, help="What stands between the steps of a category path."
)
@click.option(
    "--draft-rows", default=100, show_default=True, help="Statements of up to so many rows get draft vectors at once."
)
@click.option("--latitude", help="Column that says where it is, in degrees: of stores, say, for the recommender.")
@click.option("--longitude", help="The other one; both, or none.")
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
    draft_rows: int,
    latitude: str | None,
    longitude: str | None,
) -> None:
    """Attach the table (or view) of products, such as public1.products."""
    message = database.call(
        "select aisle.attach_items(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
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
        ),
    )
    click.echo(message)


@attach.command("interactions")
@click.argument("relation", metavar="TABLE")
@click.option("--user", "user_id", default="user_id", show_default=True, help="Column with the user's id.")
@click.option("--item", "item_id", default="item_id", show_default=True, help="Column with the item's id.")
@click.option("--at", default="created_at", show_default=True, help="Column with the time: timestamp or date.")
@click.option("--weight", help="Column that says how much an event counts.")
@click.option(
    "--context",
    "context_columns",
    multiple=True,
    help="Column that tells of the situation, such as meal_time; repeatable.",
)
@click.option("--review", help="Column with the text of a review.")
@click.option("--rating", help="Column with what the user gave: a number, a yes or no, or a word.")
@click.option("--time-zone", help="Zone of hours and weekdays, and of times that have none.  [default: the database's]")
@pass_database
def attach_interactions(
    database: Database, relation: str, user_id: str, item_id: str, at: str, weight: str | None,
    context_columns: tuple[str, ...], review: str | None, rating: str | None, time_zone: str | None,
) -> None:  # fmt: skip
    """Attach the table (or view) of views, ratings, visits or purchases."""
    message = database.call(
        "select aisle.attach_interactions(%s, %s, %s, %s, %s, %s, %s, coalesce(%s, current_setting('TimeZone')), %s)",
        (relation, user_id, item_id, at, weight, list(context_columns), review, time_zone, rating),
    )
    click.echo(message)


@attach.command("orders")
@click.argument("relation", metavar="TABLE")
@click.argument("lines", metavar="[LINES]", required=False)
@click.option("--order-id", default="order_id", show_default=True, help="Column with the order's id.")
@click.option("--item", "item_id", default="item_id", show_default=True, help="Column with the product's id.")
@click.option(
    "--user", "user_id", help="Column with the customer's id; without it, each order is a customer's only one."
)
@click.option("--at", help="Column with the time of an order: timestamp or date.")
@click.option("--order-number", help="Column with a number that grows with time, where there is no time.")
@click.option("--quantity", help="Column with the quantity; lines of 0 or less count as returned.")
@click.option("--line-order-id", help="Column of LINES with the order's id.  [default: the same name]")
@click.option("--time-zone", help="Zone of days, and of times that have none.  [default: the database's]")
@pass_database
def attach_orders(
    database: Database, relation: str, lines: str | None, order_id: str, item_id: str, user_id: str | None,
    at: str | None, order_number: str | None, quantity: str | None, line_order_id: str | None, time_zone: str | None,
) -> None:  # fmt: skip
    """Attach the orders: a TABLE of lines, or a TABLE of orders and one of their LINES."""
    message = database.call(
        "select aisle.attach_orders(%s, %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s, current_setting('TimeZone')))",
        (relation, order_id, item_id, user_id, at, order_number, quantity, lines, line_order_id, time_zone),
    )
    click.echo(message)


@click.command()
@click.argument("kind", type=click.Choice(["items", "interactions", "orders"]))
@pass_database
def detach(database: Database, kind: str) -> None:
    """Take triggers, view and vectors away from a table."""
    click.echo(database.call("select aisle.detach(%s)", (kind,)))


@click.group("import")
def import_() -> None:
    """Fill a table from a CSV, Excel or Parquet file."""


def _one_character(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Return a delimiter; a tab, which is hard to type, has a name."""
    if value in ("tab", "\\t"):
        return "\t"
    if value is not None and len(value) != 1:
        raise click.BadParameter(f"{value!r} is not one character; a tab is `tab`.")
    return value


@import_.command("items")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--table", default="shop.products", show_default=True, help="The table to create or fill.")
@click.option("--key", help="The primary key of a table that is created.  [default: id, if there is such a column]")
@click.option(
    "--update",
    is_flag=True,
    help="Change rows whose key is there already, and add the others; --key names the key.",
)
@click.option(
    "--encoding", help="Encoding: cp949, gbk, latin-1, utf-16, ….  [default: UTF-8, or CP949 if that is Korean]"
)
@click.option(
    "--delimiter", callback=_one_character, help="Character between fields, or `tab`.  [default: from the first lines]"
)
@click.option(
    "--header-line",
    type=click.IntRange(min=1),
    help="Number of the line that names the columns.  [default: the first, or below a title]",
)
@click.option("--skip-rows", type=click.IntRange(min=0), help="Number of rows below the header that are no data.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Name a column; OLD may be its position. Repeatable.")
@click.option("--sheet", help="Sheet of an Excel file.  [default: the first that is not empty]")
@pass_database
def import_items(
    database: Database, file: Path, table: str, key: str | None, update: bool, encoding: str | None,
    delimiter: str | None, header_line: int | None, skip_rows: int | None, rename: tuple[str, ...], sheet: str | None,
) -> None:  # fmt: skip
    """Create or fill a table of products from FILE, with all of it or nothing."""
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
            f"It has no primary key, which an id must be. In SQL: alter table {table} add primary key (KEY); "
            "or drop it and import again with --key COLUMN"
        )
    id_option = [] if result.key == "id" else ["--id", result.key or "KEY"]
    # The dots are for the person to fill in; whatever they run by mistake, no name of theirs breaks the line.
    click.echo(f"Next: {shlex.join(['aisle', 'attach', 'items', table, *id_option])} --name … --category …")


@click.group()
def export() -> None:
    """Write a table to a CSV or Parquet file."""


def _say_written(file: Path, what: str) -> None:
    """Say what a file holds now; not into a pipe, which may be the file."""
    from aisle.files.import_export import is_stream

    click.echo(f"{file}: {what}.", err=is_stream(file))


@export.command("items")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--table", help="The table to export.  [default: the attached one]")
@click.option("--excel", is_flag=True, help="Begin a CSV file with the mark by which Excel knows UTF-8.")
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
@click.option("-k", "--top", "k", default=10, show_default=True, type=click.IntRange(min=1), help="Items a user.")
@click.option("--repeats", is_flag=True, help="Also what a user had to do with before.")
@click.option("--excel", is_flag=True, help="Begin a CSV file with the mark by which Excel knows UTF-8.")
@pass_database
def export_recommendations(database: Database, file: Path, k: int, repeats: bool, excel: bool) -> None:
    """Write what is recommended to every user with an event to FILE (.csv, .csv.gz, .parquet)."""
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
    "-k", "--top", "k", default=10, show_default=True, type=click.IntRange(min=0), help="Items; 0: the best set."
)
@click.option("--excel", is_flag=True, help="Begin a CSV file with the mark by which Excel knows UTF-8.")
@pass_database
def export_baskets(database: Database, file: Path, k: int, excel: bool) -> None:
    """Write what every customer is likely to order next to FILE (.csv, .csv.gz, .parquet)."""
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
