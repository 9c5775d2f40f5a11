"""The basket model's networks on a checkerboard: customers buy only products of their own colour."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import torch

from aisle.db import errors
from aisle.embedder.order_network import StateModel, pad
from aisle.embedder.orders import Baskets, Targets, group
from aisle.trainers.basket.autoencoder import product_vectors
from aisle.trainers.basket.fit_order_network import MODELS, fit, recall
from aisle.trainers.basket.options import NetworkOptions

CUSTOMERS, ITEMS, ORDERS, EACH = 40, 20, 5, 3
SMALL = NetworkOptions(
    dimensions=8,
    hidden=16,
    heads=2,
    n_orders=4,
    product_epochs=4,
    epochs=8,
    batch_size=8,
    learning_rate=0.03,
    dropout=0.1,
)


def baskets_of(orders: list[list[list[int]]], items: int = ITEMS) -> Baskets:
    """Return the baskets of customers, each a list of orders."""
    lines = [(c, o, i) for c, customer in enumerate(orders) for o, order in enumerate(customer) for i in order]
    customer, order, item = (np.array(column, dtype=np.int64) for column in zip(*lines, strict=True))
    one = np.ones(len(lines), dtype=np.float32)
    names = [f"c{c}" for c in range(len(orders))], [f"i{i}" for i in range(items)]
    return group(customer, order, order.astype(np.float64), item, one, *names)


def board() -> Baskets:
    """Make orders: even customers buy some of the even products, odd customers of the odd ones."""
    random = np.random.default_rng(0)
    products = [np.arange(colour, ITEMS, 2) for colour in (0, 1)]
    orders = [
        [random.choice(products[c % 2], EACH, replace=False).tolist() for _ in range(ORDERS)] for c in range(CUSTOMERS)
    ]
    return baskets_of(orders)


@pytest.fixture(scope="module")
def held_out() -> tuple[Baskets, Targets]:
    return board().hold_out_last(np.arange(CUSTOMERS) < 10)


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request: pytest.FixtureRequest, held_out: tuple[Baskets, Targets]) -> StateModel:
    return fit(*held_out, replace(SMALL, model=request.param), seed=1)


def top(model: StateModel, baskets: Baskets, k: int) -> np.ndarray:
    return np.argsort(-(model.states(baskets) @ model.products.T), axis=1)[:, :k]


def test_a_customer_is_offered_products_of_their_colour_only(model: StateModel) -> None:
    best = top(model, board(), ITEMS // 2)
    assert (best % 2 == np.arange(CUSTOMERS)[:, None] % 2).all()
    assert np.mean(model.validation[-1:]) > 0.9, f"All of a customer's colour are in the first 10: {model.validation}"


@pytest.mark.parametrize(
    "options", [{"loss": "bce"}, {"memory": False}, {"negatives": 8}, {"negatives": 8, "loss": "bce"}]
)
def test_every_loss_and_a_network_without_memory_find_the_colour(options: dict[str, object]) -> None:
    model = fit(board(), None, replace(SMALL, **options), seed=1)  # type: ignore[arg-type]
    best = top(model, board(), 5)
    assert (best % 2 == np.arange(CUSTOMERS)[:, None] % 2).mean() > 0.95


def test_the_memory_offers_again_what_a_customer_bought() -> None:
    own = [[[c % ITEMS, (c + 7) % ITEMS]] * 3 for c in range(CUSTOMERS)]
    model = fit(baskets_of(own), None, replace(SMALL, dimensions=16, memory_dropout=0.2), seed=1)
    first = [set(row) for row in top(model, baskets_of(own), 2).tolist()]
    assert np.mean([row == set(customer[0]) for row, customer in zip(first, own, strict=True)]) > 0.9


def test_the_autoencoder_puts_what_is_bought_together_near() -> None:
    vectors = product_vectors(board(), replace(SMALL, product_epochs=10), seed=1).codes
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = vectors @ vectors.T
    same = np.arange(ITEMS)[:, None] % 2 == np.arange(ITEMS) % 2
    np.fill_diagonal(same, False)
    assert near[same].mean() > near[~same & ~np.eye(ITEMS, dtype=bool)].max()


def test_a_product_that_nobody_bought_keeps_the_direction_of_its_text() -> None:
    texts = np.zeros((ITEMS + 1, 3), dtype=np.float32)
    texts[:, 0], texts[:, 1] = np.arange(ITEMS + 1) % 2, 1
    more = replace(board(), item_ids=[f"i{i}" for i in range(ITEMS + 1)])  # the last one is even, and not bought
    vectors = product_vectors(more, SMALL, seed=1, texts=texts).codes
    near = (vectors @ vectors[-1])[:-1]
    assert near[::2].min() > near[1::2].max()


@pytest.mark.parametrize("model_name", sorted(MODELS))
def test_same_seed_same_model(held_out: tuple[Baskets, Targets], model_name: str) -> None:
    options = replace(SMALL, model=model_name, epochs=2)
    one, two, other = (fit(*held_out, options, seed=seed) for seed in (3, 3, 4))
    assert all((one.weights[name] == two.weights[name]).all() for name in one.weights)
    assert (one.products != other.products).any()


def test_fit_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(board(), None, replace(SMALL, epochs=1), seed=1)
    assert torch.rand(1) == expected


def test_precision_that_another_training_chose_changes_nothing() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    options = replace(SMALL, epochs=1)
    AcceleratorState._reset_state()
    plain = fit(board(), None, options, seed=1)
    AcceleratorState._reset_state()
    Accelerator(mixed_precision="bf16")
    try:
        np.testing.assert_array_equal(fit(board(), None, options, seed=1).products, plain.products)
    finally:
        AcceleratorState._reset_state()


def test_files_give_the_model_back(model: StateModel) -> None:
    arrays, rest = model.to_arrays()
    again = StateModel.from_arrays(arrays, json.loads(json.dumps(rest)))
    assert (again.states(board()) == model.states(board())).all()
    assert (again.products == model.products).all()
    assert again.validation == model.validation


def test_logits_are_states_times_products(model: StateModel) -> None:
    baskets = board()
    states, products, vectors = model.states(baskets), model.products, model.product_vectors
    assert states.shape == (CUSTOMERS, 9)
    assert products.shape == (ITEMS, 9)
    assert vectors.shape == (ITEMS, 8)
    assert states.dtype == products.dtype == np.float32
    assert (states[:, -1] == 1).all()
    network = model._network
    first, last = baskets.customer_start[:-1] + 1, baskets.customer_start[1:]  # the last n_orders = 4
    with torch.no_grad():
        after = network(pad(baskets.order_start, baskets.item, first, last, ITEMS))[:, -1]
        logits = after @ network.rows.T + network.bias
    np.testing.assert_allclose(states @ products.T, logits, atol=1e-5)


def test_a_customer_alone_has_the_state_that_all_together_give(model: StateModel) -> None:
    sizes = np.random.default_rng(1)
    orders = [
        [sorted(sizes.choice(ITEMS, sizes.integers(1, 9), replace=False).tolist()) for _ in range(1 + c % 6)]
        for c in range(20)
    ]
    together = model.states(baskets_of(orders))
    for customer in range(20):
        alone = model.states(baskets_of([orders[customer]]))
        np.testing.assert_allclose(alone[0], together[customer], atol=1e-5)


def test_only_the_last_orders_are_read(model: StateModel) -> None:
    last = [[1], [2, 4], [3], [5]]
    states = model.states(baskets_of([[[0, 6], *last], [[8], [10], *last], last]))
    np.testing.assert_allclose(states[0], states[2], atol=1e-6)
    np.testing.assert_allclose(states[1], states[2], atol=1e-6)


def test_unknown_products_and_customers_without_orders(model: StateModel) -> None:
    known = model.states(baskets_of([[[1, 2], [3]], [[4]]]))
    some = Baskets(
        customer_start=np.array([0, 3, 3, 4]),
        order_start=np.array([0, 3, 5, 6, 8]),
        item=np.array([-1, 1, 2, -1, ITEMS, 3, 4, ITEMS + 5]),
        quantity=np.ones(8, dtype=np.float32),
        at=np.arange(4.0),
        customer_ids=["a", "none", "b"],
        item_ids=[],
    )
    states = model.states(some)
    np.testing.assert_allclose(states[[0, 2]], known, atol=1e-6)
    nobody = replace(
        some, customer_start=np.zeros(2, dtype=np.int64), order_start=np.zeros(1, dtype=np.int64), item=some.item[:0]
    )
    np.testing.assert_allclose(model.states(nobody)[0], states[1], atol=1e-6)
    assert np.isfinite(states).all()


def test_more_orders_than_are_read_and_customers_with_one() -> None:
    orders = [[[c % 2, c % 2 + 2]] * (1 + c % 7) for c in range(12)]
    model = fit(baskets_of(orders, 4), None, replace(SMALL, n_orders=2, epochs=3), seed=1)
    assert np.isfinite(model.states(baskets_of(orders, 4))).all()


def test_the_best_epoch_is_kept(held_out: tuple[Baskets, Targets]) -> None:
    seen: list[float] = []
    model = fit(
        *held_out,
        replace(SMALL, evaluate_at=3),
        seed=1,
        progress=lambda epoch, loss, metric: seen.append(metric if metric is not None else -1),
    )
    assert list(model.validation) == seen
    left, targets = held_out
    found = recall(model.products, model.states(left)[targets.customer], targets, 3)
    assert found == pytest.approx(max(seen))
    assert seen[model.epochs_run - 1] == max(seen)


def test_recall_by_hand() -> None:
    targets = Targets(np.array([0, 1]), np.zeros(2), np.array([0, 2, 3]), np.array([0, 1, 2]))
    states = np.array([[1, 0], [0, 1]], dtype=np.float32)
    products = np.array([[3, 0], [0, 3], [2, 1]], dtype=np.float32)  # first: 0, 2; second: 1, 2
    assert recall(products, states, targets, 2) == pytest.approx((1 / 2 + 1) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "lstm"}, "no model 'lstm'"),
        ({"loss": "mse"}, "no loss 'mse'"),
        ({"model": "attention-gru", "heads": 3}, "3 heads"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=message):
        fit(board(), None, replace(SMALL, **options), seed=1)  # type: ignore[arg-type]


def test_no_orders() -> None:
    nothing = board().select_orders(np.zeros(CUSTOMERS * ORDERS, dtype=bool))
    with pytest.raises(errors.TrainingDataError, match="no order"):
        fit(nothing, None, SMALL, seed=1)
