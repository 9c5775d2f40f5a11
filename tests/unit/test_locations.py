"""Items' places: neighbourhoods, and their effect on both kinds of recommender."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("implicit")

from aisle.trainers.recommender import als, fit_towers
from aisle.trainers.recommender.als import Setting
from aisle.trainers.recommender.events import NEAREST, Events, Items, _places
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import Factors, Queries

STREETS, SHOPS = 6, 8  # shops of a street


def everywhere(places: np.ndarray, visited: np.ndarray | None = None) -> Events:
    """Make one user with events at all of the places, or at these."""
    item = np.arange(len(places)) if visited is None else visited
    return Events(
        user=np.zeros(len(item), dtype=np.int64),
        item=item,
        at=np.arange(len(item), dtype=np.float64),
        weight=np.ones(len(item), dtype=np.float32),
        context={},
        context_values={},
        user_ids=["0"],
        items=Items([str(i) for i in range(len(places))], [None] * len(places), places=np.radians(places)),
    )


def test_a_neighbourhood_is_the_nearest_over_the_ground() -> None:
    seoul, gyeongju, suva, apia = (37.57, 126.98), (35.86, 129.22), (-18.14, 178.44), (-13.83, -171.77)
    places = np.array([*[seoul] * NEAREST, (np.nan, 0), gyeongju, suva, apia])
    near = everywhere(places).neighbourhoods.toarray()
    assert near.shape == (NEAREST + 3, NEAREST + 4)
    assert (near.sum(1) == NEAREST).all()
    assert (near[:NEAREST, :NEAREST] == 1).all(), "Many at one place are each other's."
    assert not near[:, NEAREST].any(), "Nobody is near what is nowhere."
    fiji, samoa = near[-2:]
    assert fiji[-1] == fiji[-2] == samoa[-1] == samoa[-2] == 1, "The date line lies between them, and 1,150 km."


def test_many_items_at_one_place_are_not_all_near_the_same_ten() -> None:
    random = np.random.default_rng(2)
    places = np.concatenate([np.full((300, 2), 37.5), random.uniform(-80, 80, (300, 2))])
    near = everywhere(places).neighbourhoods.toarray()
    assert (near.diagonal() == 1).all(), "Each is in its own."
    assert (near[:300, :300].sum(1) == NEAREST).all()
    assert near.sum(0)[:300].max() <= 4 * NEAREST


def test_only_items_with_an_event_and_a_place_have_a_neighbourhood() -> None:
    two = np.array([(1.0, 1.0), (2.0, 2.0)])
    assert everywhere(two).neighbourhoods.toarray().tolist() == [[1, 1], [1, 1]]
    assert everywhere(two, np.array([1])).neighbourhoods.toarray().tolist() == [[0, 1]]
    assert everywhere(np.full((3, 2), np.nan)).neighbourhoods.shape == (0, 3)
    without = everywhere(two)
    assert replace(without, items=without.items.only(["item"])).neighbourhoods.shape == (0, 2)


def test_what_is_put_where_nothing_is_known_is_nowhere() -> None:
    rows = {"item_id": np.array(["a", "b", "c"]), "latitude": np.array([0, 0, 99]), "longitude": np.array([0, 1, 1])}
    assert np.isnan(_places(rows)).all(1).tolist() == [True, False, True]


def town() -> Events:
    """Make users with events at two shops of one street each, and no shop in common."""
    random, item = np.random.default_rng(3), np.arange(STREETS * SHOPS)
    places = np.stack([37.5 + 0.1 * (item // SHOPS), 127 + random.normal(0, 0.001, len(item))], axis=1)
    return replace(everywhere(places), user=item // 2, user_ids=[str(u) for u in range(len(item) // 2)])


def share_in_the_street(factors: Factors, events: Events) -> float:
    """Return how many of the first three recommended shops are in the user's street."""
    users = np.unique(events.user)
    scores = factors.scores(Queries.of_users(events, users))
    scores[events.user, events.item] = -np.inf
    return float(np.mean(np.argsort(-scores)[:, :3] // SHOPS == (2 * users // SHOPS)[:, None]))


@pytest.mark.parametrize("kind", ["ials", "towers"])
def test_what_is_near_is_recommended(kind: str) -> None:
    events = town()
    found = {}
    for features in (("user", "item"), ("user", "item", "location")):
        known = replace(events, items=events.items.only(features))
        options = TowerOptions(features=features, dimensions=16, epochs=30)
        found[len(features)] = share_in_the_street(
            als.fit(known, options, Setting(1.0, 5.0), seed=1)
            if kind == "ials"
            else fit_towers.fit(known, None, options, seed=1),
            events,
        )
    assert found[3] >= 0.5 > 0.4 >= found[2], "A sixth of the shops are in the street."
