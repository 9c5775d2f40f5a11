"""Files in and out: what is read is right, what is wrong is named with its line, and nothing is half done."""

import datetime as dt
import gzip
import math
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from aisle.db import connect, errors
from aisle.files import column_types, csv_files, import_export
from tests.imports import Connection, exists, fault, rows, types


@pytest.fixture
def db(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as connection:
        connection.execute("reset search_path")  # the shop's statements here leave out `public`
        yield connection


# ---- reading ----


def test_types_are_guessed_from_all_rows(db: Connection, put: Any) -> None:
    header = "id,name,price,code,long,day,local,exact,flag,mixed,none,bad_day\n"
    full = (
        "1,가,1.5,00123,12345678901234567890,2024-02-29,2024-01-02 03:04:05,2024-01-02T03:04:05Z,TRUE,1,,2023-02-29\n"
    )
    plain = "2,나,2,123,1,2024-03-01,2024-01-02 03:04,2024-01-02 03:04:05.5+09:00,false,x,,2024-01-01\n"
    empty = "3,,,,,,,,,,,\n"
    result = import_export.import_table(db, put(header + full + plain * 0 + plain + empty), "t")

    assert result == import_export.ImportResult(3, tuple(header.strip().split(",")), created=True)
    assert types(db) == {
        "id": "bigint",
        "name": "text",
        "price": "numeric",
        "code": "text",
        "long": "text",
        "day": "date",
        "local": "timestamp without time zone",
        "exact": "timestamp with time zone",
        "flag": "boolean",
        "mixed": "text",
        "none": "text",
        "bad_day": "text",
    }
    first, second, third = rows(db)
    assert first[:7] == (
        1,
        "가",
        1.5,
        "00123",
        "12345678901234567890",
        dt.date(2024, 2, 29),
        dt.datetime(2024, 1, 2, 3, 4, 5),
    )
    assert first[7:9] == (dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC), True)
    assert second[7] == dt.datetime(2024, 1, 1, 18, 4, 5, 500_000, tzinfo=dt.UTC)
    assert third == (3, *[None] * 11)


def test_a_type_is_not_guessed_from_the_first_rows_alone(
    db: Connection, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_types, "GUESS_BATCH", 100)
    import_export.import_table(db, put("id,a,b\n" + "".join(f"{n},{n},\n" for n in range(500)) + "500,B-12,7\n"), "t")
    assert types(db) == {"id": "bigint", "a": "text", "b": "bigint"}


def test_numbers_keep_every_digit(db: Connection, put: Any) -> None:
    content = "id,code,share,small\n1,1.10,0.12345678901234567,0.5\n2,1.1,-3,1e-07\n"
    import_export.import_table(db, put(content), "t")
    assert types(db) == {"id": "bigint", "code": "numeric", "share": "numeric", "small": "double precision"}
    assert rows(db, "select code::text, share::text from t order by id") == [
        ("1.10", "0.12345678901234567"),
        ("1.1", "-3"),
    ]


def test_the_clients_encoding_does_not_matter(database_url: str, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "UHC")
    with connect(database_url) as db:
        db.execute("reset search_path")
        import_export.import_table(db, put("id,name\n1,🍎\n"), "t")
        assert rows(db) == [(1, "🍎")]


@pytest.mark.parametrize(
    "content",
    [
        "id,이름\n1,한글 이름\n".encode(),
        "\ufeffid,이름\r\n1,한글 이름\r\n".encode(),
        "id,이름\n1,한글 이름\n".encode("cp949"),
        "id;이름\n1;한글 이름\n".encode(),
        "id\t이름\r\n\r\n1\t한글 이름\r\n\r\n".encode("cp949"),
        'id,이름\r1,"한글 이름"'.encode(),
    ],
    ids=["utf-8", "bom-crlf", "cp949", "semicolon", "cp949-tab-blank-lines", "cr-no-end"],
)
def test_encodings_delimiters_and_line_ends(db: Connection, put: Any, content: bytes) -> None:
    for name, data in (("items.csv", content), ("items.csv.gz", gzip.compress(content))):
        assert import_export.import_table(db, put(data, name), "t").columns == ("id", "이름")
        assert rows(db) == [(1, "한글 이름")]
        db.execute("drop table t")


