"""Loads a fitted recommender into the database as a generation."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from aisle import db
from aisle.db import Connection, model_registry
from aisle.embedder import item_factors as factor_files
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.pipeline import drain
from aisle.trainers.copy_rows import copy_links, copy_rows
from aisle.trainers.indexes import index_generation
from aisle.trainers.labels import read_labels
from aisle.trainers.recommender.events import Events
from aisle.trainers.recommender.held_out import HeldOut
from aisle.trainers.recommender.mixture import Mixture
from aisle.trainers.warm_start import Start


def load(
    connection: Connection, task: str, events: Events, test: HeldOut, mixture: Mixture, kept: Start | None,
    parameters: Mapping[str, Any],
) -> int:  # fmt: skip
    """Load vectors and links, and embed the items without events; return the model's id."""
    factors = mixture.factors
    items, dimensions, repeat = events.items, factors.out.shape[1], factors.repeat
    labels = read_labels(connection)
    model_id = model_registry.create(
        connection,
        task,
        dimensions,
        encoder=None,
        parameters={
            **parameters,
            "history": len(factors.recency),
            "exponent": factors.exponent,
            "popularity": factors.popularity,
            "repeats": {
                "seen": repeat.constant,
                "count": repeat.count,
                "recency": repeat.recent,
                "decay": repeat.decay,
                "context": dict(repeat.context),
            },
            "distinct": factors.distinct,
            "text_model": items.text_model,
            "category_separator": labels.separator,
            "epochs": factors.epochs_run,
            "kind": mixture.kind,
            "unit": mixture.unit,
            "links": {
                kind: {"decay": None if math.isinf(links.decay) else links.decay, "history": links.history}
                for kind, links in mixture.links.items()
            },
            "weights": {name: round(weight, 4) for name, weight in mixture.weights.items()},
            "tried": {name: round(recall, 4) for name, recall in mixture.tried.items()},
            "ahead": {
                name: [round(one.difference, 4), round(one.low, 4), round(one.high, 4)]
                for name, one in mixture.ahead.items()
            },
            "validation": [round(recall, 4) for recall in factors.validation],  # at each evaluation
        },
    )
    has_tower = any(len(t.names) or t.text for t in factors.towers)
    factor_files.store(connection, model_id, factors.towers if has_tower else ())
    if kept is not None:
        kept.store(connection, model_id)
    zeros = np.zeros(dimensions, dtype=np.float32)
    # Items of one category lie together, so an exact scan of a category reads few pages.
    with_events = sorted(np.unique(test.events.item), key=lambda i: list(items.categories[i] or ()))
    copy_rows(
        connection,
        "item_factors",
        ("model_id", "item_id", "category_key", "embedding", "in_embedding", "content_hash", "origin"),
        (
            (
                model_id,
                items.ids[i],
                None if (path := items.categories[i]) is None else labels.key(path),
                factors.out[i],
                factors.into[i],
                items.hashes[i],
                "events",
            )
            for i in with_events
        ),
    )
    for kind, links in mixture.links.items():
        copy_links(connection, model_id, kind, items.ids, links.weights)
    if factors.users.any():
        copy_rows(
            connection,
            "user_vectors",
            ("model_id", "user_id", "embedding"),
            ((model_id, events.user_ids[u], factors.users[u]) for u in np.unique(test.events.user)),
        )
    copy_rows(
        connection,
        "context_vectors",
        ("model_id", "feature", "value", "embedding"),
        [
            (model_id, "", "", factors.constant),
            *(
                (model_id, feature, value, vector)
                for feature, vectors in factors.context.items()
                for value, vector in zip(factors.context_values[feature], vectors, strict=True)
            ),
        ],
    )
    copy_rows(
        connection,
        "_recency_weights",
        ("model_id", "place", "weights"),
        ((model_id, place, zeros + weight) for place, weight in enumerate(factors.recency, start=1)),
    )
    _hold_out_users(connection, model_id, test)
    index_generation(connection, task, model_id)
    for table in ("user_vectors", "context_vectors", "item_links"):
        connection.execute(f"analyze aisle.{table}_{model_id}".encode())
    # From now on the worker keeps this generation up to date.
    connection.execute("update aisle._models set state = 'filling' where model_id = %s", (model_id,))
    connection.execute("select aisle._enqueue_stale()")
    drain(connection, [FactorEmbedder()])
    return model_id


def _hold_out_users(connection: Connection, model_id: int, test: HeldOut) -> None:
    relevant, events = test.relevant, test.events
    starts = np.searchsorted(relevant.user, test.user)
    stops = np.searchsorted(relevant.user, test.user, side="right")
    names = [
        {
            feature: relevant.context_values[feature][values[row]]
            for feature, values in relevant.context.items()
            if values[row] >= 0
        }
        for row in starts
    ]
    wanted = [
        sorted({events.items.ids[i] for i in relevant.item[start:stop]})
        for start, stop in zip(starts, stops, strict=True)
    ]
    connection.execute(
        db.read("queries/add_heldout_users"),
        {
            "kind": None,
            "model_id": model_id,
            "user_ids": [events.user_ids[u] for u in test.user],
            "moments": test.at.tolist(),
            "contexts": [json.dumps(context, ensure_ascii=False) for context in names],
            "relevant": [db.array(items) for items in wanted],
        },
    )
