"""Next-basket quality on public data, through the functions that an application calls.

    python benchmarks/basket.py tafeng:0 tafeng:1 tafeng:2 tafeng:3 tafeng:4 --data ../shared/data
    python benchmarks/basket.py online-retail --model cnn-gru
    python benchmarks/basket.py latency --shared-buffers 1GB

Each run takes a fresh database through import → attach → train → SQL, and stands beside the baselines on the same
held-out customers.

tafeng:FOLD       the last order of the fold's test customers. Orders have numbers, no times: what other customers
                  ordered is known whenever that was; test customers are nobody's neighbours, and nothing but their own
                  history of each is read when it is asked for.
online-retail     customers with 3 to 50 orders, items in 5 or more orders before the last ones; everybody's last order.
                  Neighbours are only those of whom everything was known before the order that is asked for.
instacart         one order a customer: orders are held out, a product of each is hidden, and the rest is completed.
latency           100,000 customers, 12,000 products, 50 orders of 10 items each for those who are asked for; carts of
                  10 items among 50,000 products. Products' vectors are drawn at random around 100 centres, and
                  customers buy mostly what is near three of them.
"""

import argparse
import csv
import gzip
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import sql as compose

from aisle import db, migrations
from aisle.db import embedded, model_registry
from aisle.embedder.customer_vectors import CustomerGeneration, WeightedSumStates
from aisle.embedder.customer_vectors import columns as made_of
from aisle.embedder.orders import Baskets, group
from aisle.files import import_export
from aisle.trainers import evaluation, run
from aisle.trainers.basket import score as basket_score
from aisle.trainers.basket import task as basket
from aisle.trainers.basket.order_links import KEPT
from aisle.trainers.copy_rows import copy_rows
from aisle.trainers.indexes import index_generation

FILES = {
    "tafeng": ("orders", "order_items"),
    "online_retail": ("orders", "order_items"),
    "instacart": ("order_items",),
    "latency": (),
}
TAFENG = """
create index on raw.orders (user_id, order_number);
create index on raw.orders (order_id);
create index on raw.order_items (order_id);
select aisle.attach_orders('raw.orders', 'order_id', 'item_id', 'user_id', order_number => 'order_number',
                           lines => 'raw.order_items');
"""
INSTACART = """
create index on raw.order_items (order_id);
select aisle.attach_orders('raw.order_items', 'order_id', 'product_id');
"""
ONLINE_RETAIL = """
create schema shop;
create table shop.orders as
select * from raw.orders o where (select count(*) from raw.orders p where p.user_id = o.user_id) between 3 and 50;
create index on shop.orders (user_id, ordered_at);
create index on shop.orders (order_id);
create table shop.order_items as
select i.* from raw.order_items i join shop.orders using (order_id)
where i.item_id in (
    select r.item_id from raw.order_items r
    join (select order_id, row_number() over (partition by user_id order by ordered_at desc, order_id desc) as place
          from shop.orders) o using (order_id)
    where o.place > 1 group by r.item_id having count(*) >= 5);
create index on shop.order_items (order_id);
select aisle.attach_orders('shop.orders', 'order_id', 'item_id', 'user_id', at => 'ordered_at', quantity => 'qty',
                           lines => 'shop.order_items', time_zone => 'UTC');
"""


SCRIPTS = {"tafeng": TAFENG, "online_retail": ONLINE_RETAIL, "instacart": INSTACART}


def prepare(server: str, data: Path, folder: str, script: str) -> str:
    """Make a database with the protocol's rows, attached; return its URL."""
    database = f"bench_basket_{folder}"
    with db.connect(server) as connection:
        connection.execute(compose.SQL("drop database if exists {} with (force)").format(compose.Identifier(database)))
        connection.execute(compose.SQL("create database {}").format(compose.Identifier(database)))
    url = server.replace("/aisle?", f"/{database}?")
    migrations.migrate(url)
    with db.connect(url) as connection:
        for file in FILES[folder]:
            import_export.import_table(connection, data / folder / f"{file}.csv.gz", f"raw.{file}")
        connection.execute(script.encode())
        connection.execute("vacuum analyze")
    return url


