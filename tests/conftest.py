"""A PostgreSQL of our own for the whole run, a migrated template in it, and for each test that asks a clone of that.

AISLE_TEST_POSTGRES chooses the version (16 or 18).
"""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, cast

import numpy as np
import psycopg
import pytest
from psycopg import sql as compose
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from aisle import db, migrations
from aisle.db import embedded
from aisle.embedder import queue
from aisle.trainers.basket.score import BOUNDS, NEW_TERMS, TERMS

POSTGRES = os.environ.get("AISLE_TEST_POSTGRES", embedded.DEFAULT_VERSION)
TEMPLATE = "aisle_template"
SEPARATOR = " > "
MEMORY_NEEDED = 2 * 1024**3  # bytes

Row = tuple[Any, ...]


def pytest_report_header() -> str:
    return f"PostgreSQL {POSTGRES} (AISLE_TEST_POSTGRES)"


@pytest.fixture(scope="session", autouse=True)
def _no_database_from_outside() -> Iterator[None]:
    """Let no test reach a database of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AISLE_DATABASE_URL", "DATABASE_URL", "PGHOST", "PGDATABASE", "PGUSER", "PGOPTIONS"):
            patch.delenv(variable, raising=False)
        yield


@dataclass
class Server:
    """The server of this run; nothing in it outlives the run, so it writes nothing through to the disk."""

    home: Path
    _numbers: Iterator[int]

    @contextlib.contextmanager
    def environment(self) -> Iterator[None]:
        """Make `aisle.db.embedded` mean this server."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AISLE_HOME", str(self.home))
            patch.setenv("AISLE_POSTGRES_VERSION", POSTGRES)
            yield

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.home}/postgres&port=5432"

    def program(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's programs."""
        with self.environment():
            return embedded.program(name)

    def execute(self, statement: str) -> None:
        """Run a statement that stands for the whole server, such as `create database`."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(cast(LiteralString, statement))

    @contextlib.contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """Create a database, and drop it in the end; the options are those of `create database`."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"create database {name} {options}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"drop database {name} with (force)")


