"""Tables in and out of the database as CSV or Parquet files of any size; memory stays flat.

An import reads a file twice. The first pass finds the encoding and every structural fault, and guesses the types of
the columns where the table is yet to be created; the second one streams the rows through COPY, in one transaction.

NULL and the empty string: CSV is written as PostgreSQL writes it (NULL is nothing, an empty string is `""`), but shops'
programs quote at will, so that reading takes either for NULL, except in a text column of an existing table that is NOT
NULL. Parquet keeps the difference both ways.
"""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import re
import secrets
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import IO, Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from aisle.sql import errors

ENCODINGS = {"utf-8-sig": "UTF-8", "cp949": "CP949"}  # tried in this order; the first takes UTF-8 without a BOM, too
DELIMITERS = ",;\t"
DEFAULT_KEY = "id"
MAX_FIELD = 16 * 2**20  # characters; a longer field, or line, is a quote that was never closed
MAX_IDENTIFIER = 63  # bytes; PostgreSQL cuts longer names
GUESS_BATCH = 2**20  # characters of rows whose types are looked at together
PARQUET_BATCH = 1000  # rows read at once
PARQUET_ROW_GROUP = 16 * 2**20  # bytes of CSV that become one row group
PROGRESS_EVERY = 1000  # rows

# Called as progress(done, total). An import counts the bytes of both passes (Parquet: rows), an export rows, with total
# None.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ImportResult:
    """What an import did: the number of rows, the file's columns, and whether the table was created for them."""

    rows: int
    columns: tuple[str, ...]
    created: bool


