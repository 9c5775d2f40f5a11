"""A realistic shop, made from a seed: `generate` makes its rows, `load` puts them into PostgreSQL.

    from aisle.demo.shop import generate, load
    load(connection, generate())

Everything is invented: words in `catalogue.toml`, names and labels in `products.py`, orders and visits in `history.py`,
tables in `schema.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from aisle.demo.catalogue import read_catalogue
from aisle.demo.history import Customer, Order, OrderItem, Visit, make_history
from aisle.demo.products import Product, make_products

if TYPE_CHECKING:  # generating a shop needs no database driver
    import psycopg

LAST_DAY = date(2026, 11, 15)


@dataclass(frozen=True)
class Shop:
    """The rows of each table, and the truth that the tables lack."""

    products: list[Product]
    customers: list[Customer]
    orders: list[Order]
    order_items: list[OrderItem]
    visits: list[Visit]
    truth: Mapping[int, str]  # every product's right category, by id
    mislabelled: frozenset[int]  # ids of products under a wrong category


def generate(seed: int = 7, until: date = LAST_DAY) -> Shop:
    """Return the shop of a seed and a date. `until` is the day after the last order and visit."""
    assortment = make_products(read_catalogue(), Random(seed))
    history = make_history(assortment.products, assortment.truth, until, np.random.default_rng(seed))
    return Shop(
        products=assortment.products,
        customers=history.customers,
        orders=history.orders,
        order_items=history.order_items,
        visits=history.visits,
        truth={id_: category.path for id_, category in enumerate(assortment.truth, start=1)},
        mislabelled=assortment.mislabelled,
    )


def load(connection: psycopg.Connection[Any], shop: Shop) -> None:
    """Create the schema `shop` and fill it, all or nothing.

    Raises psycopg.errors.DuplicateSchema if there is a schema of that name.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(files("aisle.demo").joinpath("schema.sql").read_bytes())
        for statement, rows in (  # row types and tables have their columns in the same order
            ("copy shop.products from stdin", shop.products),
            ("copy shop.customers from stdin", shop.customers),
            ("copy shop.orders from stdin", shop.orders),
            ("copy shop.order_items from stdin", shop.order_items),
            ("copy shop.visits from stdin", shop.visits),
        ):
            with cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        # The ids of new rows must not collide with the copied ones.
        cursor.execute("select setval(pg_get_serial_sequence('shop.products', 'id'), max(id)) from shop.products")
        cursor.execute("select setval(pg_get_serial_sequence('shop.orders', 'id'), max(id)) from shop.orders")
