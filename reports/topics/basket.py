"""The page on a basket model: its metrics beside its rivals', its best sets, and experiments with networks."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from aisle.db import Connection
from aisle.reports import figures, pages
from aisle.reports.pages import Figure, Section, Table, with_spread
from aisle.reports.topics.recommender import comparison

MOST_ARMS = 40  # combinations in a table
MOST_MAPS = 6  # heat maps of an experiment
NO_EXPERIMENT = "No experiment has been run: aisle experiment basket --grid pos_weight=1,5,10 --grid threshold=.1,.2,.3"
AXES = ("pos_weight", "threshold")  # of a heat map: down, across

Arm = dict[str, Any]


def read(connection: Connection, model: pages.Model) -> pages.Page:
    """Read the page on a model."""
    return pages.of_model(
        connection,
        model,
        [
            Section("Metrics", comparison(model, "customers", "order")),
            Section("The best set", _best_sets(model)),
            Section("Completing a cart", _completion(model)),
            Section("Grid of networks", _grids(connection)),
        ],
    )


def _best_sets(model: pages.Model) -> list[str | Figure | Table]:
    sets = model.metrics.get("f1-optimal")
    if not sets:
        return ["Not measured; train a new model to measure it."]
    rows: list[tuple[Any, ...]] = [("each customer's own: k => null", None, sets["f1"])]
    rules = [(name, of) for name, of in sets.items() if isinstance(of, dict)]
    rows += [
        (f"{name.removeprefix('best ')} for all, the best in hindsight", str(of["value"]), of["f1"])
        for name, of in sorted(rules, key=lambda rule: -rule[1]["f1"])
    ]
    return [
        f"next_basket(…, k => null) returns {sets['size']:.1f} products on average; over all pairs of customer and "
        f"product its F1 is {sets['f1_micro']:.4f}.",
        Table(("set", "value", "mean F1 of a customer"), rows),
    ]


def _completion(model: pages.Model) -> list[str | Figure | Table]:
    found = dict(model.metrics.get("completion") or {})
    carts = found.pop("carts", None)
    if not found:
        return ["Not measured: no held-out order has two products."]
    names = sorted(found, key=lambda name: -found[name])
    return [
        f"One product of each of {int(carts or 0):,} held-out orders was hidden, and searched among the first "
        f"{model.options.get('top', 10)} of complete_basket.",
        Figure(
            "Share of carts in which it was found",
            partial(
                figures.bars,
                names,
                [found[name] for name in names],
                ours=["complete_basket", "complete_basket of a customer"],
            ),
        ),
    ]


def _grids(connection: Connection) -> list[str | Figure | Table]:
    rows = connection.execute(
        "select experiment_id, measure, users, created_at, arms from aisle._experiments "
        "where task = 'basket' order by experiment_id desc"
    ).fetchall()
    if not rows:
        return [NO_EXPERIMENT]
    parts: list[str | Figure | Table] = ["Networks alone, on the same held-out customers; means over seeds."]
    for experiment_id, measure, users, created_at, arms in rows:
        title = f"Experiment {experiment_id}: {measure} on {users:,} customers, {created_at:%Y-%m-%d}"
        best = sorted(arms, key=lambda arm: -arm["mean"])
        parts += _heat_maps(best, measure, title)
        parts.append(_table(best, measure, title))
    return parts


def _heat_maps(arms: Sequence[Arm], measure: str, title: str) -> list[str | Figure | Table]:
    """Return a map of pos_weight and threshold for each combination of the other settings; the best come first."""
    groups: dict[tuple[tuple[str, Any], ...], list[Arm]] = {}
    for arm in arms:
        settings = arm.get("settings", {})
        if all(axis in settings for axis in AXES):
            others = tuple((name, value) for name, value in settings.items() if name not in AXES)
            groups.setdefault(others, []).append(arm)
    maps: list[str | Figure | Table] = []
    for others, group in groups.items():
        down, across = (sorted({arm["settings"][axis] for arm in group}) for axis in AXES)
        if len(down) < 2 or len(across) < 2:
            continue
        values = np.full((len(down), len(across)), np.nan)
        for arm in group:
            weight, threshold = (arm["settings"][axis] for axis in AXES)
            values[down.index(weight), across.index(threshold)] = arm["mean"]
        named = ", ".join(f"{name} {value}" for name, value in others)
        maps.append(
            Figure(
                f"{title}{f'; {named}' if named else ''}",
                partial(figures.heat_map, [str(t) for t in across], [str(w) for w in down], values, AXES[1], AXES[0]),
            )
        )
    if len(maps) > MOST_MAPS:
        return [*maps[:MOST_MAPS], f"{len(maps) - MOST_MAPS} more maps of worse combinations are left out."]
    return maps


def _table(arms: Sequence[Arm], measure: str, title: str) -> Table:
    names = list(dict.fromkeys(name for arm in arms for name in arm.get("settings", {})))
    recalls = [_mean_recall(arm) for arm in arms]
    shown = len(arms) if len(arms) <= MOST_ARMS else MOST_ARMS
    return Table(
        ([*names] if names else ["combination"])
        + [measure, next((name for name, _ in recalls if name), "recall"), "seeds"],
        [
            (
                *([_setting(arm["settings"].get(name)) for name in names] if names else [arm.get("features", "")]),
                with_spread(arm["mean"], arm.get("sd")),
                recall,
                len(arm.get("seeds", {})),
            )
            for arm, (_, recall) in zip(arms[:shown], recalls, strict=False)
        ],
        title if shown == len(arms) else f"{title}; the best {shown} of {len(arms)} combinations",
    )


def _setting(value: Any) -> str:
    """Return a setting as given: 5, not 5.0000."""
    return "" if value is None else str(value)


def _mean_recall(arm: Arm) -> tuple[str, float | None]:
    seeds = list(arm.get("seeds", {}).values())
    name = next((name for name in (seeds[0] if seeds else ()) if name.startswith("recall@")), "")
    return name, float(np.mean([metrics[name] for metrics in seeds])) if name else None
