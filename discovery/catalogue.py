"""What `discover` read of a database: tables, columns with a sample of their values, and links between tables."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aisle.discovery.words import words

INTEGERS = {"int2", "int4", "int8"}
NUMBERS = INTEGERS | {"numeric", "float4", "float8"}
TEXTS = {"text", "varchar", "bpchar", "citext", "name"}
TIMES = {"timestamp", "timestamptz", "date"}
JSON = {"json", "jsonb"}


@dataclass(frozen=True)
class Column:
    """A column, and what a sample of rows says of it."""

    name: str
    type: str  # as pg_type names it; `enum` for each enum
    not_null: bool = False
    labels: tuple[str, ...] = ()  # of an enum, or of a check constraint that lists values
    sampled: int = 0
    nulls: int = 0
    values: Counter[str] = field(default_factory=Counter, compare=False)  # of the sample, as text: the frequent ones
    different: int = 0  # values of the sample; 0 if `values` has all
    keys: Counter[str] = field(default_factory=Counter, compare=False)  # of JSON objects
    in_order: tuple[str | None, ...] = field(default=(), compare=False)  # the sample, row by row, of a small table

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its name."""
        return words(self.name)

    @property
    def filled(self) -> float:
        """The share of sampled rows with a value; 1 if there are no rows."""
        return 1 - self.nulls / self.sampled if self.sampled else 1.0

    @property
    def distinct(self) -> float:
        """The share of different values in the filled rows; 0 if there are no rows."""
        filled = self.sampled - self.nulls
        return (self.different or len(self.values)) / filled if filled else 0.0

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.type in TEXTS

    @property
    def is_number(self) -> bool:
        """Whether it holds a number."""
        return self.type in NUMBERS

    @property
    def is_time(self) -> bool:
        """Whether it holds a time or a date."""
        return self.type in TIMES

    @property
    def may_be_key(self) -> bool:
        """Whether it has a type that keys have."""
        return self.type in INTEGERS | TEXTS | {"uuid", "numeric"}


@dataclass(frozen=True)
class Table:
    """A table of the shop."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()  # columns that have a unique index of their own
    rows: int = 0  # an estimate
    prefix: int = 0  # how many of the first words of its name many tables share, such as `spree`

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its name, without the prefix of many tables."""
        found = words(self.name)
        return found[self.prefix :] or found

    @cached_property
    def key(self) -> str | None:
        """The column that other tables refer to."""
        if len(self.primary_key) == 1:
            return self.primary_key[0]
        if self.primary_key:
            return None
        named = [name for name in self.unique if name.lower() == "id"]
        return next(iter([*named, *self.unique]), None)

    def column(self, name: str) -> Column:
        """Return the column of this name; raises KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Link:
    """Each row of `table` has at most one row of `target`: `table.column = target.target_column`."""

    table: str  # schema.name
    column: str
    target: str
    target_column: str
    is_foreign_key: bool
    share: float | None = None  # of sampled values that are keys of the target; None if nothing could be sampled
    similarity: float = 0.0  # of the names

    @property
    def evidence(self) -> str:
        """What speaks for it, for people."""
        if self.is_foreign_key:
            return "foreign key"
        if self.share is None:
            return "by its name only: there are no rows"
        return f"no foreign key; {self.share:.0%} of the sampled values match"


@dataclass(frozen=True)
class Catalogue:
    """Tables by `schema.name`, and the links between them."""

    tables: dict[str, Table]
    links: tuple[Link, ...] = ()
    names: dict[str, Any] = field(default_factory=dict, compare=False)  # of tables: what `items.name_of` found

    @cached_property
    def _from(self) -> dict[str, list[Link]]:
        found: dict[str, list[Link]] = defaultdict(list)
        for link in self.links:
            found[link.table].append(link)
        return found

    @cached_property
    def _to(self) -> dict[str, list[Link]]:
        found: dict[str, list[Link]] = defaultdict(list)
        for link in self.links:
            found[link.target].append(link)
        return found

    def links_from(self, table: str) -> list[Link]:
        """Return the links of a table to others (or itself)."""
        return self._from.get(table, [])

    def links_to(self, table: str) -> list[Link]:
        """Return the links of other tables (or itself) to a table."""
        return self._to.get(table, [])

    def link_of(self, table: str, column: str) -> Link | None:
        """Return the link of a column."""
        return next((link for link in self.links_from(table) if link.column == column), None)

    def paths(self, start: str, length: int, without: frozenset[str] = frozenset()) -> Iterator[tuple[Link, ...]]:
        """Yield all ways of up to `length` links to other tables, the short ones first."""
        ways: list[tuple[Link, ...]] = [()]
        for _ in range(length):
            longer = []
            for way in ways:
                seen = {start, *(link.target for link in way)}
                for link in self.links_from(way[-1].target if way else start):
                    if link.target not in seen | without:
                        longer.append((*way, link))
            yield from longer
            ways = longer
