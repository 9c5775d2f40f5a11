"""The score of a customer's next product: a weighted sum of features, as next_basket() computes it in SQL.

candidates = bought before ∪ bought next by neighbours ∪ nearest to the customer's state ∪ linked
score      = constant + Σ weight × term, with separate weights for products bought before and new ones
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from aisle.embedder.customer_vectors import States, WeightedSumStates
from aisle.embedder.orders import Baskets, Bools, Doubles, Floats, Ints, Targets, customer_vectors, recency
from aisle.trainers.basket import order_links

if TYPE_CHECKING:  # torch is loaded only for models with a network
    from aisle.embedder.order_network import StateModel

DIMENSIONS = 128  # of a customer vector
DECAY = (order_links.DECAY, 0.6)  # of a purchase's count, with each later order
FORGOTTEN = 200  # orders; older purchases count as this old: higher powers of DECAY would be 0
SHRINKAGE = 5.0  # weight, in purchases, of the average gap in an item's own
BATCH = 20_000_000  # scores of items, or of neighbours, in memory at once
RIDGE = 1.0  # of the weights, on standardised columns
LEAST_SPREAD = 0.05  # lower bound of a column's scale: a nearly constant column would get a huge weight
LATEST, LATE = 0.04, 4.0  # least time since a purchase (days: an hour), and the bound of the logarithm of lateness
NEAR_FLOOR = 0.001  # share of neighbours
COSINE_FLOOR = 0.001  # of co-purchase
LINK_FLOOR = 0.001
# The names of these constants in the model's parameters, which next_basket() and complete_basket() read.
BOUNDS = {
    "orders": FORGOTTEN, "time": LATEST, "late": LATE, "share": NEAR_FLOOR, "cosine": COSINE_FLOOR, "link": LINK_FLOOR,
    "linked_orders": order_links.ORDERS,
}  # fmt: skip

# The weighted terms, after the constant; products new to the customer have only the first six.
NEW_TERMS = ("neighbours", "popularity", "logit", "size", "orders", "links")
TERMS = (*NEW_TERMS, "recency", "fast_recency", "last", "late", "late_squared")
LATE_TERM = TERMS.index("late")


@dataclass(frozen=True)
class Fitted:
    """The parts that are fitted once, by gradient descent."""

    network: "StateModel | None"
    cart: Floats  # (items, d), a product's vector in a cart
    completion: Floats  # (items, d + 1), a product's vector to compare with carts
    co_purchased: sparse.csr_array  # (items, items), cosines of co-purchase
    cosine_weight: float
    co_purchase: Floats  # (items, any), similar for products bought with the same ones; zeros: unknown


@dataclass(frozen=True)
class Learned:
    """All that is learned but the weights: facts about products, and the states' model."""

    item_vectors: Floats  # (items, ≤ DIMENSIONS)
    popularity: Doubles  # (items,), share of the orders
    gap: Doubles  # (items,), usual time between two purchases
    average_gap: float
    rarest: float  # lower bound of `popularity`, for its logarithm
    size: float  # of an order, on average
    fitted: Fitted
    products: Floats  # (items, dimensions), to compare with states
    links: sparse.csr_array  # (items, items), see order_links

    @property
    def states(self) -> States:
        """The network, or the weighted sum."""
        return self.fitted.network or WeightedSumStates(self.item_vectors, DECAY[0])


@dataclass(frozen=True)
class Candidates:
    """Products that a customer may order next, with the terms of the score."""

    customer: Ints  # (candidates,), ascending
    item: Ints  # (candidates,)
    again: Bools  # (candidates,), bought before
    terms: Doubles  # (candidates, TERMS)


