"""The recommender's baselines: their rankings, and their common behaviour."""

import sys
from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("implicit")

from aisle.db import errors
from aisle.trainers.recommender import baselines
from aisle.trainers.recommender.baselines import BASELINES
from aisle.trainers.recommender.events import Events, Items

DAY = 86_400.0  # seconds
PERSONAL = ("item-knn", "ease", "ials")
SQUARES = 10  # users, and items, of each colour
Row = tuple[int, int, float, int]  # user, item, day, meal (0: lunch, 1: dinner, -1: not known)


def events_of(rows: Sequence[Row], users: int, items: int) -> Events:
    user, item, day, meal = (np.array(column) for column in zip(*sorted(rows, key=lambda row: row[::2]), strict=True))
    return Events(
        user=user,
        item=item,
        at=day * DAY,
        weight=np.ones(len(rows), dtype=np.float32),
        context={"meal": meal},
        context_values={"meal": ["lunch", "dinner"]},
        user_ids=[f"user {number}" for number in range(users)],
        items=Items([f"item {number}" for number in range(items)], [None] * items),
    )


def checkerboard() -> Events:
    """Users and items of two colours, even and odd: a user has chosen its own colour's items, all but one.

    One more user has chosen nothing, and no user has chosen one more item.
    """
    numbers = range(2 * SQUARES)
    rows = [(u, i, float(i), u % 2) for u in numbers for i in numbers if u % 2 == i % 2 and i != u]
    return events_of(rows, 2 * SQUARES + 1, 2 * SQUARES + 1)


def ask(name: str, events: Events, users: Sequence[int], k: int, *, exclude_seen: bool) -> list[list[int]]:
    context = {"meal": np.array(users) % 2}
    model = BASELINES[name]().fit(events)
    return model.recommend(np.array(users), k, context=context, exclude_seen=exclude_seen).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", BASELINES)
def test_every_item_is_ranked_once(name: str) -> None:
    board = checkerboard()
    everything = list(range(len(board.items)))
    for ranked in ask(name, board, range(len(board.user_ids)), len(everything), exclude_seen=False):
        assert sorted(ranked) == everything


@pytest.mark.parametrize("name", BASELINES)
def test_seen_items_can_be_left_out(name: str) -> None:
    board = checkerboard()
    for user, ranked in enumerate(ask(name, board, range(len(board.user_ids)), len(board.items), exclude_seen=True)):
        seen = set(board.item[board.user == user].tolist())
        assert sorted(ranked) == sorted([-1] * len(seen) + [i for i in range(len(board.items)) if i not in seen])
        assert -1 not in ranked[: len(ranked) - len(seen)], "The padding must come last."


@pytest.mark.parametrize("name", PERSONAL)
def test_the_top_item_is_of_the_users_own_colour(name: str) -> None:
    tops = ask(name, checkerboard(), range(2 * SQUARES), 1, exclude_seen=True)
    assert tops == [[user] for user in range(2 * SQUARES)], "The one item of its colour that the user has not chosen."


@pytest.mark.parametrize("name", ["own-history", "own-context-history", "context-popularity", *PERSONAL])
def test_what_is_kept_is_of_the_users_own_colour(name: str) -> None:
    for user, ranked in enumerate(ask(name, checkerboard(), range(2 * SQUARES), SQUARES - 1, exclude_seen=False)):
        assert all(item % 2 == user % 2 for item in ranked)


@pytest.mark.parametrize("name", BASELINES)
def test_only_allowed_items_are_ranked(name: str) -> None:
    board, lunch = checkerboard(), {"meal": np.array([0])}
    allowed = np.zeros(len(board.items), dtype=np.bool_)
    allowed[[1, 3]] = True
    model = BASELINES[name]().fit(board)
    ranked = model.recommend(np.array([0]), 3, context=lunch, exclude_seen=False, allowed=allowed)
    assert sorted(ranked[0].tolist()) == [-1, 1, 3]
    assert ranked[0, 2] == -1


