"""One fault at a time, with real workers: it may only cost time, up to a limit given here."""

import contextlib
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from aisle import db
from aisle.db import Connection
from tests.chaos import invariants, small_shop, storm
from tests.chaos.clients import Asker, Shopper
from tests.chaos.server import CrashableServer, Wire
from tests.chaos.waiting import PATIENCE, wait_until
from tests.chaos.workers import POLL, Staff, WorkerProcess

SLACK = 4  # seconds that a busy machine may add to a poll


@pytest.fixture
def models(connection: Connection) -> int:
    """An open shop and a live generation that needs no encoder; its model's id."""
    small_shop.open_shop(connection, rows=50)
    return small_shop.load_model(connection, "ngram", dimensions=small_shop.OTHER_DIMENSIONS)


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    """The shop's application."""
    with db.connect(database_url) as connection:
        yield connection


def caught_up(connection: Connection) -> bool:
    return invariants.pending(connection) == 0


def listens(worker: WorkerProcess) -> bool:
    return "Listening on" in worker.said()


def seconds_until_embedded(connection: Connection, id_: int, patience: float = PATIENCE) -> float:
    """Insert a row, and return how long it took until a worker had been there."""
    started = time.monotonic()
    connection.execute("insert into shop.products (id, name) values (%s, 'tea 1')", [id_])
    wait_until(
        lambda: db.fetch_value(
            connection, "select count(*) from aisle._item_predictions where item_id = %s", [str(id_)]
        ),
        "a worker embeds the row",
        patience,
    )
    return time.monotonic() - started


def test_a_transaction_that_holds_xmin_for_the_whole_run_holds_up_nobody(
    connection: Connection, other: Connection, database_url: str, models: int, staff: Staff
) -> None:
    holder = other.info.backend_pid
    with other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select from pg_class")  # a snapshot, and no lock that a TRUNCATE would wait for
        staff.hire()
        shopper = Shopper(database_url, number=0, of=1, seed=3, poison=False)
        shopper.start()
        time.sleep(3)
        shopper.stopping.set()
        shopper.join(PATIENCE)
        assert not shopper.is_alive()
        storm.drain(connection, staff)
        held = db.fetch_value(connection, "select age(backend_xmin) from pg_stat_activity where pid = %s", [holder])
        assert held > 100, "Nothing happened behind the back of the old transaction."
        assert seconds_until_embedded(connection, 1_000_000) < POLL + SLACK
        storm.drain(connection, staff)
        workers = connection.execute(
            "select state, backend_xid, backend_xmin from pg_stat_activity "
            "where application_name like 'aisle %' and datname = current_database()"
        ).fetchall()
        assert workers
        assert {(xid, xmin) for state, xid, xmin in workers if state == "idle"} <= {(None, None)}
    assert shopper.failures == []
    assert sum(shopper.committed.values()) > 50
    invariants.check_every_row_is_current_or_accounted_for(connection)
    invariants.check_vectors_are_those_of_the_committed_rows(connection)


def test_a_listen_connection_that_dies_silently_costs_a_poll(
    crashable: CrashableServer, connection: Connection, database_url: str, models: int, staff: Staff
) -> None:
    poll = 3
    with Wire(crashable) as wire:
        worker = staff.hire("--listen-url", wire.url(database_url), "--poll-interval", str(poll))
        wait_until(lambda: caught_up(connection) and listens(worker), "it listens")
        assert wire.connections == 1, "It does not listen over the wire."
        heard = min(seconds_until_embedded(connection, id_) for id_ in (1, 2, 3))
        assert heard < poll / 2, "It must be woken while the wire is whole."
        wire.mute()
        unheard = [seconds_until_embedded(connection, id_) for id_ in (4, 5)]
        assert wire.swallowed > 0, "The server sent no notification into the dead wire: nothing was tested."
        assert max(unheard) < poll + SLACK, f"A silent wire may cost a poll of {poll} s, and cost {unheard}."
    wait_until(lambda: seconds_until_embedded(connection, 6), "and when the wire is cut, it goes on")


