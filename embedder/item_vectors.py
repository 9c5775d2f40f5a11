"""Keeps item vectors up to date with the shop's rows, for every generation of the category model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pgvector import Vector
from psycopg.rows import class_row

from aisle import db
from aisle.db import Connection
from aisle.embedder.category_model import Generation
from aisle.embedder.row_embedder import RowEmbedder


@dataclass(frozen=True)
class ItemRow:
    """A row of the attached table and, unless its vector is current, the model's inputs."""

    item_id: str
    name: str | None
    manufacturer: str | None
    details: str | None
    content_hash: bytes
    is_current: bool
    ngram_vector: Vector | None
    tokens: list[int] | None = None

    @property
    def id(self) -> str:
        """The id of the row's job."""
        return self.item_id


class ItemEmbedder(RowEmbedder[Generation]):
    """The embedder of the task `category`: reads rows by id, computes their vectors, writes them back."""

    task = "category"
    table = "item_vectors"

    def load_generation(self, connection: Connection, model_id: int) -> Generation:
        """Read a generation from the database alone."""
        return Generation.load(connection, model_id)

    def read(
        self, connection: Connection, generation: Generation, ids: Sequence[str], *, anew: bool = False
    ) -> list[ItemRow]:
        """Read the rows that still exist, and tokenise those whose vectors are stale; `anew`: all of them."""
        db.register_vectors(connection)
        with connection.cursor(row_factory=class_row(ItemRow), binary=True) as cursor:
            rows = cursor.execute(
                db.read("queries/read_items"), {"model_id": generation.model_id, "ids": list(ids), "anew": anew}
            ).fetchall()
        stale = [row for row in rows if not row.is_current]
        tokens = generation.tokenise([(row.name, row.manufacturer, row.details) for row in stale])
        return [
            *(row for row in rows if row.is_current),
            *(replace(row, tokens=part) for row, part in zip(stale, tokens, strict=True)),
        ]

    def embed(self, generation: Generation, rows: Sequence[ItemRow]) -> dict[str, list[object]]:
        """Return the columns to write back, one entry a row. Runs outside the database's thread."""
        ngram_vectors = np.array([row.ngram_vector.to_numpy() for row in rows if row.ngram_vector], dtype=np.float32)
        vectors = generation.embed([row.tokens or [] for row in rows], ngram_vectors)
        categories, confidences = generation.head.best(vectors)
        ngram_categories, ngram_confidences = generation.head.best(ngram_vectors)
        return {
            "item_ids": [row.item_id for row in rows],
            "embeddings": [Vector(vector) for vector in vectors],
            "hashes": [row.content_hash for row in rows],
            "categories": list(categories),
            "confidences": list(confidences),
            "ngram_categories": list(ngram_categories),
            "ngram_confidences": list(ngram_confidences),
        }
