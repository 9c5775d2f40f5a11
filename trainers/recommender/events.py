"""Reads a recommender's training data: events, each with user, item, time and context."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql as compose
from scipy import sparse

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.trainers.arrow import numbered, read_columns
from aisle.trainers.labels import read_labels

TOWER_FEATURES = ("user", "item", "category", "text", "location")
TIME_FEATURES = ("hour", "weekday", "meal_slot")  # computed from the time of an event
NEAREST = 10  # items of a neighbourhood
MILLIMETRE = 1.6e-10  # radians
FEW, MISPLACED = 3, 0.01  # items, and share of items with a place, that may have impossible coordinates

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Items:
    """The attached items, with or without events."""

    ids: Sequence[str]
    categories: Sequence[Sequence[str] | None]  # a path, from the root; None: no category
    texts: Floats | None = None  # (items, text dimensions), rows of zeros without a text; None: not read
    text_model: int | None = None  # the category model of the texts' vectors
    hashes: Sequence[bytes] = ()  # of each item's content as read
    # (items, 2), latitude and longitude in radians, NaN if unknown; None: not read
    places: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, features: Sequence[str]) -> "Items":
        """Return the items as if read with these features alone."""
        items = self if "text" in features else replace(self, texts=None, text_model=None)
        return items if "location" in features else replace(items, places=None)


@dataclass(frozen=True)
class Events:
    """Events in order of user and time; users and items are numbered from 0."""

    user: Ints  # (events,)
    item: Ints  # (events,)
    at: npt.NDArray[np.float64]  # (events,), seconds since 1970
    weight: Floats  # (events,), 0: history only, never predicted
    context: Mapping[str, Ints]  # feature → (events,) numbers of its values, -1: missing
    context_values: Mapping[str, Sequence[str]]  # feature → its values
    user_ids: Sequence[str]
    items: Items
    left_out: int = 0  # events about items that are not attached

    def __len__(self) -> int:
        return len(self.user)

    def fingerprint(self) -> str:
        """Return a hash of all training data."""
        digest = hashlib.sha256()
        for column in (self.user_ids, self.items.ids, ["\x1f".join(path or ()) for path in self.items.categories]):
            digest.update("\x1e".join(column).encode())
        for numbers in (self.user, self.item, *self.context.values()):
            digest.update(numbers.tobytes())
        if self.items.places is not None:
            digest.update(self.items.places.tobytes())
        digest.update(self.at.tobytes() + self.weight.tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def neighbourhoods(self) -> sparse.csr_array:
        """Each item's nearest items, including itself, as ones: (neighbourhoods, items).

        Only items with a place and an event take part; among those at the same place, the choice is arbitrary.
        """
        places = self.items.places
        known = np.unique(self.item)
        known = known[np.isfinite(places[known]).all(1)] if places is not None else known[:0]
        if places is None or not len(known):
            return sparse.csr_array((0, len(self.items)))
        from sklearn.neighbors import kneighbors_graph

        # Many items at one place would all get the same ten, and the tree would compare each with each.
        shift = np.random.default_rng(0).uniform(-MILLIMETRE, MILLIMETRE, (len(known), 2))
        near = kneighbors_graph(places[known] + shift, min(NEAREST, len(known)), metric="haversine", include_self=True)
        return sparse.csr_array((near.data, known[near.indices], near.indptr), shape=(len(known), len(self.items)))

    def with_neighbourhoods(self) -> "Events":
        """Return the events, and one more user for each neighbourhood, who has all of its items.

        These events have the mean weight, or 0 if the item has no other weight.
        """
        near = self.neighbourhoods.tocoo()
        item = near.col.astype(np.int64)
        counts = self.weight > 0
        known = np.bincount(self.item, counts, minlength=len(self.items))[item] > 0
        mean = self.weight[counts].mean() if counts.any() else 0.0
        return replace(
            self,
            user=np.concatenate([self.user, len(self.user_ids) + near.row]),
            item=np.concatenate([self.item, item]),
            at=np.concatenate([self.at, np.zeros(len(item))]),
            weight=np.concatenate([self.weight, (mean * known).astype(np.float32)]),
            user_ids=[*self.user_ids, *[""] * near.shape[0]],
            context={},
        )

    def first(self) -> npt.NDArray[np.bool_]:
        """Mark each user's first event with each item."""
        first = np.zeros(len(self), dtype=bool)
        first[np.unique(self.user * len(self.items) + self.item, return_index=True)[1]] = True
        return first

    def select(self, rows: npt.NDArray[np.bool_] | Ints) -> "Events":
        """Return some of the events; users and items keep their numbers."""
        return replace(
            self,
            user=self.user[rows],
            item=self.item[rows],
            at=self.at[rows],
            weight=self.weight[rows],
            context={name: values[rows] for name, values in self.context.items()},
        )

    def only(self, features: Sequence[str]) -> "Events":
        """Return the events as if read with these features alone."""
        return replace(
            self,
            context={name: values for name, values in self.context.items() if name in features},
            context_values={name: values for name, values in self.context_values.items() if name in features},
            items=self.items.only(features),
        )


