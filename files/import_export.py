"""Imports CSV, Excel and Parquet files into tables, and exports tables as CSV or Parquet files.

Files may have any size: memory stays flat. An import reads a file twice. The first pass finds the encoding and every
structural fault, and guesses the columns' types if it must create the table. The second pass streams the rows through
COPY, in one transaction.

NULL and the empty string: an export writes CSV as PostgreSQL does (NULL is nothing, an empty string is `""`). Shops'
programs do not follow that rule, so an import reads both as NULL, except in a NOT NULL text column of an existing
table. Parquet keeps the difference both ways.
"""

import codecs
import contextlib
import gzip
import io
import itertools
import os
import re
import secrets
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from aisle.db import errors, locks
from aisle.files import upsert
from aisle.files.file_kinds import open_table_file
from aisle.files.parquet_files import arrow_type, require_arrow
from aisle.files.table_files import PROGRESS_EVERY, Column, Progress, Reading, TableFile

STDOUT = Path("/dev/stdout")
DEFAULT_KEY = "id"
ONE_ROW = "Each row needs a key of its own; remove one of the rows"
PARQUET_ROW_GROUP = 16 * 2**20  # bytes of CSV in one row group


@dataclass(frozen=True)
class ImportResult:
    """The result of an import: the number of rows, the file's columns, and whether it created the table."""

    rows: int
    columns: tuple[str, ...]
    created: bool
    changes: upsert.Changes | None = None  # of an update
    key: str | None = field(default=None, compare=False)  # the primary key, if it is one column
    said: str | None = field(default=None, compare=False)  # unusual ways of reading the file: "as CP949"
    notes: tuple[str, ...] = field(default=(), compare=False)  # sentences on guesses and skipped rows


def import_table(
    connection: psycopg.Connection[Any],
    path: str | Path,
    table: str,
    *,
    key: str | None = None,
    update: bool = False,
    reading: Reading | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """Copy a CSV (or .csv.gz), Excel or Parquet file into a table, in one transaction.

    `table` is a name as SQL spells it: `shop.products`, `"my table"`. If the table does not exist, this creates it and
    its schema, with the file's columns, and with `key` (default: the column `id`, if there is one) as primary key. If
    it exists, columns are matched by name; the file may lack those with a default.

    With `update`, a row whose key the table has replaces that row's values in the file's columns; other rows are added.
    The key is the primary key, or the column `key`, which must be unique.

    Raises InputFileError, which names line and column, InvalidArgumentError for an invalid name, and BusyError if
    another transaction holds the rows to update for too long.
    """
    source = open_table_file(Path(path), reading)
    target = _parse_name(connection, table)
    name = sql.Identifier(*target)
    existing = _columns_of(connection, target)
    keys = _keys_of_existing(connection, name, table, key, update) if existing else []
    source.scan(progress, guess=not existing)
    if existing:
        source.match(existing, table, partly=update)
    elif key is None and DEFAULT_KEY in source.columns:
        key = DEFAULT_KEY
    if not existing:
        keys = [] if key is None else [key]
    if missing := [column for column in keys if column not in source.columns]:
        raise errors.InputFileError(
            f"{path} has no column {missing[0]!r}, which {'is' if existing else 'should become'} the key.",
            hint=f"Its columns are: {', '.join(source.columns)}",
        )
    if update and not keys:
        raise errors.InvalidArgumentError(
            f"{table} does not exist, and without a key no later import could update it.",
            hint="Name the column that identifies rows: --key COLUMN",
        )
    merging = update and bool(existing)
    place, changes = 0, None
    try:
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            if not existing:
                _create(cursor, target, source, key)
            copy_from = sql.SQL("copy {} ({}) from stdin").format(
                upsert.stage(cursor, name, source.columns) if merging else name,
                sql.SQL(", ").join(map(sql.Identifier, source.columns)),
            )
            with upsert.on_the_shops_path(cursor), cursor.copy(copy_from) as copy:
                for place, values in source.records():
                    copy.write_row(values)
                    if progress and place % PROGRESS_EVERY == 0:
                        progress(source.size + source.done, 2 * source.size)
            if merging:
                changes = locks.giving_way(
                    connection, lambda: upsert.merge(cursor, name, source.columns, keys, source.rows)
                )
    except upsert.NoKeyError as error:
        at, _ = _row(source, error.number)
        raise source.fault(f"the key {', '.join(keys)} is empty", place=at) from error
    except upsert.DuplicateKeyError as error:
        raise _explain_key(source, keys, *_row(source, error.number)) from error
    except (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError) as error:
        raise _explain(error, source, upsert.STAGE if merging else target[-1], place) from error
    except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.TooManyColumns) as error:
        raise source.fault(error.diag.message_primary or str(error), place=place) from error
    except psycopg.errors.DuplicateColumn as error:
        what = error.diag.message_primary or str(error)
        raise source.fault(what, hint="Give the column another name: --rename OLD=NEW") from error
    if progress:
        progress(2 * source.size, 2 * source.size)
    return ImportResult(
        source.rows,
        tuple(source.columns),
        not existing,
        changes,
        key=_single_key(connection, name),
        said=source.said,
        notes=tuple(source.notes),
    )


