"""What every session of ours is like, whatever settings a role, a database or a server has.

Names resolve in the system catalogue alone. Everything else is written with its schema, so that we never run what
somebody else has put on a search path.

A transaction pooler lends each transaction another session: what was set would be lost, or left to somebody else.
Behind one, each transaction sets for itself what it needs.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg import Connection, Cursor
from psycopg import sql as compose
from psycopg.pq import TransactionStatus
from psycopg.rows import Row, TupleRow

SETTINGS: dict[str, str] = {
    "search_path": "pg_catalog, pg_temp",
    # How values are written.
    "array_nulls": "on",
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    # How long a command of ours may take is its own affair: it sets limits where it could be in somebody's way.
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
    # How statements are planned. Conditions of tables are not looked at: they may call functions.
    "constraint_exclusion": "off",
    "enable_bitmapscan": "on",
    "enable_indexscan": "on",
    "enable_seqscan": "on",
    "jit": "off",
    "plan_cache_mode": "auto",
    # A policy that hides rows from us hides them; with `off`, one that hides none would be an error, too.
    "row_security": "on",
}
# Where a library asks something before it can be told, as libpq's options.
STARTUP = "-c search_path=pg_catalog,pg_temp"
SETTINGS_SINCE = {170000: {"transaction_timeout": "0"}}  # by the server's version
# Behind a pooler, each transaction says these as it begins.
SESSION_ONLY = {"default_transaction_isolation": "read committed", "default_transaction_read_only": "off"}


class PooledCursor(Cursor[Row]):
    """A cursor whose statements never run outside a transaction, so that their settings hold."""

    def execute(self, *args: Any, **options: Any) -> "PooledCursor[Row]":
        """Execute a statement, as `psycopg.Cursor.execute` does."""
        with _in_transaction(self.connection):
            super().execute(*args, **options)
        return self

    def executemany(self, *args: Any, **options: Any) -> None:
        """Execute a statement for each of some parameters, as `psycopg.Cursor.executemany` does."""
        with _in_transaction(self.connection):
            super().executemany(*args, **options)

    def stream(self, *args: Any, **options: Any) -> Iterator[Row]:
        """Yield rows as they come, as `psycopg.Cursor.stream` does."""
        with _in_transaction(self.connection):
            yield from super().stream(*args, **options)

    @contextlib.contextmanager
    def copy(self, *args: Any, **options: Any) -> Iterator[psycopg.Copy]:
        """Copy rows in or out, as `psycopg.Cursor.copy` does."""
        with _in_transaction(self.connection), super().copy(*args, **options) as copy:
            yield copy


class PooledConnection(Connection[TupleRow]):
    """A connection through a pooler, which may lend it another session for each transaction."""

    settings: Mapping[str, str] = {}

    @contextlib.contextmanager
    def transaction(self, *args: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        """Open a transaction, as `psycopg.Connection.transaction` does, with our settings."""
        is_outermost = self.info.transaction_status is TransactionStatus.IDLE
        with super().transaction(*args, **options) as transaction:
            if is_outermost:
                set_all(self, self.settings, is_local=True)
            yield transaction


def open_session(url: str, *, settings: Mapping[str, str], **options: Any) -> Connection[TupleRow]:
    """Connect, with autocommit, and give the session `SETTINGS` and the given ones; `options` are libpq's."""
    connection = psycopg.connect(url, autocommit=True, **options)
    try:
        pid, is_replica = _identity(connection)
        wanted = for_server(connection.info.server_version, settings)
        if pid == connection.info.backend_pid:
            set_all(connection, {**wanted, **SESSION_ONLY}, is_local=False)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    pooled = PooledConnection.connect(url, autocommit=True, cursor_factory=PooledCursor, **options)
    pooled.settings = wanted
    pooled.prepare_threshold = None
    pooled.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    pooled.read_only = None if is_replica else False
    return pooled


def for_server(version: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Return `SETTINGS`, as far as a server of this version has them, and the given ones."""
    newer = [more for since, more in SETTINGS_SINCE.items() if version >= since]
    return {**SETTINGS, **{name: value for more in newer for name, value in more.items()}, **settings}


def set_all(connection: Connection[Any], settings: Mapping[str, str], *, is_local: bool) -> None:
    """Set these for the session, or for the transaction that is open."""
    # As SET, not as a query, which would take the transaction's snapshot.
    statements = [
        compose.SQL("set {} {} to {}").format(
            compose.SQL("local" if is_local else "session"),
            compose.Identifier(name),
            compose.SQL(", ").join(map(compose.Literal, value.split(", ")))
            if name in ("search_path", "datestyle")
            else compose.Literal(value),
        )
        for name, value in settings.items()
    ]
    # The cursor is psycopg's own: this is what ours would do first.
    Cursor(connection).execute(compose.SQL("; ").join(statements))


def outside_transaction(connection: Connection[Any], statement: compose.Composed) -> None:
    """Execute what cannot be part of a transaction, such as `create index concurrently`.

    Behind a pooler the settings are then those of whatever session it lends.
    """
    Cursor(connection).execute(statement)


def _in_transaction(connection: Connection[Any]) -> AbstractContextManager[object]:
    if connection.info.transaction_status is TransactionStatus.IDLE:
        return connection.transaction()
    return contextlib.nullcontext()


def _identity(connection: Connection[Any]) -> tuple[int, bool]:
    """Return the process that really serves us, and whether its server is a replica."""
    query = "select pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()"
    ((pid, is_replica),) = connection.execute(query).fetchall()
    return pid, is_replica
