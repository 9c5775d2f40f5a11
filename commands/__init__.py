"""The commands of `aisle`, one module for each topic. They parse, call and print; other packages do the work."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from aisle import db
from aisle.db import Connection

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@dataclass(frozen=True)
class Database:
    """The database that a command uses."""

    explicit_url: str | None

    @property
    def url(self) -> str:
        """The address. Without one, this starts the embedded server."""
        return db.database_url(self.explicit_url)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection for one command; raises SchemaVersionError if the schema is not this program's."""
        with db.connect(self.url) as connection:
            check_schema(connection)
            yield connection

    def call(self, query: str, parameters: Sequence[Any]) -> str:
        """Call a function that locks the shop's tables, without making the shop wait; return its message."""
        from aisle.db import locks

        with self.connect() as connection:
            return str(locks.giving_way(connection, lambda: db.fetch_value(connection, query, parameters)))


pass_database = click.make_pass_decorator(Database)


def check_schema(connection: Connection) -> None:
    """Raise SchemaVersionError unless the schema has the revision that this program needs."""
    from aisle import migrations

    found, needed = migrations.current(connection), migrations.head()
    if found is None:
        raise db.errors.SchemaVersionError("This database has no schema `aisle` yet.")
    if found != needed:
        raise db.errors.SchemaVersionError(f"The schema is at revision {found}; this program needs {needed}.")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool) -> None:
    """Print rows as a table for people, or as a JSON array of objects."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    # rich does not read a Text as markup: a product may be called "[new] phone" or ":apple:".
    for column in columns:
        table.add_column(Text(column.replace("_", " ")), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    # A pipe has no width: a program reads one row a line.
    Console(width=None if sys.stdout.isatty() else 100_000).print(table, soft_wrap=not sys.stdout.isatty())


def print_dicts(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json)


def print_json(value: Any) -> None:
    """Print a value as JSON. Dates, intervals and exact numbers become strings."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_query(
    connection: Connection, query: str, parameters: Sequence[Any] | Mapping[str, Any] = (), *, as_json: bool
) -> int:
    """Run a query and print its rows; return their number."""
    cursor = connection.execute(query.encode(), parameters or None)
    columns = [column.name for column in cursor.description or ()]
    rows = cursor.fetchall()
    print_rows(columns, rows, as_json)
    return len(rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, dict):
        # --json shows nested metrics, such as those of baselines.
        return ", ".join(f"{key} {_cell(part)}" for key, part in value.items() if not isinstance(part, dict))
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)
