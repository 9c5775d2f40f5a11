"""Says whether a model has fallen behind the shop."""

from typing import Any

from aisle import db
from aisle.db import Connection, model_registry
from aisle.trainers.options import Limits
from aisle.trainers.task import Drift, Task

TEXTS = {
    "new_rows": "{:.1%} of the rows are new or gone",
    "mix": "the mix of categories has moved by {:.3f}",
    "confidence": "it is less sure of new items by {:.3f}",
}


def examine(task: Task[Any, Any, Any, Any], connection: Connection) -> Drift:
    """Compare what the newest model of a task learned from with what is there now; raises NoLiveModelError.

    The newest one, live or not: what it could not improve upon, another training on the same rows will not either.
    """
    model_registry.require_live(connection, task.name)
    task.check_attached(connection)
    model_id = db.fetch_value(
        connection, "select max(model_id) from aisle._models where task = %s and state = 'ready'", (task.name,)
    )
    return task.drift(connection, model_id)


def reasons(drift: Drift, limits: Limits) -> list[str]:
    """Return what is beyond the limits, in words; empty for a model that is not stale."""
    return [
        f"{text.format(value)} (limit: {limit:g})"
        for name, text in TEXTS.items()
        if (value := getattr(drift, name)) is not None and value > (limit := getattr(limits, name))
    ]
