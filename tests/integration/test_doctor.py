"""`aisle doctor`: each thing that can be wrong is made wrong, found, and gone once its remedy was followed."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from aisle import db, migrations
from aisle.cli import aisle
from aisle.db import Connection, doctor, embedded, errors, grants
from aisle.db.doctor import Finding
from aisle.trainers import indexes
from tests.conftest import Server, Shop, TinyModel, load_tiny_basket, load_tiny_recommender

ITEMS = 12_000  # enough for an index


@pytest.fixture
def healthy(shop: Shop, tiny_model: TinyModel) -> Shop:
    """A shop with items, visits and orders attached, at which nothing is wrong."""
    shop.create()
    shop.execute(
        'create table shop.visits ("Who" text, item bigint, at timestamptz);'
        "create table shop.orders (id bigint primary key, who text, at timestamptz);"
        "create table shop.lines (order_id bigint, item bigint)"
    )
    shop.attach()
    shop.execute(
        "select aisle.attach_interactions('shop.visits', 'Who', 'item', 'at');"
        "select aisle.attach_orders('shop.orders', 'id', 'item', 'who', 'at', lines => 'shop.lines',"
        " line_order_id => 'order_id')"
    )
    shop.execute("insert into shop.products (id, name) values (41, 'tea'), (42, '커피')")
    load_tiny_recommender(shop.connection, {41: (None, (1, 0), (0, 1)), 42: (None, (0, 1), (1, 0))})
    load_tiny_basket(shop.connection, {"41": (1, 0)}, {"bob": ((1, 0), ["41"])})
    shop.forget_jobs()
    return shop


@pytest.fixture
def findings(database_url: str) -> Callable[[], list[Finding]]:
    return lambda: doctor.examine(database_url, migrations.head())


def problems(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.remedy is not None]


Findings = Callable[[], list[Finding]]


def problem(findings: Findings) -> Finding:
    """Return the only thing that is wrong."""
    (found,) = problems(findings())
    return found


def test_a_healthy_database(healthy: Shop, findings: Findings) -> None:
    found = findings()
    assert problems(found) == []
    assert {f.check for f in found} == {
        "server", "pgvector", "schema", "rights", "items", "interactions", "orders", "model", "hnsw", "queue", "disk",
        "clock", "notify",
    }  # fmt: skip


def test_the_command_is_for_monitoring(healthy: Shop, database_url: str) -> None:
    arguments = ["--database-url", database_url, "doctor", "--json"]
    outcome = CliRunner().invoke(aisle, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert {finding["verdict"] for finding in json.loads(outcome.stdout)} == {"ok"}
    healthy.execute("alter table shop.products disable trigger aisle_500_insert")
    outcome = CliRunner().invoke(aisle, arguments)
    assert outcome.exit_code == 1
    (wrong,) = (finding for finding in json.loads(outcome.stdout) if finding["verdict"] == "PROBLEM")
    assert wrong["remedy"].startswith("alter table shop.products enable")


def test_the_extension_is_missing(empty_url: str, healthy: Shop, findings: Findings) -> None:
    (found,) = problems(doctor.examine(empty_url, migrations.head()))
    assert (found.check, found.remedy) == ("pgvector", "aisle migrate")
    healthy.execute("drop extension vector cascade")
    assert problem(findings).check == "pgvector", "What has nothing to stand on is not looked at."


def test_the_server_cannot_be_reached() -> None:
    (found,) = doctor.examine("postgresql://ann@127.0.0.1:1/shop", "0001")
    assert found.check == "server"
    assert "--database-url" in str(found.remedy)


def test_the_schema_is_missing_or_of_another_version(empty_url: str, healthy: Shop, database_url: str) -> None:
    with db.connect(empty_url) as connection:
        connection.execute("create extension vector")
    (found,) = problems(doctor.examine(empty_url, migrations.head()))
    assert (found.check, found.found, found.remedy) == ("schema", "missing", "aisle migrate")
    (found,) = problems(doctor.examine(database_url, "9999"))
    assert found.found == f"revision {migrations.head()}; this program needs 9999"


@pytest.mark.parametrize(
    ("harm", "check", "words"),
    [
        ("drop trigger aisle_500_update on shop.products", "items", "aisle_500_update"),
        ("drop trigger aisle_500_watch_orders_1_insert on shop.orders", "orders", "shop.orders lacks"),
        ("drop trigger aisle_500_watch_orders_2_delete on shop.lines", "orders", "shop.lines lacks"),
        ("drop table shop.products cascade", "items", "shop.products is gone"),
        ("drop view aisle._interactions", "interactions", "is missing"),
        ("alter table shop.products rename id to number", "items", "has the column id"),
        ("alter table shop.orders rename who to customer", "orders", "has the column who"),
        ("create table shop.books (isbn text) inherits (shop.products)", "items", "no trigger sees: shop.books"),
        ("create table shop.returns () inherits (shop.lines)", "orders", "no trigger sees: shop.returns"),
    ],
)  # fmt: skip
def test_an_attachment_that_is_broken(healthy: Shop, findings: Findings, harm: str, check: str, words: str) -> None:
    healthy.execute(harm)
    found = problem(findings)
    assert found.check == check
    assert words in found.found
    step = "detach" if "drop table" in harm or "inherits" in harm else "resume"
    assert str(found.remedy).startswith(f"aisle {step} {check}")
    healthy.execute(f"select aisle.{step}(%s)", [check])
    assert problems(findings()) == []


@pytest.mark.parametrize(
    "change",
    [
        "alter table shop.products rename name to title",
        "alter table shop.products add title text; alter table shop.products rename name to old;"
        "alter table shop.products rename title to name",
    ],
)
def test_a_renamed_column_that_triggers_name(healthy: Shop, findings: Findings, change: str) -> None:
    healthy.execute(change)
    assert problem(findings).found == "shop.products has another column under the name name, or none"
    healthy.execute("select aisle.resume('items')")
    assert problems(findings()) == []


def test_a_renamed_column_that_views_follow_is_no_harm(healthy: Shop, findings: Findings) -> None:
    healthy.execute('alter table shop.visits rename "Who" to who')
    assert problems(findings()) == []
    healthy.execute("insert into shop.visits (who, item, at) values ('ann', 41, now())")
    assert healthy.value("select item_id from aisle.recommend('ann')") == "42", "Of the two, ann has seen one."


@pytest.mark.parametrize(
    "harm",
    [
        "alter table shop.products disable trigger aisle_500_insert",
        "alter table shop.products disable trigger all",
        "alter table shop.products enable trigger aisle_500_row",
        "alter table shop.lines disable trigger aisle_500_watch_orders_2_insert",
    ],
)
def test_a_trigger_that_is_switched_off(healthy: Shop, findings: Findings, harm: str) -> None:
    healthy.execute(harm)
    found = problem(findings)
    assert "has disabled triggers" in found.found
    healthy.execute(str(found.remedy).partition(" Then: ")[0])
    assert problems(findings()) == [], "The remedy heals it."


def test_a_partitioned_table_has_other_triggers(shop: Shop, findings: Findings) -> None:
    shop.create(tail="partition by range (id)")
    shop.attach()
    assert [f for f in findings() if f.check == "items"] == [Finding("items", "shop.products")]


def test_a_materialized_view_has_no_triggers(shop: Shop, findings: Findings) -> None:
    shop.create()
    shop.execute("create materialized view shop.shown as table shop.products")
    shop.attach("shop.shown")
    (items,) = (f for f in findings() if f.check == "items")
    assert items.remedy is None
    assert "workers compare" in items.found


def test_the_tables_below_a_view_have_triggers(shop: Shop, findings: Findings) -> None:
    shop.create()
    shop.execute("create view shop.shown as table shop.products")
    shop.attach("shop.shown")
    assert [f for f in findings() if f.check == "items"] == [
        Finding("items", "shop.shown"),
        Finding("items", "shop.products"),
    ]
    shop.execute("drop trigger aisle_500_watch_items_1_insert on shop.products")
    (found,) = (f for f in problems(findings()) if f.check == "items")
    assert found.found == "shop.products lacks triggers: aisle_500_watch_items_1_insert"


def test_nothing_is_attached_and_no_model_is_live(connection: Connection, findings: Findings) -> None:
    assert [(f.check, f.remedy and f.remedy.split(" SCHEMA")[0]) for f in problems(findings())] == [
        ("items", "aisle attach items"),
        ("model", "aisle train category"),
    ]


def test_a_model_that_failed(healthy: Shop, findings: Findings) -> None:
    healthy.execute("insert into aisle._models (task, state, dimensions) values ('basket', 'failed', 2)")
    found = problem(findings)
    assert "failed to train" in found.found
    assert found.remedy == "aisle prune"


def test_an_index_of_the_shops_is_missing(healthy: Shop, findings: Findings) -> None:
    for table, row in (
        ("visits", "i::text, 41 + i % 2, now()"),
        ("orders", "i, i::text, now()"),
        ("lines", "i, 41 + i % 2"),
    ):
        healthy.execute(f"alter table shop.{table} disable trigger user")
        healthy.execute(f"insert into shop.{table} select {row} from generate_series(1, 250000) i")
        healthy.execute(f"alter table shop.{table} enable trigger user")
    found = problems(findings())
    assert [f.check for f in found] == ["shop's index"] * 4
    for finding in found:
        healthy.execute(str(finding.remedy))
    assert problems(findings()) == []


@pytest.fixture
def large(healthy: Shop, tiny_model: TinyModel) -> Shop:
    """As many items as are worth an index."""
    healthy.execute(
        "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft) "
        "select %s, 'i' || i, array[1, i]::public.vector, '', false from generate_series(1, %s) i",
        [tiny_model.model_id, ITEMS],
    )
    healthy.execute("analyze aisle.item_vectors")
    return healthy


def test_an_hnsw_index_is_missing_invalid_or_not_used(
    large: Shop, tiny_model: TinyModel, findings: Findings, database_url: str
) -> None:
    partition = f"item_vectors_{tiny_model.model_id}"
    assert problem(findings).found == f"aisle.{partition} has no HNSW index on embedding"
    indexes.create_index(large.connection, partition, 2, "halfvec_cosine_ops")
    assert problems(findings()) == []
    assert f"plans use {partition}_embedding" in [f.found for f in findings()]

    database = large.connection.info.dbname
    large.execute(f"alter database {database} set enable_indexscan = off")
    assert problem(findings).found == f"plans do not use {partition}_embedding"
    large.execute(f"alter database {database} reset enable_indexscan")

    large.execute(
        "update pg_index set indisvalid = false where indexrelid = %s::regclass", [f"aisle.{partition}_embedding"]
    )
    assert [f.found for f in problems(findings())] == [
        f"{partition}_embedding is invalid", f"aisle.{partition} has no HNSW index on embedding"
    ]  # fmt: skip


def test_an_hnsw_setting_that_ends_searches_early(healthy: Shop, findings: Findings) -> None:
    healthy.execute(f"alter database {healthy.connection.info.dbname} set hnsw.max_scan_tuples = 100")
    found = problem(findings)
    assert "max_scan_tuples 100" in found.found
    healthy.execute(str(found.remedy).partition(";")[0])
    assert problems(findings()) == []


def test_rows_that_wait_and_rows_that_were_given_up(healthy: Shop, findings: Findings, database_url: str) -> None:
    healthy.insert("tea")
    assert problems(findings()) == [], "A row that has just come is none."
    healthy.execute("update aisle._changes set changed_at = now() - interval '1 hour'")
    waiting = problems(findings())
    assert len(waiting) == 2, "One for each task."
    for found in waiting:
        assert found.check == "warning"
        assert found.found.startswith("1 rows wait, the oldest for 01:00:0")
        assert "aisle worker" in str(found.remedy)
    healthy.collect()
    healthy.execute("update aisle._embedding_jobs set is_dead = true")
    found = problem(findings)
    assert (found.check, found.found) == ("failures", "the worker gave up 2 rows")


def test_a_pgvector_that_is_known_to_be_bad(healthy: Shop, findings: Findings) -> None:
    healthy.execute("set allow_system_table_mods = on")
    healthy.execute("update pg_extension set extversion = '0.8.2' where extname = 'vector'")
    found = problem(findings)
    assert found.found.startswith("pgvector is 0.8.2")
    assert "alter extension vector update" in str(found.remedy)


def test_a_transaction_that_stays_open(
    healthy: Shop, findings: Findings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url, application_name="a report") as report:
        report.execute("set transaction isolation level repeatable read")
        report.execute("select 1 from pg_class")
        assert problems(findings()) == []
        hour = healthy.value("select now() + interval '1 hour'")
        database = healthy.connection.info.dbname
        healthy.execute(f"alter database {database} set aisle.now = '{hour}'")
        found = problem(findings)
        assert "a report has been open for" in found.found
        assert f"pg_terminate_backend({report.info.backend_pid})" in str(found.remedy)


def test_a_replication_slot_that_nobody_uses(healthy: Shop, findings: Findings, server: Server) -> None:
    name = f"slot_of_{healthy.connection.info.dbname}"
    healthy.execute("select pg_create_physical_replication_slot(%s, true)", [name])
    try:
        found = problem(findings)
        assert name in found.found
        assert f"pg_drop_replication_slot('{name}')" in str(found.remedy)
    finally:
        healthy.execute("select pg_drop_replication_slot(%s)", [name])


@pytest.fixture
def two_phase() -> Iterator[str]:
    """A migrated database of a server that allows prepared transactions."""
    server = Server(Path(tempfile.mkdtemp(prefix="aisle-")).resolve(), itertools.count(1))
    try:
        with server.environment():
            embedded.start()
            server.execute("alter system set max_prepared_transactions = 2")
            embedded.stop()
            url = embedded.start()
        migrations.migrate(url)
        yield url
    finally:
        with server.environment():
            embedded.stop()
        shutil.rmtree(server.home)


def test_a_prepared_transaction_that_was_forgotten(two_phase: str) -> None:
    def vacuum() -> list[Finding]:
        return [f for f in doctor.examine(two_phase, migrations.head()) if f.check == "vacuum"]

    with db.connect(two_phase) as connection:
        connection.execute("begin; create table public.forgotten (); prepare transaction 'a''b'")
        assert vacuum() == []
        hour = db.fetch_value(connection, "select now() + interval '1 hour'")
        connection.execute(f"alter database {connection.info.dbname} set aisle.now = '{hour}'".encode())
        (found,) = vacuum()
        assert found.found.startswith("prepared transaction 'a''b' has waited for 01:00:0")
        connection.execute(str(found.remedy).partition("or: ")[2].encode())
        assert vacuum() == []


def test_too_little_disk_for_another_generation(
    healthy: Shop, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = healthy.value("select pg_total_relation_size('aisle.item_vectors_1')")
    real = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: real._replace(free=size))
    found = problem(findings)
    assert found.check == "disk"
    assert "are free" in found.found


def test_a_disk_that_is_not_of_this_machine(healthy: Shop, findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    read = doctor.Path.read_text
    monkeypatch.setattr(
        doctor.Path,
        "read_text",
        lambda path, **options: read(path, **options) if path.suffix in (".sql", ".txt") else "1\n/data\n1700000000\n",
    )
    (disk,) = (f for f in findings() if f.check == "disk")
    assert disk.remedy is None
    assert "free space of the server is unknown" in disk.found


@pytest.mark.parametrize("seconds", [-60, 60])
def test_clocks_that_differ(healthy: Shop, findings: Findings, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    clock = doctor.time.time
    monkeypatch.setattr(doctor.time, "time", lambda: clock() + seconds)
    found = problem(findings)
    assert found.check == "clock"
    assert "60.0 s" in found.found
    assert ("ahead" if seconds < 0 else "behind") in found.found


def test_notifications_that_get_lost(healthy: Shop, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LONGEST_NOTIFY", 0.2)
    # Notifications stay in their database: whoever listens in another hears as little as one behind a pooler.
    (found,) = doctor._notifications(healthy.connection, server.url("postgres"))
    assert found.check == "notify"
    assert "--listen-url" in str(found.remedy)


def test_a_role_that_may_not_see_all(healthy: Shop, database_url: str, login: Callable[..., Connection]) -> None:
    reader = login()
    grants.grant(healthy.connection, "reader", reader.info.user)
    url = make_conninfo(database_url, user=reader.info.user)
    found = problems(doctor.examine(url, migrations.head()))
    assert {f.check for f in found} == {"rights"}
    admin = login()
    grants.grant(healthy.connection, "admin", admin.info.user)
    assert problems(doctor.examine(make_conninfo(database_url, user=admin.info.user), migrations.head())) == []


def test_rows_about_other_things_than_the_items_are_counted(healthy: Shop, findings: Findings) -> None:
    healthy.execute("insert into shop.visits select 'ann', 1000 + i, now() from generate_series(1, 50) i")
    (found,) = problems(findings())
    assert found.check == "item ids"
    assert "rows of interactions are about an attached item" in found.found


def test_a_reset_of_the_shops_schema_leaves_pgvector_alone(
    empty_url: str, healthy: Shop, database_url: str, findings: Findings
) -> None:
    migrations.migrate(empty_url)
    with db.connect(empty_url) as connection:
        connection.execute("drop schema public cascade; create schema public")
    assert [f.found for f in doctor.examine(empty_url, migrations.head()) if f.check == "schema"] == [
        f"revision {migrations.head()}"
    ]
    # Here the shop had installed pgvector in that schema.
    healthy.execute("drop schema public cascade; create schema public")
    found = problem(findings)
    assert found.found == "pgvector was dropped with all columns of its types" or "not installed" in found.found
    with pytest.raises(errors.AisleError, match="lost their vectors") as raised:
        migrations.migrate(database_url)
    assert "aisle migrate --to base" in str(raised.value.hint)
    migrations.migrate(database_url, "base")
    migrations.migrate(database_url)
    assert problems(findings())[0].check == "items", "Nothing is attached."


def test_a_function_that_is_missing_is_made_again(healthy: Shop, database_url: str, findings: Findings) -> None:
    healthy.execute("drop function aisle._further(real); drop view aisle.warnings")
    assert problem(findings).found == "missing: functions/search/_further, views/warnings"
    migrations.migrate(database_url)
    assert problems(findings()) == []
