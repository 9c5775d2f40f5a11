"""Trains user → items: `aisle train recommender`.

    events ──▶ hold out each user's last ──▶ towers, stopped by validation, and a matrix factorisation ──▶ the better
           of both, fitted on all but the held-out ──▶ publish ──▶ measure in SQL, beside the live model and the
           baselines ──▶ deploy if it is better

A model's vectors are rows: two an item, one a user, one a context value. recommend() adds them up and compares.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder import item_factors as factor_files
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_tower import prefixes
from aisle.embedder.pipeline import drain
from aisle.trainers import index_recall, overlap, ranking, warm_start
from aisle.trainers.bulk import copy_rows, index_generation
from aisle.trainers.odd_values import report_oddities
from aisle.trainers.preference import task as preference
from aisle.trainers.recommender import als, baselines, fit_towers, towers
from aisle.trainers.recommender.events import Events, Floats, Ints, read_events
from aisle.trainers.run import (
    Report,
    Result,
    beats_all,
    conclude,
    count_rows,
    failing,
    leave_unless_leader,
    newest_moment,
    only_trainer,
)
from aisle.trainers.warm_start import NOBODY, Seen, Start

NOT_IN_SQL = ("item-knn", "ease", "ials")  # the baselines that no application can ask
EASE_ITEMS = 6000  # beyond, it is left to `aisle evaluate recommender --baseline`: it takes 4 bytes × items²


@dataclass(frozen=True)
class Options:
    """What `aisle train recommender` can be told."""

    features: tuple[str, ...] | None = None  # None: user, item, and what else there is to read of items
    liked_only: bool = False  # whether only what a user liked is to be foreseen; the rest stays history
    repeats: bool = False  # whether people come back to the same items, and want to be shown them
    test_from: float | None = None  # seconds since 1970; None: each user's last event is held out
    validate_from: float | None = None
    top: int = 10  # what is measured are the first so many
    seed: int = 7
    deploy: bool | None = None  # None: if it is better than what is live and than the baselines
    model: str = "best"  # on validation, of 'towers' and 'ials'
    warm_start: bool = False  # whether to start from the live model's weights
    tower_options: towers.Options = field(default_factory=towers.Options)


@dataclass(frozen=True)
class HeldOut:
    """For some users: the moment from which their events are held out, and the first of those that count."""

    events: Events  # everything before the moments
    user: Ints  # (users,)
    at: npt.NDArray[np.float64]  # (users,), seconds
    relevant: Events  # the events that should have been foreseen


def train(url: str, options: Options, report: Report = lambda line: None) -> Result:
    """Train on the attached events, publish a generation, measure it through SQL, and deploy it if it is better.

    Raises TrainingDataError when there is too little to learn from. No failure touches the live model.
    """
    started = time.monotonic()
    with (
        db.connect(url, application_name="aisle train recommender") as connection,
        only_trainer(connection, "recommender", shared=True),
    ):
        features = options.features or default_features(connection)
        events = read_events(connection, features, liked_only=options.liked_only)
        report_oddities(connection, db.fetch_value(connection, "select (aisle._event_source()).kind"), report)
        if events.left_out:
            report(f"Events left out, about items that are not attached: {events.left_out:,}.")
        if options.liked_only:
            _report_likes(connection, events, report)
        tower_options = replace(options.tower_options, features=features, exclude_seen=not options.repeats)
        if options.warm_start and options.model == "ials":
            raise errors.WarmStartError("A matrix factorisation starts from nothing.", hint="Leave out --warm-start.")
        start = begin(connection, events, tower_options) if options.warm_start else None
        test = hold_out(events, options.test_from, exclude_seen=not options.repeats, start=start)
        check(test, options.test_from)
        report(
            f"{len(events):,} events of {len(events.user_ids):,} users with {len(events.items):,} items; "
            f"{len(test.user):,} users' last are held out."
        )
        factors, kept = fit(
            test.events, options.validate_from, tower_options, options.seed, report, start, model=options.model
        )
        leave_unless_leader()
        started_from = start.model_id if start is not None and factors.kind == "towers" else None
        model_id = publish(connection, events, test, factors, tower_options, options, kept, started_from)
        with failing(connection, model_id):
            metrics = measure(connection, model_id, test, options, report)
        verdict = judge(metrics, options)
        return conclude(
            connection,
            "recommender",
            model_id,
            metrics=metrics,
            data={
                "rows": count_rows(connection, "recommender"),
                "newest": newest_moment(connection, "recommender"),
                "events": len(events),
                "users": len(events.user_ids),
                "items": len(events.items),
                "fingerprint": events.fingerprint(),
            },
            seconds=time.monotonic() - started,
            verdict=verdict,
            deploys=is_deployed(metrics, options),
            told=options.deploy,
        )


def _report_likes(connection: Connection, events: Events, report: Report) -> None:
    report(f"{np.count_nonzero(events.weight):,} of {len(events):,} events are liked; the others are history only.")
    if waiting := preference.unlabelled(connection):
        report(f"{waiting:,} texts of reviews have no label yet, and count as not liked: aisle label reviews")


def default_features(connection: Connection) -> tuple[str, ...]:
    """Return user, item, what the items have of category and location, and text if a category model is live."""
    category, latitude = db.fetch_row(
        connection,
        "select max(columns ->> 'category'), max(columns ->> 'latitude') from aisle._attachments where kind = 'items'",
    )
    found = {"category": category, "text": model_registry.live(connection, "category"), "location": latitude}
    return ("user", "item", *(feature for feature, it in found.items() if it is not None))


def begin(connection: Connection, events: Events, options: towers.Options) -> Start:
    """Return what the live model has kept; raises NoLiveModelError, and WarmStartError where it means nothing."""
    model, start = warm_start.of_live(connection, "recommender")
    for name in ("dimensions", "members", "smoothing", "tied", "cosine"):
        warm_start.check_same(model, name, model.parameters["towers"][name], getattr(options, name))
    if model.parameters["text_model"] != events.items.text_model:  # its towers read other texts' vectors
        start = replace(start, arrays={name: array for name, array in start.arrays.items() if ".text." not in name})
    return start


def hold_out(events: Events, moment: float | None, *, exclude_seen: bool, start: Start | None = None) -> HeldOut:
    """Hold out what each user did from a moment on; by default, from the last time that counts for each.

    Where seen items are not recommended, only a user's first event with an item counts. A user of whom nothing would
    be left is not held out, nor one of whom the weights that are started from have learned what came then. Raises
    WarmStartError where these are all.
    """
    counts = events.weight > 0
    if exclude_seen:
        counts &= events.first()
    users = len(events.user_ids)
    first, last = np.full(users, np.inf), np.full(users, -np.inf)
    np.minimum.at(first, events.user, events.at)
    np.maximum.at(last, events.user[counts], events.at[counts])
    cut = last if moment is None else np.where(last >= moment, moment, np.inf)
    cut = np.where((first < cut) & (cut < np.inf), cut, np.inf)
    if start is not None:
        unseen = np.where(cut > start.seen.until_of(events.user_ids), cut, np.inf)
        warm_start.check_unseen(start, int((unseen < np.inf).sum()), int((cut < np.inf).sum()), "users")
        cut = unseen
    after = events.at >= cut[events.user]
    relevant = events.select(after & counts)
    user = np.unique(relevant.user)
    return HeldOut(events.select(~after), user, cut[user], relevant)


def held_out_of(connection: Connection, model_id: int, events: Events) -> HeldOut:
    """Return what a published model was measured on: its held-out users, and the events before their moments."""
    rows = connection.execute(db.read("queries/heldout_users"), {"model_id": model_id, "kind": None}).fetchall()
    users, items = ({name: n for n, name in enumerate(names)} for names in (events.user_ids, events.items.ids))
    moments = np.full(len(users), np.inf)
    wanted: set[tuple[int, int]] = set()
    for user_id, moment, relevant in rows:
        if user_id in users:
            moments[users[user_id]] = moment
            wanted |= {(users[user_id], items[item]) for item in relevant if item in items}
    after = events.at > moments[events.user]
    is_relevant = np.array([pair in wanted for pair in zip(events.user, events.item, strict=True)])
    relevant_events = events.select(after & is_relevant)
    user = np.unique(relevant_events.user)
    return HeldOut(events.select(~after), user, moments[user], relevant_events)


def check(test: HeldOut, moment: float | None) -> None:
    """Raise TrainingDataError where there is nothing to tell apart."""
    check_moment(test, moment, "--test-from")
    users, items = len(np.unique(test.events.user)), len(np.unique(test.events.item))
    if users < 2 or items < 2:
        raise errors.TrainingDataError(
            f"There are {users} users with {items} items; two of each are the least.", hint=fit_towers.MORE_EVENTS
        )
    if not len(test.user):
        raise errors.TrainingDataError(
            "No user has an event to foresee: one of a later time than another, that counts, with an item new to them.",
            hint="Do times differ within a user? An event of weight 0 does not count; with --repeats known items do.",
        )


def check_moment(test: HeldOut, moment: float | None, option: str) -> None:
    """Raise TrainingDataError where nobody's events were held out from the moment that an option named."""
    if moment is not None and not len(test.user):
        raise errors.TrainingDataError(
            f"Nobody has an event that counts from {datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} on, and one "
            "before.",
            hint=f"Name another moment, or leave out {option}.",
        )


