"""Finds the lines of orders, the orders, and the way from a line to the item that was bought."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aisle.discovery.catalogue import Catalogue, Column, Link, Table
from aisle.discovery.items import productness
from aisle.discovery.words import (
    CUSTOMER,
    LINE,
    NOT_CUSTOMER,
    NOT_ORDERS,
    NOT_TIME,
    ORDER,
    QUANTITY,
    RETURNED,
    TIME_WORDS,
    score,
)

WAY = 3  # links from a line to an item at most
ENOUGH = 4.0  # score from which tables are taken for orders


@dataclass(frozen=True)
class Orders:
    """Orders and their lines. Where one table holds both, `order` is None and both names are the same."""

    lines: str
    orders: str
    order: Link | None
    order_column: str  # of the lines
    item: tuple[Link, ...]  # from a line to the item
    items: str
    user: Column | None
    at: Column | None
    quantity: Column | None
    returned: tuple[Column, ...]
    version: tuple[str, str] | None  # columns of the orders and of the lines that must be equal
    score: float


def find(catalogue: Catalogue) -> list[Orders]:
    """Return pairs of tables that may be orders and their lines, the most likely first."""
    liked = {name: productness(catalogue, name) for name in catalogue.tables}
    found = [orders for name in catalogue.tables for orders in _of_lines(catalogue, name, liked)]
    return sorted((orders for orders in found if orders.score >= ENOUGH), key=lambda orders: -orders.score)


def _of_lines(catalogue: Catalogue, name: str, liked: dict[str, float]) -> Iterator[Orders]:
    lines = catalogue.tables[name]
    quantity = _quantity(lines)
    heads: list[tuple[Link | None, Table, str]] = [
        (link, catalogue.tables[link.target], link.column) for link in catalogue.links_from(name) if link.target != name
    ]
    own = next(
        (c for c in lines.columns if set(c.words) & ORDER and _is_id(c) and not catalogue.link_of(name, c.name)), None
    )
    if own is not None and own.distinct < 1:
        heads.append((None, lines, own.name))
    for link, orders, order_column in heads:
        if link is not None and not set(orders.words) & ORDER:
            continue
        user, at = customer(catalogue, orders), time(orders)
        if at is None or (link is None and user is None):
            continue
        item = _way_to_item(catalogue, name, str(orders) if link else "", liked)
        if item is None:
            continue
        way, items = item
        total = (
            liked[items] / 2
            + 2 * bool(quantity)
            + 2 * bool(user)
            + 0.5 * any("price" in c.words for c in lines.columns)
        )
        total += 3 + (orders.words[-1] in ORDER) if set(orders.words) & ORDER else 0
        total += bool(set(lines.words) & LINE) + bool(set(lines.words) & ORDER) - 0.5 * (len(way) - 1)
        total -= 3 * len(set(orders.words) & NOT_ORDERS) + 3 * len((set(lines.words) - set(orders.words)) & NOT_ORDERS)
        total -= 2 * ("purchase" in orders.words and any("sale" in t.words for t in catalogue.tables.values()))
        total += 0.4 * math.log10(lines.rows + 1) - (1 if link is None else 0)
        returned, version = _returned(lines), _version(orders, lines, link)
        head = str(orders)
        yield Orders(name, head, link, order_column, way, items, user, at, quantity, returned, version, total)


def _way_to_item(
    catalogue: Catalogue, lines: str, orders: str, liked: dict[str, float]
) -> tuple[tuple[Link, ...], str] | None:
    """Return the table that is most likely the items', and the best way to it."""
    ways = list(catalogue.paths(lines, WAY, frozenset({orders} if orders else ())))

    def rank(way: tuple[Link, ...]) -> float:
        return liked[way[-1].target] - 0.6 * (len(way) - 1)

    ways = [way for way in ways if liked[way[-1].target] > 2]
    if not ways:
        return None
    items = max(ways, key=rank)[-1].target

    def filled(way: tuple[Link, ...]) -> float:
        return round(math.prod(catalogue.tables[link.table].column(link.column).filled for link in way), 2)

    candidates = [way for way in ways if way[-1].target == items]
    return max(candidates, key=lambda way: (filled(way), -len(way), sum(link.is_foreign_key for link in way))), items


def customer(catalogue: Catalogue, table: Table) -> Column | None:
    """Return the column with the customer of a table's rows."""
    best: tuple[float, Column] | None = None
    for column in table.columns:
        if not (column.may_be_key or column.type == "enum") or table.key == column.name:
            continue
        link = catalogue.link_of(str(table), column.name)
        weight = score(column.words, CUSTOMER)
        if link is not None and not set(catalogue.tables[link.target].words) & NOT_CUSTOMER:
            weight = max(weight, score(catalogue.tables[link.target].words, CUSTOMER) - 0.5)
        if not weight or set(column.words) & NOT_CUSTOMER:
            continue
        if (column.sampled and not column.values) or (column.sampled >= 20 and len(column.values) <= 2):
            weight -= 3
        weight += column.filled
        if best is None or weight > best[0]:
            best = weight, column
    return best[1] if best and best[0] > 0 else None


def time(table: Table) -> Column | None:
    """Return the column with the time at which a table's rows came about."""
    best: tuple[float, Column] | None = None
    for column in table.columns:
        if not column.is_time or set(column.words) & NOT_TIME:
            continue
        weight = score(column.words, TIME_WORDS) + 2 * column.filled + 0.5 * (column.type != "date")
        if column.sampled and not column.values:
            weight -= 4
        elif column.sampled >= 50 and len(column.values) == 1:
            weight -= 2
        if best is None or weight > best[0]:
            best = weight, column
    return best[1] if best else None


def _is_id(column: Column) -> bool:
    return (
        column.may_be_key
        and (len(column.words) > 1 or not column.is_text)
        and not set(column.words) & {"status", "date", "type", "name"}
    )


def _quantity(table: Table) -> Column | None:
    best: tuple[float, Column] | None = None
    for column in table.columns:
        found = set(column.words)
        if (
            not column.is_number
            or not found & QUANTITY
            or found & {"price", "id", "min", "max", "discount", "cost", "tax", "weight", "measure", "amount"}
        ):
            continue
        weight = (
            2.0 * ("quantity" in found)
            - 0.4 * (len(column.words) - 1)
            + 0.6 * bool(found & {"ordered", "order", "product"})
        )
        others = {
            "delivered",
            "invoiced",
            "fulfilled",
            "shipped",
            "reserved",
            "stock",
            "backordered",
            "allocated",
            "picked",
            "received",
            "dismissed",
            "requested",
            "written",
        }
        if found & (RETURNED | others):
            continue
        if best is None or weight > best[0]:
            best = weight, column
    return best[1] if best else None


def _returned(table: Table) -> tuple[Column, ...]:
    """Return the columns with quantities that came back, or that were never sent."""
    return tuple(
        column
        for column in table.columns
        if column.is_number
        and set(column.words) & RETURNED
        and "quantity" in column.words
        and not set(column.words) & {"requested", "dismissed", "amount", "price", "base", "tax"}
    )


def _version(orders: Table, lines: Table, link: Link | None) -> tuple[str, str] | None:
    if link is None:
        return None
    ours = {c.name for c in orders.columns if c.words in (("version",), ("revision",)) and c.is_number}
    return next(((c.name, c.name) for c in lines.columns if c.name in ours), None)
