"""What a recommendation costs: recommend() as a whole, retrieval beside FAISS, and filters by selectivity.

    pip install '.[bench]'
    python benchmarks/retrieval.py recommend faiss --items 100000
    python benchmarks/retrieval.py recommend faiss filters --items 1000000

The first run with a number of items makes a database, which stays. What it holds is made up, to be like what is
learned: items lie in clusters (departments, sections, leaves: the categories), in directions of falling weight; users
have a few leaves that they come back to; they have from 50 events up, 100 on average, in a table that is in the order
of time. At the size of Gowalla they are a little harder for HNSW than what `aisle train recommender` learns there.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql as compose

from aisle import migrations, sql
from aisle.sql import Connection, embedded, registry
from aisle.trainers.bulk import EF_CONSTRUCTION, create_index

DIMENSIONS, K = 64, 10
USERS, EVENTS = 20_000, 2_000_000
HISTORY = 50  # events that a user's vector is made of
BRANCHES = 10  # departments, sections of each, leaves of each
LEAVES = BRANCHES**3
SEPARATOR = " > "
SELECTIVITY = {"0.1 %": 3, "1 %": 2, "10 %": 1, "100 %": 0}  # share of the items: depth of a category
CLIENTS = (1, 8)
ROUNDS, SECONDS = 5, 2.0  # of each contender, in turn
COMPARED = 500  # users whose answers are compared with exact ones
MATCHED = (16, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256)  # what FAISS's efSearch is chosen from

Array = np.ndarray[Any, Any]

SHOP = """
create schema shop;
create table shop.products (id bigint primary key, name text, category text);
create table shop.visits (user_id bigint, product_id bigint, visited_at timestamptz);
"""
ATTACH = """
create index on shop.visits (user_id, visited_at);
create index on shop.visits (visited_at);
select aisle.attach_items('shop.products', 'id', 'name', category => 'category');
select aisle.attach_interactions('shop.visits', 'user_id', 'product_id', 'visited_at');
"""


def make_vectors(items: int, random: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return each item's leaf, out-vector and in-vector; one in five lies elsewhere than its category says."""
    leaf = random.permutation(items) % LEAVES
    place = np.where(random.random(items) < 0.2, random.integers(LEAVES, size=items), leaf)
    out = 0.7 * random.standard_normal((items, DIMENSIONS), np.float32)
    for depth in (1, 2, 3):
        centres = random.standard_normal((BRANCHES**depth, DIMENSIONS), np.float32)
        out += 0.6 * centres[place // BRANCHES ** (3 - depth)]
    out *= np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.15
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    into = out + 0.07 * random.standard_normal((items, DIMENSIONS), np.float32)
    return leaf, out, into / np.linalg.norm(into, axis=1, keepdims=True)


def make_events(leaf: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Return user and item of each event, in the order of time."""
    length = 50 + random.exponential(EVENTS / USERS - 50, USERS).astype(int)
    user = random.permutation(np.repeat(np.arange(USERS), length))
    # The leaf that a user likes best, two near it, one of the same department, one of any.
    taste = np.repeat(random.integers(LEAVES, size=USERS)[:, None], 5, axis=1)
    for n, width in ((1, BRANCHES), (2, BRANCHES), (3, BRANCHES**2), (4, LEAVES)):
        taste[:, n] = taste[:, n] // width * width + random.integers(width, size=USERS)
    liked = taste[user, np.minimum(random.geometric(0.5, len(user)) - 1, 4)]
    size = len(leaf) // LEAVES  # leaf l is by_leaf[l * size : (l + 1) * size]
    by_leaf = np.argsort(leaf, kind="stable")
    item = by_leaf[liked * size + (size * random.random(len(user)) ** 3).astype(int)]  # some far more often than others
    return user, np.where(random.random(len(user)) < 0.1, random.integers(len(leaf), size=len(user)), item)


def prepare(server: str, items: int) -> str:
    """Make the database unless it is there; return its URL."""
    database = f"bench_retrieval_{items}"
    url = server.replace("/aisle?", f"/{database}?")
    with sql.connect(server) as connection:
        if connection.execute("select from pg_database where datname = %s", (database,)).fetchall():
            return url
        connection.execute(compose.SQL("create database {}").format(compose.Identifier(database)))
    migrations.migrate(url)
    random = np.random.default_rng(7)
    leaf, out, into = make_vectors(items, random)
    user, item = make_events(leaf, random)
    paths = [SEPARATOR.join((f"department {n // 100}", f"section {n // 10}", f"leaf {n}", "")) for n in range(LEAVES)]
    own = np.zeros((USERS, DIMENSIONS), np.float32)
    np.add.at(own, user, into[item] / 100)
    with sql.connect(url) as connection:
        register_vector(connection)
        connection.execute(SHOP)
        connection.execute(
            "insert into shop.products select n - 1, 'item ' || n - 1, c"
            " from unnest(%s::text[]) with ordinality p (c, n)",
            ([paths[n].removesuffix(SEPARATOR) for n in leaf],),
        )
        connection.execute(
            "insert into shop.visits select u, i, now() - interval '1 second' * (%s - n)"
            " from unnest(%s::int[], %s::int[]) with ordinality e (u, i, n)",
            (len(user), user.tolist(), item.tolist()),
        )
        connection.execute(ATTACH)
        parameters = {"history": HISTORY, "exponent": 0.5, "category_separator": SEPARATOR, "text_model": None}
        model = registry.create(connection, "recommender", DIMENSIONS, encoder=None, parameters=parameters)
        # As the trainer does it: categories together.
        load(
            connection,
            "item_factors (item_id, category_key, embedding, in_embedding, model_id, content_hash, origin)",
            ("text", "text", "vector", "vector", "int4", "bytea", "text"),
            ((str(n), paths[leaf[n]], out[n], into[n], model, b"", "events") for n in np.argsort(leaf)),
        )
        load(
            connection,
            "user_vectors (model_id, user_id, embedding)",
            ("int4", "text", "vector"),
            ((model, str(n), own[n]) for n in range(USERS)),
        )
        load(
            connection,
            "context_vectors (model_id, feature, value, embedding)",
            ("int4", "text", "text", "vector"),
            [(model, "", "", out.mean(axis=0))],
        )
        load(
            connection,
            "_recency_weights (model_id, place, weights)",
            ("int4", "int4", "vector"),
            [(model, place, np.full(DIMENSIONS, 1 / (9 + place))) for place in range(1, HISTORY + 1)],
        )
        create_index(connection, f"item_factors_{model}", DIMENSIONS, "halfvec_ip_ops")
        connection.execute("vacuum analyze")
        connection.execute("update aisle._models set state = 'ready'")
        connection.execute("select aisle.deploy(%s)", (model,))
    return url


def load(connection: Connection, table: str, types: Sequence[str], rows: Any) -> None:
    """Append rows in binary, which is faster than text by far for a million vectors."""
    statement = compose.SQL("copy aisle.{} from stdin (format binary)").format(compose.SQL(table))  # type: ignore[arg-type]
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {name: round(1000 * cuts[n - 1], 2) for name, n in (("p50", 50), ("p95", 95), ("p99", 99))}


class Exact:
    """All items and some users as numpy sees them, to tell what the right answers are."""

    def __init__(self, connection: Connection) -> None:
        register_vector(connection)
        self.connection = connection
        self.model = sql.fetch_value(connection, "select aisle._live_model('recommender')")
        rows = connection.execute(
            "select item_id, category_key, embedding from aisle.item_factors where model_id = %s order by item_id::int",
            (self.model,),
            binary=True,
        ).fetchall()
        self.names, self.category = np.unique([category for _, category, _ in rows], return_inverse=True)
        self.vectors = np.array([vector.to_numpy() for *_, vector in rows])

    def user(self, user: int) -> tuple[Array, list[int]]:
        """Return the vector of a user and what the user has seen."""
        items = sql.fetch_value(
            self.connection,
            "select array_agg(product_id order by visited_at desc) from shop.visits where user_id = %s",
            (user,),
        )
        vector = sql.fetch_value(
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


class Stopwatch:
    """Times the calls on a connection, and how long client and server were on a core for each (Linux tells).

    On a machine that others keep busy, the first is mostly the time that both stood in line; the second is what a call
    takes alone, or a little more.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.files = [Path(f"/proc/{pid}/schedstat") for pid in ("self", connection.info.backend_pid)]
        self.taken: list[float] = []
        self.working: list[float] = []

    def worked(self) -> float:
        return sum(int(file.read_text().split()[0]) for file in self.files if file.exists()) / 1e9

    def fetch(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        worked, started = self.worked(), time.perf_counter()
        rows = self.connection.execute(statement.encode(), parameters).fetchall()
        self.taken.append(time.perf_counter() - started)
        self.working.append(self.worked() - worked)
        return rows

    def result(self) -> dict[str, Any]:
        return {"ms": milliseconds(self.taken), "ms on a core": milliseconds(self.working)}


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


# Retrieval alone. Each contender is given vectors as text, ready to be sent, and a category, if any; it takes an answer
# apart.
SEARCH = "select item_id, score from aisle._nearest_factors({model}, %s::vector, 10, %s, '{{}}')"
Question = tuple[str, str | None]


def ask_sql(url: str, model: int) -> tuple[Callable[[Question], list[str]], int]:
    connection = psycopg.connect(url, autocommit=True)
    statement = SEARCH.format(model=model).encode()
    return (
        lambda question: [i for i, _ in connection.execute(statement, question).fetchall()]
    ), connection.info.backend_pid


def open_http(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask_faiss(port: int, kind: str) -> tuple[Callable[[Question], list[str]], None]:
    connection = open_http(port)

    def ask(question: Question) -> list[str]:
        vector, category = question
        within = "" if category is None else f', "category": "{category}"'
        connection.request("POST", f"/{kind}", f'{{"vector": {vector}, "k": {K}{within}}}')
        return [str(item) for item in json.loads(connection.getresponse().read())["items"] if item >= 0]

    return ask, None


def on_core(*processes: psutil.Process) -> float:
    """Return how many seconds processes were on a core, all their threads together."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def client(contender: tuple[Any, ...], questions: Sequence[Any], ready: Barrier, results: Any) -> None:
    """One application process: asks, one query after the other, until time is up."""
    connect, *arguments = contender
    ask, backend = connect(*arguments)
    working = [psutil.Process(), *([psutil.Process(backend)] if backend else [])]
    for question in questions[:50]:
        ask(question)
    ready.wait(timeout=60)
    worked, end, taken = on_core(*working), time.perf_counter() + SECONDS, []
    while (started := time.perf_counter()) < end:
        ask(questions[len(taken) % len(questions)])
        taken.append(time.perf_counter() - started)
    results.put((taken, on_core(*working) - worked))


def run(
    contender: tuple[Any, ...], questions: Sequence[Any], clients: int, server: Sequence[psutil.Process]
) -> tuple[list[float], float]:
    """Return the seconds that each query took, and the seconds on a core of an average query, client and server."""
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(clients), context.Queue()
    processes = [
        context.Process(target=client, args=(contender, [*questions[n * 61 :], *questions[: n * 61]], ready, results))
        for n in range(clients)
    ]
    worked = on_core(*server)
    for process in processes:
        process.start()
    rows = [results.get(timeout=60 + SECONDS) for _ in processes]
    for process in processes:
        process.join()
    taken = [seconds for times, _ in rows for seconds in times]
    asked = len(taken) + 50 * clients
    return taken, sum(seconds for _, seconds in rows) / len(taken) + (on_core(*server) - worked) / asked


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


@contextlib.contextmanager
def serve(module: str, settings: dict[str, str]) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Run the FastAPI application of a module of this folder, a process a core; yield its port and its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(Path(__file__).parent),
               "--port", str(port), "--workers", str(os.cpu_count()), "--loop", "uvloop", "--http", "httptools",
               "--no-access-log", "--log-level", "warning"]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | settings)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                connection = open_http(port)
                connection.request("GET", "/")
                connection.getresponse()
                break
            if time.monotonic() > deadline:
                raise TimeoutError("The FastAPI server does not answer.")
            time.sleep(0.2)
        yield port, psutil.Process(process.pid).children(recursive=True)
    finally:
        process.terminate()
        process.wait(timeout=30)


def measure_faiss(url: str, exact: Exact, users: Array, rounds: int) -> dict[str, Any]:
    """Retrieval with a ready vector: SQL, and FAISS behind FastAPI; in turn, several rounds."""
    users = users[: 2 * COMPARED]
    queries = np.array([exact.user(user)[0] for user in users])
    texts = [json.dumps([round(float(x), 6) for x in query]) for query in queries]
    sections = [SEPARATOR.join(name.split(SEPARATOR)[:2]) for name in exact.names]
    categories = [sections[exact.category[item]] for item in users]  # of any item
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
            result[name] = {"recall@10": recalls} | in_turn(contenders, questions, server["processes"], rounds)
    return result


def in_turn(
    contenders: dict[str, tuple[Any, ...]], questions: Sequence[Any], server: Sequence[psutil.Process], rounds: int
) -> dict[str, Any]:
    """Return how fast each contender answers, several rounds in turn; `server` works for those that are not SQL."""
    result: dict[str, Any] = {}
    for clients in CLIENTS:
        runs = [
            {
                name: run(contender, questions, clients, [] if name.startswith("SQL") else server)
                for name, contender in contenders.items()
            }
            for _ in range(rounds)
        ]
        result[f"{clients} clients"] = {
            name: {
                "ms, p50 by round": [round(1000 * statistics.median(r[name][0]), 2) for r in runs],
                "ms, p99 by round": [milliseconds(r[name][0])["p99"] for r in runs],
                "queries/s by round": [round(len(r[name][0]) / SECONDS) for r in runs],
                "ms on a core by round": [round(1000 * r[name][1], 2) for r in runs],
                "ms on a core": round(1000 * statistics.median(r[name][1] for r in runs), 2),
            }
            for name in contenders
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", choices=["recommend", "faiss", "filters"])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each contender beside FAISS")
    arguments = parser.parse_args()
    url = prepare(embedded.start(), arguments.items)
    users = np.random.default_rng(3).permutation(USERS)
    with sql.connect(url) as connection:
        exact = Exact(connection)
        load_average = os.getloadavg()[0]
        result: dict[str, Any] = {"items": arguments.items, "load before": round(load_average, 2)}
        if "recommend" in arguments.runs:
            result["recommend"] = measure_recommend(connection, exact, users[: arguments.queries])
        if "faiss" in arguments.runs:
            result["retrieval"] = measure_faiss(url, exact, users, arguments.rounds)
        if "filters" in arguments.runs:
            result["filters"] = measure_filters(connection, exact, users[: arguments.queries])
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
