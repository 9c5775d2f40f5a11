"""Two transactions on related rows, in either order of commits, with a worker between: no vector stays stale, and the
queue never says that nothing waits while one is."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from aisle import db
from aisle.db import Connection
from aisle.embedder import queue
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import Server, Shop, load_tiny_basket, load_tiny_model
from tests.integration.life import ATTACH, SHOP, attach_and_train, update_vectors

# Order 1 is guest's with two lines, order 2 is ann's with one.
ORDERS = """
truncate shop.lines, shop.orders;
insert into shop.orders values (1, 'guest', '2025-01-01'), (2, 'ann', '2025-02-02');
insert into shop.lines values (1, 1, 41, 1), (2, 1, 42, 1), (3, 2, 41, 2);
"""
WRITES = {
    "give the order to another": "update shop.orders set customer = 'ann' where id = 1",
    "add a line": "insert into shop.lines values (10, 1, 43, 1)",
    "change a quantity": "update shop.lines set quantity = 0 where id = 1",
    "move a line": "update shop.lines set order_id = 2 where id = 2",
    "delete a line": "delete from shop.lines where id = 2",
    "delete the order": "delete from shop.orders where id = 1",
    "add an order": "insert into shop.orders values (3, 'bob', '2025-04-04')",
    "add lines to that order": "insert into shop.lines values (20, 3, 41, 1), (21, 3, 42, 1)",
    "upsert a line": "insert into shop.lines values (1, 1, 44, 3)"
    " on conflict (id) do update set item = excluded.item, quantity = excluded.quantity",
    "renumber the order": "update shop.orders set id = 9 where id = 1",
}


@pytest.fixture(scope="module", params=["a foreign key", "no foreign key"])
def orders_url(request: pytest.FixtureRequest, server: Server, template: str) -> Iterator[str]:
    reference = "references shop.orders on delete cascade on update cascade" if request.param == "a foreign key" else ""
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute(
            "create schema shop;"
            "create table shop.orders (id bigint primary key, customer text, at timestamptz);"
            f"create table shop.lines (id bigint primary key, order_id bigint {reference}, item bigint,"
            " quantity integer);".encode()
        )
        connection.execute(
            "select aisle.attach_orders('shop.orders', 'id', 'item', 'customer', 'at', quantity => 'quantity',"
            " lines => 'shop.lines', line_order_id => 'order_id')"
        )
        load_tiny_basket(connection, {"41": (1, 0), "42": (0, 1), "43": (1, 1), "44": (2, 1)})
        yield url


def stale(connection: Connection) -> list[Any]:
    """Return the customers whose stored hash is not that of their orders, or who are missing or gone."""
    return connection.execute(
        "select coalesce(c.user_id, v.user_id) from aisle._customers c full join aisle.customer_vectors v"
        " on v.user_id = c.user_id where c.content_hash is distinct from v.content_hash"
    ).fetchall()


@pytest.mark.trap(34)
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("first", WRITES)
def test_each_pair_of_writes_to_orders_and_lines(orders_url: str, first: str, isolation: str) -> None:
    embedders = [CustomerEmbedder()]
    with (
        db.connect(orders_url) as worker,
        psycopg.connect(orders_url, autocommit=True) as one,
        psycopg.connect(orders_url, autocommit=True) as two,
    ):
        for session in (one, two):
            session.execute(f"set default_transaction_isolation = '{isolation}'".encode())
            session.execute("set lock_timeout = '20ms'")
        pairs = 0
        for second, one_commits_first in itertools.product(WRITES, (True, False)):
            worker.execute(ORDERS.encode())
            drain(worker, embedders)
            assert stale(worker) == []
            try:
                one.execute("begin")
                two.execute("begin")
                two.execute("select count(*) from shop.orders")  # with a repeatable read: before the first writes
                one.execute(WRITES[first].encode())
                two.execute(WRITES[second].encode())
                for session in (one, two) if one_commits_first else (two, one):
                    session.execute("commit")
                    drain(worker, embedders)
            except (psycopg.errors.LockNotAvailable, psycopg.IntegrityError, psycopg.errors.SerializationFailure):
                # PostgreSQL itself lets these two not pass each other.
                one.execute("rollback")
                two.execute("rollback")
                drain(worker, embedders)
            else:
                pairs += 1
            waiting = "select sum(pending) from aisle.freshness where task = 'basket'"
            assert db.fetch_value(worker, waiting) == 0
            assert stale(worker) == [], f"{first}, {second}, {'one' if one_commits_first else 'two'} first"
        has_key = db.fetch_value(worker, "select exists (select from pg_constraint where contype = 'f')")
        assert pairs > 4 or has_key, "Most pairs were to come through; a foreign key holds up many."


ITEMS = """
truncate shop.products;
insert into shop.products (id, name, category) values (1, 'tea', 'x'), (2, '커피', 'y'), (3, 'tea', 'x');
"""
ITEM_WRITES = {
    "another name": "update shop.products set name = '식빵' where id = 1",
    "another category": "update shop.products set category = 'z' where id in (1, 2)",
    "another id": "update shop.products set id = 7 where id = 1",
    "ids that change places": "update shop.products set id = -id where id in (1, 2)",
    "gone": "delete from shop.products where id = 1",
    "new": "insert into shop.products (id, name) values (4, 'tea')",
    "upsert": "insert into shop.products (id, name) values (1, 'coffee')"
    " on conflict (id) do update set name = excluded.name",
    "gone and new": "with d as (delete from shop.products where id = 2)"
    " insert into shop.products (id, name) values (8, 'x')",
    "merge": "merge into shop.products p using (values (1), (9)) v (id) on p.id = v.id"
    " when matched then update set name = 'tea' when not matched then insert (id, name) values (v.id, 'tea')",
}


@pytest.fixture(scope="module")
def products_url(server: Server, template: str) -> Iterator[str]:
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        shop = Shop(connection)
        load_tiny_model(connection)
        shop.create()
        shop.attach()
        yield url


@pytest.mark.trap(34)
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("first", ITEM_WRITES)
def test_each_pair_of_writes_to_items(products_url: str, first: str, isolation: str) -> None:
    embedders = [ItemEmbedder(), FactorEmbedder()]
    with (
        db.connect(products_url) as worker,
        psycopg.connect(products_url, autocommit=True) as one,
        psycopg.connect(products_url, autocommit=True) as two,
    ):
        for session in (one, two):
            session.execute(f"set default_transaction_isolation = '{isolation}'".encode())
            session.execute("set lock_timeout = '20ms'")
        pairs = 0
        for second, one_commits_first in itertools.product(ITEM_WRITES, (True, False)):
            worker.execute(ITEMS.encode())
            drain(worker, embedders)
            try:
                one.execute("begin")
                two.execute("begin")
                two.execute("select count(*) from shop.products")
                one.execute(ITEM_WRITES[first].encode())
                two.execute(ITEM_WRITES[second].encode())
                for session in (one, two) if one_commits_first else (two, one):
                    session.execute("commit")
                    drain(worker, embedders)
            except (psycopg.errors.LockNotAvailable, psycopg.IntegrityError, psycopg.errors.SerializationFailure):
                one.execute("rollback")
                two.execute("rollback")
                drain(worker, embedders)
            else:
                pairs += 1
            left = worker.execute(
                "select i.item_id, v.item_id from aisle._items i full join aisle.item_vectors v using (item_id)"
                " where aisle._content_hash(i.name, i.manufacturer, i.details) is distinct from v.content_hash"
                " or v.is_draft"
            ).fetchall()
            assert left == [], f"{first}, {second}, {'one' if one_commits_first else 'two'} first"
            assert db.fetch_value(worker, "select sum(pending) from aisle.freshness") == 0
        hold_up = "Rows that both write to hold up most pairs, not all; serializable transactions may hold up each."
        assert pairs >= 2 or isolation == "serializable", hold_up


# Each client has rows of its own, on pages of its own, so that the shop's writes alone do not conflict.
STRICT_SHOP = f"""{SHOP}
insert into shop.products (id, name) select 10 * n, 'sweet ' || n from generate_series(1000, 4999) n;
analyze shop.products;
"""
STRICT_WRITES = (
    "update shop.products set name = 'tea %(number)s' where id = %(row)s",
    "insert into shop.products (id, name, category) values (%(row)s + 1 + %(round)s, 'coffee', 'drink > red')",
    "insert into shop.visits values ('v%(client)s', 1 + %(number)s, now(), 'lunch', 1)",
    "insert into shop.orders values (%(row)s + %(round)s, md5('c%(client)s')::uuid, now())",
    "insert into shop.lines values (%(row)s + %(round)s, 1 + %(number)s, 1)",
)


@pytest.mark.trap(43)
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_triggers_add_no_conflicts_at_strict_isolation(server: Server, template: str, isolation: str) -> None:
    with server.database(f"template {template} strategy file_copy") as url:

        def failures(round_number: int) -> int:
            """Return how many of 240 small transactions of four clients fail."""
            failed = []

            def client(client_number: int) -> None:
                with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
                    connection.execute(f"set default_transaction_isolation = '{isolation}'".encode())
                    for number in range(60):
                        values = {"client": client_number, "number": number, "round": round_number}
                        values["row"] = 10_000 * (client_number + 1) + 100 * number
                        try:
                            with connection.transaction():
                                for write in STRICT_WRITES:
                                    connection.execute((write % values).encode())
                        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                            failed.append(number)

            clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
            for thread in clients:
                thread.start()
            for thread in clients:
                thread.join()
            return len(failed)

        with db.connect(url) as connection:
            connection.execute(STRICT_SHOP.encode())
            without = failures(0) + failures(1)
            # Without columns that only the worker reads as text, so that the triggers make drafts.
            attach_and_train(url, ("attach items shop.products --manufacturer maker --category category", *ATTACH[1:]))
            update_vectors(url)
            with_triggers = failures(2) + failures(3)
            assert with_triggers <= without + 0.01 * 480, (with_triggers, without)
            update_vectors(url)
            unlike = """
                select 'items', count(*) from aisle._items i
                left join aisle.item_vectors v on v.item_id = i.item_id and v.model_id = aisle._live_model('category')
                where v.is_draft
                      or v.content_hash is distinct from aisle._content_hash(i.name, i.manufacturer, i.details)
                union all
                select 'customers', count(*) from aisle._customers c
                left join aisle.customer_vectors v on v.user_id = c.user_id::text
                where v.content_hash is distinct from c.content_hash
            """
            assert connection.execute(unlike.encode()).fetchall() == [("items", 0), ("customers", 0)], (
                "What the triggers left out, the worker makes."
            )


def test_the_server_ends_a_worker_that_freezes_in_a_transaction(shop: Shop, database_url: str) -> None:
    model = load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    shop.insert("tea")
    with db.connect(database_url, settings=queue.SETTINGS) as frozen:
        frozen.execute("begin")
        ItemEmbedder().hold(frozen)
        frozen.execute("select from aisle.item_vectors where model_id = %s for update", [model.model_id])
        shop.execute("set lock_timeout = '10s'; truncate shop.products")  # waits, and comes through
        with pytest.raises(queue.LOST):
            frozen.execute("select")
        assert frozen.closed
    assert shop.value("select count(*) from shop.products") == 0


def test_a_session_that_freezes_holds_the_shop_up_for_a_moment(shop: Shop, database_url: str) -> None:
    model = load_tiny_model(shop.connection)
    shop.create()
    shop.attach()
    shop.insert(*["tea"] * 300)
    with psycopg.connect(database_url) as frozen:  # as a worker in the middle of its write-back
        frozen.execute("select from aisle.item_vectors where model_id = %s for update", [model.model_id])
        for statement, bound in (
            ("update shop.products set name = 'coffee' where id <= 50", 1.0),
            ("delete from shop.products where id = 186", 0.6),
            ("delete from shop.products where id > 200", 0.6),
        ):
            with psycopg.connect(database_url, autocommit=True) as writer:
                writer.execute("set statement_timeout = '2s'")
                started = time.monotonic()
                writer.execute(statement.encode())
                assert time.monotonic() - started < bound, statement
    drain(shop.connection, [ItemEmbedder()])
    left = shop.execute(
        "select coalesce(i.item_id, v.item_id) from aisle._items i full join aisle.item_vectors v using (item_id)"
        " where v.content_hash is distinct from aisle._content_hash(i.name, i.manufacturer, i.details)"
    ).fetchall()
    assert left == []