def _keys_of_existing(
    connection: psycopg.Connection[Any], name: sql.Identifier, table: str, key: str | None, update: bool
) -> list[str]:
    """Return the columns of the key for an update, else none; raises InvalidArgumentError if they are no key."""
    unique = upsert.keys(connection, name)
    if not update:
        if key is None or [key] in unique[:1]:
            return []
        raise errors.InvalidArgumentError(
            f"{table} exists, and {key!r} is not its primary key; --key alone sets the key of a new table only.",
            hint="Leave --key out to add the rows, or give --update to change existing rows",
        )
    if key is not None and [key] not in unique:
        raise errors.InvalidArgumentError(
            f"{key!r} is no key of {table}: it has no primary key or unique index of this column alone.",
            hint=f"In SQL: create unique index on {table} ({sql.Identifier(key).as_string(connection)})",
        )
    if key is None and not unique:
        raise errors.InvalidArgumentError(
            f"{table} has no primary key, so an update cannot find its rows.",
            hint=f"In SQL: alter table {table} add primary key (COLUMN)",
        )
    return unique[0] if key is None else [key]


def export_table(
    connection: psycopg.Connection[Any],
    relation: str | sql.Composable,
    path: str | Path,
    *,
    excel: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write a relation (a name as SQL spells it) or a query (a Composable) to a file, and return the number of rows.

    The name's ending decides the format: `.parquet`, `.gz` (compressed CSV), else CSV in UTF-8 with a header. `excel`
    adds the byte order mark by which Excel recognises UTF-8. Types that Parquet lacks (uuid, json, arrays, vectors,
    numeric without a precision) become strings. The file gets its name when it is complete.
    """
    path = Path(path)
    query = relation if isinstance(relation, sql.Composable) else _select_all(connection, relation)
    if path.suffix.lower() != ".parquet":
        with replacing(path) as file, connection.transaction():
            return _write_csv(
                connection, query, file, compress=path.suffix.lower() == ".gz", excel=excel, progress=progress
            )
    if excel:
        raise errors.InvalidArgumentError("--excel writes CSV files only.", hint="Name the file ….csv")
    arrow = require_arrow()
    try:
        with replacing(path) as file, connection.transaction():
            return _write_parquet(arrow, connection, query, file, progress)
    except arrow.ArrowInvalid as error:
        raise errors.AisleError(
            f"Parquet cannot store a value: {error}", hint="Export a query that leaves it out, or export CSV"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that replaces `path` if the block succeeds; else this removes it.

    This writes directly to a `path` that is no file, such as /dev/stdout or a pipe.
    """
    if is_stream(path):
        with _faults_of_writing(path), open(os.dup(1) if path == STDOUT else path, "wb") as stream:
            yield stream
        return
    target = path.resolve()  # replaces the target of a link, not the link
    if target.exists() and not target.is_file():
        raise errors.InvalidArgumentError(f"{path} exists, and it is not a file.")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _faults_of_writing(path):
            with partial.open("xb") as file:
                yield file
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Return whether a path is a pipe, a terminal or the like."""
    return path.parts[:2] == ("/", "dev") or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def _faults_of_writing(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has closed the pipe; cli.py handles it
    except OSError as error:
        raise errors.AisleError(f"{path} cannot be written: {error.strerror or error}.") from error


def _parse_name(connection: psycopg.Connection[Any], name: str) -> list[str]:
    """Return schema and name of a relation, as PostgreSQL parses them; the schema is `public` if there is none."""
    try:
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            parts: list[str] = cursor.execute("select parse_ident(%s)", [name]).fetchall()[0][0]
    except psycopg.DataError as error:
        raise errors.InvalidArgumentError(
            f"Not a valid table name: {name}",
            hint='Write SCHEMA.TABLE, and put quotes around a name like this: "my table"',
        ) from error
    if len(parts) > 2:
        raise errors.InvalidArgumentError(f"A table name has at most two parts, SCHEMA.TABLE: {name}")
    return parts if len(parts) == 2 else ["public", *parts]


def _columns_of(connection: psycopg.Connection[Any], name: list[str]) -> list[Column]:
    """Return the columns of a table that an import can fill; an empty list if there is no such table."""
    query = """
        select attname, attnotnull, typcategory = 'S', atthasdef or attidentity <> ''
        from pg_attribute join pg_type on pg_type.oid = atttypid
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped and attgenerated = ''
        order by attnum
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [Column(*row) for row in cursor.execute(query, [sql.Identifier(*name).as_string(connection)])]


def _single_key(connection: psycopg.Connection[Any], table: sql.Identifier) -> str | None:
    """Return the primary key of a table, if it is one column."""
    query = (
        "select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0] "
        "where indrelid = to_regclass(%s) and indisprimary and indnkeyatts = 1"
    )
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query, [table.as_string(connection)]).fetchone()
    return row[0] if row else None


