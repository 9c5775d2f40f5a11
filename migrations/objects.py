"""What a revision applies: SQL files of `sql/`, or the copies of them that a release has frozen.

A revision that is not released applies `sql/` as it stands: all that differs from the newest frozen copies. A released
one has a folder `frozen/REVISION/` with the texts that it ships, and a file SHA256SUMS that lists them in the order of
their creation.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from alembic.operations import Operations

from aisle import db

FROZEN = Path(__file__).parent / "frozen"
SUMS = "SHA256SUMS"

VECTOR_SCHEMA = "@vector@"  # in the SQL texts

Operator = Operations | ModuleType  # a revision hands over the module alembic.op, which acts as one

DROP_VIEW = "drop view if exists aisle.NAME;"
DROP_FUNCTION = """
do $drop$
declare
    signature regprocedure;
begin
    -- Every overload of the name, whatever arguments the revision that created it gave it.
    for signature in
        select p.oid from pg_catalog.pg_proc p
        where p.pronamespace = 'aisle'::pg_catalog.regnamespace and p.proname = 'NAME'
    loop
        execute pg_catalog.format('drop function %s', signature);
    end loop;
end
$drop$;
"""


def run(operations: Operator, text: str) -> None:
    """Send SQL text to the server as it is: `%` and `:name` in a function's body are not placeholders.

    Only `@vector@` is one. It stands for the schema of pgvector, so that no search path decides which types and
    operators are meant.
    """
    context = operations.get_context()
    text = text.replace(VECTOR_SCHEMA, context.config.attributes["vector_schema"] if context.config else "public")
    if context.as_sql:
        context.impl.static_output(text.rstrip().rstrip(";") + ";\n")
    else:
        connection = operations.get_bind()
        connection.exec_driver_sql(text, execution_options={"no_parameters": True})


def run_file(operations: Operator, revision: str, name: str) -> None:
    """Run a file that only this revision runs, such as `tables`."""
    copy = frozen(name, revision)
    run(operations, copy.read_text(encoding="utf-8") if copy.exists() else db.read(name))


def upgrade_objects(operations: Operator, revision: str) -> None:
    """Create or replace what a revision ships, in creation order, and secure it.

    Replacing keeps grants, and keeps the shop's triggers on the functions that they call. A revision that changes a
    signature or a view's columns drops the old object itself first.
    """
    for text in shipped(revision).values():
        run(operations, text)
    run(operations, "select aisle._secure();")


def downgrade_objects(operations: Operator, revision: str, ancestors: Sequence[str] = ()) -> None:
    """Put back what a revision replaced: each object's newest copy among its ancestors (newest first); else drop it."""
    for name in reversed(shipped(revision)):
        older = next((copy for a in ancestors if (copy := frozen(name, a)).exists()), None)
        folder, _, object_name = name.rpartition("/")
        if older:
            run(operations, older.read_text(encoding="utf-8"))
        elif folder:  # a file at the top fills a table, which goes with the tables
            run(operations, (DROP_VIEW if folder == "views" else DROP_FUNCTION).replace("NAME", object_name))
    if ancestors:
        run(operations, "select aisle._secure();")


def shipped(revision: str) -> dict[str, str]:
    """Return the text of each object that a revision ships, by name, in creation order."""
    if is_frozen(revision):
        return {name: frozen(name, revision).read_text(encoding="utf-8") for name in _listed(revision)}
    return {name: text for name, text in newest().items() if text != _newest_frozen(name)}


def newest() -> dict[str, str]:
    """Return the text of each object in `sql/`, by name, in creation order.

    The name leaves out the folder of the topic, `functions/_now` for `sql/functions/queue/_now.sql`, so that a file may
    move to another.
    """
    paths = creation_order()
    texts = {"/".join(dict.fromkeys((path.split("/")[0], path.split("/")[-1]))): db.read(path) for path in paths}
    if len(texts) < len(paths):
        raise ValueError("two files of sql/ have the same name")
    return texts


def creation_order() -> list[str]:
    """Return the path of each object below `sql/`, without its suffix, so that each comes after what it needs."""
    return (db.SQL / "creation_order.txt").read_text(encoding="utf-8").split()


def is_frozen(revision: str) -> bool:
    """Return whether a revision was released."""
    return (FROZEN / revision / SUMS).exists()


def frozen(name: str, revision: str) -> Path:
    """Return where a revision's frozen copy of an object is, if there is one."""
    return FROZEN / revision / f"{name}.sql"


def _newest_frozen(name: str) -> str | None:
    copies = sorted(FROZEN.glob(f"*/{name}.sql"))
    return copies[-1].read_text(encoding="utf-8") if copies else None


def _listed(revision: str) -> list[str]:
    lines = (FROZEN / revision / SUMS).read_text(encoding="utf-8").splitlines()
    names = [line.split("  ")[1].removesuffix(".sql") for line in lines]
    return [name for name in names if name not in ("tables", "drop_tables")]
