"""Keeps item vectors in step with the shop's rows, for every generation of the category model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector
from psycopg.rows import class_row

from aisle import sql
from aisle.embedder.generation import Generation
from aisle.sql import Connection


@dataclass(frozen=True)
class ItemRow:
    """A row of the attached table and, unless its vector is current, what the model needs to know of it."""

    item_id: str
    name: str | None
    manufacturer: str | None
    details: str | None
    content_hash: bytes
    is_current: bool
    student: Vector | None
    tokens: list[int] | None = None

    @property
    def id(self) -> str:
        """The id of the row's job."""
        return self.item_id


class ItemEmbedder:
    """The embedder of the task `category`: reads rows by id, computes their vectors, writes them back."""

    task = "category"

    def __init__(self, loaded: Iterable[Generation] = ()) -> None:
        """`loaded` are generations that are in memory already, such as the one that was just trained."""
        self._loaded = {generation.model_id: generation for generation in loaded}

    def generations(self, connection: Connection) -> list[int]:
        """Return the models whose vectors are kept in step now, and forget those that no longer are."""
        rows = connection.execute(sql.read("queries/generations_in_step"), {"task": self.task}).fetchall()
        in_step = [model_id for (model_id,) in rows]
        self._loaded = {model_id: self._loaded[model_id] for model_id in in_step if model_id in self._loaded}
        return in_step

    def load(self, connection: Connection, model_id: int) -> Generation:
        """Return a generation, from memory if it is there."""
        if model_id not in self._loaded:
            self._loaded[model_id] = Generation.load(connection, model_id)
        return self._loaded[model_id]

    def read(
        self, connection: Connection, generation: Generation, ids: Sequence[str], *, anew: bool = False
    ) -> list[ItemRow]:
        """Read the rows that still exist, and tokenise those whose vectors are not current, or all of them `anew`."""
        register_vector(connection)
        with connection.cursor(row_factory=class_row(ItemRow), binary=True) as cursor:
            rows = cursor.execute(
                sql.read("queries/read_items"), {"model_id": generation.model_id, "ids": list(ids), "anew": anew}
            ).fetchall()
        stale = [row for row in rows if not row.is_current]
        tokens = generation.tokenise([(row.name, row.manufacturer, row.details) for row in stale])
        return [
            *(row for row in rows if row.is_current),
            *(replace(row, tokens=part) for row, part in zip(stale, tokens, strict=True)),
        ]

    def embed(self, generation: Generation, rows: Sequence[ItemRow]) -> dict[str, list[object]]:
        """Return the columns to write back, one entry a row. Runs beside the database's thread, and without it."""
        student = np.array([row.student.to_numpy() for row in rows if row.student], dtype=np.float32)
        vectors = generation.embed([row.tokens or [] for row in rows], student)
        categories, confidences = generation.head.best(vectors)
        student_categories, student_confidences = generation.head.best(student)
        return {
            "item_ids": [row.item_id for row in rows],
            "embeddings": [Vector(vector) for vector in vectors],
            "hashes": [row.content_hash for row in rows],
            "categories": list(categories),
            "confidences": list(confidences),
            "student_categories": list(student_categories),
            "student_confidences": list(student_confidences),
        }

    def write(
        self, connection: Connection, generation: Generation, columns: dict[str, list[object]], keep: set[str]
    ) -> set[str]:
        """Store the vectors of the ids in `keep` whose rows still have the content that they were computed from.

        Part of the caller's transaction. Returns the ids that were stored; the others are to be tried again.
        """
        kept = [i for i, item_id in enumerate(columns["item_ids"]) if item_id in keep]
        if not kept:
            return set()
        parameters = {name: [values[i] for i in kept] for name, values in columns.items()}
        key = {"model_id": generation.model_id, "item_ids": parameters["item_ids"]}
        locked = [row[0] for row in connection.execute(sql.read("queries/lock_item_vectors"), key).fetchall()]
        rows = connection.execute(sql.read("queries/write_item_vectors"), {**parameters, **key, "locked": locked})
        return {row[0] for row in rows.fetchall()}

    def hold(self, connection: Connection) -> None:
        """Lock what will be written, and the shop's table against TRUNCATE and DDL, to the end of the transaction."""
        connection.execute("select from aisle._read_items('{}')")
        connection.execute("lock table aisle.item_vectors, aisle._item_predictions in row exclusive mode")

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove what was derived from rows that are gone."""
        connection.execute("select aisle._forget_items(%s)", (list(ids),))

    def still_works(self, connection: Connection, generation: Generation) -> bool | None:
        """Return whether the model can still embed a row that it embedded before; None if it knows of no such row.

        A row that changed or went since then tells nothing about the model.
        """
        try:
            known = connection.execute(
                sql.read("queries/find_embedded_item"), {"model_id": generation.model_id}
            ).fetchone()
            if known is None:
                return None
            self.embed(generation, self.read(connection, generation, [known[0]], anew=True))
            return True
        except psycopg.OperationalError:
            raise
        except Exception:
            return False