@pytest.mark.parametrize("name", BASELINES)
def test_a_user_without_events_is_recommended_what_is_popular(name: str) -> None:
    rows = [(0, 3, 0.0, -1), (1, 3, 0.0, -1), (1, 2, 0.0, -1), (2, 3, 0.0, -1), (2, 1, 0.0, -1), (0, 1, 0.0, -1)]
    model = BASELINES[name]().fit(events_of(rows, users=4, items=5))
    ranked = model.recommend(np.array([3]), 5, context={"meal": np.array([-1])}, exclude_seen=True)
    assert ranked.tolist() == [[3, 1, 2, 0, 4]]  # 3, 2, 1, 0, 0 events


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_events_give_the_same_answer_alone_and_in_a_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without symmetry, so that rounding breaks no ties.
    random = np.random.default_rng(0)
    rows = [(int(u), int(i), float(u + i), int(u) % 2) for u, i in random.integers(12, size=(60, 2))]
    events = events_of(rows, users=12, items=12)
    together = ask(name, events, range(12), 3, exclude_seen=False)
    monkeypatch.setattr(baselines, "BATCH", 1)
    assert ask(name, events, range(12), 3, exclude_seen=False) == together


HABITS = [
    *[(0, 0, 1.0, 0)] * 3,  # user 0: item 0 three times at lunch
    *[(0, 1, 2.0, 1)] * 2,  # item 1 twice at dinner
    (0, 2, 9.0, -1),  # item 2 once, nobody knows when
    *[(1, 3, 10.0, 1)] * 2,  # user 1: item 3
    (1, 2, 3.0, 0),
]


@pytest.mark.parametrize(
    ("name", "user", "meal", "expected"),
    [
        ("popularity", 0, 0, [0, 1, 2, 3]),  # 3, 2, 2, 2 events
        ("recent-popularity", 0, 0, [3, 2, 0, 1]),  # after day 3: 2, 1, 0, 0
        ("context-popularity", 0, 0, [0, 2, 1, 3]),
        ("context-popularity", 0, 1, [1, 3, 0, 2]),
        ("context-popularity", 0, -1, [0, 1, 2, 3]),  # without a meal: popularity
        ("own-history", 0, 0, [0, 1, 2, 3]),
        ("own-history", 1, 0, [3, 2, 0, 1]),
        ("own-context-history", 0, 0, [0, 1, 2, 3]),
        ("own-context-history", 0, 1, [1, 0, 2, 3]),
        ("own-context-history", 1, 0, [2, 3, 0, 1]),
        ("own-context-history", 0, -1, [0, 1, 2, 3]),
    ],
)
def test_what_counting_ranks(name: str, user: int, meal: int, expected: list[int]) -> None:
    model = BASELINES[name]().fit(events_of(HABITS, users=2, items=4))
    ranked = model.recommend(np.array([user]), 4, context={"meal": np.array([meal])}, exclude_seen=False)
    assert ranked.tolist() == [expected]


def test_what_is_yet_to_come_is_not_popular() -> None:
    events = events_of([*HABITS, (0, 0, 2_932_896.0, 0)], users=2, items=4)  # on 9999-12-31
    ranked = BASELINES["recent-popularity"]().fit(events).recommend(np.array([0]), 4, exclude_seen=False)
    assert ranked.tolist() == [[3, 2, 0, 1]]


def test_a_user_may_be_queried_in_several_contexts() -> None:
    model = baselines.OwnContextHistory(feature="meal").fit(events_of(HABITS, users=2, items=4))
    ranked = model.recommend(np.array([0, 0]), 1, context={"meal": np.array([1, 0])}, exclude_seen=False)
    assert ranked.tolist() == [[1], [0]]


@pytest.mark.parametrize("name", ["context-popularity", "own-context-history"])
def test_a_missing_context_is_an_error(name: str) -> None:
    events = events_of(HABITS, users=2, items=4)
    with pytest.raises(errors.InvalidArgumentError, match="meal"):
        BASELINES[name]().fit(events).recommend(np.array([0]), 1, exclude_seen=False)
    with pytest.raises(errors.InvalidArgumentError, match="meal"):
        BASELINES[name](feature="weather").fit(events)  # type: ignore[call-arg]


