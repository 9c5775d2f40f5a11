"""Injects the faults, and records the observations.

Every fault is counted only when it was seen to have happened, so that a run whose faults missed is a failed run.
"""

import contextlib
import math
import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from aisle import db
from aisle.db import Connection
from tests.chaos import invariants
from tests.chaos.buyers import Buyer
from tests.chaos.clients import Asker, Shopper, Watcher
from tests.chaos.server import CrashableServer
from tests.chaos.small_shop import LAST_POISON_ID, POISON
from tests.chaos.waiting import PATIENCE
from tests.chaos.workers import LEASE, Staff, WorkerProcess


@dataclass(frozen=True)
class Weather:
    """The faults of a run."""

    seconds: float = 25
    seed: int = 7
    workers: int = 4
    shoppers: int = 2
    rows: int = 1500
    kill_every: float = 2  # seconds; 0: never
    terminate_every: float = 3  # seconds; 0: never
    deploy_every: float = 1.5  # seconds; 0: never
    freeze_every: float = 5  # seconds; 0: never
    restart_every: float = 0  # seconds; 0: once, in the middle
    restarts: Sequence[str] = ("fast",)  # in turn
    pause: float = 0.01  # seconds between two changes of a shopper, on average


@dataclass
class Report:
    """The faults and the observations of a run."""

    kills: int = 0  # of processes that lived
    kills_in_flight: int = 0  # … and had leased rows that nobody had finished
    terminations: int = 0  # of connections that were open
    terminations_in_flight: int = 0
    restarts: list[str] = field(default_factory=list)
    deploys: int = 0
    freezes: int = 0  # of processes that were stopped with leased rows, and woken after their lease
    pairs: int = 0  # of transactions on related rows at once
    prepared: int = 0  # of these, in two phases
    failures: list[str] = field(default_factory=list)  # of the shop's own transactions
    read_failures: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    interrupted: int = 0
    committed: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list, repr=False)
    longest_wait: float = 0
    looks: int = 0
    most_pending: int = 0
    drained_after: float = 0  # seconds from the last change
    deadlocks: int = 0
    given_up: dict[str, str] = field(default_factory=dict)  # dead letters in the end
    exits: list[str] = field(default_factory=list)  # of workers that were told to leave, and left with an error
    problems: list[str] = field(default_factory=list)  # of the injection itself

    def percentiles(self) -> Mapping[str, float]:
        """How long the shop's transactions took, in milliseconds."""
        cuts = statistics.quantiles(self.latencies, n=1000)
        return {
            "p50": round(1000 * cuts[499], 1),
            "p95": round(1000 * cuts[949], 1),
            "p99": round(1000 * cuts[989], 1),
            "max": round(1000 * max(self.latencies), 1),
        }


