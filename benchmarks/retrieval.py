"""What a recommendation costs: recommend() as a whole, retrieval beside FAISS, filters by selectivity, and links.

    pip install '.[bench]'
    python benchmarks/retrieval.py recommend faiss links --items 100000
    python benchmarks/retrieval.py recommend faiss filters --items 1000000

The first run with a number of items makes a database (vector_shop.py), which stays.
"""

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb
from timing import ROUNDS, SECONDS, Stopwatch, in_turn, open_http, serve
from vector_shop import BRANCHES, DIMENSIONS, SEPARATOR, USERS, Array, prepare

from aisle import db
from aisle.db import Connection, embedded
from aisle.trainers.copy_rows import copy_rows
from aisle.trainers.indexes import EF_CONSTRUCTION

K = 10
SELECTIVITY = {"0.1 %": 3, "1 %": 2, "10 %": 1, "100 %": 0}  # share of the items: depth of a category
COMPARED = 500  # users whose answers are compared with exact ones
MATCHED = (16, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256)  # what FAISS's efSearch is chosen from


class Exact:
    """All items and some users as numpy sees them, to tell what the right answers are."""

    def __init__(self, connection: Connection) -> None:
        db.register_vectors(connection)
        self.connection = connection
        self.model = db.fetch_value(connection, "select aisle._live_model('recommender')")
        rows = connection.execute(
            "select item_id, category_key, embedding from aisle.item_factors where model_id = %s order by item_id::int",
            (self.model,),
            binary=True,
        ).fetchall()
        self.names, self.category = np.unique([category for _, category, _ in rows], return_inverse=True)
        self.vectors = np.array([vector.to_numpy() for *_, vector in rows])

    def user(self, user: int) -> tuple[Array, list[int]]:
        """Return the vector of a user and what the user has seen."""
        items = db.fetch_value(
            self.connection,
            "select array_agg(product_id order by visited_at desc) from shop.visits where user_id = %s",
            (user,),
        )
        vector = db.fetch_value(
            self.connection,
            "select aisle._user_vector(%s, %s, %s::text[], null, now()::timestamp)",
            (self.model, str(user), [str(i) for i in items]),
        )
        return vector.to_numpy(), items

    def within(self, category: str | None) -> Array | None:
        return None if category is None else np.char.startswith(self.names, category + SEPARATOR)[self.category]

    def nearest(self, query: Array, without: Sequence[int] = (), within: Array | None = None) -> set[str]:
        scores = self.vectors @ query
        scores[list(without)] = -np.inf
        if within is not None:
            scores[~within] = -np.inf
        return {str(n) for n in np.argpartition(-scores, K)[:K] if scores[n] > -np.inf}


def recall(found: Sequence[set[str]], wanted: Sequence[set[str]]) -> float:
    return round(sum(len(f & w) for f, w in zip(found, wanted, strict=True)) / sum(map(len, wanted)), 4)


def measure_recommend(connection: Connection, exact: Exact, users: Array) -> dict[str, Any]:
    """The whole call, one after the other on one connection."""
    watch = Stopwatch(connection)
    found = [
        {item for item, _ in watch.fetch("select item_id, score from aisle.recommend(%s, 10)", (str(user),))}
        for user in users
    ]
    wanted = [exact.nearest(*exact.user(user)) for user in users[:COMPARED]]
    return watch.result() | {"recall@10": recall(found[:COMPARED], wanted)}


def measure_filters(connection: Connection, exact: Exact, users: Array) -> dict[str, Any]:
    """recommend() within categories of several sizes; half of them are some that the user knows, half any."""
    random = np.random.default_rng(11)
    result = {}
    for share, depth in SELECTIVITY.items():
        watch, asked = Stopwatch(connection), []
        for n, user in enumerate(users):
            vector, seen = exact.user(user)
            item = seen[0] if n % 2 else random.integers(len(exact.category))
            category = SEPARATOR.join(exact.names[exact.category[item]].split(SEPARATOR)[:depth]) or None
            rows = watch.fetch("select item_id, score from aisle.recommend(%s, 10, %s)", (str(user), category))
            if n < COMPARED:
                asked.append((vector, seen, category, {item for item, _ in rows}))
        wanted = [exact.nearest(vector, seen, exact.within(category)) for vector, seen, category, _ in asked]
        result[share] = watch.result() | {"recall@10": recall([found for *_, found in asked], wanted)}
    return result


