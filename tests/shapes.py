"""Shops of three shapes, with rows that models can learn from; what their makers' words for things are."""

from pathlib import Path
from typing import LiteralString, cast

import psycopg

ROOT = Path(__file__).parents[1]
SHOPS = ROOT / "tests/shops"
EXAMPLES = ROOT / "examples/shops"
SHAPES = ("medusa", "odoo", "prisma")


def create_shop(url: str, shape: str) -> None:
    """Create the tables of a shape in an empty database, and fill them."""
    tables = (SHOPS / f"{shape}.sql").read_text(encoding="utf-8").partition("\ninsert")[0]
    rows = [(SHOPS / "rows" / name).read_text(encoding="utf-8") for name in ("made.sql", f"{shape}.sql")]
    with psycopg.connect(url) as connection:
        for text in (tables, *rows):
            connection.execute(cast(LiteralString, text))
        connection.execute("analyze")
