"""The same file again next week: `--update` brings it in, and without it nothing is doubled by mistake."""

from pathlib import Path
from typing import Any

import pytest

from aisle import db
from aisle.db import errors, locks
from aisle.files import import_export, upsert
from aisle.files.table_files import Reading
from tests.imports import fault, rows, types


@pytest.fixture
def target(connection: db.Connection) -> db.Connection:
    return connection


def update(target: db.Connection, path: Path, table: str = "t", key: str | None = None) -> upsert.Changes | None:
    return import_export.import_table(target, path, table, key=key, update=True).changes


def refused(target: db.Connection, path: Path, **options: Any) -> str:
    """Import what must not be tried; return message and hint."""
    with pytest.raises(errors.InvalidArgumentError) as caught:
        import_export.import_table(target, path, "t", **options)
    assert caught.value.hint
    return f"{caught.value} {caught.value.hint}"


def test_a_key_counts_only_for_a_table_that_is_created(target: db.Connection, put: Any) -> None:
    path = put("Row ID,name\n1,tea\n2,bread\n")
    import_export.import_table(target, path, "t")
    said = refused(target, path, key="Row ID")
    assert "--key alone sets the key of a new table only" in said
    assert "--update" in said
    assert len(rows(target)) == 2, "nothing was added"
    target.execute('alter table t add primary key ("Row ID")')
    assert "already in the table. To change existing rows: --update" in fault(target, path, key="Row ID")
    assert import_export.import_table(target, put("Row ID,name\n3,milk\n"), "t", key="Row ID").rows == 1


def test_the_same_file_again_changes_nothing(target: db.Connection, put: Any) -> None:
    path = put("id,name,price\n1,tea,100\n2,bread,\n")
    assert update(target, path) is None, "the first time, it makes the table"
    before = target.execute("select xmin::text, ctid::text, t from t order by id").fetchall()
    assert update(target, path) == upsert.Changes(added=0, changed=0, equal=2)
    assert target.execute("select xmin::text, ctid::text, t from t order by id").fetchall() == before


def test_new_rows_are_added_and_old_ones_changed(target: db.Connection, put: Any) -> None:
    import_export.import_table(target, put("id,name,price\n1,tea,100\n2,bread,200\n3,milk,300\n"), "t")
    changes = update(target, put("price,id,name\n100,1,tea\n250,2,bread\n,3,oat milk\n400,4,rice\n"))
    assert changes == upsert.Changes(added=1, changed=2, equal=1)
    assert rows(target) == [(1, "tea", 100), (2, "bread", 250), (3, "oat milk", None), (4, "rice", 400)]


def test_columns_that_the_file_lacks_stay(target: db.Connection, put: Any) -> None:
    target.execute("create table t (id int primary key, name text not null, price int, at int default 7)")
    target.execute("insert into t values (1, 'tea', 100, 1), (2, 'bread', 200, 2)")
    assert update(target, put("id,price\n2,250\n1,100\n")) == upsert.Changes(0, 1, 1)
    assert rows(target) == [(1, "tea", 100, 1), (2, "bread", 250, 2)]
    assert "a new row needs a 'name'" in fault(target, put("id,price\n3,1\n"), update=True)
    assert update(target, put("id,name\n3,milk\n1,\n")) == upsert.Changes(1, 1, 0), (
        "an empty name, as in a filled table"
    )
    assert rows(target) == [(1, "", 100, 1), (2, "bread", 250, 2), (3, "milk", None, 7)]


def test_a_unique_column_can_be_the_key(target: db.Connection, put: Any) -> None:
    target.execute("create table t (id int generated always as identity primary key, sku text unique, name text)")
    target.execute("insert into t (sku, name) values ('a', 'tea'), ('b', 'bread')")
    assert update(target, put("sku,name\nb,rye\nc,milk\n"), key="sku") == upsert.Changes(1, 1, 0)
    assert rows(target) == [(1, "a", "tea"), (2, "b", "rye"), (3, "c", "milk")]
    assert update(target, put("id,sku,name\n1,a,green tea\n9,d,rice\n")) == upsert.Changes(1, 1, 0)
    assert "'name' is no key of t" in refused(target, put("sku,name\nb,x\n"), key="name", update=True)
    assert "has no column 'id', which is the key" in fault(target, put("sku,name\nb,x\n"), update=True)


def test_a_key_of_two_columns(target: db.Connection, put: Any) -> None:
    target.execute("create table t (shop int, id int, name text, primary key (id, shop))")
    target.execute("insert into t values (1, 1, 'tea'), (2, 1, 'bread')")
    assert update(target, put("shop,id,name\n2,1,rye\n2,2,milk\n")) == upsert.Changes(1, 1, 0)
    assert rows(target, "select * from t order by 1, 2") == [(1, 1, "tea"), (2, 1, "rye"), (2, 2, "milk")]
    assert "line 4: id '1', shop '2' is already in line 2." in fault(
        target, put("shop,id,name\n2,1,a\n1,1,b\n2,1,c\n"), update=True
    )