def fit(
    events: Events,
    validate_from: float | None,
    options: towers.Options,
    seed: int,
    report: Report,
    start: Start | None = None,
    *,
    model: str = "towers",
) -> tuple[towers.Factors, Start | None]:
    """Find on validation what fits best, then fit that again on all of the events.

    Return what a later training may start from, too: the weights that were validated, where towers are the better.
    """
    validation = hold_out(events, validate_from, exclude_seen=options.exclude_seen, start=start)
    check_moment(validation, validate_from, "--validate-from")
    if not validation.events.weight.any():
        raise errors.TrainingDataError(fit_towers.NOTHING_LEFT, hint=fit_towers.MORE_EVENTS)

    tried: dict[str, float] = {}  # kind → recall on validation
    if _is_factorised(model, events, options, report):
        report("Fitting matrix factorisations (ials), to be chosen by validation …")
        try:
            setting, tried["ials"] = als.tune(validation.events, validation.relevant, options, seed)
        except errors.TrainingDataError as error:
            if model == "ials":
                raise
            report(f"There is none: {error}")
    if model == "ials":
        return replace(als.fit(events, options, setting, seed), tried=tried), None

    def progress(epoch: int, loss: float, metric: float | None) -> None:
        shown = "" if metric is None else f", validation recall@{options.evaluate_at} {metric:.4f}"
        report(f"  epoch {epoch}/{options.epochs}: loss {loss:.3f}{shown}")

    names = _row_names(events)
    begun = None if start is None else _for_members(start, names)
    report("Fitting, to be stopped by validation …")
    first = fit_towers.fit(validation.events, validation.relevant, options, seed=seed, progress=progress, start=begun)
    tried["towers"], _ = fit_towers.judge(first, validation.events, validation.relevant, options, seed)
    report(f"Validation recall@{options.evaluate_at}: " + ", ".join(f"{kind} {r:.4f}" for kind, r in tried.items()))
    if tried.get("ials", 0) > tried["towers"]:
        return replace(als.fit(events, options, setting, seed), tried=tried), None
    report(f"Fitting again on all that is not held out, for {first.epochs_run} epochs …")
    factors = fit_towers.fit(events, None, options, seed=seed, progress=progress, like=first, start=begun)
    learned = {f"{m}.{name}": array for m, arrays in enumerate(first.learned) for name, array in arrays.items()}
    kept = Start(
        {key: array.astype(np.float16) for key, array in learned.items()},
        {key: names[name] for key in learned if (name := key.split(".", 1)[1]) in names},
        _seen(validation.events) | (NOBODY if start is None else start.seen),
    )
    return replace(factors, validation=first.validation, tried=tried), kept


