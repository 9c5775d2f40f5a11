"""Trains review → liked or not liked, `aisle train preference`, and labels what has no rating, `aisle label reviews`.

    rated reviews ──▶ the category trainer, with two categories ──▶ measure ──▶ deploy
    other reviews ──▶ the live model, text by text ──▶ labels ──▶ aisle train recommender --positives liked

The categories are `liked` and `not liked`; a model is their vectors, those of the n-grams, and the encoder's files.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder.category_model import Generation
from aisle.embedder.encoders import Floats
from aisle.trainers.category import loading
from aisle.trainers.category.fine_tuning import FineTuningOptions
from aisle.trainers.category.ngram_model import StudentOptions
from aisle.trainers.category.products import Catalogue, read_reviews
from aisle.trainers.category.task import TextOptions, begin, fit, rows_of
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

LIKED, NOT_LIKED = CATEGORIES = ["liked", "not liked"]
SEPARATOR = " > "  # of category paths, which these are not
DIMENSIONS = 16  # of the student: two categories need no more
MAX_LENGTH = 128  # tokens that an encoder reads of a review
BATCH = 1000  # texts labelled in one transaction

Strings = Sequence[str] | npt.NDArray[np.object_]


@dataclass(frozen=True)
class Options(TextOptions):
    """What `aisle train preference` can be told."""

    liked_from: float | None = None  # the least rating that means liked
    liked: tuple[str, ...] = ()  # the ratings that mean liked; with neither, the column must be boolean
    student: StudentOptions = field(default_factory=lambda: StudentOptions(dimensions=DIMENSIONS))
    fine_tuning: FineTuningOptions = field(default_factory=lambda: FineTuningOptions(max_length=MAX_LENGTH))


@dataclass(frozen=True)
class Labelled:
    """What `aisle label reviews` came to."""

    liked: int  # texts
    not_liked: int


def train(url: str, options: Options, report: Report = lambda line: None) -> Result:
    """Train on the rated reviews, publish a generation, measure it on held-out reviews; deploy it if none is live yet.

    Raises TrainingDataError when there is too little to learn from. No failure touches the live model.
    """
    started = time.monotonic()
    with (
        db.connect(url, application_name="aisle train preference") as connection,
        only_trainer(connection, "preference", shared=True),
    ):
        rule = _rule(connection, options)
        reviews = rated_reviews(connection, rule, options.seed)
        liked = int((reviews.categories == LIKED).sum())
        report(f"{len(reviews):,} rated reviews, {liked:,} of them liked.")
        start = begin(connection, "preference", reviews, options) if options.warm_start else None
        model = fit(reviews, CATEGORIES, SEPARATOR, options, report, start)
        leave_unless_leader()
        model_id = loading.load(connection, "preference", model, SEPARATOR, {"liked": rule})
        with failing(connection, model_id):
            report("Measuring on held-out reviews …")
            metrics = measure(connection, Generation.load(connection, model_id), reviews)
        passed, reason = beats_all(metrics, "macro_f1")
        is_first = model_registry.live(connection, "preference") is None
        if not is_first:
            reason += ", but the labels of the model that is live would no longer count, until aisle label reviews"
        return conclude(
            connection,
            "preference",
            model_id,
            metrics=metrics,
            data={
                "rows": count_rows(connection, "preference"),
                "newest": newest_moment(connection, "preference"),
                "reviews": len(reviews),
                "liked": liked,
                "fingerprint": reviews.fingerprint(),
            },
            seconds=time.monotonic() - started,
            verdict=(passed, reason),
            deploys=passed and is_first,
            told=options.deploy,
        )


def rated_reviews(connection: Connection, rule: dict[str, Any], seed: int) -> Catalogue:
    """Read the reviews whose ratings tell; raises TrainingDataError unless either kind can be learned and measured."""
    reviews = read_reviews(connection, rule, seed)
    kinds = sorted(set(reviews.categories))
    if len(kinds) == 1:
        raise errors.TrainingDataError(
            f"All {len(reviews):,} rated reviews are {kinds[0]}; both kinds are needed.",
            hint="Draw the line elsewhere: --liked-from or --liked.",
        )
    if not all(rows_of(reviews, part, [kind]).any() for part in ("train", "valid", "test") for kind in kinds):
        raise errors.TrainingDataError(
            f"{len(reviews):,} rated reviews are too few: some of either kind are set aside to calibrate and measure.",
            hint="Attach a table with more of them.",
        )
    return reviews


def label(
    connection: Connection, report: Callable[[int], None] = lambda texts: None, *, batch_size: int = BATCH
) -> Labelled:
    """Let the live model label every text that no rating speaks for and that it has not labelled.

    A batch is a transaction, and no transaction is open while the model runs: what was done stays done, and the next
    call goes on from there.
    """
    _attached(connection, "review")
    model_id = model_registry.require_live(connection, "preference")
    generation = Generation.load(connection, model_id)
    liked = total = 0
    # The server sets the texts aside (WITH HOLD), so that the cursor keeps no snapshot.
    with connection.cursor(name="unlabelled_reviews", withhold=True) as cursor:
        with db.guarded(connection):
            cursor.execute(db.read("queries/unlabelled_reviews"), {"model_id": model_id})
        while rows := cursor.fetchmany(batch_size):
            shares = predict(connection, generation, [text for _, text in rows])
            connection.execute(
                db.read("queries/add_review_labels"),
                {
                    "model_id": model_id,
                    "text_hashes": [text_hash for text_hash, _ in rows],
                    "is_liked": (shares > 0.5).tolist(),
                    "confidences": np.maximum(shares, 1 - shares).tolist(),
                },
            )
            total, liked = total + len(rows), liked + int((shares > 0.5).sum())
            report(total)
    return Labelled(liked, total - liked)


def unlabelled(connection: Connection) -> int:
    """Return how many texts the live model has still to label."""
    model_id = model_registry.require_live(connection, "preference")
    query = f"select count(*) from ({db.read('queries/unlabelled_reviews')}) u"  # noqa: S608 - a file of ours
    with db.guarded(connection):
        return int(db.fetch_value(connection, query, {"model_id": model_id}))


def predict(connection: Connection, generation: Generation, texts: Strings) -> Floats:
    """Return the probability that the author of each text liked the item, (texts,)."""
    student = np.array(
        connection.execute(
            db.read("queries/embed_texts"), {"model_id": generation.model_id, "texts": list(texts)}
        ).fetchall(),
        dtype=np.float32,
    )[:, 0]  # (texts, dimensions)
    tokens = generation.tokenise([(text, None, None) for text in texts])
    return generation.head.confidences(generation.embed(tokens, student))[:, 0]


def measure(connection: Connection, generation: Generation, reviews: Catalogue) -> dict[str, Any]:
    """Measure a model on the held-out reviews, beside who always says what is more frequent among the others."""
    held_out = reviews.splits == "test"
    texts, given = reviews.names[held_out], reviews.categories[held_out]
    liked = np.concatenate(
        [predict(connection, generation, texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    )
    more_frequent = LIKED if np.mean(reviews.categories[~held_out] == LIKED) >= 0.5 else NOT_LIKED
    correct = (liked > 0.5) == (given == LIKED)
    return {
        "held_out_reviews": len(given),
        **scores(given, np.where(liked > 0.5, LIKED, NOT_LIKED), liked),
        "ece": loading.calibration_error(np.maximum(liked, 1 - liked), correct),
        "majority": scores(given, np.full(len(given), more_frequent), np.zeros(len(given))),
    }


def scores(given: Strings, predicted: Strings, certainty: npt.NDArray[Any]) -> dict[str, float]:
    """Return accuracy, macro-F1, and the area under the ROC curve of a certainty that grows with `liked`."""
    from sklearn.metrics import roc_auc_score

    given, predicted = np.asarray(given, dtype=str), np.asarray(predicted, dtype=str)
    return {
        "accuracy": float(np.mean(given == predicted)),
        "macro_f1": loading.macro_f1(given, predicted),
        "auc": float(roc_auc_score(given == LIKED, certainty)),
    }


def table(answers: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row for each answer and its scores, for people to read."""
    return [
        {"answer": answer, **{name: metrics.get(name) for name in ("accuracy", "macro_f1", "auc", "ece")}}
        for answer, metrics in answers
    ]


