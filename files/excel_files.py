"""Reads one sheet of an Excel file as a table. Its cells become text, as in a CSV file."""

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from aisle.db import errors
from aisle.files.grids import GridFile, Row
from aisle.files.table_files import Progress, Reading, faults_of_files

EXACT = 2**53  # a double above it may have lost its last digits


class ExcelFile(GridFile):
    """An .xlsx or .xls file. Memory holds the whole sheet."""

    options = frozenset({"header_line", "skip_rows", "rename", "sheet"})

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(path, reading)
        self._sheet: list[list[Any]] = []
        self._times: set[int] = set()  # columns of times; their midnights look like dates
        self._said_sheet: str | None = None

    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        self._load()
        self.size = len(self._sheet)
        self.read(progress, guess)
        if self._said_sheet:
            self.notes.append(self._said_sheet)

    def lines(self) -> Iterator[Row]:
        for line, cells in enumerate(self._sheet, 1):
            self.done = line
            texts = [self._text(cell, line, place in self._times) for place, cell in enumerate(cells)]
            if any(texts):
                yield line, texts

    def _load(self) -> None:
        """Read the given sheet, else the first one that is not empty."""
        calamine = _require_calamine()
        with faults_of_files(self.path), self.path.open("rb"):  # the library does not say why it cannot open a file
            pass
        with self._faults(calamine), calamine.load_workbook(self.path) as book:
            visible = [
                sheet.name
                for sheet in book.sheets_metadata
                if sheet.visible == calamine.SheetVisibleEnum.Visible and sheet.typ == calamine.SheetTypeEnum.WorkSheet
            ]
            wanted = self.reading.sheet
            if wanted is not None and wanted not in book.sheet_names:
                raise self.fault(f"there is no sheet {wanted!r}", hint=f"It has: {', '.join(book.sheet_names)}")
            filled: list[str] = []
            for name in visible if wanted is None else [wanted]:
                cells = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
                if not any(cell != "" for row in cells for cell in row):
                    continue
                if not filled:
                    self._sheet = cells
                filled.append(name)
        self._times = {
            place for row in self._sheet for place, cell in enumerate(row) if isinstance(cell, datetime.datetime)
        }
        if len(filled) > 1:
            self._said_sheet = (
                f"Read the sheet {filled[0]!r}; there is also {', '.join(map(repr, filled[1:]))} (--sheet NAME)."
            )

    @contextlib.contextmanager
    def _faults(self, calamine: ModuleType) -> Iterator[None]:
        """Turn the library's errors into ours. A badly damaged file makes it panic."""
        try:
            yield
        except calamine.PasswordError as error:
            raise self.fault("the file has a password", hint="Open it in Excel and save it without one") from error
        except (calamine.CalamineError, OSError, ValueError) as error:
            raise self._damaged(error) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> errors.InputFileError:
        return self.fault(
            f"this Excel file cannot be read: {' '.join(str(error).split())}",
            hint="Open it in Excel and save it as .xlsx, or as CSV in UTF-8",
        )

    def _text(self, cell: Any, line: int, of_times: bool) -> str:
        """Return a cell as a CSV file would contain it."""
        if isinstance(cell, bool):
            return str(cell).lower()
        if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
            return str(int(cell))
        if isinstance(cell, datetime.datetime):
            return cell.isoformat(" ")
        if isinstance(cell, datetime.date) and of_times:
            return f"{cell} 00:00:00"
        if isinstance(cell, datetime.date | datetime.time):
            return cell.isoformat()
        text = str(cell)
        if "\0" in text:
            raise self.fault("it has a NUL character, which PostgreSQL cannot store", place=line)
        return text


def _require_calamine() -> ModuleType:
    try:
        import python_calamine
    except ImportError as error:
        raise errors.MissingExtraError(
            "Excel files need the package python-calamine.",
            hint="Run: pip install '.[excel]'; or save the file in Excel as CSV in UTF-8",
        ) from error
    return python_calamine
