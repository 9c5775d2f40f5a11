"""Workers behind a real PgBouncer in transaction mode, where no session lasts longer than a transaction."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from aisle import db
from aisle.db import embedded
from tests.acceptance.conftest import Aisle, wait_until
from tests.conftest import Server, Shop, TinyModel

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
POOL_SIZE = 2  # connections to the server
SLACK = 5  # seconds that a busy machine may add

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="There is no pgbouncer: apt-get install pgbouncer")

CONFIGURATION = """
[databases]
* = host={socket} port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 100
logfile = {folder}/pgbouncer.log
"""


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer in front of the server of the run."""

    port: int
    log: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def transactions(self, database: str) -> int:
        """Return how many transactions of a database came through."""
        with psycopg.connect(self.url("pgbouncer"), autocommit=True) as console:
            cursor = console.execute("show stats_totals")
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return sum(int(row["xact_count"]) for row in rows if row["database"] == database)


@pytest.fixture(scope="module")
def pooler(server: Server) -> Iterator[Pooler]:
    with tempfile.TemporaryDirectory(prefix="aisle-pooler-") as name:
        folder = Path(name)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(socket=server.home / "postgres", port=port, size=POOL_SIZE, folder=folder)
        )
        folder.chmod(0o755)
        uid, gid = embedded._server_user() or (None, None)  # it refuses to run as root, as the server does
        if uid is not None and gid is not None:
            os.chown(folder, uid, gid)
        process = subprocess.Popen(
            [str(PROGRAM), str(configuration)],
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pooler = Pooler(port, folder / "pgbouncer.log")

        def answers() -> bool:
            assert process.poll() is None, f"PgBouncer did not start: {pooler.log.read_text(errors='replace')}"
            try:
                psycopg.connect(pooler.url("pgbouncer")).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            wait_until(answers, "PgBouncer answers")
            yield pooler
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def products(shop: Shop, tiny_model: TinyModel) -> Shop:
    """An attached, empty table and a live model without an encoder."""
    shop.create()
    shop.attach()
    return shop


@pytest.fixture
def pooled(pooler: Pooler, products: Shop) -> Iterator[Aisle]:
    """`aisle` whose database is reached through the pooler."""
    aisle = Aisle(pooler.url(products.connection.info.dbname))
    yield aisle
    aisle.stop_all()
    # The pooler lets go of the database, so that it can be dropped and its name means another one later.
    with psycopg.connect(pooler.url("pgbouncer"), autocommit=True) as console:
        console.execute(f"kill {products.connection.info.dbname}".encode())
        console.execute(f"resume {products.connection.info.dbname}".encode())


def is_embedded(products: Shop, item_id: int) -> bool:
    """Return whether a worker has seen the row; its draft vector is the final one here, so that does not tell."""
    return bool(products.value("select count(*) from aisle._item_predictions where item_id = %s", [str(item_id)]))


def is_drained(products: Shop) -> bool:
    return bool(products.value("select pending = 0 from aisle.freshness where task = 'category'"))


def seconds_until_embedded(products: Shop, item_id: int) -> float:
    started = time.monotonic()
    products.execute("insert into shop.products (id, name) values (%s, '녹차')", [item_id])
    wait_until(lambda: is_embedded(products, item_id), f"row {item_id} is embedded")
    return time.monotonic() - started


def test_behind_the_pooler_a_worker_polls(products: Shop, pooled: Aisle, pooler: Pooler) -> None:
    poll = 1
    worker = pooled.start("-v", "worker", "--poll-interval", str(poll))
    seconds_until_embedded(products, 1)  # it has started
    took = [seconds_until_embedded(products, item_id) for item_id in (2, 3, 4)]
    assert max(took) < poll + SLACK
    assert worker.poll() is None, "It stays."
    assert pooler.transactions(products.connection.info.dbname) > 0, "It did not come through the pooler."
    check_that_it_left_without_complaint(worker)


def test_a_direct_address_to_listen_at_wakes_a_worker_behind_the_pooler(
    products: Shop, pooled: Aisle, database_url: str, pooler: Pooler
) -> None:
    poll = 60
    worker = pooled.start("-v", "worker", "--poll-interval", str(poll), "--listen-url", database_url)
    seconds_until_embedded(products, 1)
    wait_until(
        lambda: products.value(
            "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen %'"
        ),
        "it listens on the direct connection",
    )
    took = [seconds_until_embedded(products, item_id) for item_id in (2, 3, 4)]
    assert max(took) < poll / 4, "It must be woken, not find the rows by a poll."
    assert pooler.transactions(products.connection.info.dbname) > 0, "Its work did not come through the pooler."
    check_that_it_left_without_complaint(worker)


def test_more_workers_than_connections_drain_the_queue(
    products: Shop, pooled: Aisle, pooler: Pooler, database_url: str
) -> None:
    products.execute("insert into shop.products (id, name) select i, 'tea ' || i from generate_series(1, 2000) i")
    workers = [pooled.start("-v", "worker", "--once", "--batch-size", "50") for _ in range(4)]
    most = 0
    while any(worker.poll() is None for worker in workers):
        most = max(
            most,
            products.value(
                "select count(*) from pg_stat_activity where datname = current_database() "
                "and pid <> pg_backend_pid() and backend_type = 'client backend'"
            ),
        )
        time.sleep(0.02)
    for worker in workers:
        check_that_it_left_without_complaint(worker)
    wait_until(lambda: is_drained(products), "nothing waits")
    assert products.value("select count(*) from aisle._item_predictions") == 2000
    assert products.value("select coalesce(max(attempts), 0) from aisle._embedding_jobs") == 0
    assert products.execute("select from aisle.failures").fetchall() == []
    assert 0 < most <= POOL_SIZE, f"{most} connections to the server for {len(workers)} workers"


@pytest.fixture
def used_pool(products: Shop, pooled: Aisle, pooler: Pooler) -> Iterator[list[db.Connection]]:
    """Transactions on all of the pool's connections, which a worker has used and left."""
    products.execute("insert into shop.products (id, name) select i, 'tea ' || i from generate_series(1, 500) i")
    worker = pooled.start("-v", "worker", "--batch-size", "20", "--poll-interval", "0.5")
    wait_until(lambda: is_drained(products), "nothing waits")
    check_that_it_left_without_complaint(worker)
    url = pooler.url(products.connection.info.dbname)
    with (
        psycopg.connect(url, autocommit=True) as first,
        psycopg.connect(url, autocommit=True) as second,
        first.transaction(),
        second.transaction(),
    ):
        connections = [first, second]
        backends = {db.fetch_value(connection, "select pg_backend_pid()") for connection in connections}
        assert len(backends) == POOL_SIZE, "Each connection of the pool was to be looked at."
        yield connections


@pytest.mark.parametrize(
    "what",
    [
        "prepared statement",
        "LISTEN",
        "temporary table",
        "setting",
    ],
)
def test_a_worker_leaves_nothing_of_a_session_in_the_pool(used_pool: list[db.Connection], what: str) -> None:
    for connection in used_pool:
        assert connection.execute(LEFT_OVER[what].encode()).fetchall() == []


LEFT_OVER = {
    "prepared statement": "select name, statement from pg_prepared_statements",
    "LISTEN": "select * from pg_listening_channels()",
    "temporary table": "select relname from pg_class where relnamespace = pg_my_temp_schema()",
    "setting": "select name, setting from pg_settings where source = 'session' "
    "and name not in ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')",
}


def check_that_it_left_without_complaint(worker: "subprocess.Popen[str]") -> None:
    """Have a worker leave, unless it has; what it said must speak of no error."""
    if worker.poll() is None:
        worker.terminate()
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    for complaint in ("Traceback", "prepared statement", "Lost the database", "ERROR"):
        assert complaint not in said, said
