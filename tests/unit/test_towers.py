"""The recommender's towers on a checkerboard: even users have events with even items only, odd users with odd ones."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from aisle.db import errors
from aisle.embedder.item_tower import content, from_arrays, to_arrays
from aisle.trainers.recommender.events import Events, Items
from aisle.trainers.recommender.fit_towers import fit
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import Factors, Queries, Repeat
from aisle.trainers.recommender.validation import recall

USERS, ITEMS, EACH = 40, 60, 12
COLD = ITEMS - 2  # two items without events, one of each colour
BY_TIME = TowerOptions(
    features=("user", "item", "category", "meal"),
    order="time",
    cosine=False,
    temperature=1.0,
    history=10,
    dimensions=8,
    epochs=5,
    batch_size=64,
    exclude_seen=False,
)
AS_SETS = TowerOptions(order="set", history=None, dimensions=8, epochs=6, batch_size=16, tied=True)


def board(*, favourite: bool = False) -> Events:
    """Make events; with a favourite, a user's every second event has the same item."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(USERS), EACH)
    item = np.concatenate([random.choice(COLD // 2, EACH, replace=False) * 2 + u % 2 for u in range(USERS)])
    if favourite:
        item[1::2] = np.repeat(item[::EACH], EACH // 2)
    paths = [("board", "black" if i % 2 else "white") for i in range(ITEMS)]
    return Events(
        user=user,
        item=item,
        at=np.arange(len(user), dtype=np.float64),
        weight=np.ones(len(user), dtype=np.float32),
        context={"meal": np.where(np.arange(len(user)) % 5, user % 3, -1)},
        context_values={"meal": ["breakfast", "lunch", "dinner"]},
        user_ids=[f"u{u}" for u in range(USERS)],
        items=Items([f"i{i}" for i in range(ITEMS)], paths),
    )


def pairs(users: int, each: int) -> Events:
    """Make users with `each` different items."""
    rows = np.arange(users * each)
    items = Items([str(row) for row in rows], [None] * len(rows))
    ids = [str(user) for user in range(users)]
    return Events(rows // each, rows, rows.astype(float), np.ones(len(rows), dtype=np.float32), {}, {}, ids, items)


@pytest.mark.parametrize("seed", range(4))
def test_a_step_without_a_target_learns_nothing(seed: int) -> None:
    options = replace(AS_SETS, dimensions=4, epochs=30)
    assert np.isfinite(fit(pairs(17, 2), None, options, seed=seed).out).all(), "The last user of an epoch is alone."


def test_where_nothing_is_left_to_learn_from_it_is_said() -> None:
    with pytest.raises(errors.TrainingDataError, match="left to learn from"):
        fit(pairs(17, 1), None, AS_SETS, seed=1)


def last(events: Events) -> np.ndarray:
    return np.append(np.diff(events.user) != 0, True)


def everyone(events: Events) -> Queries:
    return Queries.of_users(events, np.arange(USERS), {"meal": np.arange(USERS) % 4 - 1})


@pytest.fixture(scope="module")
def by_time() -> Factors:
    return fit(board(), None, BY_TIME, seed=1)


@pytest.mark.parametrize(
    "options",
    [
        BY_TIME,
        replace(BY_TIME, exclude_seen=True, cosine=True, temperature=0.1, smoothing=0),
        AS_SETS,
        replace(AS_SETS, tied=False, members=2),
        replace(AS_SETS, negatives=10),
        replace(AS_SETS, cosine=False, temperature=1.0),
    ],
    ids=["by time", "by time, first events", "as sets", "two members", "sampled soft-max", "bias"],
)
def test_best_item_has_the_users_own_colour(options: TowerOptions) -> None:
    events = board()
    losses: list[float] = []
    factors = fit(events, None, options, seed=1, progress=lambda epoch, loss, metric: losses.append(loss))
    best = factors.scores(everyone(events))[:, :COLD].argmax(1)
    assert np.mean(best % 2 == np.arange(USERS) % 2) >= 0.95
    assert losses[-1] < losses[0]


def test_history_alone_tells_an_unknown_users_colour(by_time: Factors) -> None:
    for colour in (0, 1):
        scores = by_time.out @ by_time.user_vector(None, [colour, colour + 2, colour + 4, colour + 6])
        assert scores[:COLD].argmax() % 2 == colour


def test_batch_equals_the_formula(by_time: Factors) -> None:
    events = board()
    queries = everyone(events)
    batch = by_time.scores(queries)
    for user in range(USERS):
        meal = int(queries.context["meal"][user])
        context: dict[str, str | int] = {} if meal < 0 else {"meal": events.context_values["meal"][meal]}
        recent = events.item[events.user == user][::-1].tolist()  # twelve, of which ten count
        np.testing.assert_allclose(by_time.out @ by_time.user_vector(user, recent, context), batch[user], atol=1e-5)


def test_an_item_counts_once_where_only_what_is_new_is_shown() -> None:
    events = board(favourite=True)
    factors = replace(fit(events, None, BY_TIME, seed=1), distinct=True)
    queries = everyone(events)
    query, position, row = queries.histories(4, distinct=True)
    for user in range(USERS):
        own = events.item[events.user == user][::-1]
        mine = query == user
        assert events.item[row[mine]].tolist() == list(dict.fromkeys(own.tolist()))[:4]
        assert position[mine].tolist() == [0, 1, 2, 3]
        expected = factors.user_vector(user, list(dict.fromkeys(own.tolist())))
        np.testing.assert_allclose(factors.user_vector(user, own.tolist()), expected)
        np.testing.assert_allclose(
            factors.user_vectors(replace(queries, context={}))[user], expected, rtol=1e-4, atol=1e-5
        )


def test_nothing_known_adds_nothing(by_time: Factors) -> None:
    np.testing.assert_array_equal(by_time.user_vector(None, [], {"meal": "brunch"}), by_time.constant)
    np.testing.assert_array_equal(by_time.user_vector(-1, [], {"weather": "rain", "meal": -1}), by_time.constant)


def test_unknown_user_without_history_gets_the_constant(by_time: Factors) -> None:
    events = board()
    nobody = Queries(events, np.array([-1]), np.array([0]), np.array([0]), {})
    np.testing.assert_allclose(by_time.scores(nobody)[0], by_time.out @ by_time.constant, atol=1e-6)


@pytest.mark.parametrize("cosine", [True, False])
def test_cold_item_is_found_by_its_category(cosine: bool) -> None:
    events = board()
    options = replace(BY_TIME, cosine=cosine, temperature=0.1 if cosine else 1.0, id_dropout=0.5)
    factors = fit(events, None, options, seed=1)
    into, out = factors.content([("board", "white"), ("board", "black"), ("chess",), None], None)
    assert into.shape == out.shape == (4, factors.out.shape[1])
    own = factors.user_vectors(everyone(events)) @ out[:2].T  # (users, colours)
    assert np.mean(own.argmax(1) == np.arange(USERS) % 2) >= 0.95
    assert not into[2:].any(), "an unknown category says nothing"


def test_cold_item_is_found_by_its_text() -> None:
    events = board()
    texts = np.eye(2, dtype=np.float32)[np.arange(ITEMS) % 2]
    events = replace(events, items=replace(events.items, texts=texts))
    factors = fit(events, None, replace(BY_TIME, features=("user", "item", "text"), id_dropout=0.5), seed=1)
    _, out = factors.content([None, None], np.eye(2, dtype=np.float32))
    own = factors.user_vectors(everyone(events)) @ out.T
    assert np.mean(own.argmax(1) == np.arange(USERS) % 2) >= 0.95


def test_same_seed_same_factors(by_time: Factors) -> None:
    again, other = fit(board(), None, BY_TIME, seed=1), fit(board(), None, BY_TIME, seed=2)
    for name in ("constant", "users", "into", "out", "recency"):
        np.testing.assert_array_equal(getattr(by_time, name), getattr(again, name))
    assert not np.array_equal(by_time.out, other.out)


def test_towers_survive_a_file(by_time: Factors) -> None:
    arrays, rest = to_arrays(by_time.towers)
    paths = [("board", "white")]
    kept = content(from_arrays(arrays, json.loads(json.dumps(rest))), paths, None)
    np.testing.assert_array_equal(kept, by_time.content(paths, None))


def test_validation_stops_and_learns_that_favourites_come_back() -> None:
    events = board(favourite=True)
    train, held_out = events.select(~last(events)), events.select(last(events))
    found = fit(train, held_out, replace(BY_TIME, evaluate_at=1, patience=1, epochs=8), seed=1)
    assert found.repeat.count > 0
    assert found.validation[found.epochs_run - 1] == max(found.validation)
    queries = Queries.of_users(train, np.arange(USERS))
    assert np.mean(found.scores(queries, repeat=True).argmax(1) == held_out.item) >= 0.9

    everything = fit(events, None, BY_TIME, seed=1, like=found)
    assert everything.repeat == found.repeat


def test_popular_items_get_longer_vectors_where_that_finds_more() -> None:
    events = board()
    counts = np.bincount(events.item, minlength=ITEMS)
    seen = [set(events.item[events.user == user]) for user in range(USERS)]
    most_popular = [max(set(range(u % 2, COLD, 2)) - seen[u], key=lambda item: counts[item]) for u in range(USERS)]
    held_out = replace(events.select(last(events)), item=np.array(most_popular))
    found = fit(events, held_out, replace(AS_SETS, evaluate_at=2), seed=1)
    assert found.popularity > 0
    np.testing.assert_allclose(np.linalg.norm(found.out, axis=1), (1 + counts) ** found.popularity, rtol=1e-5)
    assert fit(events, None, AS_SETS, seed=1, like=found).popularity == found.popularity
    assert fit(events, None, AS_SETS, seed=1).popularity == 0


def test_repeat_follows_its_formula(by_time: Factors) -> None:
    events = board(favourite=True)
    repeat = Repeat(constant=1.0, count=2.0, recent=3.0, decay=0.5, context={"meal": 4.0})
    queries = everyone(events)[np.array([5])]  # user 5's query is for lunch
    added = dict(zip(*repeat.scores(queries)[1:], strict=True))
    mine = events.user == 5
    items, meals = events.item[mine][::-1], events.context["meal"][mine][::-1]
    assert set(added) == set(items.tolist())
    for item, value in added.items():
        at = np.flatnonzero(items == item)  # position - 1
        same = int((meals[at] == queries.context["meal"][0]).sum())
        expected = 1 + 2 * np.log1p(len(at)) + 3 * np.log1p(np.exp(-0.5 * at).sum()) + 4 * np.log1p(same)
        assert value == pytest.approx(expected, rel=1e-5)


def test_recall_leaves_out_what_a_user_has(by_time: Factors) -> None:
    from scipy import sparse

    events = board()
    queries = everyone(events)
    has = sparse.csr_array((np.ones(len(events)), (events.user, events.item)), shape=(USERS, ITEMS))
    assert recall(by_time, queries, has, replace(BY_TIME, exclude_seen=True)) == 0
    assert recall(by_time, queries, has, replace(BY_TIME, evaluate_at=ITEMS)) == 1
