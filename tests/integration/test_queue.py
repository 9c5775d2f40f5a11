"""The queue: claims never overlap, a lease is a fencing token, and no error loses a row."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from aisle import db
from aisle.db import Connection
from aisle.embedder import queue

TASK = "category"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    """Another worker's connection."""
    with db.connect(database_url) as connection:
        yield connection


def set_time(connection: Connection, now: datetime) -> None:
    connection.execute("select set_config('aisle.now', %s, false)", [now.isoformat()])


def enqueue(connection: Connection, *ids: str) -> None:
    connection.execute("select aisle._enqueue(%s, %s)", [TASK, list(ids)])
    queue.collect(connection)


def claim(connection: Connection, limit: int = 100) -> queue.Claim:
    return queue.claim(connection, TASK, limit)


def versions(claimed: queue.Claim) -> dict[str, int]:
    return {id_: job.version for id_, job in claimed.jobs.items()}


def finish(connection: Connection, claimed: queue.Claim) -> None:
    queue.finish(connection, claimed, claimed.ids)


def left(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("select id from aisle._embedding_jobs order by id")]


def job(connection: Connection, id_: str) -> dict[str, object]:
    value = db.fetch_value(connection, "select to_jsonb(j) from aisle._embedding_jobs j where id = %s", [id_])
    assert isinstance(value, dict)
    return value


def fail_until_dead(connection: Connection, id_: str) -> None:
    set_time(connection, NOON)
    enqueue(connection, id_)
    for attempt in range(queue.MAX_ATTEMPTS):
        set_time(connection, NOON + timedelta(days=attempt))
        queue.fail(connection, claim(connection), id_, ValueError(f"no {attempt + 1}"))


def test_an_empty_queue_gives_an_empty_claim(connection: Connection) -> None:
    empty = claim(connection)
    assert empty.ids == []
    assert queue.lock(connection, empty) == set()
    finish(connection, empty)
    queue.release(connection, empty)


def test_two_claims_never_overlap(connection: Connection, other: Connection) -> None:
    enqueue(connection, *map(str, range(10)))
    first, second, third = claim(connection, 4), claim(other, 4), claim(connection, 4)
    claimed = [*first.ids, *second.ids, *third.ids]
    assert sorted(claimed) == sorted(map(str, range(10)))
    assert len({first.token, second.token, third.token}) == 3
    assert claim(other).ids == [], "All are leased."


def test_a_claim_passes_over_rows_that_a_shops_transaction_holds(connection: Connection, other: Connection) -> None:
    enqueue(connection, "1", "2")
    with other.transaction():
        enqueue(other, "1")
        assert claim(connection).ids == ["2"], "A claim must not wait for the shop."


@pytest.mark.trap(12)
def test_a_claim_takes_changes_before_retries_before_backfill_and_the_oldest_first(connection: Connection) -> None:
    for minute, id_ in enumerate(["filling", "failing", "old", "new"]):
        set_time(connection, NOON + timedelta(minutes=minute))
        enqueue(connection, id_)
    connection.execute("update aisle._embedding_jobs set priority = 2 where id = 'filling'")
    set_time(connection, NOON + timedelta(minutes=1))
    queue.fail(connection, claim(connection, 1), "failing", ValueError("x"))
    set_time(connection, NOON + timedelta(days=1))
    assert [claim(connection, 1).ids for _ in range(4)] == [["old"], ["new"], ["failing"], ["filling"]]


@pytest.mark.trap(12)
def test_ten_changes_of_a_row_are_one_job(connection: Connection) -> None:
    for _ in range(10):
        enqueue(connection, "1")
    assert versions(claim(connection)) == {"1": 10}


def test_a_lease_expires(connection: Connection, other: Connection) -> None:
    for worker in (connection, other):
        set_time(worker, NOON)
    enqueue(connection, "1")
    claim(connection)
    set_time(other, NOON + queue.LEASE - A_MOMENT)
    assert claim(other).ids == []
    set_time(other, NOON + queue.LEASE)
    assert claim(other).ids == ["1"]


@pytest.mark.trap(9)
def test_a_worker_that_comes_back_late_is_fenced_off(connection: Connection, other: Connection) -> None:
    set_time(connection, NOON)
    enqueue(connection, "1")
    late = claim(connection)
    set_time(other, NOON + queue.LEASE)
    current = claim(other)
    assert queue.lock(connection, late) == set()
    finish(connection, late)
    queue.fail(connection, late, "1", ValueError("too late to count"))
    queue.renew(connection, late)
    queue.release(connection, late)
    assert queue.lock(other, current) == {"1"}, "Nothing that the late worker does may touch the new lease."
    assert job(other, "1")["attempts"] == 0
    finish(other, current)
    assert left(other) == []


