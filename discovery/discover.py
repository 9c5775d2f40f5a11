"""Proposes a shop file for a database."""

from psycopg.conninfo import conninfo_to_dict

from aisle.db import errors
from aisle.discovery import reading
from aisle.discovery.events import events_section
from aisle.discovery.found import find
from aisle.discovery.item_sections import item_sections
from aisle.discovery.order_sections import order_sections
from aisle.discovery.writing import text


def shop_file(url: str, schema: str | None = None) -> str:
    """Return the text of a shop file for a database; raises NoShopFoundError if no table looks like products."""
    with reading.read_only(url) as reader:
        catalogue, unread = reading.read(reader, schema)
        found = find(catalogue)
        if found is None:
            where = f"the schema {schema}" if schema else "this database"
            raise errors.NoShopFoundError(f"No table of {where} looks like products.")
        sections = list(item_sections(catalogue, found, reader.row))
        if found.orders is not None:
            sections += order_sections(catalogue, found.orders, found.others, reader.row)
        events = events_section(catalogue, found.items, found.orders)
        sections += [events] if events else []
    header = [
        f"A proposal of `aisle discover` for the database {conninfo_to_dict(url).get('dbname') or ''}, from the names, "
        "keys and values of its tables. Nothing has been written to it.",
        "Sure: by foreign keys. Likely: names and values agree. Guess: check it. DECIDE: only you know.",
        "Then: aisle attach -f shop.toml --check, and without --check.",
    ]
    if unread:
        header.append(f"Could not be read: {', '.join(unread)}.")
    return text(header, sections)
