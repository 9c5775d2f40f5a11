"""Workers are killed, connections ended and the server taken away while the shop goes on: nothing is lost by it.

The long form is benchmarks/chaos.py.
"""

from pathlib import Path

import pytest

from aisle import sql
from tests.chaos import harness, invariants
from tests.chaos.harness import CrashableServer, Report, Staff, Weather

LONG = Weather(seconds=25, seed=7, restarts=("fast",))
SHORT = Weather(seconds=8, seed=8, restarts=("immediate",), rows=500)


@pytest.mark.parametrize("weather", [LONG, SHORT], ids=["restart", "immediate shutdown"])
def test_no_row_is_lost_stale_or_orphaned(
    crashable: CrashableServer, database_url: str, encoder: Path, staff: Staff, weather: Weather
) -> None:
    with sql.connect(database_url) as connection:
        harness.open_shop(connection, weather.rows)
        harness.publish(connection, "student", dimensions=harness.OTHER_DIMENSIONS)
        harness.publish(connection, "encoder", encoder=encoder)
    report = harness.expose(crashable, database_url, staff, weather)
    print(report.percentiles(), report)
    harness.check_that_the_faults_happened(report, weather)
    with sql.connect(database_url) as connection:
        check_all(connection, report, weather)


def check_all(connection: sql.Connection, report: Report, weather: Weather) -> None:
    """I1 to I5, at every moment where that can be asked, and now that the queue is empty."""
    harness.check_what_was_seen_meanwhile(report)
    invariants.check_every_row_is_current_or_accounted_for(connection)
    invariants.check_vectors_are_those_of_the_committed_rows(connection, seed=weather.seed)
    invariants.check_only_the_live_generation_answers(connection, seed=weather.seed)
    invariants.check_only_rows_at_fault_were_charged(connection, harness.FIRST_POISON_ID)
    invariants.check_the_shop_was_not_disturbed(
        report.failures, report.deadlocks, report.longest_wait, report.percentiles()
    )
