"""The real worker process, and kills of workers and training runs."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import PATIENCE, TRAIN, Aisle, wait_until
from tests.conftest import Server

DOCS = Path(__file__).parents[2] / "docs"
MANY = 300  # rows; a statement of more than 100 leaves its vectors to the worker
A_LEASE_LATER = "2100-01-01"


@pytest.fixture
def insert(shop: Aisle) -> str:
    return f"insert into shop.products (id, name) select 10000 + i, '초코 과자 ' || i from generate_series(1, {MANY}) i"


def is_caught_up(shop: Aisle) -> bool:
    """Return whether the live model has a vector for each row, and no job is left."""
    return bool(
        shop.value(
            "select (select pending from aisle.freshness) = 0 and not exists ("
            "  select from shop.products p left join aisle.item_vectors v on v.item_id = p.id::text"
            "  where v.item_id is null or v.is_draft)"
        )
    )


@contextlib.contextmanager
def locked(shop: Aisle, table: str, mode: str) -> Iterator[None]:
    """Block writers of a table, so that a test can kill a process just there."""
    with psycopg.connect(shop.url) as connection:
        connection.execute(f"lock table {table} in {mode} mode".encode())
        yield


def waiting(shop: Aisle, application: str) -> int:
    """Return how many connections of an application wait for a lock."""
    return int(
        shop.value(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            f" and application_name = '{application}'"
        )
    )


def listeners(shop: Aisle) -> list[tuple[int]]:
    """Return the workers that have swept the queue and wait for something to do."""
    return shop.query(
        "select pid from pg_stat_activity where datname = current_database() and state = 'idle'"
        " and application_name = 'aisle worker' and query ~ '_embedding_jobs|pg_notify'"
    )


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit code and stderr."""
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.trap(18)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_embeds_what_is_inserted_and_stops_on_a_signal(
    shop: Aisle, insert: str, number: signal.Signals
) -> None:
    worker = shop.start("-v", "worker")
    wait_until(lambda: listeners(shop), "it listens")
    shop.query(insert)
    wait_until(lambda: is_caught_up(shop), "all rows have vectors")
    assert worker.poll() is None, "It stays."
    code, said = end(worker, number)
    assert code == 0, said
    assert "Traceback" not in said
    assert f"Embedded {MANY} rows." in said


@pytest.mark.trap(13)
def test_a_worker_that_hears_no_notification_still_polls(shop: Aisle) -> None:
    shop.start("worker", "--poll-interval", "0.2")
    wait_until(lambda: listeners(shop), "it listens")
    shop.query(
        "insert into aisle._embedding_jobs (task, id, enqueued_at, run_after) values ('category', 'gone', now(), now())"
    )
    wait_until(lambda: is_caught_up(shop), "the job is done")


@pytest.mark.trap(18)
def test_the_first_signal_lets_the_batch_end_and_the_second_does_not_wait(shop: Aisle, insert: str) -> None:
    shop.query(insert)
    with locked(shop, "aisle.item_vectors", "access exclusive"):
        patient, hasty = shop.start("worker", "--batch-size", "100"), shop.start("worker", "--batch-size", "100")
        claimed = "select count(lease_token) from aisle._embedding_jobs"
        wait_until(lambda: shop.value(claimed) == 200, "each has claimed a batch")
        wait_until(lambda: waiting(shop, "aisle worker") == 2, "two batches are under way")
        for worker in (patient, hasty):
            worker.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            patient.wait(1)
        code, said = end(hasty, signal.SIGTERM)
        assert code == 130
        assert "Stopped." in said
        assert "Traceback" not in said
    assert patient.wait(PATIENCE) == 0
    assert shop.value("select count(*) from aisle._embedding_jobs") == MANY - 100, "One batch was finished."
    # The other's lease is given back if there was time to cancel its statement; else it runs out.
    assert shop.value("select count(lease_token) from aisle._embedding_jobs") in (0, 100)


