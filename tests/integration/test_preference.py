"""From reviews to labels, and from labels to a recommender that predicts liked items."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder.category_model import Generation
from aisle.trainers import evaluation, run
from aisle.trainers.category import linear_svm
from aisle.trainers.category.options import FineTuningOptions, NgramOptions
from aisle.trainers.preference import labelling
from aisle.trainers.preference import task as preference
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.events import read_events
from aisle.trainers.recommender.options import TowerOptions
from tests.conftest import Shop, save_tiny_encoder
from tests.reviews import Review, make_review, make_reviews

REVIEWS = 1200
RATED = 0.6  # share of the reviews
WRONG = 0.03  # share of the ratings that say the opposite of the text
# Generated texts differ in a few words only, so the n-gram model may rely on them.
NGRAM = NgramOptions(dimensions=16, epochs=30, members=2, ngram_dropout=0.2)
STARS = preference.Options(liked_from=4, ngram=NGRAM)


@pytest.fixture
def reviews(shop: Shop) -> list[Review]:
    """Attached, generated reviews, some with stars."""
    made = list(islice(make_reviews(Random(7)), REVIEWS))
    create(shop, "numeric")
    random = Random(8)
    add(
        shop,
        [
            (number % 50, number % 20, review.text, stars(random, review) if random.random() < RATED else None)
            for number, review in enumerate(made)
        ],
    )
    attach(shop)
    return made


def stars(random: Random, review: Review) -> int:
    is_high = review.is_liked != (random.random() < WRONG)
    return random.choice([4, 5] if is_high else [1, 2, 3])


def create(shop: Shop, rating: str) -> None:
    shop.create()
    shop.execute(f"create table shop.reviews (who text, what text, at timestamptz, said text, gave {rating})")


def add(shop: Shop, rows: list[tuple[Any, ...]]) -> None:
    with shop.connection.cursor() as cursor:
        cursor.executemany(
            "insert into shop.reviews select %s, %s, '2026-01-01'::timestamptz + n * interval '1 min', %s, %s "
            "from (select count(*) n from shop.reviews) counted",
            rows,
        )


def attach(shop: Shop, **columns: str | None) -> None:
    given = {"review": "said", "rating": "gave", **columns}
    shop.execute(
        "select aisle.attach_interactions('shop.reviews', 'who', 'what', 'at', review => %s, rating => %s)",
        list(given.values()),
    )


def labels(shop: Shop) -> dict[str, bool]:
    """Return the live model's labels of texts."""
    return dict(
        shop.execute(
            "select distinct e.review, l.is_liked from aisle._interactions e "
            "join aisle._review_labels l on l.text_hash = aisle._content_hash(e.review, null, null) "
            "where l.model_id = aisle._live_model('preference')"
        ).fetchall()
    )


def test_texts_without_a_rating_are_labelled_once(shop: Shop, database_url: str, reviews: list[Review]) -> None:
    result = run.train(preference.TASK, database_url, STARS)
    assert result.deployed
    model = model_registry.get(shop.connection, result.model_id)
    assert (model.task, model.state, model.parameters["liked"]) == ("preference", "ready", {"from": 4})
    assert result.metrics["accuracy"] > 0.9
    assert result.metrics["accuracy"] > result.metrics["majority"]["accuracy"]
    assert result.metrics["auc"] > 0.9
    assert result.metrics["majority"]["auc"] == 0.5
    assert result.metrics["ece"] < 0.1, "Its probabilities are calibrated."

    waiting = labelling.unlabelled(shop.connection)
    batches: list[int] = []
    done = labelling.label(shop.connection, batches.append, batch_size=100)
    assert waiting == done.liked + done.not_liked == batches[-1]
    assert len(batches) > 2
    given = labels(shop)
    truth = {review.text: review.is_liked for review in reviews}
    assert np.mean([truth[text] == is_liked for text, is_liked in given.items()]) > 0.95
    rated = {text for (text,) in shop.execute("select said from shop.reviews where gave is not null").fetchall()}
    unrated = {text for (text,) in shop.execute("select said from shop.reviews where gave is null").fetchall()}
    assert set(given) == unrated, f"No more than these, though {len(rated)} have stars."
    confidence = shop.value("select min(confidence) from aisle._review_labels")
    assert 0.5 <= confidence <= 1

    assert labelling.label(shop.connection) == labelling.Labelled(0, 0), "What has its label is left alone."
    shop.execute("update shop.reviews set said = said || ' 또', gave = null where who = '7'")
    rewritten = labelling.label(shop.connection)
    assert rewritten.liked + rewritten.not_liked == preference_texts(shop, "7")


