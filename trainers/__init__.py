"""Trainers: read the shop's rows, fit, load a model, measure it through SQL. A folder below is a task.

Each has its options in `options.py`, which loads nothing heavy, and its class in `task.py`, which loads all it needs.
"""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aisle.trainers.options import TaskOptions
    from aisle.trainers.task import Task


def names() -> list[str]:
    """Return the names of the tasks."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def options_of(name: str) -> "type[TaskOptions]":
    """Return the class of a task's options."""
    return import_module(f"aisle.trainers.{name}.options").Options  # type: ignore[no-any-return]


def task_of(name: str) -> "Task[Any, Any, Any, Any]":
    """Return a task."""
    return import_module(f"aisle.trainers.{name}.task").TASK  # type: ignore[no-any-return]
