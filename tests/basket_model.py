"""Reads a stored basket model back as the trainer's objects, to compare SQL's answers with the trainer's."""

import numpy as np
from scipy import sparse

from aisle.db import Connection, model_registry
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.orders import Baskets
from aisle.trainers.basket.score import Fitted, Learned, Weights


def read_model(connection: Connection, model_id: int, baskets: Baskets) -> tuple[Learned, Weights]:
    """Return the stored model, for the products of `baskets`, which it must know."""
    parameters = model_registry.get(connection, model_id).parameters
    generation = CustomerEmbedder().load(connection, model_id)
    places = [generation.numbers[item_id] for item_id in baskets.item_ids]
    rows = connection.execute(
        "select embedding, popularity, gap, cart, completion from aisle.basket_items "
        'where model_id = %s order by item_id collate "C"',
        (model_id,),
    ).fetchall()
    learned = Learned(
        item_vectors=generation.item_vectors[places],
        popularity=np.array([row[1] for row in rows])[places],
        gap=np.array([row[2] for row in rows])[places],
        average_gap=parameters["gap"],
        rarest=parameters["rarest"],
        size=parameters["size"],
        fitted=Fitted(
            generation.network,
            np.array([row[3].to_numpy() for row in rows])[places],
            np.array([row[4].to_numpy() for row in rows])[places],
            sparse.csr_array((len(places), len(places))),
            parameters["companions"],
            np.zeros((len(places), 0), dtype=np.float32),
        ),
        products=np.array([row[0].to_numpy() for row in rows])[places],
        links=_links(connection, model_id, baskets),
    )
    return learned, Weights.of(parameters)


def _links(connection: Connection, model_id: int, baskets: Baskets) -> sparse.csr_array:
    numbers = {item_id: i for i, item_id in enumerate(baskets.item_ids)}
    rows = connection.execute(
        "select l.item_id, u.* from aisle.item_links l, unnest(l.linked, l.weights) u where l.model_id = %s",
        (model_id,),
    ).fetchall()
    source, target = ([numbers[row[n]] for row in rows] for n in (0, 1))
    return sparse.csr_array(([weight for *_, weight in rows], (source, target)), shape=(baskets.items, baskets.items))
