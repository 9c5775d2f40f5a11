"""What every training run needs: to be the only one, to clear away what a killed one left, to say what it ran on."""

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from psycopg import sql as compose
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection, errors, model_registry

NOT_TO_COME = compose.SQL("e.local_at < now()::timestamp + interval '1 day'")  # wherever the shop's clock is

Report = Callable[[str], None]  # is given a line about how far it is


@dataclass(frozen=True)
class Result:
    """What a training run came to."""

    model_id: int
    metrics: dict[str, Any]
    passed: bool | None  # whether it was better than what it was compared with; None: that was nothing
    deployed: bool
    reason: str  # why it was deployed, or why not
    seconds: float


def beats_all(metrics: dict[str, Any], name: str) -> tuple[bool, str]:
    """Say whether a model's metric is better than that of everything it stands beside: what has metrics of its own.

    What is measured on other rows than the model carries as `against` what the model comes to on these.
    """
    rivals = {other: m for other, m in metrics.items() if isinstance(m, dict) and name in m}

    def ours(other: str) -> float:
        return float(rivals[other].get("against", metrics)[name])

    best = max(rivals, key=lambda other: rivals[other][name] - ours(other))
    theirs = rivals[best][name]
    is_better = ours(best) > theirs
    where = " on rows that neither learned from" if "against" in rivals[best] else ""
    rival = "the live model" if best == "live" else best
    return is_better, (
        f"its {name} {ours(best):.4f}{where} is {'' if is_better else 'not '}better than that of {rival}, {theirs:.4f}"
    )


def count_rows(connection: Connection, task: str, *, after: str | None = None) -> int:
    """Return how many rows there are of what a model of a task learns from; `after`: only those since then."""
    query = compose.SQL("select count(*) from {} e").format(learned_from(connection, task))
    if after is not None:
        query += compose.SQL(" where e.local_at > {}::timestamp and {}").format(compose.Literal(after), NOT_TO_COME)
    with db.guarded(connection):
        return int(connection.execute(query).fetchall()[0][0])


def newest_moment(connection: Connection, task: str) -> str | None:
    """Return the local time of the newest event or order that is not yet to come; None where there is none."""
    query = compose.SQL("select max(e.local_at)::text from {} e where {}").format(
        learned_from(connection, task), NOT_TO_COME
    )
    with db.guarded(connection):
        newest: str | None = connection.execute(query).fetchall()[0][0]
    return newest


def learned_from(connection: Connection, task: str) -> compose.Identifier:
    """Return the view of what a model of a task learns from; raises NotAttachedError where there is none."""
    view = {"category": "_items", "preference": "_interactions", "basket": "_orders"}.get(task)
    if view is None:
        view = f"_{db.fetch_value(connection, 'select (aisle._event_source()).kind')}"
    if not db.fetch_value(connection, "select to_regclass('aisle.' || %s) is not null", (view,)):
        raise errors.NotAttachedError(
            f"What the {task} model learned from is not attached any more.", hint="Attach it again: aisle attach --help"
        )
    return compose.Identifier("aisle", view)


def conclude(
    connection: Connection,
    task: str,
    model_id: int,
    *,
    metrics: dict[str, Any],
    data: dict[str, Any],
    seconds: float,
    verdict: tuple[bool | None, str],
    deploys: bool,
    told: bool | None,
) -> Result:
    """Mark a model as ready, with what there is to know about it, and deploy it if it is to be, or if so told.

    `verdict` says whether it was better than what it was compared with (None: with nothing), and why. Where nothing is
    told, it takes the place only of the model that it was compared with.
    """
    passed, reason = verdict
    for name, share in metrics.get("shadow", {}).items():
        if name.startswith("overlap"):
            reason += f"; {share:.0%} of its answers are those of the live model ({name})"
    with failing(connection, model_id):
        connection.execute(
            "update aisle._models set state = 'ready', metrics = %s, data = %s, passed_gate = %s, verdict = %s, "
            "environment = %s || jsonb_build_object('finished_at', clock_timestamp()) where model_id = %s",
            (Jsonb(metrics), Jsonb(data), passed, reason, Jsonb(environment(seconds)), model_id),
        )
    if told is not None:
        deploys, reason = told, f"as told; {reason}"
    elif deploys and not passed:
        reason = f"no other model was, though {reason}"
    if deploys:
        compared_with = metrics.get("live", {}).get("model_id")
        changed = f"another model has been deployed since it was compared; {reason}"
        if not model_registry.patiently(lambda: _take_place(connection, task, model_id, compared_with, told)):
            deploys, reason = False, changed
    return Result(model_id, metrics, passed, deploys, reason, seconds)


def _take_place(connection: Connection, task: str, model_id: int, compared_with: int | None, told: bool | None) -> bool:
    with connection.transaction():
        connection.execute("set local lock_timeout = '2s'")
        connection.execute("select aisle._lock_deployments()")
        if told is None and model_registry.live(connection, task) != compared_with:
            return False
        connection.execute("select aisle.deploy(%s, force => true)", (model_id,))
    return True


def is_leader() -> bool:
    """Return whether this process publishes: `torchrun` and `accelerate launch` start others, to share in fitting."""
    return os.environ.get("RANK", "0") == "0"


def leave_unless_leader() -> None:
    """End a process that has nothing more to share in: what all have fitted, the leader publishes."""
    if not is_leader():
        sys.exit()


@contextlib.contextmanager
def only_trainer(connection: Connection, task: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the training lock, and clear away what a run of the task that was killed left behind.

    In a run that processes share, the leader does this for all. It must then end the others by `leave_unless_leader`.
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
    # What somebody still looks at stays until the next run; it shows in `aisle models` and is in nobody's way.
    with contextlib.suppress(errors.BusyError):
        for (model_id,) in left:
            model_registry.drop(connection, model_id)


@contextlib.contextmanager
def failing(connection: Connection, model_id: int) -> Iterator[None]:
    """Mark the model as failed if the block raises."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            connection.execute("update aisle._models set state = 'failed' where model_id = %s", (model_id,))
        raise


def environment(seconds: float) -> dict[str, Any]:
    """Return versions, hardware, and how long it took."""
    packages = ("aisle", "numpy", "torch", "sentence-transformers", "transformers")
    return {
        "versions": {package: version(package) for package in packages},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "seconds": round(seconds, 1),
    }