def _create(cursor: psycopg.Cursor[Any], name: list[str], source: TableFile, key: str | None) -> None:
    if name[0] != "public":
        cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(name[0])))
    columns = []
    for column, kind in zip(source.columns, source.types, strict=True):
        if column == key:
            kind = "bigint primary key" if kind == "bigint" else "text primary key"  # the types that an id may have
        columns.append(sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)))
    cursor.execute(sql.SQL("create table {} ({})").format(sql.Identifier(*name), sql.SQL(", ").join(columns)))


def _explain(error: Exception, source: TableFile, table: str, place: int) -> errors.InputFileError:
    """Return the error that names the fault's place in the file; `place` is the last row that was sent."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:  # the client refused to send the value
        return source.fault(str(error), place=place)
    diagnostic = error.diag
    message = diagnostic.message_primary or "PostgreSQL refuses the data"
    number, column = _copy_position(diagnostic.context or "", table, source.columns)
    column = column or diagnostic.column_name
    if isinstance(error, psycopg.errors.NotNullViolation) and column and column not in source.columns:
        return source.fault(
            f"a new row needs a {column!r}, but the file has no such column",
            hint="Add the column to the file; nothing was imported",
        )
    if number is None:
        details = f" ({diagnostic.message_detail.rstrip('.')})" if diagnostic.message_detail else ""
        return source.fault(f"{message}{details}", hint=diagnostic.message_hint)
    place, values = _row(source, number)
    if isinstance(error, psycopg.errors.UniqueViolation):
        return _explain_duplicate(diagnostic.message_detail or "", source, place, values)
    hint = "If this row explains the columns: --skip-rows 1" if number == 1 else None
    return source.fault(message, place=place, column=column, hint=diagnostic.message_hint or hint)


def _explain_duplicate(detail: str, source: TableFile, place: int, values: Sequence[Any]) -> errors.InputFileError:
    """Return the error that names both rows. The detail, in the server's language: Key (id)=(7) already exists."""
    match = re.search(r"\((.*?)\)=\(", detail)
    names = [name.strip('"').replace('""', '"') for name in match[1].split(", ")] if match else []
    if not names or not set(names) <= set(source.columns):
        return source.fault(f"this row exists already ({detail})", place=place, hint=ONE_ROW)
    return _explain_key(source, names, place, values)


def _explain_key(source: TableFile, names: Sequence[str], place: int, values: Sequence[Any]) -> errors.InputFileError:
    """Return the error for a row with the key of another row, in the file or the table."""
    positions = [source.columns.index(name) for name in names]
    wanted = [values[position] for position in positions]
    first = next(at for at, row in source.records() if [row[position] for position in positions] == wanted)
    shown = ", ".join(f"{name} {value!r}" for name, value in zip(names, wanted, strict=True))
    if first != place:
        return source.fault(f"{shown} is already in {source.unit} {first}", place=place, hint=ONE_ROW)
    return source.fault(f"{shown} is already in the table", place=place, hint="To change existing rows: --update")


