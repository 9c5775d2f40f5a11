"""Loads a fitted basket model into the database as a generation."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from scipy import sparse

from aisle import db
from aisle.db import Connection, model_registry
from aisle.embedder import customer_vectors as customer_files
from aisle.embedder.customer_vectors import CustomerEmbedder, CustomerGeneration, columns
from aisle.embedder.orders import DAY, Baskets, Targets
from aisle.embedder.pipeline import drain
from aisle.trainers.basket.score import BOUNDS, DECAY, Learned, Weights
from aisle.trainers.copy_rows import LONGEST_KEY, copy_links, copy_rows
from aisle.trainers.indexes import index_generation
from aisle.trainers.warm_start import Seen, Start


def load(
    connection: Connection, task: str, baskets: Baskets, test: Targets, learned: Learned, weights: Weights,
    hashes: Mapping[str, bytes], seen: Seen, parameters: Mapping[str, Any],
) -> int:  # fmt: skip
    """Load products and customers, and embed those that changed meanwhile; return the model's id."""
    model_id = model_registry.create(
        connection,
        task,
        learned.products.shape[1],
        encoder=None,
        parameters={
            **parameters,
            "weights": weights.named(),
            "ranges": weights.named_ranges(),
            "bounds": BOUNDS,
            "logit": weights.logit,
            "decay": DECAY,
            "companions": learned.fitted.cosine_weight,
            "gap": learned.average_gap,
            "rarest": learned.rarest,
            "size": learned.size,
        },
    )
    if learned.fitted.network:
        customer_files.store(connection, model_id, learned.fitted.network)
        Start({}, {}, seen).store(connection, model_id)  # the network has not learned from customers who measured it
    copy_rows(
        connection,
        "basket_items",
        (
            "model_id",
            "item_id",
            "embedding",
            "taste",
            "cart",
            "completion",
            "companions",
            "cosines",
            "co_purchase",
            "popularity",
            "gap",
        ),
        (
            (model_id, *row)
            for row in zip(
                baskets.item_ids,
                learned.products,
                learned.item_vectors,
                learned.fitted.cart,
                learned.fitted.completion,
                *_co_purchased(learned.fitted.co_purchased, baskets.item_ids),
                [row if row.any() else None for row in learned.fitted.co_purchase],
                learned.popularity,
                learned.gap,
                strict=True,
            )
        ),
    )
    copy_links(connection, model_id, "after", baskets.item_ids, learned.links)
    numbers = {item_id: i for i, item_id in enumerate(baskets.item_ids)}
    generation = CustomerGeneration(model_id, numbers, learned.item_vectors, DECAY[0], learned.fitted.network)
    made = columns(generation, baskets)
    copy_rows(
        connection,
        "customer_vectors",
        ("model_id", "user_id", "embedding", "taste", "next_items", "known_at", "content_hash"),
        (
            (model_id, user_id, *row, hashes[user_id])
            for user_id, *row in zip(*made.values(), strict=True)
            if user_id in hashes and len(user_id.encode()) <= LONGEST_KEY
        ),
    )
    connection.execute(
        db.read("queries/add_heldout_users"),
        {
            "kind": "orders",
            "model_id": model_id,
            "user_ids": [baskets.customer_ids[c] for c in test.customer],
            "moments": (test.at * DAY).tolist(),
            "contexts": ["{}"] * len(test),
            "relevant": [db.array([baskets.item_ids[i] for i in test.basket(t)]) for t in range(len(test))],
        },
    )
    index_generation(connection, task, model_id)
    # From now on the worker keeps this generation up to date.
    connection.execute("update aisle._models set state = 'filling' where model_id = %s", (model_id,))
    connection.execute("select aisle._enqueue_stale()")
    drain(connection, [CustomerEmbedder([generation])])
    return model_id


def _co_purchased(cosines: sparse.csr_array, item_ids: Sequence[str]) -> tuple[list[list[str]], list[list[float]]]:
    """Return each item's co-purchased items, and their cosines."""
    names, values = [], []
    for start, stop in pairwise(cosines.indptr.tolist()):
        names.append([item_ids[i] for i in cosines.indices[start:stop]])
        values.append(cosines.data[start:stop].tolist())
    return names, values
