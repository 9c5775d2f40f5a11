"""Reads Parquet files as tables, and maps types between Arrow and PostgreSQL."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from aisle.db import errors
from aisle.files.table_files import Column, Progress, Reading, TableFile, faults_of_files

PARQUET_BATCH = 1000  # rows read at once
MAGIC = b"PAR1"  # the first and the last bytes of a file


class ParquetFile(TableFile):
    """A Parquet file. Its columns have types."""

    unit = "row"
    options = frozenset({"rename"})

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(path, reading)
        self._unlabelled: list[int] = []  # positions of columns of bytes whose values are UTF-8
        self._decoded: set[int] = set()  # positions of those that become text

    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        with self._open() as file:
            schema = file.schema_arrow
            self.rows = self.size = file.metadata.num_rows
        if not schema.names:
            raise self.fault("the file has no columns")
        self.name_columns(schema.names)
        for field in schema:
            self.types.append(postgres_type(field.type) or "")
            if not self.types[-1]:
                raise self.fault(
                    f"column {field.name!r} has the type {field.type}, which a table cannot store",
                    hint="Write the file without this column, or with its parts as separate columns",
                )
        self._unlabelled = [place for place, name in enumerate(self.types) if name == "bytea"]
        if self._unlabelled:
            self._unlabelled = self._those_of_text(self._unlabelled)
        if guess:
            self._decode(self._unlabelled)

    def match(self, existing: list[Column], table: str, *, partly: bool = False) -> None:
        super().match(existing, table, partly=partly)
        texts = {column.name for column in existing if column.is_text}
        self._decode([place for place in self._unlabelled if self.columns[place] in texts])

    def _decode(self, places: list[int]) -> None:
        """Read these columns of bytes as text. Some programs write strings without marking them as strings."""
        self._decoded = set(places)
        for place in places:
            self.types[place] = "text"
        if places:
            names = ", ".join(self.columns[place] for place in places)
            self.notes.append(f"Read as text, because the bytes are UTF-8: {names}.")

    def _those_of_text(self, places: list[int]) -> list[int]:
        """Return the columns of bytes that have values, all of them UTF-8 text."""
        text, filled = set(places), set[int]()
        for _, values in self.records():
            for place in list(text):
                if values[place] is None:
                    continue
                filled.add(place)
                try:
                    if "\0" in values[place].decode():
                        text.discard(place)
                except UnicodeDecodeError:
                    text.discard(place)
            if not text:
                break
        return sorted(text & filled)

    def records(self) -> Iterator[tuple[int, list[Any]]]:
        arrow = require_arrow()
        with self._open() as file:
            # Python's times have no nanoseconds.
            schema = file.schema_arrow
            for position, field in enumerate(schema):
                if arrow.types.is_timestamp(field.type):
                    schema = schema.set(position, field.with_type(arrow.timestamp("us", field.type.tz)))
            number = 0
            for batch in file.iter_batches(PARQUET_BATCH):
                columns = arrow.Table.from_batches([batch]).cast(schema, safe=False).columns
                lists = [column.to_pylist() for column in columns]
                for place in self._decoded:
                    lists[place] = [value if value is None else value.decode() for value in lists[place]]
                self.done = number
                for values in zip(*lists, strict=True):
                    number += 1
                    yield number, list(values)
            if number != self.rows:
                raise self.fault(
                    f"the file is damaged: it should have {self.rows:,} rows, but only {number:,} can be read",
                    hint="Copy or write it again",
                )

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        arrow = require_arrow()
        with faults_of_files(self.path):
            complete = _is_complete(self.path)
        opened = False
        try:
            with arrow.parquet.ParquetFile(self.path, page_checksum_verification=True) as file:
                _ = file.schema_arrow
                opened = True
                yield file
        except (arrow.ArrowException, OSError) as error:
            details = " ".join(str(error).split())
            if opened:
                raise self.fault(f"the file is damaged: {details}", hint="Copy or write it again") from error
            if complete:
                what = f"the Parquet file is complete, but its schema is unreadable: {details}"
                raise self.fault(what, hint="Write it again with plain columns, or as CSV") from error
            what = f"this is not a complete Parquet file: {details}"
            raise self.fault(what, hint="Copy or write it again") from error


def _is_complete(path: Path) -> bool:
    """Return whether a file begins and ends like a Parquet file."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
        file.seek(0, 2)
        file.seek(max(file.tell() - len(MAGIC), 0))
        return start == MAGIC == file.read()


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
    """Return PostgreSQL's name of an Arrow type; None if there is no simple one."""
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
    """Return the Arrow type of a query's column; string for types that Arrow lacks."""
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