def test_an_expired_lease_no_longer_counts_even_if_nobody_took_over(connection: Connection) -> None:
    set_time(connection, NOON)
    enqueue(connection, "1")
    late = claim(connection)
    set_time(connection, NOON + queue.LEASE)
    assert queue.lock(connection, late) == set()


def test_a_lease_that_ran_out_is_renewed_if_nobody_took_over(connection: Connection, other: Connection) -> None:
    set_time(connection, NOON)
    enqueue(connection, "1", "2")
    late = claim(connection)
    set_time(connection, NOON + queue.LEASE)
    set_time(other, NOON + queue.LEASE)
    (taken,) = claim(other, 1).ids
    queue.renew(connection, late)
    assert queue.lock(connection, late) == {"1", "2"} - {taken}


def test_a_lock_holds_to_the_end_of_the_transaction(connection: Connection, other: Connection) -> None:
    enqueue(connection, "1")
    claimed = claim(connection)
    other.execute("set lock_timeout = '50ms'")
    with connection.transaction():
        assert queue.lock(connection, claimed) == {"1"}
        with pytest.raises(psycopg.errors.LockNotAvailable):
            enqueue(other, "1")
    enqueue(other, "1")


def test_a_lock_passes_over_what_a_shops_transaction_changes(connection: Connection, other: Connection) -> None:
    enqueue(connection, "1", "2")
    claimed = claim(connection)
    with other.transaction():
        enqueue(other, "1")
        with connection.transaction():
            assert queue.lock(connection, claimed) == {"2"}


def test_a_change_during_the_work_keeps_the_job(connection: Connection, other: Connection) -> None:
    enqueue(connection, "changed", "same")
    claimed = claim(connection)
    enqueue(other, "changed")
    finish(connection, claimed)
    queue.release(connection, claimed)
    assert left(connection) == ["changed"]
    assert versions(claim(connection)) == {"changed": 2}, "It is due at once, not when the old lease ends."


def test_a_change_during_the_work_frees_the_job_for_others(connection: Connection, other: Connection) -> None:
    enqueue(connection, "1")
    old = claim(connection)
    enqueue(other, "1")
    new = claim(other)
    assert versions(new) == {"1": 2}
    assert queue.lock(connection, old) == set(), "What was computed from the old content must not be written."
    queue.fail(connection, old, "1", ValueError("of the old content"))
    assert job(connection, "1")["attempts"] == 0, "The new content is not charged for an error of the old."


@pytest.mark.parametrize("ending", ["release", "fail"])
def test_the_end_of_a_claim_never_waits_for_a_shops_transaction(
    connection: Connection, other: Connection, ending: str
) -> None:
    """Waiting while it holds locks of its own would make the worker one half of a deadlock."""
    enqueue(connection, "1", "2")
    claimed = claim(connection)
    connection.execute("set lock_timeout = '200ms'")
    with other.transaction():
        enqueue(other, "2")
        if ending == "release":
            queue.release(connection, claimed)
        else:
            queue.fail(connection, claimed, "2", ValueError("of the old content"))
    if ending == "release":
        assert sorted(claim(connection).ids) == ["1", "2"], "Both are due, the one that changed too."
    else:
        assert job(connection, "2")["attempts"] == 0


def test_release_makes_jobs_due_again(connection: Connection, other: Connection) -> None:
    enqueue(connection, "1", "2")
    mine = claim(connection, 1)
    theirs = claim(other, 1)
    queue.release(connection, mine)
    assert claim(connection).ids == mine.ids
    assert queue.lock(other, theirs) == set(theirs.ids), "Releasing must leave other claims alone."


def test_a_failure_waits_twice_as_long_each_time(connection: Connection) -> None:
    set_time(connection, NOON)
    enqueue(connection, "1")
    now = NOON
    for attempt in range(queue.MAX_ATTEMPTS - 1):
        queue.fail(connection, claim(connection), "1", ValueError("nope"))
        backoff = queue.FIRST_BACKOFF * 2**attempt
        set_time(connection, now + backoff - A_MOMENT)
        assert claim(connection).ids == []
        now += 1.5 * backoff  # chance adds up to half
        set_time(connection, now)
        assert job(connection, "1")["attempts"] == attempt + 1
    assert claim(connection).ids == ["1"]


@pytest.mark.trap(10)
def test_a_row_that_fails_too_often_is_given_up_visibly(connection: Connection) -> None:
    fail_until_dead(connection, "1")
    set_time(connection, NOON + timedelta(days=365))
    assert claim(connection).ids == []
    assert connection.execute("select task, id, attempts, last_error from aisle.failures").fetchall() == [
        (TASK, "1", queue.MAX_ATTEMPTS, f"ValueError: no {queue.MAX_ATTEMPTS}")
    ]


