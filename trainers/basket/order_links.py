"""Links from products to those of the next order: linear, in closed form.

    links(customer, j) = Σ_i past_i B[i, j]        past_i = Σ decay^(orders since), over the last ORDERS orders

Each order after a customer's first is a row of a ridge regression, B = (PᵀP + λI)⁻¹ PᵀT: P holds what was bought
before, T what the order has. Each product is regressed on the SOURCES that go with it most often
(recommender/item_links.py).
"""

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from aisle.embedder.orders import Baskets, Targets, recency

if TYPE_CHECKING:  # it loads torch
    from aisle.trainers.recommender.item_links import Moments

DECAY = 0.9  # of a purchase's count, with each later order
ORDERS = 10  # of a customer that count
SOURCES = 100  # K
KEPT = 50  # weights of a source
RIDGES = (100.0, 20.0, 500.0)  # λ, to try
CUSTOMERS = 2_500  # that validation asks for
ROWS = 50_000  # orders of which the past is in memory at once


def past(baskets: Baskets) -> sparse.csr_array:
    """Return what counts of each customer's orders, (customers, items)."""
    return recency(baskets, DECAY, last=ORDERS)


def moments(baskets: Baskets) -> "Moments":
    """Return PᵀP and PᵀT, (items, items) each."""
    from aisle.trainers.recommender.item_links import Moments

    orders = len(baskets)
    ones = np.ones(len(baskets.item), dtype=np.float32)
    bought = sparse.csr_array((ones, baskets.item, baskets.order_start), shape=(orders, baskets.items))
    customer = baskets.customer_of_order
    gram, right = (sparse.csr_array((baskets.items, baskets.items), dtype=np.float32) for _ in range(2))
    for start in range(0, orders, ROWS):
        row = np.arange(start, min(start + ROWS, orders))
        before = row[:, None] - np.arange(1, ORDERS + 1)
        is_own = (before >= 0) & (customer[np.maximum(before, 0)] == customer[row][:, None])
        counts = np.broadcast_to(DECAY ** np.arange(ORDERS), before.shape)[is_own].astype(np.float32)
        places = (np.broadcast_to(row[:, None] - start, before.shape)[is_own], before[is_own])
        earlier = sparse.csr_array(sparse.csr_array((counts, places), shape=(len(row), orders)) @ bought)
        gram += earlier.T @ earlier
        right += earlier.T @ bought[row]
    return Moments(sparse.csr_array(gram), sparse.csr_array(right))


def fit(baskets: Baskets, ridge: float) -> sparse.csr_array:
    """Return B, (items, items), row: source, with the KEPT largest weights of each source."""
    from aisle.trainers.recommender.item_links import Links, solve

    (weights,) = solve(moments(baskets), [ridge], SOURCES)
    return Links(weights).pruned(KEPT).weights


def best_ridge(baskets: Baskets, wanted: Targets, k: int) -> float:
    """Return the λ whose links have the largest recall@k on the wanted orders; without any, the first."""
    from aisle.trainers.recommender.item_links import Links, solve

    if not len(wanted):
        return RIDGES[0]
    asked = range(min(len(wanted), CUSTOMERS))
    known = past(baskets)[wanted.customer[: len(asked)]]

    def recall(weights: sparse.csr_array) -> float:
        scores = (known @ Links(weights).pruned(KEPT).weights).toarray()
        best = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        shares = [np.isin(wanted.basket(n), best[n]).mean() for n in asked]
        return float(np.mean(shares))

    found = [recall(weights) for weights in solve(moments(baskets), RIDGES, SOURCES)]
    return RIDGES[int(np.argmax(found))]
