"""Validates a recommender's factors on held-out events, and fits there the weights of popularity and repetition."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from aisle.trainers.recommender.events import Events, Floats
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import ANY_LENGTH, Factors, Pairs, Queries, Repeat

REPEAT_CELLS = 20_000_000  # (transitions, items) to fit the repeat coefficients on
POPULARITY = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13)  # exponents to try


class Scored(Protocol):
    """A model that scores all items."""

    def scores(self, queries: Queries, *, repeat: bool = False) -> Floats:
        """Return scores, (queries, items), with or without the repeat term."""


@dataclass(frozen=True)
class Measured:
    """How good the answers to validation queries are."""

    recall: npt.NDArray[np.float64]  # (queries,)
    ndcg: npt.NDArray[np.float64]  # (queries,)

    @property
    def merit(self) -> float:
        """The mean of recall and NDCG, by which settings are compared: on few queries, recall alone is coarse."""
        return float(self.recall.mean() + self.ndcg.mean()) / 2

    @classmethod
    def of(cls, hits: npt.NDArray[np.float64], wanted: npt.NDArray[np.int64]) -> "Measured":
        """Measure hits, (queries, k), best first, of as many `wanted` items; see ranking.measure()."""
        discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
        ideal = np.cumsum(discounts)[np.clip(wanted, 1, hits.shape[1]) - 1]
        return cls(hits.sum(1) / wanted, hits @ discounts / ideal)


def measure(
    scores: Callable[[Queries], Floats], queries: Queries, truth: sparse.csr_array, options: TowerOptions
) -> Measured:
    """Measure the best `evaluate_at` items of each query against its true items, (queries, items)."""
    found: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(queries), options.batch_size):
        batch, true = queries[start : start + options.batch_size], truth[start : start + options.batch_size]
        given = torch.from_numpy(scores(batch))
        if options.exclude_seen:
            query, _, row = batch.histories(ANY_LENGTH, distinct=True)
            given[query, batch.events.item[row]] = -torch.inf
        best = given.topk(min(options.evaluate_at, given.shape[1])).indices.numpy()  # (batch, k)
        hits = true[np.repeat(np.arange(len(batch)), best.shape[1]), best.ravel()].reshape(best.shape)
        found.append(np.asarray(hits, dtype=np.float64))
    return Measured.of(np.concatenate(found), np.diff(truth.indptr))


def recall(factors: Scored, queries: Queries, truth: sparse.csr_array, options: TowerOptions) -> float:
    """Return the mean share of a query's true items, (queries, items), among its best `evaluate_at`."""
    found = measure(partial(factors.scores, repeat=not options.exclude_seen), queries, truth, options)
    return float(found.recall.mean())


def validate(
    factors: Factors, events: Events, validation: Events, options: TowerOptions, seed: int
) -> tuple[float, Repeat]:
    """Return the recall of factors on validation events with the fitted repeat term, and that term.

    Without such events the recall is 0.
    """
    if not len(validation):
        return 0.0, factors.repeat
    test = Questions.of(events, validation, options, seed)
    factors = replace(factors, repeat=learn_repeat(factors, test, options))
    return recall(factors, test.queries, test.truth, options), factors.repeat


def learn_popularity(factors: Factors, events: Events, test: "Questions | None", options: TowerOptions) -> float:
    """Return the popularity exponent of the best validation recall; 0 if lengths or repeats are learned."""
    if test is None or not options.cosine or not options.exclude_seen:
        return 0.0
    some = slice(0, options.evaluated // 2)
    found = {
        exponent: recall(factors.lengthened(events, exponent), test.queries[some], test.truth[some], options)
        for exponent in POPULARITY
    }
    return max(found, key=lambda exponent: found[exponent])


def learn_repeat(factors: Scored, test: "Questions | None", options: TowerOptions) -> Repeat:
    """Fit the repeat coefficients by soft-max regression on held-out transitions; the scores stay fixed.

    The scale of the scores is fitted with them and divided out.
    """
    if test is None or options.exclude_seen:
        return Repeat()
    rows = slice(0, max(200, REPEAT_CELLS // len(test.queries.events.items)))
    queries, truth = test.queries[rows], test.truth[rows]
    scores = torch.from_numpy(factors.scores(queries))  # (transitions, items)
    features = [name for name in options.features if name in queries.events.context]
    pairs = Pairs.of(queries, features)
    counts = [np.ones(len(pairs.query)), np.log1p(pairs.count), *(np.log1p(n) for n in pairs.context.values())]
    counted = torch.from_numpy(np.stack(counts, axis=1).astype(np.float32))  # (pairs, coefficients)
    query, item, pair = (torch.from_numpy(x) for x in (pairs.query, pairs.item, pairs.pair))
    position = torch.from_numpy(pairs.position).float()
    targets = truth.tocoo()
    line, column = (torch.from_numpy(x.astype(np.int64)) for x in targets.coords)

    coefficients = torch.zeros(counted.shape[1], requires_grad=True)
    recent, log_decay, log_scale = (torch.tensor(x, requires_grad=True) for x in (0.0, -2.0, 0.0))
    learned = [coefficients, recent, log_decay, log_scale]
    optimiser = torch.optim.LBFGS(learned, max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        decayed = torch.zeros(len(query)).index_add(0, pair, torch.exp(-log_decay.exp() * position))
        added = counted @ coefficients + recent * torch.log1p(decayed)
        logits = (scores * log_scale.exp()).index_put((query, item), added, accumulate=True)
        loss = F.cross_entropy(logits[line], column) + 1e-4 * sum(x.square().sum() for x in learned)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    scale = float(log_scale.detach().exp().clamp(min=1e-3))
    a, b, *d = (coefficients.detach() / scale).tolist()
    return Repeat(
        a, b, float(recent.detach()) / scale, float(log_decay.detach().exp()), dict(zip(features, d, strict=True))
    )


@dataclass(frozen=True)
class Questions:
    """Held-out events as queries, with the true items."""

    queries: Queries
    truth: sparse.csr_array  # (queries, items)

    @classmethod
    def of(cls, events: Events, held_out: Events, options: TowerOptions, seed: int) -> "Questions":
        """Return one query for each user if events are unordered, else one for each held-out event."""
        if options.order == "set":
            users, query = np.unique(held_out.user, return_inverse=True)
            queries = Queries.of_users(events, users)
        else:
            query = np.arange(len(held_out))
            queries = Queries.of_users(events, held_out.user, held_out.context)
        shape = (len(queries), len(events.items))
        truth = sparse.csr_array((np.ones(len(held_out)), (query, held_out.item)), shape=shape)
        truth.data[:] = 1
        kept = np.random.default_rng(seed).permutation(len(queries))[: options.evaluated]
        return cls(queries[kept], truth[kept])

    def first(self, queries: int) -> "Questions":
        """Return the first queries; their order is random."""
        return Questions(self.queries[slice(0, queries)], self.truth[:queries])
