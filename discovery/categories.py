"""Finds the categories: a tree of its own, by a column or by a join table; else a text beside the item."""

from dataclasses import dataclass, replace

from aisle.discovery.catalogue import Catalogue, Column, Link, Table
from aisle.discovery.items import Text, name_of
from aisle.discovery.sql import identifier, literal
from aisle.discovery.words import (
    BRAND,
    CATEGORY,
    GONE_AT,
    LINE,
    NO_CATEGORY,
    NOT_CATEGORY,
    ORDER,
    PRODUCT,
    score,
    words,
)

KINDS = 12  # different values of a column that may part one table into several trees


@dataclass(frozen=True)
class Categories:
    """The table of categories and how an item comes to one. Without `table`, `column` of the item is the category."""

    column: str | None  # of the item: a text, or the key of a category
    table: str = ""
    link: Link | None = None  # from the item, or from the join table, to the category
    join: Link | None = None  # from the join table to the item, or to its variants
    via: tuple[Link, ...] = ()  # from the variants to the item
    depth: str | None = None  # of the table: the column with the level of a category
    name: Text | None = None
    parent: Column | None = None
    above: Link | None = None  # from the categories to another table of coarser ones
    above_name: Text | None = None
    where: str | None = None  # of the table: which of its rows are categories
    there: str | None = None  # of the table: which of its rows are not deleted
    brand_where: tuple[str, str] | None = None  # a column and a value: the rows that are brands
    prefer: str | None = None
    several: float = 0.0  # share of items with more than one category
    unlabelled: tuple[str, ...] = ()
    score: float = 0.0


def find(catalogue: Catalogue, items: str, lines: str = "") -> list[Categories]:
    """Return what may be the category of an item, the most likely first."""
    table = catalogue.tables[items]
    found: list[Categories] = []
    for column in table.columns:
        link = catalogue.link_of(items, column.name)
        weight = score(column.words, CATEGORY)
        is_label = column.is_text and column.distinct < 0.5 and len(column.values) > 1
        if link is None and weight and is_label and not set(column.words) & (NOT_CATEGORY | {"id"}):
            found.append(Categories(column.name, unlabelled=_meaning_none(column), score=weight + 0.5))
    for link in catalogue.links_from(items):
        weight = max(_weight(catalogue.tables[link.target]), _named(table.column(link.column)))
        if weight > 0 and link.target != items and name_of(catalogue, link.target):
            column = table.column(link.column)
            found.append(_of_table(catalogue, link, None, weight + 1.5 * column.filled - 0.5, column.name))
    joins: list[tuple[Link, tuple[Link, ...]]] = [(join, ()) for join in catalogue.links_to(items)]
    for variants in catalogue.links_to(items):
        if variants.table not in (items, lines) and catalogue.tables[variants.table].words[-1:] == ("variant",):
            joins += [(join, (variants,)) for join in catalogue.links_to(variants.table)]
    for join, via in joins:
        between = catalogue.tables[join.table]
        if join.table in (items, lines) or set(between.words) & (ORDER | (LINE - PRODUCT - {"line", "item"})):
            continue
        for link in catalogue.links_from(join.table):
            weight = _weight(catalogue.tables[link.target])
            if link.target not in (items, join.table) and weight > 0 and name_of(catalogue, link.target):
                # A table with many more columns is about something else, such as discounts of a category.
                weight += 0.8 - 0.1 * max(0, len(between.columns) - 5)
                made = _of_table(catalogue, link, join, weight - bool(via), None)
                found.append(replace(made, via=via))
    return sorted(found, key=lambda categories: -categories.score)


def _named(column: Column) -> float:
    return 0.0 if set(column.words) & NOT_CATEGORY else score(column.words, CATEGORY)


def _weight(table: Table) -> float:
    found = set(table.words)
    if found & NOT_CATEGORY or found & set(BRAND):
        return 0.0
    weight = score(table.words, CATEGORY)
    return weight + 0.5 * bool(found & PRODUCT) if weight else 0.0


