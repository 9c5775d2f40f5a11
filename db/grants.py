"""The grants of a reader, a worker and an administrator, as SQL that anybody may read and run.

The SQL of each kind is in `sql/grants/`. The database grants later generations to the same roles.
"""

import re

from psycopg import sql as compose

from aisle import db
from aisle.db import Connection, errors

KINDS = ("reader", "worker", "admin")


def text(kind: str, role: str) -> str:
    """Return the SQL that grants a role the rights of one of the `KINDS`."""
    name = compose.Identifier(role).as_string()
    statements = db.read(f"grants/{kind}") + "\n" + db.read("grants/existing")
    written = {"ROLE": name, "'ROLE'": compose.Literal(name).as_string()}
    return re.sub("'ROLE'|ROLE", lambda found: written[found[0]], statements)


def grant(connection: Connection, kind: str, role: str, *, despite_row_security: bool = False) -> None:
    """Grant a role the rights of one of the `KINDS`, all of them or none.

    Raises InvalidArgumentError for an unknown role. Also raises it for a reader if row security may hide rows, unless
    `despite_row_security`: a reader can read all vectors, and a vector reveals the texts of its row.
    """
    if not db.fetch_value(connection, "select exists (select from pg_roles where rolname = %s)", (role,)):
        raise errors.InvalidArgumentError(
            f"There is no role {role!r}.",
            hint=f"Create it first: create role {compose.Identifier(role).as_string()} login",
        )
    if kind == "reader" and not despite_row_security and (secured := with_row_security(connection)):
        raise errors.InvalidArgumentError(
            f"Row security may hide rows of {', '.join(secured)}. A reader can read the vectors of all rows, and these "
            "reveal the texts of hidden rows.",
            hint=f"If these texts are no secret: aisle grant --reader {role} --despite-row-security",
        )
    connection.execute(text(kind, role).encode())


def with_row_security(connection: Connection) -> list[str]:
    """Return the attached relations whose rows row security may hide."""
    rows = connection.execute(db.read("queries/with_row_security")).fetchall()
    return [relation for (relation,) in rows]


def missing_on_the_shop(connection: Connection, role: str) -> list[str]:
    """Return the grants that a role lacks on the shop's attached tables."""
    rows = connection.execute(db.read("queries/missing_on_the_shop"), {"role": role}).fetchall()
    return [statement for (statement,) in rows]
