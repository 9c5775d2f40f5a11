"""What the commands that train share: their options, how a run tells how far it is, and what it came to."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from aisle.commands import Database, print_json, print_rows

WARM_START = click.option(
    "--warm-start", is_flag=True, help="Start from the live model's weights, as they were before they were measured."
)


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add options that several commands have."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def progress(database: Database) -> Callable[[str], None]:
    """Return what tells how training goes, on stderr."""
    with database.connect():
        pass  # a schema of the wrong version is said before anything is trained
    from aisle.trainers import run

    if not run.is_leader():
        return lambda line: None  # of the processes that share a run, one tells
    started = time.monotonic()
    return lambda line: click.echo(f"{time.monotonic() - started:6.1f} s  {line}", err=True)


def show(result: Any, of: str, names: Sequence[str], question: str, *, as_json: bool) -> None:
    """Print what a model and those beside it come to, and whether it answers."""
    if as_json:
        print_json(vars(result))
        return
    rows = [
        (who, *(metrics.get(name) for name in names))
        for who, metrics in [(f"model {result.model_id}", result.metrics), *result.metrics.items()]
        if isinstance(metrics, dict) and names[0] in metrics
    ]
    if rows:
        print_rows([of, *names], rows, as_json=False)
    click.echo(
        f"Model {result.model_id} is live: {result.reason}. Try: {question}"
        if result.deployed
        else f"Model {result.model_id} is not deployed: {result.reason}. "
        f"Let it answer: aisle deploy {result.model_id}{'' if result.passed is not False else ' --force'}"
    )
