"""Bulk reads as Arrow, and bulk writes by COPY."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector import Vector
from psycopg import sql as compose
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aisle import db
from aisle.db import Connection, errors, sessions

UNDEFINED_TABLE = psycopg.errors.UndefinedTable.sqlstate
INDEX_FROM = db.INDEX_FROM
LONGEST_KEY = 2600  # bytes of a text; no index could hold a longer one
EF_CONSTRUCTION = 128  # pgvector's default is 64; longer to build, and fewer candidates for the same recall
GRAPH = 1000  # bytes that an item takes in the graph of an index while that is built, beside its vector
CONNECTIONS = 16  # of a vector in the graph, pgvector's default for m
SMALLEST = 1e-20  # of a vector's numbers; pgvector raises an error where a product of two others rounds to 0
MOST_MEMORY = 8 * 1024 * 1024  # kB that a build is given at most, unless the server's own setting is higher

OPERATOR_CLASSES = {"<=>": "halfvec_cosine_ops", "<#>": "halfvec_ip_ops"}


def record_batches(connection: Connection, query: str) -> Iterator[Any]:
    """Stream a query's rows as Arrow record batches, over a connection of their own.

    Raises AisleError with what the database says.
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
        # The settings hold in the transaction that it opens by itself. Ours keeps the guard's locks meanwhile.
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
    """Return the address for Arrow's driver, which asks for types before it can be told how."""
    address = db.address_of(connection)
    if isinstance(connection, sessions.PooledConnection):  # which may refuse options
        return address
    options = conninfo_to_dict(address).get("options") or ""
    return make_conninfo(address, options=f"{options} {sessions.STARTUP} -c quote_all_identifiers=off".strip())


def read_columns(connection: Connection, query: str) -> dict[str, npt.NDArray[Any]]:
    """Return a query's columns: numbers as they are, all else as objects; none where there are no rows."""
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
    """Return the distinct values in order of appearance, and each value's place among them, -1 for None."""
    places: dict[str, int] = {}
    numbers = np.array([-1 if v is None else places.setdefault(v, len(places)) for v in values], dtype=np.int64)
    return list(places), numbers


def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Append rows to one of Aisle's tables, all or none. An array is a vector; its numbers below SMALLEST become 0."""
    statement = compose.SQL("copy {} ({}) from stdin").format(
        compose.Identifier("aisle", table), compose.SQL(", ").join(map(compose.Identifier, columns))
    )
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(
                [
                    Vector(np.where(np.abs(x) < SMALLEST, 0, x)).to_text() if isinstance(x, np.ndarray) else x
                    for x in row
                ]
            )


def searched(connection: Connection, task: str) -> list[dict[str, Any]]:
    """Return what of a task is searched for the nearest vectors: table, column and operator of each search."""
    parts: list[dict[str, Any]] = db.fetch_value(
        connection, "select searched from aisle._tasks where task = %s", (task,)
    )
    return parts


def index_generation(connection: Connection, task: str, model_id: int) -> list[str]:
    """Index a generation's vectors where that pays, and count its rows for the planner; return the indexes' names.

    An index that is there is built anew and takes the old one's place when it is ready; queries go on all the while.
    """
    names = []
    for part in searched(connection, task):
        column, partition = part["column"], f"{part['table']}_{model_id}"
        count = compose.SQL("select count({0}), max({2}.vector_dims({0})) from {1}").format(
            compose.Identifier(column), compose.Identifier("aisle", partition), db.vector_schema(connection)
        )
        rows, dimensions = connection.execute(count).fetchall()[0]
        if rows >= INDEX_FROM:
            create_index(
                connection,
                partition,
                dimensions,
                OPERATOR_CLASSES[part["operator"]],
                column=column,
                connections=part.get("connections", CONNECTIONS),
            )
            names.append(f"{partition}_{column}")
        connection.execute(compose.SQL("analyze {}").format(compose.Identifier("aisle", partition)))
    return names


def create_index(
    connection: Connection,
    partition: str,
    dimensions: int,
    operators: str,
    *,
    column: str = "embedding",
    connections: int = CONNECTIONS,
) -> None:
    """Build an HNSW index over half-precision vectors; `operators` is a class such as halfvec_ip_ops.

    The build is given the memory that the graph takes: without it, it goes on on the disk, ten times as slow.
    """
    connection.execute(
        compose.SQL(
            "select set_config('maintenance_work_mem',"
            " greatest(least((select 16384 + count(*) * {} / 1024 from {}), {}), s.setting::bigint) || 'kB', false)"
            " from pg_settings s where s.name = 'maintenance_work_mem'"
        ).format(
            compose.Literal(2 * dimensions + GRAPH),
            compose.Identifier("aisle", partition),
            compose.Literal(MOST_MEMORY),
        )
    )
    try:
        _build_index(connection, partition, dimensions, operators, column, connections)
    except psycopg.errors.DiskFull:
        # Several processes build in shared memory, of which a container has little; one builds in its own.
        connection.execute("set max_parallel_maintenance_workers = 0")
        _build_index(connection, partition, dimensions, operators, column, connections)
    finally:
        connection.execute("reset maintenance_work_mem")
        connection.execute("reset max_parallel_maintenance_workers")


def _build_index(
    connection: Connection, partition: str, dimensions: int, operators: str, column: str, connections: int
) -> None:
    vector_schema = db.vector_schema(connection)
    name = f"{partition}_{column}"
    old, new = compose.Identifier("aisle", name), compose.Identifier("aisle", f"{name}_new")
    # A build that fails leaves an index behind that serves nobody.
    sessions.outside_transaction(connection, compose.SQL("drop index concurrently if exists {}").format(new))
    sessions.outside_transaction(
        connection,
        compose.SQL(
            "create index concurrently {} on {} using hnsw (({}::{}.halfvec({})) {}.{})"
            " with (m = {}, ef_construction = {})"
        ).format(
            compose.Identifier(f"{name}_new"),
            compose.Identifier("aisle", partition),
            compose.Identifier(column),
            vector_schema,
            compose.Literal(dimensions),
            vector_schema,
            compose.Identifier(operators),
            compose.Literal(connections),
            compose.Literal(EF_CONSTRUCTION),
        ),
    )
    sessions.outside_transaction(connection, compose.SQL("drop index concurrently if exists {}").format(old))
    connection.execute(compose.SQL("alter index {} rename to {}").format(new, compose.Identifier(name)))
