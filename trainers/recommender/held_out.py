"""Holds out what a recommender is measured on: what users did from a moment on."""

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
    """For some users: the moment from which their events are held out, and the first of those that count."""

    events: Events  # everything before the moments
    user: Ints  # (users,)
    at: npt.NDArray[np.float64]  # (users,), seconds
    relevant: Events  # the events that should have been foreseen


def hold_out(events: Events, moment: float | None, *, exclude_seen: bool, start: Start | None = None) -> HeldOut:
    """Hold out what each user did from a moment on; by default, from the last time that counts for each.

    Where seen items are not recommended, only a user's first event with an item counts. A user of whom nothing would
    be left is not held out, nor one of whom the weights that are started from have learned what came then. Raises
    WarmStartError where these are all.
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
    """Return what a published model was measured on: its held-out users, and the events before their moments."""
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
    """Raise TrainingDataError where there is nothing to tell apart."""
    check_moment(test, moment, "--test-from")
    users, items = len(np.unique(test.events.user)), len(np.unique(test.events.item))
    if users < 2 or items < 2:
        raise errors.TrainingDataError(
            f"There are {users} users with {items} items; two of each are the least.", hint=fit_towers.MORE_EVENTS
        )
    if not len(test.user):
        raise errors.TrainingDataError(
            "No user has an event to foresee: one of a later time than another, that counts, with an item new to them.",
            hint="Do times differ within a user? An event of weight 0 does not count; with --repeats known items do.",
        )


def check_moment(test: HeldOut, moment: float | None, option: str) -> None:
    """Raise TrainingDataError where nobody's events were held out from the moment that an option named."""
    if moment is not None and not len(test.user):
        raise errors.TrainingDataError(
            f"Nobody has an event that counts from {datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} on, and one "
            "before.",
            hint=f"Name another moment, or leave out {option}.",
        )
