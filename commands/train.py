"""`aisle train`, `experiment`, `label` and `retrain`; each task's commands are in a file of its own."""

import click
import psycopg

from aisle.commands import (
    Database,
    pass_database,
    train_basket,
    train_category,
    train_options,
    train_preference,
    train_recommender,
)
from aisle.commands.models import TASKS
from aisle.db import errors, model_registry


@click.group()
def train() -> None:
    """Train a model on the attached tables."""


@click.group()
def experiment() -> None:
    """Compare ways to train, over seeds, and say what is shown."""


@click.group()
def label() -> None:
    """Say what rows mean that do not say it themselves."""


for command in (
    train_category.train_category,
    train_preference.train_preference,
    train_recommender.train_recommender,
    train_basket.train_basket,
):
    train.add_command(command)
for command in (train_recommender.experiment_recommender, train_basket.experiment_basket):
    experiment.add_command(command)
label.add_command(train_preference.label_reviews)


@click.command()
@click.argument("task", type=click.Choice(TASKS), required=False)
@click.option("--if-stale", is_flag=True, help="Only where the shop has moved on by more than the limits; for cron.")
@click.option(
    "--warm-start", is_flag=True, help="Start from the live models' weights, where they have kept any that may be."
)
@click.option(
    "--new-rows",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0),
    help="Limit: share of the items that came or changed, or of the events or orders that came or went, since the last "
    "training.",
)
@click.option(
    "--mix",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Limit: share of the items that would have to change their category for the mix to be as it was.",
)
@click.option(
    "--confidence",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Limit: how much less sure the category model is of new items than of those it was measured on.",
)
@pass_database
def retrain(
    database: Database,
    task: str | None,
    if_stale: bool,
    warm_start: bool,
    new_rows: float,
    mix: float,
    confidence: float,
) -> None:
    """Train what is live again, and deploy it if it is better.

    The settings are those of the live model. The exit code is 0 whether anything is trained and deployed or not, and
    1 if a task could not be trained; the others are all the same. A preference model takes the place of none: each
    has labels of its own.
    """
    from aisle.trainers import drift

    limits = drift.Limits(new_rows, mix, confidence)
    report = train_options.progress(database)
    with database.connect() as connection:
        tasks = [task] if task else [name for name in TASKS if model_registry.live(connection, name) is not None]
        if not tasks:
            click.echo("No model is live. Train one: aisle train category")
        failed = False
        for name in tasks:
            try:
                if if_stale:
                    reasons = drift.examine(connection, name).reasons(limits)
                    click.echo(f"{name}: {'stale, ' + '; '.join(reasons) if reasons else 'not stale'}.")
                    if not reasons:
                        continue
                result = drift.retrain(connection, database.url, name, report, warm_start=warm_start)
            except (errors.AisleError, psycopg.Error) as raised:
                if len(tasks) == 1 or connection.closed:
                    raise
                error = raised if isinstance(raised, errors.AisleError) else errors.translate(raised)
                click.echo(f"Error: {name}: {error}", err=True)
                failed = True
                continue
            click.echo(
                f"Model {result.model_id} ({name}) is {'live' if result.deployed else 'not deployed'}: {result.reason}."
            )
        if failed:
            raise click.exceptions.Exit(1)
