"""Puts what was found together: the sections of a shop file, with the evidence and what its owner must decide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from aisle.discovery import categories as category_tables
from aisle.discovery import eligibility, items, orders, sources, states
from aisle.discovery.catalogue import Catalogue, Link
from aisle.discovery.categories import Categories
from aisle.discovery.events import events_section
from aisle.discovery.items import Lookup, Text
from aisle.discovery.orders import Orders
from aisle.discovery.sources import Source
from aisle.discovery.sql import identifier, relation
from aisle.discovery.writing import Section

LIMIT = 100_000  # rows of a query that are counted
KEPT = 0.05  # share of rows that a condition must leave; one that leaves fewer is a comment

# Runs a query of one row and returns it; None if it fails, or if nothing can be asked.
Measure = Callable[[str], tuple[Any, ...] | None]


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


def sections(catalogue: Catalogue, found: Found, measure: Measure) -> list[Section]:
    """Return the sections of the file."""
    made = [*_items(catalogue, found, measure)]
    if found.orders is not None:
        made += _orders(catalogue, found.orders, found.others, measure)
    events = events_section(catalogue, found.items, found.orders)
    return [*made, *([events] if events else [])]


def _items(catalogue: Catalogue, found: Found, measure: Measure) -> Iterator[Section]:
    table = catalogue.tables[found.items]
    key = table.key or "id"
    section = Section("items", [f"{found.items}: {table.rows:,} rows.{_way(found.orders)}"])
    categories = found.categories
    is_tree = categories is not None and categories.table != "" and not _needs_text(categories)
    brand = _manufacturer(catalogue, found)
    texts = items.texts(catalogue, found.items, found.name)
    needs_query = (
        found.name.translation is not None
        or (brand is not None and (bool(brand.way)))
        or (categories is not None and categories.table != "" and not is_tree)
    )
    id_name = "id" if needs_query else identifier(key)
    clauses, undecided = eligibility.find(catalogue, found.items, id_name, found.orders.item if found.orders else ())
    comments = _named(found.name)
    if brand is not None:
        comments.append(_branded(catalogue, brand))
    if needs_query:
        source = _items_query(
            found, key, brand, texts, is_tree, [name for clause in clauses for name in clause.columns]
        )
        section.add("query", source.text(), *comments)
        base = f"({source.text()}) s"
        watch = source.watch()
    else:
        section.add("table", relation(found.items))
        if key != "id":
            section.add("id", key)
        name = sources.text_of(found.name, "") if found.name.language else found.name.column.name
        if name != "name" or comments:
            section.add("name", name, *comments)
        if brand is not None:
            section.add("manufacturer", brand.text.column.name)
        if categories is not None and categories.column is not None:
            section.add("category", categories.column)
        if texts:
            section.add("text", [sources.text_of(t, "") if t.language else t.column.name for t in texts])
        base, watch, source = f"{relation(found.items)} s", {}, None
    _add_eligible(section, clauses, undecided, base, measure)
    parent = next((link for link in catalogue.links_from(found.items) if link.target == found.items), None)
    if parent is not None and table.column(parent.column).nulls < table.column(parent.column).sampled:
        own = f"coalesce({identifier(parent.column)}, {identifier(key)})"
        section.add(
            "group", own, f"Guess: a row with {parent.column} is a variant of another row.", is_active=not needs_query
        )
    if categories is not None and categories.unlabelled and not is_tree:
        section.add("unlabelled", list(categories.unlabelled), "These categories look like none at all.")
    yield section
    yield from _watches("items", watch, source)
    if categories is None:
        section.comments.append("DECIDE: no column or table looks like a category. Name one, or leave it out.")
    elif is_tree:
        yield _categories(catalogue, categories)


def _needs_text(categories: Categories) -> bool:
    """Return whether the category is read as a text, because its table of names is not the table of the tree."""
    return (categories.name is not None and categories.name.translation is not None) or categories.above is not None


def _items_query(
    found: Found, key: str, brand: Lookup | None, texts: list[Text], is_tree: bool, kept: list[str]
) -> Source:
    source = Source(found.items, key, "p")
    source.add(f"p.{identifier(key)}", "id")
    of = sources.translated(source, found.name, "t", "p", [])
    source.add(sources.text_of(found.name, of), "name")
    if brand is not None:
        sources.add_lookup(source, brand, "manufacturer", "m")
    categories = found.categories
    if categories is not None and categories.column is not None and (is_tree or not categories.table):
        source.add(f"p.{identifier(categories.column)}", "category")
    elif categories is not None and not is_tree:
        sources.add_category(source, categories)
    if texts:
        parts = [sources.text_of(text, "t" if text.translation else "p") for text in texts]
        source.add(parts[0] if len(parts) == 1 else f"concat_ws(' ', {', '.join(parts)})", "text")
    taken = {"id", "name", "manufacturer", "category", "text"}
    source.columns += [f"p.{identifier(column)}" for column in dict.fromkeys(kept) if column not in taken]
    return source


def _manufacturer(catalogue: Catalogue, found: Found) -> Lookup | None:
    categories = found.categories
    if categories is not None and categories.brand_where and categories.join and categories.link and categories.name:
        return Lookup(
            categories.name, (categories.join, categories.link), 1, categories.brand_where, table=categories.table
        )
    without = {categories.table, *([categories.above.target] if categories.above else [])} if categories else set()
    return next(iter(items.manufacturers(catalogue, found.items, without)), None)


def _add_eligible(
    section: Section, clauses: list[eligibility.Clause], undecided: list[states.Condition], base: str, measure: Measure
) -> None:
    kept, left = [], []
    for clause in clauses:
        counted = measure(
            f"select count(*), count(*) filter (where {clause.sql}) from (select * from {base} limit {LIMIT}) s"
        )
        too_few = counted is not None and counted[0] > 0 and counted[1] < KEPT * counted[0]
        (left if too_few or not clause.is_sure else kept).append(clause)
    sql = "\nand ".join(clause.sql for clause in kept)
    comments = [f"Likely: {clause.evidence}." for clause in kept]
    if kept:
        counted = measure(f"select count(*), count(*) filter (where {sql}) from (select * from {base} limit {LIMIT}) s")
        if counted is not None and counted[0]:
            comments.append(f"{counted[1]:,} of {counted[0]:,} items are eligible now.")
        section.add("eligible", sql, "An item is answered while this holds.", *comments)
    for clause in left:
        section.add(
            "eligible",
            clause.sql,
            f"Left out, because hardly any item would be left: {clause.evidence}.",
            is_active=False,
        )
    for condition in undecided:
        section.comments.append(f"DECIDE: {condition.decided[0]}. {condition.evidence}.")
    if not kept and not left and not undecided:
        section.comments.append("DECIDE: no column tells which items can be bought. If one does, declare it: eligible")


def _categories(catalogue: Catalogue, categories: Categories) -> Section:
    table = catalogue.tables[categories.table]
    section = Section("categories", [f"{categories.table}: {table.rows:,} rows."])
    assert categories.link is not None
    assert categories.name is not None
    section.comments.append(f"{_told(categories.join)}{_told(categories.link)}")
    section.add("table", relation(categories.table))
    if categories.link.target_column != "id":
        section.add("id", categories.link.target_column)
    name = sources.text_of(categories.name, "") if categories.name.language else categories.name.column.name
    if name != "name":
        section.add("name", name)
    if categories.parent is not None:
        section.add("parent", categories.parent.name)
    if categories.where is not None:
        section.add("where", categories.where, "Guess: the table holds several trees, and this one is the categories.")
    if categories.join is not None:
        of_item = f"{relation(categories.join.table)}({identifier(categories.join.column)}, {identifier(categories.link.column)})"
        several = (
            f"{categories.several:.0%} of the rows are further categories of an item."
            if categories.several > 0.005
            else ""
        )
        section.add("of_item", of_item, several)
        if categories.prefer is not None and categories.prefer != "deepest":
            section.add("prefer", categories.prefer)
    if categories.unlabelled:
        section.add("unlabelled", list(dict.fromkeys(categories.unlabelled)), "These look like no category at all.")
    return section


def _orders(catalogue: Catalogue, found: Orders, others: tuple[str, ...], measure: Measure) -> Iterator[Section]:
    table, lines = catalogue.tables[found.orders], catalogue.tables[found.lines]
    items_key = catalogue.tables[found.items].key or "id"
    conditions = states.orders_that_count(catalogue, table)
    kept = [c for c in conditions if c.sql("") and c.is_sure]
    names = list(dict.fromkeys(name for c in kept for name in c.columns))
    section = Section("orders", [f"{found.orders}: {table.rows:,} rows. {found.lines}: {lines.rows:,} rows."])
    for other in others:
        section.comments.append(f"Not taken: {other}.")
    comments = [*(_told(link) for link in ((found.order,) if found.order else ()) + found.item)]
    if found.version:
        comments.append("Guess: only the lines of an order's current version count.")
    if found.returned:
        comments.append(f"Likely: what came back is not a purchase: {', '.join(c.name for c in found.returned)}.")
    delivered = next((c for c in lines.columns if c.is_number and {"delivered", "quantity"} <= set(c.words)), None)
    if delivered is not None and not found.returned:
        section.comments.append(
            f"DECIDE: does a return lower {delivered.name}? It is {states.frequencies(delivered)} in a sample. If so, use it as quantity."
        )
    if found.at is not None and found.at.type == "timestamp":
        section.comments.append(
            f"DECIDE: {found.at.name} has no time zone. It is read as the database's; if it is another, add: time_zone"
        )
    if found.at is not None and found.at.nulls:
        section.comments.append(
            f"{found.at.name} is empty in {found.at.nulls / found.at.sampled:.0%} of the rows: they do not count."
        )
    if found.user is None:
        section.comments.append(
            "DECIDE: no column looks like the customer. Without one, each order is from another customer."
        )
    elif found.user.nulls:
        section.comments.append(
            f"{found.user.name} is empty in {found.user.nulls / found.user.sampled:.0%} of the rows: they do not count."
        )
    watch: dict[str, str] = {}
    source = None
    if found.order is not None:
        source = sources.orders_query(catalogue, found, items_key, [n for n in names if n not in sources.ORDER_NAMES])
        section.add("query", source.text(), *comments)
        if found.user is not None:
            watch = replace(source, key=found.user.name).watch()
        base = f"({source.text()}) s"
    else:
        _add_lines(section, found, comments)
        base = f"{relation(found.lines)} s"
    _add_counts(section, conditions, base, measure)
    yield section
    yield from _watches("orders", watch, source)


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


def _add_counts(section: Section, conditions: list[states.Condition], base: str, measure: Measure) -> None:
    kept = [c for c in conditions if c.sql("") and c.is_sure]
    comments = [f"Likely: {c.evidence}." for c in conditions if c in kept]
    comments += [f"DECIDE: {note}." for c in conditions for note in c.decided]
    sql = "\nand ".join(c.sql("") for c in kept)
    if kept:
        counted = measure(f"select count(*), count(*) filter (where {sql}) from (select * from {base} limit {LIMIT}) s")
        if counted is not None and counted[0]:
            comments.append(f"{counted[1]:,} of {counted[0]:,} lines count.")
        section.add("counts", sql, "An order is a purchase if this holds.", *comments)
    for condition in conditions:
        if condition not in kept and condition.sql(""):
            section.add(
                "counts", condition.sql(""), f"Left out, because it is not sure: {condition.evidence}.", is_active=False
            )
        elif condition not in kept:
            section.comments += [f"DECIDE: {note}. {condition.evidence}." for note in condition.decided]
    if not conditions:
        section.comments.append("DECIDE: no column tells which orders are purchases. If one does, declare it: counts")


def _watches(name: str, watch: dict[str, str], source: Source | None) -> Iterator[Section]:
    if not watch or source is None:
        return
    section = Section(
        f"{name}.watch", ["No foreign key leads from these tables, so this says which ids their changed row r touches."]
    )
    for table, query in watch.items():
        section.add(relation(table), query, is_active=table not in source.guessed)
    section.is_active = any(entry.is_active for entry in section.entries)
    yield section


def _way(found: Orders | None) -> str:
    if found is None:
        return " No table of orders with lines was found."
    hops = " → ".join(
        [f"{found.item[0].table}.{found.item[0].column}", *(f"{link.table}.{link.column}" for link in found.item[1:])]
    )
    return f" Lines of orders come to it by {hops}."


def _told(link: Link | None) -> str:
    if link is None:
        return ""
    sure = (
        "Sure" if link.is_foreign_key else "Likely" if link.similarity >= 0.7 and (link.share or 0) > 0.9 else "Guess"
    )
    return f"{sure}: {link.table}.{link.column} → {link.target}.{link.target_column} ({link.evidence}). "


def _named(text: Text) -> list[str]:
    if len(text.languages) > 1:
        return [f"DECIDE: names are there in {', '.join(text.languages)}; this takes {text.language}."]
    return []


def _branded(catalogue: Catalogue, brand: Lookup) -> str:
    if not brand.way:
        return ""
    values = catalogue.tables[brand.way[max(brand.backwards - 1, 0)].table].column(brand.way[-1].column).values
    sure = "Likely" if brand.is_sure else "Guess"
    return f"{sure}: the brand is {brand.table}.{brand.text.column.name}, with {len(values):,} values in a sample."
