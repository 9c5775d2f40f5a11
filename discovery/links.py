"""Which column refers to which table, where no foreign key says so: by names, and by the values.

Numbers of one table look like those of another, so numbers need a name that fits. Long text ids and UUIDs do not match
by chance, so their values are enough.
"""

from collections.abc import Iterable

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
GENERIC = {"translatable", "base", "entity", "object", "owner", "master", "source"}


def guesses(tables: dict[str, Table], known: Iterable[Link]) -> list[Link]:
    """Return links that names or values suggest; their shares are not measured yet."""
    known = list(known)
    taken = {(link.table, link.column) for link in known}
    # `stock.product_id` most likely refers to the table that `order_line.product_id` refers to by a foreign key.
    named_alike = {(link.column, link.target) for link in known if link.table != link.target}
    found = []
    for name, table in tables.items():
        for column in table.columns:
            if (name, column.name) in taken or not column.may_be_key or table.primary_key == (column.name,):
                continue
            for target_name, target in tables.items():
                key = target.key
                if key is None or (target_name, key) == (name, column.name):
                    continue
                is_unique = column.name in target.unique and column.name != key and name != target_name
                if is_unique and column.name.lower() not in NO_KEYS and _same_type(column, target.column(column.name)):
                    found.append(Link(name, column.name, target_name, column.name, False, similarity=0.8))
                close = 1.0 if (column.name, target_name) in named_alike else _named(table, column, target)
                if not _same_type(column, target.column(key)):
                    continue
                if close >= NAMED or (close == 0 and name != target_name and _looks_alike(column, target.column(key))):
                    found.append(Link(name, column.name, target_name, key, False, similarity=close))
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


def _named(table: Table, column: Column, target: Table) -> float:
    """Return how well the name of a column fits a table, from 0 to 1."""
    if _is_constant(column):
        return 0.0
    all_words = column.words
    if table is target:
        return 0.9 if "parent" in all_words or "upper" in all_words else 0.0
    is_same = column.name == target.key and column.name.lower() not in ("id", "uuid", "code", "name", "key")
    if is_same and similarity(without_ids(column.name), target.words) > 0:
        return 1.0
    stem = without_ids(column.name)
    stem = tuple(word for word in stem if word not in ("parent", "upper")) if "parent" in stem else stem
    close = similarity(stem, target.words)
    if close == 0 and (not stem or set(stem) <= GENERIC):
        # `product_translation.translatable_id`, `catalog_product_entity_varchar.entity_id`
        ours, theirs = table.words, target.words
        rest = ours[len(theirs) :]
        if ours[: len(theirs)] == theirs and rest and (set(rest) & TRANSLATION or column.name == target.key):
            return 0.8
    # A number or a text without `id` in its name is a key only if it is named as the table is.
    is_key_like = stem != all_words or column.name.lower().endswith(("id", "no", "cd"))
    return close if is_key_like or close >= 0.85 else 0.0


def _is_constant(column: Column) -> bool:
    return column.type in INTEGERS and set(column.values) <= {"0"} and bool(column.values)


def _same_type(column: Column, key: Column) -> bool:
    numbers = INTEGERS | {"numeric"}
    if column.type in numbers or key.type in numbers:
        return column.type in numbers and key.type in numbers
    return (column.type == "uuid") == (key.type == "uuid") or (column.is_text and key.type == "uuid")


def _looks_alike(column: Column, key: Column) -> bool:
    """Return whether two samples of texts look like the same long ids."""
    if column.type in INTEGERS | {"numeric"} or not column.values or not key.values:
        return False
    ours, theirs = list(column.values)[:50], list(key.values)[:50]
    if min(map(len, ours)) < LONG or any(" " in value for value in ours):
        return False
    lengths = {len(value) for value in theirs}
    return all(len(value) in lengths for value in ours) and _beginning(ours) == _beginning(theirs)


def _beginning(values: list[str]) -> str:
    """Return the letters before the first `_` or `-`, if all values have the same: `prod_01…` → prod."""
    begins = {value.partition("_")[0] for value in values if "_" in value}
    return begins.pop() if len(begins) == 1 else ""
