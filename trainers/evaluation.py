"""Measures the live models through SQL, beside baselines on the same rows."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from aisle.db import Connection, errors, model_registry
from aisle.embedder.category_model import Generation
from aisle.trainers import ranking
from aisle.trainers.basket import baselines as basket_baselines
from aisle.trainers.basket import task as basket
from aisle.trainers.basket.orders import read_baskets
from aisle.trainers.category import linear_svm, loading
from aisle.trainers.category.products import read_catalogue
from aisle.trainers.preference import task as preference
from aisle.trainers.recommender import baselines
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.events import read_events
from aisle.trainers.run import learned_from

COLUMNS = ("answer", "held_out_rows", "accuracy", "macro_f1", "ece")


def evaluate_category(connection: Connection, *, baseline: bool) -> list[tuple[Any, ...]]:
    """Ask the live model for its held-out rows again; return a row each for item, text, and baseline."""
    model_id = model_registry.require_live(connection, "category")
    model = model_registry.get(connection, model_id)
    held_out = loading.heldout_of(connection, model_id)
    if not held_out:
        raise errors.TrainingDataError("The live model has no held-out rows.", hint="Train it on more labelled rows.")
    metrics = loading.measure(connection, model_id, held_out, keep=False)
    if not metrics:
        raise errors.TrainingDataError(
            "No held-out row has both a category and a vector.", hint="Attach the items, and let a worker catch up."
        )
    rows: list[tuple[Any, ...]] = [
        ("item_category", metrics["held_out_rows"], metrics["accuracy"], metrics["macro_f1"], metrics["ece"]),
        ("predict_category", metrics["held_out_rows"], metrics["student_accuracy"], metrics["student_macro_f1"], None),
    ]
    if baseline:
        catalogue = read_catalogue(
            connection, split_column=model.parameters["split_column"], seed=model.parameters["seed"]
        )
        labelled = np.array([category is not None for category in catalogue.categories])
        testing = np.isin(catalogue.item_ids.astype(str), held_out) & labelled
        given, predicted, _ = linear_svm.predict(catalogue, testing)
        scores = loading.scores(given, predicted)
        rows.append((linear_svm.NAME, len(given), scores["accuracy"], scores["macro_f1"], None))
    return rows


def evaluate_preference(connection: Connection, *, baseline: bool) -> list[dict[str, Any]]:
    """Ask the live model for the held-out reviews; return a row for it, for the majority, and for the baseline."""
    model_id = model_registry.require_live(connection, "preference")
    parameters = model_registry.get(connection, model_id).parameters
    reviews = preference.rated_reviews(connection, parameters["liked"], parameters["seed"])
    metrics = preference.measure(connection, Generation.load(connection, model_id), reviews)
    rows = [(f"model {model_id}", metrics), ("majority", metrics["majority"])]
    if baseline:
        rows.append((linear_svm.NAME, preference.scores(*linear_svm.predict(reviews, reviews.splits == "test"))))
    return preference.table(rows)


def evaluate_recommender(connection: Connection, *, baseline: bool) -> list[dict[str, Any]]:
    """Ask the live model for its held-out users again; return a row for it, and one for each baseline.

    Raises NotAttachedError where their events are not there any more.
    """
    model_id = model_registry.require_live(connection, "recommender")
    learned_from(connection, "recommender")
    parameters = model_registry.get(connection, model_id).parameters
    k, exclude_seen = parameters["top"], not parameters["recommends_seen"]
    measured = ranking.measure(*recommender.answers(connection, model_id, model_id, k), k)
    rows = [{"answer": "recommend", "users": len(measured.recall), **measured.means()}]
    if baseline:
        features = [f for f in parameters["features"] if f not in ("text", "location")]  # which no baseline knows
        events = read_events(connection, features, liked_only=parameters["liked_only"])
        test = recommender.held_out_of(connection, model_id, events)
        for name, baseline_class in baselines.BASELINES.items():
            if issubclass(baseline_class, baselines.ContextPopularity) and not events.context:
                continue
            if name in baselines.OF_IMPLICIT and find_spec("implicit") is None:
                continue
            means = recommender.measure_baseline(name, test, k, exclude_seen=exclude_seen).means()
            rows.append({"answer": name, "users": len(test.user), **means})
    return rows


def evaluate_basket(connection: Connection, *, baseline: bool) -> list[dict[str, Any]]:
    """Ask the live model for its held-out customers again; return a row for it, and one for each baseline.

    A baseline that has too little to learn from says so in place of its figures. A model whose answers of this moment
    are errors is not measured: the error is raised.
    """
    model_id = model_registry.require_live(connection, "basket")
    k = model_registry.get(connection, model_id).parameters["top"]
    history, test = basket.held_out_of(connection, model_id, read_baskets(connection))
    if not len(test):
        raise errors.TrainingDataError("None of the held-out customers' orders is there any more.")
    basket.check_answers(connection, model_id, history, test)
    ranked = [items for items, _ in basket.answers(connection, model_id, model_id, history, test, k)]
    measured = ranking.measure_baskets(ranked, basket.names_of(history, test), basket.seen_by(history, test), k)
    rows = [{"answer": "next_basket", "customers": len(test), **measured.means()}]
    if baseline:
        for name in basket_baselines.BASELINES:
            if name == "xgboost" and find_spec("xgboost") is None:
                continue
            try:
                means = basket.measure_baseline(name, history, test, k).means()
            except errors.TrainingDataError as error:
                rows.append({"answer": f"{name}: {error}", "customers": 0, **dict.fromkeys(measured.means())})
                continue
            rows.append({"answer": name, "customers": len(test), **means})
    return rows
