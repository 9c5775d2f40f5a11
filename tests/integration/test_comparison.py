"""The net below: rows that changed without a word are found by comparing them with their vectors, and are mended."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from aisle import db
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.acceptance.conftest import wait_until
from tests.conftest import Shop, load_tiny_basket, load_tiny_model

RATE = 100  # rows a second: 500 a step


@pytest.fixture
def products(shop: Shop) -> Shop:
    load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    shop.execute("insert into shop.products (id, name) select i, 'tea ' || i from generate_series(1, 1200) i")
    drain(shop.connection, [ItemEmbedder()])
    return shop


def silently(shop: Shop, statement: str) -> None:
    """Write as a restore or a replica does that fires no trigger."""
    shop.execute("set session_replication_role = replica")
    shop.execute("alter table shop.products disable trigger all")
    shop.execute(statement)
    shop.execute(
        "alter table shop.products enable trigger aisle_500_insert, enable trigger aisle_500_delete,"
        " enable always trigger aisle_500_update, enable always trigger aisle_500_truncate,"
        " enable replica trigger aisle_500_row"
    )
    shop.execute("set session_replication_role = origin")


def compare(shop: Shop, task: str = "category", rate: int = RATE) -> list[int]:
    """Go through a whole pass, each step as if it were due; return what each found."""
    found: list[int] = []
    finished = shop.value("select max(finished_at) from aisle._comparisons where task = %s", [task])
    for _ in range(100):
        step = shop.value("select aisle._compare(%s, %s)", [task, rate])
        if step is not None:
            found.append(step)
        shop.execute("update aisle._comparisons set due_at = '-infinity'")
        if shop.value("select max(finished_at) from aisle._comparisons where task = %s", [task]) != finished:
            return found
    raise AssertionError(f"The pass does not end: {found}")


def test_what_no_trigger_logged_is_mended_within_a_pass(products: Shop) -> None:
    assert compare(products) == [0, 0, 0], "1,200 rows in steps of 500."
    silently(products, "update shop.products set name = '커피' where id in (3, 777)")
    silently(products, "insert into shop.products (id, name) values (5000, 'tea')")
    silently(products, "delete from shop.products where id in (4, 1100)")
    assert products.jobs() == {}
    assert sum(compare(products)) == 5
    assert products.jobs().keys() == {"3", "777", "5000"}
    drain(products.connection, [ItemEmbedder()])
    assert compare(products) == [0, 0, 0]
    wrong = (
        "select count(*) from aisle._items i full join aisle.item_vectors v using (item_id)"
        " where v.content_hash is distinct from aisle._content_hash(i.name, i.manufacturer, i.details)"
    )
    assert products.value(wrong) == 0
    assert products.value("select mended from aisle.freshness where task = 'category'") == 5
    (warning,) = products.execute("select warning from aisle.warnings").fetchall()
    assert warning[0].startswith("5 vectors (category) did not match their rows")


def test_what_waits_is_no_hole(products: Shop) -> None:
    products.execute("set aisle.notify = off")
    products.execute(
        "update shop.products set name = 'coffee' where id <= 600; delete from shop.products where id = 700"
    )
    assert sum(compare(products)) == 0, "It is in the log."
    products.collect()
    assert sum(compare(products)) == 0, "It is in the queue."


def test_steps_go_on_where_the_last_one_ended_and_come_at_their_pace(products: Shop) -> None:
    assert products.value("select aisle._compare('category', %s)", [RATE]) == 0
    assert products.value("select after_row from aisle._comparisons") == "500"
    assert products.value("select aisle._compare('category', %s)", [RATE]) is None, "It is not due for five seconds."
    due = products.value("select due_at - aisle._now() from aisle._comparisons")
    assert timedelta(seconds=4) < due <= timedelta(seconds=5)
    products.execute("update aisle._comparisons set due_at = '-infinity'")
    with db.connect(db.address_of(products.connection)) as other, other.transaction():
        other.execute("select aisle._compare('category', %s)", [RATE])
        assert products.value("select aisle._compare('category', %s)", [RATE]) is None, "Another worker is at it."
    assert products.value("select after_row from aisle._comparisons") == "1000"


def test_customers_are_compared_with_their_orders(shop: Shop) -> None:
    shop.execute(
        "create schema shop;"
        "create table shop.orders (id bigint primary key, customer uuid, at timestamptz, item bigint);"
        "insert into shop.orders select i, md5((i % 50)::text)::uuid, now() - i * interval '1 hour', 41 + i % 2"
        " from generate_series(1, 200) i; create index on shop.orders (customer)"
    )
    shop.execute("select aisle.attach_orders('shop.orders', 'id', 'item', 'customer', 'at')")
    load_tiny_basket(shop.connection, {"41": (1, 0), "42": (0, 1)})
    shop.execute("select aisle._enqueue_stale()")
    drain(shop.connection, [CustomerEmbedder()])
    assert sum(compare(shop, "basket", 4)) == 0
    shop.execute("alter table shop.orders disable trigger all")
    shop.execute(
        "update shop.orders set item = 41 where id = 7; delete from shop.orders where customer = md5('8')::uuid"
    )
    shop.execute("alter table shop.orders enable trigger all")
    assert sum(compare(shop, "basket", 4)) == 2
    drain(shop.connection, [CustomerEmbedder()])
    assert sum(compare(shop, "basket", 4)) == 0


def test_a_materialized_view_is_kept_up_to_date_by_comparing_it_once_a_pass(products: Shop) -> None:
    products.execute("select aisle.detach('items')")
    products.execute("create materialized view shop.listed as select * from shop.products where price is null")
    products.attach("shop.listed")
    assert compare(products) == [0]
    assert len(products.jobs()) == 1200
    drain(products.connection, [ItemEmbedder()])
    products.execute(
        "update shop.products set price = 1 where id = 9; update shop.products set name = '커피' where id = 10;"
        "refresh materialized view shop.listed"
    )
    assert products.value("select pending from aisle.freshness where task = 'category'") == 1
    compare(products)
    assert products.jobs().keys() == {"10"}
    assert products.value("select count(*) from aisle.item_vectors where item_id = '9'") == 0


def test_a_real_worker_compares_and_mends(products: Shop, database_url: str) -> None:
    silently(products, "update shop.products set name = '커피' where id = 1199")
    command = [sys.executable, "-m", "aisle.cli", "--database-url", database_url, "worker", "--compare-rate", "1000"]
    with subprocess.Popen([*command, "--poll-interval", "0.2"], stderr=subprocess.PIPE, text=True) as worker:
        query = "select category from aisle.item_category(1199)"
        wait_until(lambda: products.value(query) == "음료 > 커피", "the row that nothing told of is mended")
        os.kill(worker.pid, signal.SIGTERM)
        _, said = worker.communicate(timeout=30)
    assert "category: rows that changed without a trigger: 1" in said
