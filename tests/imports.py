"""What tests of `aisle import` look at: the rows and types of a table, and what is said of a file that is refused."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from aisle.db import errors
from aisle.files import import_export

Connection = psycopg.Connection[tuple[Any, ...]]


def rows(db: Connection, query: str = "select * from t order by 1") -> list[tuple[Any, ...]]:
    return db.execute(query.encode()).fetchall()


def types(db: Connection, table: str = "t") -> dict[str, str]:
    query = "select attname, format_type(atttypid, null) from pg_attribute where attrelid = %s::regclass and attnum > 0"
    return dict(db.execute(query, [table]).fetchall())


def exists(db: Connection, name: str) -> bool:
    return bool(db.execute("select to_regclass(%s) is not null", [name]).fetchall()[0][0])


def fault(db: Connection, path: Path, table: str = "t", **options: Any) -> str:
    """Import what must fail; return message and hint without the folder."""
    with pytest.raises(errors.InputFileError) as caught:
        import_export.import_table(db, path, table, **options)
    assert caught.value.hint, f"what to do next? {caught.value}"
    return f"{caught.value} {caught.value.hint}".replace(f"{path.parent}/", "")
