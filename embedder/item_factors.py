"""Keeps the recommender's item vectors up to date: those of items that were added after its training."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pgvector import Vector
from psycopg.rows import class_row
from safetensors.numpy import load_file, save_file

from aisle import db
from aisle.db import Connection, model_registry
from aisle.embedder import item_tower
from aisle.embedder.model_folders import model_folder
from aisle.embedder.row_embedder import RowEmbedder

ARRAYS, REST = "towers.safetensors", "towers.json"


@dataclass(frozen=True)
class FactorRow:
    """A row of the attached table and, unless its vectors are current, the item tower's inputs."""

    item_id: str
    path: list[str] | None
    category_key: str | None
    content_hash: bytes
    is_current: bool
    text: Vector | None
    near: Vector | None
    near_in: Vector | None

    @property
    def id(self) -> str:
        """The id of the row's job."""
        return self.item_id


@dataclass(frozen=True)
class FactorGeneration:
    """The part of a recommender that the worker needs."""

    model_id: int
    dimensions: int
    towers: list[item_tower.ItemTower]  # empty: an item gets the mean of its neighbours in text space
    text_model: int | None  # the category model whose n-gram vectors the towers read
    separator: str


def store(connection: Connection, model_id: int, item_towers: Sequence[item_tower.ItemTower]) -> None:
    """Store the towers as files of the model."""
    arrays, rest = item_tower.to_arrays(item_towers)
    with model_folder() as folder:
        save_file(arrays, folder / ARRAYS)
        (folder / REST).write_text(json.dumps(rest, ensure_ascii=False), encoding="utf-8")
        model_registry.write_files(connection, model_id, folder)


class FactorEmbedder(RowEmbedder[FactorGeneration]):
    """The embedder of the task `recommender`."""

    task = "recommender"
    table = "item_factors"

    def load_generation(self, connection: Connection, model_id: int) -> FactorGeneration:
        """Read a generation from the database alone."""
        model = model_registry.get(connection, model_id)
        with model_folder() as folder:
            model_registry.read_files(connection, model_id, folder)
            rest = json.loads((folder / REST).read_text(encoding="utf-8"))
            item_towers = item_tower.from_arrays(load_file(folder / ARRAYS), rest)
        return FactorGeneration(
            model_id,
            model.dimensions,
            item_towers,
            model.parameters["text_model"],
            model.parameters["category_separator"],
        )

    def read(
        self, connection: Connection, generation: FactorGeneration, ids: Sequence[str], *, anew: bool = False
    ) -> list[FactorRow]:
        """Read the rows that still exist, and the tower's inputs of those whose vectors are stale."""
        db.register_vectors(connection)
        with connection.cursor(row_factory=class_row(FactorRow), binary=True) as cursor:
            return cursor.execute(
                db.read("queries/read_factors"),
                {
                    "model_id": generation.model_id,
                    "ids": list(ids),
                    "anew": anew,
                    "text_model": generation.text_model,
                    "separator": generation.separator,
                    "has_tower": bool(generation.towers),
                },
            ).fetchall()

    def embed(self, generation: FactorGeneration, rows: Sequence[FactorRow]) -> dict[str, list[object]]:
        """Return the columns to write back, one entry a row."""
        if generation.towers:
            width = next((row.text.dimensions() for row in rows if row.text), 0)
            texts = np.array([row.text.to_numpy() if row.text else np.zeros(width) for row in rows], dtype=np.float32)
            into, out = item_tower.content(generation.towers, [row.path for row in rows], texts if width else None)
        else:
            nothing = Vector(np.zeros(generation.dimensions))
            into = np.array([(row.near_in or nothing).to_numpy() for row in rows])
            out = np.array([(row.near or nothing).to_numpy() for row in rows])
        return {
            "item_ids": [row.item_id for row in rows],
            "embeddings": [Vector(vector) for vector in out],
            "in_embeddings": [Vector(vector) for vector in into],
            "hashes": [row.content_hash for row in rows],
            "category_keys": [row.category_key for row in rows],
        }
