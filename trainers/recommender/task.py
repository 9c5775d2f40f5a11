"""The recommender task: user → items, `aisle train recommender`.

    events ──▶ hold out each user's last ──▶ towers, stopped by validation, and a matrix factorisation ──▶ the better
           of both, fitted on all but the held-out ──▶ load ──▶ measure in SQL, beside the live model and the baselines
           ──▶ deploy if it is better

A model's vectors are rows: two for each item, one for each user and context value. recommend() adds and compares them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.trainers import ranking
from aisle.trainers.gate import Verdict, better_than_all
from aisle.trainers.odd_values import report_odd_values
from aisle.trainers.preference import labelling
from aisle.trainers.recommender import baselines, loading
from aisle.trainers.recommender.events import Events, read_events
from aisle.trainers.recommender.fit import fit, read_start
from aisle.trainers.recommender.held_out import HeldOut, check, hold_out, read_held_out
from aisle.trainers.recommender.mixture import Mixture
from aisle.trainers.recommender.options import Options, TowerOptions
from aisle.trainers.task import Metrics, Report, Task
from aisle.trainers.warm_start import Start

CANDIDATES = ("item-knn", "ease", "ials")  # of these, or of what replaces them, validation chooses
EASE_ITEMS = 6000  # beyond, only `aisle evaluate recommender --baseline` fits EASE: it takes 4 bytes × items²


@dataclass(frozen=True)
class Fitted:
    """The fitted model, and the weights for a later warm start."""

    mixture: Mixture
    kept: Start | None
    started_from: int | None


class RecommenderTask(Task[Options, Events, HeldOut, Fitted]):
    """User and context → items."""

    name = "recommender"
    options = Options
    answer = "recommend"
    metric = "recall@{top}"
    overlap_query = "queries/answers_of_users"
    recall_query = "queries/recall_of_factors"

    def source(self, connection: Connection) -> str:
        """Learn from the attached interactions or, without them, from the orders."""
        return f"_{db.fetch_value(connection, 'select (aisle._event_source()).kind')}"

    def settle(self, connection: Connection, options: Options) -> Options:
        """Fill in the features, unless they are given."""
        return replace(options, features=options.features or default_features(connection))

    def read(self, connection: Connection, options: Options, report: Report) -> Events:
        """Read the events."""
        events = read_events(connection, options.features or (), liked_only=options.liked_only)
        report_odd_values(connection, self.source(connection).removeprefix("_"), report)
        if events.left_out:
            report(f"Events left out because their items are not attached: {events.left_out:,}.")
        if options.liked_only:
            liked = np.count_nonzero(events.weight)
            report(f"{liked:,} of {len(events):,} events are liked; the others are only history.")
            if waiting := labelling.unlabelled(connection):
                report(f"{waiting:,} review texts have no label yet, and count as not liked: aisle label reviews")
        return events

    def start(self, connection: Connection, data: Events, options: Options) -> Start:
        """Return the weights of the live model's towers."""
        if options.model in ("ials", "item-item"):
            raise errors.WarmStartError("Only towers have a warm start.", hint="Leave out --warm-start.")
        return read_start(connection, data, tower_options(options))

    def split(self, data: Events, options: Options, start: Start | None = None) -> HeldOut:
        """Hold out each user's last events."""
        test = hold_out(data, options.test_from, exclude_seen=not options.repeats, start=start)
        check(test, options.test_from)
        return test

    def describe(self, data: Events, held_out: HeldOut) -> str:
        """Return the number of events, users and items."""
        return (
            f"{len(data):,} events of {len(data.user_ids):,} users with {len(data.items):,} items; "
            f"{len(held_out.user):,} users' last events are held out."
        )

    def fit(
        self, connection: Connection, data: Events, held_out: HeldOut, options: Options, report: Report,
        start: Start | None = None,
    ) -> Fitted:  # fmt: skip
        """Fit the best of links between items, matrix factorisation and towers, or their sum."""
        mixture, kept = fit(
            held_out.events, options.validate_from, tower_options(options), options.seed, report, start,
            model=options.model,
        )  # fmt: skip
        return Fitted(mixture, kept, start.model_id if start is not None and kept is not None else None)

    def load(
        self, connection: Connection, data: Events, held_out: HeldOut, fitted: Fitted, options: Options,
        parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Copy the vectors of items, users and contexts."""
        parameters = {**parameters, "started_from": fitted.started_from}
        return loading.load(connection, self.name, data, held_out, fitted.mixture, fitted.kept, parameters)

    def score(
        self, connection: Connection, model_id: int, held_out: HeldOut, options: Options, *, heldout_of: int
    ) -> Metrics:
        """Query the held-out users, each in the context of the first event to predict."""
        measured = self.answers(connection, model_id, heldout_of, options)
        return {"users": len(measured.recall), **measured.means()}

    def answers(self, connection: Connection, model_id: int, heldout_of: int, options: Options) -> ranking.Measures:
        """Query a model for the held-out users of model `heldout_of`, and measure each answer."""
        rows = connection.execute(
            db.read("queries/recommend_heldout"),
            {"model_id": model_id, "heldout_of": heldout_of, "k": options.top, "exclude_seen": not options.repeats},
        ).fetchall()
        return ranking.measure([row[2] for row in rows], [row[1] for row in rows], options.top)

    def overlap(self, options: Options) -> dict[str, Any]:
        """Compare the first k; without seen items, if these are not recommended."""
        return {"k": options.top, "exclude_seen": not options.repeats}

    def baselines(
        self, held_out: HeldOut, options: Options, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        """Compare with popularity, own history, item neighbours and linear models."""
        found: dict[str, Callable[[], Metrics]] = {}
        for name in _all_baselines(held_out) if all_of_them else gate(held_out, repeats=options.repeats):
            if name in baselines.OF_IMPLICIT and find_spec("implicit") is None:
                report(f"Not compared with {name}: pip install '.[baselines]'")
                continue

            def fit_and_score(name: str = name) -> Metrics:
                baseline = baselines.BASELINES[name]().fit(held_out.events)
                measured = measure_baseline(baseline, held_out, options.top, exclude_seen=not options.repeats)
                return {"users": len(held_out.user), **measured.means()}

            found[name] = fit_and_score
        return found

    def verdict(self, metrics: Metrics, options: Options) -> Verdict:
        """Let a model go live if it beats the live model and the baselines that need no model.

        The others are candidates themselves: nothing simple is better on validation than what was fitted.
        """
        rivals = {other: value for other, value in metrics.items() if other not in CANDIDATES}
        return better_than_all(rivals, self.metric_of(options))

    def facts(self, connection: Connection, data: Events) -> dict[str, Any]:
        """Return the number of users and items, too."""
        return super().facts(connection, data) | {
            "events": len(data),
            "users": len(data.user_ids),
            "items": len(data.items),
            "fingerprint": data.fingerprint(),
        }

    def held_out_of(
        self, connection: Connection, model_id: int, options: Options, *, for_baselines: bool
    ) -> HeldOut | None:
        """Return the held-out users whose events still exist. Only baselines need them: SQL measures the model."""
        if not for_baselines:
            return None
        # No baseline uses texts or places.
        features = [f for f in options.features or () if f not in ("text", "location")]
        return read_held_out(connection, model_id, read_events(connection, features, liked_only=options.liked_only))


def tower_options(options: Options) -> TowerOptions:
    """Return the options of the towers, with those that the task's options set."""
    return replace(
        options.towers,
        features=options.features or options.towers.features,
        exclude_seen=not options.repeats,
        evaluate_at=options.top,
    )


def default_features(connection: Connection) -> tuple[str, ...]:
    """Return user, item, category and location if the items have them, and text if a category model is live."""
    category, latitude = db.fetch_row(
        connection,
        "select max(coalesce(columns ->> 'category', declaration #>> '{categories,of_item}')),"
        " max(columns ->> 'latitude') from aisle._attachments where kind = 'items'",
    )
    found = {"category": category, "text": model_registry.live(connection, "category"), "location": latitude}
    return ("user", "item", *(feature for feature, it in found.items() if it is not None))


def gate(test: HeldOut, *, repeats: bool) -> list[str]:
    """Return the baselines that a model is compared with."""
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


def _all_baselines(test: HeldOut) -> list[str]:
    return [
        name
        for name, baseline in baselines.BASELINES.items()
        if test.events.context or not issubclass(baseline, baselines.ContextPopularity)
    ]


def measure_baseline(
    baseline: baselines.Baseline,
    test: HeldOut,
    k: int,
    *,
    exclude_seen: bool,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> ranking.Measures:
    """Measure a baseline on the held-out users, each in the context of the first event to predict."""
    starts = np.searchsorted(test.relevant.user, test.user)
    stops = np.searchsorted(test.relevant.user, test.user, side="right")
    context = {feature: values[starts] for feature, values in test.relevant.context.items()}
    ranked = baseline.recommend(test.user, k, context=context, exclude_seen=exclude_seen, allowed=allowed)
    wanted = [set(test.relevant.item[start:stop].tolist()) for start, stop in zip(starts, stops, strict=True)]
    return ranking.measure(ranked, wanted, k)


TASK = RecommenderTask()
