"""A server that can be crashed, workers that can be killed, a shop that never rests, and who injects the faults.

Every fault is counted only when it was seen to have happened, so that a run whose faults missed is a failed run.
"""

import contextlib
import itertools
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil  # type: ignore[import-untyped]
import psycopg
from psycopg.types.json import Jsonb

from aisle import sql
from aisle.sql import Connection, embedded, registry
from tests.chaos import invariants
from tests.conftest import SEPARATOR, Server

PROGRAM = Path(sys.executable).with_name("aisle")
PATIENCE = 60  # seconds
LEASE = 3  # seconds; what a killed worker's rows wait for
POLL = 1  # seconds
BATCH = 64  # rows
DIMENSIONS = 16
OTHER_DIMENSIONS = 8
STUDENT_SCALE = 0.5
POISON = "독약"  # a word without which no tokenizer of ours chokes
FIRST_POISON_ID = 1_000_000_000  # rows that hold poison have ids from here on, and no others
LAST_POISON_ID = 2 * FIRST_POISON_ID  # one that nobody cures
WORDS = [
    "녹차",
    "커피",
    "우유",
    "주스",
    "식빵",
    "단팥빵",
    "바게트",
    "머핀",
    "쿠키",
    "비스킷",
    "감자칩",
    "팝콘",
    "tea",
    "coffee",
    "milk",
    "bread",
]
MAKERS = (None, "tea", "coffee", "우유")
THREADS = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {patience:g} s: {what}"
        time.sleep(0.05)


# ---- the server ----


class CrashableServer(Server):
    """A server of our own that writes through to the disk, as a shop's does, and can be taken away at any moment."""

    def start(self) -> None:
        with self.environment():
            embedded.start()

    def stop(self) -> None:
        """Stop as an administrator does: connections are ended, and all is written down."""
        with self.environment():
            embedded.stop()

    def crash(self) -> None:
        """Stop at once, as if the power had failed: the next start has to recover."""
        with self.environment():
            embedded._run("pg_ctl", "stop", "--mode=immediate", "--wait", "-D", self.home / "postgres")

    def started_at(self) -> datetime:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            return sql.fetch_value(connection, "select pg_postmaster_start_time()")  # type: ignore[no-any-return]

    def log(self) -> str:
        return (self.home / "postgres" / "server.log").read_text(errors="replace")


@contextlib.contextmanager
def running_server(numbers: Iterator[int]) -> Iterator[CrashableServer]:
    """A server whose settings that guard data are those of any other."""
    with tempfile.TemporaryDirectory(prefix="aisle-chaos-", ignore_cleanup_errors=True) as folder:
        server = CrashableServer(Path(folder).resolve(), numbers)
        server.start()
        try:
            for setting in ("max_wal_size = '256MB'", "log_lock_waits = on"):
                server.execute(f"alter system set {setting}")
            server.execute("select pg_reload_conf()")
            yield server
        finally:
            server.crash()  # nobody will miss its data


# ---- the shop, and its models ----


def open_shop(connection: Connection, rows: int = 0) -> None:
    """Create the shop's table, with so many rows, and attach it. What happens to jobs and leases is noted."""
    connection.execute("create schema shop")
    connection.execute(
        "create table shop.products (id bigint primary key, name text, maker text, category text, specs text, "
        "price integer not null default 0)"
    )
    connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'maker', 'category', array['specs'])")
    connection.execute(
        "insert into shop.products (id, name) select -i, (%s::text[])[1 + i %% 16] || ' ' || i "
        "from generate_series(1, %s) i",
        [WORDS, rows],
    )
    connection.execute(NOTES)


# Who leased what, and which row was charged: the queue itself forgets. `chaos.worker` comes with a worker's address.
NOTES = """
create schema chaos;
create table chaos.leases (token bigint primary key, worker text, backend integer);
create table chaos.charges (id text, attempts integer, error text);
create function chaos.tg_leased() returns trigger language plpgsql security definer as $trigger$
begin
    insert into chaos.leases
    select distinct lease_token, current_setting('chaos.worker', true), pg_backend_pid()
    from new_rows where lease_token is not null
    on conflict do nothing;
    return null;
end
$trigger$;
create function chaos.tg_charged() returns trigger language plpgsql security definer as $trigger$
begin
    insert into chaos.charges values (new.id, new.attempts, new.last_error);
    return null;
end
$trigger$;
create trigger chaos_leased after update on aisle._embedding_jobs referencing new table as new_rows
    for each statement execute function chaos.tg_leased();
create trigger chaos_charged after update on aisle._embedding_jobs
    for each row when (new.attempts > old.attempts) execute function chaos.tg_charged();
create trigger chaos_charged_new after insert on aisle._embedding_jobs
    for each row when (new.attempts > 0) execute function chaos.tg_charged();
"""


