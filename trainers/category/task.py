"""Trains product → category: `aisle train category`.

    rows ──▶ split by name ──▶ n-gram student [+ encoder] ──▶ calibrate ──▶ publish
         ──▶ measure in SQL, beside the live model and the baseline ──▶ deploy if it is better

Without an encoder the student is the whole model. With one, both are brought under one head, in one space, so that a
row's vector is the encoder's plus the scaled student's, and a text's alone is the student's.
"""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder.category_model import Generation, Head
from aisle.embedder.encoders import Encoder
from aisle.trainers import index_recall, overlap, warm_start
from aisle.trainers.category import linear_svm, loading
from aisle.trainers.category.calibration import fit_scales
from aisle.trainers.category.fine_tuning import EncoderStart, FineTuningOptions, fine_tune
from aisle.trainers.category.ngram_model import Student, StudentOptions, fit_student, shared_head
from aisle.trainers.category.products import Catalogue, read_catalogue, select_ngrams
from aisle.trainers.run import Report, Result, beats_all, conclude, failing, leave_unless_leader, only_trainer
from aisle.trainers.warm_start import NOBODY, Seen, Start

MIN_ROWS = 3  # a category with fewer labelled rows cannot be learned, calibrated and checked
MEMBERS_BESIDE_ENCODER = 3  # students whose mean is taken; beside an encoder's time theirs is small


@dataclass(frozen=True)
class TextOptions:
    """How a classifier of texts is fitted."""

    encoder: str | None = None  # None: the n-gram student alone
    seed: int = 7
    deploy: bool | None = None  # None: if it is better than what is live and than the baseline, or if nothing is live
    warm_start: bool = False  # whether to start from the live model's weights
    student: StudentOptions = field(default_factory=StudentOptions)
    fine_tuning: FineTuningOptions = field(default_factory=FineTuningOptions)


@dataclass(frozen=True)
class Options(TextOptions):
    """What `aisle train category` can be told."""

    split_column: str | None = None
    min_rows: int = MIN_ROWS
    baseline: bool | None = None  # whether to compare with a linear SVM; None: if that does not take long


def train(url: str, options: Options, report: Report = lambda line: None) -> Result:
    """Train on the attached items, publish a generation, measure it through SQL, and deploy it if it is better.

    Raises TrainingDataError when there is too little to learn from. No failure touches the live model.
    """
    started = time.monotonic()
    with (
        db.connect(url, application_name="aisle train category") as connection,
        only_trainer(connection, "category", shared=True),
    ):
        catalogue = read_catalogue(connection, split_column=options.split_column, seed=options.seed)
        categories = _categories(catalogue, options.min_rows)
        report(f"{len(catalogue):,} items in {len(categories)} categories, {_describe(catalogue)}.")
        separator = _separator(connection)
        start = begin(connection, "category", catalogue, options, options.split_column) if options.warm_start else None
        model = fit(catalogue, categories, separator, options, report, start)
        leave_unless_leader()
        model_id = loading.load(
            connection,
            "category",
            model,
            separator,
            {"split_column": options.split_column, "min_rows": options.min_rows},
        )
        with failing(connection, model_id):
            report("Loading the catalogue's vectors …")
            generation = Generation.load(connection, model_id)
            loading.load_items(connection, generation, catalogue, model)
            report("Measuring on held-out rows, through SQL …")
            metrics = measure(connection, model_id, catalogue, categories, options, report)
        verdict = judge(metrics)
        return conclude(
            connection,
            "category",
            model_id,
            metrics=metrics,
            data={"items": len(catalogue), "categories": len(categories), "fingerprint": catalogue.fingerprint()},
            seconds=time.monotonic() - started,
            verdict=verdict,
            # A shop is better served by a model that a baseline beats than by none.
            deploys=verdict[0] is True or "live" not in metrics,
            told=options.deploy,
        )


def measure(
    connection: Connection, model_id: int, catalogue: Catalogue, categories: list[str], options: Options, report: Report
) -> dict[str, Any]:
    """Measure the model, the live one and the baseline on the held-out rows."""
    testing = rows_of(catalogue, "test", categories)
    held_out = catalogue.item_ids[testing].tolist()
    metrics: dict[str, Any] = loading.measure(connection, model_id, held_out)
    if found := index_recall.recall(connection, "category", model_id):
        metrics["index recall@10"] = found
    live = model_registry.live(connection, "category")
    if live is not None:
        metrics["live"] = {"model_id": live} | _measure_live(connection, live, model_id, held_out)
        metrics["shadow"] = overlap.compare(connection, "category", live, model_id, overlap.CATEGORIES)
    training = rows_of(catalogue, "train", categories) | rows_of(catalogue, "valid", categories)
    is_affordable = np.count_nonzero(training) * len(categories) <= linear_svm.AFFORDABLE
    if held_out and (is_affordable if options.baseline is None else options.baseline):
        report(f"Fitting the baseline {linear_svm.NAME} …")
        try:
            given, predicted, _ = linear_svm.predict(catalogue, testing, training=training)
            metrics[linear_svm.NAME] = loading.scores(given, predicted)
        except errors.TrainingDataError as error:
            report(f"Not compared: {error}")
    elif held_out and options.baseline is None:
        report(f"Not compared with {linear_svm.NAME}, which would take minutes: --baseline")
    return metrics


