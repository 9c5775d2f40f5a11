"""Links between items, against dense closed forms and on the checkerboard of the towers' tests."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")

from scipy import sparse

from aisle.trainers.recommender import als, item_links, mixture
from aisle.trainers.recommender.baselines import Ease
from aisle.trainers.recommender.events import Events, Items
from aisle.trainers.recommender.fit import fit
from aisle.trainers.recommender.item_links import KINDS, Links, Setting
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import Queries
from aisle.trainers.recommender.validation import Measured, Questions, measure
from tests.unit.test_towers import COLD, ITEMS, USERS, board, everyone, last

OPTIONS = TowerOptions(features=("item",), dimensions=6, epochs=2)
SETTING = Setting(ridge=2.0, sources=1000, decay=4.0)


def shop(users: int = 30, items: int = 12, each: int = 9) -> Events:
    """Make random events; users return to items."""
    random = np.random.default_rng(3)
    user = np.repeat(np.arange(users), each)
    return Events(
        user=user,
        item=random.integers(items, size=len(user)),
        at=np.arange(len(user), dtype=np.float64),
        weight=random.choice([0.0, 1.0, 2.5], len(user)).astype(np.float32),
        context={},
        context_values={},
        user_ids=[f"u{u}" for u in range(users)],
        items=Items([f"i{i}" for i in range(items)], [None] * items),
    )


def sequences(events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Return the past and the future of every place of every sequence, (places, items) each."""
    rows = []
    for user in range(len(events.user_ids)):
        own = np.flatnonzero(events.user == user)
        for place in range(1, len(own)):
            past, future = np.zeros((2, len(events.items)))
            for age, row in enumerate(own[:place][::-1]):
                past[events.item[row]] += math.exp(-age / item_links.PAST)
            for distance, row in enumerate(own[place:]):
                future[events.item[row]] += events.weight[row] * math.exp(-distance / item_links.FUTURE)
            rows.append((past, future))
    return np.array([past for past, _ in rows]), np.array([future for _, future in rows])


def test_what_comes_after_is_a_ridge_regression_of_the_future_on_the_past() -> None:
    events = shop()
    past, future = sequences(events)
    right = past.T @ future
    found = item_links.fit("after", events, SETTING, exclude_seen=False).weights.toarray()
    for target in range(len(events.items)):
        used = np.flatnonzero(right[:, target])  # items that never came before are no sources
        expected = np.zeros(len(events.items))
        gram = past[:, used].T @ past[:, used] + 2 * np.eye(len(used))
        expected[used] = np.linalg.solve(gram, right[used, target])
        np.testing.assert_allclose(found[:, target], expected, atol=1e-4)


def test_what_is_beside_is_ease() -> None:
    events = shop(users=60)
    events = replace(events, weight=np.ones_like(events.weight))
    found = item_links.fit("beside", events, SETTING, exclude_seen=True).weights.toarray()
    ease = Ease(regularisation=2.0).fit(events)
    np.testing.assert_allclose(found, ease._weights, atol=1e-4)
    assert not found.diagonal().any()


def test_few_sources_are_the_best_ones() -> None:
    events = shop(users=200)
    moments = item_links.beside(events)
    (found,) = item_links.solve(moments, [5.0], 3)
    merit = moments.right.toarray() / np.sqrt(moments.gram.diagonal() + 5.0)[:, None]
    for target in range(len(events.items)):
        best = np.sort(np.argsort(-merit[:, target])[:3])
        gram = moments.gram.toarray()[np.ix_(best, best)] + 5 * np.eye(3)
        expected = np.linalg.solve(gram, moments.right.toarray()[best, target])
        np.testing.assert_allclose(found.toarray()[best, target], expected, atol=1e-5)
        assert np.count_nonzero(found.toarray()[:, target]) <= 3


