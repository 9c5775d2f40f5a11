"""Fits a text classifier: an n-gram model, optionally an encoder, and the calibration of both.

Without an encoder, the n-gram model is all. With one, both share one head and one space: a row's vector is the
encoder's plus the scaled n-gram vector; a text's vector is its n-gram vector.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from aisle.db import Connection, errors
from aisle.embedder.category_model import Head
from aisle.embedder.encoders import Encoder
from aisle.trainers import warm_start
from aisle.trainers.category import loading
from aisle.trainers.category.calibration import fit_scales
from aisle.trainers.category.fine_tuning import EncoderStart, fine_tune
from aisle.trainers.category.ngram_model import shared_head
from aisle.trainers.category.ngram_models import fit_ngram_models
from aisle.trainers.category.options import TextOptions
from aisle.trainers.category.products import Catalogue
from aisle.trainers.labels import Labels
from aisle.trainers.task import Report
from aisle.trainers.warm_start import NOTHING_SEEN, Seen, Start

MEMBERS_BESIDE_ENCODER = 3  # n-gram models to average; their time is small beside an encoder's


@dataclass(frozen=True)
class TextStart:
    """The warm start of a text classifier."""

    weights: Start
    encoder: Encoder | None


def read_start(
    connection: Connection, task: str, catalogue: Catalogue, options: TextOptions, split_column: str | None = None
) -> TextStart:
    """Return the live model's weights; raises NoLiveModelError and WarmStartError.

    Refuses weights that have already seen texts now needed for calibration or testing, for example after a change of
    seed.
    """
    model, start = warm_start.of_live(connection, task)
    warm_start.check_same(model, "encoder", model.encoder or "ngram", options.encoder or "ngram")
    theirs = model.parameters["options"]
    warm_start.check_same(model, "split column", theirs.get("split_column"), split_column)
    parts = {"ngram": options.ngram} | ({"fine_tuning": options.fine_tuning} if model.encoder else {})
    for name, ours in parts.items():
        warm_start.check_same(model, "number of dimensions", theirs[name]["dimensions"], ours.dimensions)
    measured = np.isin(catalogue.splits.astype(str), ["valid", "test"])
    known = start.seen.until_of(catalogue.keys) > -np.inf
    if learned := np.count_nonzero(measured & known):
        raise errors.WarmStartError(
            f"The live model {model.model_id} has learned from {learned:,} of the "
            f"{np.count_nonzero(measured):,} rows that calibrate and measure.",
            hint=f"Hold out the same rows, --seed {theirs['seed']}, or train without --warm-start.",
        )
    return TextStart(start, Encoder.from_database(connection, model.model_id) if model.encoder else None)


def fit(
    catalogue: Catalogue,
    categories: list[str],
    meaning: Labels,
    options: TextOptions,
    report: Report,
    start: TextStart | None = None,
    *,
    details: bool = False,
) -> loading.CategoryModel:
    """Fit the n-gram model and the encoder to a catalogue of texts, calibrate them, and bring them to one head.

    With `details`, vectors also tell which n-grams a text has, as far as they have room and there is no encoder.
    """
    paths = [meaning.path(category) for category in categories]
    index = {category: i for i, category in enumerate(categories)}
    labels = np.array([index.get(category, -1) for category in catalogue.categories])
    training, validation = rows_of(catalogue, "train", categories), rows_of(catalogue, "valid", categories)
    learned = training | validation

    encoder, ngram_options = None, options.ngram
    if options.encoder is not None:
        ngram_options = replace(ngram_options, members=ngram_options.members or MEMBERS_BESIDE_ENCODER)
        encoder = fine_tune(
            options.encoder, catalogue, labels, training, validation, paths, options.fine_tuning,
            seed=options.seed, report=report, start=_encoder_start(start, categories),
        )  # fmt: skip
    of_ngrams = fit_ngram_models(
        catalogue, labels, training, validation, categories, paths, ngram_options,
        seed=options.seed, report=report, is_alone=encoder is None, details=details,
        start=None if start is None else start.weights,
    )  # fmt: skip
    judges, matrix, final = of_ngrams.judges, of_ngrams.matrix, of_ngrams.model
    scales = fit_scales(
        of_ngrams.logits, None if encoder is None else encoder.logits()[judges], of_ngrams.bias, labels[judges]
    )
    encoder_folder, encoder_vectors, head = None, None, final.weight
    if encoder is not None:
        from_ngrams, from_encoder = final.embed(matrix[learned]) @ final.weight.T, encoder.logits()[learned]
        both = scales.encoder * from_encoder + scales.ngram * from_ngrams
        head = shared_head(np.concatenate([both, scales.draft * from_ngrams]), ngram_options.dimensions)
        final = replace(final, vectors=final.vectors @ (final.weight.T @ head))
        projection = (scales.encoder * encoder.weight.T @ head).astype(np.float32)  # (dimensions, dimensions)
        encoder_folder, encoder_vectors = encoder.store(projection)
    # Rounded as the table stores them, so that SQL gives the same results.
    ngram_vectors = (final.vectors * scales.draft).astype(np.float16).astype(np.float32)
    return loading.CategoryModel(
        ngrams=of_ngrams.ngrams,
        ngram_vectors=ngram_vectors,
        row_vectors=replace(final, vectors=ngram_vectors).embed(matrix),
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
        ngram_scale=scales.ngram / scales.draft,
        parameters={
            "started_from": None if start is None else start.weights.model_id,
            "calibration": asdict(scales),
            "ngram_models": of_ngrams.weights,
            # With the settings of --fit-in.
            **({} if encoder is None else {"fine_tuning": asdict(encoder.options)}),
        },
        start=Start(
            {
                "ngrams": of_ngrams.first.vectors.astype(np.float16),
                "categories": of_ngrams.first.weight,
                "bias": of_ngrams.first.bias,
                **({} if encoder is None else {"encoder": encoder.weight}),
            },
            {"ngrams": of_ngrams.first_ngrams, "categories": categories, "bias": categories, "encoder": categories},
            Seen.of([key for key, is_learned in zip(catalogue.keys, training, strict=True) if is_learned])
            | (NOTHING_SEEN if start is None else start.weights.seen),
        ),
    )


def _encoder_start(start: TextStart | None, categories: list[str]) -> EncoderStart | None:
    if start is None or start.encoder is None:
        return None
    return EncoderStart(start.encoder.model, start.weights.rows("encoder", categories), start.weights.digest)


def rows_of(catalogue: Catalogue, split: str, categories: list[str]) -> npt.NDArray[np.bool_]:
    """Mark the rows of a split with one of these categories."""
    known = set(categories)
    return np.array([s == split and c in known for s, c in zip(catalogue.splits, catalogue.categories, strict=True)])
