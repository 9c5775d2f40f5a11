"""The commands of `aisle`, a module a topic. They parse, call, and print; the work is done elsewhere."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from aisle import db
from aisle.db import Connection

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@dataclass(frozen=True)
class Database:
    """Where the commands find the database."""

    explicit_url: str | None

    @property
    def url(self) -> str:
        """The address; the embedded server is started if no other was named."""
        return db.database_url(self.explicit_url)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection for one command; the schema must be of this program's version."""
        with db.connect(self.url) as connection:
            check_schema(connection)
            yield connection

    def call(self, query: str, parameters: Sequence[Any]) -> str:
        """Call one of our functions that lock the shop's tables, giving way to the shop; return what it says."""
        from aisle.db import locks

        with self.connect() as connection:
            return str(locks.giving_way(connection, lambda: db.fetch_value(connection, query, parameters)))


pass_database = click.make_pass_decorator(Database)


def check_schema(connection: Connection) -> None:
    """Raise SchemaVersionError unless the database was migrated to what this program needs."""
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
    # A Text is no markup: a product may be called "[new] phone" or ":apple:".
    for column in columns:
        table.add_column(Text(column.replace("_", " ")), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    # A pipe has no width: for a program that reads them, no row is folded.
    Console(width=None if sys.stdout.isatty() else 100_000).print(table, soft_wrap=not sys.stdout.isatty())


def print_dicts(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json)


def print_json(value: Any) -> None:
    """Print a value as JSON; dates and numbers of the database become strings and floats."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_query(connection: Connection, query: str, parameters: Sequence[Any] = (), *, as_json: bool) -> int:
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
        # What metrics stand beside, a baseline's own say, is in --json.
        return ", ".join(f"{key} {_cell(part)}" for key, part in value.items() if not isinstance(part, dict))
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)
