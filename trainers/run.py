"""What every training run needs: to be the only one, to clear away what a killed one left, to say what it ran on."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aisle import sql
from aisle.sql import Connection, errors

Report = Callable[[str], None]  # is given a line about how far it is

TRAINING_LOCK = 4_150_711_054  # any constant: one training run of a database at a time


@dataclass(frozen=True)
class Result:
    """What a training run came to."""

    model_id: int
    metrics: dict[str, Any]
    deployed: bool
    reason: str  # why it was deployed, or why not
    seconds: float


def beats_all(metrics: dict[str, Any], name: str) -> tuple[bool, str]:
    """Say whether a model's metric is better than that of everything it stands beside: what has metrics of its own."""
    others = {other: m[name] for other, m in metrics.items() if isinstance(m, dict) and name in m}
    best = max(others, key=lambda other: others[other])
    is_better = metrics[name] > others[best]
    return is_better, (
        f"its {name} {metrics[name]:.4f} is {'' if is_better else 'not '}better than that of {best}, {others[best]:.4f}"
    )


@contextlib.contextmanager
def only_trainer(connection: Connection, task: str) -> Iterator[None]:
    """Hold the training lock, and clear away what a run of the task that was killed left behind."""
    if not sql.fetch_value(connection, "select pg_try_advisory_lock(%s)", (TRAINING_LOCK,)):
        holder = connection.execute(
            "select a.pid, a.backend_start from pg_locks l join pg_stat_activity a using (pid) "
            "where l.locktype = 'advisory' and (l.classid::bigint << 32) + l.objid::bigint = %s and l.granted",
            (TRAINING_LOCK,),
        ).fetchone()
        who = f" (server process {holder[0]}, since {holder[1]:%H:%M})" if holder else ""
        raise errors.ModelStateError(f"Another training run is going on{who}.", hint="Wait for it, or stop it.")
    try:
        connection.execute(
            "select aisle._drop_model(model_id) from aisle._models "
            "where task = %s and state in ('loading', 'filling', 'failed')",
            (task,),
        )
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", (TRAINING_LOCK,))


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
