"""Reads conditions from columns of states, flags and times: which orders count, and which rows are on sale."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aisle.discovery.catalogue import INTEGERS, Catalogue, Column, Table
from aisle.discovery.items import name_of, own_name
from aisle.discovery.sql import column as of_alias
from aisle.discovery.sql import literal
from aisle.discovery.words import (
    CHECKOUT_STEPS,
    GONE_AT,
    NO,
    NOT_BOUGHT,
    NOT_ON_SALE,
    NOT_YET_BOUGHT,
    ON_SALE,
    STATUS,
    YES,
    word_set,
    words,
)

STATES = 30  # different values of a column of states at most
_STARTS = word_set("available published publish launch purchase")
FILLERS = {
    "is", "has", "was", "flag", "product", "item", "on", "in", "for", "site", "website", "web", "store", "shop", "be",
    "can", "of", "out", "status", "use", "at", "date", "time", "goods", "order", "frontend", "entity",
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A condition over the columns of one table."""

    sql: Callable[[str], str]  # of the alias of the table; "" for none
    columns: tuple[str, ...]
    evidence: str
    is_sure: bool = True
    decided: tuple[str, ...] = field(default=())  # what an owner has to decide


def frequencies(column: Column, meant: dict[str, str] | None = None) -> str:
    """Return the values of a column with their shares, for people; labels that no row has come last."""
    total = sum(column.values.values())
    shown = []
    for value, n in column.values.most_common(12):
        name = f" {meant[value]}" if meant and value in meant else ""
        shown.append(f"{value or repr(value)}{name} {100 * n / total:.0f} %")
    unused = [label for label in column.labels if label not in column.values]
    return ", ".join(shown + [f"{label} 0 %" for label in unused]) or "no rows"


def _states(catalogue: Catalogue, table: Table, only: set[str]) -> list[tuple[float, Column, dict[str, str]]]:
    """Return columns of states, the head one first, with the name of each value."""
    found = []
    for column in table.columns:
        given = set(column.words)
        if (
            not given & STATUS
            or len(column.values) > STATES
            or given & {"stock", "tax", "country", "province", "address"}
        ):
            continue
        values = list(dict.fromkeys([*column.labels, *sorted(column.values)]))
        named = _names_of_states(catalogue, table, column)
        if named:
            meant = {value: named.get(value, value) for value in (*named, *values)}
        elif column.is_text or column.type == "enum":
            meant = {value: value for value in values}
        else:
            meant = {}
        rest = given - STATUS - only - {"id", "code", "name"}
        found.append(
            (3.0 - len(rest) - 0.5 * (not meant) - 2 * (column.sampled > 0 and not column.values), column, meant)
        )
    return sorted(found, key=lambda state: -state[0])


def _names_of_states(catalogue: Catalogue, table: Table, column: Column) -> dict[str, str]:
    """Return the names of the states that a small table of their own explains; empty if there is none."""
    link = catalogue.link_of(str(table), column.name)
    if link is not None:
        name = name_of(catalogue, link.target)
        if name is None:
            return {}
        source, key = catalogue.tables[link.target], link.target_column
        if name.translation is not None:
            source, key = catalogue.tables[name.translation.table], name.translation.column
        text = name.column.name
    else:  # a table whose key has the language, too
        tables = (
            t
            for t in catalogue.tables.values()
            if t is not table and column.name in t.primary_key and set(t.words) & STATUS
        )
        source, key = next(((t, column.name) for t in tables), (table, ""))
        if source is table and column.type in INTEGERS:
            source, key = _small_table_of_states(catalogue, table, column) or (table, "")
        own = own_name(source)
        if source is table or own is None:
            return {}
        text = own.column.name
    # The first name of a state is taken: that of the first language.
    pairs = list(zip(source.column(key).in_order, source.column(text).in_order, strict=False))
    return {str(one): str(other) for one, other in reversed(pairs) if one is not None and other is not None}


