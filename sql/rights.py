"""Who may do what: the grants of a reader, a worker and an administrator, as SQL that anybody may read and run.

The text of each kind is in `grants/`. A generation that is made later is granted to the same roles by the database.
"""

from psycopg import sql as compose

from aisle import sql
from aisle.sql import Connection, errors

KINDS = ("reader", "worker", "admin")


def text(kind: str, role: str) -> str:
    """Return the SQL that grants a role what one of the `KINDS` needs."""
    name = compose.Identifier(role).as_string()
    return sql.read(f"grants/{kind}").replace("ROLE", name) + "\n" + sql.read("grants/existing")


def grant(connection: Connection, kind: str, role: str) -> None:
    """Grant a role what one of the `KINDS` needs, all or nothing; raises InvalidArgumentError for an unknown role."""
    if not sql.fetch_value(connection, "select exists (select from pg_roles where rolname = %s)", (role,)):
        raise errors.InvalidArgumentError(
            f"There is no role {role!r}.",
            hint=f"Create it first: create role {compose.Identifier(role).as_string()} login",
        )
    connection.execute(text(kind, role).encode())


def missing_on_the_shop(connection: Connection, role: str) -> list[str]:
    """Return the statements by which the shop would let a role read the columns of its tables that are attached."""
    rows = connection.execute(sql.read("queries/missing_on_the_shop"), {"role": role}).fetchall()
    return [statement for (statement,) in rows]