def test_primary_key(db: Connection, put: Any) -> None:
    key = "select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)"
    path = put("sku,name\nA1,x\nB2,y\n")
    import_export.import_table(db, path, "keyed", key="sku")
    import_export.import_table(db, path, "unkeyed")
    import_export.import_table(db, put("id,n\n1.5,1\n"), "odd")
    assert rows(db, f"{key} where indrelid = 'keyed'::regclass") == [("sku",)]
    assert rows(db, f"{key} where indrelid = 'unkeyed'::regclass") == []
    assert types(db, "odd")["id"] == "text", "an id is bigint or text"


def test_an_existing_table_is_filled_by_column_name(db: Connection, put: Any) -> None:
    db.execute("create schema shop")
    db.execute(
        "create table shop.p (id serial primary key, price numeric(8,2), name text not null, memo text, "
        "at date default '2024-01-01', gross numeric generated always as (price * 1.1) stored)"
    )
    path = put("memo,name,price\n,,1.10\nm,n,\n")
    assert import_export.import_table(db, path, "shop.p") == import_export.ImportResult(
        2, ("memo", "name", "price"), created=False
    )
    import_export.import_table(db, put("name,memo,price\nthird,,\n"), "SHOP.P")
    query = "select id, price, name, memo, at::text from shop.p order by id"
    assert rows(db, query) == [
        (1, Decimal("1.10"), "", None, "2024-01-01"),
        (2, None, "n", "m", "2024-01-01"),
        (3, None, "third", None, "2024-01-01"),
    ]


@pytest.mark.parametrize("name", ['"x""; drop table y; --"', '"Odd Schema"."한글 표"', '"10% off {0} %s"'])
def test_odd_names(db: Connection, put: Any, tmp_path: Path, name: str) -> None:
    db.execute("create table y ()")
    header = 'id,"select","a""b; drop table y",%s,{x}\n'
    path = put(header + "1,2,3,4,5\n")
    assert import_export.import_table(db, path, name).created
    assert rows(db, f"select * from {name}") == [(1, 2, 3, 4, 5)]
    assert "line 2: id '1' is already in the table." in fault(db, path, name)
    assert 'line 2, column a"b; drop table y: invalid input' in fault(db, put(header + "2,2,x,4,5\n"), name)
    for file in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        assert import_export.export_table(db, name, file) == 1
        assert import_export.import_table(db, file, "back").columns == (
            "id",
            "select",
            'a"b; drop table y',
            "%s",
            "{x}",
        )
        assert rows(db, "select * from back") == [(1, 2, 3, 4, 5)]
        db.execute("drop table back")
    assert exists(db, "y")


@pytest.mark.parametrize("name", ["", "a b", "a.b.c", 'x"; drop table y; --', "1a"])
def test_what_is_no_name_is_refused(db: Connection, put: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="name"):
        import_export.import_table(db, put("id\n1\n"), name)
    with pytest.raises(errors.InvalidArgumentError, match="name"):
        import_export.export_table(db, name, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_inside_a_transaction_of_the_caller(db: Connection, put: Any) -> None:
    with db.transaction(force_rollback=True):
        import_export.import_table(db, put("id\n1\n"), "t")
        fault(db, put("id\n1\n"))
        assert rows(db) == [(1,)], "a failed import leaves the caller's transaction usable"
    assert not exists(db, "t")


# ---- faults ----

QUOTED = '1,"two\nlines"\n'  # so that line 4 is not record 4


@pytest.mark.trap(27)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "items.csv: the file is empty."),
        ("\n\n", "items.csv: the file is empty."),
        ("id,,name\n", "items.csv: column 2 has no name."),
        ("id," + "가" * 22 + "\n", "items.csv: the name of column 2 is longer than 63 bytes"),
        ('{"json": "' + "x" * 200_000 + '"}', "items.csv: the name of column 1 is longer than 63 bytes"),
        (f"id,name\n{QUOTED}2\n", "items.csv, line 4: 1 fields where the header has 2."),
        (f"id,name\n{QUOTED}2,b,c\n", "items.csv, line 4: 3 fields where the header has 2."),
        (f'id,name\n{QUOTED}2,"x"y\n', "items.csv, line 4: a quoted field has no closing quote, or text follows"),
        (f'id,name\n{QUOTED}2,"x\n3,y\n', "items.csv, line 4: a quoted field has no closing quote"),
        (f'id,name\n{QUOTED}2,"x\n3,"y"\n', "text follows it (noticed in line 5)."),
        (f"id,name\n{QUOTED}2,a\0b\n", "items.csv, line 4: it has a NUL character"),
        (
            f"id,name\n{QUOTED}2,한글\n3,".encode() + b"\xff\n",
            "items.csv, line 5: it has bytes that are not UTF-8.",
        ),
        (
            "id,name\n1,한글\n2,이름\n3,".encode("cp949") + b"\xff\n",
            "items.csv, line 4: it has bytes that are not CP949",
        ),
        ("id,name\n1,한글".encode()[:-1], "items.csv, line 2: it has bytes that are not UTF-8."),
        (f"id,name\n{QUOTED}2,b\n\n1,c\n", "items.csv, line 6: id '1' is already in line 2."),
        (f"id,name\n{QUOTED}A,b\n\nA,c\n", "items.csv, line 6: id 'A' is already in line 4."),
        (f"id,name\n{QUOTED},b\n", "items.csv, line 4, column id: null value"),
    ],
)
def test_faults_of_a_new_table(db: Connection, put: Any, content: str | bytes, message: str) -> None:
    data = content.encode() if isinstance(content, str) else content
    assert message in fault(db, put(data), "new.t")
    if data:
        assert message in fault(db, put(gzip.compress(data), "items.csv.gz"), "new.t").replace(".csv.gz", ".csv")
    assert not exists(db, "new.t")
    assert rows(db, "select from pg_namespace where nspname = 'new'") == [], "nothing is half imported"


