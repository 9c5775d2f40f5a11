"""Connections to the database, and the SQL files of `sql/`. Nothing here imports torch."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql as compose
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow, tuple_row
from psycopg.types import TypeInfo

from aisle.db import addresses, errors, sessions

SQL = Path(__file__).parent.parent / "sql"

Connection = psycopg.Connection[TupleRow]
Parameters = Sequence[Any] | Mapping[str, Any]

MINIMUM_POSTGRES = 150000  # server_version_num of PostgreSQL 15
MINIMUM_PGVECTOR = (0, 8)
INDEX_FROM = 10_000  # vectors of a generation; with fewer, an exact scan takes about a millisecond

# Seconds; tcp_user_timeout in milliseconds. A connection notices a vanished server after one minute; the system's
# default is two hours. The encoding does not depend on the machine's.
CONNECTION_OPTIONS: dict[str, Any] = {
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

# Messages of a server or a pooler that refuses a connection for good. A server may speak another language: its messages
# are not found here, so the worker keeps trying.
REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "not permitted to log in",
    "permission denied for database",
    "no such database",
    "no such user",
    "does not support ssl",
    "certificate verify failed",
)


@functools.cache
def read(name: str) -> str:
    """Return the text of one SQL file, for example `read("queries/claim_jobs")`."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def database_url(explicit: str | None = None) -> str:
    """Return the given URL, else the environment's, else that of the embedded server, which this starts if needed."""
    url = explicit or os.environ.get("AISLE_DATABASE_URL") or os.environ.get("DATABASE_URL")
    if url:
        # SQLAlchemy and Django spell the same address in other ways.
        return url.replace("postgresql+psycopg://", "postgresql://", 1).replace("postgres://", "postgresql://", 1)
    from aisle.db import embedded

    return embedded.start()


def connect(url: str, *, application_name: str = "aisle", settings: Mapping[str, str] | None = None) -> Connection:
    """Open an autocommit connection. A block that must be atomic uses `with connection.transaction()`.

    The session has `sessions.SETTINGS` and `settings`, whatever settings the role and the database have. Raises
    ConnectionFailedError if the server cannot be reached, its subclass WrongAddressError if another attempt cannot
    help, and UnsupportedServerError if the server is too old.
    """
    try:
        connection = sessions.open_session(
            url, settings=settings or {}, application_name=application_name, **CONNECTION_OPTIONS
        )
    except psycopg.Error as error:
        message = f"Cannot connect to the database: {addresses.reason(error, url)}."
        if addresses.may_be_quoted(error, url):
            # Without its cause, because a trace would show it, and the password in it.
            raise errors.WrongAddressError(message, hint=addresses.UNREADABLE_HINT) from None
        failure = errors.WrongAddressError if _is_refusal(error) else errors.ConnectionFailedError
        raise failure(message) from error
    try:
        check_server(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_refusal(error: psycopg.Error) -> bool:
    """Return whether another attempt to connect would fail, too."""
    # A failed connection has no SQLSTATE, only a message.
    return (
        isinstance(error, psycopg.ProgrammingError)  # libpq cannot parse the address
        or bool(error.pgconn and error.pgconn.needs_password)
        or any(words in str(error).lower() for words in REFUSALS)
    )


def fetch_row(connection: Connection, query: str, parameters: Parameters | None = None) -> TupleRow:
    """Return the first row of a query that always has one; raises LookupError if it has none."""
    row = connection.execute(query.encode(), parameters).fetchone()
    if row is None:
        raise LookupError(f"No row came from: {query}")
    return row


def fetch_value(connection: Connection, query: str, parameters: Parameters | None = None) -> Any:
    """Return the first column of the first row of a query that always has one; raises LookupError if it has none."""
    return fetch_row(connection, query, parameters)[0]


def array(texts: Sequence[str]) -> str:
    """Return an array as PostgreSQL writes it: as text, because an array of arrays would need equal lengths."""
    return "{" + ",".join('"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"' for t in texts) + "}"


@contextlib.contextmanager
def guarded(connection: Connection) -> Iterator[None]:
    """Open a transaction that reads the shop's relations; raises ForeignCodeError if they run other roles' code."""
    with connection.transaction():
        connection.execute("select aisle._guard()")
        yield


def address_of(connection: psycopg.Connection[Any]) -> str:
    """Return the address of a connection, with the password."""
    return make_conninfo(connection.info.dsn, password=connection.info.password or None, client_encoding="UTF8")


def vector_schema(connection: psycopg.Connection[Any]) -> compose.Identifier:
    """Return the schema of pgvector; raises UnsupportedServerError without pgvector.

    SQL must write it, because pgvector's types and operators are on no search path.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace"
            " where e.extname = 'vector'"
        ).fetchone()
    if row is None:
        raise errors.UnsupportedServerError("pgvector is not installed in this database.", hint="Run: aisle migrate")
    return compose.Identifier(row[0])


def register_vectors(connection: Connection) -> None:
    """Make this connection send and receive pgvector's vectors."""
    if connection.adapters.types.get("vector") is not None:
        return
    from pgvector.psycopg.halfvec import register_halfvec_info
    from pgvector.psycopg.vector import register_vector_info

    schema = vector_schema(connection).as_string(connection)
    for name, register in (("vector", register_vector_info), ("halfvec", register_halfvec_info)):
        info = TypeInfo.fetch(connection, f"{schema}.{name}")
        if info is None:
            raise errors.UnsupportedServerError(f"pgvector's type {name} is missing.")
        register(connection, info)


def check_server(connection: Connection) -> None:
    """Raise UnsupportedServerError unless Aisle supports the server, its encoding and its pgvector."""
    if connection.info.server_version < MINIMUM_POSTGRES:
        raise errors.UnsupportedServerError(
            f"The server is PostgreSQL {connection.info.server_version // 10000}; Aisle needs 15 or newer.",
            hint="Upgrade the server, or use the embedded one (no --database-url).",
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise errors.UnsupportedServerError(
            f"The database's encoding is {encoding}; Aisle needs UTF8.",
            hint="Create a database with: create database shop encoding 'UTF8' template template0",
        )
    row = connection.execute(
        "select coalesce(installed_version, default_version) from pg_available_extensions where name = 'vector'"
    ).fetchone()
    if row is None:
        raise errors.UnsupportedServerError(
            "The server has no pgvector.",
            hint="Install the package postgresql-NN-pgvector, or enable `vector` in your provider's console.",
        )
    if tuple(int(part) for part in row[0].split(".")[:2]) < MINIMUM_PGVECTOR:
        raise errors.UnsupportedServerError(
            f"The server has pgvector {row[0]}; Aisle needs 0.8 or newer.",
            hint="Install a newer package, then: alter extension vector update",
        )
