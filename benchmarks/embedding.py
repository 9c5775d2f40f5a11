"""The cost of keeping vectors up to date: the shop's writes, the worker's speed, and freshness.

    python benchmarks/embedding.py writes
    python benchmarks/embedding.py comparison
    python benchmarks/embedding.py throughput --encoder FOLDER
    python benchmarks/embedding.py latency --encoder FOLDER

Each compares in one run, in turns: a table with triggers and one without; a drain of the queue and `model.encode`.
FOLDER is a sentence-transformers model, for instance all-MiniLM-L6-v2. Names are those of the generated shop.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from psycopg import sql as compose
from timing import Stopwatch

from aisle import db, migrations
from aisle.db import Connection, embedded, model_registry
from aisle.demo.catalogue import read_catalogue
from aisle.demo.products import make_products
from aisle.embedder.category_model import Head
from aisle.embedder.encoders import Encoder, encoder_text, load_pretrained
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import Pipeline
from aisle.embedder.worker import COMPARE_RATE
from aisle.trainers.category import loading

DIMENSIONS, CATEGORIES = 256, 353

CREATE = """
create schema shop;
create table shop.{table} (
    id bigint primary key, name text not null, manufacturer text, category text, specifications text,
    price numeric(10, 2), stock integer not null default 0, updated_at timestamptz not null default now());
"""
IMAGE = "select string_agg(sha256(n::text::bytea), '') as image from generate_series(1, 625000) n"  # 20 MB
LINES = "create table shop.{table}_lines (order_id bigint, product_id bigint references shop.{table});"
INDEX = "create index on shop.{table} (price); create index on shop.{table} (category, price);"


def fresh_database(server: str, database: str) -> str:
    """Make an empty database with Aisle's schema; return its URL."""
    with db.connect(server) as connection:
        name = compose.Identifier(database)
        connection.execute(compose.SQL("drop database if exists {} with (force)").format(name))
        connection.execute(compose.SQL("create database {}").format(name))
    url = server.replace("/aisle?", f"/{database}?")
    migrations.migrate(url)
    return url


def names(rows: int) -> list[tuple[int, str, str]]:
    """Return (id, name, manufacturer) of generated products, each name once."""
    found: dict[str, str] = {}
    catalogue, random = read_catalogue(), Random(7)
    while len(found) < rows:
        for product in make_products(catalogue, random).products:
            found.setdefault(f"{product.name} {random.randrange(10_000)}", product.manufacturer or "")
    return [(i, *pair) for i, pair in enumerate(list(found.items())[:rows], 1)]


# ---- the shop's writes ----