def _rule(connection: Connection, options: Options) -> dict[str, Any]:
    """Return which ratings mean liked, as `_is_liked_rating` reads it."""
    _attached(connection, "review")
    relation, rating = _attached(connection, "rating")
    if options.liked_from is not None and options.liked:
        raise errors.InvalidArgumentError("--liked-from and --liked exclude each other.", hint="Give one of them.")
    if options.liked_from is not None:
        return {"from": options.liked_from}
    if options.liked:
        return {"values": list(options.liked)}
    kind = db.fetch_value(connection, "select aisle._column_type(%s::regclass, %s)", (relation, rating))
    if kind != "boolean":
        raise errors.InvalidArgumentError(
            f"Which values of {rating} mean that an item was liked?",
            hint="Of numbers, give the least: --liked-from 4. Of words, each: --liked good --liked great.",
        )
    return {"values": ["true"]}


def _attached(connection: Connection, role: str) -> tuple[str, str]:
    """Return the attached relation, and which of its columns has this role; raises NotAttachedError."""
    row = connection.execute(
        "select relation::text, columns ->> %s from aisle._attachments where kind = 'interactions'", (role,)
    ).fetchone()
    if row is None:
        raise errors.NotAttachedError(
            "No interactions are attached.",
            hint="Attach them: aisle attach interactions SCHEMA.TABLE --review … --rating …",
        )
    if row[1] is None:
        raise errors.NotAttachedError(
            f"{row[0]} is attached without a column of {role}s.",
            hint=f"aisle detach interactions, then attach it again with --{role} COLUMN.",
        )
    return row[0], row[1]
