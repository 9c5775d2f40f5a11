"""Whether what a model reports stays true after it wrote half of the catalogue's categories; nothing is downloaded.

Names are made up; some say too little, or a wrong thing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection
from aisle.trainers import run
from aisle.trainers.category import task as category
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.metrics import calibration_error
from tests.conftest import Server

pytestmark = pytest.mark.slow

SEED = 3
ITEMS = 30_000  # of the 15,000 that people labelled, 1,500 are held out: their accuracy has a standard error of .009
CATEGORIES = 40
WORDS = 30  # of a category
TELLING = 0.85  # share of the names that say what it is
SHARED = 300  # words that every category has
ACCURACY_TOLERANCE = 0.015
ECE_TOLERANCE = 0.02
OPTIONS = category.Options(
    seed=SEED, baseline=False, deploy=True, ngram=NgramOptions(dimensions=64, epochs=8, members=1)
)


@dataclass(frozen=True)
class Truth:
    """What is true of the items that no person labelled."""

    accuracy: float
    ece: float


def names(rng: np.random.Generator, labels: Any) -> list[str]:
    """Return names of words: two of the category, or none; at times one of another; and two that say nothing."""

    def word(number: int) -> str:
        return "".join(chr(97 + (number * 7919 + place * 104729 + number // 26**place) % 26) for place in range(6))

    made = []
    for label in labels:
        own = rng.integers(0, WORDS, int(rng.random() < TELLING) * 2) + WORDS * label
        other = rng.integers(0, WORDS * CATEGORIES, int(rng.random() < 0.3))
        shared = rng.integers(0, SHARED, 2) + WORDS * CATEGORIES
        made.append(" ".join(word(int(n)) for n in [*own, *other, *shared]))
    return made


def truth(connection: Connection, model_id: int) -> Truth:
    """Compare a model's answers for items that no person labelled with what they are."""
    rows: list[Any] = connection.execute(
        "select p.truth, c.category, c.confidence from shop.products p"
        " cross join lateral aisle._categorise(%(model)s, aisle._item_vector(%(model)s, p.id::text), 1, null) c"
        " where not p.by_people",
        {"model": model_id},
    ).fetchall()
    given, predicted, confidence = (np.array(column) for column in zip(*rows, strict=True))
    return Truth(float(np.mean(given == predicted)), calibration_error(confidence, given == predicted))


@pytest.fixture(scope="module")
def shop(server: Server, template: str) -> Iterator[tuple[str, Connection]]:
    """A shop half of whose items have a category; Aisle has written those of the other half."""
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, CATEGORIES, ITEMS)
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute(
            "create schema shop;"
            " create table shop.products (id integer primary key, name text, truth text, by_people boolean,"
            " category text)"
        )
        with (
            connection.cursor() as cursor,
            cursor.copy("copy shop.products (id, name, truth, by_people, category) from stdin") as copy,
        ):
            for item, (label, name) in enumerate(zip(labels, names(rng, labels), strict=True)):
                copy.write_row((item, name, f"c{label}", item % 2 == 0, f"c{label}" if item % 2 == 0 else None))
        connection.execute("select aisle.attach_items('shop.products', category => 'category')")
        run.train(category.TASK, url, OPTIONS)
        connection.execute("select aisle.set_write_back(%s)", [Jsonb({"column": "category", "threshold": 0})])
        written = db.fetch_value(connection, "select count(*) from aisle.apply_categories() where is_written")
        assert written == ITEMS / 2
        yield url, connection


def test_what_is_reported_after_a_write_back_is_true(shop: tuple[str, Connection]) -> None:
    url, connection = shop
    result = run.train(category.TASK, url, OPTIONS)
    true = truth(connection, result.model_id)
    print(f"reported {result.metrics['accuracy']:.4f}, ECE {result.metrics['ece']:.4f}; true {true}")
    assert 0.6 < true.accuracy < 0.95, "The task must be neither trivial nor hopeless."
    assert abs(result.metrics["accuracy"] - true.accuracy) <= ACCURACY_TOLERANCE
    assert abs(result.metrics["ece"] - true.ece) <= ECE_TOLERANCE


def test_labels_of_its_own_would_make_it_report_too_much(shop: tuple[str, Connection]) -> None:
    url, connection = shop
    # As if nothing were known of who wrote what.
    connection.execute("select aisle.confirm_categories(array(select id::text from shop.products))")
    result = run.train(category.TASK, url, OPTIONS)
    true = truth(connection, result.model_id)
    print(f"reported {result.metrics['accuracy']:.4f}, ECE {result.metrics['ece']:.4f}; true {true}")
    assert result.metrics["accuracy"] - true.accuracy > ACCURACY_TOLERANCE