def test_when_a_worker_is_killed_another_finishes(shop: Aisle, insert: str) -> None:
    shop.query(insert)
    with locked(shop, "aisle.item_vectors", "access exclusive"):
        worker = shop.start("worker", "--batch-size", "100")
        wait_until(lambda: waiting(shop, "aisle worker"), "it has claimed a batch, and is about to read it")
        code, _ = end(worker, signal.SIGKILL)
    assert code == -signal.SIGKILL
    wait_until(lambda: not waiting(shop, "aisle worker"), "the server has noticed")
    assert shop.value("select count(*) from aisle._embedding_jobs where lease_token is not null") == 100
    assert shop.value("select count(*) from aisle.item_vectors where item_id::int > 10000") == 0, "All or nothing."

    shop.start("worker")
    wait_until(lambda: shop.value("select count(*) from aisle._embedding_jobs") == 100, "the rest is done at once")
    database = shop.value("select current_database()")
    shop.query(f"alter database {database} set aisle.now = '{A_LEASE_LATER}'")
    shop.start("worker")
    wait_until(lambda: is_caught_up(shop), "the dead worker's rows are done when its lease is over")
    assert shop.value("select max(attempts) from aisle._embedding_jobs") is None
    assert shop.json("failures") == []


@pytest.mark.trap(13)
def test_a_worker_outlives_a_lost_connection(shop: Aisle, insert: str) -> None:
    worker = shop.start("worker")
    wait_until(lambda: listeners(shop), "it listens")
    shop.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aisle worker'")
    shop.query(insert)
    wait_until(lambda: is_caught_up(shop), "it has connected again and swept")
    code, said = end(worker, signal.SIGTERM)
    assert code == 0
    assert "Lost the database" in said


def test_a_worker_says_at_once_that_the_schema_is_missing(bare: Aisle) -> None:
    assert "aisle migrate" in bare.refusal("worker")


@pytest.mark.parametrize("wrong", ["postgresql://[", "nobody", "nowhere"])
def test_a_worker_says_at_once_that_its_address_is_wrong(aisle: Aisle, server: Server, wrong: str) -> None:
    if wrong == "nobody":
        aisle.url = aisle.url.replace("postgres@", "nobody@")
    else:
        aisle.url = server.url(wrong) if wrong == "nowhere" else wrong
    refusal = aisle.refusal("worker")
    assert "Cannot connect to the database" in refusal
    assert "--database-url" in refusal


def test_a_worker_that_is_to_run_once_does_not_wait_for_a_database(aisle: Aisle) -> None:
    aisle.url = "postgresql://nobody@127.0.0.1:1/nowhere"
    assert "Cannot connect to the database" in aisle.refusal("worker", "--once")


def test_once_drains_and_leaves(shop: Aisle, insert: str) -> None:
    shop.query(insert)
    shop("worker", "--once", "--tasks", "category")
    assert is_caught_up(shop)


def test_an_idle_worker_stops_on_a_signal(shop: Aisle, insert: str) -> None:
    worker = shop.start("worker", "--idle-exit", "1.5")
    wait_until(lambda: listeners(shop), "it listens")
    shop.query(insert)
    assert worker.wait(PATIENCE) == 0
    assert is_caught_up(shop)


def test_a_task_that_does_not_exist_is_said(shop: Aisle) -> None:
    assert "'recipes'" in shop.refusal("worker", "--tasks", "recipes")


