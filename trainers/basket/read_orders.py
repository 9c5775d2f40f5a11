"""Reads the attached orders in bulk."""

import numpy as np

from aisle.db import Connection, errors
from aisle.embedder.orders import Baskets, group
from aisle.trainers.arrow import numbered, read_columns

# Orders are numbered in the database's order of ids, for each customer: two customers may use the same id.
LINES = """
    select o.user_id::text as user_id, o.item_id, dense_rank() over (order by o.user_id, o.order_id)::float8 as place,
           (extract(epoch from o.local_at) / 86400)::float8 as at, o.quantity::float8 as quantity
    from aisle._orders o
"""


def check_attached(connection: Connection) -> None:
    """Raise NotAttachedError unless orders are attached."""
    if connection.execute("select from aisle._attachments where kind = 'orders'").fetchone() is None:
        raise errors.NotAttachedError(
            "No orders are attached.",
            hint="Attach them: aisle attach orders SCHEMA.TABLE --order-id … --user … --item … --at …",
        )


def read_baskets(connection: Connection) -> Baskets:
    """Return the orders of all customers.

    Raises NotAttachedError if no orders are attached, and TrainingDataError if there are none.
    """
    check_attached(connection)
    lines = read_columns(connection, LINES)
    if not lines:
        raise errors.TrainingDataError("There are no orders.", hint="Fill the attached table first.")
    customer_ids, customer = numbered(lines["user_id"])
    item_ids, item = np.unique(lines["item_id"].astype(str), return_inverse=True)  # sorted, as in a generation
    return group(
        customer,
        lines["place"].astype(np.int64),
        lines["at"],
        item,
        lines["quantity"].astype(np.float32),
        customer_ids,
        item_ids.tolist(),
    )
