"""How costs grow with the shop: those of training, and of every function that is read.

    python benchmarks/growth.py category
    python benchmarks/growth.py recommender
    python benchmarks/growth.py basket

A shop of size 1 is the generated one: 4,075 products, 1,500 customers, 107,000 visits, 176,000 order lines. A larger
one is so many of it side by side, in which each customer knows the products of one; a smaller one has all the products
and so many of the customers. In shops of several sizes, a model is trained by the command that a user types, and asked.
A cost of n rows is fitted by n^exponent (least squares of the logarithms), where n are the rows that the model learns
from: products, visits, order lines.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from embedding import fresh_database
from timing import Stopwatch

from aisle import db
from aisle.db import Connection, embedded
from aisle.demo import shop

SHRINK = (
    "delete from shop.customers where split_part(id, '-', 2)::integer > %(size)s * 1500",
    "delete from shop.visits where customer_id not in (select id from shop.customers)",
    "delete from shop.orders where customer_id not in (select id from shop.customers)",
    "delete from shop.order_items where order_id not in (select id from shop.orders)",
)
MULTIPLY = {
    "products": "insert into shop.products select id + n * 10000, name || ' ' || n, manufacturer, category,"
    " specifications, price, stock from shop.products, generate_series(1, %(size)s::integer - 1) n",
    "orders": "insert into shop.orders select id + n * 1000000, customer_id || '-' || n, ordered_at"
    " from shop.orders, generate_series(1, %(size)s::integer - 1) n",
    "order_items": "insert into shop.order_items select order_id + n * 1000000, product_id + n * 10000, quantity"
    " from shop.order_items, generate_series(1, %(size)s::integer - 1) n",
    "visits": "insert into shop.visits select customer_id || '-' || n, product_id + n * 10000, visited_at, meal_time"
    " from shop.visits, generate_series(1, %(size)s::integer - 1) n",
}
ATTACH = (
    "select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category', array['specifications'])",
    "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at')",
    "select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer_id', 'ordered_at',"
    " lines => 'shop.order_items', line_order_id => 'order_id', quantity => 'quantity')",
)

NAMES = "select name, manufacturer from shop.products"
NAME = "select name from shop.products"
ITEM = "select id::text from shop.products"
CUSTOMER = "select distinct customer_id from shop.orders"
CART = "select array_agg(product_id::text) from shop.order_items group by order_id"


@dataclass(frozen=True)
class Task:
    rows: str  # what a model learns from
    multiplied: tuple[str, ...]  # the tables of which a larger shop has more
    sizes: tuple[float, ...]
    options: list[str]  # of training; few epochs, since each costs the same
    calls: dict[str, str]  # and where what is asked comes from


TASKS = {
    "category": Task(
        "shop.products",
        ("products",),
        (3, 10, 30),  # a catalogue of less than 5,000 is trained otherwise
        ["--epochs", "2", "--no-baseline"],
        {
            "predict_category(%s, %s)": NAMES,
            "embed_text(%s)": NAME,
            "item_category(%s)": ITEM,
            "similar_items(%s)": ITEM,
            "search_items(%s)": NAME,
        },
    ),
    "recommender": Task(
        "shop.visits",
        ("products", "visits"),
        (0.1, 1, 10),
        ["--model", "towers", "--epochs", "1"],
        {"recommend(%s)": "select distinct customer_id from shop.visits"},
    ),
    "basket": Task(
        "shop.order_items",
        ("products", "orders", "order_items"),
        (0.1, 1, 6),  # up to a million lines
        [],
        {
            "next_basket(%s)": CUSTOMER,
            "complete_basket(%s)": CART,
            "similar_items(%s, space => 'basket')": ITEM,
        },
    ),
}


def prepare(server: str, size: float, multiplied: Sequence[str]) -> str:
    """Make a shop of a size, attached; return its URL."""
    url = fresh_database(server, "bench_growth")
    with db.connect(url) as connection:
        shop.load(connection, shop.generate())
        for statement in (*(SHRINK if size < 1 else [MULTIPLY[table] for table in multiplied]), *ATTACH):
            connection.execute(statement.encode(), {"size": size})
        connection.execute("vacuum analyze")
    return url


def train(url: str, name: str, options: list[str]) -> dict[str, float]:
    """Train as a user does; return what that took. What the server did is in the seconds only."""
    started = time.monotonic()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("aisle"), "train", name, "--deploy", *options],
        env={**os.environ, "AISLE_DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"aisle train {name} failed.")
    return {
        "s": round(time.monotonic() - started, 1),
        "s on a core": round(used.ru_utime + used.ru_stime, 1),
        "peak memory GB": round(used.ru_maxrss / 1e6, 2),
    }


def ask(connection: Connection, call: str, source: str, queries: int) -> dict[str, float]:
    """Return the medians of a call, one client; each question is asked once before, to warm up."""
    rows = connection.execute(f"select * from ({source}) q order by md5(q::text) limit {queries}".encode()).fetchall()
    for _ in range(2):
        watch = Stopwatch(connection)
        for row in rows:
            watch.fetch(f"select * from aisle.{call}", row)
    return {name: times["p50"] for name, times in watch.result().items()}


def measure(server: str, name: str, sizes: Sequence[float], queries: int) -> dict[str, Any]:
    """Return rows and costs of a task by size, and the exponents."""
    task, rows, costs = TASKS[name], [], []
    for size in sizes:
        with db.connect(prepare(server, size, task.multiplied)) as connection:
            rows.append(db.fetch_value(connection, f"select count(*) from {task.rows}"))
            taken = {f"training, {unit}": cost for unit, cost in train(connection.info.dsn, name, task.options).items()}
            for call, source in task.calls.items():
                taken |= {f"{call}, {unit}": cost for unit, cost in ask(connection, call, source, queries).items()}
        costs.append(taken)
        print(f"{name}, {rows[-1]:,} rows: {json.dumps(taken)}", file=sys.stderr)
    return {task.rows: rows} | {
        what: {"by size": values, "exponent": round(float(np.polyfit(np.log(rows), np.log(values), 1)[0]), 2)}
        for what in costs[0]
        for values in [[taken[what] for taken in costs]]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--sizes", type=float, nargs="+", help="two or more, instead of the task's own")
    parser.add_argument("--queries", type=int, default=300)
    arguments = parser.parse_args()
    sizes = arguments.sizes or TASKS[arguments.task].sizes
    print(json.dumps(measure(embedded.start(), arguments.task, sizes, arguments.queries), indent=2))


if __name__ == "__main__":
    main()
