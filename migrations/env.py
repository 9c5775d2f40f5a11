"""Alembic's entry point: one transaction, one lock, and the version table in our own schema."""

from typing import Any

import psycopg
from alembic import context
from sqlalchemy import create_engine, pool

from aisle import migrations, sql
from aisle.sql import errors, registry

LOCK_KEY = 4_150_711_053  # any constant: serialises concurrent migrations of one database

PREPARE = """
create schema if not exists aisle;
create extension if not exists vector;
select set_config('search_path', 'pg_catalog, ' || quote_ident(n.nspname), true)
from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector';
select '[1]'::vector;  -- loads the library: only then may a role that is no superuser give a function a setting of hnsw
"""

options: dict[str, Any] = {
    "version_table_schema": migrations.SCHEMA,
    "transactional_ddl": True,
    "transaction_per_migration": False,
}


def forbid_training(connection: Any) -> None:
    """Keep training runs away until the transaction ends; raise BusyError if one is going on."""
    if not connection.exec_driver_sql(f"select pg_try_advisory_xact_lock({registry.TRAINING_LOCK})").scalar():
        holder = connection.exec_driver_sql(f"select aisle._lock_holder({registry.TRAINING_LOCK})").scalar()
        raise errors.BusyError(
            f"A training run is going on ({holder or 'it has just ended'}).", hint="Wait for it, or stop it."
        )


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", **options)
    with context.begin_transaction():
        context.get_context().impl.static_output(PREPARE)
        context.run_migrations()
else:
    url = context.config.attributes["url"]
    # psycopg reads the address, so that all spellings that it knows will do, and no message quotes it.
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=pool.NullPool,
        creator=lambda: psycopg.connect(url, application_name="aisle migrate", **sql.CONNECTION_OPTIONS),
    )
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({LOCK_KEY})")
            connection.exec_driver_sql(PREPARE, execution_options={"no_parameters": True})
            current = context.get_context().get_current_revision()
            if current is not None and current != context.get_revision_argument():
                forbid_training(connection)
            # Who waits for a table makes everybody wait who asks for it later: rather give up, and try again.
            connection.exec_driver_sql("set local lock_timeout = '1s'")
            context.run_migrations()