def _of_table(catalogue: Catalogue, link: Link, join: Link | None, weight: float, column: str | None) -> Categories:
    table = catalogue.tables[link.target]
    parent = _parent(catalogue, table)
    ups = (up for up in catalogue.links_from(str(table)) if up.target != str(table))
    above = next((up for up in ups if _weight(catalogue.tables[up.target]) > 0), None)
    where, brand_where, tree_of = _kinds(catalogue, table)
    if parent or tree_of:
        above = None
    several, prefer = 0.0, None
    if join is not None:
        between = catalogue.tables[join.table]
        several = 1 - between.column(join.column).distinct
        prefer = _preferred(between) or ("deepest" if parent else None)
    depth = next((c.name for c in table.columns if c.is_number and set(c.words) & {"depth", "level"}), None)
    weight += 1.5 * bool(parent) - (2.5 if table.rows == 0 else 0)
    return Categories(
        column=column,
        table=str(table),
        link=link,
        join=join,
        depth=depth,
        name=name_of(catalogue, str(table)),
        parent=parent,
        above=above,
        above_name=None if above is None else name_of(catalogue, above.target),
        where=where,
        there=_there(table),
        brand_where=brand_where,
        prefer=prefer,
        several=several,
        unlabelled=_unlabelled(catalogue, link, str(table)),
        score=weight,
    )


def _parent(catalogue: Catalogue, table: Table) -> Column | None:
    own = [link for link in catalogue.links_from(str(table)) if link.target == str(table)]
    own.sort(key=lambda link: ("parent" not in words(link.column), len(link.column)))
    if own:
        return table.column(own[0].column)
    return next(
        (
            c
            for c in table.columns
            if c.may_be_key and c.words[:1] == ("parent",) and len(c.words) <= 2 and "path" not in c.words
        ),
        None,
    )


def _there(table: Table) -> str | None:
    """Return a condition for the rows that are not deleted, where the shop deletes softly."""
    for column in table.columns:
        if column.is_time and set(column.words) & GONE_AT:
            return f"{identifier(column.name)} is null"
        if column.type == "bool" and set(column.words) & GONE_AT:
            return f"{identifier(column.name)} is not true"
    return None


def _preferred(between: Table) -> str | None:
    """Return the column of a join table that says which of several categories is the main one."""
    for column in between.columns:
        if column.type == "bool" and set(column.words) & {"primary", "main", "default"}:
            return column.name
    return None


def _kinds(catalogue: Catalogue, table: Table) -> tuple[str | None, tuple[str, str] | None, Link | None]:
    """Return a condition for the rows that are categories, and one for brands, where one table holds several trees."""
    for link in catalogue.links_from(str(table)):
        kinds = catalogue.tables[link.target]
        if not set(kinds.words) & {"taxonomy", "vocabulary", "facet"} and not (
            set(kinds.words) & {"type", "kind", "class", "group"} and set(kinds.words) & set(CATEGORY)
        ):
            continue
        name = name_of(catalogue, link.target)
        used = table.column(link.column).values
        if name is None or not 1 < len(used) <= KINDS:
            continue
        meant = _rows(kinds, link.target_column, name)
        return *_conditions(link.column, used, meant), link
    for column in table.columns:
        if set(column.words) & {"taxonomy", "vocabulary"} and column.is_text and 1 < len(column.values) <= KINDS:
            return *_conditions(column.name, column.values, {value: value for value in column.values}), None
    return None, None, None


def _rows(table: Table, key: str, name: Text) -> dict[str, str]:
    """Return the name of each key of a small table, if its sample pairs them."""
    keys, names = table.column(key), name.column
    pairs = dict(zip(keys.in_order, names.in_order, strict=False))
    return {str(key): str(value) for key, value in pairs.items() if key is not None and value is not None}


def _conditions(column: str, used: dict[str, int], meant: dict[str, str]) -> tuple[str | None, tuple[str, str] | None]:
    def weight(value: str) -> float:
        return score(words(meant.get(value, "")), CATEGORY) + 0.001 * used[value]

    def written(value: str) -> str:
        return value if value.isdigit() else literal(value)

    brand = next((value for value in used if score(words(meant.get(value, "")), BRAND) >= 3), None)
    best = max((value for value in used if value != brand), key=weight)
    return f"{identifier(column)} = {written(best)}", None if brand is None else (column, written(brand))


def _meaning_none(column: Column) -> tuple[str, ...]:
    return tuple(value for value in column.values if value.strip().lower() in NO_CATEGORY)


def _unlabelled(catalogue: Catalogue, link: Link, table: str) -> tuple[str, ...]:
    """Return names of categories that mean "none yet", and that items have."""
    name = name_of(catalogue, table)
    if name is None or name.translation is not None:
        return ()
    of_key = _rows(catalogue.tables[table], link.target_column, name)
    used = catalogue.tables[link.table].column(link.column).values
    return tuple(of_key[key] for key in used if of_key.get(key, "").strip().lower() in NO_CATEGORY)