def build_encoder(folder: Path, *, dimensions: int = DIMENSIONS, seed: int = 7) -> Path:
    """Save an encoder of one layer with random weights whose tokenizer knows `WORDS` and raises at any other word."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]"]
    vocabulary = {token: i for i, token in enumerate([*special, "|", "#", *map(str, range(10)), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))  # no unknown token
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in special[1:]]
    )
    bare = folder / "transformer"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    ).save_pretrained(bare)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(bare)
    transformer = Transformer(str(bare), model_kwargs={"use_safetensors": True})
    projection = Dense(64, dimensions, activation_function=torch.nn.Identity())
    torch.nn.init.normal_(projection.linear.weight)
    whole = folder / "encoder"
    SentenceTransformer(modules=[transformer, Pooling(64, "mean"), projection, Normalize()]).save(
        str(whole), create_model_card=False
    )
    return whole


def publish(
    connection: Connection, name: str, *, encoder: Path | None = None, dimensions: int = DIMENSIONS, deploy: bool = True
) -> int:
    """Store a generation with random vectors, whose categories are called `name > …`; return the model's id."""
    numbers = np.random.default_rng(len(name) + dimensions)

    def vector(scale: float = 1.0) -> str:
        return str((scale * numbers.standard_normal(dimensions)).round(3).tolist())

    model_id = registry.create(
        connection, "category", dimensions, encoder=str(encoder) if encoder else None,
        parameters={"category_separator": SEPARATOR, "student_scale": STUDENT_SCALE},
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into aisle.category_vectors (model_id, category_id, category, path, embedding, bias, support) "
            "values (%s, %s, %s, %s, %s, 0, 1)",
            [(model_id, i, f"{name}{SEPARATOR}{word}", [name, word], vector()) for i, word in enumerate(WORDS)],
        )
        cursor.executemany(
            "insert into aisle.ngram_vectors (model_id, ngram, embedding) "
            "select %s, g, %s from unnest(aisle._ngrams(%s, null, null)) g on conflict do nothing",
            [(model_id, vector(0.3), word) for word in WORDS],
        )
    if encoder:
        registry.write_files(connection, model_id, encoder)
    connection.execute(
        "update aisle._models set state = 'ready', parameters = %s where model_id = %s",
        [Jsonb({"category_separator": SEPARATOR, "student_scale": STUDENT_SCALE}), model_id],
    )
    connection.execute("select aisle._enqueue_stale()")
    if deploy:
        connection.execute("select aisle.deploy(%s)", [model_id])
    return model_id


# ---- workers ----


@dataclass
class WorkerProcess:
    """One process of `aisle worker`; its connections carry its name as the setting `chaos.worker`."""

    name: str
    pid: int
    log: Path
    wait: Callable[[], int]  # the exit code, or minus the signal
    _code: int | None = None

    def is_alive(self) -> bool:
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return how the process ended."""
        if self._code is None:
            os.kill(self.pid, number)
            self._code = self.wait()
        return self._code

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Nursery:
    """A process that imports torch, then starts workers by forking; the first order waits for the import."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **THREADS},
            cwd="/",
        )
        self._is_ready = False
        self._orders = threading.Lock()

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # its workers are ended by those who started them
        self._process.communicate()

    def order(self, **order: Any) -> int:
        """Have something done that nursery.py knows; return its answer."""
        assert self._process.stdin
        with self._orders:
            if not self._is_ready:
                assert self._answer() == 0
                self._is_ready = True
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "The nursery has ended: see its complaint on stderr."
        return int(line)