@dataclass(frozen=True)
class Weights:
    """The weights of a constant and the terms.

    A weight says nothing of values that its fit has not seen: a term out of its range counts as at the range's end.
    """

    again: Doubles  # (1 + TERMS,)
    new: Doubles  # (1 + NEW_TERMS,)
    logit: float  # default for a customer without a state, or a product that the model lacks
    again_ranges: Doubles | None = None  # (TERMS, 2); None: no bounds
    new_ranges: Doubles | None = None  # (NEW_TERMS, 2)

    def named(self) -> dict[str, dict[str, float]]:
        """Return the weights by term, as the model's parameters hold them."""
        return {
            "bought_before": dict(zip(("constant", *TERMS), self.again.tolist(), strict=True)),
            "new": dict(zip(("constant", *NEW_TERMS), self.new.tolist(), strict=True)),
        }

    def named_ranges(self) -> dict[str, dict[str, list[float]]]:
        """Return the ranges by term, as the model's parameters hold them."""
        return {
            kind: dict(zip(terms, ranges.tolist(), strict=True))
            for kind, terms, ranges in (
                ("bought_before", TERMS, self.again_ranges), ("new", NEW_TERMS, self.new_ranges)
            ) if ranges is not None
        }  # fmt: skip

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> "Weights":
        """Return the weights that a model's parameters hold."""
        named = parameters["weights"]
        again, new = (
            np.array([named[kind][term] for term in ("constant", *terms)])
            for kind, terms in (("bought_before", TERMS), ("new", NEW_TERMS))
        )
        ranges = (
            np.array([parameters["ranges"][kind][term] for term in terms]) if kind in parameters["ranges"] else None
            for kind, terms in (("bought_before", TERMS), ("new", NEW_TERMS))
        )
        return cls(again, new, parameters["logit"], *ranges)

    def scores(self, candidates: Candidates) -> Doubles:
        """Return (candidates,)."""
        again = self.again[0] + _bounded(candidates.terms, self.again_ranges) @ self.again[1:]
        new = self.new[0] + _bounded(candidates.terms[:, : len(NEW_TERMS)], self.new_ranges) @ self.new[1:]
        return np.asarray(np.where(candidates.again, again, new))


def _bounded(terms: Doubles, ranges: Doubles | None) -> Doubles:
    if ranges is None:
        return terms
    bounded = np.clip(terms, ranges[:, 0], ranges[:, 1])
    if terms.shape[1] == len(TERMS):
        bounded[:, LATE_TERM + 1] = bounded[:, LATE_TERM] ** 2
    return bounded


# If no customer has two orders: favour products bought before, and popular ones.
UNKNOWING = Weights(np.array([-3.0, *np.zeros(len(TERMS))]), np.array([0.0, 0.0, 1.0, *np.zeros(4)]), 0.0)


def learn(baskets: Baskets, fitted: Fitted, ridge: float, seed: int) -> Learned:
    """Learn vectors, popularity, gaps and links (λ: `ridge`) of products from orders."""
    # Tf-idf of items, as for words, with log(1 + decayed count) for the frequency.
    pairs = np.unique(baskets.customer_of_order[baskets.order_of_line] * baskets.items + baskets.item)
    buyers = np.bincount(pairs % baskets.items, minlength=baskets.items)
    rarity = np.log((1 + baskets.customers) / (1 + buyers))
    counts = recency(baskets, DECAY[0])
    counts.data = np.log1p(counts.data) * rarity[counts.indices]
    directions = principal_directions(counts, seed)  # (items, d)
    item_vectors = (directions * rarity[:, None]).astype(np.float32)
    gap, average_gap = gaps(baskets)
    return Learned(
        item_vectors=item_vectors,
        popularity=np.bincount(baskets.item, minlength=baskets.items) / max(len(baskets), 1),
        gap=gap,
        average_gap=average_gap,
        rarest=1 / max(len(baskets), 1),
        size=len(baskets.item) / max(len(baskets), 1),
        fitted=fitted,
        products=fitted.network.products if fitted.network else directions.astype(np.float32),
        links=order_links.fit(baskets, ridge),
    )


def principal_directions(matrix: sparse.csr_array, seed: int) -> Doubles:
    """Return the first right singular vectors, (columns, ≤ DIMENSIONS)."""
    from sklearn.utils.extmath import randomized_svd

    dimensions = min(DIMENSIONS, *matrix.shape)
    return np.asarray(randomized_svd(sparse.csr_matrix(matrix), dimensions, n_iter=4, random_state=seed)[2].T)


def gaps(baskets: Baskets) -> tuple[Doubles, float]:
    """Return the usual time between two purchases of each item by a customer, (items,), and that of all items."""
    customer = baskets.customer_of_order[baskets.order_of_line]
    at = baskets.at[baskets.order_of_line]
    rows = np.lexsort((at, baskets.item, customer))
    key = (customer * baskets.items + baskets.item)[rows]
    same = key[1:] == key[:-1]
    between = np.maximum(np.diff(at[rows])[same], 0)
    item = (key[1:] % baskets.items)[same]
    average = max(float(between.mean()), LATEST) if len(between) else 1.0
    sums = np.bincount(item, between, minlength=baskets.items)
    times = np.bincount(item, minlength=baskets.items)
    return (sums + SHRINKAGE * average) / (times + SHRINKAGE), average


