"""Finds views, ratings and visits: what users did with items besides buying them."""

from collections.abc import Iterator

from aisle.discovery.catalogue import Catalogue, Column, Link
from aisle.discovery.orders import Orders, customer, time
from aisle.discovery.sql import identifier, relation
from aisle.discovery.words import EVENT, NOT_ORDERS, ORDER, TRANSLATION, word_set
from aisle.discovery.writing import Section

_RATING = word_set("rating stars score star")
_REVIEW = word_set("review comment body text content feedback")
_NO_EVENT = (TRANSLATION - {"text"}) | (NOT_ORDERS - word_set("history log event wish wishlist comment"))


def events_section(catalogue: Catalogue, items: str, orders: Orders | None) -> Section | None:
    """Return the section `interactions`; as a comment if there are orders, because they are enough."""
    found = max(_candidates(catalogue, items, orders), key=lambda candidate: candidate[0], default=None)
    if found is None:
        return None
    _, way, user, at = found
    table = catalogue.tables[way[0].table]
    section = Section("interactions", [f"{table}: {table.rows:,} rows."], is_active=orders is None)
    if orders is not None:
        section.comments.append("Orders are enough for a recommender. With these it learns from them instead.")
    section.add("table", relation(str(table)))
    section.add("user", user.name)
    section.add("item", way[0].column)
    if len(way) > 1:
        via = f"{identifier(way[0].target_column)} → {identifier(way[1].column)}"
        section.add("item_via", f"{relation(way[0].target)}({via})")
    section.add("at", at.name)
    rating = next((c for c in table.columns if set(c.words) & _RATING and (c.is_number or c.type == "bool")), None)
    if rating is not None:
        section.add("rating", rating.name)
    review = next((c for c in table.columns if set(c.words) & _REVIEW and c.is_text), None)
    if review is not None:
        section.add("review", review.name)
    return section


def _candidates(
    catalogue: Catalogue, items: str, orders: Orders | None
) -> Iterator[tuple[float, tuple[Link, ...], Column, Column]]:
    """Yield tables of events, each with its score, the way to the item, the user and the time."""
    taken = {items, orders.lines, orders.orders} if orders else {items}
    for name, table in catalogue.tables.items():
        ways = [way for way in catalogue.paths(name, 1 if orders else 2) if way[-1].target == items]
        user, at = customer(catalogue, table), time(table)
        given = set(table.words)
        if not ways or name in taken or given & _NO_EVENT or user is None or at is None:
            continue
        if orders is not None and not given & EVENT:
            continue
        likely = 2.0 * bool(given & EVENT) + 1.0 * bool(given & ORDER) + min(table.rows, 10**6) / 10**6
        yield likely - 0.5 * (len(ways[0]) - 1), ways[0], user, at
