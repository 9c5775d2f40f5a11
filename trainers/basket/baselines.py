"""The baselines of the basket model, behind one small interface.

Each learns from orders and ranks all items for a customer. Equal scores are ranked by popularity, then by number.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from aisle.db import errors
from aisle.embedder.orders import Baskets, Ints
from aisle.trainers import ranking

BATCH = 1_000_000  # scores of items, or of customers, in memory at once
RARE = 5  # orders

Scores = npt.NDArray[np.floating[Any]]


class BasketBaseline(ABC):
    """A predictor of the next order; the fields of a subclass are its options."""

    def fit(self, history: Baskets) -> Self:
        """Learn from orders; the target is the next order after the last."""
        self._history = history
        self._popularity = np.bincount(history.item, minlength=history.items)  # (items,), orders
        self._popular_first = np.argsort(-self._popularity, kind="stable")
        return self

    def rank(self, customers: Ints, k: int) -> Ints:
        """Return the k best items of each customer, best first: (customers, k), padded with -1."""
        ranked = np.full((len(customers), k), -1, dtype=np.int64)
        size = max(1, BATCH // max(self._history.items, self._history.customers))
        for start in range(0, len(customers), size):
            rows = slice(start, start + size)
            scores = self._score(customers[rows])  # (batch, items)
            best = ranking.top(np.take(scores, self._popular_first, axis=1), k)
            ranked[rows, : best.shape[1]] = np.where(best < 0, -1, self._popular_first[best])
        return ranked

    @abstractmethod
    def _score(self, customers: Ints) -> Scores:
        """Return new scores, (customers, items); -∞ for items not to rank."""


@dataclass
class Popular(BasketBaseline):
    """G-TopFreq: ranks items by their number of orders."""

    def _score(self, customers: Ints) -> Scores:
        return np.tile(self._popularity.astype(np.float64), (len(customers), 1))


@dataclass
class Personal(BasketBaseline):
    """P-TopFreq: ranks the customer's own items by the number of the customer's orders."""

    def fit(self, history: Baskets) -> Self:
        super().fit(history)
        customer = history.customer_of_order[history.order_of_line]
        ones, shape = np.ones(len(history.item)), (history.customers, history.items)
        self._counts = sparse.csr_array(sparse.coo_array((ones, (customer, history.item)), shape=shape))
        return self

    def _score(self, customers: Ints) -> Scores:
        counts = np.asarray(self._counts[customers].toarray())
        return np.where(counts > 0, counts, -np.inf)


@dataclass
class PersonalThenPopular(Personal):
    """GP-TopFreq: P-TopFreq, then G-TopFreq."""

    def _score(self, customers: Ints) -> Scores:
        return np.asarray(self._counts[customers].toarray())


@dataclass
class TifuKnn(BasketBaseline):
    """Hu et al., Modeling personalized item frequency information for next-basket recommendation, SIGIR 2020, §4.

    The defaults are the paper's for Ta-Feng.
    """

    groups: int = 7
    within: float = 0.9  # r_b, decay with each order inside a group
    between: float = 0.7  # r_g, decay with each group
    neighbours: int = 300
    own: float = 0.7  # α

    def fit(self, history: Baskets) -> Self:
        super().fit(history)
        order, orders = history.order_of_line, history.orders_of
        customer = history.customer_of_order[order]
        place = order - history.customer_start[customer]  # 0 is the oldest
        n = orders[customer]
        size = -(-n // np.minimum(self.groups, np.maximum(n, 1)))  # orders of a group; the oldest group may be smaller
        groups = -(-n // size)
        from_end = n - 1 - place
        group = from_end // size  # 0 is the latest
        members = np.where(group == groups - 1, n - (groups - 1) * size, size)
        value = self.within ** (from_end % size) / members * self.between**group / groups
        vectors = sparse.coo_array((value, (customer, history.item)), shape=(history.customers, history.items))
        self._vectors = sparse.csr_array(vectors)
        self._by_item = sparse.csr_array(self._vectors.T)
        self._squares = np.asarray(self._vectors.multiply(self._vectors).sum(axis=1)).ravel()
        return self

    def _score(self, customers: Ints) -> Scores:
        own = self._vectors[customers]
        products = np.asarray((own @ self._by_item).toarray())  # (batch, customers)
        distance = self._squares[customers, None] + self._squares[None, :] - 2 * products
        distance[np.arange(len(customers)), customers] = np.inf
        k = min(self.neighbours, distance.shape[1] - 1)
        near = np.argpartition(distance, k - 1, axis=1)[:, :k] if k else np.zeros((len(customers), 0), dtype=np.int64)
        rows = np.repeat(np.arange(len(customers)), k)
        mean = sparse.csr_array((np.full(near.size, 1 / max(k, 1)), (rows, near.ravel())), shape=distance.shape)
        return np.asarray((self.own * own + (1 - self.own) * (mean @ self._vectors)).toarray())


@dataclass
class UpCf(Personal):
    """Faggioli et al., Recency aware collaborative filtering for next basket recommendation, UMAP 2020, §3.

    An item's share of the customer's last `recent` orders; the similarity of customers is the asymmetric cosine of
    those shares, raised to the power of `locality`.
    """

    recent: int = 25
    asymmetry: float = 0.25  # α
    locality: int = 5  # q

    def fit(self, history: Baskets) -> Self:
        super().fit(history)
        order = history.order_of_line
        customer = history.customer_of_order[order]
        ago = history.customer_start[1:][customer] - 1 - order
        late = ago < self.recent
        value = 1 / np.minimum(history.orders_of, self.recent)[customer[late]]
        shape = (history.customers, history.items)
        self._shares = sparse.csr_array(sparse.coo_array((value, (customer[late], history.item[late])), shape=shape))
        self._by_item = sparse.csr_array(self._shares.T)
        self._squares = np.asarray(self._shares.multiply(self._shares).sum(axis=1)).ravel()
        return self

    def _score(self, customers: Ints) -> Scores:
        products = np.asarray((self._shares[customers] @ self._by_item).toarray())
        lengths = self._squares[customers, None] ** self.asymmetry * self._squares[None, :] ** (1 - self.asymmetry)
        alike = (products / np.maximum(lengths, 1e-12)) ** self.locality
        return np.asarray(alike @ self._shares)


@dataclass
class XgBoost(BasketBaseline):
    """Gradient-boosted trees over counts, recency, gaps and streaks of a customer and an item.

    It is fitted to each customer's last order from earlier ones; candidates are the customer's own and popular items.
    """

    popular: int = 50
    rounds: int = 200
    depth: int = 6
    learning_rate: float = 0.1
    customers: int = 10_000  # to fit on, at most
    seed: int = 0

    def fit(self, history: Baskets) -> Self:
        super().fit(history)
        try:
            xgboost = importlib.import_module("xgboost")
        except ImportError as error:
            raise errors.MissingExtraError("This baseline needs XGBoost.", hint="pip install '.[boost]'") from error
        self._xgboost = xgboost
        before, last = history.hold_out_last()
        if not len(last):
            raise errors.TrainingDataError("This baseline needs customers with two orders; there are none.")
        random = np.random.default_rng(self.seed)
        chosen = np.sort(random.choice(len(last), min(self.customers, len(last)), replace=False))
        wanted = last.select(chosen)
        row, item, x = self._features(before, wanted.customer)
        owner = np.repeat(np.arange(len(wanted)), np.diff(wanted.start))
        y = np.isin(row * history.items + item, owner * history.items + wanted.item)
        self._model = xgboost.train(
            {
                "objective": "binary:logistic",
                "max_depth": self.depth,
                "eta": self.learning_rate,
                "tree_method": "hist",
                "nthread": 1,
                "seed": self.seed,
            },
            xgboost.DMatrix(x, label=y),
            self.rounds,
        )
        return self

    def _score(self, customers: Ints) -> Scores:
        row, item, x = self._features(self._history, customers)
        scores = np.full((len(customers), self._history.items), -np.inf)
        scores[row, item] = self._model.predict(self._xgboost.DMatrix(x))
        return scores

    def _features(self, history: Baskets, customers: Ints) -> tuple[Ints, Ints, Scores]:
        """Return row, item and features of each candidate, (candidates,) and (candidates, features)."""
        own = history.select_customers(customers)
        order = own.order_of_line
        customer = own.customer_of_order[order]
        key = customer * own.items + own.item
        lines = np.lexsort((order, key))
        key, order = key[lines], order[lines]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
        last = np.append(first[1:], len(key))[: len(first)] - 1
        ago = own.customer_start[1:][key // own.items] - 1 - order
        follows = np.append(False, (key[1:] == key[:-1]) & (order[1:] == order[:-1] + 1))[: len(key)]
        # Length of the streak of orders that ends at each line.
        run = np.arange(len(key)) - np.maximum.accumulate(np.where(follows, 0, np.arange(len(key)))) + 1
        times = last - first + 1
        known = np.column_stack(
            [
                times,
                ago[last],
                ago[first],
                (ago[first] - ago[last]) / np.maximum(times - 1, 1),
                np.where(ago[last] == 0, run[last], 0),
                np.maximum.reduceat(run, first),
                np.add.reduceat(0.9**ago, first),
                np.add.reduceat(0.6**ago, first),
            ]
        )
        popular = self._popular_first[: self.popular]
        rows = np.arange(len(customers))
        keys = np.unique(np.concatenate([key[first], (rows[:, None] * own.items + popular).ravel()]))
        x = np.full((len(keys), known.shape[1] + 3), np.nan)
        x[np.searchsorted(keys, key[first]), : known.shape[1]] = known
        row, item = keys // own.items, keys % own.items
        x[:, -3] = self._popularity[item]
        x[:, -2] = own.orders_of[row]
        x[:, -1] = (np.diff(own.order_start[own.customer_start]) / np.maximum(own.orders_of, 1))[row]
        return row, item, x


def complete_by_cosine(history: Baskets, carts: Sequence[Ints], k: int) -> Ints:
    """Return the k best completions of each cart, (carts, k), by the sum of cosines of items' columns of orders."""
    return _complete(history, carts, k, own=-0.5, other=-0.5)


