"""A category generation in memory: what the worker needs to turn rows into vectors exactly as the trainer did."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aisle.embedder.encoders import Encoder, Floats, encoder_text
from aisle.sql import Connection, registry


@dataclass(frozen=True)
class Head:
    """The classifier's last layer: logit = vector · category vector + bias."""

    categories: list[str]
    weight: Floats  # (categories, dimensions)
    bias: Floats  # (categories,)

    def probabilities(self, vectors: Floats) -> Floats:
        """Return the soft-max over categories, (vectors, categories)."""
        logits = vectors @ self.weight.T + self.bias
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), dtype=np.float32)

    def best(self, vectors: Floats) -> tuple[list[str], list[float]]:
        """Return each vector's most likely category and its confidence."""
        shares = self.probabilities(vectors)
        winners = shares.argmax(axis=1)
        return [self.categories[w] for w in winners], shares[np.arange(len(winners)), winners].tolist()


@dataclass(frozen=True)
class Generation:
    """One model of the category task. A row's vector is `encoder_scale * encoder + student_scale * student`."""

    model_id: int
    head: Head
    encoder: Encoder | None
    encoder_scale: float
    student_scale: float

    @classmethod
    def load(cls, connection: Connection, model_id: int) -> "Generation":
        """Read a generation from the database; nothing else is needed."""
        model = registry.get(connection, model_id)
        rows = connection.execute(
            "select category, embedding::real[], bias from aisle.category_vectors where model_id = %s order by category_id",
            (model_id,),
        ).fetchall()
        head = Head(
            [row[0] for row in rows],
            np.array([row[1] for row in rows], dtype=np.float32),
            np.array([row[2] for row in rows], dtype=np.float32),
        )
        encoder = Encoder.from_database(connection, model_id) if model.encoder else None
        return cls(
            model_id,
            head,
            encoder,
            model.parameters.get("encoder_scale", 0.0),
            model.parameters.get("student_scale", 1.0),
        )

    def vectors(self, texts: Sequence[tuple[str | None, str | None, str | None]], student: Floats) -> Floats:
        """Return rows' final vectors, (rows, dimensions), from (name, manufacturer, details) and the student's vectors."""
        encoded = self.encoder.encode([encoder_text(*text) for text in texts]) if self.encoder else None
        return self.combine(encoded, student)

    def combine(self, encoded: Floats | None, student: Floats) -> Floats:
        """Return the weighted sum of the encoder's and the student's vectors, each (rows, dimensions)."""
        if encoded is None:
            return student
        return np.asarray(self.encoder_scale * encoded + self.student_scale * student, dtype=np.float32)
