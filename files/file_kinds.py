"""Recognises the kind of a file by its first bytes, because the names of shops' exports are often wrong."""

import re
import zipfile
from pathlib import Path

from aisle.db import errors
from aisle.files.csv_files import CsvFile
from aisle.files.excel_files import ExcelFile
from aisle.files.parquet_files import MAGIC as PARQUET
from aisle.files.parquet_files import ParquetFile
from aisle.files.table_files import Reading, TableFile, faults_of_files

START = 1024  # bytes
ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Office 97 to 2003, and newer files with a password
MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|meta|table|body|style|\?xml|!--)", re.IGNORECASE)
OTHERS = {
    b"%PDF": "a PDF file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a file compressed by bzip2",
    b"\xfd7zXZ": "a file compressed by xz",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd",
    b"SQLite format 3": "an SQLite database",
}


def open_table_file(path: Path, reading: Reading | None = None) -> TableFile:
    """Return the reader of a file; raises InputFileError if no reader can read it."""
    reading = reading or Reading()
    if path.exists() and not path.is_file() and not path.is_dir():
        raise errors.InputFileError(
            f"{path} is not a file. An import reads its file twice.", hint="Write the data to a file first"
        )
    with faults_of_files(path), path.open("rb") as file:
        start = file.read(START)
    if path.suffix.lower() == ".parquet" or start.startswith(PARQUET):
        return ParquetFile(path, reading)
    if start.startswith(OLE) or (start.startswith(ZIP) and _is_workbook(path)):
        return ExcelFile(path, reading)
    if start.startswith(ZIP):
        raise errors.InputFileError(f"{path} is a ZIP archive, not a table.", hint="Unpack it, and import its files")
    if MARKUP.match(start):
        raise errors.InputFileError(
            f"{path} is a web page or XML, not a table. Some programs name such a file .xls.",
            hint="Open it in Excel and save it as .xlsx, or as CSV in UTF-8",
        )
    for magic, kind in OTHERS.items():
        if start.startswith(magic):
            raise errors.InputFileError(
                f"{path} is {kind}, not a table.", hint="Import a CSV (or .csv.gz), Excel or Parquet file"
            )
    return CsvFile(path, reading)


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return path.suffix.lower() in (".xlsx", ".xlsm", ".xlsb")