def test_many_small_batches_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    events, settings = board(), [3.0, 30.0]
    whole = [item_links.solve(moments(events), settings, 7) for moments in (item_links.after, item_links.beside)]
    monkeypatch.setattr(item_links, "CELLS", 200)
    parts = [item_links.solve(moments(events), settings, 7) for moments in (item_links.after, item_links.beside)]
    for one, other in zip(whole, parts, strict=True):
        for found, again in zip(one, other, strict=True):
            np.testing.assert_allclose(found.toarray(), again.toarray(), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_never_counts_is_a_source_and_no_target(kind: str) -> None:
    events = board()
    events = replace(events, weight=(events.item > 9).astype(np.float32))
    weights = item_links.fit(kind, events, SETTING, exclude_seen=True).weights.toarray()
    assert not weights[:, :10].any()
    assert weights[:10].any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_item_has_the_users_own_colour(kind: str) -> None:
    events = board()
    links = item_links.fit(kind, events, replace(SETTING, sources=20), exclude_seen=True)
    scores = links.scores(everyone(events), distinct=True)
    assert (scores.argmax(1) % 2 == np.arange(USERS) % 2).all()
    assert not scores[:, COLD:].any(), "Nothing is known of items without events."


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_events_give_the_same_links(kind: str) -> None:
    one, same = (item_links.fit(kind, board(), SETTING, exclude_seen=True) for _ in range(2))
    np.testing.assert_array_equal(one.weights.toarray(), same.weights.toarray())


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("decay", [1.5, math.inf])
def test_scores_are_sums_over_the_last_events(decay: float, distinct: bool) -> None:
    events = shop()
    links = replace(item_links.fit("after", events, SETTING, exclude_seen=False), decay=decay)
    weights = links.weights.toarray()
    scores = links.scores(Queries.of_users(events, np.arange(30)), distinct=distinct)
    for user in range(30):
        items = events.item[events.user == user][::-1].tolist()
        items = list(dict.fromkeys(items)) if distinct else items
        expected = sum(math.exp(-p / decay) * weights[item] for p, item in enumerate(items[: links.history]))
        np.testing.assert_allclose(scores[user], expected, atol=1e-5)


def test_the_largest_weights_of_a_source_are_kept() -> None:
    weights = sparse.csr_array(np.array([[0.1, -0.5, 0.3], [0, 0.2, 0], [0, 0, 0]], dtype=np.float32))
    kept = Links(weights).pruned(2).weights.toarray()
    np.testing.assert_allclose(kept, [[0, -0.5, 0.3], [0, 0.2, 0], [0, 0, 0]])


def test_of_a_very_long_history_only_the_last_events_are_beside_each_other() -> None:
    rows = np.arange(1500)
    items = Items([str(i) for i in rows], [None] * 1500)
    events = Events(rows * 0, rows, rows.astype(float), np.ones(1500, dtype=np.float32), {}, {}, ["u"], items)
    assert not item_links.beside(events).gram[:500].nnz
    assert item_links.beside(events).gram.nnz == 1000**2


def test_counts_of_millions_are_solved_exactly() -> None:
    random = np.random.default_rng(0)
    factors = random.normal(size=(2, 8)) * 3e4  # of rank 2: only λ makes the matrix definite
    gram, right = (factors.T @ factors).astype(np.float32), np.eye(8, k=1, dtype=np.float32)
    moments = item_links.Moments(sparse.csr_array(gram), sparse.csr_array(right))
    (found,) = item_links.solve(moments, [20.0], 8)
    assert np.isfinite(found.toarray()).all()


@pytest.mark.parametrize("kind", KINDS)
def test_validation_chooses_the_settings(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_links, "KEPT", (1, 15, 20))
    monkeypatch.setattr(item_links, "DECAYS", {kind: (4.0,)})
    events = board()
    known, asked = events.select(~last(events)), events.select(last(events))
    test = Questions.of(known, asked, OPTIONS, seed=1)
    setting, links = item_links.tune(kind, known, test, OPTIONS)
    again = item_links.fit(kind, known, setting, exclude_seen=True)
    np.testing.assert_allclose(links.weights.toarray(), again.weights.toarray(), atol=1e-6)
    assert setting.kept is None or np.diff(links.weights.indptr).max() <= setting.kept

    def merit(links: Links) -> float:
        scores = partial(links.scores, distinct=True)
        return measure(scores, test.queries, test.truth, OPTIONS).merit

    whole = item_links.fit(kind, known, replace(setting, kept=None), exclude_seen=True)
    assert merit(links) >= item_links.LOSS * merit(whole)
    for ridge in item_links.RIDGES:
        other = item_links.fit(kind, known, replace(setting, ridge=ridge, kept=None), exclude_seen=True)
        assert merit(other) <= merit(whole) + 1e-9


def test_items_nearby_are_beside_each_other_where_that_is_better() -> None:
    events = board()
    angle = np.where(np.arange(ITEMS) % 2, 0.5, -0.5)[:, None] + np.arange(ITEMS)[:, None] * 1e-5
    events = replace(events, items=replace(events.items, places=np.repeat(angle, 2, axis=1)))
    apart = item_links.fit("beside", events, SETTING, exclude_seen=True)
    near = item_links.fit("beside", events, replace(SETTING, near=True), exclude_seen=True)
    assert not np.allclose(apart.weights.toarray(), near.weights.toarray())
    assert near.weights.toarray()[10, 12] > apart.weights.toarray()[10, 12]
    none = replace(events, weight=(events.item > 9).astype(np.float32))
    assert not item_links.fit("beside", none, replace(SETTING, near=True), exclude_seen=True).weights[:, :10].nnz


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_a_mixture_is_the_sum_of_its_parts(exclude_seen: bool, unit: bool) -> None:
    events, options = board(favourite=not exclude_seen), replace(OPTIONS, exclude_seen=exclude_seen)
    pytest.importorskip("implicit")
    factors = als.fit(events, options, als.Setting(10.0, 20.0), seed=1)
    parts = {kind: item_links.fit(kind, events, SETTING, exclude_seen=exclude_seen) for kind in KINDS}
    weights = {"ials": 2.0, "after": 1.0, "beside": 0.5}
    nothing = mixture.popular(events, options)
    mixed = mixture.add({"ials": factors, **parts}, weights, nothing, unit)
    vectors = factors.user_vectors(everyone(events))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) if unit else 1
    expected = vectors @ factors.out.T
    for kind, links in parts.items():
        expected += weights[kind] / 2 * links.scores(everyone(events), distinct=exclude_seen)
    scores = mixed.scores(everyone(events))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    recent = events.item[events.user == 3][::-1].tolist()
    np.testing.assert_allclose(mixed.scores_of(3, recent), scores[3], atol=1e-5)