class Staff:
    """Starts workers, by the command or in the nursery; none outlives it."""

    def __init__(
        self,
        url: str,
        folder: Path,
        nursery: Nursery,
        *,
        batch_size: int = BATCH,
        poll: float = POLL,
        lease: float = LEASE,
    ) -> None:
        self.url = url
        self.folder = folder
        self.nursery = nursery
        self.options = [
            *("--batch-size", str(batch_size)),
            *("--poll-interval", str(poll)),
            *("--lease", str(lease)),
        ]
        self.workers: list[WorkerProcess] = []
        self._numbers = itertools.count(1)

    def __enter__(self) -> "Staff":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end(signal.SIGKILL)

    def hire(self, *options: str, url: str | None = None) -> WorkerProcess:
        """Start `aisle worker`, the program; another address than the shop's may be weather."""
        name, log = self._next()
        with log.open("w") as file:
            process = subprocess.Popen(
                [PROGRAM, *self._arguments(options)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **self._environment(name, url or self.url)},
                cwd="/",
            )
        return self._enlist(WorkerProcess(name, process.pid, log, lambda: process.wait(PATIENCE)))

    def fork(self, *options: str) -> WorkerProcess:
        """Start `aisle worker` in the nursery, where torch is imported already."""
        name, log = self._next()
        pid = self.nursery.order(
            arguments=self._arguments(options), environment=self._environment(name, self.url), log=str(log)
        )
        return self._enlist(WorkerProcess(name, pid, log, lambda: self.nursery.order(wait=pid)))

    def _next(self) -> tuple[str, Path]:
        name = f"w{next(self._numbers)}"
        return name, self.folder / f"{name}.log"

    def _environment(self, name: str, url: str) -> dict[str, str]:
        """What a worker finds beside what we do. Its name goes with the address; what it leaves stays with us."""
        named = f"{url}{'&' if '?' in url else '?'}options={quote(f'-c chaos.worker={name}')}"
        return THREADS | {"AISLE_DATABASE_URL": named, "TMPDIR": str(self.folder)}

    def _arguments(self, options: Sequence[str]) -> list[str]:
        return ["-v", "worker", *self.options, *options]

    def _enlist(self, worker: WorkerProcess) -> WorkerProcess:
        self.workers.append(worker)
        return worker


# ---- the shop at work ----

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
    """Looks at the database all the time: what must hold after a run must hold at every moment of it."""

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
        self.longest_wait = max(self.longest_wait, sql.fetch_value(connection, WAITS_FOR_WORKERS))
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


# ---- faults ----


@dataclass(frozen=True)
class Weather:
    """What a run is to be exposed to."""

    seconds: float = 25
    seed: int = 7
    workers: int = 4
    shoppers: int = 2
    rows: int = 1500
    kill_every: float = 2  # seconds; 0: never
    terminate_every: float = 3  # seconds; 0: never
    deploy_every: float = 1.5  # seconds; 0: never
    restart_every: float = 0  # seconds; 0: once, in the middle
    restarts: Sequence[str] = ("fast",)  # in turn
    pause: float = 0.01  # seconds between two changes of a shopper, on average


@dataclass
class Report:
    """What happened, and what was seen meanwhile."""

    kills: int = 0  # of processes that lived
    kills_in_flight: int = 0  # … and had leased rows that nobody had finished
    terminations: int = 0  # of connections that were open
    terminations_in_flight: int = 0
    restarts: list[str] = field(default_factory=list)
    deploys: int = 0
    failures: list[str] = field(default_factory=list)  # of the shop's own transactions
    read_failures: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    interrupted: int = 0
    committed: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list, repr=False)
    longest_wait: float = 0
    looks: int = 0
    most_pending: int = 0
    drained_after: float = 0  # seconds from the last change
    deadlocks: int = 0
    given_up: dict[str, str] = field(default_factory=dict)  # dead letters in the end
    exits: list[str] = field(default_factory=list)  # of workers that were told to leave, and left with an error
    problems: list[str] = field(default_factory=list)  # of the injection itself

    def percentiles(self) -> Mapping[str, float]:
        """How long the shop's transactions took, in milliseconds."""
        cuts = statistics.quantiles(self.latencies, n=1000)
        return {
            "p50": round(1000 * cuts[499], 1),
            "p95": round(1000 * cuts[949], 1),
            "p99": round(1000 * cuts[989], 1),
            "max": round(1000 * max(self.latencies), 1),
        }


