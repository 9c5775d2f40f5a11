"""A server that may be crashed, an encoder made here, and for each test a shop of its own on that server."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aisle import db, migrations
from tests.chaos import small_shop
from tests.chaos.server import CrashableServer, running_server
from tests.chaos.workers import Nursery, Staff
from tests.conftest import TEMPLATE


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where workers start at once."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def crashable(nursery: Nursery) -> Iterator[CrashableServer]:
    """The server of the chaos tests; no other test may be on a server that is taken away."""
    with running_server(itertools.count(1)) as server:
        server.execute(f"create database {TEMPLATE}")
        migrations.migrate(server.url(TEMPLATE))
        yield server


@pytest.fixture
def database_url(crashable: CrashableServer) -> Iterator[str]:
    """A migrated database on it; `connection` and `shop` of the other tests lead here as well."""
    with crashable.database(f"template {TEMPLATE} strategy file_copy") as url:
        yield url


@pytest.fixture(scope="session")
def encoder(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an encoder of one layer that chokes on words which it does not know."""
    return small_shop.build_encoder(tmp_path_factory.mktemp("chaos-encoder"))


@pytest.fixture
def open_shop(connection: db.Connection) -> Callable[..., None]:
    """`open_shop(rows=100)` creates and attaches the shop's table."""
    return lambda **options: small_shop.open_shop(connection, **options)


@pytest.fixture
def staff(database_url: str, nursery: Nursery, tmp_path: Path) -> Iterator[Staff]:
    """The workers of this test."""
    with Staff(database_url, tmp_path, nursery) as staff:
        yield staff