class Storm(threading.Thread):
    """Injects the faults at their times, and notes only those that were seen to have happened."""

    def __init__(self, server: CrashableServer, url: str, staff: Staff, weather: Weather, report: Report) -> None:
        super().__init__(daemon=True)
        self.server, self.url, self.staff, self.weather, self.report = server, url, staff, weather, report
        self.random = random.Random(weather.seed)
        self.crew: list[WorkerProcess] = []
        self.downtime = 0.0  # seconds, which count for nothing in the schedule
        self.stopping = threading.Event()
        self.alarms: list[threading.Timer] = []  # that wake those who are frozen

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.report.problems.append(f"{type(error).__name__}: {error}")

    def _run(self) -> None:
        weather = self.weather
        restart_every = weather.restart_every or weather.seconds / 2
        schedule: list[tuple[float, Callable[[], None]]] = sorted(
            (
                (number * every, action)
                for every, action in (
                    (weather.kill_every, self._kill),
                    (weather.terminate_every, self._terminate),
                    (weather.deploy_every, self._deploy),
                    (weather.freeze_every, self._freeze),
                    (restart_every if weather.restarts else 0, self._restart),
                )
                if every
                for number in range(1, math.ceil((weather.seconds - 0.5) / every))
            ),
            key=lambda event: event[0],
        )
        began = time.monotonic()
        for due, action in [*schedule, (weather.seconds, lambda: None)]:
            if self.stopping.wait(began + self.downtime + due - time.monotonic()):
                return
            action()

    def _kill(self) -> None:
        """Kill a worker, one with a batch in its hands if there is one, and start another at once."""
        busy: set[str] = set()
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            deadline = time.monotonic() + 1
            while not busy and time.monotonic() < deadline:
                busy = {worker for (worker,) in connection.execute(LEASED).fetchall()}
            candidates = [i for i, worker in enumerate(self.crew) if worker.name in busy] or list(range(len(self.crew)))
            place = self.random.choice(candidates)
            victim = self.crew[place]
            was_alive = victim.is_alive()
            code = victim.end(signal.SIGKILL)
            if was_alive and code == -signal.SIGKILL:
                self.report.kills += 1
                self.report.kills_in_flight += victim.name in {w for (w,) in connection.execute(LEASED).fetchall()}
            else:
                self.report.problems.append(f"{victim.name} had ended by itself ({code}): {victim.said()[-2000:]}")
            self.crew[place] = self.staff.fork()

    def _freeze(self) -> None:
        """Stop a worker with a batch in its hands, as a paused machine is, and wake it when its lease is over."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                busy = {worker for (worker,) in connection.execute(LEASED).fetchall()}
                for worker in self.crew:
                    if worker.name in busy and worker.is_alive():
                        os.kill(worker.pid, signal.SIGSTOP)
                        self.report.freezes += 1
                        alarm = threading.Timer(LEASE + 1, self._wake, [worker])
                        alarm.start()
                        self.alarms.append(alarm)
                        return

    @staticmethod
    def _wake(worker: WorkerProcess) -> None:
        with contextlib.suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(worker.pid, signal.SIGCONT)

    def _terminate(self) -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(
                "select pid, pid = any (%s) from pg_stat_activity "
                "where application_name in ('aisle worker', 'aisle listener') "
                "and datname = current_database() order by 2 desc, random() limit 1",
                [[pid for (pid,) in connection.execute(LEASED_BACKENDS).fetchall()]],
            ).fetchone()
            if row and db.fetch_value(connection, "select pg_terminate_backend(%s, 5000)", [row[0]]):
                self.report.terminations += 1
                self.report.terminations_in_flight += row[1]

    def _deploy(self) -> None:
        """Take the deploy of the newest generation back, or deploy it again."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            if self.report.deploys % 2:
                connection.execute("select aisle.deploy(max(model_id)) from aisle._models where task = 'category'")
            else:
                connection.execute("select aisle.rollback('category')")
            self.report.deploys += 1

    def _restart(self) -> None:
        mode = self.weather.restarts[len(self.report.restarts) % len(self.weather.restarts)]
        before, began = self.server.started_at(), time.monotonic()
        if mode == "immediate":
            self.server.crash()
        else:
            self.server.stop()
        self.server.start()
        assert self.server.started_at() > before, "The server was not restarted."
        self.report.restarts.append(mode)
        self.downtime += time.monotonic() - began


LEASED = """
select distinct l.worker from aisle._embedding_jobs j join chaos.leases l on l.token = j.lease_token
where j.leased_until > clock_timestamp() and l.worker is not null
"""
LEASED_BACKENDS = LEASED.replace("l.worker from", "l.backend from")