def _small_table_of_states(catalogue: Catalogue, table: Table, column: Column) -> tuple[Table, str] | None:
    """Return the one table of states, about the same thing by its name, that has all the values of a column as keys."""
    for other in catalogue.tables.values():
        if (
            other is table
            or not set(other.words) & STATUS
            or not set(other.words) & set(table.words)
            or not own_name(other)
        ):
            continue
        for key in other.primary_key:
            if set(other.words) & set(other.column(key).words) and set(column.values) <= set(other.column(key).values):
                return other, key
    return None


def orders_that_count(catalogue: Catalogue, table: Table) -> list[Condition]:
    """Return the conditions on an order that it was a purchase."""
    found: list[Condition] = []
    is_cancelling = is_drafting = False
    for rank, column, meant in _states(catalogue, table, {"order", "sale", "purchase"})[:1]:
        total = sum(column.values.values()) or 1
        refused = [value for value, name in meant.items() if _is_refused(name, column.values, value, total)]
        shown = f"{column.name}: {frequencies(column, meant if column.type in INTEGERS else None)}"
        if not refused and len(column.values) == 1 and not meant:
            continue
        if not refused:
            note = f"{column.name}: say which values are no purchases"
            found.append(Condition(lambda alias: "", (column.name,), shown, False, (note,)))
            continue
        names = [set(words(meant[value])) for value in refused]
        is_cancelling = any("canceled" in name for name in names)
        is_drafting = any(name & {"draft", "cart", "checkout"} for name in names)
        is_sure = sum(column.values[value] for value in refused) < 0.8 * total and rank > 1
        maybe = [
            value
            for value in meant
            if value not in refused and set(words(meant[value])) & (NOT_YET_BOUGHT | {"return", "returned", "refunded"})
        ]
        notes = (
            (f"whether {', '.join(meant[value] for value in maybe)} count{'s' if len(maybe) == 1 else ''}",)
            if maybe
            else ()
        )
        found.append(Condition(_not_in(column, refused), (column.name,), shown, is_sure, notes))
    for column in table.columns:
        given = set(column.words)
        if (column.is_time and given & GONE_AT) or (column.is_time and "canceled" in given and not is_cancelling):
            found.append(_is_null(column))
        elif column.type == "bool" and given & {
            "deleted",
            "canceled",
            "draft",
            "cart",
            "test",
            "void",
            "voided",
            "quotation",
        }:
            known = (given & {"canceled"} and is_cancelling) or (given & {"draft", "cart"} and is_drafting)
            if not known and len(given - FILLERS) <= 2:
                found.append(_flag(column, is_yes=False))
    return found


def _is_refused(name: str, values: Counter[str], value: str, total: int) -> bool:
    found = set(words(name)) | {name.lower()}
    if "partially" in found or "partial" in found:
        return False
    # Words are written together in Korean: 주문취소, 반품완료.
    if found & NOT_BOUGHT or any(not word.isascii() and word in name for word in NOT_BOUGHT):
        return True
    if len(words(name)) == 1 and found & CHECKOUT_STEPS:
        return True
    # An order that waits becomes another state soon, so little is lost; a cart that was left stays one.
    return bool(found & NOT_YET_BOUGHT) and 0 < values[value] < 0.25 * total


