"""Finds views, ratings and visits: what users did with items besides buying them."""

from aisle.discovery.catalogue import Catalogue, Link
from aisle.discovery.orders import Orders, customer, time
from aisle.discovery.sql import relation
from aisle.discovery.words import EVENT, NOT_ORDERS, TRANSLATION
from aisle.discovery.writing import Section

_RATING = {"rating", "stars", "score", "star"}
_REVIEW = {"review", "comment", "body", "text", "content", "feedback"}


def events_section(catalogue: Catalogue, items: str, orders: Orders | None) -> Section | None:
    """Return the section `interactions`; as a comment if there are orders, because they are enough."""
    best: tuple[float, str, Link] | None = None
    for link in catalogue.links_to(items):
        table = catalogue.tables[link.table]
        given = set(table.words)
        if link.table == items or (orders is not None and link.table in (orders.lines, orders.orders)):
            continue
        if given & (TRANSLATION - {"text"}) or given & (
            NOT_ORDERS - {"history", "log", "event", "wish", "wishlist", "comment"}
        ):
            continue
        user, at = customer(catalogue, table), time(table)
        if user is None or at is None or (not given & EVENT and orders is not None):
            continue
        weight = 2.0 * bool(given & EVENT) + min(table.rows, 10**6) / 10**6
        if best is None or weight > best[0]:
            best = weight, link.table, link
    if best is None:
        return None
    name, link = best[1], best[2]
    table = catalogue.tables[name]
    section = Section("interactions", [f"{name}: {table.rows:,} rows."], is_active=orders is None)
    if orders is not None:
        section.comments.append("Orders are enough for a recommender. With these it learns from them instead.")
    user, at = customer(catalogue, table), time(table)
    assert user is not None
    assert at is not None
    section.add("table", relation(name))
    for key, column in (("user", user.name), ("item", link.column), ("at", at.name)):
        section.add(key, column)
    rating = next((c for c in table.columns if set(c.words) & _RATING and (c.is_number or c.type == "bool")), None)
    if rating is not None:
        section.add("rating", rating.name)
    review = next((c for c in table.columns if set(c.words) & _REVIEW and c.is_text), None)
    if review is not None:
        section.add("review", review.name)
    return section
