"""What the database says about threats to freshness, in time for somebody to act."""

from datetime import UTC, datetime, timedelta

import psycopg

from tests.conftest import Shop


def warnings(shop: Shop) -> list[str]:
    return [warning for (warning,) in shop.execute("select warning from aisle.warnings").fetchall()]


def in_an_hour(shop: Shop) -> None:
    shop.execute("select set_config('aisle.now', %s, false)", [(datetime.now(UTC) + timedelta(hours=1)).isoformat()])


def test_all_is_well(shop: Shop) -> None:
    assert warnings(shop) == []


def test_a_transaction_that_holds_back_vacuum(shop: Shop, database_url: str) -> None:
    with psycopg.connect(database_url, application_name="a report") as report:
        report.execute("set transaction isolation level repeatable read")
        report.execute("select 1 from pg_class")
        assert warnings(shop) == [], "Ten minutes are nothing unusual."
        in_an_hour(shop)
        (warning,) = warnings(shop)
        assert warning.startswith("A transaction of a report has been open for 01:00:0")
        remedy = shop.value("select remedy from aisle.warnings")
        assert f"pg_terminate_backend({report.info.backend_pid})" in remedy


def test_nobody_takes_up_what_waits(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.insert("tea", "커피")
    in_an_hour(shop)
    (warning,) = warnings(shop)
    assert warning.startswith("2 rows wait, the oldest for 01:00:0")


def test_a_pgvector_that_damages_indexes(shop: Shop) -> None:
    shop.execute("set allow_system_table_mods = on")
    shop.execute("update pg_extension set extversion = '0.8.2' where extname = 'vector'")
    (warning,) = warnings(shop)
    assert warning.startswith("pgvector is 0.8.2")
