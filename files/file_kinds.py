"""What kind of file something is: by its first bytes, as names of shops' exports often tell another story."""

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
    """Return the reader of a file; raise InputFileError for a kind of file that none reads."""
    reading = reading or Reading()
    if path.exists() and not path.is_file() and not path.is_dir():
        raise errors.InputFileError(
            f"{path} is no file; an import reads its file twice.", hint="Write what comes through it to a file first"
        )
    with faults_of_files(path), path.open("rb") as file:
        start = file.read(START)
    if path.suffix.lower() == ".parquet" or start.startswith(PARQUET):
        return ParquetFile(path, reading)
    if start.startswith(OLE) or (start.startswith(ZIP) and _is_workbook(path)):
        return ExcelFile(path, reading)
    if start.startswith(ZIP):
        raise errors.InputFileError(f"{path} is a ZIP archive, no table.", hint="Unpack it, and import what is in it")
    if MARKUP.match(start):
        raise errors.InputFileError(
            f"{path} is a web page or XML, no table, though some programs call such a file .xls.",
            hint="Open it in Excel and save it as .xlsx, or as CSV in UTF-8",
        )
    for magic, kind in OTHERS.items():
        if start.startswith(magic):
            raise errors.InputFileError(
                f"{path} is {kind}, no table.", hint="Import a CSV file (.gz too), Excel or Parquet"
            )
    return CsvFile(path, reading)


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return path.suffix.lower() in (".xlsx", ".xlsm", ".xlsb")
