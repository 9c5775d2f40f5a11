"""Links between items: what follows an item, and what is beside it. Linear, in closed form, without a seed.

    score(u, j) = Σ_p exp(-p / decay) B[i_p, j]        i_0 is the user's latest event, i_1 the one before, …

B is a ridge regression, B = (G + λI)⁻¹ R, where G holds products of sources and R products of sources and targets:

- `after`: each place t of a user's sequence is a row; its source is the past, in which an event of age a weighs
  exp(-a / PAST), its target the future, in which the event at distance b weighs exp(-b / FUTURE) (the idea of SLIST:
  Choi et al., WWW 2021, §3.2). If seen items are not recommended, the sequence has each item once, at its first event.
- `beside`: each user is a row of zeros and ones, source and target alike, and no item is its own source (EASE: Steck,
  WWW 2019, §3.1). A neighbourhood of items with places can be one more user.

No n × n matrix is made: G and R are sparse, and each target is regressed only on the K sources that go with it most
often, one K × K system an item.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy import sparse

from aisle.trainers.recommender.events import Events, Floats, Ints
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import ANY_LENGTH, Queries
from aisle.trainers.recommender.validation import Questions, measure

KINDS = ("after", "beside")
PAST, FUTURE = 4.0, 0.5  # events, decays of the regression's past and future
REACH = 5.0  # decays; beyond, an event counts nothing
CELLS = 50_000_000  # numbers of the systems in memory at once
# Values to try.
RIDGES = (50.0, 20.0, 100.0, 300.0, 1000.0)  # λ
SOURCES, MORE_SOURCES = 50, (100, 200, 400, 800)  # K
DECAYS = {"after": (4.0, 16.0, 64.0), "beside": (math.inf, 4.0, 16.0, 64.0)}
KEPT = (50, 100, 200, 400)
QUERIES = 2_500  # validation queries
GAIN = 1.01  # times as good must be what costs more
LOSS = 0.97  # times as good may be what costs less
WORK = 600_000_000  # numbers of all systems together; more sources would take minutes


@dataclass(frozen=True)
class Links:
    """Weights from item to item, and how much a user's events count."""

    weights: sparse.csr_array  # (items, items), row: source, column: target
    decay: float = math.inf  # the event at place p, 0: the latest, counts exp(-p / decay)

    @property
    def history(self) -> int:
        """Number of a user's last events that count."""
        return ANY_LENGTH if math.isinf(self.decay) else min(ANY_LENGTH, math.ceil(REACH * self.decay))

    def scores(self, queries: Queries, *, distinct: bool) -> Floats:
        """Return scores, (queries, items). With `distinct`, an item counts at its latest event only."""
        query, position, row = queries.histories(self.history, distinct=distinct)
        shape = (len(queries), len(queries.events.items))
        sources = (query, queries.events.item[row])
        past = sparse.csr_array((np.exp(-position / self.decay).astype(np.float32), sources), shape=shape)
        return np.asarray((past @ self.weights).toarray(), dtype=np.float32)

    def pruned(self, kept: int) -> "Links":
        """Return the links with the `kept` largest weights of each source."""
        w = self.weights
        rows = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
        order = np.lexsort((-np.abs(w.data), rows))
        chosen = np.sort(order[np.arange(len(rows)) - w.indptr[rows] < kept])
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[chosen], minlength=w.shape[0]))])
        return replace(self, weights=sparse.csr_array((w.data[chosen], w.indices[chosen], indptr), shape=w.shape))

    def scaled(self, weight: float) -> "Links":
        """Return the links with each weight multiplied."""
        return replace(self, weights=self.weights * np.float32(weight))


@dataclass(frozen=True)
class Setting:
    """The hyper-parameters that validation chooses."""

    ridge: float  # λ
    sources: int  # K
    decay: float
    kept: int | None = None  # weights of a source; None: all
    near: bool = False  # whether items nearby are beside each other


def fit(kind: str, events: Events, setting: Setting, *, exclude_seen: bool) -> Links:
    """Fit links of a kind on `events`."""
    (weights,) = solve(_moments(kind, events, setting.near, exclude_seen), [setting.ridge], setting.sources)
    links = Links(weights, setting.decay)
    return links if setting.kept is None else links.pruned(setting.kept)


