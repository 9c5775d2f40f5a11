"""The recommender's two towers, in the form that SQL evaluates exactly.

    score(u, i) = ⟨u, q_i⟩
    u           = constant + e_user + (Σ_{r=1..n} w_r p_{j_r}) / n^exponent + Σ_f e_{f, value}

j_1 is the user's latest event, n = min(events, length of `recency`), p an item's "into" vector and q its "out" vector.
If seen items are not recommended, each item counts once, at its latest event. q's length is a power of the item's
popularity, or free with a bias (cosine=False). If seen items may be recommended again, `Repeat` adds a term of the
user's own events. trainers/recommender/fit_towers.py learns all this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from aisle.embedder.item_tower import ItemTower, content
from aisle.trainers.recommender.events import Events, Floats, Ints
from aisle.trainers.recommender.options import LONGEST_HISTORY

ANY_LENGTH = LONGEST_HISTORY  # events; no longer history is read


@dataclass(frozen=True)
class Queries:
    """Queries for users: query k's history is rows start[k]..stop[k] of `events`, the latest last."""

    events: Events
    user: Ints  # (queries,), -1: unknown
    start: Ints  # (queries,)
    stop: Ints  # (queries,)
    context: Mapping[str, Ints]  # feature → (queries,), -1: missing

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def of_users(cls, events: Events, users: Ints, context: Mapping[str, Ints] | None = None) -> "Queries":
        """Return a query for each user, with all of their events as history."""
        start, stop = np.searchsorted(events.user, users), np.searchsorted(events.user, users, side="right")
        return cls(events, users, start, stop, context or {})

    @classmethod
    def of_events(cls, events: Events, rows: Ints) -> "Queries":
        """Return a query for each of these events, in its context, with the user's earlier ones as history."""
        users = events.user[rows]
        context = {name: values[rows] for name, values in events.context.items()}
        return cls(events, users, np.searchsorted(events.user, users), rows, context)

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> "Queries":
        context = {name: values[rows] for name, values in self.context.items()}
        return replace(self, user=self.user[rows], start=self.start[rows], stop=self.stop[rows], context=context)

    def histories(self, limit: int, *, distinct: bool) -> tuple[Ints, Ints, Ints]:
        """Return (query, position, row of `events`) of all histories; position 0 is the latest event.

        With `distinct`, an item counts only at its latest event, among the last ANY_LENGTH.
        """
        lengths = np.minimum(self.stop - self.start, ANY_LENGTH if distinct else limit)
        query = np.repeat(np.arange(len(self)), lengths)
        row = self.stop[query] - 1 - places(query, len(self))
        if distinct:
            latest = np.unique(query * len(self.events.items) + self.events.item[row], return_index=True)[1]
            latest.sort()
            query, row = query[latest], row[latest]
        position = places(query, len(self))
        near = position < limit
        return query[near], position[near], row[near]


def places(query: Ints, queries: int) -> Ints:
    """Number the rows of each query from 0; `query` is sorted."""
    lengths = np.bincount(query, minlength=queries)
    return np.arange(len(query)) - (np.cumsum(lengths) - lengths)[query]


@dataclass(frozen=True)
class Repeat:
    """The repeat term: what a user's own last ANY_LENGTH events add to the score of a seen item.

    a + b log(1 + n_i) + c log(1 + Σ_j exp(-λ (position_j - 1))) + Σ_f d_f log(1 + n_{i,f}), for items of the history
    only. n_i is the number of i's events, position_j the place of one (1 = latest), n_{i,f} their number under the
    query's value of f.
    """

    constant: float = 0.0  # a
    count: float = 0.0  # b
    recent: float = 0.0  # c
    decay: float = 0.1  # λ
    context: Mapping[str, float] = field(default_factory=dict)  # feature → d_f

    def scores(self, queries: Queries) -> tuple[Ints, Ints, Floats]:
        """Return (query, item, repeat term)."""
        pairs = Pairs.of(queries, tuple(self.context))
        added = np.full(len(pairs.query), self.constant, dtype=np.float64)
        added += self.count * np.log1p(pairs.count) + self.recent * np.log1p(pairs.recent(self.decay))
        for name, n in pairs.context.items():
            added += self.context[name] * np.log1p(n)
        return pairs.query, pairs.item, added.astype(np.float32)


