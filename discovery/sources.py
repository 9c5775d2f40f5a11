"""Writes the queries of a shop file."""

from dataclasses import dataclass, field

from aisle.discovery.catalogue import Catalogue, Link
from aisle.discovery.categories import Categories
from aisle.discovery.items import Lookup, Text
from aisle.discovery.orders import Orders
from aisle.discovery.sql import column, literal, relation
from aisle.discovery.words import GONE_AT

ORDER_NAMES = {"order_id", "item_id", "user_id", "at", "quantity"}  # of the columns of a query for orders
INDENT = "\n        "
WIDTH = 110  # characters of a line of a query


@dataclass(frozen=True)
class Step:
    """From a row of one table to rows of the next: `previous.left = next.right`."""

    table: str
    left: str
    right: str


@dataclass
class Source:
    """A query that is being put together, from a table `base`."""

    base: str
    alias: str
    columns: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the query."""
        lines = [""]
        for n, part in enumerate(self.columns):
            part += "," if n < len(self.columns) - 1 else ""
            if len(lines[-1].rpartition("\n")[2]) + len(part.partition("\n")[0]) > WIDTH or "\n" in part:
                lines.append("      ")
            lines[-1] += f" {part}"
        found = ["select" + lines[0], *lines[1:], f"from {relation(self.base)} {self.alias}", *self.joins]
        if self.where:
            found.append("where " + " and ".join(self.where))
        return "\n".join(found)

    def add(self, expression: str, name: str) -> None:
        """Add a column, and its name if it has another one."""
        self.columns.append(expression if expression.endswith(f".{name}") else f"{expression} as {name}")


def forward(link: Link) -> Step:
    """Return the step along a link."""
    return Step(link.target, link.column, link.target_column)


def backward(link: Link) -> Step:
    """Return the step against a link."""
    return Step(link.table, link.target_column, link.column)


def text_of(text: Text, alias: str) -> str:
    """Return a text of a row as SQL."""
    name = column(alias, text.column.name)
    return f"{name} ->> {literal(text.language)}" if text.language and text.translation is None else name


def _written(value: str) -> str:
    return value if value.isdigit() else literal(value)


def translated(source: Source, text: Text, alias: str, of: str) -> str:
    """Join the table of translations if a text stands in one; return the alias of the table that has the text."""
    link = text.translation
    if link is None:
        return of
    on = f"{column(alias, link.column)} = {column(of, link.target_column)}"
    if text.language_column and text.language:
        on += f" and {column(alias, text.language_column)} = {_written(text.language)}"
    on += "".join(f" and {column(alias, name)} = {_written(value)}" for name, value in text.also)
    join = f"left join {relation(link.table)} {alias} on {on}"
    if join not in source.joins:
        source.joins.append(join)
    return alias


def add_lookup(source: Source, lookup: Lookup, name: str, alias: str) -> None:
    """Add a text that another table holds as a column called `name`."""
    if not lookup.way:
        source.add(text_of(lookup.text, source.alias), name)
        return
    if not lookup.backwards:
        of = source.alias
        for n, link in enumerate(lookup.way):
            to = alias if n == len(lookup.way) - 1 else f"{alias}{n + 1}"
            on = f"{column(to, link.target_column)} = {column(of, link.column)}"
            source.joins.append(f"left join {relation(link.target)} {to} on {on}")
            of = to
        of = translated(source, lookup.text, f"{alias}t", of)
        source.add(text_of(lookup.text, of), name)
    else:
        source.add(_one_of_several(source, lookup, alias), name)


def _one_of_several(source: Source, lookup: Lookup, alias: str) -> str:
    steps = [backward(link) for link in lookup.way[: lookup.backwards]]
    steps += [forward(link) for link in lookup.way[lookup.backwards :]]
    if lookup.text.translation is not None:
        steps.append(backward(lookup.text.translation))
    joined, previous = "", source.alias
    for n, step in enumerate(steps, start=1):
        name = f"{alias}{n}"
        on = f"{column(name, step.right)} = {column(previous, step.left)}"
        joined += f"{relation(step.table)} {name}" if n == 1 else f"{INDENT}join {relation(step.table)} {name} on {on}"
        previous = name
    wanted = [f"{column(f'{alias}1', steps[0].right)} = {column(source.alias, steps[0].left)}"]
    if lookup.where is not None:
        wanted.append(f"{column(previous, lookup.where[0])} = {lookup.where[1]}")
    if lookup.text.translation is not None and lookup.text.language_column and lookup.text.language:
        wanted.append(f"{column(previous, lookup.text.language_column)} = {_written(lookup.text.language)}")
    wanted += [f"{column(previous, name)} = {_written(value)}" for name, value in lookup.text.also]
    if lookup.deepest is not None:  # a column of the table before the translations
        of = f"{alias}{len(steps) - bool(lookup.text.translation)}"
        order = f"{INDENT}order by {column(of, lookup.deepest)} desc limit 1"
        return (
            f"(select {text_of(lookup.text, previous)}{INDENT}from {joined}{INDENT}where {' and '.join(wanted)}{order})"
        )
    return f"(select min({text_of(lookup.text, previous)}){INDENT}from {joined}{INDENT}where {' and '.join(wanted)})"


def add_category(source: Source, categories: Categories) -> None:
    """Add the category as a text, where no table of categories can be declared."""
    name = categories.name
    if name is None or categories.link is None:
        return
    if categories.join is not None:
        way = (*categories.via, categories.join, categories.link)
        add_lookup(source, Lookup(name, way, len(way) - 1, deepest=categories.depth), "category", "c")
        return
    add_lookup(source, Lookup(name, (categories.link,)), "category", "c")
    if categories.above is not None and categories.above_name is not None:
        up = categories.above
        source.joins.append(
            f"left join {relation(up.target)} a on {column('a', up.target_column)} = {column('c', up.column)}"
        )
        leaf = source.columns.pop().removesuffix(" as category")
        source.columns.append(f"concat_ws(' > ', {text_of(categories.above_name, 'a')}, {leaf}) as category")


def orders_query(catalogue: Catalogue, orders: Orders, link: Link, items_key: str, kept: list[str]) -> Source:
    """Return the query for orders and their lines; `kept` are columns of the order that conditions read."""
    source = Source(orders.orders, "o")
    on = f"{column('l', link.column)} = {column('o', link.target_column)}"
    if orders.version:
        on += f" and {column('l', orders.version[1])} = {column('o', orders.version[0])}"
    source.joins.append(f"join {relation(orders.lines)} l on {on}")
    of = "l"
    last = orders.item[-1]
    needs_items = last.target_column != items_key
    for n, hop in enumerate(orders.item if needs_items else orders.item[:-1]):
        to = f"l{n + 2}"
        source.joins.append(
            f"join {relation(hop.target)} {to} on {column(to, hop.target_column)} = {column(of, hop.column)}"
        )
        of = to
    source.add(column("o", link.target_column), "order_id")
    source.add(column(of, items_key if needs_items else last.column), "item_id")
    if orders.user is not None:
        source.add(column("o", orders.user.name), "user_id")
    if orders.at is not None:
        source.add(column("o", orders.at.name), "at")
    if orders.quantity is not None:
        source.add(quantity_of(orders, "l"), "quantity")
    source.columns += [column("o", name) for name in kept]
    lines = catalogue.tables[orders.lines]
    source.where += [f"{column('l', c.name)} is null" for c in lines.columns if c.is_time and set(c.words) & GONE_AT]
    return source


def quantity_of(orders: Orders, alias: str) -> str:
    """Return the quantity that was kept, as SQL."""
    parts = [column(alias, orders.quantity.name)] if orders.quantity else []
    for returned in orders.returned:
        name = column(alias, returned.name)
        parts.append(name if returned.not_null else f"coalesce({name}, 0)")
    return " - ".join(parts)
