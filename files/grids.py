"""Tables of text cells, as CSV and Excel files hold them: which line is the header, which rows and columns are data."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aisle.files.column_types import TypeGuesses, is_value
from aisle.files.table_files import PROGRESS_EVERY, Column, Progress, Reading, TableFile, counted

TITLE_LINES = 10  # a header is looked for below so many lines of title or guidance
TITLE_LENGTH = 20  # characters; a lone cell that is longer is no name of a column
ENOUGH_ROWS = 20  # to call a first row odd that differs in one column

Row = tuple[int, list[str]]  # the line in the file, and the cells


class GridFile(TableFile):
    """A file of text cells."""

    unit = "line"

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(path, reading)
        self.header = 0  # line in the file
        self.skipped = 0  # rows below the header that are no data
        self.empty: Sequence[str | None] = ()  # what an empty field of each column stands for

    @abstractmethod
    def lines(self) -> Iterator[Row]:
        """Yield what is in the file, header and all, blank lines left out."""

    def too_wide(self, found: int, line: int) -> Exception:
        """Return the error that a row has more or fewer cells than the header."""
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
            self.notes.append(f"{counted(self.skipped, 'row')} below the header passed over.")
        if surplus:
            self.notes.append(f"{counted(surplus, 'empty column')} at the end left out.")
        if blank:
            self.notes.append(f"{counted(blank, 'empty row')} passed over.")

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
        """Return the cells of the columns, of a row that has another number; what stands beyond must be empty."""
        width = len(self.columns)
        if len(cells) < width or (len(cells) > len(names) and any(cells[len(names) :])):
            raise self.too_wide(len(cells), line)
        if any(cells[width:]):
            position = next(place for place, cell in enumerate(cells, 1) if place > width and cell)
            raise self.fault(
                f"column {position} has no name, but here is a value in it",
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
            raise self.fault("the file is empty", hint="It must have a line that names the columns")
        if wanted is not None:
            raise self.fault(
                f"line {wanted} is no row, so it cannot be the header", hint=f"The first row is in line {above[0][0]}"
            )
        self.header, cells = above[0]
        return cells

    def _is_title(self, cells: list[str], above: list[Row]) -> bool:
        """Return whether a line can be a title or guidance, no header: one cell with a sentence, or in a wide line."""
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) != 1:
            return not filled
        return bool(above) or len(cells) > 1 or len(filled[0]) > TITLE_LENGTH or len(filled[0].split()) > 1

    def _is_safe(self, cells: list[str], following: Row | None) -> bool:
        """Return whether a line below a title is surely the header: names only, and as wide as what follows."""
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
        hint = " (--header-line N takes another)" if guessed else ""
        self.notes.append(
            f"Line {self.header} was taken as the header, {counted(above, 'line')} above it passed over{hint}."
        )

    def _judge_first_rows(self, guesses: TypeGuesses, first: int) -> None:
        """Refuse rows that surely explain the columns, and warn of one that may."""
        if guesses.explanations:
            below = f"the {counted(guesses.explanations, 'row')} below the header"
            raise self.fault(
                f"{below} seem{'s' if guesses.explanations == 1 else ''} to explain the columns, not to be data: "
                "numbers or times begin below",
                place=first,
                hint=f"Pass them over: --skip-rows {guesses.explanations}; or keep them: --skip-rows 0",
            )
        if guesses.suspects and self.rows >= ENOUGH_ROWS:
            name = self.columns[guesses.suspects[0]]
            self.notes.append(
                f"Only line {first} keeps the column {name!r} from being numbers or times; "
                "if it is no data, drop the table and import again with --skip-rows 1."
            )


def _is_blank(cells: list[str]) -> bool:
    """Return whether a row of several cells has nothing in them."""
    return not cells[0] and len(cells) > 1 and not any(cells)
