"""Runs revisions. Only this module and `env.py` need Alembic and SQLAlchemy."""

from io import StringIO
from pathlib import Path
from typing import TextIO

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from aisle import db, migrations
from aisle.db import model_registry, schema_objects


def configuration(url: str | None = None, output: TextIO | None = None) -> Config:
    """Return Alembic's configuration for this database."""
    config = Config(output_buffer=output)
    # A path, not `aisle:migrations`, because importlib finds no file of the root package.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(url: str, revision: str) -> None:
    """See `aisle.migrations.migrate`."""
    db.connect(url).close()  # raises our own errors for an unsuitable server; SQLAlchemy's are hard to read
    known = migrations.revisions()
    if revision not in {*known, "head", "base"}:
        raise db.errors.InvalidArgumentError(
            f"There is no revision {revision!r}.", hint=f"Known revisions: {', '.join(known)}, head, base"
        )
    config = configuration(url)
    is_upgrade = _is_upgrade(url, revision, ScriptDirectory.from_config(config))
    try:
        model_registry.patiently(lambda: _run(config, revision, is_upgrade=is_upgrade))
    except db.errors.BusyError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        with db.connect(url) as connection:
            user = db.fetch_value(connection, db.read("queries/user_of_our_tables"))
        raise db.errors.BusyError(f"Aisle's tables are in use ({user or 'the query has just ended'}).") from error
    if revision == "head":
        with db.connect(url) as connection:
            schema_objects.recreate(connection)
    elif revision == "base":
        with db.connect(url) as connection:
            connection.execute("drop schema aisle cascade")  # only Alembic's version table is left


def migration_sql(revision: str, *, vector_schema: str) -> str:
    """See `aisle.migrations.migration_sql`."""
    output = StringIO()
    config = configuration(output=output)
    config.attributes["vector_schema"] = vector_schema
    command.upgrade(config, revision, sql=True)
    return output.getvalue()


def _run(config: Config, revision: str, *, is_upgrade: bool) -> None:
    try:
        if is_upgrade:
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except psycopg.errors.UniqueViolation:
        _run(config, revision, is_upgrade=is_upgrade)  # another process created the schema meanwhile
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error  # callers handle psycopg's errors only
        raise


def _is_upgrade(url: str, revision: str, script: ScriptDirectory) -> bool:
    if revision in ("head", "base"):
        return revision == "head"
    with db.connect(url) as connection:
        now = migrations.current(connection)
    return now is None or revision in {r.revision for r in script.iterate_revisions("head", now)}