def preference_texts(shop: Shop, who: str) -> int:
    return int(shop.value("select count(distinct said) from shop.reviews where who = %s", [who]))


def test_the_same_seed_gives_the_same_model_and_evaluation_finds_the_same_reviews(
    shop: Shop, database_url: str, reviews: list[Review]
) -> None:
    first, second = run.train(preference.TASK, database_url, STARS), run.train(preference.TASK, database_url, STARS)
    assert {**first.metrics, "live": {"model_id": first.model_id}} == second.metrics
    assert first.deployed
    assert not second.deployed, "A model is live already."
    assert "live model's labels would no longer count" in second.reason
    table = evaluation.evaluate(preference.TASK, shop.connection, baselines=True)
    assert [row["answer"] for row in table] == ["aisle label reviews", "majority", linear_svm.NAME]
    assert table[0]["auc"] == pytest.approx(first.metrics["auc"])
    assert table[2]["accuracy"] > table[1]["accuracy"]
    assert table[2]["auc"] > 0.9, "Its certainty grows with `liked`."

    labelling.label(shop.connection)
    before = labels(shop)
    shop.execute("select aisle.deploy(%s)", [second.model_id])
    assert labels(shop) == {}, "Each model has its own labels."
    assert shop.value("select aisle.rollback('preference')") == f"Model {first.model_id} answers for preference again."
    assert labels(shop) == before
    shop.execute("select aisle._drop_model(%s)", [second.model_id])
    assert shop.value("select count(*) from pg_class where relname ~ %s", [f"_{second.model_id}$"]) == 0


def test_equal_and_nearly_equal_texts_are_in_one_part(shop: Shop, database_url: str, reviews: list[Review]) -> None:
    add(shop, [("x", "1", text, 5) for text in ("굿", "굿", "굿 ", "bad 1", "bad 22", "!!", "👍")])
    read = preference.rated_reviews(shop.connection, {"from": 4}, 7)
    parts: dict[str, set[str]] = {}
    for text, part in zip(read.names, read.splits, strict=True):
        parts.setdefault(" ".join(text.rstrip("0123456789").split()), set()).add(part)
    assert all(len(part) == 1 for part in parts.values())
    assert {"굿", "bad"} < parts.keys()
    assert not {"!!", "👍"} & parts.keys(), "Without a word there is nothing to learn from."


