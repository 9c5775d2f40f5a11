"""Writes many rows at once, by COPY."""

from collections.abc import Iterable, Sequence

import numpy as np
from pgvector import Vector
from psycopg import sql as compose

from aisle.db import Connection

LONGEST_KEY = 2600  # bytes of a text; no index could hold a longer one
SMALLEST = 1e-20  # of a vector's numbers; if two numbers' product rounds to 0, pgvector raises an error


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
