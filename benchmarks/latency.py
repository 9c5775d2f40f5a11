"""What a category costs in SQL: one name at a time over a connection, and set-wise in one query.

    python benchmarks/category.py bigbasket:level_3 --seeds 7      # leaves its database behind
    python benchmarks/latency.py

The n-gram table is filled up to 200,000 rows with n-grams that no text has, so that the index is as deep as it gets.
"""

import argparse
import json
import random
import statistics
import time

from aisle import sql
from aisle.sql import embedded

NGRAMS = 200_000
ROUNDS = 5  # of the set-wise query

FILL = """
insert into aisle.ngram_vectors (model_id, ngram, embedding)
select v.model_id, 'padding ' || n, v.embedding
from (select * from aisle.ngram_vectors where model_id = %(model)s limit 1) v, generate_series(1, %(missing)s) n
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="bench_bigbasket_level_3")
    parser.add_argument("--queries", type=int, default=5000)
    arguments = parser.parse_args()
    with sql.connect(embedded.start().replace("/aisle?", f"/{arguments.database}?")) as connection:
        model = sql.fetch_value(connection, "select aisle._live_model('category')")
        ngrams = sql.fetch_value(connection, "select count(*) from aisle.ngram_vectors where model_id = %s", (model,))
        if ngrams < NGRAMS:
            connection.execute(FILL, {"model": model, "missing": NGRAMS - ngrams})
            connection.execute("vacuum analyze aisle.ngram_vectors")
        names = connection.execute("select name, manufacturer from shop.products where split = 'test'").fetchall()
        random.Random(7).shuffle(names)
        milliseconds = []
        for i in range(arguments.queries):
            started = time.perf_counter()
            connection.execute("select * from aisle.predict_category(%s, %s)", names[i % len(names)]).fetchall()
            milliseconds.append(1000 * (time.perf_counter() - started))
        rates = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            rows = sql.fetch_value(
                connection,
                "select count(c.category) from shop.products p,"
                " lateral aisle.predict_category(p.name, p.manufacturer, 1) c where p.split = 'test'",
            )
            rates.append(rows / (time.perf_counter() - started))
        cuts = statistics.quantiles(milliseconds, n=100)
        result = {
            "n-grams": NGRAMS,
            "categories": sql.fetch_value(
                connection, "select count(*) from aisle.category_vectors where model_id = %s", (model,)
            ),
            "one name, ms": {"p50": round(cuts[49], 3), "p95": round(cuts[94], 3), "p99": round(cuts[98], 3)},
            "set-wise, names/s": {"median": round(statistics.median(rates)), "least": round(min(rates))},
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