def test_item_knn_adds_cosines() -> None:
    rows = [(0, 0, 0.0, 0), (0, 1, 0.0, 0), (1, 0, 0.0, 0), (2, 1, 0.0, 0), (2, 2, 0.0, 0), (2, 3, 0.0, 0)]
    model = baselines.ItemKnn(neighbours=4).fit(events_of([*rows, *rows], users=3, items=4))  # twice: counted once
    # item 0: users 0, 1; item 1: users 0, 2; items 2, 3: user 2
    expected = [[1, 1 / 2, 0, 0], [1 / 2, 1, 2**-0.5, 2**-0.5], [0, 2**-0.5, 1, 1], [0, 2**-0.5, 1, 1]]
    assert model._similarity.toarray() == pytest.approx(np.array(expected))
    assert model._score(np.array([0]), {}) == pytest.approx(np.array([[1.5, 1.5, 2**-0.5, 2**-0.5]]))


def test_ease_is_the_regression_of_each_item_on_the_others() -> None:
    random = np.random.default_rng(0)
    chosen = random.random((30, 6)) < 0.4
    rows = [(int(user), int(item), 0.0, 0) for user, item in zip(*chosen.nonzero(), strict=True)]
    model = baselines.Ease(regularisation=2.0).fit(events_of(rows, users=30, items=7))
    for item in range(6):
        others = np.delete(chosen.astype(float), item, axis=1)
        ridge = np.linalg.solve(others.T @ others + 2 * np.eye(5), others.T @ chosen[:, item])
        assert model._weights[:, item] == pytest.approx(np.insert(ridge, item, 0), abs=1e-5)


def test_ease_without_regularisation_is_an_error() -> None:
    with pytest.raises(errors.AisleError, match="regularisation"):
        baselines.Ease(regularisation=0.0).fit(events_of([(0, 0, 0.0, 0), (0, 1, 0.0, 0)], users=1, items=2))


def test_ease_refuses_what_does_not_fit_and_can_leave_rare_items_out() -> None:
    board = checkerboard()
    with pytest.raises(errors.AisleError, match="20 items") as caught:
        baselines.Ease(max_items=19).fit(board)
    assert "min_users" in str(caught.value.hint)
    model = baselines.Ease(max_items=19, min_users=SQUARES).fit(board)  # nobody chose any item ten times
    assert model.recommend(np.array([0]), 2, exclude_seen=True).tolist() == [[0, 1]]


def test_ials_with_the_same_seed_is_the_same() -> None:
    board = checkerboard()
    first, second, other = (baselines.ImplicitAls(seed=seed).fit(board) for seed in (1, 1, 2))
    assert np.array_equal(first.item_vectors, second.item_vectors)
    assert not np.array_equal(first.item_vectors, other.item_vectors)


def test_ials_goes_by_weight() -> None:
    rows = [(0, 0, 0.0, 0), (0, 1, 0.0, 0), (1, 0, 0.0, 0), (2, 1, 0.0, 0)]
    events = events_of(rows, users=3, items=2)
    events.weight[events.item == 1] = 9
    scores = baselines.ImplicitAls(factors=1, alpha=1.0, regularisation=1.0).fit(events)._score(np.array([0]), {})
    assert scores[0, 1] > scores[0, 0]


@pytest.mark.parametrize("name", ["item-knn", "ials"])
def test_without_the_library_the_error_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("implicit", "implicit.nearest_neighbours", "implicit.cpu.als"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.MissingExtraError) as caught:
        BASELINES[name]().fit(checkerboard())
    assert "pip install" in str(caught.value.hint)


def test_tuning_picks_by_recall_on_validation() -> None:
    board = checkerboard()
    left_out = events_of([(u, u, 99.0, u % 2) for u in range(2 * SQUARES)], 2 * SQUARES + 1, 2 * SQUARES + 1)
    trials = baselines.tune("item-knn", board, left_out, k=1, grid={"neighbours": (1, SQUARES)})
    # The only neighbour is the item itself, so other items get no score.
    assert [trial.options for trial in trials] == [{"neighbours": SQUARES}, {"neighbours": 1}]
    assert trials[0].recall == 1
    assert trials[1].recall < 0.2


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_can_be_tuned(name: str) -> None:
    board = checkerboard()
    first = {option: values[:1] for option, values in BASELINES[name].GRID.items()}
    trials = baselines.tune(name, board, board, k=3, exclude_seen=False, grid=first)
    assert len(trials) == 1
    assert 0 <= trials[0].recall <= 1
