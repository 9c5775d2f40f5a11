"""The common part of the row embedders: generations in memory, and conditional writes to one table."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from aisle import db
from aisle.db import Connection
from aisle.embedder import queue


class Identified(Protocol):
    """A generation, with its model's id."""

    @property
    def model_id(self) -> int:
        """The model's id."""


G = TypeVar("G", bound=Identified)


class RowEmbedder(ABC, Generic[G]):
    """Reads the shop's rows by id, computes their vectors, writes them back. One subclass a task."""

    task: str
    table: str  # the vectors' table; there are queries lock_, write_ and find_embedded_TABLE
    key: str = "item_ids"  # the queries' name of the ids

    def __init__(self, loaded: Iterable[G] = ()) -> None:
        """`loaded` are generations already in memory, such as the one that was just trained."""
        self._loaded = {generation.model_id: generation for generation in loaded}

    @abstractmethod
    def load_generation(self, connection: Connection, model_id: int) -> G:
        """Read a generation from the database alone."""

    @abstractmethod
    def read(self, connection: Connection, generation: G, ids: Sequence[str], *, anew: bool = False) -> Sequence[Any]:
        """Read the rows that still exist, and the model's inputs of those whose vectors are stale."""

    @abstractmethod
    def embed(self, generation: G, rows: Sequence[Any]) -> dict[str, list[object]]:
        """Return the columns to write back, one entry a row. Runs outside the database's thread."""

    def generations(self, connection: Connection) -> list[int]:
        """Return the models whose vectors are kept up to date now, and drop other generations from memory."""
        rows = connection.execute(db.read("queries/generations_to_embed"), {"task": self.task}).fetchall()
        current = [model_id for (model_id,) in rows]
        self._loaded = {model_id: self._loaded[model_id] for model_id in current if model_id in self._loaded}
        return current

    def load(self, connection: Connection, model_id: int) -> G:
        """Return a generation, from memory if it is there."""
        if model_id not in self._loaded:
            self._loaded[model_id] = self.load_generation(connection, model_id)
        return self._loaded[model_id]

    def write(
        self, connection: Connection, generation: G, columns: dict[str, list[object]], keep: set[str]
    ) -> set[str]:
        """Store the vectors of the ids in `keep` whose rows still have the content that was embedded.

        Part of the caller's transaction. Returns the stored ids; the caller retries the others.
        """
        kept = [i for i, item_id in enumerate(columns[self.key]) if item_id in keep]
        if not kept:
            return set()
        parameters = {name: [values[i] for i in kept] for name, values in columns.items()}
        key = {"model_id": generation.model_id, self.key: parameters[self.key]}
        locked = [row[0] for row in connection.execute(db.read(f"queries/lock_{self.table}"), key).fetchall()]
        rows = connection.execute(db.read(f"queries/write_{self.table}"), {**parameters, **key, "locked": locked})
        return {row[0] for row in rows.fetchall()}

    def hold(self, connection: Connection) -> None:
        """Lock the tables to write, and the shop's table against TRUNCATE and DDL, to the end of the transaction."""
        connection.execute("select aisle._guard()")
        connection.execute("select from aisle._read_items('{}')")
        connection.execute(
            "lock table aisle.item_vectors, aisle.item_factors, aisle._item_predictions in row exclusive mode"
        )

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove the vectors of deleted rows."""
        connection.execute("select aisle._forget_items(%s)", (list(ids),))

    def still_works(self, connection: Connection, generation: G) -> bool | None:
        """Return whether the model can still embed a row that it embedded before; None if there is no such row.

        A row that has changed or gone since then says nothing about the model.
        """
        try:
            known = connection.execute(
                db.read(f"queries/find_embedded_{self.table}"), {"model_id": generation.model_id}
            ).fetchone()
            if known is None:
                return None
            self.embed(generation, self.read(connection, generation, [known[0]], anew=True))
            return True
        except queue.LOST:
            raise
        except Exception:
            return False