def _is_factorised(model: str, events: Events, options: towers.Options, report: Report) -> bool:
    """Say whether a matrix factorisation is to be tried; raises InvalidArgumentError if it cannot do what is asked."""
    contexts = set(options.features) & set(events.context_values)
    if model == "ials" and contexts:
        raise errors.InvalidArgumentError(
            f"ials knows no contexts, and cannot learn from {', '.join(sorted(contexts))}.", hint="Use --model towers."
        )
    is_due = model == "ials" or (
        model == "best" and not contexts and len(events) + events.neighbourhoods.nnz <= als.FEW
    )
    if is_due and model == "best" and find_spec("implicit") is None:
        report("No matrix factorisation is tried: pip install '.[baselines]'")
        return False
    return is_due


def _row_names(events: Events) -> dict[str, Sequence[str]]:
    """Return what the rows of the towers' tables are of."""
    paths = {prefix for path in events.items.categories for prefix in prefixes(path)}
    return {
        "ids": events.items.ids,
        "categories": ["\x1f".join(path) for path in sorted(paths)],
        **{f"contexts.{feature}": values for feature, values in events.context_values.items()},
    }


def _for_members(start: Start, names: Mapping[str, Sequence[str]]) -> list[dict[str, Floats]]:
    """Return each member's parameters to begin with, for the rows of these names."""
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