def tune(kind: str, events: Events, test: Questions | None, options: TowerOptions) -> tuple[Setting, Links]:
    """Try settings one after the other on validation queries; return the best, and its links.

    What costs more, as more sources do, must be better by GAIN; what costs less may be worse by LOSS. Without queries,
    the first setting is the best.
    """
    if test is None:
        first = Setting(RIDGES[0], SOURCES, DECAYS[kind][0])
        return first, fit(kind, events, first, exclude_seen=options.exclude_seen)
    test = test.first(QUERIES)

    def merit(links: Links) -> float:
        scores = partial(links.scores, distinct=options.exclude_seen)
        return measure(scores, test.queries, test.truth, options).merit

    decays = DECAYS[kind]
    best, links, found = Setting(RIDGES[0], SOURCES, decays[0]), Links(sparse.csr_array((0, 0))), -1.0
    for near in (False, True)[: 1 + (kind == "beside" and events.neighbourhoods.nnz > 0)]:
        moments = _moments(kind, events, near, options.exclude_seen)
        for ridge, weights in zip(RIDGES, solve(moments, RIDGES, SOURCES), strict=True):
            new = Links(weights, decays[0])
            if (now := merit(new)) > found:
                best, links, found = replace(best, ridge=ridge, near=near), new, now
    for decay in decays[1:]:
        new = replace(links, decay=decay)
        if (now := merit(new)) > found:
            best, links, found = replace(best, decay=decay), new, now
    moments = _moments(kind, events, best.near, options.exclude_seen)
    most = np.diff(sparse.csc_array(moments.right).indptr)  # (items,), sources of each target
    for k in MORE_SOURCES:
        work = (np.minimum(most, k).astype(np.float64) ** 2).sum()
        if k >= 2 * most.max(initial=0) or (work > WORK and k > MORE_SOURCES[0]):
            break
        new = Links(solve(moments, [best.ridge], k)[0], best.decay)
        if (now := merit(new)) < found * GAIN:
            break
        best, links, found = replace(best, sources=k), new, now
    for kept in KEPT:
        if kept < np.diff(links.weights.indptr).max(initial=0) and merit(new := links.pruned(kept)) >= LOSS * found:
            return replace(best, kept=kept), new
    return best, links


def _moments(kind: str, events: Events, near: bool, exclude_seen: bool) -> "Moments":
    if kind == "after":
        return after(events.select(events.first()) if exclude_seen else events)
    return beside(events.with_neighbourhoods() if near else events)


@dataclass(frozen=True)
class Moments:
    """The sums of a regression: all that a fit needs of the events."""

    gram: sparse.csr_array  # (items, items), G
    right: sparse.csr_array  # (items, items), R; row: source, column: target