def measure_writes(url: str, rounds: int) -> dict[str, Any]:
    with db.connect(url) as connection:
        execute = lambda statement, parameters=None: connection.execute(statement.encode(), parameters)  # noqa: E731
        execute("create schema shop")
        tables = ["plain", "attached"]
        for table in tables:
            execute(CREATE.replace("create schema shop;", "").format(table=table))
        execute("create temp table source (id bigint, name text, manufacturer text)")
        with connection.cursor().copy("copy source from stdin") as copy:
            for row in names(10_000):
                copy.write_row(row)
        execute("select aisle.attach_items('shop.attached', 'id', 'name', 'manufacturer', 'category',"
                " array['specifications'], draft_rows => 0)")  # fmt: skip

        def empty(table: str) -> None:
            execute(f"truncate shop.{table}; truncate aisle._changes, aisle._embedding_jobs; checkpoint")

        def bulk_insert(table: str) -> float:
            empty(table)
            return seconds(lambda: execute(f"insert into shop.{table} (id, name, manufacturer) select * from source"))

        rows = connection.execute("select id, name, manufacturer from source").fetchall()

        def single_inserts() -> tuple[float, float]:
            """2,000 rows for each table, a hundred in turn: a disk's moods last longer than that."""
            times = dict.fromkeys(tables, 0.0)
            for table in tables:
                empty(table)
            for start in range(0, 2000, 100):
                for table in tables if start % 200 else tables[::-1]:
                    insert = f"insert into shop.{table} (id, name, manufacturer) values (%s, %s, %s)"
                    part = rows[start : start + 100]
                    times[table] += seconds(lambda: [execute(insert, row) for row in part])  # noqa: B023
            return times["plain"], times["attached"]

        def price_update(table: str) -> float:
            execute(f"vacuum shop.{table}; checkpoint".split(";")[0])
            return seconds(lambda: execute(f"update shop.{table} set price = coalesce(price, 0) + 1"))

        result = {
            "INSERT … SELECT of 10,000 rows": in_turn(bulk_insert, rounds),
            "2,000 single-row inserts": compared([single_inserts() for _ in range(rounds)]),
        }
        for table in ("plain", "attached"):
            bulk_insert(table)
        result["UPDATE of price on 10,000 rows, only the primary key indexed"] = in_turn(price_update, rounds)
        for what, script in (("order lines refer to the products", LINES), ("and price is indexed", INDEX)):
            for table in tables:
                execute(script.format(table=table))
            result[f"the same, {what}"] = in_turn(price_update, rounds)
        for table in tables:
            execute(f"alter table shop.{table} add image bytea; truncate shop.{table}, shop.{table}_lines")
            execute(
                f"insert into shop.{table} (id, name, image) select i, 'name', v.image"
                f" from generate_series(1, 5) i, ({IMAGE}) v"
            )

        def name_update(table: str) -> float:
            return seconds(lambda: execute(f"update shop.{table} set name = name || 'x'"))

        what = "UPDATE of the name of 5 rows with a column of 20 MB"
        result[what] = in_turn(name_update, max(rounds, 20))
    return result


# ---- the comparison in the background ----


