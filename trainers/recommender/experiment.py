"""Compares sets of features: `aisle experiment recommender --features A --features B`.

Each set is trained with several seeds on the same events, and measured through SQL on the same held-out users. A
difference counts as shown only if a paired bootstrap over the users says so: the spread over seeds does not include the
choice of users.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import errors, model_registry
from aisle.trainers import ranking
from aisle.trainers.recommender.events import read_events
from aisle.trainers.recommender.options import Options
from aisle.trainers.recommender.task import TASK
from aisle.trainers.run import only_trainer
from aisle.trainers.task import Report


@dataclass(frozen=True)
class Arm:
    """One set of features: its results over seeds, and its difference from the first arm."""

    features: tuple[str, ...]
    recall: tuple[float, ...]  # one for each seed
    mean: float
    sd: float | None  # over seeds; None for one seed
    difference: float | None  # of the means over seeds and users; None for the first arm
    p: float | None
    verdict: str


def compare_features(
    url: str,
    arms: Sequence[tuple[str, ...]],
    seeds: int,
    options: Options,
    report: Report = lambda line: None,
) -> list[Arm]:
    """Train and measure every arm with seeds `options.seed`, + 1, …; store the table, and return it.

    Nothing is deployed, and the experiment's models are dropped. Raises the errors of a training.
    """
    if len(arms) < 2 or len(set(arms)) < len(arms):
        raise errors.InvalidArgumentError("An experiment compares at least two different sets of features.")
    started = time.monotonic()
    by_user: list[np.ndarray[Any, Any]] = []  # (users,), mean over seeds
    results: list[Arm] = []
    with (
        db.connect(url, application_name="aisle experiment recommender") as connection,
        only_trainer(connection, "recommender"),
    ):
        # Read once for all arms: new rows meanwhile would change the held-out events.
        everything = list(dict.fromkeys(name for features in arms for name in features))
        read = read_events(connection, everything, liked_only=options.liked_only)
        for features in arms:
            events = read.only(features)
            # A matrix factorisation has no features to compare.
            arm = replace(options, features=features, model="towers")
            test = TASK.split(events, arm)
            recalls = []
            for seed in range(options.seed, options.seed + seeds):
                fitted = TASK.fit(connection, events, test, replace(arm, seed=seed), lambda line: None)
                model_id = TASK.load(connection, events, test, fitted, arm, {})
                recalls.append(TASK.answers(connection, model_id, model_id, arm).recall)
                model_registry.drop(connection, model_id)
                report(
                    f"{time.monotonic() - started:6.0f} s  {','.join(features)}, seed {seed}: "
                    f"recall@{options.top} {recalls[-1].mean():.4f}"
                )
            by_user.append(np.mean(recalls, axis=0))
            means = [float(recall.mean()) for recall in recalls]
            results.append(_arm(features, means, by_user))
        connection.execute(
            "insert into aisle._experiments (task, measure, users, arms) values ('recommender', %s, %s, %s)",
            (f"recall@{options.top}", len(by_user[0]), Jsonb([vars(arm) for arm in results])),
        )
    return results


def _arm(features: tuple[str, ...], means: list[float], by_user: list[np.ndarray[Any, Any]]) -> Arm:
    sd = float(np.std(means, ddof=1)) if len(means) > 1 else None
    mean = float(np.mean(means))
    if len(by_user) == 1:
        return Arm(features, tuple(means), mean, sd, None, None, "the others are compared with it")
    comparison = ranking.compare(by_user[-1], by_user[0])
    return Arm(features, tuple(means), mean, sd, comparison.difference, comparison.p, ranking.verdict(comparison))
