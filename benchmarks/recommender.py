"""Recommender quality on public data, through the functions that an application calls.

    python benchmarks/recommender.py foursquare:revisits foursquare:food --data FOLDER --baselines
    python benchmarks/recommender.py gowalla --seeds 7

Each run takes a fresh database through import → attach → train → SQL, and stands beside the baselines on the same
held-out users. What is held out: each user's last event (Foursquare); the published test set (Gowalla, s3_toys). Models
are fitted on all but the held-out, but for `s3_toys:before`: its model has learned neither from the last event nor from
the last but one, which is history when it is asked for the last, as in published results. `food` knows
first visits to Food stores only; `food_from_all` has the same ones to foresee, and all other visits as history. With
--baselines, those are tuned on validation users, and compared with the mean of our seeds by a paired bootstrap.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import sql as compose

from aisle import db, migrations
from aisle.db import embedded, model_registry
from aisle.files import import_export
from aisle.trainers import ranking, run
from aisle.trainers.recommender import baselines
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.events import read_events
from aisle.trainers.recommender.options import TowerOptions

# The store's name is not public: its id stands in.
FOURSQUARE = """
create schema shop;
create table shop.stores as
select id, 'store ' || id as name, concat_ws(' > ', top_category, category) as category,
       lat, lon from raw.stores where {stores};
alter table shop.stores add primary key (id);
create table shop.visits as {visits};
create index on shop.visits (user_id, visited_at);
create index on shop.visits (visited_at);
select aisle.attach_items('shop.stores', 'id', 'name', category => 'category', latitude => 'lat', longitude => 'lon');
select aisle.attach_interactions('shop.visits', 'user_id', 'store_id', 'visited_at',
                                 weight => 'weight', context_columns => array['meal_time'],
                                 time_zone => 'America/New_York');
"""
FIRST_TO_FOOD = """
    select v.*, s.top_category = 'Food'
                and v.visited_at = min(v.visited_at) over (partition by user_id, store_id) as is_first
    from raw.visits v join raw.stores s on s.id = v.store_id"""
FOOD = f"""
    select v.*, (is_first and count(*) filter (where is_first) over (partition by user_id) >= 5)::int as weight
    from ({FIRST_TO_FOOD}) v"""
VISITS = {
    "revisits": "select *, 1 as weight from raw.visits",
    "stores": """select distinct on (user_id, store_id) *, 1 as weight from raw.visits
                 order by user_id, store_id, visited_at""",
    "food": f"select * from ({FOOD}) v where weight > 0",
    "food_from_all": FOOD,
}
# The published split has no times: validation and test get later ones, so that they are what comes next.
GOWALLA = """
create schema shop;
create table shop.places as
select distinct item_id as id, 'place ' || item_id as name from
    (select item_id from raw.train union select item_id from raw.valid union select item_id from raw.test) i;
alter table shop.places add primary key (id);
create table shop.visits as
select user_id, item_id, timestamptz '2020-01-01 00:00Z' as visited_at from raw.train
union all select user_id, item_id, timestamptz '2020-02-01 00:00Z' from raw.valid
union all select user_id, item_id, timestamptz '2020-03-01 00:00Z' from raw.test;
create index on shop.visits (user_id, visited_at);
create index on shop.visits (visited_at);
select aisle.attach_items('shop.places', 'id', 'name');
select aisle.attach_interactions('shop.visits', 'user_id', 'item_id', 'visited_at', time_zone => 'UTC');
"""
# Sequences have no times but an order.
S3_TOYS = """
create schema shop;
create table shop.toys as select id, 'toy ' || id as name from raw.items;
alter table shop.toys add primary key (id);
create table shop.purchases as
select user_id, item_id, position * interval '1 minute' + case split
           when 'train' then timestamptz '2020-01-01 00:00Z' when 'valid' then '2020-02-01 00:00Z'
           else '2020-03-01 00:00Z' end as bought_at
