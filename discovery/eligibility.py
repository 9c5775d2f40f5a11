"""Finds which items can be bought now: states and flags of the item, and the stock of it or of its variants."""

from collections.abc import Iterator
from dataclasses import dataclass

from aisle.discovery.catalogue import Catalogue, Column, Link, Table
from aisle.discovery.sql import column as of_alias
from aisle.discovery.sql import relation
from aisle.discovery.states import Condition, rows_on_sale
from aisle.discovery.words import GONE_AT, NOT_PRODUCTS, ORDER, STOCK, STOCK_TABLE, VARIANT, word_set

INDENT = "\n    "
_NO_STOCK = word_set(
    """
    out minimal min max minimum maximum alert threshold reserved reorder sold sale price order ordered step
    status id incoming outgoing safety cost per required date low allocated
    """
)
_NO_STOCK_TABLE = word_set(
    """
    movement move location transfer history log alert picking rule reservation source type adjustment event line
    reserve notification request count valuation
    """
)


@dataclass(frozen=True)
class Clause:
    """A part of `eligible`, and what speaks for it; `columns` are those of the items' table that it reads."""

    sql: str
    columns: tuple[str, ...]
    evidence: str
    is_sure: bool = True


def find(
    catalogue: Catalogue, items: str, id_name: str, bought: tuple[Link, ...]
) -> tuple[list[Clause], list[Condition]]:
    """Return the clauses, and conditions that nobody but the owner can write.

    `id_name` is the items' id as SQL; `bought` the way from an order's line to the item.
    """
    table = catalogue.tables[items]
    conditions = rows_on_sale(catalogue, table)
    clauses = [Clause(c.sql(""), c.columns, c.evidence, c.is_sure) for c in conditions if c.sql("")]
    own = stock_column(table)
    if own is not None:
        clauses.append(Clause(f"{of_alias('', own.name)} > 0", (own.name,), _stock_evidence(own)))
    clauses += _listed(catalogue, items, id_name)
    variants = _variants(catalogue, items, bought)
    key = f"r.{id_name}"  # of the item's row
    parts = _of_variants(catalogue, variants, key) if variants else _of_stock(catalogue, items, key)
    if parts is not None and not (own is not None and variants is None):
        query, evidence = parts
        clauses.append(Clause(f"exists (\n    {query})", (), evidence))
    return clauses, [c for c in conditions if not c.sql("")]


def _listed(catalogue: Catalogue, items: str, id_name: str) -> Iterator[Clause]:
    """Yield a clause for each table that says where an item is published, such as that of a channel's listings."""
    ours = set(catalogue.tables[items].words)
    for link in catalogue.links_to(items):
        table = catalogue.tables[link.table]
        if not (set(table.words) - ours) & {"listing", "publication", "channel", "publishing", "visibility"}:
            continue
        conditions = [c for c in rows_on_sale(catalogue, table) if c.sql("") and c.is_sure]
        if conditions:
            wanted = " and ".join(c.sql("s") for c in conditions)
            query = _query(f"{relation(str(table))} s", of_alias("s", link.column), f"r.{id_name}", wanted)
            evidence = "; ".join(f"{table.name}.{c.evidence}" for c in conditions)
            yield Clause(f"exists (\n    {query})", (), evidence)


def stock_column(table: Table) -> Column | None:
    """Return the column with the number in stock."""
    best: tuple[float, Column] | None = None
    for column in table.columns:
        given = set(column.words)
        if not column.is_number or not given & STOCK or given & _NO_STOCK or set(column.values) <= {"0"}:
            continue
        weight = (
            len(given & {"stock", "stocked", "hand", "inventory", "onhand"})
            + 0.5 * ("quantity" in given)
            + 0.3 * ("available" in given)
        )
        if best is None or weight > best[0]:
            best = weight, column
    return best[1] if best else None


def _query(source: str, column: str, key: str, condition: str) -> str:
    """Return a query for the rows of one item. With `in` instead, the server would read all rows for each answer."""
    return f"select from {source}{INDENT}where {column} = {key} and {condition}"


def _join(table: Table, alias: str, name: str, other: str) -> str:
    return f"{INDENT}join {relation(str(table))} {alias} on {of_alias(alias, name)} = {other}"


def _variants(catalogue: Catalogue, items: str, bought: tuple[Link, ...]) -> Link | None:
    """Return the link from the variants to the items."""
    if len(bought) > 1 and bought[-1].target == items and not set(catalogue.tables[bought[-1].table].words) & ORDER:
        return bought[-1]
    for link in catalogue.links_to(items):
        found = catalogue.tables[link.table].words
        if (
            link.table != items
            and found[-1:] != ("option",)
            and found
            and found[-1] in VARIANT
            and not set(found) & ORDER
        ):
            return link
    return None


