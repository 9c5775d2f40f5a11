"""What is known of a task, as one HTML file that needs nothing else: `aisle report TASK -o FILE`.

    category, recommender, basket, freshness    read what a page holds
    pages                                       what a page is made of; the model's facts
    figures                                     draws, as SVG
    page.html.jinja                             puts it together
    korean                                      translates it

A page is read in one snapshot and drawn afterwards, so that no transaction stays open meanwhile.
"""

import contextlib
from pathlib import Path

from aisle import sql
from aisle.sql import Connection, errors, transfer


def write(connection: Connection, task: str, path: Path, model_id: int | None = None, *, language: str = "en") -> None:
    """Write the report on a task's model, by default the live one, to a file, which appears when it is complete.

    The language is "en" or "ko". The task is category, recommender, basket, or freshness, which is about the vectors of
    all tasks. Raises NoLiveModelError, ModelStateError for a model that is not there or of another task,
    InvalidArgumentError for a model where none is wanted, and MissingExtraError.
    """
    try:
        from aisle.reports import basket, category, freshness, pages, recommender
    except ImportError as error:
        raise errors.MissingExtraError(
            "A report needs the packages Jinja2 and matplotlib.", hint="Run: pip install '.[report]'"
        ) from error
    with contextlib.ExitStack() as stack:
        # A snapshot may be older than the catalogue: who may read what is asked, and kept so, beside it.
        stack.enter_context(sql.guarded(stack.enter_context(sql.connect(sql.address_of(connection)))))
        stack.enter_context(connection.transaction())
        connection.execute("set transaction isolation level repeatable read, read only")
        if task == "freshness":
            if model_id is not None:
                raise errors.InvalidArgumentError(
                    "Freshness is that of every task's vectors, not of one model.", hint="Leave --model out."
                )
            page = freshness.read(connection)
        else:
            read = {"category": category.read, "recommender": recommender.read, "basket": basket.read}[task]
            page = read(connection, pages.find_model(connection, task, model_id))
    html = pages.render(page, language)
    with transfer.replacing(path) as file:
        file.write(html.encode())
