"""Reads CSV files as tables: finds the encoding, the delimiter, and the line of each fault."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, NoReturn

from aisle.db import errors
from aisle.files import encodings
from aisle.files.grids import GridFile, Row
from aisle.files.table_files import PROGRESS_EVERY, Progress, Reading, faults_of_files

DELIMITERS = ",;\t"  # recognised silently
ODD_DELIMITER = "|"  # recognised if all sniffed lines have the same number of them
SUSPICIOUS = "|^~:¦§\x01\x1c\x1d\x1e\x1f"  # other delimiters that programs write
MAX_FIELD = 16 * 2**20  # characters; a longer field or line means an unclosed quote
SNIFFED_LINES = 20
SNIFFED_BYTES = 4096
GZIP = b"\x1f\x8b"


class _QuotingError(errors.InputFileError):
    """A quote has no partner."""


class CsvFile(GridFile):
    """A file of values that a comma or another character separates, compressed or not."""

    options = frozenset({"encoding", "delimiter", "header_line", "skip_rows", "rename"})

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(path, reading)
        self.encoding = encodings.GUESSED[0]
        self.delimiter = DELIMITERS[0]
        self.quoted = True  # quotes around a field are not part of it
        self.starts_with_sep = False  # the first line tells Excel the delimiter, such as sep=;
        self.letters: encodings.Letters | None = None

    def scan(self, progress: Progress | None, *, guess: bool) -> None:
        csv.field_size_limit(max(MAX_FIELD, csv.field_size_limit()))  # of the whole process
        with faults_of_files(self.path):
            self.size = self.path.stat().st_size
            with self._open() as (_, stream):
                start = stream.read(SNIFFED_BYTES)
        known = encodings.marked(start) if self.reading.encoding is None else encodings.check(self.reading.encoding)
        candidates = (known,) if known else encodings.GUESSED
        if not known and (unmarked := encodings.looks_like_utf16(start)):
            raise self.fault(
                "it has NUL characters, as UTF-16 without a byte order mark has", hint=f"Try: --encoding {unmarked}"
            )
        reached = {}
        for self.encoding in candidates:
            self.letters = encodings.Letters() if self.encoding == "cp949" and not known else None
            try:
                self._sniff()
                self._read_quoted_or_not(progress, guess)
            except UnicodeError:
                reached[self.encoding] = self._undecodable_line()
                continue
            self._say_how()
            return
        self._refuse_bytes(reached)

    def _read_quoted_or_not(self, progress: Progress | None, guess: bool) -> None:
        """Read the file. If that fails in a tab-separated file, read it without quoting: a " may mean inches."""
        self.quoted = True
        try:
            self.read(progress, guess)
        except _QuotingError as error:
            if self.delimiter != "\t":
                raise
            self.quoted = False
            try:
                self.read(progress, guess)
            except errors.InputFileError:
                raise error from None

    def _refuse_bytes(self, reached: dict[str, int]) -> NoReturn:
        best = max(reached, key=lambda encoding: reached[encoding])
        raise self.fault(
            f"it has bytes that are not {encodings.display(best)}",
            place=reached[best],
            hint="Save the file as CSV in UTF-8 or CP949, or name its encoding: --encoding NAME, "
            f"such as {encodings.OTHERS}",
        )

    def _say_how(self) -> None:
        if self.letters and not self.letters.are_korean():
            raise self.fault(
                "the text is not UTF-8, and as CP949 it is hardly Korean: " + self.letters.sample(),
                hint=f"Name the encoding: --encoding NAME, such as {encodings.OTHERS}",
            )
        self.letters = None
        said = []
        if encodings.display(self.encoding) != "UTF-8":
            said.append(f"as {encodings.display(self.encoding)}")
        if self.delimiter not in DELIMITERS:
            said.append(f"with {self.delimiter!r} between fields")
        if not self.quoted:
            said.append("with quotes as text")
        self.said = " ".join(said) or None

    def too_wide(self, found: int, line: int) -> errors.InputFileError:
        mark = self.delimiter
        return self.fault(
            f"{found} fields where the header has {len(self.columns)}",
            place=line,
            hint=f'Put quotes around a field that contains {mark!r}: "a{mark}b"; if line {self.header} is not the '
            "header: --header-line N",
        )

    def lines(self) -> Iterator[Row]:
        """Yield the first line number and the fields of each record, without blank lines."""
        reader = csv.reader(
            self._text(),
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            strict=True,
        )
        first = 1  # first line of the record, which may contain line breaks
        try:
            for fields in reader:
                if fields and not (first == 1 and self.starts_with_sep):
                    yield first, fields
                first = reader.line_num + 1
        except csv.Error as error:
            noticed = f" (noticed in line {reader.line_num})" if reader.line_num > first else ""
            fault = self.fault(
                f"a quoted field has no closing quote, or text follows it{noticed}",
                place=first,
                hint='Double each quote inside a quoted field: "a 15"" screen"',
            )
            raise _QuotingError(str(fault), hint=fault.hint) from error

    def _text(self) -> Generator[str, None, None]:
        with faults_of_files(self.path), self._open() as (raw, stream):
            text = io.TextIOWrapper(stream, self.encoding, newline="")
            for number in itertools.count(1):
                line = text.readline(MAX_FIELD)
                if not line:
                    break
                if len(line) == MAX_FIELD:
                    raise self.fault(f"the line is longer than {MAX_FIELD:,} characters", place=number)
                if "\0" in line:
                    raise self.fault(
                        "it has a NUL character, which PostgreSQL cannot store",
                        place=number,
                        hint="Save the file as CSV in UTF-8",
                    )
                if number % PROGRESS_EVERY == 0:
                    self.done = raw.tell()
                if self.letters:
                    self.letters.add(line)
                yield line

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Open the file; yield the raw file, whose position shows the progress, and the uncompressed file."""
        with self.path.open("rb") as raw:
            compressed = self.path.suffix.lower() == ".gz" or raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            if not compressed:
                yield raw, raw
                return
            with gzip.open(raw) as stream:
                yield raw, stream  # type: ignore[misc]  # a GzipFile has the methods of an IO[bytes]

    def _sniff(self) -> None:
        """Choose the delimiter: the given one, else that of a line sep=, else the likeliest in the first lines."""
        with contextlib.closing(self._text()) as text:
            lines = [line.rstrip("\r\n") for line in itertools.islice(text, SNIFFED_LINES)]
        if self.letters:
            self.letters = encodings.Letters()
        named = re.fullmatch(r'"?sep=(.)"?', lines[0], re.IGNORECASE) if lines else None
        self.starts_with_sep = named is not None
        if self.reading.delimiter is not None:
            self.delimiter = self.reading.delimiter
        elif named:
            self.delimiter = named[1]
        else:
            self.delimiter = self._likely_delimiter([line for line in lines if line.strip()])
        if self.delimiter in '"\r\n':
            raise self.fault(f"{self.delimiter!r} cannot separate fields", hint="Try: --delimiter ';'")

    def _likely_delimiter(self, lines: list[str]) -> str:
        def widths(mark: str) -> list[int]:
            return [len(next(csv.reader([line], delimiter=mark), [])) for line in lines]

        if not lines:
            return DELIMITERS[0]
        wanted = self.reading.header_line
        found = {mark: widths(mark) for mark in DELIMITERS}
        best = max(found, key=lambda mark: found[mark][0])
        if found[best][0] > 1 and wanted is None:
            odd = widths(ODD_DELIMITER)
            fits = len(lines) > 1 and odd[0] > 1 and len(set(odd)) == 1
            return ODD_DELIMITER if fits and len(set(found[best])) > 1 else best
        # The first line has one cell, or is not the header: the file has one column, or begins with a title.
        rest = {mark: Counter(width for width in found[mark][1:] if width > 1) for mark in DELIMITERS}
        best = max(rest, key=lambda mark: rest[mark].total())
        if rest[best]:
            return best
        return self._odd_delimiter(lines)

    def _odd_delimiter(self, lines: list[str]) -> str:
        """Return the delimiter of a file that seems to have one column; raises InputFileError for unsafe guesses."""
        marks = {mark for mark in SUSPICIOUS if mark in lines[0] and len({line.count(mark) for line in lines}) == 1}
        if not marks or len(lines) == 1:
            return DELIMITERS[0]
        if marks == {ODD_DELIMITER} and all(part.strip() for part in lines[0].split(ODD_DELIMITER)):
            return ODD_DELIMITER
        shown = "".join(sorted(marks, key=lines[0].index))
        raise self.fault(
            f"it seems to have one column, but each line contains {shown!r}",
            hint=f"Name the character between the fields: --delimiter {shlex.quote(shown[0])}; "
            "--delimiter , if it is one column",
        )

    def _undecodable_line(self) -> int:
        """Return the first line that the encoding cannot read."""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        number = 1
        with self._open() as (_, stream):
            while True:
                block = stream.read(2**16)
                try:
                    number += decoder.decode(block, final=not block).count("\n")
                except UnicodeDecodeError as error:
                    return number + error.object[: error.start].decode(self.encoding, "ignore").count("\n")
                except UnicodeError:
                    return number
                if not block:
                    return number
