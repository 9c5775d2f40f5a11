"""A task is named in its own folder. No other file lists tasks by hand, so that another task needs none of them."""

import re
from pathlib import Path

import pytest

from aisle import trainers

ROOT = Path(__file__).parents[2]
# The commands and functions that show or combine the answers of certain tasks: each names those that it calls.
CALLERS = {
    "commands/answers.py",  # similar_items: by category vectors or by basket vectors
    "commands/demo.py",  # trains three tasks and shows their answers
    "commands/experiment.py",  # two tasks have experiments, and each has options of its own
    "commands/shop.py",  # exports the answers of two tasks
    "sql/functions/search/similar_items.sql",
}
OUTSIDE = ("tests", "benchmarks", "docs", "build", ".")
NAMED = re.compile(rf"""["']({"|".join(trainers.names())})["']""")


def names_in(path: Path) -> set[str]:
    return set(NAMED.findall(path.read_text(encoding="utf-8")))


def is_its_own(place: str, task: str) -> bool:
    """Return whether a file belongs to one task, whose code may use the other tasks' models."""
    return place.startswith((f"trainers/{task}/", f"sql/functions/{task}/")) or place == f"reports/topics/{task}.py"


FILES = [
    place
    for pattern in ("**/*.py", "**/*.sql")
    for path in sorted(ROOT.glob(pattern))
    if not (place := path.relative_to(ROOT).as_posix()).startswith(OUTSIDE)
    and place != "sql/tasks.sql"
    and "frozen/" not in place
    and not any(is_its_own(place, task) for task in trainers.names())
]


@pytest.mark.parametrize("place", [place for place in FILES if place not in CALLERS])
def test_a_file_lists_no_tasks(place: str) -> None:
    found = names_in(ROOT / place)
    assert len(found) <= 1, (
        f"{place} names {', '.join(sorted(found))}. Ask trainers.names() or aisle._tasks instead, "
        "or move the code to the task's folder."
    )


def test_the_exceptions_are_needed() -> None:
    assert {place for place in FILES if len(names_in(ROOT / place)) > 1} == CALLERS
