"""Which column refers to which table, where no foreign key says so: by names, and by the values.

Numbers of one table look like those of another, so numbers need a name that fits. Long text ids and UUIDs do not match
by chance, so their values are enough.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from aisle.discovery.catalogue import INTEGERS, Column, Link, Table
from aisle.discovery.words import TRANSLATION, similarity, without_ids

MATCHING = 0.9  # share of values that a guessed link must have
NAMED = 0.5  # similarity of names from which a link of numbers is tried
LONG = 8  # characters of an id that no other table has by chance
NO_KEYS = {
    "name",
    "title",
    "email",
    "slug",
    "handle",
    "code",
    "position",
    "rank",
    "url",
    "label",
    "value",
    "token",
    "phone",
}
UPWARDS = {"parent", "upper"}
PARENT = 0.9  # similarity of a column such as `parent_id` with its own table
GENERIC = {"translatable", "base", "entity", "object", "owner", "master", "source"}


@dataclass(frozen=True)
class _Target:
    """A table with a key of one column, to which others may refer."""

    name: str
    table: Table
    key: Column
    shape: "_Shape | None"


@dataclass(frozen=True)
class _Shape:
    """What long ids of one table have in common."""

    lengths: frozenset[int]
    beginning: str  # the letters before the first `_`, if all have the same: `prod_01…` → prod

    def fits(self, key: "_Shape | None") -> bool:
        """Return whether ids of this shape may be those of a key."""
        return key is not None and self.lengths <= key.lengths and self.beginning == key.beginning


def guesses(tables: dict[str, Table], known: Iterable[Link]) -> list[Link]:
    """Return links that names or values suggest; their shares are not measured yet."""
    known = list(known)
    taken = {(link.table, link.column) for link in known}
    # `stock.product_id` most likely refers to the table that `order_line.product_id` refers to by a foreign key.
    alike: dict[str, set[str]] = defaultdict(set)
    for link in known:
        if link.table != link.target:
            alike[link.column].add(link.target)
    targets: dict[str, list[_Target]] = defaultdict(list)
    for name, table in tables.items():
        if table.key is not None:
            key = table.column(table.key)
            for kind in _kinds_of_references(key):
                targets[kind].append(_Target(name, table, key, _shape(key)))
    named: dict[tuple[str, str], list[tuple[_Target, float]]] = {}
    found = []
    for name, table in tables.items():
        for column in table.columns:
            is_own_key = table.primary_key == (column.name,)
            if (name, column.name) in taken or not column.may_be_key or is_own_key or _is_constant(column):
                continue
            kind = _kind(column)
            if (column.name, kind) not in named:
                named[column.name, kind] = _named(column, targets[kind])
            close = {target.name: (target, weight) for target, weight in named[column.name, kind]}
            close |= {target.name: (target, 1.0) for target in targets[kind] if target.name in alike[column.name]}
            close |= _named_by_table(name, table, column, targets[kind])
            shape = _shape(column)
            for target in targets[kind] if shape else ():
                if name != target.name and shape is not None and shape.fits(target.shape):
                    close.setdefault(target.name, (target, 0.0))
            for target, weight in close.values():
                if target.name != name or weight == PARENT:
                    found.append(Link(name, column.name, target.name, target.key.name, False, similarity=weight))
            found += _unique_columns(name, column, tables)
    return found


def best(tables: dict[str, Table], measured: Iterable[Link]) -> list[Link]:
    """Return foreign keys and, for each other column, the best link that its values do not contradict."""
    chosen: dict[tuple[str, str], Link] = {}
    for link in measured:
        if link.is_foreign_key:
            found = chosen.get((link.table, link.column))
            if found is None or not found.is_foreign_key:
                chosen[link.table, link.column] = link
            continue
        # Rows of deleted products and customers are usual; then only the very name is enough.
        is_contradicted = (
            link.share is not None and link.share < MATCHING and (link.similarity < 0.85 or link.share < 0.3)
        )
        if is_contradicted or (link.share is None and link.similarity < 0.7):
            continue
        found = chosen.get((link.table, link.column))
        if found is None or (not found.is_foreign_key and _rank(tables, link) > _rank(tables, found)):
            chosen[link.table, link.column] = link
    return list(chosen.values())


def _rank(tables: dict[str, Table], link: Link) -> tuple[float, float, int]:
    # Of tables that are named equally well, that with the shorter name is meant: `product`, not `store_product`.
    return (link.similarity + (link.share or 0), link.share or 0, -len(tables[link.target].name))


def _named(column: Column, targets: list[_Target]) -> list[tuple[_Target, float]]:
    """Return the tables that the name of a column fits, each with how well it does."""
    found = []
    stem = without_ids(column.name)
    # A number or a text without `id` in its name is a key only if it is named as the table is.
    is_key_like = stem != column.words or column.name.lower().endswith(("id", "no", "cd"))
    stem = tuple(word for word in stem if word not in UPWARDS) if len(stem) > 1 else stem
    for target in targets:
        close = similarity(stem, target.table.words)
        is_same = column.name == target.key.name and column.name.lower() not in ("id", "uuid", "code", "name", "key")
        if is_same and close > 0:
            close = 1.0
        if close >= (NAMED if is_key_like else 0.85):
            found.append((target, close))
    return found


def _named_by_table(
    name: str, table: Table, column: Column, targets: list[_Target]
) -> dict[str, tuple[_Target, float]]:
    """Return tables that the name of the column's own table fits: itself for a parent, or one that this describes."""
    if set(column.words) & UPWARDS:
        return {target.name: (target, PARENT) for target in targets if target.name == name}
    stem = without_ids(column.name)
    if stem and not set(stem) <= GENERIC:
        return {}
    found = {}
    ours = table.words
    for target in targets:
        # `product_translation.translatable_id`, `catalog_product_entity_varchar.entity_id`
        theirs = target.table.words
        rest = ours[len(theirs) :]
        if ours[: len(theirs)] == theirs and rest and (set(rest) & TRANSLATION or column.name == target.key.name):
            found[target.name] = (target, 0.8)
    return found


def _unique_columns(name: str, column: Column, tables: dict[str, Table]) -> list[Link]:
    """Return links to a unique column of the same name that is not the key, such as a number of articles."""
    if column.name.lower() in NO_KEYS:
        return []
    return [
        Link(name, column.name, target_name, column.name, False, similarity=0.8)
        for target_name, target in tables.items()
        if column.name in target.unique and column.name != target.key and name != target_name
        if _kind(target.column(column.name)) == _kind(column)
    ]


def _is_constant(column: Column) -> bool:
    return column.type in INTEGERS and set(column.values) <= {"0"} and bool(column.values)


def _kind(column: Column) -> str:
    return "number" if column.is_number else "uuid" if column.type == "uuid" else "text"


def _kinds_of_references(key: Column) -> tuple[str, ...]:
    """Return the kinds of columns that may refer to a key: a uuid may be kept as a text."""
    kind = _kind(key)
    return ("uuid", "text") if kind == "uuid" else (kind,)


def _shape(column: Column) -> _Shape | None:
    """Return what the sampled values of a column have in common, if they are long ids."""
    values = list(column.values)[:50]
    if column.is_number or not values or min(map(len, values)) < LONG or any(" " in value for value in values):
        return None
    begins = {value.partition("_")[0] for value in values if "_" in value}
    return _Shape(frozenset(map(len, values)), begins.pop() if len(begins) == 1 else "")