def expose(server: CrashableServer, url: str, staff: Staff, weather: Weather) -> Report:
    """Let a shop with two ready generations work under these faults, then let the workers drain the queue and leave."""
    report = Report()
    shoppers = [
        Shopper(url, number=i, of=weather.shoppers, seed=weather.seed, pause=weather.pause)
        for i in range(weather.shoppers)
    ]
    asker, watcher, buyer = Asker(url), Watcher(url), Buyer(url, weather.seed)
    storm = Storm(server, url, staff, weather, report)
    deadlocks = server.log().count("deadlock detected")
    storm.crew = [staff.fork() for _ in range(weather.workers)]
    for thread in (*shoppers, asker, watcher, buyer, storm):
        thread.start()
    try:
        storm.join(weather.seconds + 3 * PATIENCE)
        assert not storm.is_alive(), "The faults came to no end."
    finally:
        for writer in (*shoppers, buyer):
            writer.stopping.set()
        storm.stopping.set()
    for writer in (*shoppers, buyer):
        writer.join(PATIENCE)
        assert not writer.is_alive(), "A transaction of the shop came to no end."
    for alarm in storm.alarms:
        alarm.join()
    stopped = time.monotonic()
    try:
        with db.connect(url) as connection:
            connection.execute(
                "insert into shop.products (id, name) values (%s, %s)", [LAST_POISON_ID, f"tea {POISON}"]
            )
            drain(connection, staff)
            report.given_up = invariants.dead(connection)
        report.drained_after = time.monotonic() - stopped
    finally:
        asker.stopping.set()
        watcher.stopping.set()
        asker.join(PATIENCE)
        watcher.join(PATIENCE)
    for worker in storm.crew:
        if code := worker.end(signal.SIGTERM):
            report.exits.append(f"{worker.name} left with {code}: {worker.said()[-2000:]}")
    report.deadlocks = server.log().count("deadlock detected") - deadlocks
    for shopper in shoppers:
        report.failures += shopper.failures
        report.interrupted += shopper.interrupted
        report.committed += shopper.committed
        report.warnings += shopper.warnings
        report.latencies += shopper.latencies
    report.failures += buyer.failures
    report.pairs, report.prepared = buyer.pairs, buyer.prepared
    report.read_failures, report.mixed, report.answers = asker.failures, asker.mixed, asker.answers
    report.violations, report.looks = watcher.violations, watcher.looks
    report.longest_wait, report.most_pending = watcher.longest_wait, watcher.most_pending
    return report


def check_that_the_faults_happened(report: Report, weather: Weather) -> None:
    assert report.problems == [], f"The faults could not be injected: {report.problems}"
    assert report.kills >= weather.seconds / weather.kill_every / 2, "Too few workers were killed."
    assert report.kills_in_flight >= max(1, report.kills / 4), "Too few workers were killed with a batch in hand."
    assert report.terminations >= weather.seconds / weather.terminate_every / 3, "Too few connections were ended."
    assert set(report.restarts) == set(weather.restarts), "The server was not taken away."
    assert report.interrupted > 0, "The restart hit no transaction of the shop: it did not work meanwhile."
    assert report.deploys >= 4, "Too few deploys."
    assert report.freezes > 0, "No worker was frozen with a batch in hand."
    assert report.pairs > weather.seconds, "Too few pairs of transactions on related rows."
    assert report.prepared > 0, "No transaction was prepared."
    assert set(report.answers) == {"ngram", "encoder"}, "Both generations must have answered."
    assert report.looks > weather.seconds, "The watcher saw too little."
    unused = {
        "insert",
        "copy",
        "upsert",
        "update of texts",
        "delete",
        "rollback",
        "transaction",
    } - report.committed.keys()
    assert not unused, f"The shop never did this: {unused}"


def check_what_was_seen_meanwhile(report: Report) -> None:
    """Check the observations: what must hold at every moment, for every answer and every process."""
    assert report.violations == [], f"Rows were lost or orphaned at some moment of the run: {report.violations[:5]}"
    assert report.mixed == [], f"Answers mixed two generations: {report.mixed[:5]}"
    assert report.read_failures == [], f"Queries failed: {report.read_failures[:5]}"
    assert str(LAST_POISON_ID) in report.given_up, f"Poison must end as a dead letter, not so: {report.given_up}"
    assert report.exits == [], f"A worker that is told to leave leaves with 0: {report.exits}"


def drain(connection: Connection, staff: Staff, patience: float = PATIENCE) -> None:
    """Wait until nothing is pending. Rows that failed need not sit out their back-off: they are due at once."""
    deadline = time.monotonic() + patience
    while invariants.pending(connection):
        connection.execute(
            "update aisle._embedding_jobs set run_after = clock_timestamp() "
            "where attempts > 0 and not is_dead and lease_token is null and run_after > clock_timestamp()"
        )
        if time.monotonic() > deadline:
            said = [f"{worker.name}: {worker.said()[-500:]}" for worker in staff.workers if worker.is_alive()]
            waits = "\n".join([*map(str, invariants.who_waits(connection)), *(said or ["No worker lives."])])
            raise AssertionError(f"The queue was not empty after {patience:g} s:\n{waits}")
        time.sleep(0.1)
