"""Finds the tables of a shop."""

from dataclasses import dataclass

from aisle.discovery import categories as category_tables
from aisle.discovery import items, orders
from aisle.discovery.catalogue import Catalogue
from aisle.discovery.categories import Categories
from aisle.discovery.items import Text
from aisle.discovery.orders import Orders


@dataclass(frozen=True)
class Found:
    """The tables of items, orders and categories."""

    items: str
    orders: Orders | None
    others: tuple[str, ...]  # further tables that may hold orders
    categories: Categories | None
    name: Text


def find(catalogue: Catalogue) -> Found | None:
    """Return the tables of the shop; None if no table looks like products."""
    candidates = orders.find(catalogue)
    bought = candidates[0] if candidates else None
    if bought is not None:
        name = bought.items
    else:
        liked = {name: items.productness(catalogue, name) for name in catalogue.tables}
        name = max(liked, key=lambda name: liked[name], default="")
        if not name or liked[name] < 3:
            return None
    named = items.name_of(catalogue, name)
    if named is None:
        return None
    found = category_tables.find(catalogue, name, bought.lines if bought else "")
    others = dict.fromkeys(f"{o.orders} with {o.lines}" for o in candidates[1:] if bought and o.lines != bought.lines)
    return Found(name, bought, tuple(others)[:3], found[0] if found else None, named)
