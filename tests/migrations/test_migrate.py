"""Up, down, several at once, and offline: always the same schema, and nothing left behind."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from aisle import db, migrations
from aisle.db import errors, model_registry
from aisle.migrations import objects
from aisle.trainers.run import only_trainer
from tests.conftest import Server, Shop, load_tiny_model

# Everything that a migration can make, as the server describes it.
CATALOGUE = {
    "schemas": "select nspname, nspacl::text from pg_namespace where nspname !~ '^pg_'",
    "functions": """
        select p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text, obj_description(p.oid, 'pg_proc')
        from pg_proc p join pg_language l on l.oid = p.prolang where l.lanname in ('sql', 'plpgsql')
        and p.pronamespace <> 'pg_catalog'::regnamespace and p.pronamespace <> 'information_schema'::regnamespace""",
    "relations": """
        select c.oid::regclass::text, c.relkind::text, c.reloptions, c.relacl::text, obj_description(c.oid, 'pg_class'),
               case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) when c.relkind in ('i', 'I')
               then pg_get_indexdef(c.oid) when c.relkind = 'p' then pg_get_partkeydef(c.oid) end
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname !~ '^(pg_|information_schema)'""",
    "columns": """
        select a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
               a.attidentity, pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation::text
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attnum > 0 and n.nspname !~ '^(pg_|information_schema)'""",
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint where conrelid <> 0
        and conrelid::regclass::text !~ '^(pg_|information_schema)'""",
    "triggers": """
        select tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled
        from pg_trigger where not tgisinternal""",
}


Catalogue = dict[str, Counter[Any]]


def catalogue(url: str) -> Catalogue:
    with psycopg.connect(url) as connection:
        connection.execute("set search_path = pg_catalog")
        return {
            kind: Counter(str(row) for row in connection.execute(query).fetchall()) for kind, query in CATALOGUE.items()
        }