def _fastest_folder() -> Path | None:
    """Return a folder in memory where there is one: a clone of the template takes a fifth of the time there."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_NEEDED else None


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server(Path(tempfile.mkdtemp(prefix="aisle-", dir=_fastest_folder())).resolve(), itertools.count(1))
    try:
        with server.environment():
            embedded.start()
        for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off", "autovacuum = off"):
            server.execute(f"alter system set {setting}")
        server.execute("select pg_reload_conf()")
        yield server
    finally:
        with server.environment():
            embedded.stop()
        shutil.rmtree(server.home)


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a migrated database, for `create database … template …`; nobody stays connected to it."""
    server.execute(f"create database {TEMPLATE}")
    with psycopg.connect(server.url(TEMPLATE), autocommit=True) as connection:
        connection.execute("create extension vector schema public")  # as many shops have it
    migrations.migrate(server.url(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    """A migrated database that this test has for itself."""
    with server.database(f"template {template} strategy file_copy") as url:
        yield url


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """A database that Aisle has not seen yet."""
    with server.database() as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[db.Connection]:
    """The superuser's autocommit connection to `database_url`; the shop's statements may leave out `public`."""
    with db.connect(database_url) as connection:
        connection.execute("reset search_path")
        yield connection


@pytest.fixture
def login(server: Server, connection: db.Connection, database_url: str) -> Iterator[Callable[..., db.Connection]]:
    """`login("insert on shop.products")` opens a connection as a new role that was granted that and nothing else."""
    roles: list[str] = []
    with contextlib.ExitStack() as stack:

        def open_(*grants: LiteralString) -> db.Connection:
            roles.append(f"{connection.info.dbname}_role_{len(roles) + 1}")
            role = compose.Identifier(roles[-1])
            connection.execute(compose.SQL("create role {} login").format(role))
            for grant in grants:
                connection.execute(compose.SQL("grant {} to {}").format(compose.SQL(grant), role))
            return stack.enter_context(psycopg.connect(make_conninfo(database_url, user=roles[-1]), autocommit=True))

        yield open_
    for name in roles:
        connection.execute(compose.SQL("drop owned by {0}; drop role {0}").format(compose.Identifier(name)))


class Shop:
    """A product table as shops have them, and a look at what Aisle made of a write to it."""

    def __init__(self, connection: db.Connection) -> None:
        self.connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] | None = None) -> psycopg.Cursor[Row]:
        return self.connection.execute(cast(LiteralString, statement), parameters)

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """Return the first column of the first row."""
        row = self.execute(statement, parameters).fetchone()
        assert row is not None, f"No row from: {statement}"
        return row[0]

    def create(self, id_type: str = "bigint", tail: str = "", table: str = "shop.products") -> None:
        """Create the table; `tail` is what follows its columns, such as `partition by range (id)`."""
        self.execute("create schema if not exists shop")
        self.execute(
            f"create table {table} (id {id_type} primary key, name text, maker text, category text, specs text, "
            f"price integer) {tail}"
        )

    def attach(self, relation: str = "shop.products", **options: Any) -> str:
        """Call `aisle.attach_items` with the columns of `create` unless told otherwise; return its message."""
        given = {"id": "id", "name": "name", "manufacturer": "maker", "category": "category", "relation": relation}
        arguments = given | options
        assigned = ", ".join(f"{argument} => %s" for argument in arguments)
        return str(self.value(f"select aisle.attach_items({assigned})", list(arguments.values())))

    def insert(self, *names: str | None) -> None:
        """Insert rows with the ids 1, 2, … in one statement."""
        self.insert_more(1, *names)

    def insert_more(self, first: int, *names: str | None) -> None:
        """Insert rows with the ids `first`, `first + 1`, … in one statement."""
        self.execute(
            "insert into shop.products (id, name)"
            " select %s + i - 1, n from unnest(%s::text[]) with ordinality as t (n, i)",
            [first, list(names)],
        )

    def jobs(self) -> dict[str, Any]:
        """Return the version of each queued row that is there; a worker drops the jobs of those that are gone."""
        self.collect()
        return dict(
            self.execute(
                "select id, version from aisle._embedding_jobs"
                " where task = 'category' and exists (select from aisle._read_items(array[id]))"
            ).fetchall()
        )

    def collect(self) -> None:
        """Take in what the triggers have logged, as a worker does."""
        queue.collect(self.connection)

    def vectors(self) -> dict[str, Any]:
        """Return the stored vector of each item, in whatever generation."""
        rows = self.execute("select item_id, embedding::real[] from aisle.item_vectors").fetchall()
        return {item: [round(x, 3) for x in vector] for item, vector in rows}

    def forget_jobs(self) -> None:
        self.execute("delete from aisle._changes")
        self.execute("delete from aisle._embedding_jobs")


@pytest.fixture
def shop(connection: db.Connection) -> Shop:
    return Shop(connection)


def scans(shop: Shop, relation: str) -> tuple[int, int]:
    """Return how often a table was read as a whole and how often by an index, up to now."""
    shop.execute("select pg_stat_force_next_flush()")
    row = shop.execute(
        "select seq_scan, idx_scan from pg_stat_user_tables where relid = %s::regclass", [relation]
    ).fetchone()
    assert row is not None
    return row[0], row[1]


@dataclass(frozen=True)
class TinyModel:
    """A category model that fits in the head.

    With e the text's vector, a category weighs `exp(e · vector + bias)`; its confidence is the share in all weights.
    An unknown text has e = 0, so tea : coffee : bread = 1 : 1 : 2. The word 녹차 has e = (ln 4, 0), so 4 : 1 : 2.
    """

    model_id: int
    dimensions: int
    tea: str = f"음료{SEPARATOR}차"
    coffee: str = f"음료{SEPARATOR}커피"
    bread: str = "빵"


LN4 = float(np.log(4))
TINY_CATEGORIES = {
    "음료 > 차": ((1.0, 0.0), 0.0),
    "음료 > 커피": ((0.0, 1.0), 0.0),
    "빵": ((0.0, 0.0), float(np.log(2))),
}
# One n-gram a word is known, so that the text of one word has just this vector.
TINY_WORDS = {"녹차": (LN4, 0.0), "커피": (0.0, LN4), "식빵": (-LN4, -LN4), "tea": (LN4, 0.0)}


@pytest.fixture
def load_model(connection: db.Connection) -> Callable[..., TinyModel]:
    """`load_model(dimensions=3, encoder="minilm", deploy=False)` stores one more tiny model, zero-padded."""
    return lambda **options: load_tiny_model(connection, **options)