def complete_by_lift(history: Baskets, carts: Sequence[Ints], k: int) -> Ints:
    """Return the k best completions of each cart, (carts, k), by the sum of lifts; an item has at least RARE orders."""
    return _complete(history, carts, k, own=-1.0, other=-1.0)


def _complete(history: Baskets, carts: Sequence[Ints], k: int, *, own: float, other: float) -> Ints:
    """Score item j by Σ_i n_ij n_i^own n_j^other, n_ij being the orders with both, n_i those with item i."""
    ones = np.ones(len(history.item), dtype=np.float32)
    orders = sparse.csr_array((ones, history.item, history.order_start), shape=(len(history), history.items))
    times = np.maximum(np.bincount(history.item, minlength=history.items), 1 if own > -1 else RARE)
    ranked = np.full((len(carts), k), -1, dtype=np.int64)
    by_item, size = sparse.csr_array(orders.T), max(1, BATCH // history.items)
    for start in range(0, len(carts), size):
        batch = carts[start : start + size]
        rows = np.repeat(np.arange(len(batch)), [len(cart) for cart in batch])
        items = np.concatenate(list(batch))
        weights = sparse.csr_array((times[items] ** own, (rows, items)), shape=(len(batch), history.items))
        scores = np.asarray(((weights @ by_item) @ orders).toarray()) * times**other
        scores[rows, items] = -np.inf
        best = ranking.top(scores, k)
        ranked[start : start + size, : best.shape[1]] = best
    return ranked


COMPLETIONS = {"cosine": complete_by_cosine, "lift": complete_by_lift}

BASELINES: dict[str, type[BasketBaseline]] = {
    "g-top": Popular,
    "p-top": Personal,
    "gp-top": PersonalThenPopular,
    "tifu-knn": TifuKnn,
    "up-cf": UpCf,
    "xgboost": XgBoost,
}
