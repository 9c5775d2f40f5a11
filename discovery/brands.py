"""Finds the brand of an item: a column, a table beside it, or the value of an attribute."""

from aisle.discovery.catalogue import Catalogue, Link
from aisle.discovery.items import Lookup, Text, name_of
from aisle.discovery.words import BRAND, ORDER, TRANSLATION, VARIANT, score, word_set

_NO_BRAND = word_set("tax uom unit currency user customer company country image media")


def manufacturers(catalogue: Catalogue, name: str, without: set[str]) -> list[Lookup]:
    """Return where the brand may stand, the most likely first; `without` are tables that are something else."""
    table = catalogue.tables[name]
    found: list[Lookup] = []
    for column in table.columns:
        weight = score(column.words, BRAND)
        link = catalogue.link_of(name, column.name)
        if link is None and weight and (column.is_text) and "id" not in column.words and column.values:
            found.append(Lookup(Text(column), score=weight + 1))
    for link in catalogue.links_from(name):
        if link.target in without or link.target == name:
            continue
        target = catalogue.tables[link.target]
        text = name_of(catalogue, link.target)
        weight = max(score(target.words, BRAND), score(catalogue.tables[name].column(link.column).words, BRAND))
        if text is None or set(target.words) & _NO_BRAND:
            continue
        used = len(table.column(link.column).values)
        if weight:
            found.append(Lookup(text, (link,), table=link.target, score=weight + 1))
        elif used >= 30 and table.column(link.column).distinct < 0.8:
            found.append(Lookup(text, (link,), is_sure=False, table=link.target, score=1))
        for second in catalogue.links_from(link.target):  # a track's album, and its artist
            weight = score(catalogue.tables[second.target].words, BRAND)
            text = name_of(catalogue, second.target)
            if weight >= 3 and second.target not in without and text is not None:
                found.append(Lookup(text, (link, second), table=second.target, score=weight))
    found += _by_join_table(catalogue, name, without)
    return sorted(found, key=lambda lookup: -lookup.score)


def _by_join_table(catalogue: Catalogue, name: str, without: set[str]) -> list[Lookup]:
    """Return brands behind a join table, and behind an attribute's line and its value."""
    found = []
    for link in catalogue.links_to(name):
        if link.table == name or set(catalogue.tables[link.table].words) & (ORDER | TRANSLATION - {"text"}):
            continue
        ways: list[tuple[tuple[Link, ...], int]] = [
            ((link, out), 1) for out in catalogue.links_from(link.table) if out.target != name
        ]
        for second in catalogue.links_to(link.table):
            ways += [
                ((link, second, out), 2)
                for out in catalogue.links_from(second.table)
                if out.target not in (link.table, name) and second.table != name
            ]
        for way, backwards in ways:
            target = catalogue.tables[way[-1].target]
            text = name_of(catalogue, way[-1].target)
            joint = catalogue.tables[link.table].column(link.column)
            if (
                text is None
                or way[-1].target in without
                or set(target.words)
                & (ORDER | VARIANT | {"image", "media", "warehouse", "location", "channel", "tag", "user"})
            ):
                continue
            weight = score(target.words, BRAND)
            if not weight:
                # One value for nearly each item, and each of many: as brands are. Not so if there are several an item.
                values = catalogue.tables[way[backwards - 1].table].column(way[-1].column).values
                if backwards != 2 or joint.distinct < 0.95 or len(values) < 30:
                    continue
            found.append(Lookup(text, way, backwards, is_sure=bool(weight), table=way[-1].target, score=weight or 0.5))
    return found
