"""Writes the sections of the orders."""

from collections.abc import Iterator

from aisle.discovery import sources, states
from aisle.discovery.catalogue import Catalogue, Table
from aisle.discovery.orders import Orders
from aisle.discovery.remarks import Measure, counted, told
from aisle.discovery.sql import identifier, relation
from aisle.discovery.states import Condition
from aisle.discovery.writing import Section


def order_sections(catalogue: Catalogue, found: Orders, others: tuple[str, ...], measure: Measure) -> Iterator[Section]:
    """Yield the section `orders`."""
    table, lines = catalogue.tables[found.orders], catalogue.tables[found.lines]
    items_key = catalogue.tables[found.items].key or "id"
    conditions = states.orders_that_count(catalogue, table)
    kept = [c for c in conditions if c.sql("") and c.is_sure]
    names = list(dict.fromkeys(name for c in kept for name in c.columns))
    section = Section("orders", [f"{found.orders}: {table.rows:,} rows. {found.lines}: {lines.rows:,} rows."])
    section.comments += [f"Not taken: {other}." for other in others]
    section.comments += _remarks(found, lines)
    comments = [told(link) for link in (found.order, *found.item)]
    if found.version:
        comments.append("Guess: only the lines of an order's current version count.")
    if found.returned:
        comments.append(f"Likely: what came back is not a purchase: {', '.join(c.name for c in found.returned)}.")
    if found.order is not None:
        source = sources.orders_query(
            catalogue, found, found.order, items_key, [n for n in names if n not in sources.ORDER_NAMES]
        )
        section.add("query", source.text(), *comments)
        base = f"({source.text()}) s"
    else:
        _add_lines(section, found, comments)
        base = f"{relation(found.lines)} s"
    _add_counts(section, conditions, base, measure)
    yield section


def _remarks(found: Orders, lines: Table) -> Iterator[str]:
    """Yield what the owner should know of the customer, the time and the quantity."""
    empty = "{} is empty in {:.0%} of the rows: they do not count."
    delivered = next((c for c in lines.columns if c.is_number and {"delivered", "quantity"} <= set(c.words)), None)
    if delivered is not None and not found.returned:
        shown = states.frequencies(delivered)
        yield f"DECIDE: does a return lower {delivered.name}? A sample has {shown}. If so, use it as quantity."
    if found.at is not None and found.at.type == "timestamp":
        yield f"DECIDE: {found.at.name} has no time zone. It is read as the database's; if it is another: time_zone"
    if found.at is not None and found.at.nulls:
        yield empty.format(found.at.name, 1 - found.at.filled)
    if found.user is None:
        yield "DECIDE: no column looks like the customer. Without one, each order is from another customer."
    elif found.user.nulls:
        yield empty.format(found.user.name, 1 - found.user.filled)


def _add_lines(section: Section, found: Orders, comments: list[str]) -> None:
    section.add("table", relation(found.lines), *comments)
    if found.order_column != "order_id":
        section.add("id", found.order_column)
    if len(found.item) > 1:
        first, second = found.item[0], found.item[1]
        section.add("item", first.column)
        via = f"{relation(first.target)}({identifier(first.target_column)} → {identifier(second.column)})"
        section.add("item_via", via)
    elif found.item[0].column != "item_id":
        section.add("item", found.item[0].column)
    if found.user is not None:
        section.add("user", found.user.name)
    if found.at is not None:
        section.add("at", found.at.name)
    if found.quantity is not None:
        section.add("quantity", sources.quantity_of(found, "") if found.returned else found.quantity.name)


def _add_counts(section: Section, conditions: list[Condition], base: str, measure: Measure) -> None:
    kept = [c for c in conditions if c.sql("") and c.is_sure]
    if kept:
        sql = "\nand ".join(c.sql("") for c in kept)
        comments = [f"Likely: {c.evidence}." for c in kept]
        comments += [f"DECIDE: {note}." for c in kept for note in c.decided]
        if (found := counted(measure, base, sql)) is not None:
            comments.append(f"{found[1]:,} of {found[0]:,} lines count.")
        section.add("counts", sql, "An order is a purchase if this holds.", *comments)
    for condition in conditions:
        if condition not in kept and condition.sql(""):
            reason = f"Left out, because it is not sure: {condition.evidence}."
            section.add("counts", condition.sql(""), reason, is_active=False)
        elif condition not in kept:
            section.comments += [f"DECIDE: {note}. {condition.evidence}." for note in condition.decided]
    if not conditions:
        section.comments.append("DECIDE: no column tells which orders are purchases. If one does, declare it: counts")
