"""Workers are killed, connections ended and the server taken away while the shop goes on: nothing is lost by it.

The long form is benchmarks/chaos.py.
"""

from pathlib import Path

import pytest

from aisle import db
from tests.chaos import buyers, invariants, small_shop, storm
from tests.chaos.server import CrashableServer
from tests.chaos.storm import Report, Weather
from tests.chaos.workers import Staff

LONG = Weather(seconds=25, seed=7, restarts=("fast",))
SHORT = Weather(seconds=8, seed=8, restarts=("immediate",), rows=500)


@pytest.mark.parametrize("weather", [LONG, SHORT], ids=["restart", "immediate shutdown"])
def test_no_row_is_lost_stale_or_orphaned(
    crashable: CrashableServer, database_url: str, encoder: Path, staff: Staff, weather: Weather
) -> None:
    with db.connect(database_url) as connection:
        small_shop.open_shop(connection, weather.rows)
        small_shop.load_model(connection, "ngram", dimensions=small_shop.OTHER_DIMENSIONS)
        small_shop.load_model(connection, "encoder", encoder=encoder)
        buyers.open_orders(connection)
    report = storm.expose(crashable, database_url, staff, weather)
    print(report.percentiles(), report)
    storm.check_that_the_faults_happened(report, weather)
    with db.connect(database_url) as connection:
        check_all(connection, report, weather)


def check_all(connection: db.Connection, report: Report, weather: Weather) -> None:
    """I1 to I5, during the run where possible, and after it, with an empty queue."""
    storm.check_what_was_seen_meanwhile(report)
    invariants.check_every_row_is_current_or_accounted_for(connection)
    invariants.check_vectors_are_those_of_the_committed_rows(connection, seed=weather.seed)
    invariants.check_nothing_was_passed_by(connection)
    buyers.check_customers_are_those_of_the_committed_orders(connection)
    invariants.check_only_the_live_generation_answers(connection, seed=weather.seed)
    invariants.check_only_rows_at_fault_were_charged(connection, small_shop.FIRST_POISON_ID)
    invariants.check_the_shop_was_not_disturbed(
        report.failures, report.deadlocks, report.longest_wait, report.percentiles()
    )