CUSTOMERS = 100_000  # of latency
KINDS = 100
LATENCY = """
create schema shop;
create table shop.products (id integer primary key, name text);
create table shop.orders (id integer, customer_id integer, ordered_at timestamptz);
create table shop.lines (order_id integer, product_id integer);
create index on shop.orders (customer_id, ordered_at);
create index on shop.orders (id);
create index on shop.lines (order_id);
select aisle.attach_items('shop.products', 'id', 'name');
select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer_id', 'ordered_at', lines => 'shop.lines',
                           line_order_id => 'order_id', time_zone => 'UTC');
"""
FILL_PRODUCTS = "insert into shop.products select n, 'product ' || n from generate_series(0, %s - 1) n"
FILL_ORDERS = """
insert into shop.orders
select o.id, o.customer_id, timestamptz '1970-01-01' + o.day * interval '1 day'
from unnest(%s::integer[], %s::integer[], %s::float8[]) o (id, customer_id, day)
order by o.day
"""
FILL_LINES = """
insert into shop.lines
select l.* from unnest(%s::integer[], %s::integer[]) l (order_id, product_id) join shop.orders o on o.id = l.order_id
order by o.ordered_at, l.order_id
"""


def made_up_orders(random: np.random.Generator, products: int, customers: int, asked: int) -> Baskets:
    """Draw 50 orders for each queried customer and two for each other one, 10 random items each.

    Four items of five are of the three kinds that a customer likes: product p is of kind p % KINDS.
    """
    orders_of = np.where(np.arange(customers) < asked, 50, 2)
    customer = np.repeat(np.arange(customers), orders_of).repeat(10)
    day = random.uniform(19_700, 19_950, size=int(orders_of.sum()))
    liked = random.integers(KINDS, size=(customers, 3))[customer, random.integers(3, size=len(customer))]
    item = (random.random(len(customer)) ** 2 * products).astype(int)  # some are bought more often
    item = np.where(random.random(len(customer)) < 0.8, (item - item % KINDS + liked) % products, item)
    quantity = np.ones(len(item), dtype=np.float32)
    ids = list(map(str, range(customers))), list(map(str, range(products)))
    return group(customer, np.arange(len(day)).repeat(10), day.repeat(10), item, quantity, *ids)


def prepare_latency(server: str, products: int, customers: int, asked: int) -> str:
    """Make a database with a live generation of random vectors; return its URL."""
    url = prepare(server, Path(), "latency", LATENCY)
    random = np.random.default_rng(7)

    def vectors(dimensions: int) -> Any:
        drawn = random.normal(size=(KINDS, dimensions))[np.arange(products) % KINDS]
        drawn += random.normal(size=(products, dimensions))
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    with db.connect(url) as connection:
        again = np.array([-2, 0.2, 0.1, 0.5, 0.1, -0.2, 0.2, 1, -0.2, 0.1, 0.1, -0.1])
        weights = basket_score.Weights(again, np.array([-2, 0.5, 0.3, 0.5, 0.2, 0, 0.3]), 0).named()
        parameters = {
            "model": "taste", "weights": weights, "decay": basket_score.DECAY, "logit": 0, "gap": 20, "rarest": 1e-6,
            "companions": 1, "bounds": basket_score.BOUNDS,
            "size": 10, "neighbours": 200, "nearest": 100, "time": "days", "top": 10,
        }  # fmt: skip
        model_id = model_registry.create(connection, "basket", 65, encoder=None, parameters=parameters)
        columns = (
            "model_id",
            "item_id",
            "embedding",
            "taste",
            "cart",
            "completion",
            "popularity",
            "gap",
            "companions",
            "cosines",
        )
        embedding, item_vector, cart, completion = (vectors(dimensions) for dimensions in (65, 128, 64, 65))
        rows = enumerate(zip(embedding, item_vector, cart, completion, strict=True))

        def co_purchased() -> tuple[list[str], list[float]]:
            return list(map(str, random.choice(products, 100))), [0.1] * 100

        copy_rows(
            connection,
            "basket_items",
            columns,
            ((model_id, str(i), *row, 0.001, 20, *co_purchased()) for i, row in rows),
        )
        copy_rows(
            connection,
            "item_links",
            ("model_id", "item_id", "kind", "linked", "weights"),
            (
                (model_id, str(i), "after", list(map(str, random.choice(products, KEPT, replace=False))), [0.01] * KEPT)
                for i in range(products)
            ),
        )
        baskets = made_up_orders(random, products, customers, asked)
        order, customer = np.arange(len(baskets)), baskets.customer_of_order
        connection.execute(FILL_PRODUCTS, (products,))
        connection.execute(FILL_ORDERS, (order.tolist(), customer.tolist(), baskets.at.tolist()))
        connection.execute(FILL_LINES, (baskets.order_of_line.tolist(), baskets.item.tolist()))
        states: Any = WeightedSumStates(embedding, basket_score.DECAY[0])
        known = made_of(CustomerGeneration(model_id, {}, item_vector, basket_score.DECAY[0], states), baskets)
        columns = ("model_id", "user_id", "embedding", "taste", "next_items", "known_at", "content_hash")
        rows = zip(*known.values(), strict=True)
        copy_rows(connection, "customer_vectors", columns, ((model_id, *row, b"") for row in rows))
        index_generation(connection, "basket", model_id)
        connection.execute("update aisle._models set state = 'ready'")
        connection.execute("select aisle.deploy(%s)", (model_id,))
        connection.execute("vacuum analyze")
    return url


