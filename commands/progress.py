"""Progress of long work. It goes to stderr, so that a command's output can be piped."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from aisle.commands import Database


@contextmanager
def transfer_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs; yield the function that moves it: `move(done, total)`."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def training_progress(database: Database) -> Callable[[str], None]:
    """Return the function that prints the progress of a training on stderr."""
    with database.connect():
        pass  # a schema of the wrong version raises before the training begins
    from aisle.trainers import run

    if not run.is_leader():
        return lambda line: None  # one of the processes that share a run prints
    started = time.monotonic()
    return lambda line: click.echo(f"{time.monotonic() - started:6.1f} s  {line}", err=True)
