"""One training run of any task: read, hold out, fit, load, measure through SQL, decide, deploy."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.trainers import index_recall, overlap
from aisle.trainers import options as task_options
from aisle.trainers.gate import Verdict
from aisle.trainers.task import Metrics, OptionsT, Report, Task


@dataclass(frozen=True)
class Result:
    """The outcome of a training run."""

    model_id: int
    metrics: Metrics
    passed: bool | None  # whether it beat all that it was compared with; None: there was nothing
    deployed: bool
    reason: str  # why it was deployed, or why not
    seconds: float


def train(
    task: Task[OptionsT, Any, Any, Any], url: str, options: OptionsT, report: Report = lambda line: None
) -> Result:
    """Train a task on the attached tables, load the model, measure it through SQL, deploy it if it passes the gate.

    Raises TrainingDataError when there are too few rows. No failure touches the live model.
    """
    started = time.monotonic()
    with (
        db.connect(url, application_name=f"aisle train {task.name}") as connection,
        only_trainer(connection, task.name, shared=True),
    ):
        options = task.settle(connection, options)
        data = task.read(connection, options, report)
        start = task.start(connection, data, options) if options.warm_start else None
        held_out = task.split(data, options, start)
        report(task.describe(data, held_out))
        fitted = task.fit(connection, data, held_out, options, report, start)
        leave_unless_leader()
        with failing(connection, task.name):
            model_id = task.load(connection, data, held_out, fitted, options, {"options": task_options.dump(options)})
            report("Measuring on held-out rows, through SQL …")
            metrics = measure(task, connection, model_id, held_out, fitted, options, report)
            verdict, facts = task.verdict(metrics, options), task.facts(connection, data)
        return conclude(connection, task, model_id, metrics, facts, verdict, options.deploy, time.monotonic() - started)


def measure(
    task: Task[OptionsT, Any, Any, Any],
    connection: Connection,
    model_id: int,
    held_out: Any,
    fitted: Any,
    options: OptionsT,
    report: Report,
) -> Metrics:
    """Measure a new model, the live one and the baselines on the rows that it held out."""
    live = model_registry.live(connection, task.name)
    metrics: Metrics = task.measure(connection, model_id, held_out, fitted, options, live)
    if found := index_recall.recall(connection, task, model_id):
        metrics["index recall@10"] = found
    if live is not None and (scores := task.score_live(connection, live, model_id, held_out, options)) is not None:
        metrics["live"] = {"model_id": live} | scores
    if live is not None and task.overlap_query is not None:
        metrics["shadow"] = overlap.compare(connection, task, live, model_id, **task.overlap(options))
    for name, fit_and_score in task.baselines(held_out, options, all_of_them=False, report=report).items():
        report(f"Fitting the baseline {name} …")
        try:
            metrics[name] = fit_and_score()
        except errors.TrainingDataError as error:
            report(f"Not compared: {error}")
    return metrics


def conclude(
    connection: Connection,
    task: Task[Any, Any, Any, Any],
    model_id: int,
    metrics: Metrics,
    data: dict[str, Any],
    verdict: Verdict,
    deploy: bool | None,
    seconds: float,
) -> Result:
    """Mark a model as ready, store its metrics and facts, and deploy it if the gate or the user says so.

    Unless `deploy` is given, it replaces only the model that it was compared with.
    """
    passed, reason, deploys = verdict.passed, verdict.reason, verdict.deploys
    for name, share in metrics.get("shadow", {}).items():
        if name.startswith("overlap"):
            reason += f"; {share:.0%} of its answers are those of the live model ({name})"
    with failing(connection, task.name):
        connection.execute(
            "update aisle._models set state = 'ready', metrics = %s, data = %s, passed_gate = %s, verdict = %s, "
            "environment = %s || jsonb_build_object('finished_at', clock_timestamp()) where model_id = %s",
            (Jsonb(metrics), Jsonb(data), passed, reason, Jsonb(environment(seconds)), model_id),
        )
        connection.execute("select aisle._note_eligible_share()")
    if deploy is not None:
        deploys, reason = deploy, f"as the option says; {reason}"
    elif deploys and not passed:
        first = "it is the first of its task" if "live" not in metrics else "the live model answers other categories"
        reason = f"{first}; {reason}" if passed is None else f"{first}, although {reason}"
    if deploys:
        compared_with = metrics.get("live", {}).get("model_id")
        changed = f"another model has been deployed since it was compared; {reason}"
        if not model_registry.patiently(lambda: _take_place(connection, task.name, model_id, compared_with, deploy)):
            deploys, reason = False, changed
    return Result(model_id, metrics, passed, deploys, reason, seconds)


def _take_place(
    connection: Connection, task: str, model_id: int, compared_with: int | None, deploy: bool | None
) -> bool:
    with connection.transaction():
        connection.execute("set local lock_timeout = '2s'")
        connection.execute("select aisle._lock_deployments()")
        if deploy is None and model_registry.live(connection, task) != compared_with:
            return False
        connection.execute("select aisle.deploy(%s, force => true)", (model_id,))
    return True


def retrain(
    task: Task[Any, Any, Any, Any], connection: Connection, url: str, report: Report, *, warm_start: bool = False
) -> Result:
    """Train a task again with the options of its live model; raises NoLiveModelError.

    With `warm_start` it starts from that model's weights if possible, else from scratch.
    """
    model = model_registry.get(connection, model_registry.require_live(connection, task.name))
    if warm_start:
        try:
            return train(task, url, task.options_of(model, warm_start=True), report)
        except errors.WarmStartError as error:
            report(f"{error} Training from scratch.")
    return train(task, url, task.options_of(model), report)


def is_leader() -> bool:
    """Return whether this process loads the model: `torchrun` and `accelerate launch` start others that only fit."""
    return os.environ.get("RANK", "0") == "0"


def leave_unless_leader() -> None:
    """End a process that only helped to fit: the leader loads the model."""
    if not is_leader():
        sys.exit()


@contextlib.contextmanager
def only_trainer(connection: Connection, task: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the training lock, and remove the leftovers of killed runs of the task.

    In a run of several processes, the leader does this for all. `leave_unless_leader` must then end the others.
    """
    if shared and not is_leader():
        yield
        return
    with model_registry.training_lock(connection):
        _clear_away(connection, task)
        yield


def _clear_away(connection: Connection, task: str) -> None:
    left = connection.execute(
        "select model_id from aisle._models where task = %s and state in ('loading', 'filling', 'failed')", (task,)
    ).fetchall()
    # A model that somebody still queries stays until the next run. `aisle models` shows it; it does no harm.
    with contextlib.suppress(errors.BusyError):
        for (model_id,) in left:
            model_registry.drop(connection, model_id)


@contextlib.contextmanager
def failing(connection: Connection, task: str) -> Iterator[None]:
    """Mark the task's unfinished model as failed if the block raises. It is this run's: the run holds the lock."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            connection.execute(
                "update aisle._models set state = 'failed' where task = %s and state in ('loading', 'filling')", (task,)
            )
        raise


def environment(seconds: float) -> dict[str, Any]:
    """Return versions, hardware and duration."""
    packages = ("aisle", "numpy", "torch", "sentence-transformers", "transformers")
    return {
        "versions": {package: version(package) for package in packages},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "seconds": round(seconds, 1),
    }
