"""Servers that Aisle cannot run on: each is refused with what to do, before anything is created."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aisle import db, migrations
from aisle.db import Connection, errors
from tests.conftest import Server


def fake(version: int = 160000, encoding: str = "UTF8", pgvector: str | None = "0.8.0") -> Connection:
    """Stand for a connection to a server that cannot be had here."""

    class Fake:
        info = SimpleNamespace(server_version=version, parameter_status=lambda _: encoding)

        def execute(self, *_: Any) -> Any:
            return SimpleNamespace(fetchone=lambda: (pgvector,) if pgvector else None)

    return cast(Connection, Fake())


@pytest.mark.parametrize("pgvector", ["0.8.0", "0.8.5", "0.10", "1.0"])
@pytest.mark.parametrize("version", [150000, 180001])
def test_servers_that_will_do(version: int, pgvector: str) -> None:
    db.check_server(fake(version, pgvector=pgvector))


@pytest.mark.parametrize(
    ("connection", "message", "hint"),
    [
        (fake(version=140012), "PostgreSQL 14", "Upgrade the server"),
        (fake(encoding="SQL_ASCII"), "encoding is SQL_ASCII", "encoding 'UTF8'"),
        (fake(pgvector=None), "no pgvector", "postgresql-NN-pgvector"),
        (fake(pgvector="0.7.4"), "pgvector 0.7.4", "alter extension vector update"),
    ],
)
def test_servers_that_will_not(connection: Connection, message: str, hint: str) -> None:
    with pytest.raises(errors.UnsupportedServerError, match=message) as caught:
        db.check_server(connection)
    assert hint in str(caught.value.hint)


def test_an_old_pgvector_in_a_real_database(database_url: str, connection: Connection) -> None:
    connection.execute("update pg_extension set extversion = '0.7.4' where extname = 'vector'")
    with pytest.raises(errors.UnsupportedServerError, match=r"pgvector 0\.7\.4"):
        db.connect(database_url)
    with pytest.raises(errors.UnsupportedServerError):
        migrations.migrate(database_url)


def test_a_database_of_another_encoding(server: Server) -> None:
    with server.database("encoding 'SQL_ASCII' locale 'C' template template0") as url:
        with pytest.raises(errors.UnsupportedServerError, match="SQL_ASCII"):
            db.connect(url)
        with pytest.raises(errors.UnsupportedServerError, match="SQL_ASCII"):
            migrations.migrate(url)
