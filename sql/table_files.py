"""CSV and Parquet files that are read as tables, in as many passes as are needed: columns, types, and what is wrong."""

import contextlib
import csv
import gzip
import io
import itertools
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import psycopg

from aisle.sql import errors

ENCODINGS = {"utf-8-sig": "UTF-8", "cp949": "CP949"}  # tried in this order; the first takes UTF-8 without a BOM, too
DELIMITERS = ",;\t"
MAX_FIELD = 16 * 2**20  # characters; a longer field, or line, is a quote that was never closed
MAX_IDENTIFIER = 63  # bytes; PostgreSQL cuts longer names
GUESS_BATCH = 2**20  # characters of rows whose types are looked at together
PARQUET_BATCH = 1000  # rows read at once
PROGRESS_EVERY = 1000  # rows

# Called as progress(done, total). An import counts the bytes of both passes (Parquet: rows), an export rows, with total
# None.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Column:
    """A column of an existing table that can be filled."""

    name: str
    not_null: bool
    is_text: bool
    optional: bool  # it has a default


class TableFile(ABC):
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

    def match(self, existing: list[Column], table: str) -> None:
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


class CsvFile(TableFile):
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

    def match(self, existing: list[Column], table: str) -> None:
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


class ParquetFile(TableFile):
    unit = "row"

    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        with self._open() as file:
            schema = file.schema_arrow
            self.rows = self.size = file.metadata.num_rows
        self.columns = schema.names
        self.check_columns()
        for field in schema:
            self.types.append(postgres_type(field.type) or "")
            if not self.types[-1]:
                raise self.fault(f"column {field.name!r} is of type {field.type}, which is none of a plain table's")

    def records(self) -> Iterator[tuple[int, list[Any]]]:
        arrow = require_arrow()
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
        arrow = require_arrow()
        try:
            with _faults_of_files(self.path), arrow.parquet.ParquetFile(self.path) as file:
                yield file
        except arrow.ArrowException as error:
            raise self.fault("this is no complete Parquet file", hint=str(error)) from error


def open_table_file(path: Path) -> TableFile:
    return ParquetFile(path) if path.suffix.lower() == ".parquet" else CsvFile(path)


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
_NUMERIC = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,17})?")  # keeps every digit: 1.10 is not 1.1 as a code
_FLOAT = re.compile(_NUMERIC.pattern + "([eE][+-][0-9]{1,2})?")  # what a double can hold
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
    "numeric": _NUMERIC.fullmatch,
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


def require_arrow() -> ModuleType:
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise errors.MissingExtraError(
            "Parquet files need the package pyarrow.", hint="Run: pip install '.[arrow]'"
        ) from error
    return pyarrow  # type: ignore[no-any-return]


def postgres_type(arrow_type: Any) -> str | None:
    """Return PostgreSQL's name of an Arrow type, or None where it has no plain one."""
    types = require_arrow().types
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


def arrow_type(arrow: ModuleType, connection: psycopg.Connection[Any], column: psycopg.Column) -> Any:
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


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
