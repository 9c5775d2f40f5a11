"""A report on a task, as one self-contained HTML file: `aisle report TASK -o FILE`.

    topics/                                     the contents of each page pages
    the elements of a page; the model's facts figures                                     draws, as SVG page.html.jinja
    puts it together korean                                      translates it

A page is read in one snapshot and drawn afterwards, so that no transaction stays open meanwhile.
"""

import contextlib
import pkgutil
from importlib import import_module
from pathlib import Path

from aisle import db
from aisle.db import Connection, errors

TOPICS = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "topics")]))
OF_ALL_TASKS = "freshness"


def write(connection: Connection, topic: str, path: Path, model_id: int | None = None, *, language: str = "en") -> None:
    """Write the report on a task's model, by default the live one, to a file; it appears when it is complete.

    The language is "en" or "ko". The topic is one of TOPICS: a task, or freshness, which is about the vectors of all
    tasks. Raises NoLiveModelError, ModelStateError for an unknown model or one of another task, InvalidArgumentError
    for a model with the topic freshness, and MissingExtraError.
    """
    from aisle.files import import_export

    try:
        from aisle.reports import pages

        module = import_module(f"aisle.reports.topics.{topic}")
    except ImportError as error:
        raise errors.MissingExtraError(
            "A report needs the packages Jinja2 and matplotlib.", hint="Run: pip install '.[report]'"
        ) from error
    with contextlib.ExitStack() as stack:
        # A snapshot may be older than the catalogue: another connection checks rights and holds the guard's locks.
        stack.enter_context(db.guarded(stack.enter_context(db.connect(db.address_of(connection)))))
        stack.enter_context(connection.transaction())
        connection.execute("set transaction isolation level repeatable read, read only")
        if topic != OF_ALL_TASKS:
            page = module.read(connection, pages.find_model(connection, topic, model_id))
        elif model_id is None:
            page = module.read(connection)
        else:
            raise errors.InvalidArgumentError(
                "Freshness covers the vectors of all tasks, not one model.", hint="Leave --model out."
            )
    html = pages.render(page, language)
    with import_export.replacing(path) as file:
        file.write(html.encode())
