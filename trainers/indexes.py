"""Builds the HNSW indexes that `aisle._tasks` names, for models large enough to need them."""

from typing import Any

import psycopg
from psycopg import sql as compose

from aisle import db
from aisle.db import Connection, sessions

INDEX_FROM = db.INDEX_FROM
EF_CONSTRUCTION = 128  # pgvector's default is 64; a slower build, but fewer candidates for the same recall
GRAPH = 1000  # bytes an item in the graph during the build, without the vector
CONNECTIONS = 16  # pgvector's m, at its default
MOST_MEMORY = 8 * 1024 * 1024  # kB for a build, unless the server's own setting is higher
OPERATOR_CLASSES = {"<=>": "halfvec_cosine_ops", "<#>": "halfvec_ip_ops"}


def searched(connection: Connection, task: str) -> list[dict[str, Any]]:
    """Return the table, column and operator of each of a task's nearest-vector searches."""
    parts: list[dict[str, Any]] = db.fetch_value(
        connection, "select searched from aisle._tasks where task = %s", (task,)
    )
    return parts


def index_generation(connection: Connection, task: str, model_id: int) -> list[str]:
    """Index a generation's vectors if it is large enough, and analyze its tables; return the indexes' names.

    An existing index is rebuilt beside the old one and then replaces it; queries go on meanwhile.
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

    The build gets as much memory as the graph needs: with less, it continues on disk, ten times slower.
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
        # A parallel build needs shared memory, of which a container has little; a single process uses its own.
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
    # A failed build leaves an invalid index behind.
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
