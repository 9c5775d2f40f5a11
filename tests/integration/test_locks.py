"""What takes strong locks gives way: no writer of the shop's queues up behind it, and in the end it comes through."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from click.testing import CliRunner, Result

from aisle.cli import aisle
from aisle.db import Connection, errors, locks
from tests.conftest import Shop, TinyModel

Pauses = Callable[[Callable[[], object]], None]


@pytest.fixture
def holder(database_url: str, shop: Shop) -> Iterator[Connection]:
    """A session that has begun a long transaction."""
    shop.create()
    with psycopg.connect(database_url, application_name="monthly report") as connection:
        connection.execute("select")
        yield connection


@pytest.fixture
def at_pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """`at_pauses(action)` does something instead of pausing; locks are waited for a tenth of a second."""
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 0.1)

    def patch(action: Callable[[], object]) -> None:
        monkeypatch.setattr("aisle.db.locks.time.sleep", lambda seconds: action())

    return patch


def invoke(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(aisle, ["--database-url", url, *arguments])


@pytest.mark.parametrize("command", ["attach", "detach"])
def test_the_shop_writes_while_a_long_transaction_is_in_the_way(
    shop: Shop, holder: Connection, database_url: str, at_pauses: Pauses, tiny_model: TinyModel, command: str
) -> None:
    if command == "detach":
        shop.attach()
        shop.insert("tea", "커피")
    holder.execute("insert into shop.products (id) values (1000)")
    written: list[int] = []

    def write() -> None:
        shop.execute("set lock_timeout = '5s'")
        shop.execute("insert into shop.products (id) values (%s)", [2000 + len(written)])
        written.append(1)
        if len(written) == 2:
            holder.commit()

    at_pauses(write)
    arguments = ["shop.products", "--manufacturer", "maker"] if command == "attach" else []
    outcome = invoke(database_url, command, "items", *arguments)
    assert outcome.exit_code == 0, outcome.output
    assert len(written) == 2
    assert shop.value("select count(*) from aisle._attachments") == (command == "attach")
    if command == "detach":
        assert shop.vectors() == {}
        assert shop.value("select count(*) from pg_trigger where tgname like 'aisle%%'") == 0


def test_who_is_in_the_way_for_too_long_is_named(
    shop: Shop, holder: Connection, database_url: str, at_pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.execute("insert into shop.products (id) values (1000)")
    at_pauses(lambda: pytest.fail("There is no time to pause."))
    monkeypatch.setattr(locks, "PATIENCE", 0)
    outcome = invoke(database_url, "attach", "items", "shop.products")
    assert isinstance(outcome.exception, errors.BusyError)
    assert f"process {holder.info.backend_pid} (monthly report)" in str(outcome.exception)
    assert shop.value("select count(*) from aisle._attachments") == 0
