"""Measures rankings of all items, not of a sample, and tests whether one is better than another."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle.db import errors

SAMPLES = 10_000  # of the bootstrap
LEVEL = 0.05  # a difference with a smaller p is significant
CHUNK = 4_000_000  # numbers drawn at once
PADDING = -1

Array = npt.NDArray[np.float64]
Ranked = npt.NDArray[np.int64] | Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Measures:
    """The metrics of each user, in the order of the rankings."""

    k: int
    recall: Array  # (users,), share of the relevant items that are among the first k
    hit: Array  # (users,), 1 if at least one is
    ndcg: Array  # (users,)

    def means(self) -> dict[str, float]:
        """Return the means over users, by names such as `recall@20`."""
        return {f"{name}@{self.k}": float(np.mean(getattr(self, name))) for name in ("recall", "hit", "ndcg")}


@dataclass(frozen=True)
class BasketMeasures(Measures):
    """The metrics of predicted orders."""

    ndcg_whole: Array  # (users,), divided by the ideal over the whole order, even if that has more than k items
    precision: Array  # (users,)
    f1: Array  # (users,)
    repeat_recall: Array  # (users,), of items bought before; NaN if the order has none
    explore_recall: Array  # (users,), of items new to the customer; NaN if the order has none
    f1_micro: float  # over all pairs of a customer and an item

    def means(self) -> dict[str, float]:
        """Return the means over users, by names such as `recall@20`; `phr` is the mean of `hit`."""
        names = ("recall", "ndcg", "ndcg_whole", "precision", "f1", "repeat_recall", "explore_recall")
        means = {f"{name}@{self.k}": _mean(getattr(self, name)) for name in names}
        return {**means, f"phr@{self.k}": float(np.mean(self.hit)), f"f1_micro@{self.k}": self.f1_micro}


@dataclass(frozen=True)
class Comparison:
    """The mean difference of two paired lists of numbers."""

    difference: float
    low: float  # with `high`, a confidence interval of level 1 - LEVEL
    high: float
    p: float  # two-sided
    users: int


def top(scores: npt.NDArray[np.floating[Any]], k: int) -> npt.NDArray[np.int64]:
    """Return the columns of each row's k best scores, best first; of equal scores, the first column first.

    The result is (rows, min(k, columns)), padded with -1: columns with a score of -∞ are left out.
    """
    rows, columns = scores.shape
    k = min(k, columns)
    worst = np.partition(scores, columns - k, axis=1)[:, columns - k, None]  # the k-th best of each row
    better, equal = scores > worst, scores == worst
    chosen = better | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= k - better.sum(axis=1, keepdims=True)))
    best = np.nonzero(chosen)[1].reshape(rows, k)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(np.isneginf(values), PADDING, best)


def measure(ranked: Ranked, relevant: Sequence[Collection[Any]], k: int) -> Measures:
    """Measure the first k of each user's ranked items, best first; a two-dimensional array may be padded with -1.

    NDCG has binary gains and is divided by the ideal over min(k, |relevant|) places (Järvelin and Kekäläinen, 2002, as
    LightGCN uses it: He et al., SIGIR 2020, §4.1). Recall is divided by |relevant|, even if that is more than k. Raise
    InvalidArgumentError if a user has no relevant item or an item is ranked twice.
    """
    if k < 1 or len(ranked) != len(relevant) or not len(ranked):
        raise errors.InvalidArgumentError(
            "Measuring needs k of 1 or more, and relevant items for each of the rankings."
        )
    hits = np.zeros((len(ranked), k))
    for user, (items, wanted) in enumerate(zip(ranked, map(set, relevant), strict=True)):
        first = items[:k].tolist() if isinstance(items, np.ndarray) else list(items[:k])
        if not wanted:
            raise errors.InvalidArgumentError(f"The user in place {user} has no relevant item; leave such users out.")
        if len(set(first) - {PADDING}) + first.count(PADDING) != len(first):
            raise errors.InvalidArgumentError(f"The ranking in place {user} has an item twice.")
        hits[user, : len(first)] = [item in wanted for item in first]

    sizes = np.array([len(set(items)) for items in relevant])
    discounts = 1 / np.log2(np.arange(2, k + 2))  # (k,)
    ideal = np.cumsum(discounts)[np.minimum(sizes, k) - 1]  # (users,)
    return Measures(k, hits.sum(axis=1) / sizes, hits.max(axis=1), hits @ discounts / ideal)


def measure_baskets(
    ranked: Sequence[Sequence[Any]], relevant: Sequence[Collection[Any]], seen: Sequence[Collection[Any]], k: int
) -> BasketMeasures:
    """Measure the first k of each customer's ranked items against the next order; `seen` are the items bought before.

    Recall is also split into items bought before and new items, each over the customers who ordered any (as in Li et
    al., A next basket recommendation reality check, TOIS 2023, §3.4).
    """
    base = measure(ranked, relevant, k)
    sizes = np.array([len(set(items)) for items in relevant])
    hits = base.recall * sizes
    given = np.array([min(len(items), k) for items in ranked])
    discounts = np.cumsum(1 / np.log2(np.arange(2, max(k, int(sizes.max())) + 2)))
    whole = base.ndcg * discounts[np.minimum(sizes, k) - 1] / discounts[sizes - 1]
    parts = np.full((2, len(ranked)), np.nan)
    for user, (items, wanted, known) in enumerate(zip(ranked, map(set, relevant), map(set, seen), strict=True)):
        first = set(items[:k])
        for part, these in enumerate((wanted & known, wanted - known)):
            if these:
                parts[part, user] = len(these & first) / len(these)
    return BasketMeasures(
        k=k,
        recall=base.recall,
        hit=base.hit,
        ndcg=base.ndcg,
        ndcg_whole=whole,
        precision=hits / np.maximum(given, 1),
        f1=2 * hits / (given + sizes),
        repeat_recall=parts[0],
        explore_recall=parts[1],
        f1_micro=float(2 * hits.sum() / (given.sum() + sizes.sum())),
    )


def measure_sets(answered: Sequence[Collection[Any]], relevant: Sequence[Collection[Any]]) -> dict[str, float]:
    """Measure sets of any size: mean F1 of a customer, F1 over all pairs, and mean size."""
    hits = np.array([len(set(a) & set(r)) for a, r in zip(answered, relevant, strict=True)])
    sizes = np.array([len(set(a)) for a in answered]), np.array([len(set(r)) for r in relevant])
    both = sizes[0] + sizes[1]
    return {
        "f1": float(np.mean(2 * hits / both)),
        "f1_micro": float(2 * hits.sum() / both.sum()),
        "size": float(sizes[0].mean()),
    }


def compare(ours: Array, theirs: Array, *, samples: int = SAMPLES, seed: int = 0) -> Comparison:
    """Compare two lists of numbers about the same users, (users,) each, by a paired bootstrap over users.

    p is the share of resamples of the centred differences whose mean is as far from 0 as the observed mean (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, §16.4), with 1 added above and below so that it is never 0
    (Davison and Hinkley, 1997, §4.2). The interval is the percentile interval (§13.3 of the former).
    """
    if ours.shape != theirs.shape or ours.ndim != 1 or not len(ours):
        raise errors.InvalidArgumentError("A paired comparison needs one number a user on both sides.")
    differences = np.asarray(ours, dtype=np.float64) - theirs
    users, mean = len(differences), float(differences.mean())
    random, means = np.random.default_rng(seed), np.empty(samples)
    step = max(1, CHUNK // users)
    for start in range(0, samples, step):
        chosen = random.integers(users, size=(min(step, samples - start), users))  # (resamples, users)
        means[start : start + step] = differences[chosen].mean(axis=1)
    # The tolerance makes equal sums equal if they round differently.
    as_far = int(np.sum(np.abs(means - mean) >= abs(mean) - 1e-12))
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    return Comparison(mean, float(low), float(high), (as_far + 1) / (samples + 1), users)


def _mean(values: Array) -> float:
    """Return the mean of the values that are not NaN; 0 if there are none."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else 0.0


def verdict(comparison: Comparison, *, level: float = LEVEL) -> str:
    """Return in words whether a difference is significant."""
    found = f"{comparison.difference:+.4f}, p = {comparison.p:.2g}"
    return f"shown: {found}" if comparison.p < level else f"not shown at this size: {found}"
