"""Labels reviews without a rating: `aisle label reviews`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection, model_registry
from aisle.embedder.category_model import Generation
from aisle.embedder.encoders import Floats
from aisle.trainers.preference.reviews import attached_column

BATCH = 1000  # texts labelled in one transaction

Strings = Sequence[str] | npt.NDArray[np.object_]


@dataclass(frozen=True)
class Labelled:
    """The number of texts labelled."""

    liked: int  # texts
    not_liked: int


def label(
    connection: Connection, report: Callable[[int], None] = lambda texts: None, *, batch_size: int = BATCH
) -> Labelled:
    """Label every text without a rating that the live model has not labelled yet.

    A batch is a transaction, and none is open while the model runs: after an interruption, the next call continues.
    """
    attached_column(connection, "review")
    model_id = model_registry.require_live(connection, "preference")
    generation = Generation.load(connection, model_id)
    liked = total = 0
    # The server stores the texts (WITH HOLD), so the cursor keeps no snapshot.
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
    """Return the number of texts that the live model has not labelled yet."""
    model_id = model_registry.require_live(connection, "preference")
    query = f"select count(*) from ({db.read('queries/unlabelled_reviews')}) u"  # noqa: S608 - a file of ours
    with db.guarded(connection):
        return int(db.fetch_value(connection, query, {"model_id": model_id}))


def predict(connection: Connection, generation: Generation, texts: Strings) -> Floats:
    """Return the probability that the author of each text liked the item, (texts,)."""
    by_ngrams = np.array(
        connection.execute(
            db.read("queries/embed_texts"), {"model_id": generation.model_id, "texts": list(texts)}
        ).fetchall(),
        dtype=np.float32,
    )[:, 0]  # (texts, dimensions)
    tokens = generation.tokenise([(text, None, None) for text in texts])
    return generation.head.confidences(generation.embed(tokens, by_ngrams))[:, 0]
