"""`aisle train preference` and `aisle label`."""

from typing import Any

import click

from aisle.commands import Database, json_option, pass_database, print_json
from aisle.commands.progress import transfer_progress
from aisle.commands.train_category import TEXT_OPTIONS, text_options
from aisle.commands.train_options import WARM_START, progress, show, with_options


@click.command("preference")
@click.option("--liked-from", type=float, help="The least rating that means liked, such as 4.")
@click.option("--liked", multiple=True, help="A rating that means liked, such as good; repeatable.")
@with_options(TEXT_OPTIONS)
@WARM_START
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it label when it is ready.  [default: if no model is live, and it beats the more frequent answer]",
)
@json_option
@pass_database
def train_preference(
    database: Database, /, liked_from: float | None, liked: tuple[str, ...], deploy: bool | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Train review → liked or not, on the reviews with a rating, and publish it."""
    from dataclasses import replace

    from aisle.trainers.preference import task as preference

    options = replace(text_options(preference.Options(), **given), liked_from=liked_from, liked=liked, deploy=deploy)
    result = preference.train(database.url, options, progress(database))
    names = ("accuracy", "macro_f1", "auc", "ece")
    show(result, "of the held-out reviews", names, "aisle label reviews", as_json=as_json)


@click.command("reviews")
@json_option
@pass_database
def label_reviews(database: Database, as_json: bool) -> None:
    """Label reviews without a rating as liked or not, by the live model.

    A text that has its label is left alone: run it again after new reviews, or after it was stopped.
    """
    from aisle.trainers.preference import task as preference

    with database.connect() as connection, transfer_progress("Labelling") as done:
        result = preference.label(connection, lambda texts: done(texts, None))
    if as_json:
        print_json(vars(result))
        return
    click.echo(
        f"{result.liked + result.not_liked:,} texts labelled: {result.liked:,} liked, {result.not_liked:,} not liked. "
        "Next: aisle train recommender --positives liked"
    )