def _row(source: TableFile, number: int) -> tuple[int, list[Any]]:
    """Return the place and the values of a row, counted from 1."""
    return next(itertools.islice(source.records(), number - 1, None))


def _copy_position(context: str, table: str, columns: Iterable[str]) -> tuple[int | None, str | None]:
    """Return row and column of a fault from the context of COPY, for example `COPY t, line 3, column price: "x"`.

    The context is in the server's language. All translations have its beginning, the number, the column and the colon.
    """
    match = re.search(rf"^COPY {re.escape(table)}[^0-9\n]*([0-9]+)", context, re.MULTILINE)
    if not match:
        return None, None
    rest = context[match.end() :]  # a column's name is before the colon; the data are behind it
    named = (name for name in columns if re.match(rf"[^:]*?(?<!\w){re.escape(name)}\s?\w?\s?:", rest))
    return int(match[1]), max(named, key=len, default=None)


def _select_all(connection: psycopg.Connection[Any], relation: str) -> sql.Composable:
    return sql.SQL("select * from {}").format(sql.Identifier(*_parse_name(connection, relation)))


def _copy_out(
    connection: psycopg.Connection[Any], query: sql.Composable, options: LiteralString, progress: Progress | None
) -> Generator[bytes, None, None]:
    """Yield the rows of a query as lines of CSV, as they arrive; close the generator to end the COPY early."""
    statement = sql.SQL("copy ({}) to stdout (format csv, encoding 'UTF8'{})").format(query, sql.SQL(options))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number, line in enumerate(copy):
            yield bytes(line)
            if progress and number % PROGRESS_EVERY == 0:
                progress(number, None)


def _write_csv(
    connection: psycopg.Connection[Any],
    query: sql.Composable,
    file: IO[bytes],
    *,
    compress: bool,
    excel: bool,
    progress: Progress | None,
) -> int:
    connection.execute("set local datestyle to 'ISO, YMD'")
    with gzip.GzipFile("", "wb", fileobj=file) if compress else contextlib.nullcontext(file) as stream:
        if excel:
            stream.write(codecs.BOM_UTF8)
        rows = -1  # the header is not a row
        with contextlib.closing(_copy_out(connection, query, ", header", progress)) as lines:
            for line in lines:
                stream.write(line)
                rows += 1
    return rows


def _write_parquet(
    arrow: ModuleType,
    connection: psycopg.Connection[Any],
    query: sql.Composable,
    file: IO[bytes],
    progress: Progress | None,
) -> int:
    connection.execute("set local datestyle to 'ISO, YMD'")
    connection.execute("set local timezone to 'UTC'")
    with connection.cursor() as cursor:
        description = cursor.execute(sql.SQL("select * from ({}) as q limit 0").format(query)).description or []
    names = [column.name for column in description]
    if len(set(names)) < len(names):
        raise errors.InvalidArgumentError(
            f"Two columns of a Parquet file cannot have the same name: {', '.join(names)}"
        )
    schema = arrow.schema([(column.name, arrow_type(arrow, connection, column)) for column in description])
    rows = 0
    lines = _copy_out(connection, query, "", progress)
    with arrow.parquet.ParquetWriter(file, schema) as writer, contextlib.closing(lines):
        while chunk := _take(lines, PARQUET_ROW_GROUP):
            table = _parse_csv(arrow, chunk, schema)
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _take(lines: Iterator[bytes], size: int) -> bytes:
    """Return the next lines, together at least `size` bytes."""
    taken = io.BytesIO()
    for line in lines:
        taken.write(line)
        if taken.tell() >= size:
            break
    return taken.getvalue()


def _parse_csv(arrow: ModuleType, lines: bytes, schema: Any) -> Any:
    """Return the table of lines of PostgreSQL's CSV, in which only an unquoted empty field is NULL."""
    return arrow.csv.read_csv(
        arrow.BufferReader(lines),
        read_options=arrow.csv.ReadOptions(column_names=schema.names, block_size=len(lines) + 1, use_threads=False),
        parse_options=arrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=arrow.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
