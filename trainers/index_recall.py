"""Measures the recall of a generation's indexes against exact search."""

from collections import Counter
from typing import Any

import numpy as np

from aisle import db
from aisle.db import Connection
from aisle.trainers.indexes import INDEX_FROM, searched
from aisle.trainers.task import Task

K = 10
QUERIES = 50
SELECTIVITIES = {"0.1 %": 0.001, "1 %": 0.01, "10 %": 0.1}  # share of the items that a category has
NEAR = 3.0  # factor by which a category's share may differ


def recall(connection: Connection, task: Task[Any, Any, Any, Any], model_id: int) -> dict[str, float]:
    """Return recall@10 against exact search, by share of the items searched; empty if no search uses an index.

    Shares below 100 % are those of categories; a model has them if its items have a `category_key`.
    """
    if task.recall_query is None:
        return {}
    table = searched(connection, task.name)[0]["table"]
    query = f"select count(*) from aisle.{table} where model_id = %s"  # noqa: S608 - ours
    items = db.fetch_value(connection, query, (model_id,))
    if items < INDEX_FROM:
        return {}
    found = {"100 %": _recall(connection, task.recall_query, model_id, None)}
    if table == "item_factors":
        keys = _keys(connection, model_id)
        for name, share in SELECTIVITIES.items():
            distance, key = min(
                ((abs(np.log(n / items / share)), key) for key, n in keys.items()), default=(np.inf, "")
            )
            if distance < np.log(NEAR):
                found[name] = _recall(connection, task.recall_query, model_id, key)
    return {name: share for name, share in found.items() if share is not None}


def _recall(connection: Connection, query: str, model_id: int, first_key: str | None) -> float | None:
    rows = connection.execute(
        db.read(query), {"model_id": model_id, "queries": QUERIES, "first_key": first_key}
    ).fetchall()
    if not rows:
        return None
    return float(sum(len(set(found) & set(exact)) for found, exact in rows) / max(sum(len(e) for _, e in rows), 1))


def _keys(connection: Connection, model_id: int) -> dict[str, int]:
    """Return the number of items of each category and ancestor, by key."""
    separator: str = db.fetch_value(
        connection, "select coalesce((select category_separator from aisle._attachments where kind = 'items'), ' > ')"
    )
    counts: Counter[str] = Counter()
    rows: list[Any] = connection.execute(
        "select category_key, count(*) from aisle.item_factors where model_id = %s and category_key is not null "
        "group by 1",
        (model_id,),
    ).fetchall()
    for key, items in rows:
        steps = key.removesuffix(separator).split(separator)
        for depth in range(1, len(steps) + 1):
            counts[separator.join([*steps[:depth], ""])] += items
    return dict(counts)
