"""Fits towers and a matrix factorisation, and chooses the better of both on validation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from aisle.db import Connection, errors
from aisle.embedder.item_tower import prefixes
from aisle.trainers import warm_start
from aisle.trainers.recommender import als, fit_towers, towers
from aisle.trainers.recommender.events import Events, Floats
from aisle.trainers.recommender.held_out import check_moment, hold_out
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.validation import validate
from aisle.trainers.task import Report
from aisle.trainers.warm_start import NOTHING_SEEN, Seen, Start


def read_start(connection: Connection, events: Events, options: TowerOptions) -> Start:
    """Return the live model's weights; raises NoLiveModelError, and WarmStartError if they do not fit this run."""
    model, start = warm_start.of_live(connection, "recommender")
    for name in ("dimensions", "members", "smoothing", "tied", "cosine"):
        warm_start.check_same(model, name, model.parameters["options"]["towers"][name], getattr(options, name))
    if model.parameters["text_model"] != events.items.text_model:  # its towers read text vectors of another model
        start = replace(start, arrays={name: array for name, array in start.arrays.items() if ".text." not in name})
    return start


def fit(
    events: Events,
    validate_from: float | None,
    options: TowerOptions,
    seed: int,
    report: Report,
    start: Start | None = None,
    *,
    model: str = "towers",
) -> tuple[towers.Factors, Start | None]:
    """Choose the best model on validation, then fit it again on all of the events.

    Also return the weights for a later warm start: the validated ones, if towers are the better model.
    """
    validation = hold_out(events, validate_from, exclude_seen=options.exclude_seen, start=start)
    check_moment(validation, validate_from, "--validate-from")
    if not validation.events.weight.any():
        raise errors.TrainingDataError(fit_towers.NOTHING_LEFT, hint=fit_towers.MORE_EVENTS)

    tried: dict[str, float] = {}  # kind → recall on validation
    if _is_factorised(model, events, options, report):
        report("Fitting matrix factorisations (ials) for validation …")
        try:
            setting, tried["ials"] = als.tune(validation.events, validation.relevant, options, seed)
        except errors.TrainingDataError as error:
            if model == "ials":
                raise
            report(f"Left out: {error}")
    if model == "ials":
        return replace(als.fit(events, options, setting, seed), tried=tried), None

    def progress(epoch: int, loss: float, metric: float | None) -> None:
        shown = "" if metric is None else f", validation recall@{options.evaluate_at} {metric:.4f}"
        report(f"  epoch {epoch}/{options.epochs}: loss {loss:.3f}{shown}")

    names = _row_names(events)
    initial = None if start is None else _for_members(start, names)
    report("Fitting towers, stopped by validation …")
    first = fit_towers.fit(validation.events, validation.relevant, options, seed=seed, progress=progress, start=initial)
    tried["towers"], _ = validate(first, validation.events, validation.relevant, options, seed)
    report(f"Validation recall@{options.evaluate_at}: " + ", ".join(f"{kind} {r:.4f}" for kind, r in tried.items()))
    if tried.get("ials", 0) > tried["towers"]:
        return replace(als.fit(events, options, setting, seed), tried=tried), None
    report(f"Fitting again on all events that are not held out, for {first.epochs_run} epochs …")
    factors = fit_towers.fit(events, None, options, seed=seed, progress=progress, like=first, start=initial)
    learned = {f"{m}.{name}": array for m, arrays in enumerate(first.learned) for name, array in arrays.items()}
    kept = Start(
        {key: array.astype(np.float16) for key, array in learned.items()},
        {key: names[name] for key in learned if (name := key.split(".", 1)[1]) in names},
        _seen(validation.events) | (NOTHING_SEEN if start is None else start.seen),
    )
    return replace(factors, validation=first.validation, tried=tried), kept


def _is_factorised(model: str, events: Events, options: TowerOptions, report: Report) -> bool:
    """Return whether to try a matrix factorisation; raises InvalidArgumentError if `model` needs one with contexts."""
    contexts = set(options.features) & set(events.context_values)
    if model == "ials" and contexts:
        raise errors.InvalidArgumentError(
            f"ials has no contexts, so it cannot learn from {', '.join(sorted(contexts))}.", hint="Use --model towers."
        )
    is_due = model == "ials" or (
        model == "best" and not contexts and len(events) + events.neighbourhoods.nnz <= als.FEW
    )
    if is_due and model == "best" and find_spec("implicit") is None:
        report("No matrix factorisation is tried: pip install '.[baselines]'")
        return False
    return is_due


def _row_names(events: Events) -> dict[str, Sequence[str]]:
    """Return the names of the rows of the towers' tables."""
    paths = {prefix for path in events.items.categories for prefix in prefixes(path)}
    return {
        "ids": events.items.ids,
        "categories": ["\x1f".join(path) for path in sorted(paths)],
        **{f"contexts.{feature}": values for feature, values in events.context_values.items()},
    }


def _for_members(start: Start, names: Mapping[str, Sequence[str]]) -> list[dict[str, Floats]]:
    """Return each member's initial parameters, for the rows of these names."""
    members: dict[int, dict[str, Floats]] = {}
    for key, array in start.arrays.items():
        member, name = key.split(".", 1)
        given = start.rows(key, names[name]) if name in names else array.astype(np.float32)
        members.setdefault(int(member), {})[name] = given
    return [members[member] for member in sorted(members)]


def _seen(events: Events) -> Seen:
    users = np.unique(events.user)
    until = np.full(len(events.user_ids), -np.inf)
    np.maximum.at(until, events.user, events.at)
    return Seen.of([events.user_ids[u] for u in users], until[users])