@pytest.mark.trap(27)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,name\n5,x\n", "it lacks the column 'price' of the table t. The file has: id, name"),
        (
            "id,price,naem,x\n5,1,x,\n",
            "the table t has no column 'naem', 'x' to fill. The table has: id, ",
        ),
        ("id,price,name\n2,1,a\n1,1,b\n", "items.csv, line 3: id '1' is already in the table."),
        ('id,price,name\n2,1,"a\n\n"\n3,2,b\n3,2,b\n', "items.csv, line 6: id '3' is already in line 5."),
        ('id,price,name\n2,1,"a\n\n"\n3,abc,b\n', "items.csv, line 5, column price: invalid input syntax for"),
        ('id,price,name\n2,1,"a\n\n"\n3,1000,b\n', "items.csv, line 5, column price: numeric field overflow."),
        ('id,price,name\n2,1,"name:\n\n"\n3,-1,price:\n', 'items.csv, line 5: new row for relation "t" violates check'),
        ("id,price,name,owner\n2,1,a,9\n", 'items.csv: insert or update on table "t" violates foreign key'),
        ("id,price,name,mail\n2,1,b,x\n3,1,b,x\n", "items.csv, line 3: name 'b', mail 'x' is already in line 2."),
    ],
)  # fmt: skip
def test_faults_of_an_existing_table(db: Connection, put: Any, content: str, message: str) -> None:
    db.execute("create table owners (id int primary key)")
    db.execute(
        "create table t (id int primary key, price numeric(5,2) check (price > 0), name text, "
        "owner int default 1 references owners, mail text default gen_random_uuid(), unique (name, mail))"
    )
    db.execute("insert into owners values (1)")
    db.execute("insert into t values (1, 1, 'kept')")
    assert message in fault(db, put(content))
    assert rows(db, "select id, name from t") == [(1, "kept")], "nothing is half imported"


def test_a_key_that_is_no_column(db: Connection, put: Any) -> None:
    assert "items.csv has no column 'sku'" in fault(db, put("id,name\n1,a\n"), key="sku")
    assert not exists(db, "t")