@pytest.fixture
def vector_url(empty_url: str) -> str:
    """A database that has pgvector and nothing else."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("create extension vector")
    return empty_url


@pytest.fixture
def migrated_at_once(server: Server) -> Catalogue:
    """What one migration makes of an empty database, pgvector included."""
    with server.database() as url:
        migrations.migrate(url)
        return catalogue(url)


def test_up_down_and_up_again(vector_url: str) -> None:
    empty = catalogue(vector_url)
    migrations.migrate(vector_url)
    full = catalogue(vector_url)
    assert full != empty
    migrations.migrate(vector_url, "base")
    assert catalogue(vector_url) == empty, "`aisle migrate --to base` must leave nothing of ours."
    migrations.migrate(vector_url)
    assert catalogue(vector_url) == full


def test_down_with_data_and_an_attached_table(vector_url: str) -> None:
    with db.connect(vector_url) as connection:
        shop = Shop(connection)
        shop.create()
        before = catalogue(vector_url)
        migrations.migrate(vector_url)
        load_tiny_model(connection)
        load_tiny_model(connection, dimensions=3)
        shop.attach()
        shop.insert("tea", "커피")
        migrations.migrate(vector_url, "base")
        assert catalogue(vector_url) == before
        shop.execute("update shop.products set name = 'x'")
        assert shop.value("select count(*) from shop.products") == 2


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = catalogue(database_url)
    migrations.migrate(database_url)
    assert catalogue(database_url) == before


def test_migrating_keeps_grants_data_and_an_attached_table(database_url: str, shop: Shop) -> None:
    load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    migrations.migrate(database_url)
    shop.insert("tea")
    assert shop.jobs() == {"1": 1}


def test_base_of_a_database_that_was_never_migrated(vector_url: str) -> None:
    before = catalogue(vector_url)
    migrations.migrate(vector_url, "base")
    assert catalogue(vector_url) == before


def test_an_unknown_revision(empty_url: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="no revision '9999'") as caught:
        migrations.migrate(empty_url, "9999")
    assert "0001" in str(caught.value.hint)


def test_to_a_revision_by_name(empty_url: str) -> None:
    migrations.migrate(empty_url, "0001")
    with db.connect(empty_url) as connection:
        assert migrations.current(connection) == "0001"


def test_current_follows_the_database(empty_url: str) -> None:
    with db.connect(empty_url) as connection:
        assert migrations.current(connection) is None
        migrations.migrate(empty_url)
        assert migrations.current(connection) == migrations.head()
        migrations.migrate(empty_url, "base")
        assert migrations.current(connection) is None


def test_four_processes_at_once(empty_url: str, migrated_at_once: Catalogue) -> None:
    program = f"from aisle import migrations; migrations.migrate({empty_url!r})"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=os.sep)
        for _ in range(4)
    ]
    failures = [errors for process in processes if (errors := process.communicate(timeout=60)[1]) or process.returncode]
    assert failures == [], "Concurrent migrations must wait for one another."
    assert catalogue(empty_url) == migrated_at_once


def test_no_migration_during_a_training_run(database_url: str) -> None:
    with (
        db.connect(database_url, application_name="aisle train basket") as other,
        only_trainer(other, "basket"),
    ):
        migrations.migrate(database_url)  # there is nothing to do
        process = r"server process [0-9]+, aisle train basket, since"
        with pytest.raises(errors.BusyError, match=process):
            migrations.migrate(database_url, "base")
        assert migrations.current(other) == migrations.head()


def test_a_migration_gives_way_to_a_long_query(
    database_url: str, connection: db.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_registry, "PATIENCE", 0)
    before = catalogue(database_url)
    with db.connect(database_url, application_name="report") as other, other.transaction():
        other.execute("select count(*) from aisle.item_vectors")
        with pytest.raises(errors.BusyError, match=rf"in use \(server process {other.info.backend_pid}, report, since"):
            migrations.migrate(database_url, "base")
    assert catalogue(database_url) == before


def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of luck")

    before = catalogue(empty_url)
    monkeypatch.setattr(objects, "upgrade_objects", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        migrations.migrate(empty_url)
    assert catalogue(empty_url) == before


def test_offline_sql_makes_the_same_schema(empty_url: str, migrated_at_once: Catalogue) -> None:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(migrations.migration_sql())  # type: ignore[call-overload]
        assert migrations.current(connection) == migrations.head()
    assert catalogue(empty_url) == migrated_at_once


def test_offline_sql_runs_in_psql(empty_url: str, migrated_at_once: Catalogue, server: Server, tmp_path: Path) -> None:
    script = tmp_path / "aisle.sql"
    script.write_text(migrations.migration_sql(), encoding="utf-8")
    command: list[str | Path] = [
        server.program("psql"),
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--file={script}",
        empty_url,
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert catalogue(empty_url) == migrated_at_once


def test_the_revisions_lead_to_what_sql_says(vector_url: str, database_url: str) -> None:
    with psycopg.connect(vector_url, autocommit=True) as connection:
        connection.execute("create schema aisle; set search_path = pg_catalog, pg_temp")
        for text in (db.read("tables"), *objects.newest().values(), "select aisle._secure()"):
            connection.execute(text.replace(objects.VECTOR_SCHEMA, "public").encode())
    migrated = catalogue(database_url)
    ours = {
        kind: Counter({row: n for row, n in rows.items() if "alembic_version" not in row})
        for kind, rows in migrated.items()
    }
    assert catalogue(vector_url) == ours, "sql/tables.sql is not what the newest revision makes."


def test_percent_signs_and_slices_survive(empty_url: str) -> None:
    body = "select '%s %(x)s %% :name \\d 한글' || (array['a', 'b', 'c'])[1:2]::text"
    text = f"create or replace function public.nasty() returns text language sql as $function$ {body} $function$"
    with engine(empty_url).connect() as connection:
        objects.run(Operations(MigrationContext.configure(connection)), text)
        stored = connection.exec_driver_sql("select prosrc from pg_proc where proname = 'nasty'").scalar()
        answer = connection.exec_driver_sql("select public.nasty()").scalar()
    assert stored == f" {body} "
    assert answer == "%s %(x)s %% :name \\d 한글{a,b}"


@pytest.fixture
def shop_metadata(shop: Shop) -> sqlalchemy.MetaData:
    """What a shop declares of its attached table; it has forgotten to declare another."""
    load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    shop.execute("create table public.forgotten (id int)")
    metadata = sqlalchemy.MetaData()
    sqlalchemy.Table(
        "products",
        metadata,
        sqlalchemy.Column("id", sqlalchemy.BigInteger, primary_key=True),
        *(sqlalchemy.Column(name, sqlalchemy.Text) for name in ("name", "maker", "category", "specs")),
        sqlalchemy.Column("price", sqlalchemy.Integer),
        schema="shop",
    )
    return metadata


@pytest.mark.parametrize("hook", ["include_object", "include_name"])
@pytest.mark.filterwarnings("ignore:Did not recognize type 'vector'", "ignore:Did not recognize type 'halfvec'")
def test_the_shops_autogenerate_leaves_us_alone(
    database_url: str, shop_metadata: sqlalchemy.MetaData, hook: str
) -> None:
    with engine(database_url).connect() as connection:
        options = {"include_schemas": True, "compare_type": True, hook: getattr(migrations, hook)}
        context = MigrationContext.configure(connection, opts=options)
        differences = [(change[0], change[1].name) for change in compare_metadata(context, shop_metadata)]
    assert differences == [("remove_table", "forgotten")], "Only the shop's own tables are the shop's business."


def engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sqlalchemy.NullPool)
