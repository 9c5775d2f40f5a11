"""Who may do what: the grants of a reader, a worker and an administrator, as SQL that anybody may read and run.

The text of each kind is in `grants/`. A generation that is made later is granted to the same roles by the database.
"""

import re

from psycopg import sql as compose

from aisle import db
from aisle.db import Connection, errors

KINDS = ("reader", "worker", "admin")


def text(kind: str, role: str) -> str:
    """Return the SQL that grants a role what one of the `KINDS` needs."""
    name = compose.Identifier(role).as_string()
    statements = db.read(f"grants/{kind}") + "\n" + db.read("grants/existing")
    written = {"ROLE": name, "'ROLE'": compose.Literal(name).as_string()}
    return re.sub("'ROLE'|ROLE", lambda found: written[found[0]], statements)


def grant(connection: Connection, kind: str, role: str, *, despite_row_security: bool = False) -> None:
    """Grant a role what one of the `KINDS` needs, all or nothing.

    Raises InvalidArgumentError for an unknown role, and for a reader where row security may hide rows, unless it is to
    be despite that: a reader reads vectors, and from the vectors of a row its texts can be made out.
    """
    if not db.fetch_value(connection, "select exists (select from pg_roles where rolname = %s)", (role,)):
        raise errors.InvalidArgumentError(
            f"There is no role {role!r}.",
            hint=f"Create it first: create role {compose.Identifier(role).as_string()} login",
        )
    if kind == "reader" and not despite_row_security and (secured := with_row_security(connection)):
        raise errors.InvalidArgumentError(
            f"Row security may hide rows of {', '.join(secured)}. A reader reads the vectors of all rows, from which "
            "the texts of hidden ones can be made out.",
            hint=f"If that is no secret: aisle grant --reader {role} --despite-row-security",
        )
    connection.execute(text(kind, role).encode())


def with_row_security(connection: Connection) -> list[str]:
    """Return the attached relations of which row security may hide rows."""
    rows = connection.execute(db.read("queries/with_row_security")).fetchall()
    return [relation for (relation,) in rows]


def missing_on_the_shop(connection: Connection, role: str) -> list[str]:
    """Return the statements by which the shop would let a role read the columns of its tables that are attached."""
    rows = connection.execute(db.read("queries/missing_on_the_shop"), {"role": role}).fetchall()
    return [statement for (statement,) in rows]