def measure_comparison(url: str, rows: int) -> dict[str, Any]:
    """Go through a pass over so many rows; say what share of a core it would take at its default pace."""
    with db.connect(url) as connection:
        connection.execute(CREATE.format(table="products").encode())
        connection.execute(
            "select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category', draft_rows => 0)"
        )
        found = names(min(rows, 10_000))
        with connection.cursor().copy("copy shop.products (id, name, manufacturer) from stdin") as copy:
            for i in range(rows):
                _, name, manufacturer = found[i % len(found)]
                copy.write_row((i + 1, f"{name} {i}", manufacturer))
        model_id = model_registry.create(connection, "category", 8, encoder=None, parameters={})
        connection.execute(
            "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft)"
            " select %s, i.item_id, array_fill(0.1, array[8])::real[]::aisle._vector,"
            " aisle._content_hash(i.name, i.manufacturer, i.details),"
            " false from aisle._items i",
            [model_id],
        )
        connection.execute("update aisle._models set state = 'ready'; truncate aisle._changes; analyze")
        connection.execute("alter table shop.products disable trigger all")
        connection.execute("update shop.products set name = 'planted' where id = %s", [rows // 2])
        connection.execute("delete from shop.products where id = %s", [rows // 3])
        connection.execute("insert into shop.products (id, name) values (%s, 'planted')", [rows + 1])
        stopwatch, mended, steps = Stopwatch(connection), 0, 0
        over = "select exists (select from aisle._comparisons where finished_at is not null)"
        while not db.fetch_value(connection, over):
            mended += stopwatch.fetch("select aisle._compare('category', %s)", [COMPARE_RATE])[0][0]
            connection.execute("update aisle._comparisons set due_at = '-infinity'")
            steps += 1
        working = sum(stopwatch.working)
        return {
            "rows": rows,
            "rows a second": COMPARE_RATE,
            "steps": steps,
            "a pass at that pace, s": round(rows / COMPARE_RATE),
            "on a core, s": round(working, 2),
            "share of a core": round(working / (rows / COMPARE_RATE), 5),
            "planted differences": 3,
            "mended": mended,
        }


def in_turn(measure: Callable[[str], float], rounds: int) -> dict[str, Any]:
    """Measure without and with triggers in turns, the order changing."""
    pairs = []
    for i in range(rounds):
        order = ("plain", "attached") if i % 2 else ("attached", "plain")
        times = {table: measure(table) for table in order}
        pairs.append((times["plain"], times["attached"]))
    return compared(pairs)


def compared(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    ratios = sorted(b / a for a, b in pairs)
    return {
        "without, ms": round(1000 * statistics.median(a for a, _ in pairs), 2),
        "with, ms": round(1000 * statistics.median(b for _, b in pairs), 2),
        "ratio": round(statistics.median(ratios), 3),
        "middle half of the ratios": [round(ratios[len(ratios) // 4], 3), round(ratios[-1 - len(ratios) // 4], 3)],
    }


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


# ---- the worker ----


def load_model(connection: Connection, encoder: str, rows: Sequence[tuple[int, str, str]]) -> int:
    """Load the encoder under a random head, with an n-gram model of the size that real catalogues have."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize
    from torch import nn

    random = np.random.default_rng(7)
    grams = [row[0] for row in connection.execute(
        "select gram from (select distinct id, gram from shop.products,"
        " unnest(aisle._ngrams(name, manufacturer, null)) gram) g group by gram having count(*) > 1"
    )]  # fmt: skip
    pretrained = load_pretrained(encoder, max_length=64)
    model = SentenceTransformer(
        modules=[
            *list(pretrained)[:2],
            Dense(pretrained.get_embedding_dimension(), DIMENSIONS, activation_function=nn.Identity()),
            Normalize(),
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder, create_model_card=False)
        part = loading.CategoryModel(
            ngrams=grams,
            ngram_vectors=random.normal(size=(len(grams), DIMENSIONS)).astype(np.float32),
            row_vectors=np.empty((0, DIMENSIONS), dtype=np.float32),
            head=Head(
                [f"category {i}" for i in range(CATEGORIES)],
                random.normal(size=(CATEGORIES, DIMENSIONS)).astype(np.float32),
                np.zeros(CATEGORIES, dtype=np.float32),
                np.zeros(CATEGORIES, dtype=np.float32),
            ),
            support=[1] * CATEGORIES,
            encoder_name=Path(encoder).name,
            encoder_folder=Path(folder),
            encoder_vectors=None,
            ngram_scale=1.0,
            parameters={},
        )
        model_id = loading.load(connection, "category", part, " > ", {})
    connection.execute("update aisle._models set state = 'ready' where model_id = %s", (model_id,))
    connection.execute("select aisle.deploy(%s)", (model_id,))
    connection.execute("vacuum analyze aisle.ngram_vectors")
    return model_id


def prepare(connection: Connection, encoder: str, rows: Sequence[tuple[int, str, str]]) -> int:
    connection.execute("create schema shop")
    connection.execute("create table shop.products (id bigint primary key, name text, manufacturer text)")
    with connection.cursor().copy("copy shop.products from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer')")
    return load_model(connection, encoder, rows)


def measure_throughput(url: str, encoder: str, count: int, rounds: int, batch_size: int) -> dict[str, Any]:
    rows = names(count)
    texts = [encoder_text(name, maker, None) for _, name, maker in rows]
    with db.connect(url) as connection:
        model_id = prepare(connection, encoder, rows)
        embedder = ItemEmbedder()
        alone: Encoder = embedder.load(connection, model_id).encoder
        alone.model.encode(texts[:256], batch_size=64, show_progress_bar=False)

        def encode() -> float:
            from aisle.embedder.encoders import autocast

            def run() -> None:
                with autocast("cpu"):
                    alone.model.encode(texts, batch_size=64, show_progress_bar=False)

            return seconds(run)

        def drain() -> float:
            connection.execute("truncate aisle.item_vectors, aisle._item_predictions, aisle._embedding_jobs")
            connection.execute("select aisle._enqueue('category', array(select id::text from shop.products))")
            connection.execute("vacuum analyze aisle.item_vectors")
            pipeline = Pipeline([embedder], batch_size=batch_size)
            taken = seconds(lambda: pipeline.drain(connection))
            pipeline.close()
            done = db.fetch_value(connection, "select count(*) from aisle.item_vectors where not is_draft")
            assert done == count, f"{done} of {count} rows were embedded"
            return taken

        pairs = []
        for i in range(rounds):
            order = [encode, drain] if i % 2 else [drain, encode]
            times = {measure.__name__: measure() for measure in order}
            pairs.append((times["encode"], times["drain"]))
            print(
                f"round {i + 1}: encode {count / pairs[-1][0]:.0f}, drain {count / pairs[-1][1]:.0f}", file=sys.stderr
            )
    ratios = [a / b for a, b in pairs]
    return {
        "rows": count,
        "batch size": batch_size,
        "model.encode alone, rows/s": round(count / statistics.median(a for a, _ in pairs)),
        "drain, rows/s": round(count / statistics.median(b for _, b in pairs)),
        "drain / encode": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def measure_latency(url: str, encoder: str, changes: int) -> dict[str, Any]:
    rows = names(2000)
    result: dict[str, Any] = {}
    with db.connect(url) as connection, db.connect(url) as watcher:
        model_id = prepare(connection, encoder, rows)
        alone: Encoder = ItemEmbedder().load(connection, model_id).encoder
        passes = [seconds(lambda row=row: alone.encode_texts([row[1]])) for row in rows[:200]]
        result["one forward pass, ms"] = round(1000 * statistics.median(passes), 1)
        for way, arguments in {
            "LISTEN": [],
            "polling every second": ["--listen-url", "postgresql://nobody@127.0.0.1:1/none", "--poll-interval", "1"],
        }.items():
            worker = subprocess.Popen(
                [Path(sys.executable).with_name("aisle"), "worker", *arguments],
                env={**os.environ, "AISLE_DATABASE_URL": url},
            )
            waits = []
            random = Random(7)
            for i in range(changes + 20):
                time.sleep(random.uniform(0.1, 0.5) if way == "LISTEN" else random.uniform(1, 3))
                connection.execute("update shop.products set name = name || '.' where id = %s", (i + 1,))
                committed = time.perf_counter()
                while not db.fetch_value(
                    watcher,
                    "select exists (select from aisle.item_vectors where item_id = %s and not is_draft"
                    " and embedded_at > now() - interval '1 minute' and model_id = %s)",
                    (str(i + 1), model_id),
                ):
                    assert worker.poll() is None, "the worker ended"
                    time.sleep(0.001)
                waits.append(time.perf_counter() - committed)
            worker.terminate()
            worker.wait()
            connection.execute("delete from aisle.item_vectors")
            cuts = statistics.quantiles(waits[20:], n=100)  # the first wait for the worker to start
            result[f"commit to visible, {way}, ms"] = {
                "p50": round(1000 * cuts[49], 1),
                "p95": round(1000 * cuts[94], 1),
                "p99": round(1000 * cuts[98], 1),
            }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["writes", "comparison", "throughput", "latency"])
    parser.add_argument("--encoder", help="folder or name of a sentence-transformers model")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--changes", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.what in ("throughput", "latency") and not arguments.encoder:
        parser.error("--encoder is needed")
    url = fresh_database(embedded.start(), "bench_embedding")
    if arguments.what == "writes":
        result = measure_writes(url, arguments.rounds or 21)
    elif arguments.what == "comparison":
        result = measure_comparison(url, arguments.rows)
    elif arguments.what == "throughput":
        result = measure_throughput(url, arguments.encoder, arguments.rows, arguments.rounds or 3, arguments.batch_size)
    else:
        result = measure_latency(url, arguments.encoder, arguments.changes)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(json.dumps({"commit": commit, arguments.what: result}, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
