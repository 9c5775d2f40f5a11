"""Reads the catalogue of a database, a sample of each table, and measures joins. It writes nothing.

All runs in one read-only transaction. Each query has a time limit and a bounded number of rows. A table that cannot be
read is left out, and its name comes back.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql as compose

from aisle import db
from aisle.db import Connection
from aisle.discovery import links
from aisle.discovery.catalogue import JSON, NUMBERS, TEXTS, TIMES, Catalogue, Column, Link, Table
from aisle.discovery.words import KNOWN, words

STATEMENT_TIMEOUT = 10  # seconds
SAMPLE = 3000  # rows of a table
COUNTED = 200_000  # rows: smaller tables are counted, and sampled row by row
VALUES_TRIED = 300  # different values of a column that are looked up in another table
SMALL = 1000  # different values of a column that are kept; and rows: smaller tables are kept row by row
LONG = 60  # characters on average: of longer values, a tenth is kept
CHARACTERS = 400  # of a sampled value
COMMON = 0.5  # share of tables whose names begin with the same word, which then says nothing
# Values of other types are not read: their output functions are somebody's code.
READ_TYPES = NUMBERS | TEXTS | TIMES | JSON | {"uuid", "bool", "enum"}


class Reader:
    """A connection whose transaction only reads; `read_only` opens one."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, query: compose.Composed | str, parameters: db.Parameters | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query; raises psycopg.Error and leaves the transaction usable."""
        with self.connection.transaction():
            statement = query.encode() if isinstance(query, str) else query
            return self.connection.execute(statement, parameters).fetchall()

    def row(self, query: compose.Composed | str, parameters: db.Parameters | None = None) -> tuple[Any, ...] | None:
        """Return the first row of a query; None if it has none or fails."""
        try:
            return next(iter(self.rows(query, parameters)), None)
        except psycopg.Error:
            return None


@contextmanager
def read_only(url: str) -> Iterator[Reader]:
    """Open a transaction that only reads; a query of more than ten seconds is an error."""
    # With row_security off, a policy is an error: it would run the code of the table's owner.
    settings = {"statement_timeout": f"{STATEMENT_TIMEOUT}s", "row_security": "off"}
    with db.connect(url, application_name="aisle discover", settings=settings) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        yield Reader(connection)


def read(reader: Reader, schema: str | None = None) -> tuple[Catalogue, list[str]]:
    """Return the catalogue of a schema, or of all of the shop's, and the tables that could not be read."""
    tables = {str(table): table for table in _tables(reader, schema)}
    unread = []
    for name, table in tables.items():
        try:
            tables[name] = _sampled(reader, table)
        except psycopg.Error:
            unread.append(name)
    readable = {name: table for name, table in tables.items() if name not in unread}
    known = [link for link in _foreign_keys(reader) if link.table in readable and link.target in readable]
    guessed = links.guesses(readable, known)
    measured = [replace(link, share=_share(reader, readable, link)) for link in [*known, *guessed]]
    return Catalogue(readable, tuple(links.best(readable, measured))), unread


def _tables(reader: Reader, schema: str | None) -> Iterable[Table]:
    columns: dict[tuple[str, str], list[Column]] = defaultdict(list)
    keys: dict[tuple[str, str], tuple[Any, ...]] = {}
    labels = {oid: tuple(texts) for oid, texts in reader.rows(db.read("queries/discover_enums"))}
    for row in reader.rows(db.read("queries/discover_columns"), {"schema": schema}):
        schema_name, table, column, type_, not_null, enum, check, primary, unique, size, rows = row
        found = labels.get(enum, ()) or _listed(check or "")
        columns[schema_name, table].append(Column(column, "enum" if enum in labels else type_, not_null, found))
        keys[schema_name, table] = (primary, unique, size, rows)
    common = _common_words(columns)
    for (schema_name, table), found_columns in columns.items():
        primary, unique, size, rows = keys[schema_name, table]
        prefix = 1 if words(table)[:1] and words(table)[0] in common else 0
        yield Table(schema_name, table, tuple(found_columns), tuple(primary or ()), tuple(unique or ()), rows, prefix)