def test_without_vectors_everyone_gets_popular_items() -> None:
    events = board()
    parts = {"after": item_links.fit("after", events, SETTING, exclude_seen=True)}
    mixed = mixture.add(parts, {"after": 1.0}, mixture.popular(events, OPTIONS))
    counts = np.bincount(events.item, minlength=ITEMS)
    assert (np.diff(counts[np.argsort(-mixed.scores_of(None, []), kind="stable")]) <= 0).all()


def test_candidates_measure_a_part_as_all_items_do() -> None:
    events = board()
    known, asked = events.select(~last(events)), events.select(last(events))
    test = Questions.of(known, asked, OPTIONS, seed=1)
    nothing = mixture.popular(known, OPTIONS)
    parts = [
        mixture.add({kind: item_links.fit(kind, known, SETTING, exclude_seen=True)}, {kind: 1.0}, nothing)
        for kind in KINDS
    ]
    candidates = mixture.Candidates.of(parts, test, OPTIONS)
    for part, mixed in enumerate(parts):
        _, measured = mixture.finished(mixed, test, OPTIONS)
        found = candidates.measure(np.eye(2)[part])
        np.testing.assert_allclose(found.recall, measured.recall)
        np.testing.assert_allclose(found.ndcg, measured.ndcg)


def test_the_simpler_of_equal_models_is_chosen() -> None:
    def measured(recall: np.ndarray) -> Measured:
        return Measured(recall.astype(np.float64), recall.astype(np.float64))

    worse, equal, better = np.arange(400) < 40, np.arange(400) % 4 == 0, np.arange(400) < 200
    assert mixture.choose({"simple": measured(equal), "larger": measured(equal)}) == "simple"
    assert mixture.choose({"simple": measured(worse), "larger": measured(better)}) == "larger"
    assert mixture.choose({"simple": measured(better), "larger": measured(worse)}) == "simple"
    few = slice(0, 8)  # nothing can be shown, but the difference is large
    assert mixture.choose({"simple": measured(equal[few]), "larger": measured(better[few])}) == "larger"


@pytest.mark.parametrize("model", ["item-item", "towers", "mixture", "best"])
def test_each_model_can_be_asked_for(model: str) -> None:
    said: list[str] = []
    mixed, kept = fit(board(), None, OPTIONS, 1, said.append, model=model)
    assert model in ("best", mixed.kind)
    scores = mixed.scores(everyone(board()))
    assert (scores.argmax(1) % 2 == np.arange(USERS) % 2).mean() > 0.9
    assert (kept is not None) == ("towers" in mixed.weights)
    assert any("Fitting" in line for line in said)
