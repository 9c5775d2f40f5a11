"""Tables of text cells, as in CSV and Excel files: finds the header, the columns and the rows."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aisle.files.column_types import TypeGuesses, is_value
from aisle.files.table_files import PROGRESS_EVERY, Column, Progress, Reading, TableFile, counted

TITLE_LINES = 10  # lines of title or guidance that may be above a header
TITLE_LENGTH = 20  # characters; a longer cell that is alone in its line is no column's name
ENOUGH_ROWS = 20  # rows from which on a first row that differs in one column is suspicious

Row = tuple[int, list[str]]  # the line in the file, and the cells


class GridFile(TableFile):
    """A file of text cells."""

    unit = "line"

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(path, reading)
        self.header = 0  # line in the file
        self.skipped = 0  # rows below the header that are not data
        self.empty: Sequence[str | None] = ()  # for each column, the value of an empty field

    @abstractmethod
    def lines(self) -> Iterator[Row]:
        """Yield all lines of the file, with the header, without blank lines."""

    def too_wide(self, found: int, line: int) -> Exception:
        """Return the error for a row that has more or fewer cells than the header."""
        return self.fault(f"{found} fields where the header has {len(self.columns)}", place=line)

    def read(self, progress: Progress | None, guess: bool) -> None:
        """Find header, columns, rows and types."""
        self.rows, self.notes = 0, []
        names = self._find_header()
        width = max((position for position, name in enumerate(names, 1) if name.strip()), default=0)
        self.name_columns(names[: width or len(names)])
        self.empty = [None] * len(self.columns)
        self.skipped = self.reading.skip_rows or 0
        guesses = TypeGuesses(len(self.columns))
        surplus, blank, first = len(names) - len(self.columns), 0, 0
        for number, (line, cells) in enumerate(self._below_header(), 1 - self.skipped):
            if number < 1:
                continue
            if _is_blank(cells):
                blank += 1
                continue
            if len(cells) != len(self.columns):
                surplus = max(surplus, len(cells) - len(self.columns))
                cells = self._fit(line, cells, names)
            first = first or line
            self.rows += 1
            if guess:
                guesses.add(cells)
            if progress and self.rows % PROGRESS_EVERY == 0:
                progress(self.done, 2 * self.size)
        self.types = guesses.result()
        if self.reading.skip_rows is None:
            self._judge_first_rows(guesses, first)
        if self.skipped:
            self.notes.append(f"Skipped {counted(self.skipped, 'row')} below the header.")
        if surplus:
            self.notes.append(f"Skipped {counted(surplus, 'empty column')} at the end.")
        if blank:
            self.notes.append(f"Skipped {counted(blank, 'empty row')}.")

    def match(self, existing: list[Column], table: str, *, partly: bool = False) -> None:
        super().match(existing, table, partly=partly)
        keeps_empty = {column.name for column in existing if column.is_text and column.not_null}
        self.empty = ["" if name in keeps_empty else None for name in self.columns]

    def records(self) -> Iterator[tuple[int, list[Any]]]:
        for number, (line, cells) in enumerate(self._below_header()):
            if number < self.skipped or _is_blank(cells):
                continue
            yield line, [cell or empty for cell, empty in zip(cells[: len(self.columns)], self.empty, strict=True)]

    def _below_header(self) -> Iterator[Row]:
        return itertools.dropwhile(lambda row: row[0] <= self.header, self.lines())

    def _fit(self, line: int, cells: list[str], names: list[str]) -> list[str]:
        """Return as many cells as there are columns; raises InputFileError if a further cell is not empty."""
        width = len(self.columns)
        if len(cells) < width or (len(cells) > len(names) and any(cells[len(names) :])):
            raise self.too_wide(len(cells), line)
        if any(cells[width:]):
            position = next(place for place, cell in enumerate(cells, 1) if place > width and cell)
            raise self.fault(
                f"column {position} has no name, but it has a value here",
                place=line,
                hint=f"Name each column in line {self.header} of the file",
            )
        return cells[:width]

    def _find_header(self) -> list[str]:
        """Set the line of the header, and return its cells."""
        wanted = self.reading.header_line
        above: list[Row] = []
        rows = self.lines()
        for line, cells in rows:
            if line == wanted or (wanted is None and not self._is_title(cells, above)):
                following = next(rows, None)
                if above and wanted is None and not self._is_safe(cells, following):
                    break
                self.header = line
                if above:
                    self._say_header(len(above), guessed=wanted is None)
                return cells
            above.append((line, cells))
            if wanted is not None and line > wanted:
                break
            if wanted is None and len(above) > TITLE_LINES:
                break
        if not above:
            raise self.fault("the file is empty", hint="It needs a line that names the columns")
        if wanted is not None:
            raise self.fault(
                f"line {wanted} has no row, so it cannot be the header", hint=f"The first row is in line {above[0][0]}"
            )
        self.header, cells = above[0]
        return cells

    def _is_title(self, cells: list[str], above: list[Row]) -> bool:
        """Return whether a line may be a title or guidance: it has one filled cell, with a sentence or among others."""
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) != 1:
            return not filled
        return bool(above) or len(cells) > 1 or len(filled[0]) > TITLE_LENGTH or len(filled[0].split()) > 1

    def _is_safe(self, cells: list[str], following: Row | None) -> bool:
        """Return whether a line below a title is surely the header: only names, and the next line is as wide."""
        names = list(cells)
        while names and not names[-1].strip():
            names.pop()
        return (
            len(names) > 1
            and all(name.strip() and not is_value(name) for name in names)
            and following is not None
            and len(following[1]) >= len(names)
        )

    def _say_header(self, above: int, *, guessed: bool) -> None:
        hint = " (--header-line N chooses another)" if guessed else ""
        self.notes.append(f"Line {self.header} is the header; skipped {counted(above, 'line')} above it{hint}.")

    def _judge_first_rows(self, guesses: TypeGuesses, first: int) -> None:
        """Raise InputFileError for rows that surely explain the columns; add a note on a row that may."""
        if guesses.explanations:
            below = f"the {counted(guesses.explanations, 'row')} below the header"
            raise self.fault(
                f"{below} seem{'s' if guesses.explanations == 1 else ''} to explain the columns: numbers or times "
                "begin below",
                place=first,
                hint=f"Skip such rows: --skip-rows {guesses.explanations}; or import them: --skip-rows 0",
            )
        if guesses.suspects and self.rows >= ENOUGH_ROWS:
            name = self.columns[guesses.suspects[0]]
            self.notes.append(
                f"Without line {first}, the column {name!r} would be numbers or times. "
                "If that line is not data, drop the table and import again with --skip-rows 1."
            )


def _is_blank(cells: list[str]) -> bool:
    """Return whether a row has several cells, and all are empty."""
    return not cells[0] and len(cells) > 1 and not any(cells)
