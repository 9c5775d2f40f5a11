"""A task's options: one dataclass defines the command line, the stored parameters and a retraining.

`option` makes a field that the command line can set. `dump` turns the options into JSON, stored with the model;
`restore` reads it back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar, get_type_hints

OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True)
class Flag:
    """The command-line flag of a field. `help` is a sentence; the command line adds the default."""

    help: str
    name: str | None = None  # None: the field's name, with dashes
    choices: Sequence[str] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    metavar: str | None = None
    is_flag: bool = False  # takes no value
    shown: str | None = None  # the default in words
    parse: Callable[[Any], Any] | None = None  # given value → the field's value
    used_in: str = "both"  # 'train', 'experiment', or 'grid': an experiment's --grid alone


def option(default: Any, help: str, **how: Any) -> Any:  # noqa: A002 - click's word
    """Return a field that the command line can set."""
    return field(default=default, metadata={"flag": Flag(help, **how)})


def of_one_run(default: Any, help: str | None = None, **how: Any) -> Any:  # noqa: A002
    """Return a field of this run only: it is not stored with the model."""
    return field(default=default, metadata={"flag": None if help is None else Flag(help, **how), "is_stored": False})


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options of every task."""

    seed: int = option(7, "Random seed. The same seed on the same machine gives the same model.")
    warm_start: bool = of_one_run(
        False, "Start from the weights that the live model had before it saw its validation rows.",
        used_in="train",
    )  # fmt: skip
    deploy: bool | None = of_one_run(None)

    rows_held_out: ClassVar[str]  # what the metrics count, in words
    question: ClassVar[str]  # a command that queries the model

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that the command prints."""
        raise NotImplementedError

    def given(self, values: Mapping[str, Any]) -> Self:
        """Return these options with the values from the command line."""
        return build(self, values)


@dataclass(frozen=True)
class Limits:
    """The limits beyond which a model is stale."""

    new_rows: float = option(
        0.1, "Share of rows added or removed since the last training; for items, also of changed rows.",
        at_least=0,
    )  # fmt: skip
    mix: float = option(
        0.1, "Share of items that must change category to restore the old mix.", at_least=0,
        at_most=1,
    )  # fmt: skip
    confidence: float = option(
        0.05, "Drop of the category model's mean confidence from held-out to new items.", at_least=0,
        at_most=1,
    )  # fmt: skip


def flags(options: type) -> dict[str, tuple[Flag, Field[Any], Any]]:
    """Return parameter name → its flag, field and type; nested options are flattened."""
    found: dict[str, tuple[Flag, Field[Any], Any]] = {}
    hints = get_type_hints(options)
    for entry in fields(options):
        if entry.metadata.get("flag") is not None:
            flag: Flag = entry.metadata["flag"]
            found.setdefault((flag.name or entry.name).lstrip("-").replace("-", "_"), (flag, entry, hints[entry.name]))
        elif is_dataclass(hints[entry.name]):
            for name, rest in flags(type(default_of(entry))).items():
                found.setdefault(name, rest)
    return found


def build(options: OptionsT, given: Mapping[str, Any]) -> OptionsT:
    """Return these options with the given values, by parameter name; None: not given."""
    changes: dict[str, Any] = {}
    for entry in fields(options):  # type: ignore[arg-type]
        flag: Flag | None = entry.metadata.get("flag")
        if flag is not None:
            value = given.get((flag.name or entry.name).lstrip("-").replace("-", "_"))
            if value is not None and not (flag.is_flag and value is False):
                changes[entry.name] = value if flag.parse is None else flag.parse(value)
        elif is_dataclass(current := getattr(options, entry.name)):
            changes[entry.name] = build(current, given)
    return type(options)(**{**_shallow(options), **changes})


def dump(options: Any) -> dict[str, Any]:
    """Return options as JSON, without the fields of one run."""
    return {
        entry.name: dump(value) if is_dataclass(value := getattr(options, entry.name)) else value
        for entry in fields(options)
        if entry.metadata.get("is_stored", True)
    }


def restore(options: type[OptionsT], stored: Mapping[str, Any]) -> OptionsT:
    """Return stored options; a missing one gets its default."""
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
    """Return a local time in seconds since 1970, as the database computes it."""
    return moment.replace(tzinfo=UTC).timestamp()


def names(listed: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(name.strip() for name in listed.split(","))


def _shallow(options: Any) -> dict[str, Any]:
    return {entry.name: getattr(options, entry.name) for entry in fields(options)}
