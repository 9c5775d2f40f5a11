"""Commands for models: `aisle evaluate`, `report`, `models`, `deploy`, `rollback`, `prune`, `index`."""

from pathlib import Path

import click

from aisle import reports, trainers
from aisle.commands import Database, json_option, pass_database, print_dicts, print_query
from aisle.db import model_registry

TASKS = trainers.names()


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@click.option(
    "--baseline",
    is_flag=True,
    help="Fit and measure the task's baselines on the same rows, too: TF-IDF + linear SVM; popularity, own history, "
    "item neighbours, EASE, iALS; own frequency, TIFU-KNN, UP-CF, XGBoost.",
)
@json_option
@pass_database
def evaluate(database: Database, task: str, baseline: bool, as_json: bool) -> None:
    """Measure the live model on its held-out rows, through SQL."""
    from aisle.trainers import evaluation

    with database.connect() as connection:
        print_dicts(evaluation.evaluate(trainers.task_of(task), connection, baselines=baseline), as_json)


@click.command()
@click.argument("task", type=click.Choice(reports.TOPICS))
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.",
)
@click.option("--model", "model_id", metavar="MODEL", type=int, help="Model to report on.  [default: the live model]")
@click.option(
    "--language",
    type=click.Choice(["en", "ko"]),
    default="en",
    show_default=True,
    help="Language of headings and labels.",
)
@pass_database
def report(database: Database, task: str, output: Path, model_id: int | None, language: str) -> None:
    """Write a report on a task's model as one HTML file."""
    with database.connect() as connection:
        reports.write(connection, task, output, model_id, language=language)
    click.echo(f"Report written: {output.resolve()}")


@click.command()
@json_option
@pass_database
def models(database: Database, as_json: bool) -> None:
    """List the trained models."""
    columns = "model_id, task, state, encoder, metrics, verdict, created_at::timestamp(0) as created_at"
    with database.connect() as connection:
        if not print_query(
            connection,
            f"select {'*' if as_json else columns} from aisle.models order by model_id",  # noqa: S608 - both are constants
            as_json=as_json,
        ):
            click.echo("There is no model yet. Train one: aisle train category", err=True)


@click.command()
@click.argument("model_id", metavar="MODEL", type=int)
@click.option("--force", is_flag=True, help="Deploy it even if it is worse than the live model or a baseline.")
@pass_database
def deploy(database: Database, model_id: int, force: bool) -> None:
    """Make a model live. It answers from the next statement on."""
    with database.connect() as connection:
        click.echo(model_registry.deploy(connection, model_id, force=force))


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@pass_database
def rollback(database: Database, task: str) -> None:
    """Make the model before the live one live again."""
    with database.connect() as connection:
        click.echo(model_registry.rollback(connection, task))


@click.command()
@click.argument("task", type=click.Choice(TASKS), required=False)
@click.option(
    "--keep",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of models to keep for each task: of those that a rollback can reach, with the live one, and of the "
    "newest others.",
)
@pass_database
def prune(database: Database, task: str | None, keep: int) -> None:
    """Remove old and failed models of one task, or of all tasks.

    It also removes the rest of a training run that was killed.
    """
    with database.connect() as connection:
        removed = model_registry.prune(connection, task, keep)
    click.echo("\n".join(removed) or "There is nothing to remove.")


@click.command()
@click.argument("task", type=click.Choice(TASKS), required=False)
@pass_database
def index(database: Database, task: str | None) -> None:
    """Rebuild the HNSW indexes of live models.

    Use it after very many changes. Queries use the old index until the new one is ready. A model with few vectors gets
    no index, because comparing all of them is faster.
    """
    from aisle.trainers import indexes

    with database.connect() as connection:
        for name in [task] if task else TASKS:
            model_id = model_registry.live(connection, name)
            if model_id is None:
                continue
            built = indexes.index_generation(connection, name, model_id)
            what = ", ".join(built) or "no index, because it searches no column with 10,000 vectors or more"
            click.echo(f"Model {model_id} ({name}): {what}.")
