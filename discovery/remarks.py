"""What stands in several sections of a shop file: counted conditions, watches, and the evidence for a link."""

from collections.abc import Callable, Iterator
from typing import Any

from aisle.discovery.catalogue import Link
from aisle.discovery.sources import Source
from aisle.discovery.sql import relation
from aisle.discovery.writing import Section

LIMIT = 100_000  # rows of a query that are counted

# Runs a query of one row and returns it; None if it fails, or if nothing can be asked.
Measure = Callable[[str], tuple[Any, ...] | None]


def counted(measure: Measure, base: str, condition: str) -> tuple[int, int] | None:
    """Return how many rows there are, and how many of them meet a condition; None if that cannot be told."""
    rows = f"select * from {base} limit {LIMIT}"  # noqa: S608  # names and values were quoted when it was written
    found = measure(f"select count(*), count(*) filter (where {condition}) from ({rows}) s")  # noqa: S608
    return (found[0], found[1]) if found is not None and found[0] else None


def watches(name: str, watch: dict[str, str], source: Source | None) -> Iterator[Section]:
    """Yield the section with the watches that foreign keys do not tell."""
    if not watch or source is None:
        return
    section = Section(
        f"{name}.watch", ["No foreign key leads from these tables, so this says which ids their changed row r touches."]
    )
    for table, query in watch.items():
        section.add(relation(table), query, is_active=table not in source.guessed)
    section.is_active = any(entry.is_active for entry in section.entries)
    yield section


def told(link: Link | None) -> str:
    """Return the evidence for a link; nothing without a link."""
    if link is None:
        return ""
    sure = (
        "Sure" if link.is_foreign_key else "Likely" if link.similarity >= 0.7 and (link.share or 0) > 0.9 else "Guess"
    )
    return f"{sure}: {link.table}.{link.column} → {link.target}.{link.target_column} ({link.evidence}). "
