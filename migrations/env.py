"""Alembic's entry point: one transaction, one lock, and the version table in our own schema."""

import re
from typing import Any

import psycopg
from alembic import context
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, pool

from aisle import db, migrations
from aisle.db import errors, model_registry, sessions
from aisle.migrations import objects

CREATE_SCHEMA = "create schema if not exists aisle;"
# In a schema of its own, which no reset of the shop's schema drops: all vectors would go with it.
CREATE_EXTENSION = """do $extension$
begin
    if not exists (select from pg_catalog.pg_extension e where e.extname = 'vector') then
        create schema if not exists @vector@;
        create extension vector schema @vector@;
    end if;
end
$extension$;"""
# A role that is no superuser may give a function an hnsw setting only after the library is loaded.
LOAD_LIBRARY = "select '[1]'::@vector@.vector;"
# The offline SQL is for one schema of pgvector. Online, the database says which schema it is.
CHECK = """do $check$
begin
    if '@vector@' is distinct from (
        select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_extension e
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector')
    then
        raise exception 'pgvector is in another schema than @vector@.'
            using hint = 'Print the SQL for the other schema: aisle migrate --sql --vector-schema NAME';
    end if;
end
$check$;"""
# Names of schemas that are safe to insert into the SQL.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_ .-]+")

options: dict[str, Any] = {
    "version_table_schema": migrations.SCHEMA,
    "transactional_ddl": True,
    "transaction_per_migration": False,
}


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a connection of psycopg's own class, because SQLAlchemy needs one. It is read committed, and may write."""
    given = conninfo_to_dict(url).get("options") or ""
    arguments = {"application_name": "aisle migrate", **db.CONNECTION_OPTIONS}
    try:  # SQLAlchemy sends queries before we can set anything
        connection = psycopg.connect(url, options=f"{given} {sessions.STARTUP}".strip(), **arguments)
    except psycopg.OperationalError as error:
        if "startup parameter" not in str(error):  # a pooler accepts none
            raise
        connection = psycopg.connect(url, **arguments)
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.read_only = False
    connection.prepare_threshold = None
    return connection


def check_owner(connection: psycopg.Connection[Any]) -> None:
    """Raise UnsupportedServerError if another role owns the schema, because that role could add its own code."""
    owner, is_trusted = db.fetch_row(
        connection,
        "select nspowner::regrole::text, pg_has_role(nspowner, current_user, 'member') from pg_namespace"
        " where nspname = 'aisle'",
    )
    if not is_trusted:
        raise errors.UnsupportedServerError(
            f"{owner} owns the schema aisle, so {connection.info.user} cannot migrate it.",
            hint=f"Connect as {owner}, or drop the schema as {owner}.",
        )


def plain_name(schema: str) -> str:
    """Return the name of pgvector's schema as SQL spells it; raises UnsupportedServerError for an unsafe name."""
    if not PLAIN_NAME.fullmatch(schema):
        raise errors.UnsupportedServerError(
            f"pgvector is in the schema {schema!r}; its name may have letters, digits, spaces and _ . - only.",
            hint="alter extension vector set schema extensions;",
        )
    return schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else f'"{schema}"'


if context.is_offline_mode():
    vectors = context.config.attributes["vector_schema"] = plain_name(context.config.attributes["vector_schema"])
    context.configure(dialect_name="postgresql", **options)
    with context.begin_transaction():
        # The most important settings of sessions.py.
        for statement in (
            "set local search_path = pg_catalog, pg_temp;",
            "set local standard_conforming_strings = on;",
            CREATE_SCHEMA,
            CREATE_EXTENSION,
            CHECK,
            LOAD_LIBRARY,
        ):
            context.get_context().impl.static_output(statement.replace(objects.VECTOR_SCHEMA, vectors))
        context.run_migrations()
else:
    # psycopg parses the address, so that all its spellings work and no message quotes it.
    engine = create_engine(
        "postgresql+psycopg://",
        use_native_hstore=False,
        poolclass=pool.NullPool,
        creator=lambda: connect(context.config.attributes["url"]),
    )
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            raw = connection.connection.dbapi_connection
            if not isinstance(raw, psycopg.Connection):
                raise TypeError(f"not a connection of psycopg's: {raw!r}")
            sessions.set_all(raw, sessions.for_server(raw.info.server_version, {}), is_local=True)
            raw.execute(CREATE_SCHEMA)
            raw.execute(CREATE_EXTENSION.replace(objects.VECTOR_SCHEMA, migrations.VECTOR_SCHEMA).encode())
            check_owner(raw)
            raw.execute("set local lock_timeout = '60s'")
            if db.fetch_value(raw, "select to_regclass('aisle.alembic_version') is not null"):
                # A second migration waits here. During the very first one it fails to create the schema, and retries.
                raw.execute("lock table aisle.alembic_version in exclusive mode")
            found = db.vector_schema(raw).as_string(raw)[1:-1].replace('""', '"')
            plain_name(found)
            # The server quotes the name, because it knows its reserved words.
            vectors = context.config.attributes["vector_schema"] = db.fetch_value(
                raw, "select quote_ident(%s)", (found,)
            )
            raw.execute(LOAD_LIBRARY.replace(objects.VECTOR_SCHEMA, vectors).encode())
            current = context.get_context().get_current_revision()
            if current is not None and current != context.get_revision_argument():
                model_registry.lock_training(raw)
            # A migration that waits for a table makes all later queries on it wait. So it gives up, and tries again.
            raw.execute("set local lock_timeout = '1s'")
            context.run_migrations()
