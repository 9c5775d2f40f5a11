"""The recommender that is served: vectors, links between items, or their weighted sum.

    score(u, j) = ⟨u, q_j⟩ + Σ_p exp(-p / decay) after[i_p, j] + Σ_p exp(-p / decay') beside[i_p, j]

u is the user's vector of the towers or of the matrix factorisation, divided by its length if `unit`. The weights of the
sum are in the links; vectors have weight 1. Without vectors, u is 1 and q a trace of popularity, so that every user
gets an answer. Validation finds the weights, and chooses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from aisle.trainers import ranking
from aisle.trainers.recommender.events import Events, Floats, Ints
from aisle.trainers.recommender.item_links import Links
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import ANY_LENGTH, Factors, Queries, Repeat
from aisle.trainers.recommender.validation import Measured, Questions, learn_repeat, measure

POPULARITY = 1e-6  # weight of the logarithm of an item's events, where there are no vectors
QUERIES = 5_000  # validation queries
CANDIDATES = 100  # best items of each part, whose sums are ranked when weights are tried
STEPS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0)  # weights to try, in units of the first part's spread
ROUNDS = 2  # over the parts
TIE = 0.02  # relative difference of recall below which two models may be equally good


@dataclass(frozen=True)
class Mixture:
    """The parts, each multiplied by its weight, and facts about the choice."""

    factors: Factors  # its repeat term is the mixture's
    after: Links | None = None
    beside: Links | None = None
    unit: bool = False  # whether a user's vector is divided by its length
    kind: str = "towers"  # item-item, ials, towers or mixture
    tried: Mapping[str, float] = field(default_factory=dict)  # kind → recall on validation
    ahead: Mapping[str, ranking.Comparison] = field(default_factory=dict)  # kind → what the chosen one is ahead by
    weights: Mapping[str, float] = field(default_factory=dict)  # part → weight, already in the tables

    @property
    def links(self) -> Mapping[str, Links]:
        """The links by name."""
        named = {"after": self.after, "beside": self.beside}
        return {name: links for name, links in named.items() if links is not None}

    def user_vector(
        self, user: int | None, recent_items: Sequence[int], context: Mapping[str, str | int] | None = None
    ) -> Floats:
        """Return u, (d,), of one user; `recent_items` has the latest first."""
        vector: Floats = self._lengthened(self.factors.user_vector(user, recent_items, context)[None])[0]
        return vector

    def user_vectors(self, queries: Queries) -> Floats:
        """Return u, (queries, d)."""
        return self._lengthened(self.factors.user_vectors(queries))

    def scores(self, queries: Queries, *, repeat: bool = False) -> Floats:
        """Return scores, (queries, items), with or without the repeat term."""
        scores = self.user_vectors(queries) @ self.factors.out.T
        for links in self.links.values():
            scores += links.scores(queries, distinct=self.factors.distinct)
        if repeat:
            query, item, added = self.factors.repeat.scores(queries)
            scores[query, item] += added
        return np.asarray(scores, dtype=np.float32)

    def scores_of(
        self, user: int | None, recent_items: Sequence[int], context: Mapping[str, str | int] | None = None
    ) -> Floats:
        """Return the scores of all items, (items,), for one user, without the repeat term.

        Tests compare SQL with it.
        """
        scores = self.factors.out @ self.user_vector(user, recent_items, context)
        items = list(recent_items)[:ANY_LENGTH]
        items = list(dict.fromkeys(items)) if self.factors.distinct else items
        for links in self.links.values():
            for place, item in enumerate(items[: links.history]):
                scores += np.float32(np.exp(-place / links.decay)) * links.weights[[item]].toarray()[0]
        return np.asarray(scores, dtype=np.float32)

    def _lengthened(self, vectors: Floats) -> Floats:
        if not self.unit:
            return vectors
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def popular(events: Events, options: TowerOptions) -> Factors:
    """Return vectors of one dimension that order items by popularity, and add next to nothing."""
    counts = np.bincount(events.item, events.weight > 0, minlength=len(events.items))
    nothing = np.zeros((len(events.items), 1), dtype=np.float32)
    return Factors(
        constant=np.ones(1, dtype=np.float32),
        users=np.zeros((len(events.user_ids), 1), dtype=np.float32),
        into=nothing,
        out=(POPULARITY * np.log1p(counts)).astype(np.float32)[:, None],
        context={},
        context_values={},
        recency=np.ones(1, dtype=np.float32),
        exponent=0.0,
        popularity=0.0,
        repeat=Repeat(),
        towers=(),
        epochs_run=0,
        validation=(),
        learned=(),
        distinct=options.exclude_seen,
        kind="item-item",
    )


def add(
    parts: Mapping[str, Factors | Links], weights: Mapping[str, float], nothing: Factors, unit: bool = False
) -> Mixture:
    """Return the sum of parts, among them at most one of vectors; without one, `nothing` takes its place.

    Vectors have weight 1, so that those of a new item can be added as they are; the links have the ratios to it.
    """
    factors, links = nothing, {}
    kept = {name: weight for name, weight in weights.items() if weight}
    base = next((kept[name] for name in kept if isinstance(parts[name], Factors)), 1.0)
    kept = {name: weight / base for name, weight in kept.items()}
    for name, weight in kept.items():
        part = parts[name]
        if isinstance(part, Factors):
            factors = part
        else:
            links[name] = part.scaled(weight)
    return Mixture(factors, links.get("after"), links.get("beside"), unit, weights=kept)


@dataclass(frozen=True)
class Candidates:
    """The best items of each part for each query; of an item that is there twice, the second has a score of -∞."""

    scores: npt.NDArray[np.float32]  # (parts, queries, candidates)
    hits: npt.NDArray[np.float64]  # (queries, candidates), 1: a true item
    wanted: Ints  # (queries,), number of true items
    k: int

    @classmethod
    def of(cls, parts: Sequence[Mixture], test: Questions, options: TowerOptions) -> "Candidates":
        """Score the best items of each part by all parts."""
        found, hits = [], []
        for start in range(0, len(test.queries), 500):
            rows = slice(start, start + 500)
            queries, true = test.queries[rows], test.truth[rows]
            all_scores = torch.from_numpy(
                np.stack([part.scores(queries, repeat=not options.exclude_seen) for part in parts])
            )  # (parts, batch, items)
            if options.exclude_seen:
                query, _, row = queries.histories(ANY_LENGTH, distinct=True)
                all_scores[:, query, queries.events.item[row]] = -torch.inf
            best = all_scores.topk(min(CANDIDATES, all_scores.shape[2]), dim=2).indices  # (parts, batch, best)
            item = best.transpose(0, 1).flatten(1).sort(dim=1).values  # (batch, candidates)
            chosen = all_scores.gather(2, item.expand(len(parts), -1, -1))
            chosen[:, :, 1:][:, item[:, 1:] == item[:, :-1]] = -torch.inf
            found.append(chosen.numpy())
            line = np.repeat(np.arange(len(item)), item.shape[1])
            hits.append(np.asarray(true[line, item.numpy().ravel()].reshape(item.shape), dtype=np.float64))
        return cls(np.concatenate(found, axis=1), np.concatenate(hits), np.diff(test.truth.indptr), options.evaluate_at)

    def measure(self, weights: npt.NDArray[np.float64]) -> Measured:
        """Measure the weighted sum."""
        total = np.zeros(self.hits.shape, dtype=np.float32)
        for weight, scores in zip(weights, self.scores, strict=True):
            if weight:
                total += np.float32(weight) * scores
        total[np.isneginf(self.scores[0])] = -np.inf
        best = torch.from_numpy(total).topk(min(self.k, self.hits.shape[1])).indices.numpy()
        return Measured.of(np.take_along_axis(self.hits, best, axis=1), self.wanted)


def weigh(parts: Mapping[str, Mixture], test: Questions, options: TowerOptions) -> tuple[dict[str, float], float]:
    """Search for the weights of a sum, one part after the other; return the best weights, and their merit.

    The best part alone has weight 1. A part's spread, the standard deviation of its candidates' scores, is its unit.
    """
    names = list(parts)
    candidates = Candidates.of(list(parts.values()), test.first(QUERIES), options)
    spread = np.array([float(s[np.isfinite(s)].std()) or 1.0 for s in candidates.scores])
    units = spread.max() / spread
    alone = [candidates.measure(one).merit for one in np.eye(len(names))]
    first = int(np.argmax(alone))
    weights, best = np.eye(len(names))[first] * units, alone[first]
    for _ in range(ROUNDS):
        before = best
        for part in range(len(names)):
            if part == first:
                continue
            for step in STEPS:
                new = weights.copy()
                new[part] = step * units[part]
                if (now := candidates.measure(new).merit) > best:
                    weights, best = new, now
        if best == before:
            break
    return {name: float(weight) for name, weight in zip(names, weights / weights[first], strict=True)}, best


def finished(mixture: Mixture, test: Questions, options: TowerOptions) -> tuple[Mixture, Measured]:
    """Fit the mixture's own repeat term; return the mixture, and how good it is."""
    repeat = learn_repeat(mixture, test, options)
    mixture = replace(mixture, factors=replace(mixture.factors, repeat=repeat))
    scores = partial(mixture.scores, repeat=not options.exclude_seen)
    some = test.first(QUERIES)
    return mixture, measure(scores, some.queries, some.truth, options)


def choose(measured: Mapping[str, Measured]) -> str:
    """Return the simplest of the models that tie with the best; `measured` has the simplest first.

    A tie is a difference in recall that is small and that a paired bootstrap does not show.
    """
    best = max(measured, key=lambda name: (measured[name].recall.mean(), measured[name].ndcg.mean()))
    for name, one in measured.items():
        difference = ranking.compare(measured[best].recall, one.recall)
        if difference.p >= ranking.LEVEL and difference.difference <= TIE * measured[best].recall.mean():
            return name
    return best
