"""Training on categories that are rows of the shop's own: labels are ids, and what people see has names."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from aisle.embedder.item_factors import FactorEmbedder
from aisle.reports.topics import category as page
from aisle.trainers import evaluation, run
from aisle.trainers.category import task as category
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.labels import read_labels
from aisle.trainers.recommender.events import read_items
from aisle.trainers.recommender.task import default_features
from tests.conftest import Shop, load_tiny_recommender

QUICK = category.Options(ngram=NgramOptions(dimensions=8, epochs=4, members=1), baseline=False, deploy=True)


@pytest.fixture
def products(shop: Shop) -> Shop:
    """300 products of three categories, two of them below one; and one that counts as none."""
    shop.execute(
        "create schema shop;"
        " create table shop.category (id integer primary key, parent_id integer, name text);"
        " insert into shop.category values (1, null, 'drinks'), (11, 1, 'tea'), (12, 1, 'coffee'), (2, null, 'bread'),"
        " (9, null, 'All');"
        " create table shop.products (id bigint primary key, name text, category_id integer);"
        " insert into shop.products"
        " select n, (array['tea', 'coffee', 'bread'])[1 + n % 3] || ' ' || md5(n::text), (array[11, 12, 2])[1 + n % 3]"
        " from generate_series(1, 300) n;"
        " insert into shop.products select n, 'tea ' || n, 9 from generate_series(301, 310) n"
    )
    said = shop.value(
        "select aisle.attach_items('shop.products', category => 'category_id', categories => %s,"
        " unlabelled => '{All}')",
        [Jsonb({"table": "shop.category"})],
    )
    assert "5 categories in a tree, depth 2." in said
    assert "300 of 310 items have a category." in said
    return shop


def test_a_model_of_ids(products: Shop, database_url: str) -> None:
    result = run.train(category.TASK, database_url, QUICK)
    paths = dict(products.execute("select category, path from aisle.category_vectors").fetchall())
    assert paths == {"11": ["1", "11"], "12": ["1", "12"], "2": ["2"]}
    assert result.metrics["accuracy"] > 0.9
    answer = products.execute("select category, category_id from aisle.item_category(301, k => 1)").fetchone()
    assert answer == ("drinks > tea", "11")
    products.execute(
        "update shop.category set name = 'Tee' where id = 11; update shop.category set parent_id = 2 where id = 12"
    )
    scores = {row["answer"]: row for row in evaluation.evaluate(category.TASK, products.connection, baselines=True)}
    assert scores["item_category"]["accuracy"] == pytest.approx(result.metrics["accuracy"])
    assert scores["TF-IDF + linear SVM"]["accuracy"] > 0.9
    report = products.execute("select category from aisle.category_report where level = 2").fetchall()
    assert {name for (name,) in report} == {"drinks > Tee", "bread > coffee", "bread"}


def test_a_report_has_names(products: Shop, database_url: str) -> None:
    model_id = run.train(category.TASK, database_url, QUICK).model_id
    answers = page._read_answers(products.connection, model_id)
    assert answers is not None
    assert set(answers.category) <= {"drinks > tea", "drinks > coffee", "bread"}
    found = page._items(products.connection, ["1", "301"])
    assert (found["1"][1], found["301"][1]) == ("drinks > coffee", None)


def test_a_recommender_reads_places_in_the_tree(products: Shop) -> None:
    connection = products.connection
    assert "category" in default_features(connection)
    items = read_items(connection, with_texts=False)
    assert items.categories[items.ids.index("1")] == ["1", "12"]
    assert items.categories[items.ids.index("301")] is None
    labels = read_labels(connection)
    assert labels.key(["1", "12"]) == "12 > "
    load_tiny_recommender(connection, {1: (None, (1, 0), (0, 1))})
    model_id = products.value("select aisle._live_model('recommender')")
    generation: Any = type(
        "Generation", (), {"model_id": model_id, "text_model": None, "separator": " > ", "towers": []}
    )
    rows = {row.item_id: row for row in FactorEmbedder().read(connection, generation, ["1", "2", "301"])}
    assert (rows["1"].path, rows["1"].category_key) == (["1", "12"], "12 > ")
    assert (rows["301"].path, rows["301"].category_key) == (None, None)
