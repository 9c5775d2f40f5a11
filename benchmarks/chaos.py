"""The long form of tests/chaos: a shop that never rests, workers that are killed, a server that is taken away.

    python benchmarks/chaos.py --seed 1 > chaos.json        # 10 minutes
    python benchmarks/chaos.py --seconds 60 --seed 2

Every two seconds a worker is killed (one with a batch in its hands, if there is one) and another started, every three
seconds one of their connections is ended, every minute the server is restarted, by turns in order and as if the power
had failed, and every second and a half a generation is deployed or that is taken back. Then the queue has to drain.

The JSON says what was done, what became of the rows (`lost`, `stale`, `orphans` must be 0; `violations` is the number
of moments during the run at which a row was lost or orphaned), and how long the shop's transactions took. The exit code
is 1 if any of I1 to I5 did not hold, or if a fault did not happen; `failed` says which.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from aisle import db, migrations  # noqa: E402
from tests.chaos import buyers, invariants, small_shop, storm  # noqa: E402
from tests.chaos.server import running_server  # noqa: E402
from tests.chaos.storm import Report, Weather  # noqa: E402
from tests.chaos.workers import Nursery, Staff  # noqa: E402

# Taken at the start: what is committed while it runs is not what ran.
COMMIT = subprocess.run(
    ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--shoppers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=5000, help="at the beginning")
    arguments = parser.parse_args()
    weather = Weather(
        seconds=arguments.seconds,
        seed=arguments.seed,
        workers=arguments.workers,
        shoppers=arguments.shoppers,
        rows=arguments.rows,
        restart_every=min(60, arguments.seconds / 3),
        restarts=("fast", "immediate"),
    )
    result = run(weather)
    print(json.dumps(result, ensure_ascii=False, indent=2))
    sys.exit(bool(result["failed"]))


def run(weather: Weather) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="aisle-chaos-") as name,
        Nursery() as nursery,
        running_server(itertools.count(1)) as server,
        server.database() as url,
    ):
        folder = Path(name)
        migrations.migrate(url)
        encoder = small_shop.build_encoder(folder)
        with db.connect(url) as connection:
            small_shop.open_shop(connection, weather.rows)
            small_shop.load_model(connection, "ngram", dimensions=small_shop.OTHER_DIMENSIONS)
            small_shop.load_model(connection, "encoder", encoder=encoder)
            buyers.open_orders(connection)
            say(f"{weather}")
            with Staff(url, folder, nursery) as staff:
                report = storm.expose(server, url, staff, weather)
        with db.connect(url) as connection:
            return {**describe(connection, weather, report), "failed": check(connection, weather, report)}


def describe(connection: db.Connection, weather: Weather, report: Report) -> dict[str, Any]:
    """What was done, and what it came to."""
    return {
        "commit": COMMIT,
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count()},
        "seed": weather.seed,
        "seconds": weather.seconds,
        "faults": {
            "workers killed": report.kills,
            "workers killed with a batch in their hands": report.kills_in_flight,
            "connections ended": report.terminations,
            "connections ended with a batch in their hands": report.terminations_in_flight,
            "restarts": report.restarts.count("fast"),
            "immediate shutdowns": report.restarts.count("immediate"),
            "deploys and rollbacks": report.deploys,
        },
        "committed": dict(report.committed),
        "rows": db.fetch_value(connection, "select count(*) from shop.products"),
        "vectors": db.fetch_value(connection, "select count(*) from aisle.item_vectors"),
        "lost": len(invariants.lost(connection)),
        "stale": len(set(invariants.stale(connection)) - invariants.dead(connection).keys()),
        "orphans": len(invariants.orphans(connection)),
        "dead letters": len(invariants.dead(connection)),
        "violations": len(report.violations),
        "most pending": report.most_pending,
        "seconds to drain": round(report.drained_after, 1),
        "answers": dict(report.answers),
        "mixed answers": len(report.mixed),
        "transactions that failed": report.failures,
        "transactions that a stop of the server ended": report.interrupted,
        "deadlocks": report.deadlocks,
        "longest wait for a worker, ms": round(1000 * report.longest_wait, 1),
        "transactions, ms": report.percentiles(),
        "warnings": dict(report.warnings),
    }


def check(connection: db.Connection, weather: Weather, report: Report) -> list[str]:
    """Return what did not hold."""
    checks: list[Callable[[], None]] = [
        lambda: storm.check_that_the_faults_happened(report, weather),
        lambda: storm.check_what_was_seen_meanwhile(report),
        lambda: invariants.check_every_row_is_current_or_accounted_for(connection),
        lambda: invariants.check_vectors_are_those_of_the_committed_rows(connection, seed=weather.seed),
        lambda: invariants.check_only_the_live_generation_answers(connection, seed=weather.seed),
        lambda: buyers.check_customers_are_those_of_the_committed_orders(connection),
        lambda: invariants.check_nothing_was_passed_by(connection),
        lambda: invariants.check_only_rows_at_fault_were_charged(connection, small_shop.FIRST_POISON_ID),
        lambda: invariants.check_the_shop_was_not_disturbed(
            report.failures, report.deadlocks, report.longest_wait, report.percentiles()
        ),
    ]
    failed = []
    for each in checks:
        try:
            each()
        except AssertionError as error:
            failed.append(str(error))
    return failed


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
