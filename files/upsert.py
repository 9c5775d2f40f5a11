"""Updates a table from the rows of a file: inserts rows with new keys, and changes rows that differ.

The file goes into a temporary table first, so that rows of the shop's table are locked only briefly. Equal rows stay
untouched, so that no trigger fires for them.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

STAGE = "_aisle_import"  # the temporary table
LINE = "_aisle_line"  # its column with the row's number; the shop's table will hardly have a column of this name


@dataclass(frozen=True)
class Changes:
    """The numbers of the file's rows that were added, changed a row, or were equal to one."""

    added: int
    changed: int
    equal: int


class DuplicateKeyError(Exception):
    """Two rows of the file have the same key."""

    def __init__(self, number: int, first: int) -> None:
        super().__init__(number, first)
        self.number = number  # of the second row, from 1
        self.first = first  # number of the first row


class NoKeyError(Exception):
    """A row of the file has no key."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number  # of the row, from 1


def keys(connection: psycopg.Connection[Any], table: sql.Identifier) -> list[list[str]]:
    """Return the columns of each unique index without condition or expression, the primary key's first."""
    query = """
        select array(select attname::text from unnest(indkey[:indnkeyatts - 1]) with ordinality as k (attnum, place)
                     join pg_attribute a on a.attrelid = indrelid and a.attnum = k.attnum order by place)
        from pg_index where indrelid = to_regclass(%s) and indisunique and indisvalid
            and indpred is null and indexprs is null
        order by indisprimary desc, indexrelid
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [row[0] for row in cursor.execute(query, [table.as_string(connection)])]


def stage(cursor: psycopg.Cursor[Any], table: sql.Identifier, columns: Sequence[str]) -> sql.Identifier:
    """Create the temporary table with these columns, and return its name."""
    name = sql.Identifier("pg_temp", STAGE)
    create = sql.SQL("create temporary table {} on commit drop as select {} from {} with no data")
    number = sql.SQL("alter table {} add column {} bigint generated always as identity")
    cursor.execute(create.format(name, _list(columns), table))
    cursor.execute(number.format(name, sql.Identifier(LINE)))
    return name


def merge(
    cursor: psycopg.Cursor[Any], table: sql.Identifier, columns: Sequence[str], key: Sequence[str], rows: int
) -> Changes:
    """Insert and update the table's rows from the temporary table, then drop that.

    Raises NoKeyError for a row without a key, and DuplicateKeyError for two rows with the same key.
    """
    others = [column for column in columns if column not in key]
    parts = {
        "stage": sql.Identifier("pg_temp", STAGE),
        "line": sql.Identifier(LINE),
        "table": table,
        "columns": _list(columns),
        "staged": _list(columns, "s"),
        "key": _list(key),
        "same": sql.SQL(" and ").join(
            sql.SQL("t.{0} operator({1}) s.{0}").format(sql.Identifier(column), _equality(cursor, table, column))
            for column in key
        ),
        "missing": sql.SQL(" or ").join(sql.SQL("{} is null").format(sql.Identifier(column)) for column in key),
        "set": sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(column)) for column in others),
        "old": _list(others, "t"),
        "new": _list(others, "s"),
    }

    def run(query: LiteralString) -> psycopg.Cursor[Any]:
        return cursor.execute(sql.SQL(query).format(**parts))

    run("analyze {stage}")
    if missing := run("select min({line}) from {stage} where {missing} having min({line}) is not null").fetchone():
        raise NoKeyError(missing[0])
    twice = run(
        "select {line}, first from (select {line}, min({line}) over (partition by {key}) as first from {stage}) d "
        "where {line} > first order by {line} limit 1"
    ).fetchone()
    if twice:
        raise DuplicateKeyError(*twice)
    changed = 0
    if others:
        # It compares the stored bytes, because some types have no operator =.
        with on_the_shops_path(cursor):
            changed = run(
                "update {table} t set {set} from {stage} s "
                "where {same} and pg_catalog.record_image_ne(row({old}), row({new}))"
            ).rowcount
    with on_the_shops_path(cursor):
        added = run(
            "insert into {table} ({columns}) overriding system value select {staged} from {stage} s "
            "where not exists (select from {table} t where {same}) order by s.{line}"
        ).rowcount
    run("drop table {stage}")
    return Changes(added, changed, rows - added - changed)


@contextlib.contextmanager
def on_the_shops_path(cursor: psycopg.Cursor[Any]) -> Iterator[None]:
    """Use the search path of the shop's other sessions, which its triggers and defaults may need.

    Inside, our statements must name every operator and function with its schema.
    """
    path = cursor.execute(
        "select set_config(name, reset_val, true), setting from pg_settings where name = 'search_path'"
    ).fetchall()[0][1]
    yield
    cursor.execute("select pg_catalog.set_config('search_path', %s, true)", [path])


def _equality(cursor: psycopg.Cursor[Any], table: sql.Identifier, column: str) -> sql.Composable:
    """Return the equality operator, with its schema, of a unique index on a column."""
    query = """
        select n.nspname, o.oprname
        from pg_index i
        cross join lateral unnest(i.indkey::smallint[], i.indclass::oid[]) k (attnum, class)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and a.attname = %s
        join pg_opclass c on c.oid = k.class
        join pg_amop m on m.amopfamily = c.opcfamily and m.amopstrategy = 3
            and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
        join pg_operator o on o.oid = m.amopopr
        join pg_namespace n on n.oid = o.oprnamespace
        where i.indrelid = to_regclass(%s) and i.indisunique
        limit 1
    """
    schema, operator = cursor.execute(query, [column, table.as_string(cursor)]).fetchall()[0]
    return sql.SQL("{}.{}").format(sql.Identifier(schema), sql.SQL(operator))


def _list(columns: Sequence[str], alias: str | None = None) -> sql.Composable:
    names = [sql.Identifier(*filter(None, (alias, column))) for column in columns]
    return sql.SQL(", ").join(names)