def load_tiny_model(
    connection: db.Connection,
    *,
    dimensions: int = 2,
    encoder: str | None = None,
    deploy: bool = True,
    scale: float = 1,
) -> TinyModel:
    def padded(vector: Sequence[float]) -> str:
        return str([*(scale * x for x in vector), *[0.0] * (dimensions - len(vector))])

    row = connection.execute(
        "insert into aisle._models (task, state, dimensions, encoder, parameters) "
        "values ('category', 'ready', %s, %s, %s) returning model_id",
        [dimensions, encoder, Jsonb({"category_separator": SEPARATOR})],
    ).fetchone()
    assert row is not None
    model_id = row[0]
    connection.execute("select aisle._create_generation(%s)", [model_id])
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into aisle.category_vectors (model_id, category_id, category, path, embedding, bias, support) "
            "values (%s, %s, %s, %s, %s, %s, 1)",
            [
                (model_id, number, name, name.split(SEPARATOR), padded(vector), bias)
                for number, (name, (vector, bias)) in enumerate(TINY_CATEGORIES.items())
            ],
        )
        cursor.executemany(
            "insert into aisle.ngram_vectors (model_id, ngram, embedding) "
            "select %s, g, %s from unnest(aisle._ngrams(%s, null, null)) g order by length(g) desc, g limit 1",
            [(model_id, padded(vector), word) for word, vector in TINY_WORDS.items()],
        )
    if deploy:
        connection.execute("select aisle.deploy(%s)", [model_id])
    return TinyModel(model_id, dimensions)


@pytest.fixture
def tiny_model(load_model: Callable[..., TinyModel]) -> TinyModel:
    """The deployed tiny model."""
    return load_model()


TINY_REPEATS = {"seen": 1, "count": 0, "recency": 0, "decay": 0, "context": {"meal_time": 10}}


def load_tiny_recommender(
    connection: db.Connection,
    items: Mapping[int, tuple[str | None, tuple[float, float], tuple[float, float]]],
) -> int:
    """Deploy a recommender of two dimensions, from the category, out- and in-vector of items; it knows ann and 7."""
    row = connection.execute(
        "insert into aisle._models (task, state, dimensions, parameters) values ('recommender', 'ready', 2, %s) "
        "returning model_id",
        [
            Jsonb(
                {
                    "history": 2,
                    "exponent": 0,
                    "repeats": TINY_REPEATS,
                    "options": {"repeats": True},
                    "text_model": None,
                    "category_separator": " > ",
                }
            )
        ],
    ).fetchone()
    assert row is not None
    model_id: int = row[0]
    connection.execute("select aisle._create_generation(%s)", [model_id])
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into aisle.item_factors "
            "(model_id, item_id, category_key, embedding, in_embedding, content_hash, origin) "
            "select %s, i.item_id, i.category || ' > ', %s, %s, aisle._factor_hash(i.content_hash, i.category), "
            "'events' "
            "from aisle._read_items(array[%s]) i",
            [(model_id, str(list(out)), str(list(into)), str(item)) for item, (_, out, into) in items.items()],
        )
    connection.execute("insert into aisle.user_vectors values (%s, 'ann', '[1,0]'), (%s, '7', '[1,0]')", [model_id] * 2)
    connection.execute(
        "insert into aisle.context_vectors values (%s, '', '', '[0,0.5]'), (%s, 'meal_time', 'dinner', '[0,3]')",
        [model_id] * 2,
    )
    connection.execute(
        "insert into aisle._recency_weights values (%s, 1, '[1,1]'), (%s, 2, '[0.5,0.5]')", [model_id] * 2
    )
    connection.execute("select aisle.deploy(%s)", [model_id])
    return model_id


def save_tiny_encoder(folder: Path, syllables: str, **settings: Any) -> Path:
    """Store a one-layer BERT that reads these syllables, digits and `|`, with random weights; return the folder.

    `settings` are further ones of its BertConfig.
    """
    from transformers import BertConfig, BertModel, BertTokenizerFast

    known = [*sorted(set(syllables)), *map(str, range(10))]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", *known, *(f"##{syllable}" for syllable in known)]
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), tokenize_chinese_chars=False).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        **settings,
    )
    BertModel(config).save_pretrained(folder)
    return folder


