"""Writes many rows at once, by COPY."""

from collections.abc import Iterable, Sequence

import numpy as np
from pgvector import Vector
from psycopg import sql as compose
from scipy import sparse

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


def copy_links(
    connection: Connection, model_id: int, kind: str, item_ids: Sequence[str], weights: sparse.csr_array
) -> None:
    """Append links of a kind, (items, items), row: source, to `item_links`; an item without any has no row."""
    copy_rows(
        connection,
        "item_links",
        ("model_id", "item_id", "kind", "linked", "weights"),
        (
            (model_id, item_id, kind, [item_ids[j] for j in weights.indices[of]], weights.data[of].tolist())
            for i, item_id in enumerate(item_ids)
            if (of := slice(*weights.indptr[i : i + 2])).start < of.stop
        ),
    )
