"""Reports rows with odd numbers or times, which no model can use.

The views over the attached tables skip or correct them (sql/functions/attach/attach_*.sql), so one odd row stops
nothing. Training reports how many there are.
"""

from typing import Any

from psycopg import sql as compose

from aisle import db
from aisle.db import Connection
from aisle.trainers.task import Report

LARGEST = 10**9  # of a weight or a quantity, as in the views
YEARS = ("0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00")
NUMBERS = (-700_000, 100_000_000)  # of orders, used as days since 1970
WHOLE = ("smallint", "integer", "bigint")


def report_odd_values(connection: Connection, kind: str, report: Report) -> None:
    """Report the number of rows of `kind`, interactions or orders, with an odd time or number."""
    attached = connection.execute(
        "select relation::text, coalesce(lines, relation)::text, columns ->> 'at', "
        "coalesce(columns ->> 'weight', columns ->> 'quantity'), time_type from aisle._attachments where kind = %s",
        (kind,),
    ).fetchone()
    if attached is None:
        return
    relation, lines, at, number, time_type = attached
    if at is not None:
        ends = NUMBERS if time_type in WHOLE else [compose.SQL(time_type) + compose.Literal(year) for year in YEARS]
        if rows := _outside(connection, relation, at, *ends):
            what = "number of an order" if time_type in WHOLE else "time in the years 1 to 9999"
            report(f"Left out: {_rows(rows)} of {relation}, whose column {at} holds no {what}.")
    if number is not None and (rows := _outside(connection, lines, number, -LARGEST, LARGEST)):
        report(f"Counted as 1: {_rows(rows)} of {lines}, whose column {number} holds NaN, infinity, or more than 10^9.")


def _outside(connection: Connection, relation: Any, column: str, first: Any, last: Any) -> int:
    # `relation` is a regclass as text: the server has quoted it.
    query = compose.SQL("select count(*) from {} e where not e.{} between {} and {}").format(
        compose.SQL(relation), compose.Identifier(column), first, last
    )
    with db.guarded(connection):
        return int(connection.execute(query).fetchall()[0][0])


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
