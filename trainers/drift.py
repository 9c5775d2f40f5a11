"""Says whether a model has fallen behind the shop."""

from typing import Any

from aisle import db
from aisle.db import Connection, model_registry
from aisle.trainers.options import Limits
from aisle.trainers.task import Drift, Task

TEXTS = {
    "new_rows": "{:.1%} of the rows are new or gone",
    "mix": "the mix of categories has moved by {:.3f}",
    "confidence": "its mean confidence in new items is lower by {:.3f}",
}


def examine(task: Task[Any, Any, Any, Any], connection: Connection) -> Drift:
    """Compare the training rows of a task's newest model with the present rows; raises NoLiveModelError.

    The newest model counts even if it is not live: training again on the same rows would not improve on it.
    """
    model_registry.require_live(connection, task.name)
    task.check_attached(connection)
    model_id = db.fetch_value(
        connection, "select max(model_id) from aisle._models where task = %s and state = 'ready'", (task.name,)
    )
    return task.drift(connection, model_id)


def reasons(drift: Drift, limits: Limits) -> list[str]:
    """Return a sentence for each limit that is exceeded; empty: the model is not stale."""
    return [
        f"{text.format(value)} (limit: {limit:g})"
        for name, text in TEXTS.items()
        if (value := getattr(drift, name)) is not None and value > (limit := getattr(limits, name))
    ]
