"""What a category costs in SQL: one name at a time, beside the same model in torch behind FastAPI, and set-wise.

    pip install '.[bench]'
    python benchmarks/latency.py
    python benchmarks/category.py bigbasket:level_3 --seeds 7      # leaves its database behind
    python benchmarks/latency.py --database bench_bigbasket_level_3

Without a database it is the generated shop, trained here. The n-gram table is filled up to 200,000 rows with n-grams
that no text has, so that the index is as deep as it gets. The FastAPI server is category_server.py; it is first shown
to answer the same. item_category answers for a row, from its stored vector.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from embedding import fresh_database
from safetensors.numpy import save_file
from timing import ROUNDS, SECONDS, in_turn, open_http, serve

from aisle import db
from aisle.db import Connection, embedded
from aisle.demo import shop
from aisle.embedder.category_model import Generation

NGRAMS = 200_000
NAMES = 5_000
COMPARED = 500  # names for which all must answer the same
TOLERANCE = 1e-3  # of a confidence

FILL = """
insert into aisle.ngram_vectors (model_id, ngram, embedding)
select v.model_id, 'padding ' || n, v.embedding
from (select * from aisle.ngram_vectors where model_id = %(model)s limit 1) v, generate_series(1, %(missing)s) n
"""

Answer = list[tuple[str, float]]  # categories with their confidences
Question = tuple[str, str, str | None]  # id, name, manufacturer


def prepare(server: str, epochs: int) -> str:
    """Train on the generated shop; return its URL."""
    url = fresh_database(server, "bench_category")
    with db.connect(url) as connection:
        shop.load(connection, shop.generate())
        connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category')")
    aisle = Path(sys.executable).with_name("aisle")
    command = [aisle, "train", "category", "--deploy", "--no-baseline", "--epochs", str(epochs)]
    subprocess.run(command, env={**os.environ, "AISLE_DATABASE_URL": url}, stdout=subprocess.DEVNULL, check=True)
    return url


def write_model(connection: Connection, model: int, folder: str) -> int:
    """Write the n-gram model for the other server; return how many n-grams it knows."""
    head = Generation.load(connection, model).head
    db.register_vectors(connection)
    rows = connection.execute(
        "select ngram, embedding from aisle.ngram_vectors where model_id = %s and not starts_with(ngram, 'padding ')",
        (model,),
    )
    ngrams, vectors = zip(*rows.fetchall(), strict=True)
    tensors = {"weight": head.weight, "bias": head.bias, "floor": head.floor}
    stacked = np.stack([np.asarray(vector.to_numpy(), dtype=np.float32) for vector in vectors])
    save_file(tensors | {"vectors": stacked}, Path(folder, "model.safetensors"))
    names = {"ngrams": ngrams, "categories": head.categories}
    Path(folder, "names.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
    return len(ngrams)


def ask_text(url: str) -> tuple[Callable[[Question], Answer], int]:
    connection = psycopg.connect(url, autocommit=True)
    query = "select category, confidence from aisle.predict_category(%s, %s)"
    return lambda question: connection.execute(query, question[1:]).fetchall(), connection.info.backend_pid


def ask_row(url: str) -> tuple[Callable[[Question], Answer], int]:
    connection = psycopg.connect(url, autocommit=True)
    query = "select category, confidence from aisle.item_category(%s)"
    return lambda question: connection.execute(query, question[:1]).fetchall(), connection.info.backend_pid


def ask_server(port: int) -> tuple[Callable[[Question], Answer], None]:
    connection = open_http(port)

    def ask(question: Question) -> Answer:
        _, name, manufacturer = question
        body = json.dumps({"name": name, "manufacturer": manufacturer})
        connection.request("POST", "/", body)
        return [(category, confidence) for category, confidence in json.loads(connection.getresponse().read())]

    return ask, None


def farthest(contender: tuple[Any, ...], other: tuple[Any, ...], questions: list[Question]) -> float:
    """Return by how much the confidences of two contenders' answers differ at most, by rank."""
    (ask, _), (ask_other, _) = (connect(*arguments) for connect, *arguments in (contender, other))
    pairs = [
        (one[1], another[1])
        for question in questions
        for one, another in zip(ask(question), ask_other(question), strict=True)
    ]
    return max(abs(one - another) for one, another in pairs)


def set_wise(connection: Connection, rounds: int) -> dict[str, int]:
    """Return how many names a second one query puts into categories."""
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        rows = db.fetch_value(
            connection,
            "select count(c.category) from (select * from shop.products limit %s) p,"
            " lateral aisle.predict_category(p.name, p.manufacturer, 1) c",
            (NAMES,),
        )
        rates.append(rows / (time.perf_counter() - started))
    return {"median": round(statistics.median(rates)), "least": round(min(rates))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="one that benchmarks/category.py has left behind")
    parser.add_argument("--epochs", type=int, default=12, help="of training on the generated shop")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each contender in a round")
    arguments = parser.parse_args()
    server = embedded.start()
    url = (
        server.replace("/aisle?", f"/{arguments.database}?")
        if arguments.database
        else prepare(server, arguments.epochs)
    )
    with db.connect(url) as connection, tempfile.TemporaryDirectory() as folder:
        model = db.fetch_value(connection, "select aisle._live_model('category')")
        known = write_model(connection, model, folder)
        ngrams = db.fetch_value(connection, "select count(*) from aisle.ngram_vectors where model_id = %s", (model,))
        if ngrams < NGRAMS:
            connection.execute(FILL, {"model": model, "missing": NGRAMS - ngrams})
            connection.execute("vacuum analyze aisle.ngram_vectors")
        questions = connection.execute("select id::text, name, manufacturer from shop.products").fetchall()
        random.Random(7).shuffle(questions)
        questions = questions[:NAMES]
        with serve("category_server", {"MODEL_FOLDER": folder}) as (port, processes):
            contenders: dict[str, tuple[Any, ...]] = {
                "SQL, predict_category": (ask_text, url),
                "SQL, item_category": (ask_row, url),
                "FastAPI, torch": (ask_server, port),
            }
            text, *others = contenders
            differences = {name: farthest(contenders[text], contenders[name], questions[:COMPARED]) for name in others}
            assert differences["FastAPI, torch"] < TOLERANCE, "they do not answer the same"
            compared = in_turn(contenders, questions, processes, arguments.rounds, arguments.seconds)
        result = {
            "n-grams of the model": known,
            "categories": db.fetch_value(
                connection, "select count(*) from aisle.category_vectors where model_id = %s", (model,)
            ),
            "largest difference from predict_category": differences,
            **compared,
            "set-wise, names/s": set_wise(connection, arguments.rounds),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
