"""Writes the sections of the items and their categories."""

from collections.abc import Iterator

from aisle.discovery import eligibility, items, sources
from aisle.discovery.brands import manufacturers
from aisle.discovery.catalogue import Catalogue
from aisle.discovery.categories import Categories
from aisle.discovery.eligibility import Clause
from aisle.discovery.found import Found
from aisle.discovery.items import Lookup, Text
from aisle.discovery.orders import Orders
from aisle.discovery.remarks import Measure, counted, told
from aisle.discovery.sources import Source
from aisle.discovery.sql import identifier, relation
from aisle.discovery.states import Condition
from aisle.discovery.writing import Section

KEPT = 0.05  # share of the items that a condition must leave; one that leaves fewer is a comment


def item_sections(catalogue: Catalogue, found: Found, measure: Measure) -> Iterator[Section]:
    """Yield the sections `items` and, if it is needed, `categories`."""
    table, categories = catalogue.tables[found.items], found.categories
    section = Section("items", [f"{found.items}: {table.rows:,} rows.{_way(found.orders)}"])
    is_tree = categories is not None and categories.table != "" and not _needs_text(categories)
    brand = _manufacturer(catalogue, found)
    needs_query = (
        found.name.translation is not None
        or (brand is not None and bool(brand.way))
        or (categories is not None and categories.table != "" and not is_tree)
    )
    key = table.key or "id"
    bought = found.orders.item if found.orders else ()
    clauses, undecided = eligibility.find(catalogue, found.items, "id" if needs_query else identifier(key), bought)
    group = _group(catalogue, found.items)
    texts = items.texts(catalogue, found.items, found.name)
    comments = [*_named(found.name), *([_branded(catalogue, brand)] if brand is not None and brand.way else [])]
    source = None
    if needs_query:
        kept = [name for clause in clauses for name in clause.columns] + ([group] if group else [])
        source = _items_query(found, key, brand, texts, is_tree, kept)
        section.add("query", source.text(), *comments)
    else:
        _add_columns(section, found, key, brand, texts, comments)
    base = f"({source.text()}) s" if source else f"{relation(found.items)} s"
    _add_eligible(section, clauses, undecided, base, measure)
    if group is not None:
        own = f"coalesce({identifier(group)}, {'id' if needs_query else identifier(key)})"
        section.add("group", own, f"Guess: a row with {group} is a variant of another row.")
    if categories is None:
        section.comments.append("DECIDE: no column or table looks like a category. Name one, or leave it out.")
    elif categories.unlabelled and not is_tree:
        section.add("unlabelled", list(categories.unlabelled), "These categories look like none at all.")
    yield section
    if categories is not None and is_tree:
        yield _categories(catalogue, categories)


def _add_columns(
    section: Section, found: Found, key: str, brand: Lookup | None, texts: list[Text], comments: list[str]
) -> None:
    section.add("table", relation(found.items))
    if key != "id":
        section.add("id", key)
    name = _of_row(found.name)
    if name != "name" or comments:
        section.add("name", name, *comments)
    if brand is not None:
        section.add("manufacturer", brand.text.column.name)
    if found.categories is not None and found.categories.column is not None:
        section.add("category", found.categories.column)
    if texts:
        section.add("text", [_of_row(text) for text in texts])


def _of_row(text: Text) -> str:
    """Return a text of a table's own row, as the shop file names it."""
    return sources.text_of(text, "") if text.language else text.column.name


def _group(catalogue: Catalogue, name: str) -> str | None:
    """Return the column that leads from a variant to the item that it is a variant of, in the same table."""
    table = catalogue.tables[name]
    own = (table.column(link.column) for link in catalogue.links_from(name) if link.target == name)
    return next((column.name for column in own if column.values), None)


def _needs_text(categories: Categories) -> bool:
    """Return whether the category is read as a text, because its table of names is not the table of the tree."""
    is_translated = categories.name is not None and categories.name.translation is not None
    return is_translated or categories.above is not None or bool(categories.via)


