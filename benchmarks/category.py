"""Category quality on public data, through the functions that an application calls.

    python benchmarks/category.py bigbasket ko_cosmetics --data ../shared/data --baseline
    python benchmarks/category.py bigbasket:level_3 instacart:aisle --encoder FOLDER --seeds 7
    python benchmarks/category.py bigbasket:level_2 ko_cosmetics --rows 300 --samples 20

Each run takes a fresh database through import → attach → train → SQL. Rows of `split = 'test'` have no part in
training, not even as texts; classes with fewer than 10 rows are left out, as in every figure that we compare with.
With --samples, many small shops are drawn from a set, each category by its share: a quarter of each is held out, by
groups of near-equal names, and the SVM answers for the same rows.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import sql as compose

from aisle import db, migrations
from aisle.db import embedded
from aisle.files import import_export
from aisle.trainers.category import linear_svm
from aisle.trainers.category import task as category
from aisle.trainers.category.options import FineTuningOptions
from aisle.trainers.category.products import group_key, read_catalogue, share
from aisle.trainers.evaluation import evaluate
from aisle.trainers.metrics import calibration_error, classification_scores
from aisle.trainers.run import train

TARGETS = {
    "bigbasket": ("level_3", "category_path"),
    "instacart": ("aisle",),
    "ko_cosmetics": ("category",),
}

CREATE = """
create schema shop;
create table shop.products as
select p.id, p.name, {manufacturer}::text as manufacturer, p.{target} as category, p.split
from (select *, count(*) over (partition by {counted}) as class_size from raw.products) p
where p.class_size >= 10 and p.{target} is distinct from {without};
alter table shop.products add primary key (id);
"""

ANSWERS = """
select p.category, i.category, i.confidence, t.category, t.confidence
from shop.products p,
     lateral aisle.item_category(p.id, 1, level => %(level)s) i,
     lateral aisle.predict_category(p.name, p.manufacturer, 1, level => %(level)s) t
where p.split = 'test'
order by p.id
"""


BY_LAST_STEP = """
select split_part(p.category, ' > ', -1), i.category, i.confidence, t.category, t.confidence
from shop.products p,
     lateral (select split_part(c.category, ' > ', -1) as category, sum(c.confidence) as confidence
              from aisle.item_category(p.id, 100000) c group by 1 order by 2 desc limit 1) i,
     lateral (select split_part(c.category, ' > ', -1) as category, sum(c.confidence) as confidence
              from aisle.predict_category(p.name, p.manufacturer, 100000) c group by 1 order by 2 desc limit 1) t
where p.split = 'test'
order by p.id
"""


def prepare(server: str, data: Path, name: str, target: str, encoder: str | None, without: str | None) -> str:
    """Make a database with the protocol's rows, attached, but for those of a category; return its URL."""
    database = database_name(name, target, encoder)
    with db.connect(server) as connection:
        connection.execute(compose.SQL("drop database if exists {} with (force)").format(compose.Identifier(database)))
        connection.execute(compose.SQL("create database {}").format(compose.Identifier(database)))
    url = server.replace("/aisle?", f"/{database}?")
    migrations.migrate(url)
    with db.connect(url) as connection:
        columns = import_export.import_table(connection, data / name / "products.csv.gz", "raw.products").columns
        query = compose.SQL(CREATE).format(
            manufacturer=compose.SQL("p.manufacturer" if "manufacturer" in columns else "null"),
            target=compose.Identifier(target),
            # The protocol counts the third level by its name; a path is a name of that class.
            counted=compose.Identifier("level_3" if target == "category_path" else target),
            without=compose.Literal(without),
        )
        connection.execute(query)
        connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category')")
    return url


def database_name(name: str, target: str, encoder: str | None) -> str:
    """Return the name of a run's database, which is kept to look at."""
    return f"bench_{name}_{target}" + ("_encoder" if encoder else "")


def score(rows: list[tuple[str, str, float, str, float]], level: int | None) -> dict[str, Any]:
    """Score answers for rows (item_category) and for texts (predict_category) against the labels at a level."""
    labels = np.array([" > ".join(row[0].split(" > ")[:level]) if level else row[0] for row in rows])
    item, item_confidence, text, text_confidence = (np.array(c) for c in list(zip(*rows, strict=True))[1:])
    return {
        name: {
            "rows": len(rows),
            **classification_scores(labels, answer),
            "ece": calibration_error(confidence, answer == labels),
        }
        for name, answer, confidence in (
            ("item_category", item, item_confidence),
            ("predict_category", text, text_confidence),
        )
    }


def run(
    server: str,
    data: Path,
    name: str,
    target: str,
    seed: int,
    encoder: str | None,
    epochs: int,
    without: str | None,
) -> dict[str, Any]:
    """Train once and ask the live model about the test rows."""
    url = prepare(server, data, name, target, encoder, without)
    options = category.Options(
        encoder=encoder,
        split_column="split",
        min_rows=1,
        seed=seed,
        fine_tuning=FineTuningOptions(epochs=epochs),
    )
    started = time.monotonic()
    train(
        category.TASK, url, options, lambda line: print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr)
    )
    seconds = time.monotonic() - started
    levels = (None, 2, 1) if target == "category_path" else (None,)
    with db.connect(url) as connection:
        scores = {
            f"level_{level}" if level else "leaf": score(
                connection.execute(ANSWERS, {"level": level}).fetchall(), level
            )
            for level in levels
        }
        if target == "category_path":
            # The same third-level name stands under several parents; the published figures count names.
            scores["level_3 by name"] = score(connection.execute(BY_LAST_STEP).fetchall(), None)
    return {
        "data": name,
        "target": target,
        "without": without,
        "seed": seed,
        "encoder": encoder and Path(encoder).name,
        "train seconds": round(seconds, 1),
        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "scores": scores,
    }


