"""Finds the table of products: its name, its texts, its manufacturer."""

import re
from dataclasses import dataclass, replace

from aisle.discovery.catalogue import JSON, Catalogue, Column, Link, Table
from aisle.discovery.words import (
    CATEGORY,
    CUSTOMER,
    LANGUAGE,
    MAYBE_PRODUCT,
    NAME,
    NOT_CATEGORY,
    NOT_PRODUCTS,
    ORDER,
    PRODUCT,
    TEXT,
    TRANSLATION,
    VARIANT,
    score,
)

LOCALE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?$")
URL = re.compile(r"(https?:)?//|^/|\.(jpe?g|png|webp|gif)$", re.I)


@dataclass(frozen=True)
class Text:
    """Where a text of a row stands: in its column, in a language of a JSON column, or in a table of translations."""

    column: Column
    language: str | None = None  # a key of the JSON column, or a value of `language_column`
    languages: tuple[str, ...] = ()
    translation: Link | None = None  # from the table of translations
    language_column: str | None = None
    also: tuple[tuple[str, str], ...] = ()  # further columns of the table of translations, and their values
    score: float = 0.0


@dataclass(frozen=True)
class Lookup:
    """A text beside the item that another table may hold."""

    text: Text
    way: tuple[Link, ...] = ()  # links, each from the row that is known to the next; see `backwards`
    backwards: int = 0  # how many of the first links lead to the item instead of away from it
    where: tuple[str, str] | None = None  # a column of the last table and its value
    deepest: str | None = None  # a column of the last table: of several rows, that with its highest value is taken
    is_sure: bool = True
    table: str = ""
    score: float = 0.0


def language_of(column: Column) -> tuple[str | None, tuple[str, ...]]:
    """Return the most frequent language of a JSON column and all; None if its keys are no languages."""
    if column.type not in JSON or not column.keys:
        return None, ()
    languages = [key for key, _ in column.keys.most_common() if LOCALE.match(key)]
    if len(languages) < len(column.keys):
        return None, ()
    return languages[0], tuple(languages)


def own_name(table: Table) -> Text | None:
    """Return the column of a table that names its rows."""
    best: Text | None = None
    for column in table.columns:
        language, languages = language_of(column)
        if not (column.is_text or language):
            continue
        found, weight = column.words, score(column.words, NAME)
        rest = tuple(word for word in found if word not in NAME)
        if not weight or set(rest) & {
            "file",
            "user",
            "host",
            "class",
            "image",
            "meta",
            "seo",
            "path",
            "url",
            "alt",
            "sort",
        }:
            continue
        if rest:
            weight -= (
                0.2 if set(rest) & (set(table.words) | PRODUCT) else 0.9 if rest in (("display",), ("full",)) else 1.2
            )
        if column.sampled and not column.values:
            weight -= 2
        if any(URL.search(value) for value in list(column.values)[:20]):
            continue
        if weight > 0 and (best is None or weight > best.score):
            best = Text(column, language, languages, score=weight)
    return best


def name_of(catalogue: Catalogue, name: str) -> Text | None:
    """Return what names a table's rows: a column of its own, or one of its table of translations."""
    if name not in catalogue.names:
        catalogue.names[name] = _name_of(catalogue, name)
    found: Text | None = catalogue.names[name]
    return found


def _name_of(catalogue: Catalogue, name: str) -> Text | None:
    table = catalogue.tables[name]
    own = own_name(table)
    translated = _translated(catalogue, name)
    if own is None or (translated is not None and own.score < 1.8):
        return translated or own
    return own


def _translated(catalogue: Catalogue, name: str) -> Text | None:
    """Return the name in a table of translations, or in one of attributes and values."""
    ours = catalogue.tables[name].words
    for link in catalogue.links_to(name):
        child = catalogue.tables[link.table]
        rest = child.words[len(ours) :]
        if child.words[: len(ours)] != ours or not rest or len(rest) > 2:
            continue
        attribute = _attribute_called_name(catalogue, child)
        if attribute is not None:
            value = next(c for c in child.columns if c.words == ("value",))
            return Text(value, attribute[1], (), link, attribute[0], _same_shop(child, link, attribute[0]), 1.5)
        text = own_name(child)
        if any("attribute" in c.words for c in child.columns):
            continue
        if text is None or not set(rest) & TRANSLATION:
            continue
        language = next((c for c in child.columns if set(c.words) & LANGUAGE), None)
        values = tuple(value for value, _ in language.values.most_common()) if language else ()
        column = language.name if language else None
        also = _same_shop(child, link, column)
        return Text(text.column, values[0] if values else None, values, link, column, also, text.score)
    return None