@pytest.mark.parametrize("at", [None, b"listen"], ids=["connect", "LISTEN"])
def test_a_listen_address_that_never_answers_costs_a_poll(
    crashable: CrashableServer, connection: Connection, database_url: str, models: int, staff: Staff, at: bytes | None
) -> None:
    """A firewall that drops packets, or a host that hangs: reached, and then silent at one point or another."""
    with Wire(crashable, at) as wire:
        if at is None:
            wire.mute()
        staff.hire("--listen-url", wire.url(database_url))
        wait_until(lambda: caught_up(connection) and wire.connections, "it has swept, and is about to listen")
        wait_until(wire.is_muted.is_set, "the wire is dead")
        seconds_until_embedded(connection, 1, POLL + SLACK)


def test_a_worker_that_starts_while_the_server_restarts_keeps_trying(
    crashable: CrashableServer, database_url: str, connection: Connection, models: int, staff: Staff
) -> None:
    connection.close()
    crashable.stop()
    try:
        workers = [staff.hire(), staff.hire("--listen-url", database_url)]
        for worker in workers:
            wait_until(lambda worker=worker: worker.said().count("There is no database yet") >= 2, "it tries again")
        assert all(worker.is_alive() for worker in workers)
        assert workers[0].end(signal.SIGTERM) == 0, "It can be told to leave meanwhile."
    finally:
        crashable.start()
    with db.connect(database_url) as connection:
        wait_until(lambda: caught_up(connection), "the other works")
        wait_until(lambda: listens(workers[1]), "and listens at once, not when a broken bell would be hung up anew", 10)
    assert workers[1].end(signal.SIGTERM) == 0


@pytest.mark.parametrize("vectors", ["added", "replaced"])
def test_a_truncate_whose_snapshot_is_older_than_the_vectors_takes_them_along(
    connection: Connection, other: Connection, models: int, staff: Staff, vectors: str
) -> None:
    if vectors == "replaced":
        staff.hire()
        wait_until(lambda: caught_up(connection), "the rows have vectors")
    with other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select from pg_class")
        if vectors == "added":
            staff.hire()
        connection.execute("update shop.products set name = name || ' 7'")
        wait_until(lambda: caught_up(connection), "the vectors are newer than the transaction")
        other.execute("truncate shop.products")
    storm.drain(connection, staff)
    assert invariants.orphans(connection) == []
    assert db.fetch_value(connection, "select count(*) from aisle.item_vectors") == 0


def test_without_any_notification_a_poll_finds_the_work(
    connection: Connection, other: Connection, models: int, staff: Staff
) -> None:
    connection.execute("set aisle.notify = off")
    other.execute("listen aisle_embedding_jobs")
    worker = staff.hire()
    wait_until(lambda: caught_up(connection) and listens(worker), "it has swept")
    assert [n.payload for n in other.notifies(timeout=0.2) if n.pid == connection.info.backend_pid] == []
    took = [seconds_until_embedded(connection, id_) for id_ in (1, 2, 3)]
    heard = [n for n in other.notifies(timeout=0.2) if n.pid == connection.info.backend_pid]
    assert heard == [], "NOTIFY was not switched off: nothing was tested."
    assert max(took) < POLL + SLACK, f"A poll of {POLL} s took {took}."


def test_deploys_and_rollbacks_disturb_neither_queries_nor_workers(
    connection: Connection, database_url: str, models: int, staff: Staff
) -> None:
    newer = small_shop.load_model(connection, "newer", deploy=False)
    staff.hire()
    askers = [Asker(database_url) for _ in range(2)]
    shopper = Shopper(database_url, number=0, of=1, seed=5, poison=False)
    for thread in (*askers, shopper):
        thread.start()
    changes = 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        connection.execute("select aisle.deploy(%s)", [newer])
        with contextlib.suppress(psycopg.Rollback), connection.transaction():
            connection.execute("select aisle.rollback('category')")
            raise psycopg.Rollback
        time.sleep(0.05)
        connection.execute("select aisle.rollback('category')")
        time.sleep(0.05)
        changes += 1
    for thread in (*askers, shopper):
        thread.stopping.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert changes >= 10
    for asker in askers:
        assert asker.failures == []
        assert asker.mixed == []
        assert min(asker.answers[name] for name in ("ngram", "newer")) > 0, f"Not both answered: {asker.answers}"
    assert shopper.failures == []
    storm.drain(connection, staff)
    invariants.check_vectors_are_those_of_the_committed_rows(connection)
    invariants.check_only_the_live_generation_answers(connection)


