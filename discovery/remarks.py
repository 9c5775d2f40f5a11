"""What stands in several sections of a shop file: counted conditions, and the evidence for a link."""

from collections.abc import Callable
from typing import Any

from aisle.discovery.catalogue import Link

LIMIT = 100_000  # rows of a query that are counted

# Runs a query of one row and returns it; None if it fails, or if nothing can be asked.
Measure = Callable[[str], tuple[Any, ...] | None]


def counted(measure: Measure, base: str, condition: str) -> tuple[int, int] | None:
    """Return how many rows there are, and how many of them meet a condition; None if that cannot be told."""
    rows = f"select * from {base} limit {LIMIT}"  # noqa: S608  # names and values were quoted when it was written
    found = measure(f"select count(*), count(*) filter (where {condition}) from ({rows}) r")  # noqa: S608
    return (found[0], found[1]) if found is not None and found[0] else None


def told(link: Link | None) -> str:
    """Return the evidence for a link; nothing without a link."""
    if link is None:
        return ""
    sure = (
        "Sure" if link.is_foreign_key else "Likely" if link.similarity >= 0.7 and (link.share or 0) > 0.9 else "Guess"
    )
    return f"{sure}: {link.table}.{link.column} → {link.target}.{link.target_column} ({link.evidence}). "