# Of a product bought before, the score is ln Σ .5^(orders since); of a new one, ln(share of neighbours + .001).
def tiny_weights(**of: float) -> dict[str, dict[str, float]]:
    """Return the weights of a basket model; `new_…` is that of a new product, and those that are not named are 0."""
    new = {term: of.get(f"new_{term}", 0) for term in ("constant", *NEW_TERMS)}
    return {"bought_before": {term: of.get(term, 0) for term in ("constant", *TERMS)}, "new": new}


TINY_WEIGHTS = tiny_weights(recency=1, new_neighbours=1)


def load_tiny_basket(
    connection: db.Connection,
    items: Mapping[str, tuple[float, float]],
    customers: Mapping[str, tuple[tuple[float, float] | None, Sequence[str]]] | None = None,
    dimensions: int = 2,
    **parameters: Any,
) -> int:
    """Deploy a basket model of two dimensions, from item vectors and, for customers, the vector and the next order."""
    given = {
        "model": "taste", "weights": TINY_WEIGHTS, "bounds": BOUNDS, "decay": [0.5, 0.25], "logit": 0, "gap": 10,
        "rarest": 0.01, "size": 2, "companions": 0, "neighbours": 10, "nearest": 10, "time": "days", "top": 10,
    }  # fmt: skip
    model_id: int = db.fetch_value(
        connection,
        "insert into aisle._models (task, state, dimensions, parameters) values ('basket', 'ready', %s, %s) "
        "returning model_id",
        [dimensions, Jsonb(given | parameters)],
    )
    connection.execute("select aisle._create_generation(%s)", [model_id])
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into aisle.basket_items "
            "(model_id, item_id, embedding, taste, cart, completion, companions, cosines, popularity, gap) "
            "select %(model)s, %(item)s, %(taste)s, %(taste)s, %(taste)s, %(completion)s, "
            "'{}', '{}', %(share)s, 10",
            [
                {
                    "model": model_id,
                    "item": item,
                    "taste": str(list(taste)),
                    "completion": str([*taste, 0]),
                    "share": 0.5 / place,
                }
                for place, (item, taste) in enumerate(items.items(), start=1)
            ],
        )
        cursor.executemany(
            "insert into aisle.customer_vectors "
            "(model_id, user_id, embedding, taste, next_items, known_at, content_hash) "
            "values (%s, %s, '[0,0]', %s, %s, 0, '')",
            [
                (model_id, user, None if taste is None else str(list(taste)), list(then))
                for user, (taste, then) in (customers or {}).items()
            ],
        )
    connection.execute("select aisle.deploy(%s)", [model_id])
    return model_id


@pytest.fixture
def documented_shop(connection: db.Connection, tiny_model: TinyModel) -> Iterator[Shop]:
    """The tables that docs and examples speak of, attached, with three tiny models; drops the roles they create."""
    shop = Shop(connection)
    shop.execute(
        "create schema shop; create table shop.products (id bigint primary key, name text, manufacturer text,"
        " category text, specifications text, price integer, stock integer);"
        " insert into shop.products (id, name, category) values (41, '홍차', null), (42, '녹차', '식품 > 차');"
        " create table shop.visits (customer_id text, product_id bigint, visited_at timestamptz, meal_time text);"
        " create table shop.order_lines (order_id bigint, customer_id text, product_id bigint, ordered_at timestamptz)"
    )
    shop.attach(manufacturer="manufacturer", text_columns=["specifications"])
    shop.execute("insert into shop.products (id, name) values (43, '커피')")
    shop.execute(
        "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at',"
        " context_columns => array['meal_time'])"
    )
    load_tiny_recommender(shop.connection, {41: (None, (1, 0), (0, 1)), 42: (None, (0, 1), (1, 0))})
    shop.execute(
        "select aisle.attach_orders('shop.order_lines', 'order_id', 'product_id', 'customer_id', 'ordered_at');"
        " insert into shop.order_lines values (1, 'ann', 41, now())"
    )
    load_tiny_basket(shop.connection, {"41": (1, 0), "42": (0, 1)}, {"bob": ((1, 0), ["42"])})
    yield shop
    for role in ("shop_app", "shop_watch", "shop_http", "web_anon"):
        if shop.execute("select from pg_roles where rolname = %s", [role]).fetchone() is not None:
            shop.execute(f"drop owned by {role}; drop role {role}")
