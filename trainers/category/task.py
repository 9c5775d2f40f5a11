"""The category task: product → category, `aisle train category`.

rows ──▶ split by name ──▶ n-gram model [+ encoder] ──▶ calibrate ──▶ load
──▶ measure in SQL, beside the live model and the baseline ──▶ deploy if it is better
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder.category_model import Generation
from aisle.trainers.category import linear_svm, loading
from aisle.trainers.category.fit import TextStart, fit, read_start, rows_of
from aisle.trainers.category.options import Options
from aisle.trainers.category.products import Catalogue, read_catalogue
from aisle.trainers.gate import Verdict, beats_all
from aisle.trainers.labels import Labels, read_labels
from aisle.trainers.metrics import classification_scores
from aisle.trainers.task import Drift, Metrics, Report, Task

CATEGORIES = 3  # of an item, to compare two models' answers


@dataclass(frozen=True)
class Labelled:
    """The attached items, and the categories with enough rows."""

    catalogue: Catalogue
    categories: list[str]
    labels: Labels


@dataclass(frozen=True)
class HeldOut:
    """The ids of the held-out items; the catalogue is read only if a baseline needs it."""

    item_ids: list[str]
    catalogue: Callable[[], Catalogue]
    categories: list[str] | None = None  # for the baseline; None: all


class CategoryTask(Task[Options, Labelled, HeldOut, loading.CategoryModel]):
    """Product → category."""

    name = "category"
    options = Options
    answer = "item_category"
    metric = "accuracy"
    overlap_query = "queries/answers_of_items"
    recall_query = "queries/recall_of_items"

    def source(self, connection: Connection) -> str:
        """Learn from the attached items."""
        return "_items"

    def read(self, connection: Connection, options: Options, report: Report) -> Labelled:
        """Read the items and cut their n-grams."""
        catalogue = read_catalogue(connection, split_column=options.split_column, seed=options.seed)
        return Labelled(catalogue, _categories(catalogue, options.min_rows), read_labels(connection))

    def start(self, connection: Connection, data: Labelled, options: Options) -> TextStart:
        """Return the live model's n-gram vectors, head and encoder."""
        return read_start(connection, self.name, data.catalogue, options, options.split_column)

    def split(self, data: Labelled, options: Options, start: TextStart | None = None) -> HeldOut:
        """Hold out the rows that `read` has split off, by name or by the split column."""
        testing = rows_of(data.catalogue, "test", data.categories)
        return HeldOut(data.catalogue.item_ids[testing].tolist(), lambda: data.catalogue, data.categories)

    def describe(self, data: Labelled, held_out: HeldOut) -> str:
        """Return the number of items of each split."""
        labelled = [category is not None for category in data.catalogue.categories]
        counts = Counter(data.catalogue.splits[labelled])
        return (
            f"{len(data.catalogue):,} items in {len(data.categories)} categories, {counts['train']:,} to train on, "
            f"{counts['valid']:,} to calibrate with, {counts['test']:,} held out, "
            f"{labelled.count(False):,} without a category."
        )

    def fit(
        self, connection: Connection, data: Labelled, held_out: HeldOut, options: Options, report: Report,
        start: TextStart | None = None,
    ) -> loading.CategoryModel:  # fmt: skip
        """Fit and calibrate the n-gram model and the encoder."""
        return fit(data.catalogue, data.categories, data.labels, options, report, start, details=True)

    def load(
        self, connection: Connection, data: Labelled, held_out: HeldOut, fitted: loading.CategoryModel,
        options: Options, parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Copy the model, and the vectors of the whole catalogue."""
        model_id = loading.load(connection, self.name, fitted, data.labels, parameters)
        loading.load_items(connection, Generation.load(connection, model_id), data.catalogue, fitted)
        return model_id

    def score(
        self, connection: Connection, model_id: int, held_out: HeldOut, options: Options, *, heldout_of: int
    ) -> Metrics:
        """Predict the categories of held-out items, by id and by text."""
        return loading.measure(connection, model_id, held_out.item_ids, keep=False)

    def measure(
        self, connection: Connection, model_id: int, held_out: HeldOut, fitted: loading.CategoryModel,
        options: Options, live: int | None,
    ) -> Metrics:  # fmt: skip
        """Measure the new model, and store its answers for reports."""
        return loading.measure(connection, model_id, held_out.item_ids)

    def score_live(
        self, connection: Connection, live: int, model_id: int, held_out: HeldOut, options: Options
    ) -> Metrics:
        """Measure the live model on the held-out rows that it did not learn from either.

        A model of other categories than the items have now is no rival.
        """
        if db.fetch_value(connection, db.read("queries/answers_another_scheme"), {"model_id": live}):
            return {"other_categories": True}
        theirs = self.options_of(model_registry.get(connection, live))
        # Splits by name with the same seed hold out the same rows, and new ones; a split column may have changed.
        if (theirs.seed, theirs.split_column, options.split_column) == (options.seed, None, None):
            return loading.measure(connection, live, held_out.item_ids, keep=False)
        unseen = sorted(set(held_out.item_ids) & set(loading.heldout_of(connection, live)))
        scores: Metrics = loading.measure(connection, live, unseen, keep=False)
        return scores and scores | {"against": loading.measure(connection, model_id, unseen, keep=False)}

    def overlap(self, options: Options) -> dict[str, Any]:
        """Compare the first categories of an item."""
        return {"k": CATEGORIES, "exclude_seen": None}

    def baselines(
        self, held_out: HeldOut, options: Options, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        """Compare with a linear SVM; in training, only if that takes seconds."""
        if not held_out.item_ids or (options.baseline is False and not all_of_them):
            return {}
        catalogue = held_out.catalogue()
        categories = held_out.categories or sorted({c for c in catalogue.categories if c is not None})
        labelled = np.isin(catalogue.categories.astype(str), categories)
        testing = np.isin(catalogue.item_ids.astype(str), held_out.item_ids) & labelled
        training = labelled & ~testing & np.isin(catalogue.splits.astype(str), ("train", "valid"))
        cost = np.count_nonzero(training) * len(categories)
        if not all_of_them and options.baseline is None and cost > linear_svm.AFFORDABLE:
            report(f"Not compared with {linear_svm.NAME}, which would take minutes: --baseline")
            return {}

        def fit_and_score() -> Metrics:
            given, predicted, _ = linear_svm.predict(catalogue, testing, training=training)
            return {"held_out_rows": len(given)} | classification_scores(given, predicted)

        return {linear_svm.NAME: fit_and_score}

    def verdict(self, metrics: Metrics, options: Options) -> Verdict:
        """Let the first model go live even if the baseline is better: it is better than no model."""
        is_first = "live" not in metrics or "other_categories" in metrics["live"]
        if not any(isinstance(m, dict) and self.metric in m for m in metrics.values()):
            return Verdict(None, "there was nothing to compare it with", is_first)
        is_better, reason = beats_all(metrics, self.metric, ties={linear_svm.NAME})
        if is_better and not is_first and self.metric not in metrics["live"]:
            reason = f"{reason}; it was not compared with the live model, which has learned from all held-out rows"
            return Verdict(None, reason, False)
        return Verdict(is_better, reason, is_better or is_first)

    def facts(self, connection: Connection, data: Labelled) -> dict[str, Any]:
        """Return the size of the catalogue; `drift` compares the rows' hashes."""
        return {
            "items": len(data.catalogue),
            "categories": len(data.categories),
            "fingerprint": data.catalogue.fingerprint(),
        }

    def drift(self, connection: Connection, model_id: int) -> Drift:
        """Compare the items with those in training."""
        with db.guarded(connection):
            row = connection.execute(db.read("queries/drift_of_categories"), {"model_id": model_id}).fetchall()[0]
        return Drift(*row)

    def held_out_of(self, connection: Connection, model_id: int, options: Options, *, for_baselines: bool) -> HeldOut:
        """Return the items with stored predictions."""
        item_ids = loading.heldout_of(connection, model_id)
        if not item_ids:
            raise errors.TrainingDataError(
                "The live model has no held-out rows.", hint="Train it on more labelled rows."
            )

        def catalogue() -> Catalogue:
            return read_catalogue(connection, split_column=options.split_column, seed=options.seed)

        return HeldOut(item_ids, catalogue)

    def rows(self, metrics: Metrics) -> Mapping[str, Metrics]:
        """Show the metrics of item_category, for stored rows, and of predict_category, for any text."""
        if not metrics:
            raise errors.TrainingDataError(
                "No held-out row has both a category and a vector.", hint="Attach the items, and let a worker catch up."
            )
        of_text = {name: metrics[f"ngram_{name}"] for name in ("accuracy", "macro_f1")}
        of_row = {name: metrics[name] for name in ("accuracy", "macro_f1", "ece")}
        count = {"held_out_rows": metrics["held_out_rows"]}
        return {self.answer: count | of_row, "predict_category": count | of_text}


TASK = CategoryTask()


def _categories(catalogue: Catalogue, min_rows: int) -> list[str]:
    """Return the categories with enough rows; raises TrainingDataError if there are fewer than two."""
    labelled = [category for category in catalogue.categories if category is not None]
    if not labelled:
        raise errors.TrainingDataError(
            "No item has a category.",
            hint="Attach the table with --category COLUMN, and fill that column for some rows.",
        )
    if not any(name and name.strip() for name in catalogue.names):
        raise errors.TrainingDataError("All names are empty.", hint="Attach the table with --name COLUMN.")
    counts = Counter(labelled)
    fitting = Counter(c for c, split in zip(catalogue.categories, catalogue.splits, strict=True) if split == "train")
    categories = sorted(c for c, rows in counts.items() if c is not None and rows >= min_rows and fitting[c] > 0)
    if len(categories) < 2:
        raise errors.TrainingDataError(
            f"Only {len(categories)} of {len(counts)} categories have {min_rows} rows; at least two must.",
            hint="Label more rows, or lower --min-rows.",
        )
    if not rows_of(catalogue, "valid", categories).any():
        raise errors.TrainingDataError(
            f"{len(labelled)} labelled rows are too few to set some aside for calibration.", hint="Label more rows."
        )
    return categories
