"""The shop's clients: writers, readers, and observers of waits and losses."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from aisle import db
from aisle.db import Connection
from tests.chaos import invariants
from tests.chaos.small_shop import FIRST_POISON_ID, MAKERS, POISON, WORDS
from tests.conftest import SEPARATOR

Statement = tuple[str, Sequence[Any]]
INJECTED = {"57P01", "57P02", "57P03"}  # shut down by an administrator, by a crash, not up yet


class Shopper(threading.Thread):
    """An application of the shop: commits random changes, each timed, to ids that no other shopper touches."""

    def __init__(self, url: str, *, number: int, of: int, seed: int, poison: bool = True, pause: float = 0.01) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.random = random.Random(f"{seed}/{number}")
        self.number, self.of = number, of
        self.pause = pause
        self.poison = poison
        self.stopping = threading.Event()
        self.latencies: list[float] = []  # seconds, of what was committed
        self.committed: Counter[str] = Counter()
        self.interrupted = 0  # transactions that a stop of the server ended
        self.failures: list[str] = []
        self.warnings: Counter[str] = Counter()
        self._next = 1
        self._next_poison = 0
        self._operations: dict[str, tuple[int, Callable[[], list[Statement]]]] = {
            "insert": (20, lambda: [self._insert(1)]),
            "insert of some": (8, lambda: [self._insert(self.random.randint(2, 50))]),
            "bulk insert": (2, self._bulk),
            "upsert": (10, lambda: [self._upsert()]),
            "update of texts": (20, lambda: [self._update(self.random.randint(1, 20))]),
            "update of a price": (10, lambda: [self._price()]),
            "update that changes nothing": (5, lambda: [self._equal()]),
            "delete": (10, lambda: [self._delete()]),
            "change of an id": (5, lambda: [self._rename()]),
            "merge": (4, lambda: [self._merge()]),
            "transaction": (10, self._several),
            "poison": (1 if poison else 0, lambda: [self._poison()]),
            "cure": (1 if poison else 0, lambda: [self._cure()]),
            "truncate": (1 if number == 0 else 0, self._truncate),
        }

    # What a transaction consists of.

    def text(self) -> str | None:
        if self.random.random() < 0.03:
            return self.random.choice([None, "", "  "])
        return " ".join([*self.random.choices(WORDS, k=self.random.randint(1, 6)), str(self.random.randrange(1000))])

    def new_id(self) -> int:
        self._next += 1
        return self._next * self.of + self.number

    def old_ids(self, count: int) -> list[int]:
        recent = max(1, self._next - 400)
        return [self.random.randint(recent, self._next) * self.of + self.number for _ in range(count)]

    def _insert(self, rows: int) -> Statement:
        return (
            "insert into shop.products (id, name, maker, specs) select * from unnest(%s::bigint[], %s::text[], "
            "%s::text[], %s::text[])",
            [
                [self.new_id() for _ in range(rows)], [self.text() for _ in range(rows)],
                self.random.choices(MAKERS, k=rows), [self.random.choice([None, "milk 100"]) for _ in range(rows)],
            ],
        )  # fmt: skip

    def _bulk(self) -> list[Statement]:
        return [self._insert(self.random.randint(150, 400))]  # more than drafts are written for

    def _upsert(self) -> Statement:
        ids = sorted({*self.old_ids(3), self.new_id()})
        return (
            "insert into shop.products (id, name) select * from unnest(%s::bigint[], %s::text[]) "
            "on conflict (id) do update set name = excluded.name",
            [ids, [self.text() for _ in ids]],
        )

    def _update(self, rows: int) -> Statement:
        return (
            "update shop.products p set name = n.name from unnest(%s::bigint[], %s::text[]) n (id, name) "
            "where p.id = n.id",
            [self.old_ids(rows), [self.text() for _ in range(rows)]],
        )

    def _price(self) -> Statement:
        return "update shop.products set price = price + 1 where id = any (%s)", [self.old_ids(50)]

    def _equal(self) -> Statement:
        return "update shop.products set name = name, maker = maker where id = any (%s)", [self.old_ids(20)]

    def _delete(self) -> Statement:
        return "delete from shop.products where id = any (%s)", [self.old_ids(self.random.randint(1, 10))]

    def _rename(self) -> Statement:
        return "update shop.products set id = %s where id = %s", [self.new_id(), self.old_ids(1)[0]]

    def _merge(self) -> Statement:
        return (
            "merge into shop.products p using (select distinct unnest(%s::bigint[]) as id) n on p.id = n.id "
            "when matched and p.price %% 2 = 1 then delete when matched then update set name = %s "
            "when not matched then insert (id, name) values (n.id, %s)",
            [self.old_ids(5), self.text(), self.text()],
        )

    def _several(self) -> list[Statement]:
        steps = [lambda: self._update(2), self._delete, self._rename, lambda: self._insert(1), self._upsert]
        return [self.random.choice(steps)() for _ in range(self.random.randint(2, 5))]

    def _poison(self) -> Statement:
        self._next_poison += 1
        id_ = FIRST_POISON_ID + self._next_poison * self.of + self.number
        return "insert into shop.products (id, name) values (%s, %s)", [id_, f"tea {POISON} {id_ % 1000}"]

    def _cure(self) -> Statement:
        id_ = FIRST_POISON_ID + self.random.randint(1, self._next_poison + 1) * self.of + self.number
        return "update shop.products set name = %s where id = %s", [self.text(), id_]

    def _truncate(self) -> list[Statement]:
        return [("truncate shop.products", []), self._insert(50), self._insert(300)]

    # Committing it.

    def run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        names = list(self._operations)
        weights = [weight for weight, _ in self._operations.values()]
        while not self.stopping.wait(self.random.random() * 2 * self.pause):
            name = self.random.choices(names, weights)[0]
            statements = self._operations[name][1]()
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self.url, application_name="shop", connect_timeout=10)
                    connection.add_notice_handler(self._note)
                self._commit(connection, name, statements)
            except psycopg.Error as error:
                if error.sqlstate in INJECTED or (
                    error.sqlstate is None and isinstance(error, psycopg.OperationalError)
                ):
                    self.interrupted += 1
                    time.sleep(0.1)
                else:
                    self.failures.append(f"{name}: {error.sqlstate} {str(error).strip()}")
                    if connection and not connection.closed:
                        connection.rollback()
        if connection:
            connection.close()

    def _commit(self, connection: psycopg.Connection[Any], name: str, statements: list[Statement]) -> None:
        if name == "insert of some" and self.random.random() < 0.5:
            name = "copy"
        gives_up = name != "truncate" and self.random.random() < 0.05
        if name == "transaction" and self.random.random() < 0.3:
            # Its snapshot is older than what workers and others commit while it thinks.
            connection.execute("set transaction isolation level repeatable read")
            connection.execute("select from shop.products limit 1")
            time.sleep(self.random.random() * 0.05)
        started = time.monotonic()
        for statement, parameters in statements:
            if name == "copy":
                with connection.cursor().copy("copy shop.products (id, name, maker, specs) from stdin") as copy:
                    for row in zip(*parameters, strict=True):
                        copy.write_row(row)
            else:
                connection.execute(statement.encode(), parameters or None)
            if len(statements) > 1 and name == "transaction" and self.random.random() < 0.3:
                pause = self.random.random() * 0.03  # as an application that thinks between two statements
                time.sleep(pause)
                started += pause
        if gives_up:
            connection.rollback()
            name = "rollback"
        else:
            connection.commit()
        self.latencies.append(time.monotonic() - started)
        self.committed[name] += 1

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        self.warnings[(notice.message_primary or "").partition(":")[0]] += 1


class Asker(threading.Thread):
    """An application that reads: every answer must be of one generation, and none may be an error."""

    def __init__(self, url: str, ids: str = "select id from shop.products order by random() limit 20") -> None:
        super().__init__(daemon=True)
        self.url = url
        self.ids = ids
        self.stopping = threading.Event()
        self.answers: Counter[str] = Counter()  # of each generation
        self.mixed: list[str] = []
        self.failures: list[str] = []
        self.interrupted = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, application_name="shop reader") as connection:
                    self._ask(connection)
            except psycopg.Error as error:
                if error.sqlstate in INJECTED or (
                    error.sqlstate is None and isinstance(error, psycopg.OperationalError)
                ):
                    self.interrupted += 1
                    time.sleep(0.1)
                else:
                    self.failures.append(f"{error.sqlstate} {str(error).strip()}")

    def _ask(self, connection: psycopg.Connection[Any]) -> None:
        while not self.stopping.is_set():
            for (id_,) in connection.execute(self.ids.encode()).fetchall() or [(None,)]:
                rows = connection.execute(
                    "select category from aisle.item_category(%s::bigint, 1000)", [id_]
                ).fetchall()
                generations = {category.partition(SEPARATOR)[0] for (category,) in rows}
                if len(generations) > 1 or len(rows) not in (0, len(WORDS)):
                    self.mixed.append(f"{id_}: {len(rows)} categories of {sorted(generations)}")
                self.answers.update(generations)
            self.stopping.wait(0.02)


class Watcher(threading.Thread):
    """Checks the database all the time: the invariants must hold at every moment."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.stopping = threading.Event()
        self.looks = 0
        self.violations: list[str] = []
        self.longest_wait = 0.0  # seconds that a shop's statement waited for a worker
        self.most_pending = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self.url, autocommit=True, application_name="watcher") as connection,
            ):
                while not self.stopping.wait(0.2):
                    self._look(connection)

    def _look(self, connection: Connection) -> None:
        self.longest_wait = max(self.longest_wait, db.fetch_value(connection, WAITS_FOR_WORKERS))
        if self.looks % 5 == 0:
            for check in (invariants.lost, invariants.orphans):
                if ids := check(connection):
                    self.violations.append(f"{check.__name__} at look {self.looks}: {ids[:10]}")
            self.most_pending = max(self.most_pending, invariants.pending(connection))
        self.looks += 1


WAITS_FOR_WORKERS = """
select coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)), 0)::float
from pg_locks l
join pg_stat_activity shop on shop.pid = l.pid and shop.application_name = 'shop'
where not l.granted and exists (
    select from pg_stat_activity w
    where w.pid = any (pg_blocking_pids(l.pid)) and w.application_name = 'aisle worker')
"""
