"""Measures a live model through SQL, beside baselines on the same rows."""

from typing import Any

from aisle.db import Connection, errors, model_registry
from aisle.trainers.task import Metrics, Task


def evaluate(task: Task[Any, Any, Any, Any], connection: Connection, *, baselines: bool) -> list[dict[str, Any]]:
    """Query the live model for its held-out rows again; return a row for each SQL function and each baseline.

    A row has the name of the function or baseline (`answer`), the number of rows or users, and the metrics. A baseline
    with too little data has a reason instead. Raises NoLiveModelError, NotAttachedError, TrainingDataError if no
    held-out row is left, and the database's error if a query fails.
    """
    model_id = model_registry.require_live(connection, task.name)
    task.check_attached(connection)
    options = task.options_of(model_registry.get(connection, model_id))
    held_out = task.held_out_of(connection, model_id, options, for_baselines=baselines)
    scores = task.score(connection, model_id, held_out, options, heldout_of=model_id)
    answers: dict[str, Metrics] = dict(task.rows(scores))
    if baselines:
        for name, fit_and_score in task.baselines(
            held_out, options, all_of_them=True, report=lambda line: None
        ).items():
            try:
                answers[name] = fit_and_score()
            except errors.TrainingDataError as error:
                answers[f"{name}: {error}"] = {}
    names = list(dict.fromkeys(name for metrics in answers.values() for name in metrics))
    return [{"answer": answer, **{name: metrics.get(name) for name in names}} for answer, metrics in answers.items()]
