"""Reads many rows at once, as Arrow record batches."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aisle import db
from aisle.db import Connection, errors, sessions

UNDEFINED_TABLE = psycopg.errors.UndefinedTable.sqlstate


def record_batches(connection: Connection, query: str) -> Iterator[Any]:
    """Stream a query's rows as Arrow record batches, over a connection of their own.

    Raises AisleError with the database's message.
    """
    try:
        import pyarrow  # noqa: F401  # the driver hands out its objects
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise errors.MissingExtraError("Training needs Arrow.", hint="pip install '.[train]'") from error
    settings = sessions.for_server(connection.info.server_version, {})
    prepare = ", ".join(
        compose.SQL("pg_catalog.set_config({}, {}, true)").format(name, value).as_string(connection)
        for name, value in settings.items()
    )
    try:
        # The driver opens the transaction in which the settings hold. Ours keeps the guard's locks meanwhile.
        with connection.transaction(), dbapi.connect(_address(connection)) as adbc, adbc.cursor() as cursor:
            connection.execute("select aisle._guard()")
            cursor.execute("set transaction isolation level read committed read only")
            cursor.execute(f"select {prepare}")
            cursor.fetchall()
            cursor.execute(query)
            yield from cursor.fetch_record_batch()
    except (dbapi.Error, OSError) as error:  # an OSError while the rows come
        message = str(error).partition("\n")[0]
        missing = errors.missing_relation(message) if getattr(error, "sqlstate", None) == UNDEFINED_TABLE else None
        raise missing or errors.AisleError(f"The database says: {message}.") from error


def _address(connection: Connection) -> str:
    """Return the address for Arrow's driver, with settings for the queries about types that it sends on connecting."""
    address = db.address_of(connection)
    if isinstance(connection, sessions.PooledConnection):  # a pooler may refuse options
        return address
    options = conninfo_to_dict(address).get("options") or ""
    return make_conninfo(address, options=f"{options} {sessions.STARTUP} -c quote_all_identifiers=off".strip())


def read_columns(connection: Connection, query: str) -> dict[str, npt.NDArray[Any]]:
    """Return a query's columns: numbers as they are, other types as objects; no columns if there are no rows."""
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for batch in record_batches(connection, query):
        for name in batch.schema.names:
            column = batch[name]
            parts.setdefault(name, []).append(
                column.to_numpy(zero_copy_only=False)
                if column.type in ("double", "float")
                else np.array([*column.to_pylist(), None], dtype=object)[:-1]
            )
    return {name: np.concatenate(columns) for name, columns in parts.items()}


def numbered(values: npt.NDArray[Any]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct values in order of appearance, and the index of each value among them, -1 for None."""
    places: dict[str, int] = {}
    numbers = np.array([-1 if v is None else places.setdefault(v, len(places)) for v in values], dtype=np.int64)
    return list(places), numbers
