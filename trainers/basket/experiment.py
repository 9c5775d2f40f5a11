"""Compares networks: `aisle experiment basket --grid pos_weight=5,10 --grid threshold=.1,.2 --seeds 3`.

Every combination is fitted with several seeds to the same orders and measured on the same held-out customers: the first
k by logit, and the set of all products whose probability is above the threshold. Thresholds share one fit. Finished
combinations are stored, and a stopped experiment continues after them.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection, errors
from aisle.embedder.orders import Baskets, Floats, Targets
from aisle.trainers import ranking
from aisle.trainers.basket import fit_order_network
from aisle.trainers.basket.autoencoder import product_vectors
from aisle.trainers.basket.fit import WEIGHTS_SHARE
from aisle.trainers.basket.held_out import hold_out
from aisle.trainers.basket.options import NetworkOptions, Options
from aisle.trainers.basket.read_orders import read_baskets
from aisle.trainers.basket.task import read_texts
from aisle.trainers.options import dump
from aisle.trainers.run import only_trainer
from aisle.trainers.task import Report

MEASURE = "f1_micro"
THRESHOLD = 0.5
BATCH = 500  # customers

Grid = Mapping[str, Sequence[Any]]  # option → values; `threshold` and the options of order_networks


@dataclass(frozen=True)
class Arm:
    """One combination: its metrics, a list over seeds each."""

    settings: dict[str, Any]
    seeds: dict[str, dict[str, float]]

    @property
    def means(self) -> dict[str, float]:
        """The means over seeds."""
        return {
            name: float(np.mean([m[name] for m in self.seeds.values()])) for name in next(iter(self.seeds.values()))
        }

    def row(self) -> dict[str, Any]:
        """Return the stored JSON, with the values that the view `experiments` shows."""
        values = [m[MEASURE] for m in self.seeds.values()]
        return {
            "features": " ".join(f"{name}={value}" for name, value in self.settings.items()),
            "settings": self.settings,
            "seeds": self.seeds,
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }


def try_networks(
    url: str,
    grid: Grid,
    seeds: int,
    options: Options,
    report: Report = lambda line: None,
) -> list[Arm]:
    """Fit and measure every combination with seeds `options.seed`, + 1, …; store the table, and return it, best first.

    Nothing is loaded. Raises InvalidArgumentError for an unknown option, and for a threshold that is not a probability.
    """
    known = {f.name for f in fields(NetworkOptions)} | {"threshold"}
    if unknown := set(grid) - known:
        raise errors.InvalidArgumentError(
            f"There is no option {', '.join(sorted(unknown))}.", hint=f"There are: {', '.join(sorted(known))}"
        )
    thresholds = list(grid.get("threshold", [THRESHOLD]))
    if not all(0 < threshold < 1 for threshold in thresholds):
        raise errors.InvalidArgumentError("A threshold is a probability between 0 and 1.")
    fitted = {name: values for name, values in grid.items() if name != "threshold"}
    started = time.monotonic()
    with (
        db.connect(url, application_name="aisle experiment basket") as connection,
        only_trainer(connection, "basket"),
    ):
        baskets = read_baskets(connection)
        history, test = hold_out(baskets, options)
        texts = read_texts(connection, baskets.item_ids) if options.text_vectors else None
        key = _key(baskets, options)
        arms = _resume(connection, key)
        for values, seed in itertools.product(
            itertools.product(*fitted.values()), range(options.seed, options.seed + seeds)
        ):
            settings = dict(zip(fitted, values, strict=True))
            if all(str(seed) in arms.get(_name(settings, t), Arm({}, {})).seeds for t in thresholds):
                continue
            network_options = replace(options.network, **settings)
            measured = _measure(history, test, network_options, thresholds, seed, options.top, texts)
            for threshold, metrics in zip(thresholds, measured, strict=True):
                name = _name(settings, threshold)
                earlier = arms[name].seeds if name in arms else {}
                arms[name] = Arm({**settings, "threshold": threshold}, {**earlier, str(seed): metrics})
            _store(connection, key, len(test), list(arms.values()))
            best = max(measured, key=lambda metrics: metrics[MEASURE])
            report(
                f"{time.monotonic() - started:6.0f} s  {settings}, seed {seed}: {MEASURE} {best[MEASURE]:.4f}, "
                f"recall@{options.top} {best[f'recall@{options.top}']:.4f}"
            )
    return sorted(arms.values(), key=lambda arm: -arm.means[MEASURE])


def _measure(
    history: Baskets, test: Targets, options: NetworkOptions, thresholds: Sequence[float], seed: int, k: int,
    texts: Floats | None,
) -> list[dict[str, float]]:  # fmt: skip
    """Fit one network, and measure it at each threshold."""
    learners = np.ones(history.customers, dtype=bool)
    learners[test.customer] = False
    if not (history.orders_of[learners] >= 2).any():
        learners[:] = True
    own = history.select_customers(learners)
    chosen = np.random.default_rng(seed).random(own.customers) < WEIGHTS_SHARE
    before, validation = own.hold_out_last(chosen)
    vectors = None if texts is None else product_vectors(before, options, seed=seed, texts=texts)
    model = fit_order_network.fit(before, validation, options, seed=seed, vectors=vectors)

    states = model.states(history.select_customers(test.customer))  # (customers, d)
    ranked: list[list[int]] = []
    sets: list[list[list[int]]] = [[] for _ in thresholds]
    for start in range(0, len(states), BATCH):
        logits = states[start : start + BATCH] @ model.products.T  # (batch, items)
        ranked += ranking.top(logits, k).tolist()
        for threshold, found in zip(thresholds, sets, strict=True):
            above = np.log(threshold / (1 - threshold))
            found += [np.flatnonzero(row > above).tolist() for row in logits]
    own = history.select_customers(test.customer)
    orders_of = itertools.pairwise(own.customer_start)
    seen = [set(own.item[own.order_start[a] : own.order_start[b]].tolist()) for a, b in orders_of]
    means = ranking.measure_baskets(ranked, test.baskets(), seen, k).means()
    return [{**ranking.measure_sets(found, test.baskets()), **means} for found in sets]


def _name(settings: Mapping[str, Any], threshold: float) -> str:
    return json.dumps([dict(settings), threshold], sort_keys=True)


def _key(baskets: Baskets, options: Options) -> str:
    facts = [baskets.fingerprint(), dump(options)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _resume(connection: Connection, key: str) -> dict[str, Arm]:
    """Return the finished arms of an experiment on the same orders with the same options and any grid."""
    row = connection.execute("select arms from aisle._experiments where key = %s", (key,)).fetchone()
    arms = {}
    for arm in row[0] if row else ():
        settings = dict(arm["settings"])
        arms[_name({n: v for n, v in settings.items() if n != "threshold"}, settings["threshold"])] = Arm(
            settings, arm["seeds"]
        )
    return arms


def _store(connection: Connection, key: str, customers: int, arms: Sequence[Arm]) -> None:
    with connection.transaction():
        connection.execute("delete from aisle._experiments where key = %s", (key,))
        connection.execute(
            "insert into aisle._experiments (key, task, measure, users, arms) values (%s, 'basket', %s, %s, %s)",
            (key, MEASURE, customers, Jsonb([arm.row() for arm in arms])),
        )