from raw.events where {events};
create index on shop.purchases (user_id, bought_at);
create index on shop.purchases (bought_at);
select aisle.attach_items('shop.toys', 'id', 'name');
select aisle.attach_interactions('shop.purchases', 'user_id', 'item_id', 'bought_at', time_zone => 'UTC');
"""
LAST = {"s3_toys": "true", "s3_toys:before": "split <> 'test'"}
# Each user's last item, and what is recommended, with the last but one as history.
ASK_FOR_THE_LAST = """
select e.item_id::text, array(select r.item_id from aisle.recommend(e.user_id, %s) r order by r.rank)
from raw.events e where e.split = 'test' order by e.user_id
"""
FEBRUARY, MARCH = 1580515200.0, 1583020800.0  # 2020, seconds


def prepare(server: str, data: Path, name: str) -> str:
    """Make a database with the protocol's rows, attached; return its URL."""
    database = f"bench_{name.replace(':', '_')}"
    with db.connect(server) as connection:
        connection.execute(compose.SQL("drop database if exists {} with (force)").format(compose.Identifier(database)))
        connection.execute(compose.SQL("create database {}").format(compose.Identifier(database)))
    url = server.replace("/aisle?", f"/{database}?")
    migrations.migrate(url)
    folder, _, visits = name.partition(":")
    files = {
        "gowalla": ("train", "valid", "test"),
        "foursquare": ("stores", "visits"),
        "s3_toys": ("items", "events"),
    }[folder]
    with db.connect(url) as connection:
        for file in files:
            path = data / {"foursquare": "foursquare_nyc"}.get(folder, folder) / f"{file}.csv.gz"
            import_export.import_table(connection, path, f"raw.{file}")
        script = {
            "gowalla": lambda: GOWALLA,
            "s3_toys": lambda: S3_TOYS.format(events=LAST[name]),
            "foursquare": lambda: FOURSQUARE.format(
                visits=VISITS[visits], stores="top_category = 'Food'" if visits == "food" else "true"
            ),
        }[folder]()
        connection.execute(script.encode())
        connection.execute("vacuum analyze")
    return url


def options(
    name: str,
    features: str | None,
    seed: int,
    members: int,
    epochs: int | None = None,
    model: str = "best",
    dimensions: int = TowerOptions.dimensions,
) -> recommender.Options:
    """Return the protocol of a data set, and what was chosen on its validation users."""
    chosen = recommender.Options(
        features=tuple(features.split(",")) if features else None,
        seed=seed,
        model=model,
        repeats=name == "foursquare:revisits",
        towers=TowerOptions(members=members, dimensions=dimensions),
    )
    if name == "gowalla":
        # Chosen on validation users. A user is the sum of its places: a vector of its own did not help.
        towers_chosen = replace(
            chosen.towers, order="set", history=None, evaluate_at=20, tied=True, batch_size=512,
            learning_rate=0.03, user_weight=1.0, temperature=0.09, epochs=epochs or 40, evaluate_every=4, patience=4,
        )  # fmt: skip
        return replace(
            chosen,
            features=chosen.features or ("item",),
            test_from=MARCH,
            validate_from=FEBRUARY,
            top=20,
            towers=towers_chosen,
        )
    if name == "s3_toys":
        return replace(chosen, test_from=MARCH, validate_from=FEBRUARY)
    if name == "s3_toys:before":
        return replace(chosen, test_from=FEBRUARY)
    if name == "foursquare:food_from_all":  # chosen on validation users
        towers_chosen = replace(
            chosen.towers, dimensions=128, exponent=0.0, smoothing=2, history_dropout=0.15, user_dropout=0.3,
            id_dropout=0.1, temperature=0.15, epochs=15,
        )  # fmt: skip
        return replace(chosen, towers=towers_chosen)
    return chosen


def ask_for_the_last(connection: db.Connection, model_id: int, k: int) -> dict[str, float]:
    """Measure recommend() on each user's last item, which is not in the database's history."""
    connection.execute("select aisle.deploy(%s, force => true)", (model_id,))
    rows = connection.execute(ASK_FOR_THE_LAST, (k,)).fetchall()
    return ranking.measure([ranked for _, ranked in rows], [[last] for last, _ in rows], k).means()


