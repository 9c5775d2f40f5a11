"""Loads a trained category model into the database as a generation, and measures it there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import sql as compose

from aisle import db
from aisle.db import Connection, model_registry
from aisle.embedder.category_model import Generation, Head
from aisle.embedder.encoders import Floats
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from aisle.trainers.category.products import Catalogue
from aisle.trainers.copy_rows import copy_rows
from aisle.trainers.indexes import index_generation
from aisle.trainers.labels import Labels
from aisle.trainers.metrics import calibration_error, classification_scores
from aisle.trainers.warm_start import Start


@dataclass(frozen=True)
class CategoryModel:
    """A fitted model; every array has its final, calibrated scale."""

    ngrams: Sequence[str]
    ngram_vectors: Floats  # (n-grams, dimensions)
    row_vectors: Floats  # (catalogue, dimensions), of the n-gram model
    head: Head
    support: Sequence[int]  # training rows of each category
    encoder_name: str | None
    encoder_folder: Path | None
    encoder_vectors: Floats | None  # (catalogue, dimensions)
    ngram_scale: float
    parameters: dict[str, Any]
    start: Start | None = None  # weights for a later warm start


def load(connection: Connection, task: str, model: CategoryModel, labels: Labels, parameters: Mapping[str, Any]) -> int:
    """Register the model and copy its n-grams, categories and files; return its id. Its state stays `loading`."""
    parameters = {
        **model.parameters,
        **parameters,
        "category_separator": labels.separator,
        **({"category_ids": True} if labels.tree is not None else {}),
        "ngram_scale": model.ngram_scale,
    }
    model_id = model_registry.create(
        connection, task, model.ngram_vectors.shape[1], encoder=model.encoder_name, parameters=parameters
    )
    copy_rows(
        connection,
        "ngram_vectors",
        ("model_id", "ngram", "embedding"),
        ((model_id, ngram, text) for ngram, text in zip(model.ngrams, _half_texts(model.ngram_vectors), strict=True)),
    )
    head = model.head
    copy_rows(
        connection,
        "category_vectors",
        ("model_id", "category_id", "category", "path", "embedding", "bias", "floor", "support"),
        (
            (
                model_id,
                i,
                category,
                labels.path(category),
                vector,
                float(bias),
                float(floor),
                rows,
            )
            for i, (category, vector, bias, floor, rows) in enumerate(
                zip(head.categories, head.weight, head.bias, head.floor, model.support, strict=True)
            )
        ),
    )
    if model.encoder_folder:
        model_registry.write_files(connection, model_id, model.encoder_folder)
    if model.start:
        model.start.store(connection, model_id)
    return model_id


def load_items(connection: Connection, generation: Generation, catalogue: Catalogue, model: CategoryModel) -> None:
    """Copy the vectors of the whole catalogue, index them, and embed the rows that changed meanwhile."""
    model_id = generation.model_id
    vectors = generation.combine(model.encoder_vectors, model.row_vectors)
    copy_rows(
        connection,
        "item_vectors",
        ("model_id", "item_id", "embedding", "content_hash", "is_draft"),
        (
            (model_id, item_id, vector, content_hash, False)
            for item_id, vector, content_hash in zip(catalogue.item_ids, vectors, catalogue.hashes, strict=True)
        ),
    )
    copy_rows(
        connection,
        "_item_predictions",
        ("model_id", "item_id", "category", "confidence", "ngram_category", "ngram_confidence", "content_hash"),
        (
            (model_id, *answer)
            for answer in zip(
                catalogue.item_ids,
                *generation.head.best(vectors),
                *generation.head.best(model.row_vectors),
                catalogue.hashes,
                strict=True,
            )
        ),
    )
    index_generation(connection, "category", model_id)
    for table in ("ngram_vectors", "category_vectors"):
        connection.execute(compose.SQL("analyze {}").format(compose.Identifier("aisle", f"{table}_{model_id}")))
    # From now on the worker keeps this generation up to date; rows that changed since they were read are queued.
    connection.execute("update aisle._models set state = 'filling' where model_id = %s", (model_id,))
    connection.execute("select aisle._enqueue_stale()")
    drain(connection, [ItemEmbedder([generation])])


def measure(connection: Connection, model_id: int, held_out: Sequence[str], *, keep: bool = True) -> dict[str, float]:
    """Classify held-out rows in SQL; return the metrics. The answers are stored unless `keep` is false."""
    with connection.transaction(force_rollback=not keep):
        connection.execute("delete from aisle._heldout_predictions where model_id = %s", (model_id,))
        connection.execute(db.read("queries/predict_heldout"), {"model_id": model_id, "item_ids": list(held_out)})
        rows = connection.execute(
            "select category, predicted, ngram_predicted, confidence from aisle._heldout_predictions "
            "where model_id = %s",
            (model_id,),
        ).fetchall()
    if not rows:
        return {}
    given, predicted, predicted_of_text, confidence = (np.array(column) for column in zip(*rows, strict=True))
    of_text = classification_scores(given, predicted_of_text)
    return {
        "held_out_rows": len(rows),
        **classification_scores(given, predicted),
        "ngram_accuracy": of_text["accuracy"],
        "ngram_macro_f1": of_text["macro_f1"],
        "ece": calibration_error(confidence, given == predicted),
    }


def heldout_of(connection: Connection, model_id: int) -> list[str]:
    """Return the ids of a model's held-out rows."""
    query = "select item_id from aisle._heldout_predictions where model_id = %s"
    return [row[0] for row in connection.execute(query, (model_id,))]


def _half_texts(vectors: Floats) -> Iterator[str]:
    """Yield half-precision vectors as pgvector's text; a table of all 65,536 numbers saves most of the time."""
    texts = np.array([str(x) for x in np.arange(2**16, dtype=np.uint16).view(np.float16).tolist()], dtype=object)
    for numbers in vectors.astype(np.float16).view(np.uint16):
        yield f"[{','.join(texts[numbers])}]"
