"""The linear model of n-grams: what it scores, also where there is little to learn from."""

import numpy as np
import pytest
from scipy import sparse

from aisle.trainers.category.linear_model import fit_linear_model
from aisle.trainers.category.ngram_model import weighted_sum

NGRAMS = ["=tea", "=bread", "tea", "bre"]
TEXTS = sparse.csr_array(np.array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]], dtype=np.float32))
LABELS = np.array([0, 0, 1, 1])


def test_a_score_is_a_sum_over_ngrams() -> None:
    model = fit_linear_model(TEXTS, LABELS, 2, NGRAMS)
    scores = model.embed(TEXTS) @ model.weight.T + model.bias
    assert (scores.argmax(axis=1) == LABELS).all()
    by_hand = (model.vectors[0] + model.vectors[2]) / np.sqrt(2) + model.bias
    assert scores[0] == pytest.approx(by_hand)


def test_a_fit_is_the_same_again() -> None:
    first, second = (fit_linear_model(TEXTS, LABELS, 2, NGRAMS) for _ in range(2))
    assert np.array_equal(first.vectors, second.vectors)


@pytest.mark.parametrize("rows", [[], [0, 1]], ids=["no rows", "one category"])
def test_where_there_is_nothing_to_tell_apart_the_bias_decides(rows: list[int]) -> None:
    """A fold may hold all rows of the other categories: near-equal names are in one fold."""
    model = fit_linear_model(TEXTS[rows], LABELS[rows], 3, NGRAMS)
    assert not model.vectors.any()
    assert model.bias.tolist() == [1 if rows else -1, -1, -1]


def test_a_weighted_sum_is_exact_if_there_are_dimensions_for_all_categories() -> None:
    models = [fit_linear_model(TEXTS, LABELS, 2, NGRAMS), fit_linear_model(TEXTS, 1 - LABELS, 2, NGRAMS)]
    total = weighted_sum(models, [2.0, 0.5], TEXTS, dimensions=2)
    wanted = sum(w * (m.embed(TEXTS) @ m.weight.T + m.bias) for m, w in zip(models, (2.0, 0.5), strict=True))
    assert total.embed(TEXTS) @ total.weight.T + total.bias == pytest.approx(wanted, abs=1e-5)