class Storm(threading.Thread):
    """Injects the faults at their times, and notes only those that were seen to have happened."""

    def __init__(self, server: CrashableServer, url: str, staff: Staff, weather: Weather, report: Report) -> None:
        super().__init__(daemon=True)
        self.server, self.url, self.staff, self.weather, self.report = server, url, staff, weather, report
        self.random = random.Random(weather.seed)
        self.crew: list[WorkerProcess] = []
        self.downtime = 0.0  # seconds, which count for nothing in the schedule
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.report.problems.append(f"{type(error).__name__}: {error}")

    def _run(self) -> None:
        weather = self.weather
        restart_every = weather.restart_every or weather.seconds / 2
        schedule: list[tuple[float, Callable[[], None]]] = sorted(
            (
                (number * every, action)
                for every, action in (
                    (weather.kill_every, self._kill),
                    (weather.terminate_every, self._terminate),
                    (weather.deploy_every, self._deploy),
                    (restart_every if weather.restarts else 0, self._restart),
                )
                if every
                for number in range(1, math.ceil((weather.seconds - 0.5) / every))
            ),
            key=lambda event: event[0],
        )
        began = time.monotonic()
        for due, action in [*schedule, (weather.seconds, lambda: None)]:
            if self.stopping.wait(began + self.downtime + due - time.monotonic()):
                return
            action()

    def _kill(self) -> None:
        """Kill a worker, one with a batch in its hands if there is one, and start another at once."""
        busy: set[str] = set()
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            deadline = time.monotonic() + 1
            while not busy and time.monotonic() < deadline:
                busy = {worker for (worker,) in connection.execute(LEASED).fetchall()}
            candidates = [i for i, worker in enumerate(self.crew) if worker.name in busy] or list(range(len(self.crew)))
            place = self.random.choice(candidates)
            victim = self.crew[place]
            was_alive = victim.is_alive()
            code = victim.end(signal.SIGKILL)
            if was_alive and code == -signal.SIGKILL:
                self.report.kills += 1
                self.report.kills_in_flight += victim.name in {w for (w,) in connection.execute(LEASED).fetchall()}
            else:
                self.report.problems.append(f"{victim.name} had ended by itself ({code}): {victim.said()[-2000:]}")
            self.crew[place] = self.staff.fork()

    def _terminate(self) -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(
                "select pid, pid = any (%s) from pg_stat_activity "
                "where application_name in ('aisle worker', 'aisle doorbell') "
                "and datname = current_database() order by 2 desc, random() limit 1",
                [[pid for (pid,) in connection.execute(LEASED_BACKENDS).fetchall()]],
            ).fetchone()
            if row and sql.fetch_value(connection, "select pg_terminate_backend(%s, 5000)", [row[0]]):
                self.report.terminations += 1
                self.report.terminations_in_flight += row[1]

    def _deploy(self) -> None:
        """Take the deploy of the newest generation back, or deploy it again."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True) as connection:
            if self.report.deploys % 2:
                connection.execute("select aisle.deploy(max(model_id)) from aisle._models where state = 'ready'")
            else:
                connection.execute("select aisle.rollback('category')")
            self.report.deploys += 1

    def _restart(self) -> None:
        mode = self.weather.restarts[len(self.report.restarts) % len(self.weather.restarts)]
        before, began = self.server.started_at(), time.monotonic()
        if mode == "immediate":
            self.server.crash()
        else:
            self.server.stop()
        self.server.start()
        assert self.server.started_at() > before, "The server was not restarted."
        self.report.restarts.append(mode)
        self.downtime += time.monotonic() - began


LEASED = """
select distinct l.worker from aisle._embedding_jobs j join chaos.leases l on l.token = j.lease_token
where j.leased_until > clock_timestamp() and l.worker is not null
"""
LEASED_BACKENDS = LEASED.replace("l.worker from", "l.backend from")


def expose(server: CrashableServer, url: str, staff: Staff, weather: Weather) -> Report:
    """Let a shop with two ready generations work under these faults, then let the workers drain the queue and leave."""
    report = Report()
    shoppers = [
        Shopper(url, number=i, of=weather.shoppers, seed=weather.seed, pause=weather.pause)
        for i in range(weather.shoppers)
    ]
    asker, watcher = Asker(url), Watcher(url)
    storm = Storm(server, url, staff, weather, report)
    deadlocks = server.log().count("deadlock detected")
    storm.crew = [staff.fork() for _ in range(weather.workers)]
    for thread in (*shoppers, asker, watcher, storm):
        thread.start()
    try:
        storm.join(weather.seconds + 3 * PATIENCE)
        assert not storm.is_alive(), "The faults came to no end."
    finally:
        for shopper in shoppers:
            shopper.stopping.set()
        storm.stopping.set()
    for shopper in shoppers:
        shopper.join(PATIENCE)
        assert not shopper.is_alive(), "A transaction of the shop came to no end."
    stopped = time.monotonic()
    try:
        with sql.connect(url) as connection:
            connection.execute(
                "insert into shop.products (id, name) values (%s, %s)", [LAST_POISON_ID, f"tea {POISON}"]
            )
            drain(connection, staff)
            report.given_up = invariants.dead(connection)
        report.drained_after = time.monotonic() - stopped
    finally:
        asker.stopping.set()
        watcher.stopping.set()
        asker.join(PATIENCE)
        watcher.join(PATIENCE)
    for worker in storm.crew:
        if code := worker.end(signal.SIGTERM):
            report.exits.append(f"{worker.name} left with {code}: {worker.said()[-2000:]}")
    report.deadlocks = server.log().count("deadlock detected") - deadlocks
    for shopper in shoppers:
        report.failures += shopper.failures
        report.interrupted += shopper.interrupted
        report.committed += shopper.committed
        report.warnings += shopper.warnings
        report.latencies += shopper.latencies
    report.read_failures, report.mixed, report.answers = asker.failures, asker.mixed, asker.answers
    report.violations, report.looks = watcher.violations, watcher.looks
    report.longest_wait, report.most_pending = watcher.longest_wait, watcher.most_pending
    return report


def check_that_the_faults_happened(report: Report, weather: Weather) -> None:
    assert report.problems == [], f"The faults could not be injected: {report.problems}"
    assert report.kills >= weather.seconds / weather.kill_every / 2, "Too few workers were killed."
    assert report.kills_in_flight >= max(1, report.kills / 4), "Too few workers were killed with a batch in hand."
    assert report.terminations >= weather.seconds / weather.terminate_every / 3, "Too few connections were ended."
    assert set(report.restarts) == set(weather.restarts), "The server was not taken away."
    assert report.interrupted > 0, "The restart hit no transaction of the shop: it did not work meanwhile."
    assert report.deploys >= 4, "Too few deploys."
    assert set(report.answers) == {"student", "encoder"}, "Both generations must have answered."
    assert report.looks > weather.seconds, "The watcher saw too little."
    unused = {
        "insert",
        "copy",
        "upsert",
        "update of texts",
        "delete",
        "rollback",
        "transaction",
    } - report.committed.keys()
    assert not unused, f"The shop never did this: {unused}"


def check_what_was_seen_meanwhile(report: Report) -> None:
    """What had to hold at every moment of the run, and of every answer and every process."""
    assert report.violations == [], f"Rows were lost or orphaned at some moment of the run: {report.violations[:5]}"
    assert report.mixed == [], f"Answers mixed two generations: {report.mixed[:5]}"
    assert report.read_failures == [], f"Queries failed: {report.read_failures[:5]}"
    assert str(LAST_POISON_ID) in report.given_up, f"Poison must end as a dead letter, not so: {report.given_up}"
    assert report.exits == [], f"A worker that is told to leave leaves with 0: {report.exits}"


def drain(connection: Connection, staff: Staff, patience: float = PATIENCE) -> None:
    """Wait until nothing is pending. Rows that failed need not sit out their back-off: they are due at once."""
    deadline = time.monotonic() + patience
    while invariants.pending(connection):
        connection.execute(
            "update aisle._embedding_jobs set run_after = clock_timestamp() "
            "where attempts > 0 and not is_dead and lease_token is null and run_after > clock_timestamp()"
        )
        if time.monotonic() > deadline:
            said = [f"{worker.name}: {worker.said()[-500:]}" for worker in staff.workers if worker.is_alive()]
            waits = "\n".join([*map(str, invariants.who_waits(connection)), *(said or ["No worker lives."])])
            raise AssertionError(f"The queue was not empty after {patience:g} s:\n{waits}")
        time.sleep(0.1)


# ---- a wire that can be cut ----


class Wire:
    """A TCP address that leads to the server's socket, until `mute()`: then nothing passes, and nobody is told.

    It mutes itself when a client says `at`.
    """

    def __init__(self, server: Server, at: bytes | None = None) -> None:
        self.at = at
        self.target = str(server.home / "postgres" / ".s.PGSQL.5432")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.is_muted = threading.Event()
        self.connections = 0
        self.swallowed = 0  # bytes from the server that never arrived
        self._sockets: list[socket.socket] = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def url(self, url: str) -> str:
        """Return the address by which a database is reached over the wire."""
        database = url.partition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    def mute(self) -> None:
        self.is_muted.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                self._sockets += [client, server]
                self.connections += 1
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.at and self.at in data and not from_server:
                    self.mute()
                if not self.is_muted.is_set():
                    target.sendall(data)
                elif from_server:
                    self.swallowed += len(data)
            if not self.is_muted.is_set():
                target.shutdown(socket.SHUT_WR)