def test_files_that_cannot_be_read(db: Connection, put: Any, tmp_path: Path) -> None:
    assert "No such file" in fault(db, tmp_path / "missing.csv")
    assert "No such file" in fault(db, tmp_path / "missing.parquet")
    assert "directory" in fault(db, tmp_path)
    whole = gzip.compress(b"id,name\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(9999)))
    assert "damaged or incomplete" in fault(db, put(whole[:-2000], "cut.csv.gz"))
    assert "damaged or incomplete" in fault(db, put(b"id\n1\n", "no.csv.gz"))
    assert "not a complete Parquet file" in fault(db, put(b"id\n1\n", "no.parquet"))


def test_a_line_without_end_is_refused(db: Connection, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MAX_FIELD", 1000)
    assert "line 2: the line is longer than 1,000 characters" in fault(db, put("id,name\n1," + "x" * 2000))


def test_errors_in_other_languages() -> None:
    columns = ["name", "price", "e"]
    assert import_export._copy_position('COPY t2, line 3, column price: "name: 1"', "t2", columns) == (3, "price")
    assert import_export._copy_position('COPY t2, 3번째 줄, price 열: "가"', "t2", columns) == (3, "price")
    assert import_export._copy_position("COPY t2, Zeile 3, Spalte price: »1«", "t2", columns) == (3, "price")
    assert import_export._copy_position('COPY t2, line 3: "1,name"', "t2", columns) == (3, None)
    assert import_export._copy_position("PL/pgSQL function t2() line 7 at RAISE", "t2", columns) == (None, None)


# ---- writing ----


def test_csv_keeps_null_and_empty_apart(db: Connection, tmp_path: Path) -> None:
    query = sql.SQL("select * from (values (1, null, '', 'a\"b,\n가'), (2, 't', 'x', null)) v (id, a, b, \"c d\")")
    content = 'id,a,b,c d\n1,,"","a""b,\n가"\n2,t,x,\n'
    assert import_export.export_table(db, query, tmp_path / "out.csv") == 2
    assert (tmp_path / "out.csv").read_bytes() == content.encode()
    assert import_export.export_table(db, query, tmp_path / "out.csv", excel=True) == 2
    assert (tmp_path / "out.csv").read_bytes() == content.encode("utf-8-sig")
    assert import_export.export_table(db, query, tmp_path / "out.csv.gz") == 2
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == content.encode()
    import_export.import_table(db, tmp_path / "out.csv", "t")
    assert rows(db) == [(1, None, None, 'a"b,\n가'), (2, "t", "x", None)]


def test_excel_and_parquet_do_not_go_together(db: Connection, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        import_export.export_table(db, sql.SQL("select 1"), tmp_path / "out.parquet", excel=True)


def test_parquet_keeps_types_null_and_empty(db: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_export, "PARQUET_ROW_GROUP", 1)  # byte: one row a group
    db.execute("set timezone to 'Asia/Seoul'")
    db.execute("set datestyle to 'German'")
    db.execute("""
        create table source (id bigint, small smallint, flag boolean, f real, d double precision, price numeric(8,2),
            plain numeric, name text, day date, local timestamp, exact timestamptz, json jsonb, key uuid, numbers int[],
            bytes bytea)
    """)
    db.execute("""
        insert into source values
        (1, -2, true, 0.1, 1e-300, 12.50, 1e40, '', '2024-02-29', '2024-01-02 03:04:05.678',
         '2024-01-02 03:04:05.678+09', '{"a": 1}', '00000000-0000-0000-0000-000000000001', '{1,2}', 'ab'),
        (2, null, false, 'NaN', '-Infinity', -0.01, null, E'a"b,\\n가\\r\\n', null, null, null, null, null, null, null),
        (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null)
    """)
    path = tmp_path / "out.parquet"
    assert import_export.export_table(db, "source", path) == 3
    schema = pq.read_schema(path)
    assert [str(kind) for kind in schema.types] == [
        "int64", "int16", "bool", "float", "double", "decimal128(8, 2)", "string", "string", "date32[day]",
        "timestamp[us]", "timestamp[us, tz=UTC]", "string", "string", "string", "string",
    ]  # fmt: skip
    assert rows(db, "show datestyle") == [("German, DMY",)], "the session's settings are its own"
    db.execute("reset datestyle")  # psycopg reads no other than ISO
    assert import_export.import_table(db, path, "t").rows == 3
    assert types(db)["price"] == "numeric"
    first, second, third = rows(db)
    assert first[:9] == (
        1,
        -2,
        True,
        pytest.approx(0.1),
        1e-300,
        Decimal("12.50"),
        "1" + "0" * 40,
        "",
        dt.date(2024, 2, 29),
    )
    assert first[9] == dt.datetime(2024, 1, 2, 3, 4, 5, 678_000)
    assert first[10] == dt.datetime(2024, 1, 1, 18, 4, 5, 678_000, tzinfo=dt.UTC)
    assert first[11:] == ('{"a": 1}', "00000000-0000-0000-0000-000000000001", "{1,2}", r"\x6162")
    assert math.isnan(second[3])
    assert second[4:8] == (-math.inf, Decimal("-0.01"), None, 'a"b,\n가\r\n')
    assert third == (3, *[None] * 14)
    assert rows(db, "show timezone") == [("Asia/Seoul",)]


def test_parquet_of_one_column_and_of_no_rows(db: Connection, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    assert import_export.export_table(db, sql.SQL("select * from (values (null), (''), ('x')) v (a)"), path) == 3
    assert pq.read_table(path)["a"].to_pylist() == [None, "", "x"]
    assert import_export.export_table(db, sql.SQL("select 1 as a, 2 as b where false"), path) == 0
    assert pq.read_table(path).schema.names == ["a", "b"]
    with pytest.raises(errors.InvalidArgumentError, match="the same name: a, a"):
        import_export.export_table(db, sql.SQL("select 1 as a, 2 as a"), path)


def test_parquet_written_by_others(db: Connection, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.uint32()),
            "kind": pa.array(["a", None]).dictionary_encode(),
            "big": pa.array([2**64 - 1, None], pa.uint64()),
            "at": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "Asia/Seoul")),
            "raw": pa.array([b"\x00\xff", None]),
            "nothing": pa.nulls(2),
        }
    )
    pq.write_table(table, path)
    import_export.import_table(db, path, "t")
    assert list(types(db).values()) == ["bigint", "text", "numeric", "timestamp with time zone", "bytea", "text"]
    at = dt.datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=dt.UTC)
    assert rows(db) == [(1, "a", Decimal(2**64 - 1), at, b"\x00\xff", None), (2, *[None] * 5)]

    pq.write_table(pa.table({"id": [1], "tags": [["a"]]}), path)
    assert "column 'tags' has the type list" in fault(db, path, "u")
    pq.write_table(pa.table({"id": [1, 2, 1]}), path)
    assert "in.parquet, row 3: id 1 is already in row 1." in fault(db, path, "u")
    pq.write_table(pa.table({"id": [1, 2], "name": ["a", "b\0c"]}), path)
    assert "in.parquet, row 2" in fault(db, path, "u")


