"""Keeps the vectors of the basket model's customers up to date with their orders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from pgvector import Vector
from psycopg.rows import class_row
from safetensors.numpy import load_file, save_file

from aisle import db
from aisle.db import Connection, model_registry
from aisle.embedder.model_folders import model_folder
from aisle.embedder.orders import Baskets, Floats, customer_vectors, group
from aisle.embedder.row_embedder import RowEmbedder

if TYPE_CHECKING:  # torch is loaded only for a model that has a network
    from aisle.embedder.order_network import StateModel

ARRAYS, REST = "network.safetensors", "network.json"


class States(Protocol):
    """Computes a state from orders; its inner product with a product's row is the logit of buying that next."""

    def states(self, baskets: Baskets) -> Floats:
        """Return (customers, dimensions)."""


@dataclass(frozen=True)
class CustomerRow:
    """A customer and, unless the vectors are current, the order lines."""

    user_id: str
    content_hash: bytes
    is_current: bool
    items: list[str] | None
    ago: list[int] | None
    days: list[float] | None

    @property
    def id(self) -> str:
        """The id of the customer's job."""
        return self.user_id


@dataclass(frozen=True)
class WeightedSumStates:
    """The states of a model without a network: customer vectors, to compare with the products' own vectors."""

    item_vectors: Floats
    decay: float

    def states(self, baskets: Baskets) -> Floats:
        """Return the customer vectors, (customers, dimensions)."""
        return customer_vectors(baskets, self.item_vectors, self.decay)


@dataclass(frozen=True)
class CustomerGeneration:
    """The part of a basket model that the worker needs."""

    model_id: int
    numbers: dict[str, int]  # of the products, by id
    item_vectors: Floats  # (products, dimensions of the customer vectors)
    decay: float
    network: "StateModel | None"

    @property
    def states(self) -> States:
        """The model's network, or the weighted sum."""
        return self.network or WeightedSumStates(self.item_vectors, self.decay)

    def baskets(self, rows: Sequence[CustomerRow]) -> Baskets:
        """Return the orders of the rows that have any, with all products that the model knows."""
        orders = [max(row.ago or (), default=-1) + 1 for row in rows]
        starts = [0, *accumulate(orders)]
        customer, order, at, item = [], [], [], []
        for place, row in enumerate(rows):
            for product, ago, day in zip(row.items or (), row.ago or (), row.days or (), strict=True):
                if product in self.numbers:
                    customer.append(place)
                    order.append(starts[place + 1] - 1 - ago)
                    at.append(day)
                    item.append(self.numbers[product])
        ints: list[npt.NDArray[np.int64]] = [np.array(x, dtype=np.int64) for x in (customer, order, item)]
        quantity = np.ones(len(item), dtype=np.float32)
        days = np.array(at, dtype=np.float64)
        ids = [row.user_id for row in rows]
        return group(ints[0], ints[1], days, ints[2], quantity, ids, list(self.numbers))


def store(connection: Connection, model_id: int, states: "StateModel") -> None:
    """Store the network as files of the model."""
    arrays, rest = states.to_arrays()
    with model_folder() as folder:
        save_file(arrays, folder / ARRAYS)
        (folder / REST).write_text(json.dumps(rest, ensure_ascii=False), encoding="utf-8")
        model_registry.write_files(connection, model_id, folder)


class CustomerEmbedder(RowEmbedder[CustomerGeneration]):
    """The embedder of the task `basket`."""

    task = "basket"
    table = "customer_vectors"
    key = "user_ids"

    def load_generation(self, connection: Connection, model_id: int) -> CustomerGeneration:
        """Read a generation from the database alone."""
        db.register_vectors(connection)
        model = model_registry.get(connection, model_id)
        rows = connection.execute(
            'select item_id, taste from aisle.basket_items where model_id = %s order by item_id collate "C"',
            (model_id,),
        ).fetchall()
        numbers = {item_id: number for number, (item_id, _) in enumerate(rows)}
        item_vectors = np.array([vector.to_numpy() for _, vector in rows], dtype=np.float32)
        decay = model.parameters["decay"][0]
        network = None
        if model.parameters["model"] != "taste":
            from aisle.embedder.order_network import StateModel

            with model_folder() as folder:
                model_registry.read_files(connection, model_id, folder)
                rest = json.loads((folder / REST).read_text(encoding="utf-8"))
                network = StateModel.from_arrays(load_file(folder / ARRAYS), rest)
        return CustomerGeneration(model_id, numbers, item_vectors, decay, network)

    def read(
        self, connection: Connection, generation: CustomerGeneration, ids: Sequence[str], *, anew: bool = False
    ) -> list[CustomerRow]:
        """Read the customers who have orders, and the orders of those whose vectors are not current."""
        with connection.cursor(row_factory=class_row(CustomerRow)) as cursor:
            return cursor.execute(
                db.read("queries/read_customers"),
                {"model_id": generation.model_id, "ids": list(ids), "anew": anew},
            ).fetchall()

    def embed(self, generation: CustomerGeneration, rows: Sequence[CustomerRow]) -> dict[str, list[object]]:
        """Return the columns to write back, one entry a row."""
        made = columns(generation, generation.baskets(rows))
        return {
            **made,
            "embeddings": [Vector(vector) for vector in made["embeddings"]],
            "tastes": [None if vector is None else Vector(vector) for vector in made["tastes"]],
            "next_items": [db.array(items) for items in made["next_items"]],
            "hashes": [row.content_hash for row in rows],
        }

    def hold(self, connection: Connection) -> None:
        """Lock the tables to write, and the shop's tables against TRUNCATE and DDL, to the end of the transaction."""
        connection.execute("select aisle._guard()")
        connection.execute("select from aisle._read_customers('{}')")
        connection.execute("lock table aisle.customer_vectors in row exclusive mode")

    def forget(self, connection: Connection, ids: Sequence[str]) -> None:
        """Remove the vectors of customers without orders."""
        connection.execute("delete from aisle.customer_vectors where user_id = any (%s)", (list(ids),))


def columns(generation: CustomerGeneration, baskets: Baskets) -> dict[str, list[Any]]:
    """Return the columns to store, one entry a customer; a neighbour's vector goes with the order that followed it."""
    before, last = baskets.hold_out_last()
    vectors = customer_vectors(before, generation.item_vectors, generation.decay)
    is_neighbour = np.zeros(baskets.customers, dtype=bool)
    is_neighbour[last.customer] = vectors[last.customer].any(axis=1)
    final = [stop - 1 if stop > start else None for start, stop in pairwise(baskets.customer_start.tolist())]
    return {
        "user_ids": list(baskets.customer_ids),
        "embeddings": list(generation.states.states(baskets)),
        "tastes": [vector if there else None for vector, there in zip(vectors, is_neighbour, strict=True)],
        "next_items": [[] if o is None else [baskets.item_ids[i] for i in baskets.basket(o)] for o in final],
        "known_at": [-np.inf if o is None else float(baskets.at[o]) for o in final],
    }