def measure_samples(server: str, data: Path, name: str, target: str, rows: int, samples: int) -> dict[str, Any]:
    """Train on samples of a set, whose numbers are their seeds; compare the means, and pool the confidences."""
    url = prepare(server, data, name, target, None, None)
    options = category.Options(split_column="split", min_rows=1, baseline=False, deploy=True)
    scores: dict[str, list[dict[str, float]]] = {"predict_category": [], linear_svm.NAME: []}
    confidences: list[float] = []
    hits: list[bool] = []
    seconds = []
    with db.connect(url) as connection:
        connection.execute("alter table shop.products rename to all_products")
        products = connection.execute(
            "select id, name, category from shop.all_products order by category, id"
        ).fetchall()
        for seed in range(samples):
            connection.execute("select aisle.detach('items')")
            connection.execute("drop table if exists shop.products")
            connection.execute("create table shop.products (like shop.all_products including all)")
            random = np.random.default_rng(seed)
            chosen = [products[i] for i in systematic_sample(products, rows, random)]
            held_out = [id_ for id_, text, _ in chosen if share(group_key(text), seed) < 1 / 4]
            connection.execute(
                "insert into shop.products select p.* from shop.all_products p where p.id = any(%s)",
                ([id_ for id_, *_ in chosen],),
            )
            connection.execute(
                "update shop.products p set split = case when p.id = any(%s) then 'test' else 'train' end", (held_out,)
            )
            connection.execute(  # what no training row has, nobody can learn
                "delete from shop.products p where split = 'test' and not exists"
                " (select from shop.products t where t.split = 'train' and t.category = p.category)"
            )
            connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category')")
            started = time.monotonic()
            train(category.TASK, url, options, lambda line: None)
            seconds.append(time.monotonic() - started)
            answers = connection.execute(ANSWERS, {"level": None}).fetchall()
            given, found, confidence = (np.array([row[n] for row in answers]) for n in (0, 3, 4))
            scores["predict_category"].append(classification_scores(given, found))
            confidences += confidence.tolist()
            hits += (given == found).tolist()
            catalogue = read_catalogue(connection, split_column="split", seed=options.seed)
            given, found, _ = linear_svm.predict(catalogue, catalogue.splits == "test")
            scores[linear_svm.NAME].append(classification_scores(given, found))
    result: dict[str, Any] = {"data": name, "target": target, "rows": rows, "samples": samples}
    for metric in ("accuracy", "macro_f1"):
        ours, theirs = (np.array([one[metric] for one in of]) for of in scores.values())
        difference = ours - theirs
        result[metric] = {
            "ours": round(float(ours.mean()), 4),
            "SVM": round(float(theirs.mean()), 4),
            "difference": round(float(difference.mean()), 4),
            "standard error": round(float(difference.std(ddof=1) / len(difference) ** 0.5), 4),
        }
    pooled = calibration_error(np.array(confidences), np.array(hits))
    return result | {"ECE, pooled": round(pooled, 4), "train seconds": round(float(np.median(seconds)), 1)}


def systematic_sample(products: list[tuple[Any, ...]], rows: int, random: np.random.Generator) -> list[int]:
    """Return the places of so many products, of each category its share; `products` are in the order of categories."""
    categories = np.array([row[-1] for row in products])
    order = random.permutation(len(products))
    order = order[np.argsort(categories[order], kind="stable")]
    steps = (np.arange(min(rows, len(order))) + random.random()) * len(order) / min(rows, len(order))
    return sorted(order[steps.astype(int) % len(order)].tolist())


def baseline(server: str, name: str, target: str, encoder: str | None) -> dict[str, Any]:
    """TF-IDF + linear SVM on the same rows (the database of the last run is still there)."""
    with db.connect(server.replace("/aisle?", f"/{database_name(name, target, encoder)}?")) as connection:
        row = next(r for r in evaluate(category.TASK, connection, baselines=True) if r["answer"] == linear_svm.NAME)
    scores = {linear_svm.NAME: {name: row[name] for name in ("accuracy", "macro_f1")}}
    return {"data": name, "target": target, "scores": {"leaf": scores}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="bigbasket, instacart, ko_cosmetics, or one target: bigbasket:level_3")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--encoder", help="name or folder; without it the n-gram model alone")
    parser.add_argument("--epochs", type=int, default=FineTuningOptions.epochs)
    parser.add_argument("--without", help="a category whose rows are left out")
    parser.add_argument("--rows", type=int, default=300, help="of a sample")
    parser.add_argument("--samples", type=int, default=0, help="so many samples instead of the whole set")
    parser.add_argument("--baseline", action="store_true", help="also fit TF-IDF + linear SVM")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    server = embedded.start()
    print(json.dumps({"commit": commit, "python": platform.python_version(), "machine": platform.machine()}))
    for wanted in arguments.runs or TARGETS:
        name, _, chosen = wanted.partition(":")
        for target in [chosen] if chosen else TARGETS[name]:
            if arguments.samples:
                found = measure_samples(server, arguments.data, name, target, arguments.rows, arguments.samples)
                print(json.dumps(found), flush=True)
                continue
            for seed in arguments.seeds:
                result = run(
                    server, arguments.data, name, target, seed, arguments.encoder, arguments.epochs, arguments.without
                )
                print(json.dumps(result), flush=True)
            if arguments.baseline:
                print(json.dumps(baseline(server, name, target, arguments.encoder)), flush=True)


if __name__ == "__main__":
    main()