def _common_words(tables: Iterable[tuple[str, str]]) -> set[str]:
    """Return first words that most tables share and that are no words of shops, such as `spree`."""
    first = Counter(words(table)[0] for _, table in tables if words(table))
    total = sum(first.values())
    return {word for word, n in first.items() if n >= max(3, COMMON * total) and word not in KNOWN} | {"tb", "tbl"}


def _listed(check: str) -> tuple[str, ...]:
    """Return the values that a check constraint lists."""
    return tuple(re.findall(r"'([^']*)'::(?:text|character varying)", check)) if "ARRAY[" in check else ()


def _sampled(reader: Reader, table: Table) -> Table:
    relation = compose.Identifier(table.schema, table.name)
    rows = table.rows
    if rows <= COUNTED:
        counting = compose.SQL("select count(*) from (select from {} limit {}) r")
        ((rows,),) = reader.rows(counting.format(relation, compose.Literal(2 * COUNTED)))
    method = (
        ""
        if rows <= SAMPLE
        else " tablesample {} ({}) repeatable (1)".format(
            "bernoulli" if rows <= COUNTED else "system", min(100.0, round(150 * SAMPLE / rows, 4))
        )
    )
    read_columns = [column for column in table.columns if column.type in READ_TYPES]
    if not read_columns:
        return replace(table, rows=rows)
    query = compose.SQL("select {} from {}{} limit {}").format(
        compose.SQL(", ").join(
            compose.SQL("left({}::text, {})").format(
                compose.Identifier(c.name), compose.Literal(10 * CHARACTERS if c.type in JSON else CHARACTERS))
            for c in read_columns),
        relation, compose.SQL(method), compose.Literal(SAMPLE))  # fmt: skip
    sample = reader.rows(query)
    filled = {c.name: _with_values(c, [row[i] for row in sample]) for i, c in enumerate(read_columns)}
    return replace(table, rows=rows, columns=tuple(filled.get(c.name, c) for c in table.columns))


def _with_values(column: Column, values: list[str | None]) -> Column:
    given = [value for value in values if value is not None]
    keys: Counter[str] = Counter()
    if column.type in JSON:
        for value in given:
            try:
                document = json.loads(value)
            except ValueError:
                continue
            if isinstance(document, dict):
                keys.update(key for key, part in document.items() if isinstance(part, str) and part)
    counted = Counter(given)
    is_long = sum(map(len, counted)) > LONG * len(counted)
    return replace(
        column,
        sampled=len(values),
        nulls=len(values) - len(given),
        values=Counter(dict(counted.most_common(SMALL // 10 if is_long else SMALL))),
        different=len(counted),
        keys=keys,
        in_order=tuple(values) if len(values) <= SMALL and not is_long else (),
    )


def _foreign_keys(reader: Reader) -> Iterable[Link]:
    for schema, table, column, target_schema, target, target_column in reader.rows(db.read("queries/discover_links")):
        yield Link(f"{schema}.{table}", column, f"{target_schema}.{target}", target_column, True, similarity=1.0)


def _share(reader: Reader, tables: dict[str, Table], link: Link) -> float | None:
    """Return the share of sampled values that are keys of the target; None without values or keys to compare."""
    column = tables[link.table].column(link.column)
    values = [value for value, _ in column.values.most_common(VALUES_TRIED)]
    # Rails and others write 0 or '' for "none".
    values = [value for value in values if value not in ("", "0")]
    target = tables[link.target]
    if not values or not target.rows:
        return None
    query = compose.SQL(
        "select count(*) from unnest(%s::text[]::{}[]) v where exists (select from {} t where t.{} = v)"
    ).format(
        compose.SQL(_castable(target.column(link.target_column))),
        compose.Identifier(target.schema, target.name),
        compose.Identifier(link.target_column),
    )
    found = reader.row(query, [values])
    return found[0] / len(values) if found else 0.0


def _castable(column: Column) -> str:
    return column.type if column.type in {"int2", "int4", "int8", "uuid", "numeric"} else "text"