def read_events(connection: Connection, features: Sequence[str], *, liked_only: bool = False) -> Events:
    """Read the attached items and their events in bulk.

    With `liked_only`, events that are not known to be liked get weight 0. Raises NotAttachedError if no events are
    attached, TrainingDataError if there are none to learn from, InvalidArgumentError for a feature without a column,
    and NoLiveModelError if labels need a live preference model.
    """
    kind, attached = db.fetch_row(
        connection, "select s.kind, coalesce(s.columns -> 'context', '[]') from aisle._event_source() s"
    )
    if kind is None:
        raise errors.NotAttachedError(
            "No interactions are attached.",
            hint="Attach them: aisle attach interactions SCHEMA.TABLE --user … --item … --at …",
        )
    items = read_items(connection, with_texts="text" in features, with_places="location" in features)
    contexts = [name for name in features if name in attached or name in TIME_FEATURES]
    if unknown := set(features) - set(contexts) - set(TOWER_FEATURES):
        raise errors.InvalidArgumentError(
            f"There is no feature {', '.join(sorted(unknown))}.",
            hint=f"There are: {', '.join([*TOWER_FEATURES, *TIME_FEATURES, *attached])}",
        )
    values = [
        compose.SQL(", (e.context || aisle._time_context(e.local_at)) ->> {} as {}").format(
            compose.Literal(name), compose.Identifier(f"context_{number}")
        )
        for number, name in enumerate(contexts)
    ]
    weight: compose.Composable = compose.SQL("e.weight")
    if liked_only:
        if kind != "interactions":
            raise errors.NotAttachedError(
                "Orders have no ratings or reviews.",
                hint="Attach interactions: aisle attach interactions SCHEMA.TABLE --review … --rating …",
            )
        weight = compose.SQL("case when aisle._is_liked({}, e.rating, e.review) then e.weight else 0 end").format(
            compose.Literal(model_registry.require_live(connection, "preference"))
        )
    query = compose.SQL(
        "select e.user_id::text as user_id, e.item_id, extract(epoch from e.local_at)::float8 as at, "
        '{} as weight {} from aisle.{} e order by e.user_id, e.at, e.item_id collate "C"'
    ).format(weight, compose.SQL("").join(values), compose.Identifier(f"_{kind}"))
    rows = read_columns(connection, query.as_string(connection))
    if not rows:
        raise errors.TrainingDataError("There are no events.", hint="Fill the attached table first.")
    known = {item: number for number, item in enumerate(items.ids)}
    item = np.array([known.get(i, -1) for i in rows["item_id"]], dtype=np.int64)
    kept = item >= 0
    if not kept.any():
        raise errors.TrainingDataError(
            f"None of the {len(item):,} events is about an attached item.",
            hint="The item column must hold the ids of the attached items.",
        )
    if not rows["weight"][kept].any():
        raise errors.TrainingDataError(
            "No event has a weight above 0." if not liked_only else "No event is liked.",
            hint="aisle label reviews" if liked_only else "Attach another column with --weight, or none.",
        )
    user_ids, user = numbered(rows["user_id"][kept])
    context, context_values = {}, {}
    for number, name in enumerate(contexts):
        context_values[name], context[name] = numbered(rows[f"context_{number}"][kept])
    return Events(
        user=user,
        item=item[kept],
        at=rows["at"][kept].astype(np.float64),
        weight=rows["weight"][kept].astype(np.float32),
        context=context,
        context_values=context_values,
        user_ids=user_ids,
        items=items,
        left_out=int(np.count_nonzero(~kept)),
    )


def read_items(connection: Connection, *, with_texts: bool, with_places: bool = False) -> Items:
    """Read the attached items.

    Raises NoLiveModelError for texts without a model, InvalidArgumentError for places without columns, and
    TrainingDataError if there are no items or more than a few have impossible coordinates.
    """
    labels = read_labels(connection)
    latitude = db.fetch_value(connection, "select columns ->> 'latitude' from aisle._attachments where kind = 'items'")
    if with_places and latitude is None:
        raise errors.InvalidArgumentError(
            "The feature location needs columns of latitude and longitude.",
            hint="Detach the items, attach them again with --latitude and --longitude, and run aisle embed.",
        )
    text_model = model_registry.live(connection, "category") if with_texts else None
    if with_texts and text_model is None:
        raise errors.NoLiveModelError("The feature text needs a live category model.")
    query = compose.SQL(
        "select i.item_id, i.category, {} as text, {}, {}, "
        "aisle._factor_hash(aisle._content_hash(i.name, i.manufacturer, i.details), i.category) as hash "
        "from aisle._items i order by i.item_id"
    ).format(
        compose.SQL("aisle._embed({}, aisle._ngrams(i.name, i.manufacturer, i.details))::real[]").format(
            compose.Literal(text_model)
        )
        if text_model is not None
        else compose.SQL("null::real[]"),
        *(
            compose.SQL("i.{}" if with_places else "null::float8 as {}").format(compose.Identifier(angle))
            for angle in ("latitude", "longitude")
        ),
    )
    rows = read_columns(connection, query.as_string(connection))
    if not rows:
        raise errors.TrainingDataError("The attached table of items is empty.")
    return Items(
        ids=list(rows["item_id"]),
        categories=[None if c is None else labels.path(c) for c in rows["category"]],
        texts=np.array(list(rows["text"]), dtype=np.float32) if text_model is not None else None,
        text_model=text_model,
        hashes=list(rows["hash"]),
        places=_places(rows) if with_places else None,
    )


def _places(rows: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    places = np.stack([rows["latitude"], rows["longitude"]], axis=1).astype(np.float64)
    is_known = np.isfinite(places).all(1)
    wrong = np.flatnonzero(is_known & (np.abs(places) > (90, 180)).any(1))
    if len(wrong) > max(FEW, MISPLACED * is_known.sum()):
        raise errors.TrainingDataError(
            f"{len(wrong):,} items have impossible coordinates, such as {rows['item_id'][wrong[0]]} at latitude "
            f"{places[wrong[0], 0]:g} and longitude {places[wrong[0], 1]:g}.",
            hint="Latitudes go from -90 to 90 degrees, longitudes from -180 to 180. Are the columns exchanged?",
        )
    places[wrong] = np.nan
    places[(places == 0).all(1)] = np.nan  # a common placeholder for unknown
    return np.radians(places)
