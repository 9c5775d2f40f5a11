"""Accuracy of classifying reviews as liked or not liked, and speed of labelling.

    python benchmarks/preference.py movieReviewSnippets_GroundTruth.txt amazonReviewSnippets_GroundTruth.txt
    python benchmarks/preference.py FILE … --encoder FOLDER --seeds 7

Each line of a file is an id, a rating and a text, between tabs. The two files are in the source distribution of
vaderSentiment 3.3.2 (hutto_ICWSM_2014.tar.gz): sentences of real film and product reviews, each with the mean of 20
people's ratings, from -4 to 4 (Hutto and Gilbert, ICWSM 2014). A fifth of the ratings is kept from the trainer; those
texts are labelled as `aisle label reviews` does, and the labels compared with the ratings.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from aisle import db, migrations
from aisle.db import Connection, embedded
from aisle.trainers.evaluation import evaluate
from aisle.trainers.preference import task as preference
from aisle.trainers.preference.labelling import label
from aisle.trainers.run import train

HIDDEN = 0.2  # share of the ratings
DATABASE = "preference_benchmark"

CREATE = """
create schema shop;
create table shop.reviews (id bigint, at timestamptz default now(), stars real, body text, hidden_stars real);
select aisle.attach_interactions('shop.reviews', 'id', 'id', 'at', review => 'body', rating => 'stars');
"""

AGREEMENT = """
select avg((l.is_liked = (r.hidden_stars >= %s))::integer)::float8
from shop.reviews r
join aisle._review_labels l on l.text_hash = aisle._content_hash(r.body, null, null)
where r.stars is null and l.model_id = aisle._live_model('preference')
"""


def load(connection: Connection, files: list[Path]) -> int:
    """Load the reviews in the order of the files; return how many."""
    connection.execute(CREATE)
    random, rows = Random(7), 0
    with connection.cursor().copy("copy shop.reviews (id, stars, body, hidden_stars) from stdin") as copy:
        for file in files:
            for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
                if line:
                    _, rating, text = line.split("\t", 2)
                    rows += 1
                    copy.write_row((rows, None if random.random() < HIDDEN else rating, text, rating))
    return rows


def run(url: str, options: preference.Options) -> dict[str, Any]:
    """Train, measure beside the baseline, and label."""
    started = time.monotonic()
    train(
        preference.TASK,
        url,
        options,
        lambda line: print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr),
    )
    seconds = time.monotonic() - started
    with db.connect(url) as connection:
        table = evaluate(preference.TASK, connection, baselines=True)
        started = time.monotonic()
        labelled = label(connection)
        texts, label_seconds = labelled.liked + labelled.not_liked, time.monotonic() - started
        agreement = db.fetch_value(connection, AGREEMENT, (options.liked_from,))
    return {
        "seed": options.seed,
        "train seconds": round(seconds, 1),
        "held out": table,
        "labelled texts": texts,
        "labels that agree with the hidden rating": agreement,
        "texts a second": round(texts / label_seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--liked-from", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--encoder", help="name or folder; without it the n-gram model alone")
    arguments = parser.parse_args()
    server = embedded.start()
    with db.connect(server) as connection:
        connection.execute(f"drop database if exists {DATABASE}".encode())
        connection.execute(f"create database {DATABASE}".encode())
    url = server.replace("/aisle?", f"/{DATABASE}?")
    migrations.migrate(url)
    with db.connect(url) as connection:
        print(json.dumps({"reviews": load(connection, arguments.files)}), flush=True)
    for seed in arguments.seeds:
        options = preference.Options(encoder=arguments.encoder, liked_from=arguments.liked_from, seed=seed, deploy=True)
        print(json.dumps(run(url, options)), flush=True)


if __name__ == "__main__":
    main()
