"""The settings of every session of ours, whatever settings the role, the database and the server have.

Names without a schema resolve in the system catalogue only. All other names are written with their schema, so that we
never run code that somebody else put on a search path.

A transaction pooler lends each transaction another session. A setting of the session would be lost, or change somebody
else's session. So each transaction behind a pooler sets its settings itself.
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
    # The format of values.
    "array_nulls": "on",
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    # No time limits: a command of ours sets its own limits where it could make others wait.
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
    # Planning. Constraints of tables are not used, because they may call functions.
    "constraint_exclusion": "off",
    "enable_bitmapscan": "on",
    "enable_indexscan": "on",
    "enable_seqscan": "on",
    "jit": "off",
    "plan_cache_mode": "auto",
    # Policies hide rows from us, too. With `off`, any policy would be an error, even one that hides nothing.
    "row_security": "on",
}
# For a library that sends queries before we can set anything, as libpq's options.
STARTUP = "-c search_path=pg_catalog,pg_temp"
SETTINGS_SINCE = {170000: {"transaction_timeout": "0"}}  # by the server's version
# Behind a pooler, each transaction sets these in its BEGIN.
SESSION_ONLY = {"default_transaction_isolation": "read committed", "default_transaction_read_only": "off"}


class PooledCursor(Cursor[Row]):
    """A cursor that runs every statement in a transaction, so that our settings apply."""

    def execute(self, *args: Any, **options: Any) -> "PooledCursor[Row]":
        """Execute a statement, as `psycopg.Cursor.execute` does."""
        with _in_transaction(self.connection):
            super().execute(*args, **options)
        return self

    def executemany(self, *args: Any, **options: Any) -> None:
        """Execute a statement for each set of parameters, as `psycopg.Cursor.executemany` does."""
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
    """Connect, with autocommit, and set `SETTINGS` and the given settings; `options` are libpq's."""
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
    """Return those of `SETTINGS` that a server of this version has, and the given settings."""
    newer = [more for since, more in SETTINGS_SINCE.items() if version >= since]
    return {**SETTINGS, **{name: value for more in newer for name, value in more.items()}, **settings}


def set_all(connection: Connection[Any], settings: Mapping[str, str], *, is_local: bool) -> None:
    """Set these settings for the session, or for the open transaction."""
    # SET takes no snapshot; a query would take the transaction's.
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
    # psycopg's own cursor, because PooledCursor would call this function again.
    Cursor(connection).execute(compose.SQL("; ").join(statements))


def outside_transaction(connection: Connection[Any], statement: compose.Composed) -> None:
    """Execute a statement that cannot be in a transaction, such as `create index concurrently`.

    Behind a pooler it has the settings of the session that the pooler lends.
    """
    Cursor(connection).execute(statement)


def _in_transaction(connection: Connection[Any]) -> AbstractContextManager[object]:
    if connection.info.transaction_status is TransactionStatus.IDLE:
        return connection.transaction()
    return contextlib.nullcontext()


def _identity(connection: Connection[Any]) -> tuple[int, bool]:
    """Return the pid of the server process behind a possible pooler, and whether its server is a replica."""
    query = "select pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()"
    ((pid, is_replica),) = connection.execute(query).fetchall()
    return pid, is_replica
