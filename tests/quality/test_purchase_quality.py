"""How good recommender and basket model are on a third of the generated shop, from training to SQL.

`purchase_baselines.json` holds what they reached. After a change that is meant to move the figures, renew it:

    AISLE_RENEW_BASELINES=1 pytest tests/quality/test_purchase_quality.py
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aisle import db, trainers
from aisle.demo import shop
from aisle.trainers import evaluation, run
from aisle.trainers.basket.options import Options as BasketOptions
from aisle.trainers.recommender.options import Options as RecommenderOptions
from tests.conftest import Server

pytest.importorskip("implicit")
pytestmark = pytest.mark.slow

BASELINES = Path(__file__).with_name("purchase_baselines.json")
RENEW = "If it was meant to: AISLE_RENEW_BASELINES=1 pytest tests/quality/test_purchase_quality.py"
TOLERANCE = 0.01  # of recall@10: processors round differently
OPTIONS: dict[str, Any] = {
    "recommender": RecommenderOptions(model="ials", features=("user", "item"), deploy=True),
    "basket": BasketOptions(deploy=True),
}
# What needs no model. A linear model that needs one may still be ahead.
SIMPLE = {"recommender": "popularity", "basket": "p-top"}


@pytest.fixture(scope="module")
def reached(server: Server, template: str) -> Iterator[dict[str, dict[str, Any]]]:
    """The recall@10 of each task's answers and of what it is compared with, through SQL."""
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        shop.load(connection, shop.generate())
        for table in ("visits", "order_items"):
            connection.execute(f"delete from shop.{table} where product_id % 3 > 0".encode())
        connection.execute(
            "delete from shop.products where id % 3 > 0;"
            "select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category');"
            "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at',"
            " time_zone => 'Asia/Seoul');"
            "select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer_id', 'ordered_at',"
            " quantity => 'quantity', lines => 'shop.order_items', line_order_id => 'order_id',"
            " time_zone => 'Asia/Seoul')"
        )
        found = {}
        for name, options in OPTIONS.items():
            result = run.train(trainers.task_of(name), url, options)
            (answer,) = evaluation.evaluate(trainers.task_of(name), connection, baselines=False)
            simple = result.metrics[SIMPLE[name]]["recall@10"]
            found[name] = {answer["answer"]: answer["recall@10"], SIMPLE[name]: simple}
        yield found


def test_the_figures_are_those_on_record(reached: dict[str, dict[str, float]]) -> None:
    if os.environ.get("AISLE_RENEW_BASELINES"):
        rounded = {task: {who: round(recall, 4) for who, recall in found.items()} for task, found in reached.items()}
        BASELINES.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    recorded = json.loads(BASELINES.read_text(encoding="utf-8"))
    for task, found in reached.items():
        assert found == pytest.approx(recorded[task], abs=TOLERANCE), f"The quality of {task} has changed. {RENEW}"


@pytest.mark.parametrize("task", OPTIONS)
def test_a_model_beats_what_needs_none(reached: dict[str, dict[str, float]], task: str) -> None:
    ours = reached[task][trainers.task_of(task).answer]
    assert ours > reached[task][SIMPLE[task]]