def _measure_live(connection: Connection, live: int, model_id: int, held_out: list[str]) -> dict[str, Any]:
    """Measure the live model on those of the held-out rows that it did not learn from either."""
    one, other = (model_registry.get(connection, m).parameters for m in (live, model_id))
    # By names and the same seed it is the same rows, and new ones beside them; a column's values may have changed.
    if one["seed"] == other["seed"] and one.get("split_column") is None and other["split_column"] is None:
        return loading.measure(connection, live, held_out, keep=False)
    unseen = sorted(set(held_out) & set(loading.heldout_of(connection, live)))
    scores: dict[str, Any] = loading.measure(connection, live, unseen, keep=False)
    return scores and scores | {"against": loading.measure(connection, model_id, unseen, keep=False)}


def judge(metrics: dict[str, Any]) -> tuple[bool | None, str]:
    """Return whether the model is better than what it stands beside, if there is anything, and by what."""
    if not any(isinstance(m, dict) and "accuracy" in m for m in metrics.values()):
        return None, "there was nothing to compare it with"
    is_better, reason = beats_all(metrics, "accuracy")
    if is_better and "live" in metrics and "accuracy" not in metrics["live"]:
        return None, f"{reason}; the live model has learned from all held-out rows, and was not compared"
    return is_better, reason


@dataclass(frozen=True)
class TextStart:
    """What a classifier of texts starts from."""

    weights: Start
    encoder: Encoder | None


def begin(
    connection: Connection, task: str, catalogue: Catalogue, options: TextOptions, split_column: str | None = None
) -> TextStart:
    """Return what the live model has kept; raises NoLiveModelError, and WarmStartError where it means nothing.

    It does not where weights would be measured or calibrated on texts that they have learned from, as after another
    seed, with which others are held out.
    """
    model, start = warm_start.of_live(connection, task)
    warm_start.check_same(model, "encoder", model.encoder or "ngram", options.encoder or "ngram")
    warm_start.check_same(model, "split column", model.parameters.get("split_column"), split_column)
    for name, ours in [("student", options.student.dimensions), ("fine_tuning", options.fine_tuning.dimensions)]:
        if name in model.parameters:
            warm_start.check_same(model, "number of dimensions", model.parameters[name]["dimensions"], ours)
    measured = np.isin(catalogue.splits.astype(str), ["valid", "test"])
    known = start.seen.until_of(catalogue.keys) > -np.inf
    if learned := np.count_nonzero(measured & known):
        raise errors.WarmStartError(
            f"Model {model.model_id}, which is live, has learned from {learned:,} of the "
            f"{np.count_nonzero(measured):,} rows that are to calibrate and measure.",
            hint=f"Hold out what it held out, --seed {model.parameters['seed']}, or train without --warm-start.",
        )
    return TextStart(start, Encoder.from_database(connection, model.model_id) if model.encoder else None)


