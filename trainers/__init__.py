"""Trainers: read the shop's rows, fit, load a model, measure it through SQL. A folder below is a task.

`options.py` has a task's options and loads nothing heavy; `task.py` has its class and loads the libraries.
"""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aisle.trainers.options import TaskOptions
    from aisle.trainers.task import Task


def names() -> list[str]:
    """Return the names of the tasks, those first whose models others build on."""
    found = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return sorted(found, key=lambda name: options_of(name).place)


def options_of(name: str) -> "type[TaskOptions]":
    """Return the class of a task's options."""
    return import_module(f"aisle.trainers.{name}.options").Options  # type: ignore[no-any-return]


def task_of(name: str) -> "Task[Any, Any, Any, Any]":
    """Return a task."""
    return import_module(f"aisle.trainers.{name}.task").TASK  # type: ignore[no-any-return]