def _attribute_called_name(catalogue: Catalogue, child: Table) -> tuple[str, str] | None:
    """Return the column of attributes and the value that means the name, if the table has a row for each attribute."""
    if not any(c.words == ("value",) and c.is_text for c in child.columns):
        return None
    for link in catalogue.links_from(str(child)):
        attributes = catalogue.tables[link.target]
        if "attribute" not in attributes.words:
            continue
        keys = attributes.column(link.target_column).in_order
        for column in attributes.columns:
            if not column.is_text or not set(column.words) & {"code", "name", "key"}:
                continue
            for key, value in zip(keys, column.in_order, strict=False):
                if key in child.column(link.column).values and str(value).lower() in ("name", "title"):
                    return link.column, str(key)
    return None


def _same_shop(child: Table, link: Link, language: str | None) -> tuple[tuple[str, str], ...]:
    """Return the further columns of a key, such as the shop's, with their most frequent values."""
    shops = (
        c
        for c in child.columns
        if c.name not in (link.column, language) and set(c.words) & {"shop", "store", "channel", "site"}
    )
    return tuple((c.name, c.values.most_common(1)[0][0]) for c in shops if c.values and "id" in c.words)


def productness(catalogue: Catalogue, name: str) -> float:
    """Return how much a table looks like that of the products."""
    table = catalogue.tables[name]
    found = table.words
    core = tuple(
        word
        for word in found
        if word not in ("template", "entity", "master", "flat", "info", "base", "core", "catalog", "header")
    )
    head = core[-1] if core else ""
    total = 0.0
    if set(core) & PRODUCT:
        total += 2 + 2 * (head in PRODUCT)
    elif head in MAYBE_PRODUCT:
        total += 2
    if len(set(core)) == 1 and total:
        total += 1
    total += 0.5 * (len(core) < len(found))
    text = name_of(catalogue, name)
    if text is not None:
        total += 2 if text.translation is None else 1.5
        total += 0.5 * (text.column.distinct > 0.5)
    if category_links(catalogue, name):
        total += 1.5
    if any(set(c.words) & TEXT and (c.is_text or c.type in JSON) for c in table.columns):
        total += 0.5
    total += 0.5 * any("price" in c.words for c in table.columns)
    total -= 4 * (head in NOT_PRODUCTS) + 1 * (head in VARIANT) + 3 * bool(set(found) & ORDER) + 4 * (head in CUSTOMER)
    total -= 1.5 * bool(set(core[:-1]) & (NOT_PRODUCTS | set(CUSTOMER)))
    return total - (2 if table.rows < 2 else 0)


def category_links(catalogue: Catalogue, name: str) -> list[Link]:
    """Return the links of a table that lead to something like a category."""
    return [
        link
        for link in catalogue.links_from(name)
        if score(catalogue.tables[link.target].words, CATEGORY) > 0
        and not set(catalogue.tables[link.target].words) & NOT_CATEGORY
        and link.target != name
    ]


def texts(catalogue: Catalogue, name: str, main: Text) -> list[Text]:
    """Return the further texts that a model should read, such as descriptions."""
    tables: list[tuple[Table, Text | None]] = [(catalogue.tables[name], None)]
    if main.translation is not None:
        tables.append((catalogue.tables[main.translation.table], main))
    found = []
    for table, translated in tables:
        for column in table.columns:
            language, languages = language_of(column)
            given = set(column.words)
            if not given & TEXT or given & {
                "meta",
                "seo",
                "purchase",
                "picking",
                "pickingout",
                "html",
                "language",
                "id",
                "url",
                "tax",
                "image",
                "count",
                "type",
            }:
                continue
            if not (column.is_text or language) or column.name == main.column.name or not column.values:
                continue
            if column.values.keys() <= {""}:
                continue
            if translated is None:
                found.append(Text(column, language, languages))
            else:
                found.append(replace(translated, column=column))
    return found[:4]