def test_workers_from_before_and_after_a_new_generation_fill_both(
    connection: Connection, models: int, staff: Staff
) -> None:
    older = staff.hire()
    wait_until(lambda: caught_up(connection) and leased_by(connection) == {older.name}, "the first is at work")
    small_shop.load_model(connection, "newer", deploy=False)
    younger = staff.hire()
    wait_until(lambda: caught_up(connection) and listens(younger), "the second is there")
    connection.execute("truncate chaos.leases")
    first = 0

    def give_work() -> bool:
        nonlocal first
        first += 1500
        connection.execute(
            "insert into shop.products (id, name) "
            "select i, (%s::text[])[1 + i %% 16] || ' ' || i from generate_series(%s::int, %s::int) i",
            [small_shop.WORDS, first, first + 1499],
        )
        wait_until(lambda: caught_up(connection), "all is embedded")
        return leased_by(connection) == {older.name, younger.name}

    wait_until(give_work, "both take part")
    invariants.check_every_row_is_current_or_accounted_for(connection)
    invariants.check_vectors_are_those_of_the_committed_rows(connection)
    counts = connection.execute("select model_id, count(*) from aisle.item_vectors group by 1").fetchall()
    rows = db.fetch_value(connection, "select count(*) from shop.products")
    assert [count for _, count in counts] == [rows, rows]
    assert [worker.end(signal.SIGTERM) for worker in (older, younger)] == [0, 0]


def leased_by(connection: Connection) -> set[str]:
    return {worker for (worker,) in connection.execute("select distinct worker from chaos.leases").fetchall()}


def test_one_poison_row_among_a_thousand_stalls_nobody(connection: Connection, encoder: object, staff: Staff) -> None:
    small_shop.open_shop(connection)
    small_shop.load_model(connection, "encoder", encoder=encoder)  # type: ignore[arg-type]
    poison = small_shop.FIRST_POISON_ID
    connection.execute(
        "insert into shop.products (id, name) select case i when 500 then %s else i end, "
        "case i when 500 then %s else (%s::text[])[1 + i %% 16] || ' ' || i end from generate_series(1, 1000) i",
        [poison, f"tea {small_shop.POISON}", small_shop.WORDS],
    )
    worker = staff.fork("--batch-size", "256")
    wait_until(
        lambda: db.fetch_value(connection, "select count(*) from aisle.item_vectors where not is_draft") == 999,
        "all but one have their vectors",
    )
    attempts = connection.execute("select id, attempts from aisle._embedding_jobs").fetchall()
    assert attempts in ([(str(poison), 1)], [(str(poison), 0)]), "Nobody else waits, and not until a retry."
    assert invariants.dead(connection) == {}

    storm.drain(connection, staff)
    failures = connection.execute("select id, attempts, last_error from aisle.failures").fetchall()
    assert [(id_, attempts) for id_, attempts, _ in failures] == [(str(poison), 5)]
    assert "[UNK]" in failures[0][2], "The dead letter says what the model choked on."
    invariants.check_only_rows_at_fault_were_charged(connection, small_shop.FIRST_POISON_ID)
    invariants.check_every_row_is_current_or_accounted_for(connection)
    invariants.check_vectors_are_those_of_the_committed_rows(connection)

    connection.execute("update shop.products set name = 'tea' where id = %s", [poison])
    storm.drain(connection, staff)
    assert invariants.dead(connection) == {}, "A change cures it."
    invariants.check_vectors_are_those_of_the_committed_rows(connection)
    assert worker.end(signal.SIGTERM) == 0
