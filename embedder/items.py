"""Keeps item vectors in step with the shop's rows, for every generation of the category model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pgvector import Vector
from psycopg.rows import class_row

from aisle import sql
from aisle.embedder.generation import Generation
from aisle.sql import Connection


@dataclass(frozen=True)
class ItemRow:
    """A row of the attached table, with its student's vector in one generation."""

    item_id: str
    name: str | None
    manufacturer: str | None
    details: str | None
    content_hash: bytes
    student: list[float]


class ItemEmbedder:
    """The embedder of the task `category`: reads rows by id, computes their vectors, writes them back."""

    task = "category"

    def __init__(self, loaded: Iterable[Generation] = ()) -> None:
        """`loaded` are generations that are in memory already, such as the one that was just trained."""
        self._generations = {generation.model_id: generation for generation in loaded}

    def generations(self, connection: Connection) -> list[Generation]:
        """Return the generations that are kept in step now, loading new ones and forgetting those that are gone."""
        rows = connection.execute(sql.read("queries/generations_in_step"), {"task": self.task}).fetchall()
        self._generations = {
            model_id: self._generations.get(model_id) or Generation.load(connection, model_id) for (model_id,) in rows
        }
        return list(self._generations.values())

    def read(self, connection: Connection, generation: Generation, ids: Sequence[str]) -> list[ItemRow]:
        """Read the rows that still exist."""
        with connection.cursor(row_factory=class_row(ItemRow)) as cursor:
            return cursor.execute(
                sql.read("queries/read_items"), {"model_id": generation.model_id, "ids": list(ids)}
            ).fetchall()

    def embed(self, generation: Generation, rows: Sequence[ItemRow]) -> dict[str, list[object]]:
        """Return the columns to write back. No transaction is open while the model runs."""
        student = np.array([row.student for row in rows], dtype=np.float32)
        vectors = generation.vectors([(row.name, row.manufacturer, row.details) for row in rows], student)
        categories, confidences = generation.head.best(vectors)
        student_categories, student_confidences = generation.head.best(student)
        return {
            "item_ids": [row.item_id for row in rows],
            "embeddings": [Vector(vector).to_text() for vector in vectors],
            "hashes": [row.content_hash for row in rows],
            "categories": list(categories),
            "confidences": list(confidences),
            "student_categories": list(student_categories),
            "student_confidences": list(student_confidences),
        }

    def hold(self, connection: Connection) -> None:
        """Lock the shop's table against TRUNCATE and DDL until the end of the transaction.

        These hold the table and want the jobs, so a worker that had the jobs first would be one half of a deadlock.
        """
        connection.execute("select from aisle._read_items('{}')")

    def write(
        self, connection: Connection, generation: Generation, columns: dict[str, list[object]], keep: set[str]
    ) -> None:
        """Store the vectors of the ids in `keep` whose rows still have the content that they were computed from."""
        kept = [i for i, item_id in enumerate(columns["item_ids"]) if item_id in keep]
        connection.execute(
            sql.read("queries/write_item_vectors"),
            {
                "model_id": generation.model_id,
                **{name: [values[i] for i in kept] for name, values in columns.items()},
            },
        )

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove what was derived from rows that are gone."""
        connection.execute("select aisle._forget_items(%s)", (list(ids),))
