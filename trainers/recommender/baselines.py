"""The baselines of the recommender, behind one small interface.

Each learns from events and ranks all items for a user. Equal scores are ranked by popularity, then by number; so an
unknown user gets the popular items.
"""

import importlib
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from aisle.db import errors
from aisle.trainers import ranking
from aisle.trainers.recommender.events import Events, Ints

BATCH = 1_000_000  # scores in memory at once: few enough for a processor's cache
DAY = 86_400.0  # seconds

Bools = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]
Context = Mapping[str, Ints]
Grid = Mapping[str, Sequence[Any]]  # option → values to try


class Baseline(ABC):
    """A recommender; the fields of a subclass are its options. An event of weight 0 only marks its item as seen."""

    GRID: ClassVar[Grid] = {}

    def fit(self, events: Events) -> Self:
        """Learn from events."""
        self._shape = (len(events.user_ids), len(events.items))
        self._seen = _count(events.user, events.item, self._shape)
        events = events.select(events.weight > 0)
        self._counts = _count(events.user, events.item, self._shape)  # (users, items), events
        self._popularity = np.bincount(events.item, minlength=self._shape[1])  # (items,), events
        self._popular_first = np.argsort(-self._popularity, kind="stable")
        return self

    def recommend(
        self, users: Ints, k: int, *, context: Context | None = None, exclude_seen: bool, allowed: Bools | None = None
    ) -> Ints:
        """Return the k best items of each user, best first: (users, k), padded with -1 if there are fewer.

        `context` holds for each feature the numbers of its values, (users,), -1 if it is missing; a user may occur more
        than once. `allowed`, (items,), marks the items that may be recommended; None: all. Raise InvalidArgumentError
        if the model needs a context that is not given.
        """
        ranked = np.full((len(users), k), -1, dtype=np.int64)
        size = max(1, BATCH // self._shape[1])
        for start in range(0, len(users), size):
            rows = slice(start, start + size)
            now = {feature: values[rows] for feature, values in (context or {}).items()}
            scores = self._score(users[rows], now)  # (batch, items)
            if exclude_seen:
                scores[self._seen[users[rows]].nonzero()] = -np.inf
            if allowed is not None:
                scores[:, ~allowed] = -np.inf
            best = ranking.top(np.take(scores, self._popular_first, axis=1), k)
            ranked[rows, : best.shape[1]] = np.where(best < 0, -1, self._popular_first[best])
        return ranked

    @abstractmethod
    def _score(self, users: Ints, context: Context) -> Scores:
        """Return new scores, (users, items)."""


@dataclass
class Popularity(Baseline):
    """Ranks items by their number of events."""

    def _score(self, users: Ints, context: Context) -> Scores:
        return np.tile(self._popularity.astype(np.float32), (len(users), 1))


@dataclass
class RecentPopularity(Popularity):
    """Ranks items by their number of events in the last days before the last event; future events do not count."""

    days: float = 7.0

    def fit(self, events: Events) -> Self:
        super().fit(events)
        past = events.at <= time.time() + DAY  # the events' times are local ones
        recent = past & (events.at > np.max(events.at[past], initial=-np.inf) - self.days * DAY)
        self._popularity = np.bincount(events.item[recent & (events.weight > 0)], minlength=self._shape[1])
        return self


@dataclass
class ContextPopularity(Baseline):
    """Ranks items by their number of events in the same context."""

    OWN: ClassVar[bool] = False  # whether it counts only the user's events
    feature: str | None = None  # None: the first that the events have

    def fit(self, events: Events) -> Self:
        super().fit(events)
        self._feature = self.feature or next(iter(events.context), "")
        if self._feature not in events.context:
            raise errors.InvalidArgumentError(f"Name a context that the events have: {', '.join(events.context)}.")
        events = events.select(events.weight > 0)
        given, values = events.context[self._feature], max(1, len(events.context_values[self._feature]))
        self._step = values if self.OWN else 0  # rows between one user and the next
        rows = (events.user * self._step + given)[given >= 0]
        self._table = _count(rows, events.item[given >= 0], (self._shape[0] * self._step or values, self._shape[1]))
        return self

    def _score(self, users: Ints, context: Context) -> Scores:
        if self._feature not in context:
            raise errors.InvalidArgumentError(f"This baseline needs the context {self._feature}.")
        given = context[self._feature]
        scores = np.asarray(self._table[users * self._step + np.maximum(given, 0)].toarray())
        scores[given < 0] = 0
        return scores


@dataclass
class OwnHistory(Baseline):
    """Ranks items by the user's number of events."""

    def _score(self, users: Ints, context: Context) -> Scores:
        return np.asarray(self._counts[users].toarray())


@dataclass
class OwnContextHistory(ContextPopularity):
    """Ranks items by the user's number of events in the same context, then in all contexts."""

    OWN: ClassVar[bool] = True

    def _score(self, users: Ints, context: Context) -> Scores:
        scores = super()._score(users, context).astype(np.float64)  # float32 counts only to 2^24
        scores *= self._counts.max() + 1
        scores += self._counts[users].toarray()
        return scores


@dataclass
class ItemKnn(Baseline):
    """Ranks items by the sum of their cosines to the user's items, over columns of zeros and ones.

    Sarwar et al., Item-based collaborative filtering recommendation algorithms, WWW 2001, §3.1.1.
    """

    GRID: ClassVar[Grid] = {"neighbours": (20, 100, 500, 2000)}
    neighbours: int = 100  # with the item itself

    def fit(self, events: Events) -> Self:
        super().fit(events)
        self._chosen = (self._counts > 0).astype(np.float32)  # (users, items)
        # As implicit's CosineRecommender, which would warn of its own matrix.
        lengths = np.sqrt(np.maximum(self._chosen.sum(axis=0, dtype=np.float64), 1))  # of the columns
        model = _implicit("nearest_neighbours").ItemItemRecommender(K=self.neighbours, num_threads=1)
        model.fit(sparse.csr_matrix(self._chosen / lengths[None, :]), show_progress=False)
        self._similarity = sparse.csr_array(model.similarity, dtype=np.float32)  # (items, items)
        return self

    def _score(self, users: Ints, context: Context) -> Scores:
        return np.asarray((self._chosen[users] @ self._similarity).toarray())


@dataclass
class Ease(Baseline):
    """A linear regression of each item on all others: Steck, Embarrassingly shallow autoencoders, WWW 2019, §3.1.

    Raise AisleError if the items' square matrix would be too large.
    """

    GRID: ClassVar[Grid] = {"regularisation": (10.0, 50.0, 200.0, 800.0)}
    regularisation: float = 200.0  # λ
    min_users: int = 1  # items of fewer users are left out, and score 0
    max_items: int = 20_000  # 4 bytes × items²: 1.6 GB

    def fit(self, events: Events) -> Self:
        super().fit(events)
        chosen = (self._counts > 0).astype(np.float32)
        self._kept = np.flatnonzero(chosen.sum(axis=0) >= max(1, self.min_users))
        items = len(self._kept)
        if items > self.max_items:
            raise errors.AisleError(
                f"EASE needs {4 * items**2 / 1e9:.1f} GB for {items:,} items.", hint="Raise min_users, or max_items."
            )
        self._chosen = chosen[:, self._kept]
        gram = (self._chosen.T @ self._chosen).toarray(order="F")
        gram[np.diag_indices(items)] += self.regularisation
        self._weights = _inverse(gram) if items else gram  # (kept items, kept items); P in the paper
        self._weights /= -np.diag(self._weights).copy()  # eq. 8: B_ij = -P_ij / P_jj, B_jj = 0
        np.fill_diagonal(self._weights, 0)
        return self

    def _score(self, users: Ints, context: Context) -> Scores:
        scores = np.zeros((len(users), self._shape[1]), dtype=np.float32)
        scores[:, self._kept] = self._chosen[users] @ self._weights
        return scores


@dataclass
class ImplicitAls(Baseline):
    """Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008, §4.

    The confidence in a user's item is `alpha` × the summed weights of the events (the paper adds 1), and 1 in any other
    item. Solved by conjugate gradients (Takács et al., RecSys 2011), on one thread for the seed's sake. Raise
    TrainingDataError if weights differ too much to solve for the vectors.
    """

    GRID: ClassVar[Grid] = {"factors": (64, 128), "regularisation": (30.0, 100.0), "alpha": (5.0, 20.0, 100.0)}
    factors: int = 64
    regularisation: float = 30.0
    alpha: float = 50.0
    iterations: int = 15
    seed: int = 0

    def fit(self, events: Events) -> Self:
        super().fit(events)
        als = _implicit("cpu.als")
        from threadpoolctl import threadpool_limits  # a dependency of implicit, which warns of BLAS threads

        weights = sparse.csr_matrix((events.weight, (events.user, events.item)), shape=self._shape, dtype=np.float32)
        weights.eliminate_zeros()
        with threadpool_limits(1, "blas"):
            model = als.AlternatingLeastSquares(self.factors, self.regularisation, self.alpha, random_state=self.seed)
            model.iterations, model.num_threads = self.iterations, 1
            try:
                model.fit(weights, show_progress=False)
            except _implicit("recommender_base").ModelFitError as error:
                raise errors.TrainingDataError(
                    f"The weights of the events, up to {events.weight.max():g}, differ too much to fit ials.",
                    hint="Attach a view with weights of similar size, such as their logarithms.",
                ) from error
        self.user_vectors, self.item_vectors = model.user_factors, model.item_factors  # (any, factors)
        return self

    def _score(self, users: Ints, context: Context) -> Scores:
        return np.asarray(self.user_vectors[users] @ self.item_vectors.T)


BASELINES: dict[str, type[Baseline]] = {
    "popularity": Popularity,
    "recent-popularity": RecentPopularity,
    "context-popularity": ContextPopularity,
    "own-history": OwnHistory,
    "own-context-history": OwnContextHistory,
    "item-knn": ItemKnn,
    "ease": Ease,
    "ials": ImplicitAls,
}


OF_IMPLICIT = ("item-knn", "ials")  # baselines that need the package


@dataclass(frozen=True)
class Trial:
    """Options and their recall@k on validation events."""

    options: dict[str, Any]
    recall: float


def tune(
    name: str,
    training: Events,
    validation: Events,
    *,
    k: int = 20,
    exclude_seen: bool = True,
    allowed: Bools | None = None,
    grid: Grid | None = None,
) -> list[Trial]:
    """Try every combination of the grid's options (None: the baseline's own grid); return the trials, best first.

    Each user is queried once, in the context of the first validation event. With one event a user, recall is hit rate.
    """
    users, first = np.unique(validation.user, return_index=True)
    context = {feature: values[first] for feature, values in validation.context.items()}
    relevant = [set(items.tolist()) for items in np.split(validation.item, first[1:])]
    grid = BASELINES[name].GRID if grid is None else grid
    trials = []
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        model = BASELINES[name](**options).fit(training)
        ranked = model.recommend(users, k, context=context, exclude_seen=exclude_seen, allowed=allowed)
        trials.append(Trial(options, float(ranking.measure(ranked, relevant, k).recall.mean())))
    return sorted(trials, key=lambda trial: -trial.recall)


def _count(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_array:
    places = rows.astype(np.int32), columns.astype(np.int32)  # implicit does not read int64
    return sparse.csr_array((np.ones(len(rows), dtype=np.float32), places), shape=shape)


def _inverse(matrix: Scores) -> Scores:
    """Return the inverse of a positive definite matrix, computed in place: two might not fit into memory."""
    factor, failed = linalg.lapack.spotrf(matrix, lower=True, overwrite_a=True, clean=False)
    if failed:
        raise errors.AisleError("EASE needs more regularisation.")
    inverse, _ = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    for row in range(len(inverse)):  # LAPACK computes only the lower triangle
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    return np.asarray(inverse.T)  # in row order, for products with sparse rows


def _implicit(module: str) -> Any:
    try:
        return importlib.import_module(f"implicit.{module}")
    except ImportError as error:
        raise errors.MissingExtraError(
            "This baseline needs implicit.", hint="Run: pip install '.[baselines]'"
        ) from error