def measure_latency(server: str, products: int, customers: int, asked: int = 300) -> dict[str, Any]:
    """Query a generation of random vectors; return percentiles in milliseconds."""
    random = np.random.default_rng(7)
    with db.connect(prepare_latency(server, products, customers, asked)) as connection:
        carts = [list(map(str, random.integers(products, size=10))) for _ in range(asked)]
        customers_asked = [(c,) for c in range(asked)]
        return {
            "products": products,
            "customers": customers,
            "shared_buffers": db.fetch_value(connection, "select current_setting('shared_buffers')"),
            "next_basket": percentiles(connection, "select * from aisle.next_basket(%s)", customers_asked),
            "explain_basket": percentiles(connection, EXPLAIN, customers_asked),
            "complete_basket": percentiles(
                connection, "select * from aisle.complete_basket(%s)", [(c,) for c in carts]
            ),
        }


EXPLAIN = "select e.* from (select %s as id) u, aisle.explain_basket(u.id, (u.id %% 5)::bigint) e"


def percentiles(connection: db.Connection, query: str, calls: list[tuple[Any, ...]]) -> dict[str, float]:
    """Ask once to warm up, then measure each call, one client; in milliseconds."""
    taken = []
    for warm in (False, True):
        for call in calls:
            started = time.perf_counter()
            connection.execute(query.encode(), call, prepare=True).fetchall()
            if warm:
                taken.append(1000 * (time.perf_counter() - started))
    return {f"p{q}": round(float(np.percentile(taken, q)), 2) for q in (50, 95, 99)}


def test_customers(data: Path, fold: int) -> frozenset[str]:
    """Return the ids of the test customers of one of the stored folds."""
    with gzip.open(data / "tafeng" / "folds.csv.gz", "rt") as file:
        return frozenset(r["user_id"] for r in csv.DictReader(file) if r["fold"] == str(fold) and r["part"] == "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="+", choices=[*(f"tafeng:{fold}" for fold in range(5)), "online-retail", "instacart", "latency"]
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="taste", choices=["taste", "cnn-gru", "attention-gru"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="of latency; products in proportion")
    parser.add_argument("--shared-buffers", help="of the server, for example 1GB; PostgreSQL's default is 128MB")
    parser.add_argument("--baselines", action="store_true", help="also measure UP-CF, XGBoost and the others")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    server = embedded.start()
    if arguments.shared_buffers:
        with db.connect(server) as connection:
            connection.execute(
                compose.SQL("alter system set shared_buffers = {}").format(compose.Literal(arguments.shared_buffers))
            )
        embedded.stop()
        server = embedded.start()
    urls: dict[str, str] = {}
    for asked in arguments.runs:
        name, _, fold = asked.partition(":")
        if name == "latency":
            share = arguments.customers / CUSTOMERS
            for products, customers in ((12_000, arguments.customers), (50_000, 10)):
                measured = measure_latency(server, max(1000, int(share * products)), customers)
                print(json.dumps({"commit": commit, "data": asked, **measured}), flush=True)
            continue
        folder = name.replace("-", "_")
        if folder not in urls:
            urls[folder] = prepare(server, arguments.data, folder, SCRIPTS[folder])
        for seed in arguments.seeds:
            started = time.monotonic()

            def report(line: str, started: float = started) -> None:
                print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr)

            chosen = basket.Options(
                model=arguments.model,
                seed=seed,
                test_share=0.1 if name == "instacart" else 1.0,
                test_customers=test_customers(arguments.data, int(fold)) if fold else None,
                deploy=arguments.baselines,
            )
            result: Any = run.train(basket.TASK, urls[folder], chosen, report)
            if arguments.baselines:
                with db.connect(urls[folder]) as connection:
                    rows = evaluation.evaluate(basket.TASK, connection, baselines=True)
                print(json.dumps({"commit": commit, "data": asked, "seed": seed, "baselines": rows}), flush=True)
            print(
                json.dumps(
                    {
                        "commit": commit,
                        "data": asked,
                        "model": arguments.model,
                        "seed": seed,
                        "seconds": round(result.seconds, 1),
                        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
                        "metrics": result.metrics,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
