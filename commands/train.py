"""`aisle train`, `label` and `retrain`. A training's flags come from the task's options."""

from typing import Any

import click
import psycopg

from aisle import trainers
from aisle.commands import Database, json_option, pass_database, print_json, print_rows
from aisle.commands.models import TASKS
from aisle.commands.progress import training_progress, transfer_progress
from aisle.commands.task_options import option_flags, options_given
from aisle.db import errors, model_registry
from aisle.trainers.options import Limits, TaskOptions


@click.group()
def train() -> None:
    """Train a model on the attached tables."""


@click.group()
def label() -> None:
    """Label rows that have no rating."""


def train_command(name: str) -> click.Command:
    """Return the command that trains a task, with the flags of its options."""
    options_class = trainers.options_of(name)

    @click.command(name, help=f"{str(options_class.__doc__).removesuffix('.')}, and load the model.")
    @option_flags(options_class, "train")
    @json_option
    @pass_database
    def command(database: Database, /, as_json: bool, **given: Any) -> None:
        options = options_given(options_class(), given)
        report = training_progress(database)
        from aisle.trainers import run

        result = run.train(trainers.task_of(name), database.url, options, report)
        show(result, options, as_json=as_json)

    return command


def show(result: Any, options: TaskOptions, *, as_json: bool) -> None:
    """Print the metrics of the model and of those it was compared with, and whether it is live."""
    if as_json:
        print_json(vars(result))
        return
    names = options.shown
    rows = [
        (who, *(metrics.get(name) for name in names))
        for who, metrics in [(f"model {result.model_id}", result.metrics), *result.metrics.items()]
        if isinstance(metrics, dict) and names[0] in metrics
    ]
    if rows:
        print_rows([f"on the {options.rows_held_out}", *names], rows, as_json=False)
    click.echo(
        f"Model {result.model_id} is live: {result.reason}. Try: {options.question}"
        if result.deployed
        else f"Model {result.model_id} is not deployed: {result.reason}. "
        f"Make it live: aisle deploy {result.model_id}{'' if result.passed is not False else ' --force'}"
    )


for task in TASKS:
    train.add_command(train_command(task))


@click.command()
@click.argument("task", type=click.Choice(TASKS), required=False)
@click.option("--if-stale", is_flag=True, help="Train only if the shop has changed by more than the limits; for cron.")
@click.option("--warm-start", is_flag=True, help="Start from the live models' weights if these were kept.")
@option_flags(Limits, "train", prefix="Limit: ")
@pass_database
def retrain(database: Database, /, task: str | None, if_stale: bool, warm_start: bool, **limits: float | None) -> None:
    """Train the live models again, and deploy the better ones.

    It uses the options of the live model. If one task fails, it still trains the others and exits with code 1; else the
    code is 0, even if it trained or deployed nothing. A preference model never replaces the live one, because each has
    its own labels.
    """
    from aisle.trainers import drift, run

    bounds = options_given(Limits(), limits)
    report = training_progress(database)
    with database.connect() as connection:
        names = [task] if task else [name for name in TASKS if model_registry.live(connection, name) is not None]
        if not names:
            click.echo("No model is live. Train one: aisle train category")
        failed = False
        for name in names:
            try:
                if if_stale:
                    reasons = drift.reasons(drift.examine(trainers.task_of(name), connection), bounds)
                    click.echo(f"{name}: {'stale, ' + '; '.join(reasons) if reasons else 'not stale'}.")
                    if not reasons:
                        continue
                result = run.retrain(trainers.task_of(name), connection, database.url, report, warm_start=warm_start)
            except (errors.AisleError, psycopg.Error) as raised:
                if len(names) == 1 or connection.closed:
                    raise
                error = raised if isinstance(raised, errors.AisleError) else errors.translate(raised)
                click.echo(f"Error: {name}: {error}", err=True)
                failed = True
                continue
            verdict = "live" if result.deployed else "not deployed"
            click.echo(f"Model {result.model_id} ({name}) is {verdict}: {result.reason}.")
        if failed:
            raise click.exceptions.Exit(1)


@label.command("reviews")
@json_option
@pass_database
def label_reviews(database: Database, as_json: bool) -> None:
    """Label reviews without a rating as liked or not liked, with the live model.

    Reviews keep the labels that they have. Run it again after new reviews, or after you stopped it.
    """
    from aisle.trainers.preference import labelling

    with database.connect() as connection, transfer_progress("Labelling") as done:
        result = labelling.label(connection, lambda texts: done(texts, None))
    if as_json:
        print_json(vars(result))
        return
    click.echo(
        f"{result.liked + result.not_liked:,} texts labelled: {result.liked:,} liked, {result.not_liked:,} not liked. "
        "Next: aisle train recommender --positives liked"
    )
