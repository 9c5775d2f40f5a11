"""Queries Aisle with psycopg. The program needs the driver only, no package of Aisle.

    DATABASE_URL=postgresql://… python examples/with_psycopg.py USER 'a product name'

The role gets its rights by: aisle grant --reader ROLE
"""

import os
import sys

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

NO_LIVE_MODEL = "AIS01"

user, name = sys.argv[1:]

with psycopg.connect(os.environ["DATABASE_URL"], row_factory=namedtuple_row) as connection:
    print(f"{name} is probably:")
    try:
        with connection.transaction():  # so that an error ends only this transaction
            for row in connection.execute("select * from aisle.predict_category(%s)", [name]):
                print(f"  {row.category} ({row.confidence:.0%})")
    except psycopg.Error as error:
        if error.sqlstate != NO_LIVE_MODEL:
            raise
        print("  no model is live yet:", error.diag.message_hint)

    print(f"Recommended to {user} for lunch:")
    rows = connection.execute(
        # An id is text in Aisle; the join casts it to the type of the shop's table.
        "select p.name, r.score from aisle.recommend(%s, k => 5, context => %s) r"
        " join shop.products p on p.id = r.item_id::bigint order by r.rank",
        [user, Jsonb({"meal_time": "lunch"})],
    )
    for row in rows:
        print(f"  {row.name} ({row.score:.2f})")

    print(f"The next order of {user}:")
    rows = connection.execute(
        "select p.name, b.probability from aisle.next_basket(%s, k => null) b"
        " join shop.products p on p.id = b.item_id::bigint order by b.rank",
        [user],
    )
    for row in rows:
        print(f"  {row.name} ({row.probability:.0%})")
