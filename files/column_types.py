"""Guesses the types of a file's columns from all their values."""

import re
from collections.abc import Callable
from datetime import date, datetime

GUESS_BATCH = 2**20  # characters of rows that are examined together
EXPLANATION_ROWS = 3  # rows below the header that may explain the columns instead of holding data
MIN_NARROWED = 2  # columns that would be numbers or times without those rows

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # no leading zero: 00123 is a code; 18 digits always fit
_NUMERIC = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,17})?")  # keeps every digit: as codes, 1.10 and 1.1 differ
_FLOAT = re.compile(_NUMERIC.pattern + "([eE][+-][0-9]{1,2})?")  # fits a double
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


# Narrower types come first.
_GUESSES: dict[str, Callable[[str], object]] = {
    "bigint": _INTEGER.fullmatch,
    "numeric": _NUMERIC.fullmatch,
    "double precision": _FLOAT.fullmatch,
    "boolean": _BOOLEAN.fullmatch,
    "date": _is_time(_DATE, date.fromisoformat),
    "timestamp": _is_time(_TIMESTAMP, datetime.fromisoformat),
    "timestamptz": _is_time(_TIMESTAMPTZ, datetime.fromisoformat),
}


def is_value(text: str) -> bool:
    """Return whether a cell is a number, a time or a boolean, and so hardly the name of a column."""
    return any(check(text) for check in _GUESSES.values())


class TypeGuesses:
    """The types that fit all values of each column. A column is text if one value fits no other type."""

    def __init__(self, columns: int) -> None:
        self._possible = [list(_GUESSES) for _ in range(columns)]
        self._seen = [False] * columns  # whether the column has a value
        self._first: list[list[str]] = []  # the first rows, kept apart because they may explain the columns
        self._batch: list[list[str]] = []
        self._characters = 0
        self.explanations = 0  # rows below the header that surely are not data; `result` sets it
        self.suspects: list[int] = []  # positions of columns that are text only because of the first row

    def add(self, fields: list[str]) -> None:
        if len(self._first) < EXPLANATION_ROWS:
            self._first.append(fields)
            return
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
        """Return the types, and set `explanations` and `suspects`."""
        self._narrow()
        without = {len(self._first): self._types()}  # number of first rows left out: the types of the others
        for number in range(len(self._first) - 1, -1, -1):
            self._batch = [self._first[number]]
            self._narrow()
            without[number] = self._types()
        types = without[0]
        for number in range(1, len(self._first) + 1):
            typed = [place for place, name in enumerate(without[number]) if name != "text"]
            narrowed = [place for place in typed if types[place] == "text"]
            if not narrowed or any(is_value(row[place]) for row in self._first[:number] for place in typed):
                continue
            if len(narrowed) >= MIN_NARROWED:
                self.explanations = number
                break
            self.suspects = self.suspects or (narrowed if number == 1 else [])
        return types

    def _types(self) -> list[str]:
        return [names[0] if names and seen else "text" for names, seen in zip(self._possible, self._seen, strict=True)]