def publish(
    connection: Connection,
    events: Events,
    test: HeldOut,
    factors: towers.Factors,
    tower_options: towers.Options,
    options: Options,
    kept: Start | None = None,
    started_from: int | None = None,
) -> int:
    """Load the factors as a generation, and let the embedder add the items without events; return the model's id."""
    items, dimensions = events.items, factors.out.shape[1]
    separator = db.fetch_value(connection, "select category_separator from aisle._attachments where kind = 'items'")
    repeat = factors.repeat
    model_id = model_registry.create(
        connection,
        "recommender",
        dimensions,
        encoder=None,
        parameters={
            "model": options.model,
            "features": tower_options.features,
            "history": len(factors.recency),
            "exponent": factors.exponent,
            "popularity": factors.popularity,
            "repeats": {
                "seen": repeat.constant,
                "count": repeat.count,
                "recency": repeat.recent,
                "decay": repeat.decay,
                "context": dict(repeat.context),
            },
            "distinct": factors.distinct,
            "recommends_seen": options.repeats,
            "liked_only": options.liked_only,
            "text_model": items.text_model,
            "category_separator": separator,
            "seed": options.seed,
            "started_from": started_from,
            "top": options.top,
            "epochs": factors.epochs_run,
            "kind": factors.kind,
            "tried": {name: round(recall, 4) for name, recall in factors.tried.items()},
            "validation": [round(recall, 4) for recall in factors.validation],  # every so many epochs
            "towers": asdict(tower_options),
        },
    )
    has_tower = any(len(t.names) or t.text for t in factors.towers)
    factor_files.store(connection, model_id, factors.towers if has_tower else ())
    if kept is not None:
        kept.store(connection, model_id)
    zeros = np.zeros(dimensions, dtype=np.float32)
    # What is of one category lies together: an exact scan of a category then reads few pages.
    touched = sorted(np.unique(test.events.item), key=lambda i: list(items.categories[i] or ()))
    copy_rows(
        connection,
        "item_factors",
        ("model_id", "item_id", "category_key", "embedding", "in_embedding", "content_hash", "origin"),
        (
            (
                model_id,
                items.ids[i],
                None if (path := items.categories[i]) is None else separator.join([*path, ""]),
                factors.out[i],
                factors.into[i],
                items.hashes[i],
                "events",
            )
            for i in touched
        ),
    )
    if factors.users.any():
        copy_rows(
            connection,
            "user_vectors",
            ("model_id", "user_id", "embedding"),
            ((model_id, events.user_ids[u], factors.users[u]) for u in np.unique(test.events.user)),
        )
    copy_rows(
        connection,
        "context_vectors",
        ("model_id", "feature", "value", "embedding"),
        [
            (model_id, "", "", factors.constant),
            *(
                (model_id, feature, value, vector)
                for feature, vectors in factors.context.items()
                for value, vector in zip(factors.context_values[feature], vectors, strict=True)
            ),
        ],
    )
    copy_rows(
        connection,
        "_recency_weights",
        ("model_id", "place", "weights"),
        ((model_id, place, zeros + weight) for place, weight in enumerate(factors.recency, start=1)),
    )
    _hold_out_users(connection, model_id, test)
    index_generation(connection, "recommender", model_id)
    for table in ("user_vectors", "context_vectors"):
        connection.execute(f"analyze aisle.{table}_{model_id}".encode())
    # From here on the worker keeps this generation in step.
    connection.execute("update aisle._models set state = 'filling' where model_id = %s", (model_id,))
    connection.execute("select aisle._enqueue_stale()")
    drain(connection, [FactorEmbedder()])
    return model_id


