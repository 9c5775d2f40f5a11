"""Holds out the events that measure a recommender: those of users from a moment on."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection, errors
from aisle.trainers import warm_start
from aisle.trainers.recommender import fit_towers
from aisle.trainers.recommender.events import Events, Ints
from aisle.trainers.warm_start import Start


@dataclass(frozen=True)
class HeldOut:
    """Some users, and the moments from which their events are held out."""

    events: Events  # all events before the moments
    user: Ints  # (users,)
    at: npt.NDArray[np.float64]  # (users,), seconds
    relevant: Events  # the events to predict


def hold_out(events: Events, moment: float | None, *, exclude_seen: bool, start: Start | None = None) -> HeldOut:
    """Hold out each user's events from a moment on; by default, from the user's last event that counts.

    If seen items are not recommended, only a user's first event with an item counts. A user is not held out if no event
    would be left, or if the warm start's weights have learned from the events to hold out. Raises WarmStartError if
    that is true of all users.
    """
    counts = events.weight > 0
    if exclude_seen:
        counts &= events.first()
    users = len(events.user_ids)
    first, last = np.full(users, np.inf), np.full(users, -np.inf)
    np.minimum.at(first, events.user, events.at)
    np.maximum.at(last, events.user[counts], events.at[counts])
    cut = last if moment is None else np.where(last >= moment, moment, np.inf)
    cut = np.where((first < cut) & (cut < np.inf), cut, np.inf)
    if start is not None:
        unseen = np.where(cut > start.seen.until_of(events.user_ids), cut, np.inf)
        warm_start.check_unseen(start, int((unseen < np.inf).sum()), int((cut < np.inf).sum()), "users")
        cut = unseen
    after = events.at >= cut[events.user]
    relevant = events.select(after & counts)
    user = np.unique(relevant.user)
    return HeldOut(events.select(~after), user, cut[user], relevant)


def read_held_out(connection: Connection, model_id: int, events: Events) -> HeldOut:
    """Return a loaded model's held-out users, and the events before their moments."""
    rows = connection.execute(db.read("queries/heldout_users"), {"model_id": model_id, "kind": None}).fetchall()
    users, items = ({name: n for n, name in enumerate(names)} for names in (events.user_ids, events.items.ids))
    moments = np.full(len(users), np.inf)
    wanted: set[tuple[int, int]] = set()
    for user_id, moment, relevant in rows:
        if user_id in users:
            moments[users[user_id]] = moment
            wanted |= {(users[user_id], items[item]) for item in relevant if item in items}
    after = events.at > moments[events.user]
    is_relevant = np.array([pair in wanted for pair in zip(events.user, events.item, strict=True)])
    relevant_events = events.select(after & is_relevant)
    user = np.unique(relevant_events.user)
    return HeldOut(events.select(~after), user, moments[user], relevant_events)


def check(test: HeldOut, moment: float | None) -> None:
    """Raise TrainingDataError if there are fewer than two users or items, or no held-out events."""
    check_moment(test, moment, "--test-from")
    users, items = len(np.unique(test.events.user)), len(np.unique(test.events.item))
    if users < 2 or items < 2:
        raise errors.TrainingDataError(
            f"There are {users} users with {items} items; at least two of each are needed.", hint=fit_towers.MORE_EVENTS
        )
    if not len(test.user):
        raise errors.TrainingDataError(
            "No event can be held out: it must come after another of the same user, have a weight above 0 and, without "
            "--repeats, be about an item new to that user.",
            hint="Check that a user's events have different times.",
        )


def check_moment(test: HeldOut, moment: float | None, option: str) -> None:
    """Raise TrainingDataError if no events were held out from the moment of an option."""
    if moment is not None and not len(test.user):
        raise errors.TrainingDataError(
            f"No user has events before {datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}, and later ones.",
            hint=f"Give another moment, or leave out {option}.",
        )