def test_a_killed_run_goes_on_where_it_was(shop: Shop, database_url: str, reviews: list[Review]) -> None:
    run.train(preference.TASK, database_url, STARS)
    waiting = labelling.unlabelled(shop.connection)

    def stop(texts: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelling.label(shop.connection, stop, batch_size=100)
    assert labelling.unlabelled(shop.connection) == waiting - 100
    done = labelling.label(shop.connection)
    assert done.liked + done.not_liked == waiting - 100


@pytest.mark.trap(14)
def test_no_snapshot_is_held_while_the_model_runs(shop: Shop, database_url: str, reviews: list[Review]) -> None:
    run.train(preference.TASK, database_url, STARS)
    seen = []
    with db.connect(database_url) as other:

        def look(texts: int) -> None:
            seen.append(
                other.execute(
                    "select state, backend_xmin from pg_stat_activity where pid = %s",
                    [shop.connection.info.backend_pid],
                ).fetchone()
            )

        labelling.label(shop.connection, look, batch_size=100)
    assert set(seen) == {("idle", None)}


def test_an_encoder_reads_reviews_too(
    shop: Shop, database_url: str, reviews: list[Review], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AISLE_HOME", str(tmp_path / "home"))
    letters = "".join(review.text for review in reviews).replace(" ", "")
    (tmp_path / "encoder").mkdir()
    options = preference.Options(
        encoder=str(save_tiny_encoder(tmp_path / "encoder", letters)),
        liked_from=4,
        fine_tuning=FineTuningOptions(dimensions=16, epochs=1, batch_size=32, max_length=32),
        ngram=NGRAM,
    )
    shop.execute("delete from shop.reviews where what::integer >= 10")
    result = run.train(preference.TASK, database_url, options)
    assert result.metrics["auc"] > 0.8
    generation = Generation.load(shop.connection, result.model_id)
    assert generation.encoder is not None
    texts = [review.text for review in reviews[:5]]
    together = preference.predict(shop.connection, generation, texts)
    alone = [preference.predict(shop.connection, generation, [text])[0] for text in texts]
    assert together == pytest.approx(alone, abs=0.05)
    assert labelling.label(shop.connection).liked > 0


@pytest.mark.parametrize(
    ("kind", "values", "options"),
    [
        ("boolean", (False, True), preference.Options(ngram=NGRAM)),
        ("text", ("meh", "wow"), preference.Options(liked=("wow", "great"), ngram=NGRAM)),
        ("real", (3.5, 4.5), preference.Options(liked_from=4.5, ngram=NGRAM)),
    ],
)
def test_ratings_of_every_kind(
    shop: Shop, database_url: str, kind: str, values: tuple[Any, Any], options: preference.Options
) -> None:
    create(shop, kind)
    add(shop, [("a", "1", r.text, values[r.is_liked]) for r in islice(make_reviews(Random(1)), 500)])
    add(shop, [("a", "1", "커피", None)])
    attach(shop)
    result = run.train(preference.TASK, database_url, options)
    assert result.metrics["auc"] > 0.8
    assert result.deployed
    done = labelling.label(shop.connection)
    assert done.liked + done.not_liked == 1


def test_what_is_missing_is_said(shop: Shop, database_url: str) -> None:
    def refused(match: str, error: type[errors.AisleError], options: preference.Options = STARS) -> str:
        with pytest.raises(error, match=match) as raised:
            run.train(preference.TASK, database_url, options)
        assert shop.value("select count(*) from aisle._models") == 0
        return raised.value.hint or ""

    assert "aisle attach interactions" in refused("No interactions", errors.NotAttachedError)
    create(shop, "numeric")
    attach(shop, review=None)
    assert "--review" in refused("without a column of reviews", errors.NotAttachedError)
    shop.execute("select aisle.detach('interactions')")
    attach(shop, rating=None)
    assert "--rating" in refused("without a column of ratings", errors.NotAttachedError)
    shop.execute("select aisle.detach('interactions')")
    attach(shop)
    assert "--liked-from 4" in refused("Which values of gave", errors.InvalidArgumentError, preference.Options())
    both = preference.Options(liked_from=4, liked=("5",))
    refused("exclude each other", errors.InvalidArgumentError, both)
    refused("No review has both", errors.TrainingDataError)
    add(shop, [("a", "1", None, 5), ("a", "1", "tea", None)])
    refused("No review has both", errors.TrainingDataError)
    add(shop, [("a", "1", f"tea {i}", 5) for i in range(50)])
    assert "--liked-from" in refused("All 50 rated reviews are liked", errors.TrainingDataError)
    add(shop, [("a", "1", "bread", 1)])
    refused("51 rated reviews are too few", errors.TrainingDataError)
    with pytest.raises(errors.NoLiveModelError, match="preference") as raised:
        labelling.label(shop.connection)
    assert "aisle train preference" in (raised.value.hint or "")


COLOURS = 2
ITEMS = 8  # of a colour
LIKES = 4  # of a user's; as many of the other colour are disliked


def like_and_dislike(shop: Shop) -> None:
    """A checkerboard: users have as many events of either colour, and like only their own; half of them rate."""
    random = Random(3)
    create(shop, "integer")
    shop.attach()
    shop.insert(*[f"item {number}" for number in range(COLOURS * ITEMS)])
    rows = []
    for user in range(120):
        own = user % COLOURS
        liked = [(item, True) for item in random.sample(range(ITEMS), LIKES)]
        others = [(item, False) for item in random.sample(range(ITEMS), LIKES)]
        events = random.sample(liked + others, 2 * LIKES)
        for place, (item, is_liked) in enumerate(events):
            number = 1 + item + ITEMS * (own if is_liked else 1 - own)
            rating = (random.choice([4, 5]) if is_liked else random.choice([1, 2])) if place % 2 else None
            rows.append((f"u{user}", str(number), make_review(random, is_liked).text, rating))
    add(shop, rows)
    attach(shop)


def colour(item: str) -> int:
    return (int(item) - 1) // ITEMS


def test_a_recommender_of_liked_events_predicts_what_people_like(shop: Shop, database_url: str) -> None:
    like_and_dislike(shop)
    options = recommender.Options(
        features=("user", "item"),
        liked_only=True,
        deploy=True,
        towers=TowerOptions(dimensions=8, epochs=40, batch_size=64),
    )
    with pytest.raises(errors.NoLiveModelError, match="preference"):
        run.train(recommender.TASK, database_url, options)
    run.train(preference.TASK, database_url, STARS)
    lines: list[str] = []
    run.train(recommender.TASK, database_url, options, lines.append)
    assert any("have no label yet" in line for line in lines)
    done = labelling.label(shop.connection)
    assert min(done.liked, done.not_liked) > 100

    lines.clear()
    result = run.train(recommender.TASK, database_url, options, lines.append)
    events = read_events(shop.connection, ("user", "item"), liked_only=True)
    liked = events.weight > 0
    own = np.array([int(events.user_ids[u][1:]) % COLOURS == colour(events.items.ids[i])
                    for u, i in zip(events.user, events.item, strict=True)])  # fmt: skip
    assert np.mean(liked == own) > 0.95
    assert any(f"{liked.sum():,} of 960 events are liked" in line for line in lines)
    assert not any("have no label yet" in line for line in lines)

    relevant = shop.execute("select user_id, unnest(relevant) from aisle._heldout_users where model_id = %s",
                            [result.model_id]).fetchall()  # fmt: skip
    assert np.mean([int(user[1:]) % COLOURS == colour(item) for user, item in relevant]) > 0.95
    table = evaluation.evaluate(recommender.TASK, shop.connection, baselines=True)
    assert table[0]["recall@10"] == pytest.approx(result.metrics["recall@10"])
    of_own_colour = recommended_of_own_colour(shop)
    run.train(recommender.TASK, database_url, replace(options, liked_only=False))
    assert of_own_colour > 0.75
    assert recommended_of_own_colour(shop) < 0.65, "Of all events, either colour has as many."


def recommended_of_own_colour(shop: Shop) -> float:
    answers = [
        (user, item)
        for user in range(120)
        for (item,) in shop.execute("select item_id from aisle.recommend(%s, 4)", [f"u{user}"]).fetchall()
    ]
    seen = set(shop.execute("select who, what from shop.reviews").fetchall())
    assert not {(f"u{user}", item) for user, item in answers} & seen, "Also what a user did not like is left out."
    return float(np.mean([user % COLOURS == colour(item) for user, item in answers]))


@pytest.mark.parametrize("unordered", [False, True])
def test_events_that_weigh_nothing_are_history_only(
    shop: Shop, connection: Connection, database_url: str, unordered: bool
) -> None:
    create(shop, "integer")
    shop.attach()
    shop.insert("tea", "coffee", "bread")
    add(shop, [(f"u{user}", item, None, 1 - (item == "2")) for user in range(60) for item in ("1", "2", "3")])
    shop.execute("select aisle.attach_interactions('shop.reviews', 'who', 'what', 'at', weight => 'gave')")
    order = "set" if unordered else "time"
    options = recommender.Options(features=("item",), deploy=True, towers=TowerOptions(order=order, epochs=20))
    result = run.train(recommender.TASK, database_url, options)
    assert result.metrics["recall@10"] == 1
    shop.execute("insert into shop.reviews values ('new', '1', now(), null, 1)")
    assert shop.execute("select item_id from aisle.recommend('new', 1)").fetchone() == ("3",)


def test_nothing_is_left_after_detach(shop: Shop, database_url: str, reviews: list[Review]) -> None:
    run.train(preference.TASK, database_url, STARS)
    labelling.label(shop.connection)
    shop.execute("select aisle.detach('interactions')")
    assert shop.value("select count(*) from aisle._review_labels") == 0
    assert shop.value("select to_regclass('aisle._interactions')") is None
    with pytest.raises(errors.NotAttachedError):
        labelling.label(shop.connection)