@dataclass(frozen=True)
class Pool:
    """Possible neighbours: each customer's vector before the last order, and that order's products."""

    customer: Ints  # (neighbours,)
    vectors: Floats  # (neighbours, d)
    bought: sparse.csr_array  # (neighbours, items), 0 or 1
    known_at: Doubles  # (neighbours,)


def neighbours_of(baskets: Baskets, learned: Learned) -> Pool:
    """Return the possible neighbours: the customers with two orders."""
    before, last = baskets.hold_out_last()
    vectors = customer_vectors(before, learned.item_vectors, DECAY[0])[last.customer]
    there = vectors.any(axis=1)
    ones = np.ones(len(last.item))
    bought = sparse.csr_array((ones, last.item, last.start), shape=(len(last), baskets.items))
    return Pool(last.customer[there], vectors[there], bought[there], last.at[there])


def shares(pool: Pool, customers: Ints, vectors: Floats, moments: Doubles | None, neighbours: int) -> sparse.csr_array:
    """Return the share of each customer's neighbours who bought an item next, by squared cosine: (customers, items)."""
    if not len(pool.customer):
        return sparse.csr_array((len(customers), pool.bought.shape[1]))
    cosine = vectors @ pool.vectors.T  # (customers, pool)
    cosine[customers[:, None] == pool.customer[None, :]] = -1
    if moments is not None:
        cosine[pool.known_at[None, :] >= moments[:, None]] = -1
    k = min(neighbours, cosine.shape[1])
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    weight = np.take_along_axis(cosine, nearest, axis=1).clip(0).astype(np.float64) ** 2
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    rows = np.repeat(np.arange(len(customers)), k)
    chosen = sparse.csr_array((weight.ravel(), (rows, nearest.ravel())), shape=cosine.shape)
    return sparse.csr_array(chosen @ pool.bought)