def fit(
    catalogue: Catalogue,
    categories: list[str],
    separator: str,
    options: TextOptions,
    report: Report,
    start: TextStart | None = None,
) -> loading.CategoryModel:
    """Fit student and encoder to the categories of a catalogue of texts, calibrate them, and bring them together."""
    paths = [category.split(separator) for category in categories]
    index = {category: i for i, category in enumerate(categories)}
    labels = np.array([index.get(category, -1) for category in catalogue.categories])
    training, validation = rows_of(catalogue, "train", categories), rows_of(catalogue, "valid", categories)
    visible = catalogue.splits != "test"  # held-out rows have no part in training, not even as texts
    chosen, ngrams = select_ngrams(catalogue, visible)
    matrix = catalogue.ngrams[:, chosen]

    encoder, student = None, options.student
    if options.encoder is not None:
        student = replace(student, members=student.members or MEMBERS_BESIDE_ENCODER)
        encoder = fine_tune(
            options.encoder, catalogue, labels, training, validation, paths, options.fine_tuning,
            seed=options.seed, report=report, start=_encoder_start(start, categories),
        )  # fmt: skip
    begun = None if start is None else _student_start(start.weights, ngrams, categories)

    def fit_to(rows: npt.NDArray[np.bool_]) -> Student:
        return fit_student(
            matrix[rows],
            labels[rows],
            paths,
            ngrams,
            student,
            seed=options.seed,
            progress=lambda epoch, loss: report(f"  epoch {epoch}/{student.epochs}: loss {loss:.3f}"),
            start=begun,
        )

    # Rows that the student has not seen calibrate it; then it learns from them too, at the same scales.
    report(f"Fitting the n-gram student, {len(ngrams):,} n-grams, to be calibrated …")
    first = fit_to(training)
    scales = fit_scales(
        first.embed(matrix[validation]) @ first.weight.T,
        None if encoder is None else encoder.logits()[validation],
        first.bias,
        labels[validation],
    )
    report("Fitting it again on all rows that are not held out …")
    learned = training | validation
    final = fit_to(learned)
    encoder_folder, encoder_vectors, head = None, None, final.weight
    if encoder is not None:
        from_student, from_encoder = final.embed(matrix[learned]) @ final.weight.T, encoder.logits()[learned]
        both = scales.encoder * from_encoder + scales.student * from_student
        head = shared_head(np.concatenate([both, scales.draft * from_student]), student.dimensions)
        final = replace(final, vectors=final.vectors @ (final.weight.T @ head))
        projection = (scales.encoder * encoder.weight.T @ head).astype(np.float32)  # (dimensions, dimensions)
        encoder_folder, encoder_vectors = encoder.store(projection)
    # Rounded as the table stores them, so that what is computed here is what SQL answers.
    ngram_vectors = (final.vectors * scales.draft).astype(np.float16).astype(np.float32)
    return loading.CategoryModel(
        ngrams=ngrams,
        ngram_vectors=ngram_vectors,
        student_vectors=replace(final, vectors=ngram_vectors).embed(matrix),
        head=Head(
            categories,
            head,
            (final.bias * scales.bias).astype(np.float32),
            np.full(len(categories), scales.noise / len(categories), dtype=np.float32),
        ),
        support=np.bincount(labels[learned], minlength=len(categories)).tolist(),
        encoder_name=options.encoder,
        encoder_folder=encoder_folder,
        encoder_vectors=encoder_vectors,
        student_scale=scales.student / scales.draft,
        parameters={"seed": options.seed, "started_from": None if start is None else start.weights.model_id}
        | {"student": asdict(student), "calibration": asdict(scales)}
        | ({} if encoder is None else {"fine_tuning": asdict(encoder.options)}),
        start=Start(
            {
                "ngrams": first.vectors.astype(np.float16),
                "categories": first.weight,
                "bias": first.bias,
                **({} if encoder is None else {"encoder": encoder.weight}),
            },
            {"ngrams": ngrams, "categories": categories, "bias": categories, "encoder": categories},
            Seen.of([key for key, is_learned in zip(catalogue.keys, training, strict=True) if is_learned])
            | (NOBODY if start is None else start.weights.seen),
        ),
    )


def _student_start(start: Start, ngrams: list[str], categories: list[str]) -> Student:
    return Student(start.rows("ngrams", ngrams), start.rows("categories", categories), start.rows("bias", categories))


def _encoder_start(start: TextStart | None, categories: list[str]) -> EncoderStart | None:
    if start is None or start.encoder is None:
        return None
    return EncoderStart(start.encoder.model, start.weights.rows("encoder", categories), start.weights.digest)


def _categories(catalogue: Catalogue, min_rows: int) -> list[str]:
    """Return the categories that can be learned; raises TrainingDataError where there is nothing to tell apart."""
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
            f"Only {len(categories)} of {len(counts)} categories have {min_rows} rows; two are the least.",
            hint="Label more rows, or lower --min-rows.",
        )
    if not rows_of(catalogue, "valid", categories).any():
        raise errors.TrainingDataError(
            f"{len(labelled)} labelled rows are too few to set some aside for calibration.", hint="Label more rows."
        )
    return categories


def rows_of(catalogue: Catalogue, split: str, categories: list[str]) -> npt.NDArray[np.bool_]:
    """Mark the rows of a split whose category is one of these."""
    known = set(categories)
    return np.array([s == split and c in known for s, c in zip(catalogue.splits, catalogue.categories, strict=True)])


def _describe(catalogue: Catalogue) -> str:
    labelled = [category is not None for category in catalogue.categories]
    counts = Counter(catalogue.splits[labelled])
    return (
        f"{counts['train']:,} to train on, {counts['valid']:,} to calibrate with, {counts['test']:,} held out, "
        f"{labelled.count(False):,} without a category"
    )


def _separator(connection: Connection) -> str:
    return str(db.fetch_value(connection, "select category_separator from aisle._attachments where kind = 'items'"))