def _items_query(
    found: Found, key: str, brand: Lookup | None, texts: list[Text], is_tree: bool, kept: list[str]
) -> Source:
    source = Source(found.items, "p")
    source.add(f"p.{identifier(key)}", "id")
    of = sources.translated(source, found.name, "t", "p")
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
    return next(iter(manufacturers(catalogue, found.items, without)), None)


def _add_eligible(
    section: Section, clauses: list[Clause], undecided: list[Condition], base: str, measure: Measure
) -> None:
    kept: list[Clause] = []
    left: list[Clause] = []
    for clause in clauses:
        found = counted(measure, base, clause.sql)
        too_few = found is not None and found[1] < KEPT * found[0]
        (left if too_few or not clause.is_sure else kept).append(clause)
    if kept:
        sql = "\nand ".join(clause.sql for clause in kept)
        comments = [f"Likely: {clause.evidence}." for clause in kept]
        if (found := counted(measure, base, sql)) is not None:
            comments.append(f"{found[1]:,} of {found[0]:,} items are eligible now.")
        section.add("eligible", sql, "An item is answered while this holds.", *comments)
    for clause in left:
        reason = f"Left out, because hardly any item would be left: {clause.evidence}."
        section.add("eligible", clause.sql, reason, is_active=False)
    for condition in undecided:
        section.comments.append(f"DECIDE: {condition.decided[0]}. {condition.evidence}.")
    if not kept and not left and not undecided:
        section.comments.append("DECIDE: no column tells which items can be bought. If one does, declare it: eligible")


def _categories(catalogue: Catalogue, categories: Categories) -> Section:
    table = catalogue.tables[categories.table]
    section = Section("categories", [f"{categories.table}: {table.rows:,} rows."])
    section.comments.append(f"{told(categories.join)}{told(categories.link)}")
    section.add("table", relation(categories.table))
    if categories.link is not None and categories.link.target_column != "id":
        section.add("id", categories.link.target_column)
    if categories.name is not None and _of_row(categories.name) != "name":
        section.add("name", _of_row(categories.name))
    if categories.parent is not None:
        section.add("parent", categories.parent.name)
    conditions = {
        categories.where: "Guess: the table holds several trees, and this one is the categories.",
        categories.there: "Likely: other categories are deleted.",
    }
    remarks = [remark for condition, remark in conditions.items() if condition is not None]
    if remarks:
        where = " and ".join(condition for condition in conditions if condition is not None)
        section.add("where", where, *remarks)
    if categories.join is not None and categories.link is not None:
        columns = f"{identifier(categories.join.column)}, {identifier(categories.link.column)}"
        several = ""
        if categories.several > 0.005:
            several = f"{categories.several:.0%} of the rows are further categories of an item."
        section.add("of_item", f"{relation(categories.join.table)}({columns})", several)
        if categories.prefer is not None and categories.prefer != "deepest":
            section.add("prefer", categories.prefer)
    if categories.unlabelled:
        section.add("unlabelled", list(dict.fromkeys(categories.unlabelled)), "These look like no category at all.")
    return section


def _way(found: Orders | None) -> str:
    if found is None:
        return " No table of orders with lines was found."
    hops = " → ".join(
        [f"{found.item[0].table}.{found.item[0].column}", *(f"{link.table}.{link.column}" for link in found.item[1:])]
    )
    return f" Lines of orders come to it by {hops}."


def _named(text: Text) -> list[str]:
    if len(text.languages) > 1:
        return [f"DECIDE: names are there in {', '.join(text.languages)}; this takes {text.language}."]
    return []


def _branded(catalogue: Catalogue, brand: Lookup) -> str:
    if not brand.way:
        return ""
    values = catalogue.tables[brand.way[-1].table].column(brand.way[-1].column).values
    sure = "Likely" if brand.is_sure else "Guess"
    return f"{sure}: the brand is {brand.table}.{brand.text.column.name}, with {len(values):,} values in a sample."
