"""Which functions and views the schema should have, and which of them are missing."""

from aisle import db
from aisle.db import Connection, errors


def creation_order() -> list[str]:
    """Return the path of each object below `sql/`, without suffix. Each comes after the objects that it needs."""
    return (db.SQL / "creation_order.txt").read_text(encoding="utf-8").split()


def missing(connection: Connection) -> list[str]:
    """Return the paths of the functions and views that are not in the database, in creation order."""
    rows = connection.execute(
        "select proname from pg_proc where pronamespace = 'aisle'::regnamespace"
        " union select relname from pg_class where relnamespace = 'aisle'::regnamespace and relkind = 'v'"
    ).fetchall()
    there = {name for (name,) in rows}
    return [path for path in creation_order() if "/" in path and path.rpartition("/")[2] not in there]


def has_lost_vectors(connection: Connection) -> bool:
    """Return whether pgvector was dropped with all that depends on it, as `drop schema … cascade` does."""
    return bool(db.fetch_value(connection, "select to_regtype('aisle._vector') is null"))


def recreate(connection: Connection) -> None:
    """Create the functions and views that are missing; raises ModelStateError if the vectors are lost, too."""
    lost = missing(connection)
    if not lost:
        return
    if has_lost_vectors(connection):
        raise errors.ModelStateError(
            "pgvector was dropped with all columns of its types: Aisle's tables have lost their vectors.",
            hint="Begin again: aisle migrate --to base, aisle migrate, attach, train.",
        )
    schema = db.vector_schema(connection).as_string(connection)
    with connection.transaction():
        for path in lost:
            connection.execute(db.read(path).replace("@vector@", schema).encode())
        connection.execute("select aisle._secure()")
