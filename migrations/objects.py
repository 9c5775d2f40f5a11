"""The SQL objects that a revision applies: files of `sql/`, or the copies that a release has frozen.

A revision that is not released applies the files of `sql/` that differ from the newest frozen copies. A released
revision has a folder `frozen/REVISION/` with its files, and a file SHA256SUMS that lists them in creation order.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from alembic.operations import Operations

from aisle import db
from aisle.db.schema_objects import creation_order

FROZEN = Path(__file__).parent / "frozen"
SUMS = "SHA256SUMS"

VECTOR_SCHEMA = "@vector@"  # in the SQL texts

Operator = Operations | ModuleType  # a revision passes the module alembic.op, which has the same methods

DROP_VIEW = "drop view if exists aisle.NAME;"
DROP_FUNCTION = """
do $drop$
declare
    signature regprocedure;
begin
    -- Every overload of the name: the arguments depend on the revision that created it.
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
    """Send SQL text to the server unchanged: `%` and `:name` in a function's body are not placeholders.

    The only placeholder is `@vector@`, the schema of pgvector. So types and operators do not depend on a search path.
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
    """Create or replace a revision's objects, in creation order, and secure them.

    Replacing a function keeps its grants and the shop's triggers that call it. A revision that changes a signature or a
    view's columns must drop the old object first.
    """
    for text in shipped(revision).values():
        run(operations, text)
    run(operations, "select aisle._secure();")


def downgrade_objects(operations: Operator, revision: str, ancestors: Sequence[str] = ()) -> None:
    """Restore each object's newest copy among the ancestors (newest first); drop an object that has none."""
    for name in reversed(shipped(revision)):
        older = next((copy for a in ancestors if (copy := frozen(name, a)).exists()), None)
        folder, _, object_name = name.rpartition("/")
        if older:
            run(operations, older.read_text(encoding="utf-8"))
        elif folder:  # a file at the top fills a table, and dropping the tables removes it
            run(operations, (DROP_VIEW if folder == "views" else DROP_FUNCTION).replace("NAME", object_name))
    if ancestors:
        run(operations, "select aisle._secure();")


def shipped(revision: str) -> dict[str, str]:
    """Return the text of each of a revision's objects, by name, in creation order."""
    if is_frozen(revision):
        return {name: frozen(name, revision).read_text(encoding="utf-8") for name in _listed(revision)}
    return {name: text for name, text in newest().items() if text != _newest_frozen(name)}


def newest() -> dict[str, str]:
    """Return the text of each object in `sql/`, by name, in creation order.

    The name leaves out the topic's folder: `functions/_now` for `sql/functions/queue/_now.sql`. So a file may move to
    another topic.
    """
    paths = creation_order()
    texts = {"/".join(dict.fromkeys((path.split("/")[0], path.split("/")[-1]))): db.read(path) for path in paths}
    if len(texts) < len(paths):
        raise ValueError("two files of sql/ have the same name")
    return texts


def is_frozen(revision: str) -> bool:
    """Return whether a revision was released."""
    return (FROZEN / revision / SUMS).exists()


def frozen(name: str, revision: str) -> Path:
    """Return the path of a revision's frozen copy of an object; it may not exist."""
    return FROZEN / revision / f"{name}.sql"


def _newest_frozen(name: str) -> str | None:
    copies = sorted(FROZEN.glob(f"*/{name}.sql"))
    return copies[-1].read_text(encoding="utf-8") if copies else None


def _listed(revision: str) -> list[str]:
    lines = (FROZEN / revision / SUMS).read_text(encoding="utf-8").splitlines()
    names = [line.split("  ")[1].removesuffix(".sql") for line in lines]
    return [name for name in names if name not in ("tables", "drop_tables")]
