"""Sends the same queries to the live model and a candidate, and measures the overlap of the answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg import sql as compose

from aisle import db
from aisle.db import Connection
from aisle.trainers.task import Task

QUERIED = 200  # items, users or customers: those with the latest rows
LATEST = 5000  # rows to find them in


def compare(
    connection: Connection, task: Task[Any, Any, Any, Any], live: int, candidate: int, k: int, **parameters: Any
) -> dict[str, Any]:
    """Return the mean overlap@k of two models' answers for the latest items, users or customers, and their number.

    overlap@k is the share of the first k that both have, in any order; empty if there is nothing to query.
    """
    rows = connection.execute(
        db.read(str(task.overlap_query)),
        {"live": live, "candidate": candidate, "ids": _latest(connection, task, live), "k": k, **parameters},
    ).fetchall()
    shares = [overlap(*row) for row in rows if any(row)]
    return {"asked": len(shares), f"overlap@{k}": float(np.mean(shares))} if shares else {}


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the share of the longer answer that is in both."""
    return len(set(one) & set(other)) / max(len(one), len(other))


def _latest(connection: Connection, task: Task[Any, Any, Any, Any], live: int) -> list[str]:
    view = task.source(connection)
    if view == "_items":
        query = compose.SQL(
            "select v.item_id from aisle.item_vectors v where v.model_id = {} order by v.embedded_at desc, v.item_id"
        ).format(compose.Literal(live))
    else:
        query = compose.SQL(
            "select e.user_id::text from (select user_id, at from {} order by at desc limit {}) e "
            "group by e.user_id order by max(e.at) desc, e.user_id"
        ).format(compose.Identifier("aisle", view), compose.Literal(LATEST))
    rows = connection.execute(query + compose.SQL(" limit {}").format(compose.Literal(QUERIED)))
    return [row[0] for row in rows]
