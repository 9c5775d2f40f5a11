"""Migrations of the schema: Alembic revisions.

`versions/` has one file for each revision. Until its release a revision applies the files of `sql/`, so that an edited
function is one changed file. A release freezes the SQL of the revision (`freeze.py`); from then on the revision always
applies the frozen copies.

Every command that connects asks `current` and `head`. Nothing here imports Alembic or SQLAlchemy before `migrate` and
`migration_sql` need them.
"""

from pathlib import Path
from typing import Any

SCHEMA = "aisle"
VECTOR_SCHEMA = "pgvector"  # where Aisle creates the extension
VERSIONS = Path(__file__).parent / "versions"


def head() -> str:
    """Return the newest revision that this program knows."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Return all revisions that this program knows, the oldest first. The names of their files begin with them."""
    return sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


def current(connection: Any) -> str | None:
    """Return the revision of the database behind a psycopg connection; None before the first migration."""
    exists = connection.execute("select to_regclass('aisle.alembic_version')").fetchone()
    if exists is None or exists[0] is None:
        return None
    row = connection.execute("select version_num from aisle.alembic_version").fetchone()
    return row[0] if row else None


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to a revision, up or down, in one transaction. Safe to call from several processes at once.

    Raises ConnectionFailedError, UnsupportedServerError, InvalidArgumentError for an unknown revision, and BusyError
    during a training run, or while a query holds a table that must change.
    """
    from aisle.migrations import run

    run.migrate(url, revision)


def migration_sql(revision: str = "head", *, vector_schema: str = VECTOR_SCHEMA) -> str:
    """Return the SQL that brings an empty database to a revision, so that an administrator can read and run it.

    `vector_schema` is the schema of pgvector in that database.
    """
    from aisle.migrations import run

    return run.migration_sql(revision, vector_schema=vector_schema)


def include_object(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    """Keep Aisle's schema out of the shop's own Alembic autogenerate.

    In the shop's env.py: `context.configure(…, include_object=aisle.migrations.include_object)`.
    """
    table = getattr(object_, "table", object_)
    return getattr(table, "schema", None) != SCHEMA


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """Keep SQLAlchemy from reflecting Aisle's schema, because it does not know the type `vector`: `include_name=…`."""
    return not (type_ == "schema" and name == SCHEMA)