def rows_on_sale(catalogue: Catalogue, table: Table) -> list[Condition]:
    """Return the conditions on a product or a variant, without its stock, that it can be bought."""
    found: list[Condition] = []
    for _, column, meant in _states(catalogue, table, {"product", "publish", "item", "goods", "sale", "listing"})[:1]:
        if not meant and set(column.values) <= {"0", "1"} and column.values:
            found.append(_flag(column, is_yes=True))
            continue
        yes = [
            value
            for value, name in meant.items()
            if (set(words(name)) & ON_SALE and not set(words(name)) & NOT_ON_SALE) or name in ON_SALE
        ]
        no = [
            value
            for value, name in meant.items()
            if (set(words(name)) & NOT_ON_SALE or name in NOT_ON_SALE) and value not in yes
        ]
        shown = f"{column.name}: {frequencies(column)}"
        if len(yes) == 1:
            found.append(Condition(_in(column, yes), (column.name,), shown))
        elif yes:
            found.append(
                Condition(_in(column, yes), (column.name,), shown, decided=(f"which of {', '.join(yes)} is on sale",))
            )
        elif no:
            found.append(Condition(_not_in(column, no), (column.name,), shown))
        elif len(column.values) > 1:
            note = f"{column.name}: say which values are on sale"
            found.append(Condition(lambda alias: "", (column.name,), shown, False, (note,)))
    for column in table.columns:
        given = column.words
        rest = set(given) - FILLERS
        if column.type == "bool" or _is_flag(column):
            if column.sampled and not column.values:
                continue
            if (rest and (rest <= YES or rest == {"sale", "ok"} or (rest <= {"sold"} and "can" in given))) or (
                (rest == {"stock"} and "out" not in given)
                or (rest == {"sale"} and set(given) & {"for", "flag"} and "out" not in given and "price" not in given)
            ):
                found.append(_flag(column, is_yes=True))
            elif (
                (rest and rest <= NO) or (rest == {"stock"} and "out" in given) or (rest == {"sold"} and "out" in given)
            ):
                found.append(_flag(column, is_yes=False))
        elif column.is_time and rest and rest <= GONE_AT:
            found.append(_is_null(column))
        elif column.is_time and rest and rest <= {"discontinue", "discontinued"}:
            found.append(_time(column, "({0} is null or {0} > now())"))
        elif column.is_time and column.values and "until" not in given and rest - {"purchase"} and rest <= _STARTS:
            found.append(_time(column, "{0} <= now()"))
    return found


def _is_flag(column: Column) -> bool:
    """Return whether a number or a text says yes or no, as MySQL's and old systems' columns do."""
    values = set(column.values)
    if column.type in INTEGERS:
        return bool(values) and values <= {"0", "1"} and len(column.words) <= 3
    return column.is_text and bool(values) and values <= {"Y", "N", "y", "n"}


def _flag(column: Column, *, is_yes: bool) -> Condition:
    def sql(alias: str) -> str:
        name = of_alias(alias, column.name)
        if column.type == "bool":
            return name if is_yes else f"{name} is not true"
        no_yes = ("0", "1") if column.type in INTEGERS else ("'N'", "'Y'")
        return f"{name} = {no_yes[is_yes]}"

    return Condition(sql, (column.name,), f"{column.name}: {frequencies(column)}")


def _is_null(column: Column) -> Condition:
    set_ = sum(column.values.values())
    evidence = (
        f"{column.name}: set in {set_ / column.sampled:.0%} of the rows"
        if column.sampled
        else f"{column.name}: no rows"
    )
    return Condition(lambda alias: f"{of_alias(alias, column.name)} is null", (column.name,), evidence)


def _time(column: Column, text: str) -> Condition:
    evidence = f"{column.name}: set in {column.filled:.0%} of the rows"
    return Condition(lambda alias: text.format(of_alias(alias, column.name)), (column.name,), evidence)


def _in(column: Column, values: list[str]) -> Callable[[str], str]:
    def sql(alias: str) -> str:
        name, listed = of_alias(alias, column.name), [_value(column, value) for value in values]
        return f"{name} = {listed[0]}" if len(listed) == 1 else f"{name} in ({', '.join(listed)})"

    return sql


def _not_in(column: Column, values: list[str]) -> Callable[[str], str]:
    def sql(alias: str) -> str:
        name, listed = of_alias(alias, column.name), [_value(column, value) for value in values]
        is_other = f"{name} <> {listed[0]}" if len(listed) == 1 else f"{name} not in ({', '.join(listed)})"
        return f"({name} is null or {is_other})" if column.nulls else is_other

    return sql


def _value(column: Column, value: str) -> str:
    return value if column.type in INTEGERS else literal(value)
