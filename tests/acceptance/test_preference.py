"""From reviews to recommendations of what people like, on the command line."""

from itertools import islice
from random import Random

import psycopg

from tests.acceptance.conftest import Aisle
from tests.reviews import make_reviews

PEOPLE, ITEMS, EVENTS = 30, 12, 600
ATTACH = ("attach", "interactions", "shop.reviews", "--user", "who", "--item", "what", "--at", "at", "--review", "said")


def fill(aisle: Aisle) -> None:
    random = Random(7)
    with psycopg.connect(aisle.url, autocommit=True) as connection:
        connection.execute(
            "create schema shop; create table shop.products (id bigint primary key, name text);"
            "create table shop.reviews (who text, what bigint, at timestamptz, said text, gave text)"
        )
        with connection.cursor() as cursor:
            cursor.executemany("insert into shop.products values (%s, 'item')", [(n,) for n in range(ITEMS)])
            cursor.executemany(
                "insert into shop.reviews values (%s, %s, '2026-01-01'::timestamptz + %s * interval '1 hour', %s, %s)",
                [
                    (
                        f"user-{random.randrange(PEOPLE)}",
                        random.randrange(ITEMS),
                        hour,
                        review.text,
                        None if hour % 3 == 0 else "good" if review.is_liked else "bad",
                    )
                    for hour, review in enumerate(islice(make_reviews(random), EVENTS))
                ],
            )


def test_from_reviews_to_recommendations(aisle: Aisle) -> None:
    fill(aisle)
    aisle("attach", "items", "shop.products")
    aisle(*ATTACH, "--rating", "gave")
    assert "--liked good" in aisle.refusal("train", "preference")
    assert "aisle train preference" in aisle.refusal("label", "reviews")
    assert "aisle train preference" in aisle.refusal("evaluate", "preference")

    model = aisle.json("train", "preference", "--liked", "good", "--epochs", "20", "--deploy")
    assert model["deployed"] is True
    assert model["metrics"]["auc"] > 0.5
    done = aisle.json("label", "reviews")
    assert done["liked"] + done["not_liked"] > EVENTS / 6
    trained = aisle("train", "recommender", "--positives", "liked", "--epochs", "2", "--deploy")
    assert "is live" in trained
    assert "no earlier deployment" in aisle.refusal("rollback", "preference")
    assert [(m["task"], m["state"]) for m in aisle.json("models")] == [("preference", "live"), ("recommender", "live")]
    aisle("detach", "interactions")
    assert aisle.value("select count(*) from aisle._review_labels") == 0
