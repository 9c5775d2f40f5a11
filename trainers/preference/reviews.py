"""Reads the rated reviews, and the rule for which ratings mean liked."""

from typing import Any

from aisle import db
from aisle.db import Connection, errors
from aisle.trainers.category.fit import rows_of
from aisle.trainers.category.products import Catalogue, read_reviews
from aisle.trainers.preference.options import Options

LIKED, NOT_LIKED = CATEGORIES = ["liked", "not liked"]


def rated_reviews(connection: Connection, rule: dict[str, Any], seed: int) -> Catalogue:
    """Read the reviews with usable ratings; raises TrainingDataError unless each split has both kinds."""
    reviews = read_reviews(connection, rule, seed)
    kinds = sorted(set(reviews.categories))
    if len(kinds) == 1:
        raise errors.TrainingDataError(
            f"All {len(reviews):,} rated reviews are {kinds[0]}; both kinds are needed.",
            hint="Change the rule: --liked-from or --liked.",
        )
    if not all(rows_of(reviews, part, [kind]).any() for part in ("train", "valid", "test") for kind in kinds):
        raise errors.TrainingDataError(
            f"{len(reviews):,} rated reviews are too few: both kinds are needed to train, calibrate and measure.",
            hint="Attach a table with more reviews.",
        )
    return reviews


def liking_rule(connection: Connection, options: Options) -> dict[str, Any]:
    """Return which ratings mean liked, as `_is_liked_rating` reads it."""
    attached_column(connection, "review")
    relation, rating = attached_column(connection, "rating")
    if options.liked_from is not None and options.liked:
        raise errors.InvalidArgumentError("--liked-from and --liked exclude each other.", hint="Give one of them.")
    if options.liked_from is not None:
        return {"from": options.liked_from}
    if options.liked:
        return {"values": list(options.liked)}
    kind = db.fetch_value(connection, "select aisle._column_type(%s::regclass, %s)", (relation, rating))
    if kind != "boolean":
        raise errors.InvalidArgumentError(
            f"Which values of {rating} mean that an item was liked?",
            hint="Give the lowest number, --liked-from 4, or each word, --liked good --liked great.",
        )
    return {"values": ["true"]}


def attached_column(connection: Connection, role: str) -> tuple[str, str]:
    """Return the attached relation, and its column with this role; raises NotAttachedError."""
    row = connection.execute(
        "select relation::text, columns ->> %s from aisle._attachments where kind = 'interactions'", (role,)
    ).fetchone()
    if row is None:
        raise errors.NotAttachedError(
            "No interactions are attached.",
            hint="Attach them: aisle attach interactions SCHEMA.TABLE --review … --rating …",
        )
    if row[1] is None:
        raise errors.NotAttachedError(
            f"{row[0]} is attached without a column of {role}s.",
            hint=f"aisle detach interactions, then attach it again with --{role} COLUMN.",
        )
    return row[0], row[1]
