"""Says whether a live model has fallen behind the shop, and trains its task again as it was trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.trainers import run


@dataclass(frozen=True)
class Limits:
    """From where on a model is stale."""

    new_rows: float = 0.1  # share of the rows that are new: of items changed ones, too; of events and orders gone ones
    mix: float = 0.1  # share of the items that would have to change their category for the old mix
    confidence: float = 0.05  # how much less sure it is of new items than it was of the held-out ones


@dataclass(frozen=True)
class Staleness:
    """How far a model has fallen behind; None: it does not apply, or too little is known."""

    task: str
    model_id: int
    new_rows: float | None
    mix: float | None
    confidence: float | None

    def reasons(self, limits: Limits) -> list[str]:
        """Return what is beyond the limits, in words; empty for a model that is not stale."""
        texts = {
            "new_rows": "{:.1%} of the rows are new or gone",
            "mix": "the mix of categories has moved by {:.3f}",
            "confidence": "it is less sure of new items by {:.3f}",
        }
        return [
            f"{text.format(value)} (limit: {limit:g})"
            for name, text in texts.items()
            if (value := getattr(self, name)) is not None and value > (limit := getattr(limits, name))
        ]


def examine(connection: Connection, task: str) -> Staleness:
    """Compare what the newest model of a task learned from with what is there now; raises NoLiveModelError.

    The newest one, live or not: what it could not improve upon, another training on the same rows will not either.
    """
    model_registry.require_live(connection, task)
    rows = run.count_rows(connection, task)
    model_id = db.fetch_value(
        connection, "select max(model_id) from aisle._models where task = %s and state = 'ready'", (task,)
    )
    if task == "category":
        with db.guarded(connection):
            row = connection.execute(db.read("queries/drift_of_categories"), {"model_id": model_id}).fetchall()[0]
        return Staleness(task, model_id, *row)
    data = model_registry.get(connection, model_id).data
    then, newest = data.get("rows"), data.get("newest")
    if then is None:
        return Staleness(task, model_id, None, None, None)
    came = 0 if newest is None else run.count_rows(connection, task, after=newest)
    # What is not later than the training was there then, or is gone, or has been added to the past.
    return Staleness(task, model_id, (came + abs(rows - came - then)) / max(then, 1), None, None)


def retrain(connection: Connection, url: str, task: str, report: run.Report, *, warm_start: bool = False) -> run.Result:
    """Train a task again with what its live model was trained with; raises NoLiveModelError.

    With `warm_start` it starts from that model's weights or, where it cannot, from scratch.
    """
    model = model_registry.get(connection, model_registry.require_live(connection, task))
    again: dict[str, Callable[[str, model_registry.Model, run.Report, bool], run.Result]] = {
        "category": _category,
        "preference": _preference,
        "recommender": _recommender,
        "basket": _basket,
    }
    if warm_start:
        try:
            return again[task](url, model, report, True)
        except errors.WarmStartError as error:
            report(f"{error} From scratch, then.")
    return again[task](url, model, report, False)


def _text_options(model: model_registry.Model) -> dict[str, Any]:
    from aisle.trainers.category.fine_tuning import FineTuningOptions
    from aisle.trainers.category.ngram_model import StudentOptions

    given = {
        "encoder": model.encoder,
        "seed": model.parameters["seed"],
        "student": StudentOptions(**model.parameters["student"]),
    }
    if "fine_tuning" in model.parameters:
        given["fine_tuning"] = FineTuningOptions(**model.parameters["fine_tuning"])
    return given


def _category(url: str, model: model_registry.Model, report: run.Report, warm_start: bool) -> run.Result:
    from aisle.trainers.category import task as category

    own = {name: model.parameters[name] for name in ("split_column", "min_rows")}
    return category.train(url, category.Options(**_text_options(model), **own, warm_start=warm_start), report)


def _preference(url: str, model: model_registry.Model, report: run.Report, warm_start: bool) -> run.Result:
    from aisle.trainers.preference import task as preference

    rule = model.parameters["liked"]
    options = preference.Options(
        **_text_options(model), liked_from=rule.get("from"), liked=tuple(rule.get("values", ())), warm_start=warm_start
    )
    return preference.train(url, options, report)


def _recommender(url: str, model: model_registry.Model, report: run.Report, warm_start: bool) -> run.Result:
    from aisle.trainers.recommender import task as recommender
    from aisle.trainers.recommender import towers

    given = model.parameters
    features = tuple(given["features"])
    options = recommender.Options(
        model=given.get("model", "towers"),
        features=features,
        liked_only=given["liked_only"],
        repeats=given["recommends_seen"],
        top=given["top"],
        seed=given["seed"],
        warm_start=warm_start,
        tower_options=towers.Options(**given["towers"] | {"features": features}),
    )
    return recommender.train(url, options, report)


def _basket(url: str, model: model_registry.Model, report: run.Report, warm_start: bool) -> run.Result:
    from aisle.trainers.basket import task as basket

    return basket.train(url, basket.Options(**model.parameters["options"], warm_start=warm_start), report)