@dataclass(frozen=True)
class Pairs:
    """The distinct items of each history, and their counts."""

    query: Ints  # (pairs,)
    item: Ints  # (pairs,)
    count: npt.NDArray[np.float64]  # (pairs,)
    context: dict[str, npt.NDArray[np.float64]]  # feature → (pairs,)
    pair: Ints  # (events,), the pair of each event
    position: Ints  # (events,)

    @classmethod
    def of(cls, queries: Queries, features: Sequence[str]) -> "Pairs":
        query, position, row = queries.histories(ANY_LENGTH, distinct=False)
        items = len(queries.events.items)
        keys, pair = np.unique(query * items + queries.events.item[row], return_inverse=True)
        context = {}
        for name in features:
            value = queries.context[name][query] if name in queries.context else np.full(len(query), -1)
            same = (queries.events.context[name][row] == value) & (value >= 0)
            context[name] = np.bincount(pair, weights=same, minlength=len(keys)).astype(np.float64)
        count = np.bincount(pair, minlength=len(keys)).astype(np.float64)
        return cls(keys // items, keys % items, count, context, pair, position)

    def recent(self, decay: float) -> npt.NDArray[np.float64]:
        return np.bincount(self.pair, np.exp(-decay * self.position), len(self.query)).astype(np.float64)


@dataclass(frozen=True)
class Factors:
    """The tables for serving, all with the same last axis d, and facts about the fit."""

    constant: Floats  # (d,)
    users: Floats  # (users, d), zeros without the user feature
    into: Floats  # (items, d), p
    out: Floats  # (items, d), q
    context: Mapping[str, Floats]  # feature → (values, d)
    context_values: Mapping[str, Sequence[str]]  # feature → its values
    recency: Floats  # (history,), w
    exponent: float
    popularity: float  # exponent: q's length is (1 + the item's events)^popularity, unless lengths are free
    repeat: Repeat
    towers: Sequence[ItemTower]  # one a member
    epochs_run: int  # the best epoch
    validation: Sequence[float]  # recall at each evaluation
    learned: Sequence[Mapping[str, Floats]]  # one a member: its parameters by name, without the users' vectors
    distinct: bool = False  # whether an item counts once in a history
    kind: str = "towers"  # or 'ials'
    tried: Mapping[str, float] = field(default_factory=dict)  # kind → recall on validation

    def user_vector(
        self, user: int | None, recent_items: Sequence[int], context: Mapping[str, str | int] | None = None
    ) -> Floats:
        """Return u, (d,), of one user; `recent_items` has the latest first. Tests compare SQL with it."""
        vector = self.constant.copy()
        if user is not None and user >= 0:
            vector += self.users[user]
        items = list(recent_items)[:ANY_LENGTH]
        items = (list(dict.fromkeys(items)) if self.distinct else items)[: len(self.recency)]
        if items:
            vector += self.recency[: len(items)] @ self.into[items] / len(items) ** self.exponent
        for name, value in (context or {}).items():
            known = self.context_values.get(name, ())
            row = value if isinstance(value, int) else (known.index(value) if value in known else -1)
            if name in self.context and row >= 0:
                vector += self.context[name][row]
        return vector

    def user_vectors(self, queries: Queries) -> Floats:
        """Return u, (queries, d)."""
        query, position, row = queries.histories(len(self.recency), distinct=self.distinct)
        n = np.maximum(np.bincount(query, minlength=len(queries)), 1)
        weights = self.recency[position] / n[query].astype(np.float32) ** self.exponent
        mix = sparse.csr_array(
            (weights, (query, queries.events.item[row])), shape=(len(queries), len(self.into)), dtype=np.float32
        )
        vectors: Floats = (self.constant + mix @ self.into).astype(np.float32)
        for values, table in [(queries.user, self.users)] + [
            (queries.context[name], table) for name, table in self.context.items() if name in queries.context
        ]:
            known = np.flatnonzero(values >= 0)
            vectors[known] += table[values[known]]
        return vectors

    def scores(self, queries: Queries, *, repeat: bool = False) -> Floats:
        """Return scores, (queries, items), with or without the repeat term."""
        scores = self.user_vectors(queries) @ self.out.T
        if repeat:
            query, item, added = self.repeat.scores(queries)
            scores[query, item] += added
        return np.asarray(scores, dtype=np.float32)

    def lengthened(self, events: Events, popularity: float) -> "Factors":
        """Return the factors with q multiplied by (1 + events)^popularity; an item without events keeps its q."""
        counts = np.bincount(events.item, events.weight > 0, minlength=len(self.out))
        lengths = ((1 + counts) ** popularity).astype(np.float32)
        return replace(self, out=self.out * lengths[:, None], popularity=popularity)

    def content(self, categories: Sequence[Sequence[str] | None], texts: Floats | None) -> tuple[Floats, Floats]:
        """Return (into, out) of items added after training, (items, d) each."""
        return content(self.towers, categories, texts)


def ones(rows: Sequence[Sequence[int]], columns: int) -> sparse.csr_array:
    """Return the matrix, (rows, columns), with ones in these columns of each row."""
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([column for row in rows for column in row], dtype=np.int64)
    return sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(rows), columns))
