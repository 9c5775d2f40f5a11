"""Makes a shop whose vectors are as what is learned, without learning them.

Items lie in clusters (departments, sections, leaves: the categories), in directions of falling weight; users have a few
leaves that they come back to; they have from 50 events up, 100 on average, in a table that is in the order of time. At
the size of Gowalla they are a little harder for HNSW than what `aisle train recommender` learns there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg import sql as compose

from aisle import db, migrations
from aisle.db import Connection, model_registry
from aisle.trainers.indexes import create_index

DIMENSIONS = 64
USERS, EVENTS = 20_000, 2_000_000
HISTORY = 50  # events that a user's vector is made of
BRANCHES = 10  # departments, sections of each, leaves of each
LEAVES = BRANCHES**3
SEPARATOR = " > "

Array = np.ndarray[Any, Any]

SHOP = """
create schema shop;
create table shop.products (id bigint primary key, name text, category text);
create table shop.visits (user_id bigint, product_id bigint, visited_at timestamptz);
"""
ATTACH = """
create index on shop.visits (user_id, visited_at);
create index on shop.visits (visited_at);
select aisle.attach_items('shop.products', 'id', 'name', category => 'category');
select aisle.attach_interactions('shop.visits', 'user_id', 'product_id', 'visited_at');
"""


def make_vectors(items: int, random: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return each item's leaf, out-vector and in-vector; one in five lies elsewhere than its category says."""
    leaf = random.permutation(items) % LEAVES
    place = np.where(random.random(items) < 0.2, random.integers(LEAVES, size=items), leaf)
    out = 0.7 * random.standard_normal((items, DIMENSIONS), np.float32)
    for depth in (1, 2, 3):
        centres = random.standard_normal((BRANCHES**depth, DIMENSIONS), np.float32)
        out += 0.6 * centres[place // BRANCHES ** (3 - depth)]
    out *= np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.15
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    into = out + 0.07 * random.standard_normal((items, DIMENSIONS), np.float32)
    return leaf, out, into / np.linalg.norm(into, axis=1, keepdims=True)


def make_events(leaf: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Return user and item of each event, in the order of time."""
    length = 50 + random.exponential(EVENTS / USERS - 50, USERS).astype(int)
    user = random.permutation(np.repeat(np.arange(USERS), length))
    # The leaf that a user likes best, two near it, one of the same department, one of any.
    preferred = np.repeat(random.integers(LEAVES, size=USERS)[:, None], 5, axis=1)
    for n, width in ((1, BRANCHES), (2, BRANCHES), (3, BRANCHES**2), (4, LEAVES)):
        preferred[:, n] = preferred[:, n] // width * width + random.integers(width, size=USERS)
    liked = preferred[user, np.minimum(random.geometric(0.5, len(user)) - 1, 4)]
    size = len(leaf) // LEAVES  # leaf l is by_leaf[l * size : (l + 1) * size]
    by_leaf = np.argsort(leaf, kind="stable")
    item = by_leaf[liked * size + (size * random.random(len(user)) ** 3).astype(int)]  # some far more often than others
    return user, np.where(random.random(len(user)) < 0.1, random.integers(len(leaf), size=len(user)), item)


def prepare(server: str, items: int) -> str:
    """Make the database unless it is there; return its URL."""
    database = f"bench_retrieval_{items}"
    url = server.replace("/aisle?", f"/{database}?")
    with db.connect(server) as connection:
        if connection.execute("select from pg_database where datname = %s", (database,)).fetchall():
            return url
        connection.execute(compose.SQL("create database {}").format(compose.Identifier(database)))
    migrations.migrate(url)
    random = np.random.default_rng(7)
    leaf, out, into = make_vectors(items, random)
    user, item = make_events(leaf, random)
    paths = [SEPARATOR.join((f"department {n // 100}", f"section {n // 10}", f"leaf {n}", "")) for n in range(LEAVES)]
    own = np.zeros((USERS, DIMENSIONS), np.float32)
    np.add.at(own, user, into[item] / 100)
    with db.connect(url) as connection:
        db.register_vectors(connection)
        connection.execute(SHOP)
        connection.execute(
            "insert into shop.products select n - 1, 'item ' || n - 1, c"
            " from unnest(%s::text[]) with ordinality p (c, n)",
            ([paths[n].removesuffix(SEPARATOR) for n in leaf],),
        )
        connection.execute(
            "insert into shop.visits select u, i, now() - interval '1 second' * (%s - n)"
            " from unnest(%s::int[], %s::int[]) with ordinality e (u, i, n)",
            (len(user), user.tolist(), item.tolist()),
        )
        connection.execute(ATTACH)
        parameters = {
            "history": HISTORY,
            "exponent": 0.5,
            "distinct": True,
            "category_separator": SEPARATOR,
            "text_model": None,
        }
        model = model_registry.create(connection, "recommender", DIMENSIONS, encoder=None, parameters=parameters)
        # As the trainer does it: categories together.
        load(
            connection,
            "item_factors (item_id, category_key, embedding, in_embedding, model_id, content_hash, origin)",
            ("text", "text", "vector", "vector", "int4", "bytea", "text"),
            ((str(n), paths[leaf[n]], out[n], into[n], model, b"", "events") for n in np.argsort(leaf)),
        )
        load(
            connection,
            "user_vectors (model_id, user_id, embedding)",
            ("int4", "text", "vector"),
            ((model, str(n), own[n]) for n in range(USERS)),
        )
        load(
            connection,
            "context_vectors (model_id, feature, value, embedding)",
            ("int4", "text", "text", "vector"),
            [(model, "", "", out.mean(axis=0))],
        )
        load(
            connection,
            "_recency_weights (model_id, place, weights)",
            ("int4", "int4", "vector"),
            [(model, place, np.full(DIMENSIONS, 1 / (9 + place))) for place in range(1, HISTORY + 1)],
        )
        create_index(connection, f"item_factors_{model}", DIMENSIONS, "halfvec_ip_ops")
        connection.execute("vacuum analyze")
        connection.execute("update aisle._models set state = 'ready'")
        connection.execute("select aisle.deploy(%s)", (model,))
    return url


def load(connection: Connection, table: str, types: Sequence[str], rows: Any) -> None:
    """Append rows in binary, which is faster than text by far for a million vectors."""
    statement = compose.SQL("copy aisle.{} from stdin (format binary)").format(compose.SQL(table))  # type: ignore[arg-type]
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
