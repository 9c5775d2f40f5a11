"""Metrics over full rankings and the paired bootstrap; figures small enough to check in the head."""

import math

import numpy as np
import pytest

from aisle.db import errors
from aisle.trainers import ranking

SECOND = 1 / math.log2(3)  # what the second place is worth; the first is worth 1, the third 1/2


def test_the_top_of_scores_is_in_order_with_the_first_of_equals_first() -> None:
    scores = np.array([[1.0, 3.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0], [-np.inf, 5.0, -np.inf, -np.inf, 6.0]])
    assert ranking.top(scores, 3).tolist() == [[1, 3, 0], [0, 1, 2], [4, 1, -1]]
    assert ranking.top(scores, 9).tolist() == [[1, 3, 0, 2, 4], [0, 1, 2, 3, 4], [4, 1, -1, -1, -1]]


def test_the_top_equals_a_stable_sort() -> None:
    scores = np.random.default_rng(0).integers(5, size=(50, 40)).astype(np.float32)
    assert np.array_equal(ranking.top(scores, 7), np.argsort(-scores, axis=1, kind="stable")[:, :7])


def test_metrics_of_a_ranking() -> None:
    measures = ranking.measure([[7, 8, 9], [7, 8, 9], [7, 8, 9]], [{7}, {8, 1}, {1}], k=3)
    assert measures.recall.tolist() == [1, 0.5, 0]
    assert measures.hit.tolist() == [1, 1, 0]
    assert measures.ndcg == pytest.approx([1, SECOND / (1 + SECOND), 0])
    assert measures.means() == pytest.approx(
        {"recall@3": 0.5, "hit@3": 2 / 3, "ndcg@3": (1 + SECOND / (1 + SECOND)) / 3}
    )


def test_the_ideal_ranking_has_no_more_than_k_places() -> None:
    measures = ranking.measure([[1, 2]], [{1, 2, 3, 4}], k=2)
    assert measures.ndcg.tolist() == [1.0]
    assert measures.recall.tolist() == [0.5]


def test_only_the_first_k_count() -> None:
    assert ranking.measure([[1, 2, 3]], [{3}], k=2).hit.tolist() == [0.0]


def test_padding_is_no_item_and_a_short_list_is_a_ranking() -> None:
    padded = ranking.measure(np.array([[5, -1, -1], [-1, -1, -1]]), [{5}, {5}], k=3)
    short = ranking.measure([["five"], []], [{"five"}, {"five"}], k=3)
    assert padded.recall.tolist() == short.recall.tolist() == [1, 0]
    assert padded.ndcg.tolist() == short.ndcg.tolist() == [1, 0]


def test_relevant_items_count_once() -> None:
    assert ranking.measure([[1, 2]], [[1, 1, 3]], k=2).recall.tolist() == [0.5]


@pytest.mark.parametrize(
    ("ranked", "relevant", "k"),
    [([[1]], [set()], 1), ([[1, 1]], [{1}], 2), ([[1]], [{1}, {1}], 1), ([], [], 1), ([[1]], [{1}], 0)],
    ids=["nothing relevant", "an item twice", "other users", "nobody", "no places"],
)
def test_what_cannot_be_measured_is_refused(ranked: list[list[int]], relevant: list[set[int]], k: int) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        ranking.measure(ranked, relevant, k)


def test_a_clear_difference_is_shown() -> None:
    ours, theirs = np.ones(100), np.repeat([0.0, 1.0], 50)
    found = ranking.compare(ours, theirs)
    assert found.difference == 0.5
    assert 0.35 < found.low < 0.45 < 0.55 < found.high < 0.65  # a standard error is √(.25/100) = .05
    assert found.p == 1 / (ranking.SAMPLES + 1)
    assert ranking.verdict(found) == "shown: +0.5000, p = 0.0001"


def test_a_difference_in_one_user_of_many_is_not_shown() -> None:
    theirs = np.zeros(100)
    ours = theirs.copy()
    ours[0] = 1
    found = ranking.compare(ours, theirs)
    assert found.p > 0.05
    assert ranking.verdict(found).startswith("not shown at this size: +0.0100, p = ")


def test_equal_rankings_have_p_1() -> None:
    numbers = np.array([0.1, 0.2, 0.7])
    found = ranking.compare(numbers, numbers)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_p_agrees_with_the_normal_approximation_and_has_two_sides() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.normal(0.1, 1, 400), random.normal(0, 1, 400)
    differences = ours - theirs
    z = abs(differences.mean()) / (differences.std() / math.sqrt(400))
    found, turned = ranking.compare(ours, theirs), ranking.compare(theirs, ours)
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)
    assert turned.difference == -found.difference
    assert turned.p == pytest.approx(found.p)


def test_the_same_seed_gives_the_same_p() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random.random(50), random.random(50)
    assert ranking.compare(ours, theirs, seed=3) == ranking.compare(ours, theirs, seed=3)
    assert ranking.compare(ours, theirs, seed=3) != ranking.compare(ours, theirs, seed=4)


def test_unpaired_numbers_are_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError):
        ranking.compare(np.zeros(3), np.zeros(4))