def test_without_pyarrow_the_error_names_the_extra(
    db: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    with pytest.raises(errors.MissingExtraError) as caught:
        import_export.export_table(db, sql.SQL("select 1"), tmp_path / "out.parquet")
    assert "pip install '.[arrow]'" in str(caught.value.hint)


def test_an_export_that_fails_leaves_the_old_file_and_no_other(
    db: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_export, "PARQUET_ROW_GROUP", 1)
    for name in ("out.csv", "out.parquet"):
        (tmp_path / name).write_text("old")

        def interrupt(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_export.export_table(
                db, sql.SQL("select generate_series(1, 100000)"), tmp_path / name, progress=interrupt
            )
        with pytest.raises(psycopg.errors.DivisionByZero):
            import_export.export_table(
                db, sql.SQL("select 1 / (9999 - g) from generate_series(1, 100000) g"), tmp_path / name
            )
    never = sql.SQL(
        "select case g when 50 then 'infinity' else '2024-01-01'::date end from generate_series(1, 100000) g"
    )
    with pytest.raises(errors.AisleError, match="Parquet cannot store"):
        import_export.export_table(db, never, tmp_path / "out.parquet")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out.csv": "old", "out.parquet": "old"}
    assert rows(db, "select 1") == [(1,)], "the connection stays usable"


def test_an_export_that_cannot_be_written(db: Connection, tmp_path: Path) -> None:
    with pytest.raises(errors.AisleError, match="No such file or directory"):
        import_export.export_table(db, sql.SQL("select 1"), tmp_path / "missing" / "out.csv")
    with pytest.raises(errors.InvalidArgumentError, match="it is not a file"):
        import_export.export_table(db, sql.SQL("select 1"), tmp_path)


def test_an_export_through_a_link_keeps_the_link(db: Connection, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    import_export.export_table(db, sql.SQL("select 1 as a"), tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "a\n1\n"


def test_progress_never_goes_back_and_ends_at_the_total(db: Connection, put: Any, tmp_path: Path) -> None:
    path = put("id,name\n" + "".join(f"{n},{'x' * 100}\n" for n in range(5000)))
    for source in (path, put(gzip.compress(path.read_bytes()), "items.csv.gz"), tmp_path / "out.parquet"):
        steps: list[tuple[int, int | None]] = []
        import_export.import_table(db, source, "t", progress=lambda *step: steps.append(step))  # noqa: B023
        assert len(steps) > 5
        assert steps == sorted(steps)
        assert len({total for _, total in steps}) == 1
        assert steps[-1][0] == steps[-1][1]
        steps.clear()
        import_export.export_table(db, "t", tmp_path / "out.parquet", progress=lambda *step: steps.append(step))  # noqa: B023
        assert steps == [(0, None), (1000, None), (2000, None), (3000, None), (4000, None)]
        db.execute("drop table t")


# ---- properties ----

# PostgreSQL's text has no NUL and no lone surrogate.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
tables = st.lists(
    st.tuples(texts | st.none(), st.integers(-(2**63), 2**63 - 1) | st.none(), st.floats(allow_nan=False) | st.none(),
              st.booleans() | st.none(), st.datetimes(dt.datetime(1, 1, 1)) | st.none())
)  # fmt: skip
round_trip = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fill(db: Connection, values: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    db.execute("drop table if exists t, back")
    db.execute("create table t (id int primary key, a text, b bigint, c double precision, d boolean, e timestamp)")
    with db.cursor() as cursor, cursor.copy("copy t from stdin") as copy:
        for number, row in enumerate(values):
            copy.write_row((number, *row))
    db.execute("create table back (like t)")
    return rows(db)


@round_trip
@given(values=tables)
def test_csv_gives_back_what_was_exported(
    db: Connection, tmp_path_factory: pytest.TempPathFactory, values: Any
) -> None:
    expected = fill(db, values)
    path = tmp_path_factory.getbasetemp() / "round.csv"
    assert import_export.export_table(db, "t", path, excel=len(values) % 2 == 0) == len(values)
    assert import_export.import_table(db, path, "back").rows == len(values)
    # The empty string comes back as NULL, everything else as it was.
    assert rows(db, "select * from back order by id") == [(n, a or None, *rest) for n, a, *rest in expected]


@round_trip
@given(values=tables)
def test_parquet_gives_back_what_was_exported(
    db: Connection, tmp_path_factory: pytest.TempPathFactory, values: Any
) -> None:
    expected = fill(db, values)
    path = tmp_path_factory.getbasetemp() / "round.parquet"
    assert import_export.export_table(db, "t", path) == len(values)
    assert import_export.import_table(db, path, "back").rows == len(values)
    assert rows(db, "select * from back order by id") == expected


# Whatever looks like a number or a time in one way or another; a file of a million rows surely has one more.
lookalikes = (
    st.text("0123456789+-.:eETZ ", max_size=25)
    | st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
    | st.from_regex(
        r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9](:[0-6][0-9](\.[0-9]{1,7})?)?)?", fullmatch=True
    )
    | st.datetimes(timezones=st.timezones()).map(str)
    | st.sampled_from(["true", "False", "t", "NaN", "Infinity", "0000-00-00", "2024-01-02T03:04:05+15:59"])
)


@round_trip
@given(values=st.lists(lookalikes, min_size=1, max_size=3))
def test_postgres_takes_every_value_of_a_type_that_was_guessed(db: Connection, put: Any, values: list[str]) -> None:
    db.execute("drop table if exists t")
    import_export.import_table(db, put("n,value\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values))), "t")
    if types(db)["value"] == "text":
        assert rows(db) == [(n, value or None) for n, value in enumerate(values)]


# ---- size ----

MEASURE = """
import resource, sys
from aisle.db import connect
from aisle.files import import_export
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
url, source, target = sys.argv[1:]
with connect(url) as connection:
    import_export.import_table(connection, source, "warm_up")
    before = peak()
    for number in range(1, 4):
        import_export.import_table(connection, target.replace(".out", ".in"), f"t{number}")
        import_export.export_table(connection, f"t{number}", target)
print(peak() - before)
"""


def test_memory_is_flat(database_url: str, tmp_path: Path) -> None:
    line = '{0},"옴니, 브리즈 아기띠 {0}",브랜드,식품 > 유아식 > 분유,' + "x" * 400 + "\n"
    header = "id,name,manufacturer,category,text\n"
    (tmp_path / "small.csv").write_text(header + line.format(1))
    with (tmp_path / "big.in").open("w", encoding="utf-8") as file:
        file.write(header)
        file.writelines(line.format(number) for number in range(60_000))
    size = (tmp_path / "big.in").stat().st_size
    assert size > 25_000_000
    command = [sys.executable, "-c", MEASURE, database_url, str(tmp_path / "small.csv"), str(tmp_path / "big.out")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < size / 2, f"memory grew by {grown:,} bytes over a file of {size:,}"