def after(events: Events, past: float = PAST, future: float = FUTURE) -> Moments:
    """Return the sums of what comes before and what comes after.

    The rows of a user's sequence are summed in closed form, so that only pairs of events are counted: a pair is in the
    past of all later rows, where its weight falls by exp(-2 / past) a row. An event of weight 0 is no target.
    """
    stops = np.searchsorted(events.user, events.user, side="right")
    fall = math.exp(-2 / past)
    later = (1 - fall ** (stops - 1 - np.arange(len(events)))) / (1 - fall)  # (events,), Σ over the later rows
    n = len(events.items)
    gram, right = (sparse.csr_array((n, n), dtype=np.float32) for _ in range(2))
    for gaps in _batches(range(1, math.ceil(REACH * past) + 1), CELLS // 4 // max(1, len(events))):
        pairs = [np.flatnonzero(events.user[gap:] == events.user[:-gap]) + gap for gap in gaps]
        target = np.concatenate(pairs)  # the later event
        gap = np.repeat(gaps, [len(pair) for pair in pairs])
        places = events.item[target - gap].astype(np.int32), events.item[target].astype(np.int32)
        both = np.exp(-gap / past) * later[target]
        steps = [np.exp(-np.arange(g) / past - np.arange(g)[::-1] / future).sum() for g in range(max(gaps) + 1)]
        follows = np.array(steps)[gap] * events.weight[target]
        gram += sparse.csr_array((both.astype(np.float32), places), shape=(n, n))
        right += sparse.csr_array((follows.astype(np.float32), places), shape=(n, n))
    own = sparse.diags_array(np.bincount(events.item, later, minlength=n).astype(np.float32), format="csr")
    right.eliminate_zeros()
    return Moments(sparse.csr_array(gram + gram.T + own), right)


def beside(events: Events) -> Moments:
    """Return the sums of what the same users have, among the last ANY_LENGTH events of each.

    A target is the largest weight of the user's events with the item.
    """
    stops = np.searchsorted(events.user, events.user, side="right")
    events = events.select(stops - np.arange(len(events)) <= ANY_LENGTH)
    shape = (len(events.user_ids), len(events.items))
    pairs, pair = np.unique(events.user * shape[1] + events.item, return_inverse=True)
    weight = np.zeros(len(pairs), dtype=np.float32)
    np.maximum.at(weight, pair, events.weight)
    places = pairs // shape[1], pairs % shape[1]
    source = sparse.csr_array((np.ones(len(pairs), dtype=np.float32), places), shape=shape)
    target = sparse.csr_array((weight, places), shape=shape)
    gram = sparse.csr_array(source.T @ source)
    right = gram.copy() if (weight == 1).all() else sparse.csr_array(source.T @ target)
    right.setdiag(0)
    right.eliminate_zeros()
    return Moments(gram, right)


def solve(moments: Moments, ridges: Sequence[float], k: int) -> list[sparse.csr_array]:
    """Return B, (items, items), for each λ: each column is solved on its `k` best sources.

    Best are those with the largest R[i, j] / √(G[i, i] + λ); all λ share the sources of the first.
    """
    n = moments.gram.shape[0]
    own = moments.gram.diagonal()
    sources, rights, sizes = _best_sources(moments.right, np.sqrt(own + ridges[0]), k)
    found: list[list[Floats]] = [[] for _ in ridges]
    places: list[tuple[Ints, Ints]] = []
    order = np.argsort(-sizes, kind="stable")  # systems of one size together
    order = order[sizes[order] > 0]
    start = 0
    while start < len(order):
        size = int(sizes[order[start]])
        chosen = order[start : start + max(1, CELLS // size**2)]
        start += len(chosen)
        used, right = sources[chosen, :size], torch.from_numpy(rights[chosen, :size])  # (systems, size)
        systems = _systems(moments.gram, used)
        is_source = used >= 0
        row, column = used[is_source], np.broadcast_to(chosen[:, None], used.shape)[is_source]
        places.append((row, column))
        for number, ridge in enumerate(ridges):
            systems.diagonal(dim1=1, dim2=2).add_(ridge - (ridges[number - 1] if number else 0.0))
            factor, failed = torch.linalg.cholesky_ex(systems)
            weights = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
            if (odd := failed > 0).any():  # counts of millions are too coarse for float32
                weights[odd] = torch.linalg.solve(systems[odd].double(), right[odd].double()).float()
            found[number].append(weights.numpy()[is_source])
    if not places:
        return [sparse.csr_array((n, n), dtype=np.float32) for _ in ridges]
    where = tuple(np.concatenate(axis).astype(np.int32) for axis in zip(*places, strict=True))
    return [sparse.csr_array((np.concatenate(values), where), shape=(n, n)) for values in found]


def _best_sources(right: sparse.csr_array, scale: Floats, k: int) -> tuple[Ints, Floats, Ints]:
    """Return the best sources of each target, -1: none, and their R, (items, k) each; and their number, (items,)."""
    columns = sparse.csc_array(right)
    sizes = np.minimum(np.diff(columns.indptr), k)
    k = int(sizes.max(initial=0))
    sources = np.full((right.shape[0], k), -1, dtype=np.int32)
    rights = np.zeros(sources.shape, dtype=np.float32)
    merit = columns.data / scale[columns.indices]
    for target in np.flatnonzero(sizes):
        start, stop = columns.indptr[target : target + 2]
        best = np.arange(start, stop)
        if stop - start > k:
            best = start + np.sort(np.argpartition(-merit[start:stop], k - 1)[:k])
        sources[target, : len(best)], rights[target, : len(best)] = columns.indices[best], columns.data[best]
    return sources, rights, sizes


def _systems(gram: sparse.csr_array, sources: Ints) -> torch.Tensor:
    """Return the rows and columns of G at each target's sources, (targets, k, k).

    A missing source has a row of its own. One row of G at a time is made dense: reading from it is many times faster
    than searching in a sparse one.
    """
    targets, k = sources.shape
    n = gram.shape[1]
    columns = np.where(sources < 0, n, sources).astype(np.int64)  # n: always zero
    systems = np.zeros((targets * k, k), dtype=np.float32)
    flat = sources.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[np.searchsorted(flat[order], 0) :]
    rows, starts = np.unique(flat[order], return_index=True)
    dense = np.zeros(n + 1, dtype=np.float32)
    for row, at in zip(rows, np.split(order, starts[1:]), strict=True):
        there = slice(*gram.indptr[row : row + 2])
        dense[gram.indices[there]] = gram.data[there]
        systems[at] = dense.take(columns[at // k])
        dense[gram.indices[there]] = 0
    systems = systems.reshape(targets, k, k)
    systems[:, np.arange(k), np.arange(k)] += sources < 0
    return torch.from_numpy(systems)


def _batches(values: Sequence[int], size: int) -> Iterator[list[int]]:
    rest = iter(values)
    while batch := list(itertools.islice(rest, max(1, size))):
        yield batch