def import_table(
    connection: psycopg.Connection[Any],
    path: str | Path,
    table: str,
    *,
    key: str | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """Copy a CSV (.gz too) or Parquet file into a table, all of it or nothing.

    `table` is a name as SQL spells it: `shop.products`, `"my table"`. A table that does not exist is created, with its
    schema, columns named and typed after the file, and `key` (the column `id` where there is one) as primary key. The
    columns of one that exists are matched by name; those with a default may be absent.

    Raises InputFileError, which names line and column, and InvalidArgumentError for a name that is none.
    """
    source = _open(Path(path))
    target = _parse_name(connection, table)
    existing = _columns_of(connection, target)
    source.scan(progress, guess=not existing)
    if existing:
        source.match(existing, table)
    elif key is None and DEFAULT_KEY in source.columns:
        key = DEFAULT_KEY
    if key is not None and key not in source.columns:
        raise errors.InputFileError(
            f"{path} has no column {key!r}, which was to be the key.",
            hint=f"Its columns are: {', '.join(source.columns)}",
        )
    place = 0
    try:
        with connection.transaction(), connection.cursor() as cursor:
            if not existing:
                _create(cursor, target, source, key)
            copy_from = sql.SQL("copy {} ({}) from stdin").format(
                sql.Identifier(*target), sql.SQL(", ").join(map(sql.Identifier, source.columns))
            )
            with cursor.copy(copy_from) as copy:
                for place, values in source.records():
                    copy.write_row(values)
                    if progress and place % PROGRESS_EVERY == 0:
                        progress(source.size + source.done, 2 * source.size)
    except (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError) as error:
        raise _explain(error, source, target[-1], place) from error
    if progress:
        progress(2 * source.size, 2 * source.size)
    return ImportResult(source.rows, tuple(source.columns), created=not existing)


def export_table(
    connection: psycopg.Connection[Any],
    relation: str | sql.Composable,
    path: str | Path,
    *,
    excel: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write a relation (a name as SQL spells it) or a query (a Composable) to a file, and return the number of rows.

    The ending of the name decides: `.parquet`, `.gz` (compressed CSV), else CSV in UTF-8 with a header. `excel` adds
    the byte order mark by which Excel knows UTF-8. Types that Parquet does not have (uuid, json, arrays, vectors,
    numeric without a precision) become strings. The file appears under its name when it is complete.
    """
    path = Path(path)
    query = relation if isinstance(relation, sql.Composable) else _select_all(connection, relation)
    if path.suffix.lower() != ".parquet":
        with replacing(path) as file, connection.transaction():
            return _write_csv(
                connection, query, file, compress=path.suffix.lower() == ".gz", excel=excel, progress=progress
            )
    if excel:
        raise errors.InvalidArgumentError("Only a CSV file can be written for Excel.", hint="Name the file ….csv")
    arrow = _arrow()
    try:
        with replacing(path) as file, connection.transaction():
            return _write_parquet(arrow, connection, query, file, progress)
    except arrow.ArrowInvalid as error:
        raise errors.AisleError(
            f"A value has no equal in Parquet: {error}", hint="Export a query that leaves it out, or export CSV"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when all went well, and is removed otherwise."""
    target = path.resolve()  # what a link points to is replaced, not the link
    if target.exists() and not target.is_file():
        raise errors.InvalidArgumentError(f"{path} is no file that could be replaced.")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(target)
    except OSError as error:
        raise errors.AisleError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


# ---- files ----


class _Source(ABC):
    """A file that is read as a table, in as many passes as are needed."""

    unit: str  # what a place in the file is called

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self.types: list[str] = []
        self.rows = 0
        self.size = 0  # of one pass, in the unit of `done`
        self.done = 0

    @abstractmethod
    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        """Find columns and rows, and types if `guess`; raise InputFileError for what is wrong with the file itself."""

    @abstractmethod
    def records(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the place in the file and the values of each row."""

    def match(self, existing: "list[_Column]", table: str) -> None:
        """Raise InputFileError unless the columns are those of the existing table."""
        names = {column.name for column in existing}
        if unknown := [name for name in self.columns if name not in names]:
            raise self.fault(
                f"the table {table} has no column {_listed(unknown)} that could be filled",
                hint=f"The table has: {', '.join(column.name for column in existing)}",
            )
        if missing := [c.name for c in existing if not c.optional and c.name not in self.columns]:
            raise self.fault(
                f"there is no column {_listed(missing)}, which the table {table} has",
                hint=f"The file has: {', '.join(self.columns)}; a column may be empty, but it must be there",
            )

    def check_columns(self) -> None:
        """Raise InputFileError for column names that cannot be a table's."""
        for position, name in enumerate(self.columns, 1):
            if not name:
                raise self.fault(f"column {position} has no name", hint="Name each column in the first line")
            if self.columns.index(name) != position - 1:
                raise self.fault(f"there are two columns {name!r}", hint="Give each column a name of its own")
            if len(name.encode()) > MAX_IDENTIFIER:
                raise self.fault(
                    f"the name of column {position} is longer than {MAX_IDENTIFIER} bytes: {name[:40]!r}…",
                    hint="Shorten it; is the first line of the file its header?",
                )

    def fault(
        self, what: str, *, place: int | None = None, column: str | None = None, hint: str | None = None
    ) -> errors.InputFileError:
        """Return the error that says what is wrong where."""
        where = (f", {self.unit} {place}" if place else "") + (f", column {column}" if column else "")
        return errors.InputFileError(
            f"{self.path}{where}: {what}.", hint=hint or "Correct the file and try again; nothing was imported"
        )


class _CsvFile(_Source):
    unit = "line"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.encoding = next(iter(ENCODINGS))
        self.delimiter = DELIMITERS[0]
        self.empty: Sequence[str | None] = ()  # what an empty field of each column stands for

    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        csv.field_size_limit(max(MAX_FIELD, csv.field_size_limit()))  # it holds for the whole process
        reached = {}
        for self.encoding in ENCODINGS:
            try:
                return self._scan(progress, guess)
            except UnicodeDecodeError:
                reached[self.encoding] = self._undecodable_line()
        best = max(reached, key=lambda encoding: reached[encoding])
        raise self.fault(
            f"there are bytes that are no {ENCODINGS[best]} text",
            place=reached[best],
            hint="Save the file as CSV in UTF-8 (CP949 is understood too)",
        )

    def _scan(self, progress: Progress | None, guess: bool) -> None:
        with _faults_of_files(self.path):
            self.size = self.path.stat().st_size
        self.rows = 0
        self._sniff()
        records = self._records()
        _, self.columns = next(records, (0, []))
        if not self.columns:
            raise self.fault("the file is empty", hint="The first line must name the columns")
        self.check_columns()
        self.empty = [None] * len(self.columns)
        guesses = _TypeGuesses(len(self.columns))
        for line, fields in records:
            if len(fields) != len(self.columns):
                raise self.fault(
                    f"{len(fields)} fields where the header has {len(self.columns)}",
                    place=line,
                    hint=f'Put quotes around a field that contains {self.delimiter!r}: "a{self.delimiter}b"',
                )
            self.rows += 1
            if guess:
                guesses.add(fields)
            if progress and self.rows % PROGRESS_EVERY == 0:
                progress(self.done, 2 * self.size)
        self.types = guesses.result()

    def match(self, existing: "list[_Column]", table: str) -> None:
        super().match(existing, table)
        keeps_empty = {column.name for column in existing if column.is_text and column.not_null}
        self.empty = ["" if name in keeps_empty else None for name in self.columns]

    def records(self) -> Iterator[tuple[int, list[str | None]]]:
        for line, fields in itertools.islice(self._records(), 1, None):
            yield line, [field or empty for field, empty in zip(fields, self.empty, strict=True)]

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line and the fields of each record, header included, blank lines left out."""
        reader = csv.reader(self._lines(), delimiter=self.delimiter, strict=True)
        first = 1  # line of the record; it may contain line breaks
        try:
            for fields in reader:
                if fields:
                    yield first, fields
                first = reader.line_num + 1
        except csv.Error as error:
            noticed = f" (noticed in line {reader.line_num})" if reader.line_num > first else ""
            raise self.fault(
                f"a quoted field is not closed, or something follows its closing quote{noticed}",
                place=first,
                hint='Double each quote inside a quoted field: "a 15"" screen"',
            ) from error

    def _lines(self) -> Iterator[str]:
        with _faults_of_files(self.path), self._open() as (raw, stream):
            text = io.TextIOWrapper(stream, self.encoding, newline="")
            for number in itertools.count(1):
                line = text.readline(MAX_FIELD)
                if not line:
                    break
                if len(line) == MAX_FIELD:
                    raise self.fault(f"the line is longer than {MAX_FIELD:,} characters", place=number)
                if "\0" in line:
                    raise self.fault("there is a NUL character, which PostgreSQL cannot store", place=number)
                if number % PROGRESS_EVERY == 0:
                    self.done = raw.tell()
                yield line

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Open the file, and return it as it is on the disk (its position is the progress) and uncompressed."""
        with self.path.open("rb") as raw:
            if self.path.suffix.lower() != ".gz":
                yield raw, raw
                return
            with gzip.open(raw) as stream:
                yield raw, stream  # type: ignore[misc]  # a GzipFile is as good as an IO[bytes]

    def _sniff(self) -> None:
        """Choose the delimiter that makes the most of the first line."""
        for header in self._lines():
            widths = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in DELIMITERS}
            self.delimiter = max(widths, key=lambda mark: widths[mark])
            return

    def _undecodable_line(self) -> int:
        """Return the first line that the encoding cannot read."""
        number = 0
        with self._open() as (_, stream), contextlib.suppress(UnicodeDecodeError):
            for line in iter(lambda: stream.readline(MAX_FIELD), b""):
                number += 1
                line.decode(self.encoding)  # in neither encoding is the byte of a line break part of a character
        return number


class _ParquetFile(_Source):
    unit = "row"

    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        with self._open() as file:
            schema = file.schema_arrow
            self.rows = self.size = file.metadata.num_rows
        self.columns = schema.names
        self.check_columns()
        for field in schema:
            self.types.append(_postgres_type(field.type) or "")
            if not self.types[-1]:
                raise self.fault(f"column {field.name!r} is of type {field.type}, which is none of a plain table's")

    def records(self) -> Iterator[tuple[int, list[Any]]]:
        arrow = _arrow()
        with self._open() as file:
            # Python's times know no nanoseconds.
            schema = file.schema_arrow
            for position, field in enumerate(schema):
                if arrow.types.is_timestamp(field.type):
                    schema = schema.set(position, field.with_type(arrow.timestamp("us", field.type.tz)))
            number = 0
            for batch in file.iter_batches(PARQUET_BATCH):
                columns = arrow.Table.from_batches([batch]).cast(schema, safe=False).columns
                self.done = number
                for values in zip(*(column.to_pylist() for column in columns), strict=True):
                    number += 1
                    yield number, list(values)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        arrow = _arrow()
        try:
            with _faults_of_files(self.path), arrow.parquet.ParquetFile(self.path) as file:
                yield file
        except arrow.ArrowException as error:
            raise self.fault("this is no complete Parquet file", hint=str(error)) from error


def _open(path: Path) -> _Source:
    return _ParquetFile(path) if path.suffix.lower() == ".parquet" else _CsvFile(path)


@contextlib.contextmanager
def _faults_of_files(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise errors.InputFileError(
            f"{path}: the compressed file is damaged or incomplete.", hint="Fetch or compress it again"
        ) from error
    except OSError as error:
        raise errors.InputFileError(
            f"{path} cannot be read: {error.strerror or error}.", hint="Check the path and your rights to it"
        ) from error


# ---- types ----

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # no leading zero: 00123 is a code; 18 digits always fit
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,17})?([eE][+-][0-9]{1,2})?")  # what a double can hold
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(_DATE.pattern + r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_TIMESTAMPTZ = re.compile(_TIMESTAMP.pattern + r"(Z|[+-](0[0-9]|1[0-4])(:?[0-9]{2})?)")


def _is_time(pattern: re.Pattern[str], parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        if not pattern.fullmatch(text):
            return False
        try:
            parse(text)
        except ValueError:  # 30 February
            return False
        return True

    return check


# The narrower type first.
_GUESSES: dict[str, Callable[[str], object]] = {
    "bigint": _INTEGER.fullmatch,
    "double precision": _FLOAT.fullmatch,
    "boolean": _BOOLEAN.fullmatch,
    "date": _is_time(_DATE, date.fromisoformat),
    "timestamp": _is_time(_TIMESTAMP, datetime.fromisoformat),
    "timestamptz": _is_time(_TIMESTAMPTZ, datetime.fromisoformat),
}


class _TypeGuesses:
    """The types that all values of each column agree with; a column is text as soon as one value fits none."""

    def __init__(self, columns: int) -> None:
        self._possible = [list(_GUESSES) for _ in range(columns)]
        self._seen = [False] * columns  # anything but empty fields
        self._batch: list[list[str]] = []
        self._characters = 0

    def add(self, fields: list[str]) -> None:
        self._batch.append(fields)
        self._characters += sum(map(len, fields))
        if self._characters > GUESS_BATCH:
            self._narrow()

    def _narrow(self) -> None:
        for number, column in enumerate(zip(*self._batch, strict=True)):
            if self._possible[number]:
                values = set(column) - {""}
                self._seen[number] |= bool(values)
                self._possible[number] = [name for name in self._possible[number] if all(map(_GUESSES[name], values))]
        self._batch, self._characters = [], 0

    def result(self) -> list[str]:
        self._narrow()
        return [names[0] if names and seen else "text" for names, seen in zip(self._possible, self._seen, strict=True)]


def _arrow() -> ModuleType:
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise errors.MissingExtraError(
            "Parquet files need the package pyarrow.", hint="Run: pip install 'aisle[arrow]'"
        ) from error
    return pyarrow  # type: ignore[no-any-return]


def _postgres_type(arrow_type: Any) -> str | None:
    """Return PostgreSQL's name of an Arrow type, or None where it has no plain one."""
    types = _arrow().types
    if types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if types.is_decimal(arrow_type) and 0 <= arrow_type.scale <= arrow_type.precision:
        return f"numeric({arrow_type.precision}, {arrow_type.scale})"
    if types.is_timestamp(arrow_type):
        return "timestamptz" if arrow_type.tz else "timestamp"
    names = {
        "boolean": (types.is_boolean,),
        "numeric": (types.is_uint64, types.is_decimal),
        "bigint": (types.is_integer,),
        "double precision": (types.is_floating,),
        "text": (types.is_string, types.is_large_string, types.is_string_view, types.is_null),
        "date": (types.is_date,),
        "bytea": (types.is_binary, types.is_large_binary, types.is_fixed_size_binary),
    }
    return next((name for name, checks in names.items() if any(check(arrow_type) for check in checks)), None)


def _arrow_type(arrow: ModuleType, connection: psycopg.Connection[Any], column: psycopg.Column) -> Any:
    """Return the Arrow type of a column of a query; string stands for all types that Arrow does not have."""
    info = connection.adapters.types.get(column.type_code)
    name = (
        info.name if info and info.oid == column.type_code else ""
    )  # the registry finds int4 by the oid of int4[], too
    if name == "numeric":
        precision, scale = column.precision or 0, column.scale or 0
        return arrow.decimal128(precision, scale) if 0 <= scale <= precision in range(1, 39) else arrow.string()
    types = {
        "bool": arrow.bool_(),
        "int2": arrow.int16(),
        "int4": arrow.int32(),
        "int8": arrow.int64(),
        "float4": arrow.float32(),
        "float8": arrow.float64(),
        "date": arrow.date32(),
        "timestamp": arrow.timestamp("us"),
        "timestamptz": arrow.timestamp("us", "UTC"),
    }
    return types.get(name, arrow.string())


# ---- the database ----


@dataclass(frozen=True)
class _Column:
    name: str
    not_null: bool
    is_text: bool
    optional: bool  # it has a default


def _parse_name(connection: psycopg.Connection[Any], name: str) -> list[str]:
    """Return the parts of a relation's name as PostgreSQL itself reads it."""
    try:
        with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            parts: list[str] = cursor.execute("select parse_ident(%s)", [name]).fetchall()[0][0]
    except psycopg.DataError as error:
        raise errors.InvalidArgumentError(
            f"This is no name of a table: {name}",
            hint='Write SCHEMA.TABLE, with quotes around a name of more than letters, digits and _: "my table"',
        ) from error
    if len(parts) > 2:
        raise errors.InvalidArgumentError(f"A table's name has a schema and a name, no more: {name}")
    return parts


def _columns_of(connection: psycopg.Connection[Any], name: list[str]) -> list[_Column]:
    """Return the columns that can be filled of an existing table; none if there is no such table."""
    query = """
        select attname, attnotnull, typcategory = 'S', atthasdef or attidentity <> ''
        from pg_attribute join pg_type on pg_type.oid = atttypid
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped and attgenerated = ''
        order by attnum
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        return [_Column(*row) for row in cursor.execute(query, [sql.Identifier(*name).as_string(connection)])]


def _create(cursor: psycopg.Cursor[Any], name: list[str], source: _Source, key: str | None) -> None:
    if len(name) == 2:
        cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(name[0])))
    columns = []
    for column, kind in zip(source.columns, source.types, strict=True):
        if column == key:
            kind = "bigint primary key" if kind == "bigint" else "text primary key"  # what an id may be
        columns.append(sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)))
    cursor.execute(sql.SQL("create table {} ({})").format(sql.Identifier(*name), sql.SQL(", ").join(columns)))


def _explain(error: Exception, source: _Source, table: str, place: int) -> errors.InputFileError:
    """Return the error that tells where in the user's file the fault is; `place` is where the sender had got to."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:  # the client refused to send the value
        return source.fault(str(error), place=place)
    diagnostic = error.diag
    message = diagnostic.message_primary or "PostgreSQL refuses the data"
    number, column = _copy_position(diagnostic.context or "", table, source.columns)
    column = column or diagnostic.column_name
    if number is None:
        details = f" ({diagnostic.message_detail})" if diagnostic.message_detail else ""
        return source.fault(f"{message}{details}", hint=diagnostic.message_hint)
    place, values = next(itertools.islice(source.records(), number - 1, None))
    if isinstance(error, psycopg.errors.UniqueViolation):
        return _explain_duplicate(diagnostic.message_detail or "", source, place, values)
    return source.fault(message, place=place, column=column, hint=diagnostic.message_hint)


def _explain_duplicate(detail: str, source: _Source, place: int, values: Sequence[Any]) -> errors.InputFileError:
    """Return the error that names both rows; the detail reads, in whatever language: Key (id)=(7) already exists."""
    match = re.search(r"\((.*?)\)=\(", detail)
    names = [name.strip('"').replace('""', '"') for name in match[1].split(", ")] if match else []
    hint = "Each row needs a value of its own; remove one of the rows"
    if not names or not set(names) <= set(source.columns):
        return source.fault(f"this row is there already ({detail})", place=place, hint=hint)
    positions = [source.columns.index(name) for name in names]
    wanted = [values[position] for position in positions]
    first = next(at for at, row in source.records() if [row[position] for position in positions] == wanted)
    shown = ", ".join(f"{name} {value!r}" for name, value in zip(names, wanted, strict=True))
    earlier = f"is already in {source.unit} {first}" if first != place else "is already in the table"
    return source.fault(f"{shown} {earlier}", place=place, hint=hint)


def _copy_position(context: str, table: str, columns: Iterable[str]) -> tuple[int | None, str | None]:
    """Return row and column of a fault from the context of COPY, for example `COPY t, line 3, column price: "x"`.

    The sentence comes in the server's language; its beginning, the number, the column and the colon are what the
    translations share.
    """
    match = re.search(rf"^COPY {re.escape(table)}[^0-9\n]*([0-9]+)", context, re.MULTILINE)
    if not match:
        return None, None
    rest = context[match.end() :]  # the column, if it names one, is all before the colon; what follows is the data
    named = (name for name in columns if re.match(rf"[^:]*?(?<!\w){re.escape(name)}\s?\w?\s?:", rest))
    return int(match[1]), max(named, key=len, default=None)


def _select_all(connection: psycopg.Connection[Any], relation: str) -> sql.Composable:
    return sql.SQL("select * from {}").format(sql.Identifier(*_parse_name(connection, relation)))


def _copy_out(
    connection: psycopg.Connection[Any], query: sql.Composable, options: LiteralString, progress: Progress | None
) -> Generator[bytes, None, None]:
    """Yield the rows of a query as lines of CSV, one by one as they come; close it to end the COPY early."""
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
        rows = -1  # the header is none
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
        raise errors.InvalidArgumentError(f"Each column of a Parquet file needs a name of its own: {', '.join(names)}")
    schema = arrow.schema([(column.name, _arrow_type(arrow, connection, column)) for column in description])
    rows = 0
    lines = _copy_out(connection, query, "", progress)
    with arrow.parquet.ParquetWriter(file, schema) as writer, contextlib.closing(lines):
        while chunk := _take(lines, PARQUET_ROW_GROUP):
            table = _parse_csv(arrow, chunk, schema)
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _take(lines: Iterator[bytes], size: int) -> bytes:
    """Return the next lines, together at least so many bytes."""
    taken = io.BytesIO()
    for line in lines:
        taken.write(line)
        if taken.tell() >= size:
            break
    return taken.getvalue()


def _parse_csv(arrow: ModuleType, lines: bytes, schema: Any) -> Any:
    """Return the table of these lines of PostgreSQL's CSV, in which only an unquoted empty field is NULL."""
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


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
