"""Progress of long work, on stderr, so that what a command prints can be piped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def transfer_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs; yield what moves it: done, total."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