LINKED = 50  # of an item, four in five of its section
LINKS = {
    "item-item, the last 20 events": {
        "kind": "item-item",
        "history": 1,
        "links": {"beside": {"decay": 4, "history": 20}},
    },
    "item-item, all 100 events": {
        "kind": "item-item",
        "history": 1,
        "links": {"beside": {"decay": None, "history": 1000}},
    },
    "mixture, the last 20 events": {"kind": "mixture", "links": {"beside": {"decay": 4, "history": 20}}},
}


def load_links(connection: Connection, exact: Exact) -> None:
    """Give each item its links, unless they are there."""
    if connection.execute("select from aisle.item_links limit 1").fetchall():
        return
    random = np.random.default_rng(5)
    items = len(exact.category)
    by_leaf = np.argsort(exact.category, kind="stable")
    place = np.argsort(by_leaf)
    width = items // BRANCHES**2  # of a section
    of_section = random.integers(width, size=(items, LINKED)) + (place // width * width)[:, None]
    any_item = random.integers(items, size=(items, LINKED))
    linked = by_leaf[np.where(random.random((items, LINKED)) < 0.8, np.minimum(of_section, items - 1), any_item)]
    weights = (0.3 * random.random((items, LINKED)) ** 2).astype(np.float32)
    copy_rows(
        connection,
        "item_links",
        ("model_id", "item_id", "kind", "linked", "weights"),
        (
            (exact.model, str(n), "beside", [str(i) for i in first], weights[n][places].tolist())
            for n, (first, places) in enumerate(np.unique(row, return_index=True) for row in linked)
        ),
    )
    connection.execute("vacuum analyze aisle.item_links")


def measure_links(connection: Connection, exact: Exact, users: Array) -> dict[str, Any]:
    """recommend() and explain_recommendation() of models with links, in turn."""
    load_links(connection, exact)
    result = {}
    for name, parameters in LINKS.items():
        with connection.transaction(force_rollback=True):
            connection.execute(
                "update aisle._models set parameters = parameters || %s where model_id = %s",
                (Jsonb(parameters), exact.model),
            )
            answer, reason = Stopwatch(connection), Stopwatch(connection)
            for user in map(str, users):
                rows = answer.fetch("select item_id, score from aisle.recommend(%s, 10)", (user,))
                reason.fetch("select * from aisle.explain_recommendation(%s, %s)", (user, rows[0][0]))
            result[name] = {"recommend": answer.result(), "explain_recommendation": reason.result()}
    return result


# Retrieval alone. Each contender is given vectors as text, ready to be sent, and a category, if any; it takes an answer
# apart.
SEARCH = "select item_id, score from aisle._nearest_factors({model}, %s::aisle._vector, 10, %s, '{{}}')"
Question = tuple[str, str | None]


def ask_sql(url: str, model: int) -> tuple[Callable[[Question], list[str]], int]:
    connection = psycopg.connect(url, autocommit=True)
    statement = SEARCH.format(model=model).encode()

    def ask(question: Question) -> list[str]:
        vector, category = question
        keys = None if category is None else [category + SEPARATOR]
        return [i for i, _ in connection.execute(statement, (vector, keys)).fetchall()]

    return ask, connection.info.backend_pid


def ask_faiss(port: int, kind: str) -> tuple[Callable[[Question], list[str]], None]:
    connection = open_http(port)

    def ask(question: Question) -> list[str]:
        vector, category = question
        within = "" if category is None else f', "category": "{category}"'
        connection.request("POST", f"/{kind}", f'{{"vector": {vector}, "k": {K}{within}}}')
        return [str(item) for item in json.loads(connection.getresponse().read())["items"] if item >= 0]

    return ask, None


@contextlib.contextmanager
def faiss_server(exact: Exact, queries: Array, wanted: Sequence[set[str]], floor: float) -> Iterator[dict[str, Any]]:
    """Serve the items from a process a core, at the smallest efSearch whose recall is not below `floor`."""
    import faiss

    flat = faiss.IndexFlatIP(DIMENSIONS)
    hnsw = faiss.IndexHNSWFlat(DIMENSIONS, 16, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction = EF_CONSTRUCTION
    for index in (flat, hnsw):
        index.add(exact.vectors)
    for ef in MATCHED:
        hnsw.hnsw.efSearch = ef
        found = [{str(n) for n in row} for row in hnsw.search(queries, K)[1]]
        reached = recall(found, wanted)
        if reached >= floor:
            break
    with tempfile.TemporaryDirectory() as folder:
        faiss.write_index(flat, f"{folder}/flat")
        faiss.write_index(hnsw, f"{folder}/hnsw")
        np.savez(f"{folder}/categories.npz", names=exact.names, category=exact.category)
        with serve("faiss_server", {"FAISS_FOLDER": folder, "FAISS_EF_SEARCH": str(ef)}) as (port, processes):
            yield {"port": port, "efSearch": ef, "recall@10": reached, "processes": processes}


def measure_faiss(url: str, exact: Exact, users: Array, rounds: int, seconds: float) -> dict[str, Any]:
    """Retrieval with a ready vector: SQL, and FAISS behind FastAPI; in turn, several rounds."""
    queries = np.array([exact.user(user)[0] for user in users])
    texts = [json.dumps([round(float(x), 6) for x in query]) for query in queries]
    sections = [SEPARATOR.join(name.split(SEPARATOR)[:2]) for name in exact.names]
    categories = [sections[exact.category[user % len(exact.category)]] for user in users]  # of any item
    ask, _ = ask_sql(url, exact.model)
    result: dict[str, Any] = {}
    plain = [(text, None) for text in texts]
    wanted = [exact.nearest(query) for query in queries]
    reached = recall([set(ask(question)) for question in plain], wanted)
    with faiss_server(exact, queries, wanted, reached) as server:
        result["efSearch of FAISS"] = server["efSearch"]
        contenders: dict[str, tuple[Any, ...]] = {
            "SQL": (ask_sql, url, exact.model),
            "FastAPI, FAISS HNSW": (ask_faiss, server["port"], "hnsw"),
            "FastAPI, FAISS flat": (ask_faiss, server["port"], "flat"),
        }
        for name, questions, best in (
            ("all items", plain, wanted),
            (
                "a category of 1 %",
                list(zip(texts, categories, strict=True)),
                [exact.nearest(q, within=exact.within(c)) for q, c in zip(queries, categories, strict=True)],
            ),
        ):
            recalls = {
                contender: recall([set(connect(*given)[0](q)) for q in questions[:COMPARED]], best[:COMPARED])
                for contender, (connect, *given) in contenders.items()
            }
            result[name] = {"recall@10": recalls} | in_turn(contenders, questions, server["processes"], rounds, seconds)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", choices=["recommend", "faiss", "filters", "links"])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each contender beside FAISS")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each in a round")
    arguments = parser.parse_args()
    url = prepare(embedded.start(), arguments.items)
    users = np.random.default_rng(3).permutation(USERS)
    with db.connect(url) as connection:
        exact = Exact(connection)
        load_average = os.getloadavg()[0]
        result: dict[str, Any] = {"items": arguments.items, "load before": round(load_average, 2)}
        if "recommend" in arguments.runs:
            result["recommend"] = measure_recommend(connection, exact, users[: arguments.queries])
        if "faiss" in arguments.runs:
            some = users[: 2 * min(arguments.queries, COMPARED)]
            result["retrieval"] = measure_faiss(url, exact, some, arguments.rounds, arguments.seconds)
        if "filters" in arguments.runs:
            result["filters"] = measure_filters(connection, exact, users[: arguments.queries])
        if "links" in arguments.runs:
            result["links"] = measure_links(connection, exact, users[: arguments.queries])
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