def test_metrics_are_served_for_prometheus(shop: Aisle, insert: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shop.start("worker", "--metrics-port", port)
    wait_until(lambda: listeners(shop), "it listens")
    shop.query(insert)
    wait_until(lambda: is_caught_up(shop), "all rows have vectors")

    def metrics() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    wait_until(lambda: f'aisle_embedded_rows_total{{task="category"}} {MANY}.0' in metrics(), "the rows are counted")
    text = metrics()
    shown = set(re.findall(r"^(aisle_\w+)", text, re.MULTILINE))
    shown = {name for name in shown if not name.endswith("_created")}
    assert 'aisle_failed_rows{task="category"} 0.0' in text, "What is shown is there from the first look on."
    assert 'aisle_visible_seconds{quantile="0.95",task="category"}' in text
    alerts = (DOCS / "operations/alerts.yml").read_text(encoding="utf-8")
    asked = {
        name for line in re.findall(r"^ *expr: .*$", alerts, re.MULTILINE) for name in re.findall(r"aisle_\w+", line)
    }
    assert asked, "docs/operations/alerts.yml asks for nothing."
    assert asked <= shown, "docs/operations/alerts.yml asks for what no worker shows."
    documented = set(re.findall(r"`(aisle_\w+)", (DOCS / "operations/monitoring.md").read_text(encoding="utf-8")))
    assert shown <= documented, "docs/operations/monitoring.md lists what a worker shows."


def test_the_log_is_json_on_request(shop: Aisle, server: Server, insert: str) -> None:
    shop.query(insert)
    outcome = shop.run("-v", "worker", "--once", "--log-format", "json")
    assert outcome.code == 0, outcome.errors
    events = [json.loads(line) for line in outcome.errors.splitlines()]
    assert all(event["time"].endswith("+00:00") and event["level"] == "info" for event in events)
    assert f"Embedded {MANY} rows." in [event["message"] for event in events]
    (queue,) = (event for event in events if "pending" in event)
    assert queue["task"] == "category"
    refused = Aisle(server.url("no_such_database")).run("--log-format", "json", "worker")
    assert refused.code == 1
    error = json.loads(refused.errors)
    assert (error["level"], error["logger"]) == ("error", "aisle")
    assert "Cannot connect" in error["message"]
    assert "--database-url" in error["hint"]


# ---- training ----

TRAINING = "from pg_locks where relation = 'aisle._training_lock'::regclass and mode = 'ExclusiveLock' and granted"


@pytest.mark.trap(29)
def test_a_training_run_that_is_killed_leaves_the_live_model_answering(shop: Aisle) -> None:
    live = shop.json("status")[0]["live_model"]
    answer = shop.json("predict-category", "초코 과자")
    with locked(shop, "aisle._item_predictions", "share"):
        training = shop.start(*TRAIN)
        wait_until(lambda: waiting(shop, "aisle train category"), "it loads its vectors")
        assert shop.json("predict-category", "초코 과자") == answer
        end(training, signal.SIGKILL)
    wait_until(lambda: not shop.value(f"select count(*) {TRAINING}"), "it is gone")

    assert shop.json("predict-category", "초코 과자") == answer
    assert [(m["model_id"], m["state"]) for m in shop.json("models")] == [(live, "live"), (live + 1, "loading")]
    assert "loading" in shop("models")
    assert "not ready" in shop.refusal("deploy", live + 1)

    finished = shop.json(*TRAIN)
    assert [(m["model_id"], m["state"]) for m in shop.json("models")] == [
        (live, "live"),
        (finished["model_id"], "ready"),
    ]
    leftovers = shop.query(
        "select relname from pg_class where relnamespace = 'aisle'::regnamespace"
        f" and relname like '%vectors\\_{live + 1}%'"
    )
    assert leftovers == [], "Nothing of the killed run is left."


def test_of_two_training_runs_the_second_says_who_is_at_it(shop: Aisle) -> None:
    with locked(shop, "aisle._item_predictions", "share"):
        first = shop.start(*TRAIN)
        wait_until(lambda: waiting(shop, "aisle train category"), "the first is under way")
        holder = shop.value(f"select pid {TRAINING}")
        refusal = shop.refusal(*TRAIN)
        assert f"server process {holder}" in refusal
        assert "Another training run" in refusal
    first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, "The first is not disturbed."
