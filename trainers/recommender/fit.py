"""Fits links between items, a matrix factorisation and towers, and chooses one or their sum on validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np

from aisle.db import Connection, errors
from aisle.embedder.item_tower import prefixes
from aisle.trainers import ranking, warm_start
from aisle.trainers.recommender import als, fit_towers, item_links, mixture
from aisle.trainers.recommender.events import Events, Floats
from aisle.trainers.recommender.held_out import check_moment, hold_out
from aisle.trainers.recommender.item_links import Links
from aisle.trainers.recommender.mixture import Mixture
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import Factors
from aisle.trainers.recommender.validation import Measured, Questions
from aisle.trainers.task import Report
from aisle.trainers.warm_start import NOTHING_SEEN, Seen, Start

CONTENT = {"category", "text"}  # features that an item without events has


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
) -> tuple[Mixture, Start | None]:
    """Fit what `model` names on all but validation events, choose, then fit the chosen again on all of the events.

    Also return the weights for a later warm start, if towers are chosen: the validated ones.
    """
    validation = hold_out(events, validate_from, exclude_seen=options.exclude_seen, start=start)
    check_moment(validation, validate_from, "--validate-from")
    known = validation.events
    if not known.weight.any():
        raise errors.TrainingDataError(fit_towers.NOTHING_LEFT, hint=fit_towers.MORE_EVENTS)
    test = Questions.of(known, validation.relevant, options, seed) if len(validation.relevant) else None
    metric = f"recall@{options.evaluate_at}"
    parts: dict[str, Factors | Links] = {}
    refit: dict[str, Callable[[], Factors | Links]] = {}
    measured: dict[str, Measured] = {}
    mixtures: dict[str, Mixture] = {}
    nothing = mixture.popular(known, options)

    def try_sum(name: str, of: Sequence[str], units: Sequence[bool] = (False,)) -> None:
        """Measure the parts of these names, with their best weights."""
        if test is None:
            mixtures[name] = mixture.add({n: parts[n] for n in of}, dict.fromkeys(of, 1.0), nothing)
            return
        found = []
        for unit in units:
            alone = {n: mixture.add({n: parts[n]}, {n: 1.0}, nothing, unit) for n in of}
            weights, merit = mixture.weigh(alone, test, options) if len(of) > 1 else ({of[0]: 1.0}, 0.0)
            found.append((merit, mixture.add({n: parts[n] for n in of}, weights, nothing, unit)))
        mixtures[name], measured[name] = mixture.finished(max(found, key=lambda one: one[0])[1], test, options)
        shown = mixtures[name].weights
        weights_of = ", ".join(f"{n} {w:.3g}" for n, w in shown.items()) if len(of) > 1 else ""
        report(
            f"  {name}: validation {metric} {measured[name].recall.mean():.4f}" + (weights_of and f" ({weights_of})")
        )

    kinds = item_links.KINDS if options.order == "time" else ("beside",)
    if model in ("best", "item-item", "mixture") and (test is not None or model == "item-item"):
        report("Fitting links between items, settings chosen on validation …")
        for kind in kinds:
            setting, parts[kind] = item_links.tune(kind, known, test, options)
            refit[kind] = partial(item_links.fit, kind, events, setting, exclude_seen=options.exclude_seen)
            try_sum(kind, [kind])
        if len(kinds) > 1:
            try_sum("item-item", kinds)
    links = list(parts)
    if _is_factorised(model, events, options, report):
        report("Fitting matrix factorisations (ials), settings chosen on validation …")
        try:
            found, _ = als.tune(known, validation.relevant, options, seed)
            parts["ials"] = als.fit(known, options, found, seed)
            refit["ials"] = partial(als.fit, events, options, found, seed)
            try_sum("ials", ["ials"])
        except errors.TrainingDataError as error:
            if model == "ials":
                raise
            report(f"Left out: {error}")

    def progress(epoch: int, loss: float, metric_now: float | None) -> None:
        shown = "" if metric_now is None else f", validation {metric} {metric_now:.4f}"
        report(f"  epoch {epoch}/{options.epochs}: loss {loss:.3f}{shown}")

    names = _row_names(events)
    initial = None if start is None else _for_members(start, names)
    first: Factors | None = None
    if model in ("best", "towers", "mixture"):
        report("Fitting towers, stopped by validation …")
        first = fit_towers.fit(known, validation.relevant, options, seed=seed, progress=progress, start=initial)
        parts["towers"] = first
        refit["towers"] = partial(fit_towers.fit, events, None, options, seed=seed, progress=progress, like=first,
                                  start=initial)  # fmt: skip
        try_sum("towers", ["towers"])
    if links and len(parts) > len(links) and model in ("best", "mixture"):
        vectors = max((n for n in ("ials", "towers") if n in parts), key=lambda n: measured[n].merit)
        try_sum("mixture", [vectors, *links], units=(False, True))

    # One kind of links is no better than both. Links alone lead to no new item; vectors of text or category do.
    passed_over = {
        *(kinds if len(kinds) > 1 else ()),
        *(("item-item", *kinds) if CONTENT & {*options.features} else ()),
    }
    candidates = {name: one for name, one in measured.items() if name not in passed_over}
    chosen = mixture.choose(candidates) if model == "best" and candidates else list(mixtures)[-1]
    best = mixtures[chosen]
    report(f"Fitting {chosen} again on all events that are not held out …")
    again = {name: refit[name]() for name in best.weights}
    fitted = mixture.add(again, best.weights, mixture.popular(events, options), best.unit)
    has_towers = first is not None and "towers" in best.weights
    history = first.validation if first is not None and has_towers else ()
    fitted = replace(
        fitted,
        factors=replace(fitted.factors, repeat=best.factors.repeat, validation=history),
        kind=chosen if chosen not in kinds else "item-item",
        tried={name: float(one.recall.mean()) for name, one in measured.items()},
        ahead={
            name: ranking.compare(measured[chosen].recall, one.recall)
            for name, one in measured.items()
            if name != chosen
        },
    )
    if first is None or not has_towers:
        return fitted, None
    learned = {f"{m}.{name}": array for m, arrays in enumerate(first.learned) for name, array in arrays.items()}
    kept = Start(
        {key: array.astype(np.float16) for key, array in learned.items()},
        {key: names[name] for key in learned if (name := key.split(".", 1)[1]) in names},
        _seen(validation.events) | (NOTHING_SEEN if start is None else start.seen),
    )
    return fitted, kept


def _is_factorised(model: str, events: Events, options: TowerOptions, report: Report) -> bool:
    """Return whether to try a matrix factorisation; raises InvalidArgumentError if `model` needs one with contexts."""
    contexts = set(options.features) & set(events.context_values)
    if model == "ials" and contexts:
        raise errors.InvalidArgumentError(
            f"ials has no contexts, so it cannot learn from {', '.join(sorted(contexts))}.", hint="Use --model towers."
        )
    is_due = model == "ials" or (
        model in ("best", "mixture") and not contexts and len(events) + events.neighbourhoods.nnz <= als.FEW
    )
    if is_due and model != "ials" and find_spec("implicit") is None:
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