def compare_with_baselines(url: str, chosen: recommender.Options, model_ids: list[int]) -> dict[str, Any]:
    """Tune each baseline on validation users, and compare it with the models' mean on the held-out ones."""
    k, exclude_seen = chosen.top, not chosen.repeats
    with db.connect(url) as connection:
        events = read_events(connection, ["meal_time"])
        hits: list[dict[str, float]] = []
        for model_id in model_ids:
            rows = connection.execute(
                db.read("queries/recommend_heldout"),
                {"model_id": model_id, "heldout_of": model_id, "k": k, "exclude_seen": exclude_seen},
            ).fetchall()
            hits.append({user: float(bool(set(ranked) & set(relevant))) for user, relevant, ranked in rows})
    test = recommender.hold_out(events, chosen.test_from, exclude_seen=exclude_seen)
    validation = recommender.hold_out(test.events, chosen.validate_from, exclude_seen=exclude_seen)
    ours = np.mean([[by_user[events.user_ids[user]] for user in test.user] for by_user in hits], axis=0)
    allowed = np.isin(np.arange(len(events.items)), events.item[events.weight > 0])
    result: dict[str, Any] = {}
    for name in baselines.BASELINES:
        # To a baseline, what only the history may know counts as much as what is to be foreseen.
        known, learned = (replace(e, weight=np.ones_like(e.weight)) for e in (validation.events, test.events))
        best = baselines.tune(name, known, validation.relevant, k=k, exclude_seen=exclude_seen, allowed=allowed)[0]
        model = baselines.BASELINES[name](**best.options).fit(learned)
        theirs = recommender.measure_baseline(model, test, k, exclude_seen=exclude_seen, allowed=allowed).hit
        comparison = ranking.compare(ours, theirs)
        result[f"{name}, tuned"] = {
            f"hit@{k}": theirs.mean(),
            "options": json.dumps(best.options),
            "verdict": ranking.verdict(comparison),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", choices=["gowalla", *LAST, *(f"foursquare:{visits}" for visits in VISITS)])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--features", help="separated by commas; the command's default otherwise")
    parser.add_argument("--baselines", action="store_true", help="tune the baselines, and compare")
    parser.add_argument("--model", default="best", choices=["best", "item-item", "towers", "ials", "mixture"])
    parser.add_argument("--epochs", type=int, help="of gowalla, instead of 40")
    parser.add_argument("--dimensions", type=int, default=TowerOptions.dimensions, help="of a member")
    parser.add_argument("--members", type=int, default=1, help="seeds whose vectors are joined")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    server = embedded.start()
    for name in arguments.runs:
        url = prepare(server, arguments.data, name)
        model_ids = []
        for seed in arguments.seeds:
            started = time.monotonic()

            def report(line: str, started: float = started) -> None:
                print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr)

            chosen = options(
                name,
                arguments.features,
                seed,
                arguments.members,
                arguments.epochs,
                arguments.model,
                arguments.dimensions,
            )
            result = run.train(recommender.TASK, url, chosen, report)
            model_ids.append(result.model_id)
            with db.connect(url) as connection:
                if name == "s3_toys:before":
                    result.metrics["the last"] = ask_for_the_last(connection, result.model_id, chosen.top)
                parameters = model_registry.get(connection, result.model_id).parameters
            print(
                json.dumps(
                    {
                        "commit": commit,
                        "data": name,
                        "seed": seed,
                        "features": arguments.features,
                        "members": arguments.members,
                        "kind": parameters["kind"],
                        "tried": parameters["tried"],
                        "seconds": round(result.seconds, 1),
                        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
                        "metrics": result.metrics,
                    }
                ),
                flush=True,
            )

        if arguments.baselines:
            compared = compare_with_baselines(url, chosen, model_ids)
            print(json.dumps({"commit": commit, "data": name, "metrics": compared}), flush=True)


if __name__ == "__main__":
    main()
