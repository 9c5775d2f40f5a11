"""The base of files that are read as tables: CSV, Excel and Parquet."""

import contextlib
import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aisle.db import errors

MAX_IDENTIFIER = 63  # bytes; PostgreSQL cuts longer names
PROGRESS_EVERY = 1000  # rows

# Called as progress(done, total). An import counts the bytes of both passes (of Parquet and Excel: rows). An export
# counts rows, and its total is None.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Column:
    """A column of an existing table that an import can fill."""

    name: str
    not_null: bool
    is_text: bool
    optional: bool  # it has a default


@dataclass(frozen=True)
class Reading:
    """The options of reading a file; None means guess."""

    encoding: str | None = None
    delimiter: str | None = None  # one character
    header_line: int | None = None  # the line of the file that names the columns
    skip_rows: int | None = None  # rows below the header that are not data
    rename: tuple[str, ...] = ()  # OLD=NEW, where OLD is a column's name, or its position if no column has that name
    sheet: str | None = None


class TableFile(ABC):
    """A file that is read as a table, in one or more passes."""

    unit: str  # of a place in the file: line or row
    options: frozenset[str]  # the fields of a Reading that apply

    def __init__(self, path: Path, reading: Reading) -> None:
        default = Reading()
        for field in fields(Reading):
            given = getattr(reading, field.name)
            if given != getattr(default, field.name) and field.name not in self.options:
                raise errors.InvalidArgumentError(
                    f"--{field.name.replace('_', '-')} does not apply to a file such as {path.name}.",
                    hint="Leave it out",
                )
        self.path = path
        self.reading = reading
        self.columns: list[str] = []
        self.types: list[str] = []
        self.rows = 0
        self.size = 0  # of one pass, in the unit of `done`
        self.done = 0
        self.said: str | None = None  # unusual ways of reading the file: "as CP949"
        self.notes: list[str] = []  # sentences on guesses and skipped rows

    @abstractmethod
    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        """Find columns and rows, and with `guess` also types; raises InputFileError for faults of the file itself."""

    @abstractmethod
    def records(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the place in the file and the values of each row."""

    def match(self, existing: list[Column], table: str, *, partly: bool = False) -> None:
        """Raise InputFileError unless the columns are those of the existing table, or some of them (`partly`)."""
        names = {column.name for column in existing}
        if unknown := [name for name in self.columns if name not in names]:
            raise self.fault(
                f"the table {table} has no column {_listed(unknown)} to fill",
                hint=f"The table has: {', '.join(column.name for column in existing)}; "
                "--rename OLD=NEW renames a column of the file",
            )
        if partly:
            return
        if missing := [c.name for c in existing if not c.optional and c.name not in self.columns]:
            raise self.fault(
                f"it lacks the column {_listed(missing)} of the table {table}",
                hint=f"The file has: {', '.join(self.columns)}; a column may be empty, but it must exist",
            )

    def name_columns(self, names: list[str]) -> None:
        """Set the columns from the names in the file: apply --rename, and number repeated names."""
        self.columns = self._number(self._rename(names))
        for position, name in enumerate(self.columns, 1):
            if not name.strip():
                raise self.fault(
                    f"column {position} has no name",
                    hint=f"Name each column in the header, or here: --rename {position}=NAME",
                )
            if len(name.encode()) > MAX_IDENTIFIER:
                raise self.fault(
                    f"the name of column {position} is longer than {MAX_IDENTIFIER} bytes: {name[:40]!r}…",
                    hint=f"Shorten it: --rename {position}=NAME; if it is not a name, choose the header: "
                    "--header-line N",
                )

    def _rename(self, names: list[str]) -> list[str]:
        renamed = list(names)
        for rule in self.reading.rename:
            cuts = [at for at, character in enumerate(rule) if character == "="]
            cut = next((at for at in cuts if rule[:at] in names), cuts[0] if cuts else -1)
            old, new = rule[:cut], rule[cut + 1 :]
            if cut < 0 or not new:
                raise errors.InvalidArgumentError(f"--rename {rule!r} is not OLD=NEW.", hint="Try: --rename 3=name")
            if names.count(old) > 1:
                raise self.fault(
                    f"it has {names.count(old)} columns {old!r}",
                    hint=f"Choose one by its position: --rename {names.index(old) + 1}={new}",
                )
            if old in names:
                renamed[names.index(old)] = new
            elif old.isascii() and old.isdigit() and 0 < int(old[:9]) <= len(names):
                renamed[int(old) - 1] = new
            else:
                raise self.fault(f"it has no column {old!r} to rename", hint=f"Its columns are: {', '.join(names)}")
        return renamed

    def _number(self, names: list[str]) -> list[str]:
        """Return unique names: the second of two columns `icon` becomes `icon 2`."""
        numbered: list[str] = []
        for position, name in enumerate(names, 1):
            unique, number = name, 1
            while name and (unique in numbered or (number > 1 and unique in names)):
                number += 1
                unique = f"{name} {number}"
            if unique != name:
                self.notes.append(
                    f"Column {position} becomes {unique!r}, because an earlier column is {name!r} "
                    f"(--rename {position}=NAME chooses another name)."
                )
            numbered.append(unique)
        return numbered

    def fault(
        self, what: str, *, place: int | None = None, column: str | None = None, hint: str | None = None
    ) -> errors.InputFileError:
        """Return the error for a fault at a place of the file."""
        where = (f", {self.unit} {place}" if place else "") + (f", column {column}" if column else "")
        return errors.InputFileError(
            f"{self.path}{where}: {what}.", hint=hint or "Correct the file and try again; nothing was imported"
        )


@contextlib.contextmanager
def faults_of_files(path: Path) -> Iterator[None]:
    """Turn the system's errors about a file into InputFileError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise errors.InputFileError(
            f"{path}: the compressed file is damaged or incomplete.", hint="Copy or compress it again"
        ) from error
    except OSError as error:
        raise errors.InputFileError(
            f"{path} cannot be read: {error.strerror or error}.", hint="Check the path and its permissions"
        ) from error


def counted(number: int, what: str) -> str:
    """Return "1 row", "2 rows"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