@pytest.mark.trap(10)
def test_a_requeued_failure_has_all_its_attempts_again(connection: Connection) -> None:
    fail_until_dead(connection, "1")
    assert db.fetch_value(connection, "select aisle.requeue_failures('basket')") == 0
    assert db.fetch_value(connection, "select aisle.requeue_failures()") == 1
    assert connection.execute("select from aisle.failures").fetchall() == []
    queue.fail(connection, claim(connection), "1", ValueError("again"))
    assert job(connection, "1")["attempts"] == 1


def test_a_change_gives_a_row_that_was_given_up_another_chance(connection: Connection) -> None:
    fail_until_dead(connection, "1")
    enqueue(connection, "1")
    assert claim(connection).ids == ["1"]
    assert job(connection, "1")["last_error"] is None


@pytest.mark.trap(4)
@pytest.mark.parametrize("message", ["가" * 10_000, "a\x00b", "\ud800", ""], ids=["long", "zero", "surrogate", "empty"])
def test_any_error_can_be_recorded(connection: Connection, message: str) -> None:
    enqueue(connection, "1")
    queue.fail(connection, claim(connection), "1", ValueError(message))
    recorded = job(connection, "1")["last_error"]
    assert isinstance(recorded, str)
    assert recorded.startswith("ValueError: ")
    assert len(recorded) <= queue.MAX_ERROR_LENGTH


def test_an_idle_worker_knows_how_long_it_may_sleep(connection: Connection) -> None:
    def seconds() -> float:
        return queue.seconds_to_next(connection, [TASK])

    set_time(connection, NOON)
    assert seconds() == float("inf"), "With nothing to wait for it must not look again at once."
    enqueue(connection, "1")
    assert seconds() == 0
    claimed = claim(connection)
    assert seconds() == queue.LEASE.total_seconds(), "Until the lease of whoever has it runs out."
    queue.defer(connection, claimed, ["1"], timedelta(seconds=7))
    assert seconds() == 7
    connection.execute("update aisle._embedding_jobs set is_dead = true")
    assert seconds() == float("inf")


def test_an_empty_finish_ends_nothing(connection: Connection) -> None:
    enqueue(connection, "1")
    queue.finish(connection, claim(connection), [])
    assert left(connection) == ["1"]


# ---- what the planner knows of the queue ----


MANY, FEW = 3000, 64


@pytest.fixture
def refilled(connection: Connection) -> Connection:
    """A queue that was empty when its statistics were taken, and has filled up since."""
    fill = (
        "insert into aisle._embedding_jobs (task, id, enqueued_at, run_after) "
        "select 'category', i, aisle._now(), aisle._now() from generate_series(1, %s) i"
    )
    connection.execute(fill, [MANY])
    connection.execute("delete from aisle._embedding_jobs")
    connection.execute("vacuum (truncate off, analyze) aisle._embedding_jobs")
    connection.execute(fill, [MANY])
    return connection


def test_a_claim_keeps_to_its_limit_whatever_the_statistics_say(refilled: Connection) -> None:
    """As an inner side of a join, `limit … for update skip locked` runs again for each outer row, and skips its own."""
    assert len(claim(refilled, FEW).jobs) == FEW
    leased = db.fetch_value(refilled, "select count(*) from aisle._embedding_jobs where lease_token is not null")
    assert leased == FEW


@pytest.mark.parametrize(
    "query", ["claim_jobs", "renew_leases", "release_jobs", "defer_jobs", "fail_job", "finish_jobs"]
)
def test_no_step_looks_at_the_queue_once_for_each_of_its_rows(refilled: Connection, query: str) -> None:
    claimed = claim(refilled, FEW)
    parameters = claimed.parameters() | {
        "id": claimed.ids[0],
        "versions": [1] * FEW,
        "limit": FEW,
        "lease": queue.LEASE,
        "delay": A_MOMENT,
        "error": "x",
        "max_attempts": queue.MAX_ATTEMPTS,
        "backoff": A_MOMENT,
    }
    statement = f"explain (analyze, timing off, format json) {db.read(f'queries/{query}')}"
    (plan,) = db.fetch_value(refilled, statement, parameters)

    def loops(node: dict[str, Any]) -> Iterator[tuple[int, str]]:
        yield node["Actual Loops"], node["Node Type"]
        for inner in node.get("Plans", []):
            yield from loops(inner)

    most = max(loops(plan["Plan"]))
    assert most[0] <= FEW, f"With {MANY} jobs in the queue and {FEW} in the claim: {most}\n{plan}"
