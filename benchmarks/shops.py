"""What a shop's declarations cost: eligible items, states of orders, and watched tables, each beside the shop without.

    python benchmarks/shops.py recommend --items 100000
    python benchmarks/shops.py next_basket
    python benchmarks/shops.py writes

Each contender is a copy of one database; they take turns, a round each. Prints medians in milliseconds and their ratios
to the first contender.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import vector_shop
from basket import prepare_latency
from psycopg import sql as compose

from aisle import db, migrations
from aisle.db import Connection, embedded

ROUNDS = 7

ACTIVE = """
alter table shop.products add active boolean not null default true;
alter table shop.products add brand int;
update shop.products set brand = {key} % 100;
create table shop.brands (id int primary key, name text);
insert into shop.brands select n, 'brand ' || n from generate_series(0, 99) n;
vacuum full shop.products;
"""
TENTH = "update shop.products set active = {key} % 10 = 0; vacuum full shop.products; analyze shop.products;"
AGAIN = "select aisle.pause('items'); select aisle.attach_items({}, accept_changes => true)"
QUERY = (
    "query => 'select p.{key} as id, p.name, b.name as brand, p.active from shop.products p"
    " left join shop.brands b on b.id = p.brand', eligible => 'active'"
)
STATES = """
alter table shop.orders add state text not null default 'done';
alter table shop.lines add returned int not null default 0;
vacuum full shop.orders, shop.lines;
select aisle.pause('orders');
select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer_id', 'ordered_at', lines => 'shop.lines',
                           line_order_id => 'order_id', counts => 'state = ''done''', quantity => '1 - returned');
"""


def copies(url: str, changes: dict[str, Sequence[str]]) -> dict[str, Connection]:
    """Copy a database once a contender, and make its changes there."""
    database = url.partition("?")[0].rpartition("/")[2]
    with db.connect(url.replace(f"/{database}?", "/postgres?")) as server:
        for n, _ in enumerate(changes):
            name = compose.Identifier(f"{database}_{n}")
            server.execute(compose.SQL("drop database if exists {} with (force)").format(name))
            server.execute(compose.SQL("create database {} template {}").format(name, compose.Identifier(database)))
    connections = {}
    for n, (contender, statements) in enumerate(changes.items()):
        connection = db.connect(url.replace(f"/{database}?", f"/{database}_{n}?"))
        for text in statements:
            for statement in text.split(";\n"):  # vacuum wants a statement of its own
                if statement.strip():
                    for part in statement.split("; ") if "vacuum" in statement else [statement]:
                        connection.execute(part.encode())
        connection.execute("vacuum analyze")
        connections[contender] = connection
    return connections


def in_turn(connections: dict[str, Connection], statement: str, calls: Sequence[Any], rounds: int) -> dict[str, Any]:
    """Return each contender's median of its rounds' medians, and the ratio to the first."""
    medians: dict[str, list[float]] = {name: [] for name in connections}
    for round_ in range(rounds + 1):
        for name, connection in connections.items():
            taken = []
            for call in calls:
                started = time.perf_counter()
                connection.execute(statement.encode(), call, prepare=True).fetchall()
                taken.append(1000 * (time.perf_counter() - started))
            if round_:  # the first warms up
                medians[name].append(statistics.median(taken))
    return ratios({name: statistics.median(values) for name, values in medians.items()})


def ratios(milliseconds: dict[str, float]) -> dict[str, Any]:
    first = next(iter(milliseconds.values()))
    return {name: {"ms": round(ms, 3), "ratio": round(ms / first, 2)} for name, ms in milliseconds.items()}


def measure_recommend(server: str, items: int, asked: int, rounds: int) -> dict[str, Any]:
    url = vector_shop.prepare(server, items)
    active = ACTIVE.format(key="id")
    table = AGAIN.format("'shop.products', category => 'category', eligible => 'active'")
    query = AGAIN.format(QUERY.format(key="id"))
    connections = copies(
        url,
        {
            "nothing declared": [active],
            "all eligible": [active, table],
            "a tenth eligible": [active, TENTH.format(key="id"), table],
            "query, all eligible": [active, query],
            "query, a tenth eligible": [active, TENTH.format(key="id"), query],
        },
    )
    users = [(str(user),) for user in range(asked)]
    result = {"recommend": in_turn(connections, "select * from aisle.recommend(%s)", users, rounds)}
    for name, connection in connections.items():
        answered = "select count(*), count(*) filter (where not p.active) from aisle.recommend(%s) r"
        answered += " join shop.products p on p.id::text = r.item_id"
        answers = [db.fetch_row(connection, answered, user) for user in users]
        result["recommend"][name]["fewest answers"] = min(found for found, _ in answers)
        result["recommend"][name]["not eligible"] = sum(wrong for _, wrong in answers)
    return result


def measure_next_basket(server: str, customers: int, asked: int, rounds: int) -> dict[str, Any]:
    url = prepare_latency(server, 12_000 * customers // 100_000, customers, asked)
    active = ACTIVE.format(key="id")
    table = AGAIN.format("'shop.products', eligible => 'active'")
    connections = copies(
        url,
        {
            "nothing declared": [active],
            "all eligible": [active, table],
            "a tenth eligible": [active, TENTH.format(key="id"), table],
            "states and returns": [active, STATES],
            "all eligible, states and returns": [active, table, STATES],
        },
    )
    calls = [(str(customer),) for customer in range(asked)]
    return {"next_basket": in_turn(connections, "select * from aisle.next_basket(%s)", calls, rounds)}


NORMAL = """
create schema shop;
create table shop.brands (id int primary key, name text);
create table shop.products (id int primary key, name text, brand_id int references shop.brands, price int);
create table shop.orders (id int primary key, customer int, at timestamptz, state text, note text);
create table shop.lines (id bigint generated always as identity, order_id int, product_id int);
insert into shop.brands select n, 'brand ' || n from generate_series(0, 99) n;
insert into shop.products select n, 'product ' || n, n % 100, 1 from generate_series(1, 20000) n;
insert into shop.orders select n, n % 2000, now(), 'done', null from generate_series(1, 20000) n;
insert into shop.lines (order_id, product_id) select 1 + n % 20000, 1 + n % 20000 from generate_series(1, 100000) n;
create index on shop.products (brand_id);
create index on shop.orders (customer, at);
create index on shop.lines (order_id);
"""
WATCHED = """
select aisle.attach_items(query => 'select p.id, p.name, b.name as brand from shop.products p
                                    left join shop.brands b on b.id = p.brand_id', manufacturer => 'brand');
select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer', 'at', lines => 'shop.lines',
                           line_order_id => 'order_id', counts => 'state = ''done''')
