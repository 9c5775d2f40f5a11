"""A generation of the category model in memory. It computes the same vectors as the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aisle.db import Connection, model_registry
from aisle.embedder.encoders import Encoder, Floats, encoder_text


@dataclass(frozen=True)
class Head:
    """The classifier's last layer: confidence = (1 - Σ floor) · softmax(vector · category vector + bias) + floor."""

    categories: list[str]
    weight: Floats  # (categories, dimensions)
    bias: Floats  # (categories,)
    floor: Floats  # (categories,)

    def confidences(self, vectors: Floats) -> Floats:
        """Return the confidences in all categories, (vectors, categories)."""
        logits = vectors @ self.weight.T + self.bias
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponents / exponents.sum(axis=1, keepdims=True)
        return np.asarray((1 - self.floor.sum()) * shares + self.floor, dtype=np.float32)

    def best(self, vectors: Floats) -> tuple[list[str], list[float]]:
        """Return each vector's most likely category and its confidence."""
        confidences = self.confidences(vectors)
        winners = confidences.argmax(axis=1)
        return [self.categories[w] for w in winners], confidences[np.arange(len(winners)), winners].tolist()


@dataclass(frozen=True)
class Generation:
    """One model of the category task. A row's vector is `encoder + ngram_scale * ngrams`."""

    model_id: int
    head: Head
    encoder: Encoder | None
    ngram_scale: float

    @classmethod
    def load(cls, connection: Connection, model_id: int) -> "Generation":
        """Read a generation from the database alone."""
        model = model_registry.get(connection, model_id)
        rows = connection.execute(
            "select category, embedding::real[], bias, floor from aisle.category_vectors where model_id = %s "
            "order by category_id",
            (model_id,),
        ).fetchall()
        head = Head(
            [row[0] for row in rows],
            np.array([row[1] for row in rows], dtype=np.float32),
            np.array([row[2] for row in rows], dtype=np.float32),
            np.array([row[3] for row in rows], dtype=np.float32),
        )
        encoder = Encoder.from_database(connection, model_id) if model.encoder else None
        return cls(
            model_id,
            head,
            encoder,
            model.parameters.get("ngram_scale", 1.0),
        )

    def tokenise(self, texts: Sequence[tuple[str | None, str | None, str | None]]) -> list[list[int]]:
        """Return the encoder's tokens of rows, from their (name, manufacturer, details)."""
        return self.encoder.tokenise([encoder_text(*text) for text in texts]) if self.encoder else [[]] * len(texts)

    def embed(self, tokens: Sequence[list[int]], ngrams: Floats) -> Floats:
        """Return final vectors, (rows, dimensions), from the rows' tokens and the n-gram model's vectors."""
        return self.combine(self.encoder.encode(tokens) if self.encoder else None, ngrams)

    def combine(self, encoded: Floats | None, ngrams: Floats) -> Floats:
        """Return the weighted sum of the encoder's and the n-gram model's vectors, each (rows, dimensions)."""
        if encoded is None:
            return ngrams
        return np.asarray(encoded + self.ngram_scale * ngrams, dtype=np.float32)