def candidates(
    history: Baskets, targets: Targets, learned: Learned, pool: Pool, *, neighbours: int, nearest: int, by_time: bool
) -> Candidates:
    """Return the candidates of each target's customer at its time, from the orders in `history`."""
    size = max(1, BATCH // max(history.items, len(pool.customer)))  # customers
    parts = [
        _candidates(
            history,
            targets.customer[s : s + size],
            targets.at[s : s + size],
            learned,
            pool,
            neighbours,
            nearest,
            by_time,
        )
        for s in range(0, len(targets), size)
    ]
    return Candidates(
        np.concatenate([p.customer for p in parts]),
        np.concatenate([p.item for p in parts]),
        np.concatenate([p.again for p in parts]),
        np.concatenate([p.terms for p in parts]),
    )


def _candidates(
    history: Baskets,
    customers: Ints,
    moments: Doubles,
    learned: Learned,
    pool: Pool,
    neighbours: int,
    nearest: int,
    by_time: bool,
) -> Candidates:
    own = history.select_customers(customers)
    items = own.items
    states = learned.states.states(own)  # (customers, dimensions)
    logits = states @ learned.products.T  # (customers, items)
    vectors = customer_vectors(own, learned.item_vectors, DECAY[0])
    near = shares(pool, customers, vectors, moments if by_time else None, neighbours)

    linked = sparse.csr_array(order_links.past(own) @ learned.links)

    bought = _purchases(own)
    keys = [bought.key, *_best(near, nearest), *_best_columns(logits, nearest), *_best(linked, nearest)]
    key = np.unique(np.concatenate(keys))
    row, item = key // items, key % items
    place = np.searchsorted(key, bought.key)
    again = np.zeros(len(key), dtype=bool)
    again[place] = True

    terms = np.zeros((len(key), len(TERMS)))
    terms[:, 0] = np.log(near[row, item] + NEAR_FLOOR)
    terms[:, 1] = np.log(learned.popularity[item] + learned.rarest)
    terms[:, 2] = logits[row, item]
    terms[:, 3] = np.log(np.diff(own.order_start[own.customer_start])[row] / own.orders_of[row])
    terms[:, 4] = np.log(own.orders_of[row])
    terms[:, 5] = np.log(np.maximum(linked[row, item], 0) + LINK_FLOOR)
    usual = np.maximum((bought.span + learned.gap[bought.key % items]) / bought.times, LATEST)
    late = np.log(np.maximum(moments[bought.key // items] - bought.last_at, LATEST) / usual)
    terms[place, 6] = np.log(bought.recency)
    terms[place, 7] = np.log(bought.fast_recency)
    terms[place, 8] = bought.ago == 0
    terms[place, 9] = np.clip(late, -LATE, LATE)
    terms[place, 10] = np.minimum(late**2, LATE**2)
    return Candidates(customers[row], item, again, terms)


@dataclass(frozen=True)
class Purchases:
    """The purchases of each customer and item, (pairs,) each, by ascending key."""

    key: Ints  # customer × items + item
    times: Ints
    recency: Doubles
    fast_recency: Doubles
    ago: Ints  # orders since the last purchase
    last_at: Doubles
    span: Doubles  # from the first to the last purchase


def _purchases(baskets: Baskets) -> Purchases:
    order = baskets.order_of_line
    customer = baskets.customer_of_order[order]
    ago = baskets.customer_start[1:][customer] - 1 - order
    key = customer * baskets.items + baskets.item
    rows = np.lexsort((order, key))
    key, ago, at = key[rows], ago[rows], baskets.at[order][rows]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, dtype=bool))
    last = np.append(first[1:], len(key)) - 1 if len(first) else first
    slow, fast = DECAY

    def total(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.add.reduceat(values, first) if len(first) else values

    return Purchases(
        key[first],
        total(np.ones(len(key), dtype=np.int64)),
        total(slow ** np.minimum(ago, FORGOTTEN)),
        total(fast ** np.minimum(ago, FORGOTTEN)),
        ago[last],
        at[last],
        at[last] - at[first],
    )


def _best(shares: sparse.csr_array, k: int) -> list[Ints]:
    """Return, as keys, the k items of each row with the largest share; of equal shares, the first item first."""
    keys = []
    for row in range(shares.shape[0]):
        start, stop = shares.indptr[row], shares.indptr[row + 1]
        item, share = shares.indices[start:stop], shares.data[start:stop]
        keys.append(row * shares.shape[1] + item[np.lexsort((item, -share))[:k]].astype(np.int64))
    return keys


def _best_columns(logits: Floats, k: int) -> list[Ints]:
    k = min(k, logits.shape[1])
    best = np.argpartition(-logits, k - 1, axis=1)[:, :k]
    return list(np.arange(len(logits))[:, None] * logits.shape[1] + best)


def fit_weights(found: Candidates, wanted: Targets) -> Weights:
    """Fit two logistic regressions to the wanted orders: for products bought before, and for new ones."""
    from sklearn.linear_model import LogisticRegression

    items = int(max(found.item.max(), wanted.item.max(initial=0))) + 1
    owner = np.repeat(wanted.customer, np.diff(wanted.start))
    ordered = np.isin(found.customer * items + found.item, owner * items + wanted.item)

    def weigh(rows: Bools, terms: int) -> tuple[Doubles, Doubles | None]:
        x, y = found.terms[rows, :terms], ordered[rows]
        if y.all() or not y.any():  # as in a shop without repeat purchases
            share = (y.sum() + 0.5) / (len(y) + 1)
            return np.array([np.log(share / (1 - share)), *np.zeros(terms)]), None
        mean, sd = x.mean(axis=0), x.std(axis=0)
        # The terms are logarithms, or 0 or 1; only the logit has another scale.
        least = np.where(np.array(TERMS[:terms]) == "logit", np.sqrt(np.mean(x**2, axis=0)), 1) * LEAST_SPREAD
        sd = np.where(sd < 1e-6, np.inf, np.maximum(sd, least))  # below, all differences are rounding
        model = LogisticRegression(C=1 / RIDGE, max_iter=500).fit((x - mean) / sd, y)
        slopes = model.coef_[0] / sd
        return np.array([model.intercept_[0] - slopes @ mean, *slopes]), np.stack(
            [x.min(axis=0), x.max(axis=0)], axis=1
        )

    again, again_ranges = weigh(found.again, len(TERMS))
    new, new_ranges = weigh(~found.again, len(NEW_TERMS))
    return Weights(again, new, float(found.terms[:, 2].mean()), again_ranges, new_ranges)