def _hold_out_users(connection: Connection, model_id: int, test: HeldOut) -> None:
    relevant, events = test.relevant, test.events
    starts = np.searchsorted(relevant.user, test.user)
    stops = np.searchsorted(relevant.user, test.user, side="right")
    names = [
        {
            feature: relevant.context_values[feature][values[row]]
            for feature, values in relevant.context.items()
            if values[row] >= 0
        }
        for row in starts
    ]
    wanted = [
        sorted({events.items.ids[i] for i in relevant.item[start:stop]})
        for start, stop in zip(starts, stops, strict=True)
    ]
    connection.execute(
        db.read("queries/add_heldout_users"),
        {
            "kind": None,
            "model_id": model_id,
            "user_ids": [events.user_ids[u] for u in test.user],
            "moments": test.at.tolist(),
            "contexts": [json.dumps(context, ensure_ascii=False) for context in names],
            "relevant": [db.array(items) for items in wanted],
        },
    )


def answers(connection: Connection, model_id: int, heldout_of: int, k: int) -> tuple[list[list[str]], list[list[str]]]:
    """Ask a model for the users that another was held out from; return what it ranks and what was relevant."""
    repeats = model_registry.get(connection, heldout_of).parameters["recommends_seen"]
    rows = connection.execute(
        db.read("queries/recommend_heldout"),
        {"model_id": model_id, "heldout_of": heldout_of, "k": k, "exclude_seen": not repeats},
    ).fetchall()
    return [row[2] for row in rows], [row[1] for row in rows]


def measure(connection: Connection, model_id: int, test: HeldOut, options: Options, report: Report) -> dict[str, Any]:
    """Measure the model, the live one and the baselines on the held-out users."""
    k = options.top
    report("Measuring on held-out users, through SQL …")
    metrics: dict[str, Any] = {"users": len(test.user)}
    metrics |= ranking.measure(*answers(connection, model_id, model_id, k), k).means()
    if found := index_recall.recall(connection, "recommender", model_id):
        metrics["index recall@10"] = found
    live = model_registry.live(connection, "recommender")
    if live is not None:
        metrics["live"] = {"model_id": live, **ranking.measure(*answers(connection, live, model_id, k), k).means()}
        metrics["shadow"] = overlap.compare(
            connection, "recommender", live, model_id, k, exclude_seen=not options.repeats
        )
    for name in rivals(test, repeats=options.repeats):
        if name in baselines.OF_IMPLICIT and find_spec("implicit") is None:
            report(f"Not compared with {name}: pip install '.[baselines]'")
            continue
        report(f"Fitting the baseline {name} …")
        try:
            metrics[name] = measure_baseline(name, test, k, exclude_seen=not options.repeats).means()
        except errors.TrainingDataError as error:
            report(f"Not compared: {error}")
    return metrics


def rivals(test: HeldOut, *, repeats: bool) -> list[str]:
    """Return the baselines that a model must beat."""
    has_context = bool(test.events.context)
    wanted = {
        "popularity": True,
        "recent-popularity": True,
        "context-popularity": has_context,
        "own-history": repeats,
        "own-context-history": repeats and has_context,
        "item-knn": True,
        "ease": len(test.events.items) <= EASE_ITEMS,
        "ials": True,
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def measure_baseline(name: str, test: HeldOut, k: int, *, exclude_seen: bool) -> ranking.Measures:
    """Fit a baseline on what is not held out, and measure it on what is."""
    return measure_fitted(baselines.BASELINES[name]().fit(test.events), test, k, exclude_seen=exclude_seen)


def measure_fitted(
    baseline: baselines.Baseline,
    test: HeldOut,
    k: int,
    *,
    exclude_seen: bool,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> ranking.Measures:
    """Measure a baseline on the held-out users, each in the context of the first event that counts."""
    starts = np.searchsorted(test.relevant.user, test.user)
    stops = np.searchsorted(test.relevant.user, test.user, side="right")
    context = {feature: values[starts] for feature, values in test.relevant.context.items()}
    ranked = baseline.recommend(test.user, k, context=context, exclude_seen=exclude_seen, allowed=allowed)
    wanted = [set(test.relevant.item[start:stop].tolist()) for start, stop in zip(starts, stops, strict=True)]
    return ranking.measure(ranked, wanted, k)


def judge(metrics: dict[str, Any], options: Options) -> tuple[bool, str]:
    """Return whether the model is better than what it stands beside, and by what."""
    return beats_all(metrics, f"recall@{options.top}")


def is_deployed(metrics: dict[str, Any], options: Options) -> bool:
    """Say whether a model is to answer: it is better, or it is the first and better than what needs no model."""
    others = {name: value for name, value in metrics.items() if name not in NOT_IN_SQL}
    return judge(metrics, options)[0] or ("live" not in metrics and judge(others, options)[0])
