"""Orders in memory, and the baselines of the basket model; small enough to check in the head."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from aisle.embedder.orders import Baskets, Ints, customer_vectors, group, recency
from aisle.trainers import ranking
from aisle.trainers.basket import baselines as basket_baselines
from aisle.trainers.basket import cart_completion
from aisle.trainers.basket import score as basket_score
from aisle.trainers.basket.baselines import BASELINES

MILK, TEA, SALT = 0, 1, 2
ITEMS = ["milk", "tea", "salt"]


def baskets(lines: list[tuple[int, int, float, int, float]], customers: int = 2) -> Baskets:
    """Group lines of customer, order, time, item and quantity."""
    customer, order, at, item, quantity = (np.array(column) for column in zip(*lines, strict=True))
    names = [f"customer {c}" for c in range(customers)]
    return group(customer, order, at.astype(float), item, quantity.astype(np.float32), names, ITEMS)


@pytest.fixture
def some() -> Baskets:
    """Customer 0: tea, then milk and tea; customer 1: salt."""
    return baskets([(0, 5, 9, TEA, 1), (1, 7, 3, SALT, 2), (0, 3, 2, TEA, 1), (0, 5, 9, MILK, 1), (0, 5, 8, TEA, 2)])


def test_lines_in_any_order_are_grouped_by_time(some: Baskets) -> None:
    assert some.customer_start.tolist() == [0, 2, 3]
    assert [some.basket(order).tolist() for order in range(3)] == [[TEA], [MILK, TEA], [SALT]]
    assert some.quantity.tolist() == [1, 1, 3, 2]
    assert some.at.tolist() == [2, 9, 3], "An order's time is that of its last line."


def test_orders_of_one_time_are_ordered_by_number_and_returns_are_left_out() -> None:
    found = baskets([(0, 2, 1, TEA, 1), (0, 1, 1, MILK, 1), (0, 3, 2, SALT, -1), (1, 4, 1, SALT, 0)])
    assert [found.basket(order).tolist() for order in range(len(found))] == [[MILK], [TEA]]
    assert found.orders_of.tolist() == [2, 0], "A customer may have no order."


def test_the_last_order_is_held_out_of_those_who_have_two(some: Baskets) -> None:
    left, targets = some.hold_out_last()
    assert targets.customer.tolist() == [0]
    assert targets.baskets() == [{MILK, TEA}]
    assert targets.at.tolist() == [9]
    assert left.orders_of.tolist() == [1, 1]
    assert left.basket(0).tolist() == [TEA]
    assert len(some.hold_out_last(np.array([False, True]))[1]) == 0


def test_customers_and_items_can_be_numbered_anew(some: Baskets) -> None:
    other = some.select_customers(np.array([1, 0]))
    assert [other.basket(order).tolist() for order in range(3)] == [[SALT], [TEA], [MILK, TEA]]
    fewer = some.renumber(["tea", "unknown"])
    assert [fewer.basket(order).tolist() for order in range(len(fewer))] == [[0], [0]]
    assert fewer.orders_of.tolist() == [2, 0]


def test_recency_and_customer_vectors(some: Baskets) -> None:
    assert recency(some, 0.5).toarray().tolist() == [[1, 1.5, 0], [0, 0, 1]]
    vectors = customer_vectors(some, np.array([[1.0, 0], [0, 1], [0, 0]], dtype=np.float32), 0.5)
    assert vectors[0] == pytest.approx(np.log([2, 2.5]) / np.linalg.norm(np.log([2, 2.5])))
    assert vectors[1].tolist() == [0, 0]


def test_measures_of_baskets() -> None:
    measured = ranking.measure_baskets([[1, 2], [3]], [{1, 4, 5}, {3}], [{1}, set()], k=2)
    assert measured.recall.tolist() == pytest.approx([1 / 3, 1])
    assert measured.precision.tolist() == [0.5, 1]
    assert measured.f1.tolist() == pytest.approx([0.4, 1])
    assert measured.f1_micro == pytest.approx(4 / 7)
    second, third = 1 / np.log2(3), 0.5
    assert measured.ndcg[0] == pytest.approx(1 / (1 + second))
    assert measured.ndcg_whole[0] == pytest.approx(1 / (1 + second + third))
    means = measured.means()
    assert means["phr@2"] == 1
    assert means["repeat_recall@2"] == 1, "Of those whose order has something bought before."
    assert means["explore_recall@2"] == 0.5


def test_measures_of_sets() -> None:
    assert ranking.measure_sets([[1, 2], []], [{1}, {2}]) == pytest.approx({"f1": 1 / 3, "f1_micro": 0.5, "size": 1})


@pytest.fixture
def board() -> Baskets:
    """Customers 0 to 9 are of two colours, and so are items 0 to 9; each buys its own in turn, the first one always."""
    lines = [
        (c, 10 * c + n, float(n), i, 1.0)
        for c in range(10)
        for n in range(5)
        for i in {c % 2, 2 * (1 + (c + n) % 4) + c % 2}
    ]
    customer, order, at, item, quantity = (np.array(column) for column in zip(*lines, strict=True))
    ids = [str(n) for n in range(10)]
    return group(customer, order, at, item, quantity.astype(np.float32), ids, ids)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"g-top"}))
def test_on_a_checkerboard_everybody_gets_the_own_colour(name: str, board: Baskets) -> None:
    if name == "xgboost":
        pytest.importorskip("xgboost")
    customers = np.arange(10)
    ranked = BASELINES[name]().fit(board).rank(customers, 3)
    assert ranked[:, 0].tolist() == (customers % 2).tolist(), "What is always bought is first."
    assert (ranked % 2 == (customers % 2)[:, None]).all()


@pytest.mark.parametrize("name", ["tifu-knn", "up-cf"])
def test_what_is_held_at_once_does_not_grow_with_the_customers(
    name: str, board: Baskets, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = BASELINES[name]().fit(board).rank(np.arange(10), 3)
    many = board.select_customers(np.arange(100) % 10)
    monkeypatch.setattr(basket_baselines, "BATCH", 500)
    model = BASELINES[name]().fit(many)
    sizes = []
    score = model._score
    monkeypatch.setattr(model, "_score", lambda customers: (sizes.append(len(customers)), score(customers))[1])
    assert (model.rank(np.arange(10), 3)[:, 0] == ranked[:, 0]).all()
    assert sizes == [5, 5], "Of a hundred customers, five at once."


def test_candidates_of_small_batches_are_those_of_one(board: Baskets, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.zeros((10, 1), dtype=np.float32)
    fitted = basket_score.Fitted(None, nothing, nothing, sparse.csr_array((10, 10)), 0, nothing)
    before, wanted = board.hold_out_last()
    learned = basket_score.learn(before, fitted, 20.0, 7)
    pool = basket_score.neighbours_of(before, learned)
    shares, sizes = basket_score.shares, []

    def recorded(pool: basket_score.Pool, customers: Ints, *rest: Any) -> sparse.csr_array:
        sizes.append(len(customers))
        return shares(pool, customers, *rest)

    monkeypatch.setattr(basket_score, "shares", recorded)
    found = []
    for batch in (basket_score.BATCH, 30):
        monkeypatch.setattr(basket_score, "BATCH", batch)
        found.append(basket_score.candidates(before, wanted, learned, pool, neighbours=3, nearest=3, by_time=False))
    assert sizes == [10, 3, 3, 3, 1], "Of ten neighbours and ten products, three customers at once."
    assert found[0].item.tolist() == found[1].item.tolist()
    assert found[0].terms == pytest.approx(found[1].terms, abs=1e-5)


def test_trees_score_customers_of_whom_nothing_is_known(board: Baskets) -> None:
    pytest.importorskip("xgboost")
    nobody = board.select_orders(board.customer_of_order > 0)
    ranked = BASELINES["xgboost"](popular=5).fit(nobody).rank(np.array([0]), 3)  # type: ignore[call-arg]
    assert (ranked >= 0).all()


def test_what_is_popular_is_the_same_for_all(board: Baskets) -> None:
    assert BASELINES["g-top"]().fit(board).rank(np.arange(3), 2).tolist() == [[0, 1]] * 3


def test_carts_are_completed_with_their_own_colour(board: Baskets) -> None:
    carts = [np.array([0, 2]), np.array([1])]
    learned = cart_completion.fit(board, cart_completion.Options(epochs=60, batch_size=16), seed=7)
    scores = learned.scores(carts)
    scores[0, carts[0]] = scores[1, carts[1]] = -np.inf
    found = {"learned": ranking.top(scores, 3)}
    found |= {name: complete(board, carts, 3) for name, complete in basket_baselines.COMPLETIONS.items()}
    for name, (white, black) in found.items():
        assert set(white.tolist()) <= {4, 6, 8}, name
        assert set(black.tolist()) <= {3, 5, 7, 9}, name
