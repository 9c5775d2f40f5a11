"""Measures a deploy as clients see it: errors, the longest pause, and the time of deploy and rollback.

    python benchmarks/deploy.py --items 100000

Four processes ask recommend() one question after the other: first undisturbed; then while another generation of as many
items, of another dimension, is loaded and indexed; then while that is deployed and taken back again and again; at last
while it is removed. The database is that of vector_shop.py, made if it is not there.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import numpy as np
import psycopg
from timing import milliseconds
from vector_shop import DIMENSIONS, USERS, prepare

from aisle import db
from aisle.db import Connection, embedded, model_registry
from aisle.trainers.indexes import index_generation

CLIENTS = 4
QUIET = 10.0  # seconds

# The live generation's vectors, and one more dimension that is 0.
MORE = "operator(pgvector.||) '[0]'::aisle._vector"
COPY = {
    "item_factors": "insert into aisle.item_factors (model_id, item_id, category_key, embedding, in_embedding, "
    f"content_hash, origin) select %(new)s, item_id, category_key, embedding {MORE}, in_embedding {MORE}, "
    "content_hash, origin from aisle.item_factors where model_id = %(live)s",
    "user_vectors": f"insert into aisle.user_vectors select %(new)s, user_id, embedding {MORE} "
    "from aisle.user_vectors where model_id = %(live)s",
    "context_vectors": f"insert into aisle.context_vectors select %(new)s, feature, value, embedding {MORE} "
    "from aisle.context_vectors where model_id = %(live)s",
    "_recency_weights": f"insert into aisle._recency_weights select %(new)s, place, weights {MORE} "
    "from aisle._recency_weights where model_id = %(live)s",
}


def client(url: str, seed: int, stop: "Synchronized[bool]", results: Any) -> None:
    """One application process: sends queries until stopped; returns each query's start and duration."""
    users = np.random.default_rng(seed).integers(USERS, size=10_000)
    asked, failures = [], []
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.value:
            started = time.monotonic()
            try:
                rows = connection.execute(
                    "select item_id from aisle.recommend(%s, 10)", (str(users[len(asked) % len(users)]),)
                ).fetchall()
                if len(rows) != 10:
                    failures.append(f"{len(rows)} rows")
            except psycopg.Error as error:
                failures.append(str(error))
            asked.append((started, time.monotonic() - started))
    results.put((asked, failures))


def fill(connection: Connection, live: int) -> int:
    """Load and index another generation, as training does; return its model's id."""
    parameters = model_registry.get(connection, live).parameters
    new = model_registry.create(connection, "recommender", DIMENSIONS + 1, encoder=None, parameters=parameters)
    for statement in COPY.values():
        connection.execute(statement.encode(), {"new": new, "live": live})
    index_generation(connection, "recommender", new)
    connection.execute("update aisle._models set state = 'ready' where model_id = %s", (new,))
    return new


def timed(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--deploys", type=int, default=20)
    arguments = parser.parse_args()
    url = prepare(embedded.start(), arguments.items)
    context = multiprocessing.get_context("fork")
    stop, results = context.Value("b", False, lock=False), context.Queue()
    processes = [
        context.Process(target=client, args=(url, seed, stop, results), daemon=True)  # ends with us, whatever happens
        for seed in range(CLIENTS)
    ]
    for process in processes:
        process.start()
    marks: dict[str, tuple[float, float]] = {}
    took: dict[str, list[float]] = {"deploy": [], "rollback": []}
    with db.connect(url) as connection:

        def phase(name: str, action: Callable[[], Any]) -> Any:
            started = time.monotonic()
            result = action()
            marks[name] = started, time.monotonic()
            return result

        def swap(new: int) -> None:
            for _ in range(arguments.deploys):
                took["deploy"].append(timed(lambda: model_registry.deploy(connection, new)))
                time.sleep(0.2)
                took["rollback"].append(timed(lambda: model_registry.rollback(connection, "recommender")))
                time.sleep(0.2)

        live = model_registry.require_live(connection, "recommender")
        phase("undisturbed", lambda: time.sleep(QUIET))
        new = phase("loading and indexing", lambda: fill(connection, live))
        phase("deploys and rollbacks", lambda: swap(new))
        phase("removing", lambda: model_registry.drop(connection, new))
    stop.value = True
    asked, failures = [], []
    for _ in processes:
        times, failed = results.get(timeout=60)
        asked += times
        failures += failed
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    report: dict[str, Any] = {
        "commit": commit,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "items": arguments.items,
        "clients": CLIENTS,
        "deploys": arguments.deploys,
        "errors": len(failures),
        "ms, longest": {name: round(1000 * max(seconds), 1) for name, seconds in took.items()},
        "ms, median": {name: round(1000 * float(np.median(seconds)), 1) for name, seconds in took.items()},
    }
    for name, (begin, end) in marks.items():
        taken = [seconds for started, seconds in asked if started < end and started + seconds > begin]
        report[name] = {
            "seconds": round(end - begin, 1),
            "queries": len(taken),
            "ms": milliseconds(taken) if len(taken) > 1 else {},
            "longest ms": round(1000 * max(taken), 1),
        }
    print(json.dumps(report | {"first errors": failures[:3]}, indent=2))


if __name__ == "__main__":
    main()
