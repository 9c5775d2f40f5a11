"""Orders that two transactions change at once: in any order of commits, the customers' vectors follow."""

import contextlib
import random
import threading
import time
from typing import Any

import numpy as np
import psycopg

from aisle.db import Connection
from aisle.embedder.customer_vectors import CustomerEmbedder
from tests.chaos.clients import INJECTED
from tests.conftest import load_tiny_basket

ORDERS, CUSTOMERS, ITEMS = 30, 8, ("41", "42", "43", "44")
REFUSALS = (  # PostgreSQL itself lets these two not pass each other
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.IntegrityError,
)


def open_orders(connection: Connection) -> None:
    """Create orders and their lines, attach them, and load a basket model."""
    connection.execute(
        "create table shop.orders (id bigint primary key, customer text not null, at timestamptz not null);"
        "create table shop.lines (id bigint generated always as identity primary key, order_id bigint not null"
        " references shop.orders on delete cascade on update cascade, item text, quantity integer);"
        "create index on shop.orders (customer); create index on shop.lines (order_id);"
    )
    connection.execute(
        "select aisle.attach_orders('shop.orders', 'id', 'item', 'customer', 'at', quantity => 'quantity',"
        " lines => 'shop.lines', line_order_id => 'order_id')"
    )
    load_tiny_basket(connection, dict(zip(ITEMS, [(1, 0), (0, 1), (1, 1), (2, 1)], strict=True)))


class Buyer(threading.Thread):
    """Two sessions of the shop with a transaction each on the same few orders, committed in either order."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.pairs = 0  # of transactions that both committed
        self.prepared = 0  # of these, in two phases
        self.failures: list[str] = []

    def run(self) -> None:
        recovered = True
        while not (self.stopping.is_set() and recovered):
            try:
                self._recover()
                recovered = True
                with contextlib.ExitStack() as stack:
                    self._trade(
                        [
                            stack.enter_context(psycopg.connect(self.url, autocommit=True, application_name="shop"))
                            for _ in range(2)
                        ]
                    )
            except psycopg.Error as error:
                recovered = False
                if error.sqlstate not in INJECTED and not isinstance(error, psycopg.OperationalError):
                    self.failures.append(f"{error.sqlstate} {error}")
                time.sleep(0.1)

    def _recover(self) -> None:
        """Commit prepared transactions after a crash, as a transaction manager does."""
        with psycopg.connect(self.url, autocommit=True, application_name="shop") as session:
            left = session.execute("select gid from pg_prepared_xacts where gid like %s", (f"{id(self)}-%",)).fetchall()
            for (name,) in left:
                session.execute(f"commit prepared '{name}'".encode())

    def _trade(self, sessions: list[psycopg.Connection[Any]]) -> None:
        for session in sessions:
            session.execute("set lock_timeout = '50ms'")
        while not self.stopping.wait(self.random.random() * 0.02):
            in_two_phases = self.random.random() < 0.1
            try:
                for session in sessions:
                    isolation = self.random.choice(["read committed", "repeatable read", "serializable"])
                    session.execute(f"begin isolation level {isolation}".encode())
                    session.execute("select from shop.orders limit 1")
                    if in_two_phases:
                        session.execute("set local aisle.notify = off")
                for session in self.random.sample(sessions, 4, counts=[2, 2]):
                    session.execute(self._write().encode())
                for number, session in enumerate(self.random.sample(sessions, 2)):
                    if in_two_phases:
                        name = f"'{id(self)}-{number}'"
                        session.execute(f"prepare transaction {name}".encode())
                        time.sleep(self.random.random() * 0.1)
                        session.execute(f"commit prepared {name}".encode())
                    else:
                        time.sleep(self.random.random() * 0.1)
                        session.execute("commit")
                self.pairs += 1
                self.prepared += in_two_phases
            except REFUSALS:
                for session in sessions:
                    session.execute("rollback")

    def _write(self) -> str:
        order, other = (self.random.randrange(ORDERS) for _ in range(2))
        customer, item = f"c{self.random.randrange(CUSTOMERS)}", self.random.choice(ITEMS)
        upsert = "on conflict (id) do update set customer = excluded.customer"
        return self.random.choice([
            f"insert into shop.orders values ({order}, '{customer}', now()) {upsert}",
            f"insert into shop.lines (order_id, item, quantity) select id, '{item}', 1 from shop.orders"
            f" where id = {order}",
            f"update shop.orders set customer = '{customer}' where id = {order}",
            f"update shop.orders set id = {other} where id = {order}",
            f"update shop.lines set order_id = {other} where order_id = {order}",
            f"update shop.lines set quantity = 1 - quantity where order_id = {order}",
            f"delete from shop.lines where order_id = {order} and item = '{item}'",
            f"delete from shop.orders where id = {order}",
        ])  # fmt: skip


def check_customers_are_those_of_the_committed_orders(connection: Connection) -> None:
    """I2 of customers: by their hashes, and by computing each vector again. The queue must be empty."""
    wrong = connection.execute(
        "select coalesce(c.user_id, v.user_id) from aisle._customers c full join aisle.customer_vectors v"
        " on v.user_id = c.user_id where c.content_hash is distinct from v.content_hash"
    ).fetchall()
    assert wrong == [], f"Customers whose vectors are not of their orders, or who have none: {wrong}"
    embedder = CustomerEmbedder()
    (model_id,) = embedder.generations(connection)
    generation = embedder.load(connection, model_id)
    stored = {
        user: (list(embedding), next_items)
        for user, embedding, next_items in connection.execute(
            "select user_id, embedding::real[], next_items from aisle.customer_vectors where model_id = %s", [model_id]
        ).fetchall()
    }
    assert stored, "Somebody has bought something."
    fresh = embedder.embed(generation, embedder.read(connection, generation, list(stored), anew=True))
    for user, embedding, next_items in zip(fresh["user_ids"], fresh["embeddings"], fresh["next_items"], strict=True):
        kept, kept_items = stored[str(user)]
        assert np.allclose(kept, embedding.to_numpy(), atol=1e-5), user  # type: ignore[attr-defined]
        assert "{" + ",".join(f'"{item}"' for item in kept_items) + "}" == next_items, user