"""
WRITES = {
    "update of prices, 5,000 rows": "update shop.products set price = price + 1 where id <= 5000",
    "update of notes, 5,000 rows": "update shop.orders set note = 'x' where id <= 5000",
    "insert of 10,000 products": "insert into shop.products select n, 'new ' || n, n % 100, 1"
    " from generate_series(100001, 110000) n",
    "insert of 10,000 lines": "insert into shop.lines (order_id, product_id)"
    " select 1 + n % 20000, 1 + n % 20000 from generate_series(1, 10000) n",
    "update of states, 5,000 rows": "update shop.orders set state = 'sent' where id <= 5000",
    "update of one state": "update shop.orders set state = 'sent' where id = 5",
    "insert of one line": "insert into shop.lines (order_id, product_id) values (5, 5)",
}


def measure_writes(server: str, rounds: int) -> dict[str, Any]:
    """Time each write in a transaction that is rolled back, so that every one finds the same tables."""
    url = server.replace("/aisle?", "/bench_shops?")
    with db.connect(server) as connection:
        connection.execute("drop database if exists bench_shops with (force)")
        connection.execute("create database bench_shops")
    migrations.migrate(url)
    with db.connect(url) as connection:
        connection.execute(NORMAL)
    connections = copies(url, {"not watched": [], "watched": [WATCHED]})
    result = {}
    for write, statement in WRITES.items():
        taken: dict[str, list[float]] = {name: [] for name in connections}
        for _ in range(rounds * (50 if "one" in write else 5)):
            for name, connection in connections.items():
                with connection.transaction(force_rollback=True):
                    started = time.perf_counter()
                    connection.execute(statement.encode())
                    taken[name].append(1000 * (time.perf_counter() - started))
        result[write] = ratios({name: statistics.median(times) for name, times in taken.items()})
        for connection in connections.values():
            connection.execute("vacuum")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", choices=["recommend", "next_basket", "writes"])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    server = embedded.start()
    result: dict[str, Any] = {}
    if "recommend" in arguments.runs:
        result |= measure_recommend(server, arguments.items, arguments.queries, arguments.rounds)
    if "next_basket" in arguments.runs:
        result |= measure_next_basket(server, arguments.customers, arguments.queries, arguments.rounds)
    if "writes" in arguments.runs:
        result["writes"] = measure_writes(server, arguments.rounds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(json.dumps({"commit": commit} | result, indent=2))


if __name__ == "__main__":
    main()