def test_types_that_have_no_equality(target: db.Connection, put: Any) -> None:
    target.execute("create table t (id int primary key, doc json, at point, price numeric)")
    target.execute("""insert into t values (1, '{"a": 1}', '(1,2)', 1.5), (2, null, null, null)""")
    path = put('id,doc,at,price\n1,"{""a"": 1}","(1,2)",1.5\n2,"[]",,\n')
    assert update(target, path) == upsert.Changes(0, 1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,name\n2,x\n3,y\n2,z\n", "line 4: id '2' is already in line 2."),
        ('id,name\n2,"x\ny"\n,y\n', "line 4: the key id is empty."),
        ("id,name\n2,x\nabc,y\n", "line 3, column id: invalid input syntax for type integer"),
        ("id,name\n2,x\n1,bad\n", 'new row for relation "t" violates check constraint'),
        ("id,nome\n2,x\n", "the table t has no column 'nome'"),
    ],
)
def test_an_update_is_all_or_nothing(target: db.Connection, put: Any, content: str, message: str) -> None:
    target.execute("create table t (id int primary key, name text check (name <> 'bad'))")
    target.execute("insert into t values (1, 'kept')")
    assert message in fault(target, put(content), update=True)
    assert rows(target) == [(1, "kept")]
    assert update(target, put("id,name\n1,new\n")) == upsert.Changes(0, 1, 0), "no temporary table is in the way"


def test_an_update_needs_a_key(target: db.Connection, put: Any) -> None:
    path = put("sku,name\na,tea\n")
    assert "--key COLUMN" in refused(target, path, update=True)
    import_export.import_table(target, path, "t")
    assert "alter table t add primary key" in refused(target, path, update=True)
    target.execute("drop table t")
    assert update(target, path, key="sku") is None
    assert update(target, put("sku,name\na,coffee\n"), key="sku") == upsert.Changes(0, 1, 0)
    assert types(target) == {"sku": "text", "name": "text"}


def test_an_update_inside_a_transaction_of_the_caller(target: db.Connection, put: Any) -> None:
    target.execute('create schema "Odd"')
    target.execute('create table "Odd"."t t" (id int primary key, "a %s" text)')
    with target.transaction():
        for name in ("x", "y"):
            update(target, put(f"id,a %s\n1,{name}\n"), '"Odd"."t t"')
    assert rows(target, 'select * from "Odd"."t t"') == [(1, "y")]


def test_only_what_differs_fires_the_shops_triggers(target: db.Connection, put: Any) -> None:
    import_export.import_table(target, put("id,name\n1,tea\n2,bread\n"), "t")
    target.execute("create table seen (id int)")
    target.execute(
        "create function note() returns trigger language plpgsql as "
        "$$ begin insert into seen values (new.id); return new; end $$"
    )
    target.execute("create trigger note before insert or update on t for each row execute function note()")
    update(target, put("id,name\n1,tea\n2,rye\n3,milk\n"))
    assert rows(target, "select id from seen order by id") == [(2,), (3,)]


def test_an_update_gives_way_to_the_shop(
    target: db.Connection, put: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 0.05)
    path = put("id,name\n1,green tea\n2,rye\n")
    target.execute("create table t (id int primary key, name text)")
    target.execute("insert into t values (1, 'tea'), (2, 'bread')")
    with db.connect(database_url) as shop:
        shop.execute("reset search_path")
        shop.execute("begin; update t set name = 'toast' where id = 2")
        with monkeypatch.context() as patch:
            patch.setattr(locks, "PATIENCE", 0)
            with pytest.raises(errors.BusyError):
                update(target, path)
        assert rows(target) == [(1, "tea"), (2, "bread")]

        def meanwhile(_seconds: float) -> None:
            shop.execute("update t set name = 'black tea' where id = 1; commit")  # in a deadlock, one would fail

        monkeypatch.setattr(locks.time, "sleep", meanwhile)
        assert update(target, path) == upsert.Changes(0, 2, 0)
    assert rows(target) == [(1, "green tea"), (2, "rye")]


def test_names_are_those_after_renaming(target: db.Connection, put: Any) -> None:
    import_export.import_table(target, put("id,name\n1,tea\n"), "t")
    result = import_export.import_table(
        target, put("번호,이름\n1,차\n"), "t", update=True, reading=Reading(rename=("번호=id", "2=name"))
    )
    assert result.changes == upsert.Changes(0, 1, 0)
