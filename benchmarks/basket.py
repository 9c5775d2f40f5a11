"""Next-basket quality on public data, through the functions that an application calls.

    python benchmarks/basket.py tafeng:0 tafeng:1 tafeng:2 tafeng:3 tafeng:4 --data ../shared/data
    python benchmarks/basket.py online-retail --model cnn-gru
    python benchmarks/basket.py latency

Each run takes a fresh database through import → attach → train → SQL, and stands beside the baselines on the same
held-out customers.

tafeng:FOLD       the last order of the fold's test customers. Orders have numbers, no times: what other customers
                  ordered is known whenever that was; test customers are nobody's neighbours, and nothing but their own
                  history of each is read when it is asked for.
online-retail     customers with 3 to 50 orders, items in 5 or more orders before the last ones; everybody's last order.
                  Neighbours are only those of whom everything was known before the order that is asked for.
latency           100,000 customers, 12,000 products, 50 orders of 10 items each for those who are asked for.
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

from psycopg import sql as compose

from aisle import migrations, sql
from aisle.sql import embedded, transfer
from aisle.trainers import basket

FILES = {"tafeng": ("orders", "order_items"), "online_retail": ("orders", "order_items"), "latency": ()}
TAFENG = """
create index on raw.orders (user_id, order_number);
create index on raw.orders (order_id);
create index on raw.order_items (order_id);
select aisle.attach_orders('raw.orders', 'order_id', 'item_id', 'user_id', order_number => 'order_number',
                           lines => 'raw.order_items');
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


def prepare(server: str, data: Path, folder: str, script: str) -> str:
    """Make a database with the protocol's rows, attached; return its URL."""
    database = f"bench_basket_{folder}"
    with sql.connect(server) as connection:
        connection.execute(compose.SQL("drop database if exists {} with (force)").format(compose.Identifier(database)))
        connection.execute(compose.SQL("create database {}").format(compose.Identifier(database)))
    url = server.replace("/aisle?", f"/{database}?")
    migrations.migrate(url)
    with sql.connect(url) as connection:
        for file in FILES[folder]:
            transfer.import_table(connection, data / folder / f"{file}.csv.gz", f"raw.{file}")
        connection.execute(script.encode())
        connection.execute("vacuum analyze")
    return url


def test_customers(data: Path, fold: int) -> frozenset[str]:
    """Return the ids of the test customers of one of the stored folds."""
    with gzip.open(data / "tafeng" / "folds.csv.gz", "rt") as file:
        return frozenset(r["user_id"] for r in csv.DictReader(file) if r["fold"] == str(fold) and r["part"] == "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="+", choices=[*(f"tafeng:{fold}" for fold in range(5)), "online-retail", "latency"]
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="taste", choices=["taste", "cnn-gru", "attention-gru"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    server = embedded.start()
    urls: dict[str, str] = {}
    for run in arguments.runs:
        name, _, fold = run.partition(":")
        folder = name.replace("-", "_")
        if folder not in urls:
            urls[folder] = prepare(server, arguments.data, folder, {"tafeng": TAFENG}.get(folder, ONLINE_RETAIL))
        for seed in arguments.seeds:
            started = time.monotonic()

            def report(line: str, started: float = started) -> None:
                print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr)

            chosen = basket.Options(
                model=arguments.model,
                seed=seed,
                test_share=1.0,
                test_customers=test_customers(arguments.data, int(fold)) if fold else None,
                deploy=False,
            )
            result: Any = basket.train(urls[folder], chosen, report)
            print(
                json.dumps(
                    {
                        "commit": commit,
                        "data": run,
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
