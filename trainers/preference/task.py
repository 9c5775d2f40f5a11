"""The preference task: review → liked or not liked, `aisle train preference`.

rated reviews ──▶ text classifier with two categories ──▶ measure ──▶ deploy other reviews ──▶ live model (labelling.py)
──▶ labels ──▶ aisle train recommender --positives liked
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle.db import Connection
from aisle.embedder.category_model import Generation
from aisle.trainers.category import linear_svm, loading
from aisle.trainers.category.fit import TextStart, fit, read_start
from aisle.trainers.category.products import Catalogue
from aisle.trainers.gate import Verdict, beats_all
from aisle.trainers.labels import Labels
from aisle.trainers.metrics import calibration_error, classification_scores
from aisle.trainers.preference.labelling import BATCH, Strings, predict
from aisle.trainers.preference.options import Options
from aisle.trainers.preference.reviews import CATEGORIES, LIKED, NOT_LIKED, liking_rule, rated_reviews
from aisle.trainers.task import Metrics, Report, Task

SEPARATOR = " > "  # of category paths; these categories are none
MAJORITY = "majority"  # always the more frequent class of the rows that are not held out


@dataclass(frozen=True)
class Rated:
    """The rated reviews, and the rule for which ratings mean liked."""

    reviews: Catalogue
    rule: dict[str, Any]


class PreferenceTask(Task[Options, Rated, Catalogue, loading.CategoryModel]):
    """Review → liked or not liked. Reviews with the split `test` are held out."""

    name = "preference"
    options = Options
    answer = "aisle label reviews"
    metric = "macro_f1"

    def source(self, connection: Connection) -> str:
        """Learn from the attached interactions."""
        return "_interactions"

    def read(self, connection: Connection, options: Options, report: Report) -> Rated:
        """Read the rated reviews."""
        rule = liking_rule(connection, options)
        return Rated(rated_reviews(connection, rule, options.seed), rule)

    def start(self, connection: Connection, data: Rated, options: Options) -> TextStart:
        """Return the live model's n-gram vectors, head and encoder."""
        return read_start(connection, self.name, data.reviews, options)

    def split(self, data: Rated, options: Options, start: TextStart | None = None) -> Catalogue:
        """Hold out the reviews that `read` has split off."""
        return data.reviews

    def describe(self, data: Rated, held_out: Catalogue) -> str:
        """Return the number of reviews and of liked ones."""
        return f"{len(data.reviews):,} rated reviews, {_count_liked(data.reviews):,} of them liked."

    def fit(
        self, connection: Connection, data: Rated, held_out: Catalogue, options: Options, report: Report,
        start: TextStart | None = None,
    ) -> loading.CategoryModel:  # fmt: skip
        """Fit and calibrate the n-gram model and the encoder."""
        return fit(data.reviews, CATEGORIES, Labels(SEPARATOR), options, report, start)

    def load(
        self, connection: Connection, data: Rated, held_out: Catalogue, fitted: loading.CategoryModel,
        options: Options, parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Copy the model; reviews get their labels later, by `aisle label reviews`."""
        return loading.load(connection, self.name, fitted, Labels(SEPARATOR), {**parameters, "liked": data.rule})

    def score(
        self, connection: Connection, model_id: int, held_out: Catalogue, options: Options, *, heldout_of: int
    ) -> Metrics:
        """Measure the model and the majority class on the held-out reviews."""
        testing = held_out.splits == "test"
        texts, given = held_out.names[testing], held_out.categories[testing]
        generation = Generation.load(connection, model_id)
        liked = np.concatenate(
            [predict(connection, generation, texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        )
        majority = LIKED if np.mean(held_out.categories[~testing] == LIKED) >= 0.5 else NOT_LIKED
        return {
            "held_out_reviews": len(given),
            **scores(given, np.where(liked > 0.5, LIKED, NOT_LIKED), liked),
            "ece": calibration_error(np.maximum(liked, 1 - liked), (liked > 0.5) == (given == LIKED)),
            MAJORITY: scores(given, np.full(len(given), majority), np.zeros(len(given))),
        }

    def score_live(
        self, connection: Connection, live: int, model_id: int, held_out: Catalogue, options: Options
    ) -> Metrics:
        """Do not compare: each model has its own labels, and may have another rule."""
        return {}

    def baselines(
        self, held_out: Catalogue, options: Options, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        """Compare with a linear SVM, in evaluations only."""
        testing = held_out.splits == "test"
        return {linear_svm.NAME: lambda: scores(*linear_svm.predict(held_out, testing))} if all_of_them else {}

    def verdict(self, metrics: Metrics, options: Options) -> Verdict:
        """Never replace a live model by default: its labels would no longer count."""
        passed, reason = beats_all(metrics, self.metric)
        if "live" in metrics:
            reason += ", but the live model's labels would no longer count, until aisle label reviews"
        return Verdict(passed, reason, passed and "live" not in metrics)

    def facts(self, connection: Connection, data: Rated) -> dict[str, Any]:
        """Return the number of reviews, too."""
        return super().facts(connection, data) | {
            "reviews": len(data.reviews),
            "liked": _count_liked(data.reviews),
            "fingerprint": data.reviews.fingerprint(),
        }

    def held_out_of(self, connection: Connection, model_id: int, options: Options, *, for_baselines: bool) -> Catalogue:
        """Read the rated reviews again; the seed splits them as before."""
        return rated_reviews(connection, liking_rule(connection, options), options.seed)

    def rows(self, metrics: Metrics) -> Mapping[str, Metrics]:
        """Show the majority class, too."""
        own = {name: value for name, value in metrics.items() if name != MAJORITY}
        return {self.answer: own, MAJORITY: metrics[MAJORITY]}


def scores(given: Strings, predicted: Strings, certainty: npt.NDArray[Any]) -> dict[str, float]:
    """Return accuracy, macro-F1, and the area under the ROC curve; `certainty` grows with `liked`."""
    from sklearn.metrics import roc_auc_score

    given, predicted = np.asarray(given, dtype=str), np.asarray(predicted, dtype=str)
    return classification_scores(given, predicted) | {"auc": float(roc_auc_score(given == LIKED, certainty))}


def _count_liked(reviews: Catalogue) -> int:
    return int((reviews.categories == LIKED).sum())


TASK = PreferenceTask()