def _of_variants(catalogue: Catalogue, link: Link, key: str) -> tuple[str, str] | None:
    """Return the query for items with a variant that can be bought, and what speaks for it."""
    table = catalogue.tables[link.table]
    conditions = [c for c in rows_on_sale(catalogue, table) if c.sql("v") and c.is_sure]
    wanted = [c.sql("v") for c in conditions]
    evidence = [f"{table.name}.{c.evidence}" for c in conditions]
    joins = ""
    in_stock: list[str] = []
    is_told = any(
        "stock" in word or "sold" in word for c in conditions for name in c.columns for word in [name.lower()]
    )
    own = stock_column(table)
    if own is not None and not is_told:
        in_stock.append(f"v.{of_alias('', own.name)} > 0")
        evidence.append(f"{table.name}.{_stock_evidence(own)}")
    elif not is_told and (found := _stock(catalogue, str(table))) is not None:
        joins, stock_table, column = found
        in_stock.append(_more_than_none(stock_table, column))
        evidence.append(f"{stock_table.name}.{_stock_evidence(column)}")
        in_stock += _whatever_stock(stock_table, "s")
    if in_stock:
        in_stock += _whatever_stock(table, "v")
        wanted.append(f"({' or '.join(in_stock)})" if len(in_stock) > 1 else in_stock[0])
    if not wanted:
        return None
    if len(in_stock) > 1:
        joins = joins.replace(f"{INDENT}join ", f"{INDENT}left join ")
    source = f"{relation(str(table))} v{joins}"
    return _query(source, of_alias("v", link.column), key, " and ".join(wanted)), "; ".join(evidence)


def _of_stock(catalogue: Catalogue, items: str, key: str) -> tuple[str, str] | None:
    for link in catalogue.links_to(items):
        table = catalogue.tables[link.table]
        column = _is_stock(table)
        if column is not None:
            wanted = [_more_than_none(table, column), *_whatever_stock(table, "s")]
            condition = " or ".join(wanted)
            query = _query(
                f"{relation(str(table))} s",
                of_alias("s", link.column),
                key,
                f"({condition})" if len(wanted) > 1 else condition,
            )
            return query, f"{table.name}.{_stock_evidence(column)}"
    return None


def _stock(catalogue: Catalogue, variants: str) -> tuple[str, Table, Column] | None:
    """Return the joins from variants (v) to their stock (s), the table of stock, and the column with the number."""
    for link in catalogue.links_to(variants):
        table = catalogue.tables[link.table]
        column = _is_stock(table)
        if column is not None:
            return _join(table, "s", link.column, of_alias("v", link.target_column)), table, column
    for link in catalogue.links_to(variants):
        between = catalogue.tables[link.table]
        if set(between.words) & ORDER or not set(between.words) & (STOCK_TABLE | {"inventory"}):
            continue
        for table in catalogue.tables.values():
            column = _is_stock(table)
            if column is None or table is between:
                continue
            key = next(iter(_shared_keys(between, table)), None)
            if key is None:
                continue
            joins = _join(between, "j", link.column, of_alias("v", link.target_column))
            return joins + _join(table, "s", key, of_alias("j", key)), table, column
    return None


def _shared_keys(one: Table, other: Table) -> Iterator[str]:
    """Yield columns of two tables that hold keys of the same third table, which need not be there."""
    names = {column.name for column in other.columns}
    for column in one.columns:
        if column.name not in names or not column.name.lower().endswith("id") or column.words == ("id",):
            continue
        # Samples of large tables need not meet; long ids of the same name are evidence enough.
        if not column.is_number or set(column.values) & set(other.column(column.name).values):
            yield column.name


def _is_stock(table: Table) -> Column | None:
    given = set(table.words)
    if (
        not given & STOCK_TABLE
        or given & (_NO_STOCK_TABLE | ORDER)
        or given & (NOT_PRODUCTS - {"stock", "inventory", "supplier", "warehouse"})
    ):
        return None
    return stock_column(table)


def _more_than_none(table: Table, column: Column) -> str:
    reserved = next((c for c in table.columns if c.is_number and set(c.words) & {"reserved", "allocated"}), None)
    taken = f" - coalesce({of_alias('s', reserved.name)}, 0)" if reserved else ""
    gone = next((c for c in table.columns if c.is_time and set(c.words) & GONE_AT), None)
    is_there = f" and {of_alias('s', gone.name)} is null" if gone else ""
    return f"{of_alias('s', column.name)}{taken} > 0{is_there}"


def _whatever_stock(table: Table, alias: str) -> list[str]:
    """Return conditions under which a row can be bought with nothing in stock."""
    found = []
    for column in table.columns:
        given = set(column.words)
        if column.type != "bool":
            continue
        if given & {"backorder", "backorderable", "backorders", "preorder", "oversell"} or {"back", "order"} <= given:
            found.append(of_alias(alias, column.name))
        elif column.words == ("tracked",) or (
            given & {"manage", "track", "managed", "tracked"} and given & {"inventory", "stock", "quantity"}
        ):
            found.append(f"{of_alias(alias, column.name)} is not true")
    return found


def _stock_evidence(column: Column) -> str:
    total = sum(column.values.values()) or 1
    none = sum(n for value, n in column.values.items() if float(value) <= 0)
    return f"{column.name}: 0 or less in {none / total:.0%} of the rows"
