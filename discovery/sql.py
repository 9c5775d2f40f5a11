"""Writes names and values as SQL, quoted only where SQL needs it."""

import re

# Words that cannot name a table or column without quotes.
_RESERVED = """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
returning right select session_user similar some symmetric system_user table tablesample then to trailing true union
unique user using variadic verbose when where window with
"""
RESERVED = frozenset(_RESERVED.split())


def identifier(name: str) -> str:
    """Return a name as SQL reads it."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def relation(name: str) -> str:
    """Return `schema.table` as SQL reads it; a dot in the schema's own name is not expected."""
    schema, _, table = name.partition(".")
    return f"{identifier(schema)}.{identifier(table)}"


def column(alias: str, name: str) -> str:
    """Return a column of a table that a query calls `alias`; without an alias, the column alone."""
    return f"{alias}.{identifier(name)}" if alias else identifier(name)


def literal(value: str) -> str:
    """Return a text as SQL reads it."""
    return "'" + value.replace("'", "''") + "'"
