"""Makes click's options from a task's options, so that names, types, help texts and defaults are written once."""

import re
import typing
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

import click

from aisle.db import errors
from aisle.trainers.options import Flag, OptionsT, TaskOptions, build, default_of, flags

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_flags(options: type, command: str, *, prefix: str = "") -> Decorator:
    """Return a decorator that adds the options of a dataclass; `command` is 'train' or 'experiment'."""
    found = flags(options, command)
    # Options that all tasks share come last.
    common = flags(TaskOptions) if issubclass(options, TaskOptions) else {}
    ordered = [name for name in found if name not in common] + [name for name in found if name in common]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(ordered):
            function = _option(name, *found[name], prefix)(function)
        return function

    return decorate


def value_type(flag: Flag, hint: Any) -> Any:
    """Return click's type of a value."""
    kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not NoneType]
    kind = kinds[0] if len(kinds) == 1 or kinds[-1] is Ellipsis else hint
    if flag.choices:
        return click.Choice(flag.choices)
    if flag.metavar == "MOMENT":
        return click.DateTime()
    if kind is bool:
        return click.BOOL
    if kind is int:
        least, most = (None if bound is None else int(bound) for bound in (flag.at_least, flag.at_most))
        return click.INT if least is most is None else click.IntRange(least, most)
    if kind is float:
        if flag.at_least is flag.at_most is flag.above is flag.below is None:
            return click.FLOAT
        low, high = (x if x is not None else y for x, y in ((flag.at_least, flag.above), (flag.at_most, flag.below)))
        return click.FloatRange(low, high, min_open=flag.above is not None, max_open=flag.below is not None)
    return click.STRING


def options_given(default: OptionsT, given: Mapping[str, Any], command: str = "train") -> OptionsT:
    """Return the options with the given values; raises click's BadParameter for values that exclude each other."""
    known = flags(type(default))
    values = {name: value for name, value in given.items() if name in known and value not in (None, ())}
    try:
        if command == "train" and isinstance(default, TaskOptions):
            return default.given(values)
        return build(default, values, command)
    except errors.InvalidArgumentError as error:
        named = re.search(r"--[\w-]+", error.hint or "")
        raise click.BadParameter(str(error), param_hint=named and named[0]) from error


def _option(name: str, flag: Flag, entry: Any, hint: Any, prefix: str) -> Decorator:
    spelled = flag.name or f"--{name.replace('_', '-')}"
    text = prefix + flag.help
    if hint == (bool | None):
        return click.option(f"{spelled}/--no-{spelled[2:]}", default=None, help=f"{text}  [default: {flag.shown}]")
    if flag.is_flag or (hint is bool and not flag.choices):
        return click.option(spelled, is_flag=True, help=text)
    default = default_of(entry)
    shown = flag.shown or ("" if default in (None, ()) else f"{default}")
    return click.option(
        spelled,
        name,
        default=None,
        type=value_type(flag, hint),
        multiple=hint == tuple[str, ...],
        metavar=None if flag.metavar == "MOMENT" else flag.metavar,
        help=f"{text}  [default: {shown}]" if shown else text,
    )
