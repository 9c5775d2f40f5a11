"""Whatever bytes a file holds, it is imported whole, or one of our errors says why not and nothing is left behind."""

import functools
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql as compose

from aisle import db
from aisle.db import errors
from aisle.files import import_export, upsert
from aisle.files.table_files import Reading
from tests.imports import exists, rows

few = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# What stands in files of shops, in any order.
PIECES = [
    ",", ";", "\t", "|", '"', '""', "\n", "\r\n", "\r", " ", "id", "name", "상품명", "가격", "1", "-2.5", "1e-3",
    "true", "2024-02-29", "2024-01-02 03:04:05", "녹차", "뷁", "é", "🍎", "\ufeff", "\0", "sep=;", "ctid", "x" * 64,
    "^|^", "안내 문구 ",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "latin-1", "gbk", "utf-32"])
encoded = st.builds(lambda text, encoding: text.encode(encoding, "ignore"), texts, encodings)
tables = st.builds(
    lambda header, lines: "\n".join(",".join(cells) for cells in [header, *lines]).encode(),
    st.lists(st.sampled_from(["id", "name", "이름", "a b", "1", ""]), min_size=1, max_size=4),
    st.lists(st.lists(st.sampled_from(["1", "2", "x", "", "녹차", "1.5"]), min_size=1, max_size=5), max_size=8),
)
starts = st.sampled_from([b"", b"", b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"<"])
contents = encoded | tables | st.builds(bytes.__add__, starts, st.binary(max_size=80))


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return files of which a piece was cut out, or other bytes took its place."""
    place = st.integers(0, len(whole))
    return st.builds(
        lambda start, end, other: whole[: min(start, end)] + other + whole[max(start, end) :],
        place, place, st.binary(max_size=8),
    )  # fmt: skip


def import_or_refuse(target: db.Connection, path: Path, **options: Any) -> None:
    target.execute("drop schema if exists new cascade")
    try:
        result = import_export.import_table(target, path, "new.t", **options)
    except errors.AisleError:
        assert not exists(target, "new.t"), "nothing is half imported"
        assert rows(target, "select from pg_namespace where nspname = 'new'") == []
        return
    assert rows(target, "select count(*) from new.t") == [(result.rows,)]
    names = [row[0] for row in rows(target, "select attname::text from pg_attribute where attrelid = 'new.t'::regclass "
                                        "and attnum > 0 order by attnum")]  # fmt: skip
    assert names == list(result.columns)


@few
@given(content=contents, name=st.sampled_from(["a.csv", "a.txt", "a.csv.gz", "a.parquet", "a.xlsx", "a.xls"]))
def test_any_bytes_are_imported_or_refused(
    connection: db.Connection, tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") and len(content) % 2 else content)
    import_or_refuse(connection, path)


readings = st.builds(
    Reading,
    encoding=st.none() | encodings,
    delimiter=st.none() | st.sampled_from(list(",;\t| x\"'\n")),
    header_line=st.none() | st.integers(1, 4),
    skip_rows=st.none() | st.integers(0, 3),
    rename=st.lists(st.sampled_from(["1=a", "2=a", "name=b", "id==", "=", "9=x"]), max_size=2).map(tuple),
)


@few
@given(content=encoded | tables, reading=readings)
def test_any_options_are_followed_or_refused(
    connection: db.Connection, tmp_path_factory: pytest.TempPathFactory, content: bytes, reading: Reading
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.csv"
    path.write_bytes(content)
    import_or_refuse(connection, path, reading=reading)


@functools.cache
def whole(ending: str, folder: Path) -> bytes:
    path = folder / f"whole.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"id": [1, 2], "name": ["tea", None]}), path, write_page_checksum=True)
    else:
        path.write_bytes(gzip.compress(b"id,name\n1,tea\n2,\n", mtime=0))
    return path.read_bytes()


@few
@given(data=st.data(), ending=st.sampled_from(["parquet", "csv.gz"]))
def test_a_damaged_file_is_refused_or_whole(
    connection: db.Connection, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, ending: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / f"damaged.{ending}"
    path.write_bytes(data.draw(damaged(whole(ending, folder))))
    import_or_refuse(connection, path)


values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.none()
shops = st.dictionaries(st.integers(0, 9), st.tuples(values, st.integers(-9, 9) | st.none()), max_size=8)


@few
@given(old=shops, new=shops, ending=st.sampled_from(["csv", "parquet"]))
def test_an_update_is_what_two_dictionaries_make(
    connection: db.Connection, tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any, ending: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"update.{ending}"
    for name, shop in (("t", old), ("u", new)):
        connection.execute(f"drop table if exists {name}".encode())
        connection.execute(f"create table {name} (id int primary key, name text, price int)".encode())
        with connection.cursor() as cursor:
            query = compose.SQL("insert into {} values (%s, %s, %s)").format(compose.Identifier(name))
            cursor.executemany(query, [(key, *row) for key, row in shop.items()])
    import_export.export_table(connection, "u", path)
    result = import_export.import_table(connection, path, "t", update=True)
    if ending == "csv":  # in which the empty string is NULL
        new = {key: (name or None, price) for key, (name, price) in new.items()}
    assert {key: tuple(row) for key, *row in rows(connection)} == {**old, **new}
    known = old.keys() & new.keys()
    same = sum(old[key] == new[key] for key in known)
    assert result.changes == upsert.Changes(len(new) - len(known), len(known) - same, same)
