"""How the database got here: Alembic revisions, and the frozen copies of the SQL that each of them shipped.

People edit only `sql/`. `python -m aisle.migrations REVISION` copies what changed since the last revision to
`frozen/REVISION/`; a revision applies those copies, and its downgrade restores what the revision before had shipped.
"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import psycopg
from alembic import command
from alembic.config import Config
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from aisle import db
from aisle.db import model_registry

FROZEN = Path(__file__).parent / "frozen"
SCHEMA = "aisle"

VECTOR_SCHEMA = "@vector@"  # in the SQL texts

Operator = Operations | ModuleType  # a revision hands over the module alembic.op, which acts as one

DROP_VIEW = "drop view if exists aisle.NAME;"
DROP_FUNCTION = """
do $drop$
declare
    signature regprocedure;
begin
    -- Every overload of the name, whatever its arguments were in the revision that created it.
    for signature in
        select p.oid from pg_catalog.pg_proc p
        where p.pronamespace = 'aisle'::pg_catalog.regnamespace and p.proname = 'NAME'
    loop
        execute pg_catalog.format('drop function %s', signature);
    end loop;
end
$drop$;
"""


def include_object(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    """Keep Aisle's schema out of the shop's own Alembic autogenerate.

    In the shop's env.py: `context.configure(…, include_object=aisle.migrations.include_object)`.
    """
    table = getattr(object_, "table", object_)
    return getattr(table, "schema", None) != SCHEMA


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """The same as early as Alembic asks, so that SQLAlchemy need not know the type `vector`: `include_name=…`."""
    return not (type_ == "schema" and name == SCHEMA)


def configuration(url: str | None = None, output: TextIO | None = None) -> Config:
    """Return Alembic's configuration for this database."""
    config = Config(output_buffer=output)
    # A path, not `aisle:migrations`: the root package has no files of its own for importlib to find.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def head() -> str:
    """Return the newest revision that this program knows."""
    return str(ScriptDirectory.from_config(configuration()).get_current_head())


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to a revision, up or down, in one transaction. Safe to call from several processes at once.

    Raises ConnectionFailedError, UnsupportedServerError, InvalidArgumentError for an unknown revision, and BusyError
    while a training run is going on, or if a query holds for long what is to be changed.
    """
    db.connect(url).close()  # SQLAlchemy's own complaints about a server that is not fit are hard to read
    config = configuration(url)
    script = ScriptDirectory.from_config(config)
    known = {r.revision for r in script.walk_revisions()}
    if revision not in {*known, "head", "base"}:
        raise db.errors.InvalidArgumentError(
            f"There is no revision {revision!r}.", hint=f"Known revisions: {', '.join(sorted(known))}, head, base"
        )
    is_upgrade = _is_upgrade(url, revision, script)
    try:
        model_registry.patiently(lambda: _run(config, revision, is_upgrade=is_upgrade))
    except db.errors.BusyError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        with db.connect(url) as connection:
            user = db.fetch_value(connection, db.read("queries/user_of_our_tables"))
        raise db.errors.BusyError(f"Aisle's tables are in use ({user or 'the query has just ended'}).") from error
    if revision == "base":
        with db.connect(url) as connection:
            connection.execute("drop schema aisle cascade")  # Alembic's version table is all that is left in it


def migration_sql(revision: str = "head", *, vector_schema: str = "public") -> str:
    """Return the SQL that brings an empty database to a revision, for a database administrator to read and run.

    `vector_schema` is the schema of pgvector there.
    """
    output = StringIO()
    config = configuration(output=output)
    config.attributes["vector_schema"] = vector_schema
    command.upgrade(config, revision, sql=True)
    return output.getvalue()


def current(connection: Any) -> str | None:
    """Return the revision of the database behind a psycopg connection; None before the first migration."""
    exists = connection.execute("select to_regclass('aisle.alembic_version')").fetchone()
    if exists is None or exists[0] is None:
        return None
    row = connection.execute("select version_num from aisle.alembic_version").fetchone()
    return row[0] if row else None


def _run(config: Config, revision: str, *, is_upgrade: bool) -> None:
    try:
        if is_upgrade:
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except psycopg.errors.UniqueViolation:
        _run(config, revision, is_upgrade=is_upgrade)  # another process has created the schema meanwhile
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error  # as every other statement of ours fails
        raise


def _is_upgrade(url: str, revision: str, script: ScriptDirectory) -> bool:
    if revision in ("head", "base"):
        return revision == "head"
    with db.connect(url) as connection:
        now = current(connection)
    return now is None or revision in {r.revision for r in script.iterate_revisions("head", now)}


def run(operations: Operator, text: str) -> None:
    """Send SQL text to the server as it is: `%` and `:name` in a function's body are not placeholders.

    Only `@vector@` is: the schema of pgvector, so that its types and operators are never looked for on a search path.
    """
    context = operations.get_context()
    text = text.replace(VECTOR_SCHEMA, context.config.attributes["vector_schema"] if context.config else "public")
    if context.as_sql:
        context.impl.static_output(text.rstrip().rstrip(";") + ";\n")
    else:
        connection = operations.get_bind()
        connection.exec_driver_sql(text, execution_options={"no_parameters": True})


def run_frozen(operations: Operator, revision: str, name: str) -> None:
    """Run one hand-written file of a revision, such as its tables."""
    run(operations, (FROZEN / revision / f"{name}.sql").read_text(encoding="utf-8"))


def upgrade_objects(operations: Operator, revision: str) -> None:
    """Create or replace the functions and views that a revision ships, in creation order, and secure them.

    Replacing keeps grants, and keeps the shop's triggers on the functions that they call. A revision that changes a
    signature or a view's columns drops the old object itself first.
    """
    for name in _shipped(revision):
        run(operations, _frozen(name, revision).read_text(encoding="utf-8"))
    run(operations, "select aisle._secure();")


def downgrade_objects(operations: Operator, revision: str, ancestors: Sequence[str] = ()) -> None:
    """Put back what a revision replaced: each object's newest copy among its ancestors (newest first); else drop it."""
    for name in reversed(_shipped(revision)):
        older = next((copy for a in ancestors if (copy := _frozen(name, a)).exists()), None)
        if older:
            run(operations, older.read_text(encoding="utf-8"))
        else:
            folder, _, object_name = name.rpartition("/")
            run(operations, (DROP_VIEW if folder == "views" else DROP_FUNCTION).replace("NAME", object_name))
    if ancestors:
        run(operations, "select aisle._secure();")


def newest_frozen(name: str) -> Path | None:
    """Return the newest frozen copy of an object."""
    copies = sorted(FROZEN.glob(f"*/{name}.sql"))
    return copies[-1] if copies else None


def _frozen(name: str, revision: str) -> Path:
    return FROZEN / revision / f"{name}.sql"


def _shipped(revision: str) -> list[str]:
    return [name for name in db.CREATION_ORDER if _frozen(name, revision).exists()]
