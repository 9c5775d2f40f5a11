"""Matrix factorisation as sums over a user's items, on the checkerboard of the towers' tests."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("implicit")

from aisle.embedder.item_tower import from_arrays, to_arrays
from aisle.trainers.recommender import als
from aisle.trainers.recommender.als import Setting
from aisle.trainers.recommender.baselines import ImplicitAls
from aisle.trainers.recommender.options import TowerOptions
from tests.unit.test_towers import COLD, ITEMS, USERS, board, everyone

OPTIONS = TowerOptions(features=("item", "category"), dimensions=6)


@pytest.mark.parametrize(("alpha", "agreement"), [(1.0, 1.0), (5.0, 0.97)])
def test_a_user_is_almost_what_the_paper_solves_for(alpha: float, agreement: float) -> None:
    """Hu et al., eq. 4; with α = 1 nothing is left out."""
    events, setting = board(), Setting(regularisation=3.0, alpha=alpha)
    ours = als.fit(events, OPTIONS, setting, seed=1).user_vectors(everyone(events))
    y = ImplicitAls(6, 3.0, alpha, seed=1).fit(events).item_vectors.astype(np.float64)
    for user in range(USERS):
        confidence = 1 + (alpha - 1) * np.isin(np.arange(ITEMS), events.item[events.user == user])
        chosen = np.isin(np.arange(ITEMS), events.item[events.user == user])
        exact = np.linalg.solve((y.T * confidence) @ y + 3 * np.eye(6), (y.T * confidence) @ chosen)
        scores = y @ ours[user][:-1]
        if alpha == 1:
            np.testing.assert_allclose(ours[user][:-1], exact, rtol=1e-3, atol=1e-4)
        assert np.corrcoef(scores, y @ exact)[0, 1] >= agreement - 1e-6


def test_the_same_seed_gives_the_same_vectors() -> None:
    one, same, other = (als.fit(board(), OPTIONS, Setting(10.0, 20.0), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.out, same.out)
    assert not np.allclose(one.out, other.out)


def test_an_item_without_events_is_like_others_of_its_category_and_text() -> None:
    events = board()
    texts = np.eye(ITEMS, 4, dtype=np.float32)
    texts[np.arange(ITEMS), np.arange(ITEMS) % 2] = 1
    events = replace(events, items=replace(events.items, texts=texts))
    for features in (("item", "category"), ("item", "text")):
        options = replace(OPTIONS, features=features)
        factors = als.fit(events, options, Setting(10.0, 20.0), seed=1)
        arrays, rest = to_arrays(factors.towers)
        (tower,) = from_arrays(arrays, rest)
        _, out = tower.content(events.items.categories, texts)
        scores = factors.user_vectors(everyone(events)) @ out[COLD:].T  # one item of each colour
        assert (scores.argmax(1) == np.arange(USERS) % 2).all()
    nothing, _ = (
        als.fit(events, replace(OPTIONS, features=("item",)), Setting(10.0, 20.0), 1)
        .towers[0]
        .content(events.items.categories, texts)
    )
    assert not nothing.any()


def test_what_never_counts_is_history_only() -> None:
    events = board()
    events = replace(events, weight=(events.item > 9).astype(np.float32))
    factors = als.fit(events, OPTIONS, Setting(10.0, 20.0), seed=1)
    assert not factors.out[:10].any()
    assert factors.into[:10].any(axis=1).all()


def test_without_a_history_what_is_popular_comes_first() -> None:
    factors = als.fit(board(), OPTIONS, Setting(10.0, 20.0), seed=1)
    scores = factors.out @ factors.user_vector(None, [])
    counts = np.bincount(board().item, minlength=ITEMS)
    assert (np.diff(counts[np.argsort(-scores, kind="stable")]) <= 0).all()


def test_the_setting_that_validation_finds_best_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    events = board()
    last = np.append(np.diff(events.user) != 0, True)
    known, asked = events.select(~last), events.select(last)
    best, recall = als.tune(known, asked, OPTIONS, seed=1)
    alone = {}
    for regularisation, alpha in itertools.product(als.REGULARISATION, als.ALPHA):
        monkeypatch.setattr(als, "REGULARISATION", (regularisation,))
        monkeypatch.setattr(als, "ALPHA", (alpha,))
        alone[regularisation, alpha] = als.tune(known, asked, OPTIONS, seed=1)[1]
        monkeypatch.undo()
    assert recall == alone[best.regularisation, best.alpha] == max(alone.values())
    assert min(alone.values()) < recall, "Else it would be no choice."
