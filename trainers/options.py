"""A task's options: one dataclass that gives the command line, the stored parameters and a retraining their values.

`option` makes a field that users can set. `dump` turns options into JSON, which is stored whole with the model;
`restore` turns it back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar, get_type_hints

OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True)
class Flag:
    """How the command line sets a field. `help` is a sentence; the command line adds the default to it."""

    help: str
    name: str | None = None  # None: the field's own, with dashes
    choices: Sequence[str] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    metavar: str | None = None
    is_flag: bool = False  # takes no value, whatever the field's type
    shown: str | None = None  # the default in words
    parse: Callable[[Any], Any] | None = None  # turns the given value into the field's
    used_in: str = "both"  # 'train', 'experiment', or 'grid': an experiment's --grid alone


def option(default: Any, help: str, **how: Any) -> Any:  # noqa: A002 - click's word
    """Return a field that the command line can set."""
    return field(default=default, metadata={"flag": Flag(help, **how)})


def of_one_run(default: Any, help: str | None = None, **how: Any) -> Any:  # noqa: A002
    """Return a field that holds for one run only: it is not stored with the model."""
    return field(default=default, metadata={"flag": None if help is None else Flag(help, **how), "is_stored": False})


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Options that all tasks share."""

    seed: int = option(7, "Random seed. The same seed on the same machine gives the same model.")
    warm_start: bool = of_one_run(
        False, "Start from the weights that the live model had before it saw its validation rows.",
        used_in="train",
    )  # fmt: skip
    deploy: bool | None = of_one_run(None)

    place: ClassVar[int]  # among the tasks: a model may build on those of tasks with a lower place
    rows_held_out: ClassVar[str]  # what the metrics measure, in words
    question: ClassVar[str]  # a command that queries the model

    metrics: ClassVar[tuple[str, ...]]  # that the command prints; `{top}` is the option

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of the metrics that the command prints."""
        return tuple(name.format(top=getattr(self, "top", None)) for name in self.metrics)

    def given(self, values: Mapping[str, Any]) -> Self:
        """Return these options with the values of the command line."""
        return build(self, values)


@dataclass(frozen=True)
class Limits:
    """The limits beyond which the shop has changed too much for a model."""

    new_rows: float = option(
        0.1, "Share of rows inserted or deleted since the last training; for items, also of those that changed.",
        at_least=0,
    )  # fmt: skip
    mix: float = option(
        0.1, "Total variation distance between the category shares at the last training and now.", at_least=0,
        at_most=1,
    )  # fmt: skip
    confidence: float = option(
        0.05, "Drop of the category model's mean confidence from its held-out items to new items.", at_least=0,
        at_most=1,
    )  # fmt: skip


def flags(options: type, command: str | None = None) -> dict[str, tuple[Flag, Field[Any], Any]]:
    """Return each flag by its parameter's name, with its field and the field's type; nested options are flattened.

    `command` is 'train' or 'experiment', whose flags alone are returned; None: all.
    """
    found: dict[str, tuple[Flag, Field[Any], Any]] = {}
    hints = get_type_hints(options)
    for entry in fields(options):
        if entry.metadata.get("flag") is not None:
            flag: Flag = entry.metadata["flag"]
            if command is not None and flag.used_in not in ("both", command):
                continue
            found.setdefault((flag.name or entry.name).lstrip("-").replace("-", "_"), (flag, entry, hints[entry.name]))
        elif is_dataclass(hints[entry.name]):
            for name, rest in flags(type(default_of(entry)), command).items():
                found.setdefault(name, rest)
    return found


def build(options: OptionsT, given: Mapping[str, Any], command: str = "train") -> OptionsT:
    """Return these options with the given values, by parameter name. None means not given."""
    changes: dict[str, Any] = {}
    for entry in fields(options):  # type: ignore[arg-type]
        flag: Flag | None = entry.metadata.get("flag")
        if flag is not None:
            if flag.used_in not in ("both", command):
                continue
            value = given.get((flag.name or entry.name).lstrip("-").replace("-", "_"))
            if value is not None and not (flag.is_flag and value is False):
                changes[entry.name] = value if flag.parse is None else flag.parse(value)
        elif is_dataclass(current := getattr(options, entry.name)):
            changes[entry.name] = build(current, given, command)
    return type(options)(**{**_shallow(options), **changes})


def dump(options: Any) -> dict[str, Any]:
    """Return options as values for JSON, without those that hold for one run only."""
    return {
        entry.name: dump(value) if is_dataclass(value := getattr(options, entry.name)) else value
        for entry in fields(options)
        if entry.metadata.get("is_stored", True)
    }


def restore(options: type[OptionsT], stored: Mapping[str, Any]) -> OptionsT:
    """Return the stored options; a missing value has its default."""
    values: dict[str, Any] = {}
    for entry in fields(options):  # type: ignore[arg-type]
        if entry.name not in stored:
            continue
        value = stored[entry.name]
        if isinstance(value, dict):
            value = restore(type(default_of(entry)), value)
        values[entry.name] = tuple(value) if isinstance(value, list) else value
    return options(**values)


def default_of(entry: "Field[Any]") -> Any:
    """Return the default value of a field."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def seconds(moment: datetime) -> float:
    """Return a local moment as seconds since 1970, as the database counts them."""
    return moment.replace(tzinfo=UTC).timestamp()


def names(listed: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(filter(None, (name.strip() for name in listed.split(","))))


def _shallow(options: Any) -> dict[str, Any]:
    return {entry.name: getattr(options, entry.name) for entry in fields(options)}
