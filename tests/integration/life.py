"""Everything that Aisle does in a shop, once: for tests of what must not change it."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner

from aisle.cli import aisle
from aisle.trainers.basket import task as basket
from aisle.trainers.category import task as category
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.recommender import task as recommender
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.run import train

# 300 products of four categories, 60 visitors who keep to two of them, 80 customers with three orders each.
SHOP = """
create schema shop;
create table shop.products (id integer primary key, name text not null, maker text, category text, made date,
                            price float8);
create table shop.visits (visitor text not null, product integer not null, at timestamp not null, meal text,
                          weight float8);
create table shop.orders (id bigint primary key, customer uuid not null, placed_at timestamptz not null);
create table shop.lines (order_id bigint not null references shop.orders, product integer not null, quantity integer);
create index on shop.orders (customer, placed_at);
create index on shop.lines (order_id);
insert into shop.products
select n, concat_ws(' ', colour, 'tea', (array['leaf', 'bag', 'box'])[1 + n % 3],
                    translate(left(md5(n::text), 6), '0123456789', 'ghijklmnop')),
       'maker ' || n % 5, 'drink > ' || colour, date '2025-03-04' + n, n / 7.0
from generate_series(1, 300) n, lateral (select (array['green', 'black', 'white', 'red'])[1 + n % 4] as colour) c;
insert into shop.visits
select 'v' || u, 1 + (u * 7 + i * 4 * (1 + u % 3)) % 300,
       timestamp '2025-05-06 12:34:56' + (u * 13 + i * 7) * interval '1 hour',
       (array['lunch', 'dinner'])[1 + i % 2], 1 + i % 3
from generate_series(1, 60) u, generate_series(1, 8) i;
insert into shop.orders
select u * 10 + i, md5('c' || u)::uuid, timestamptz '2025-05-06 07:08:09+00' + (i * 7 + u % 5) * interval '1 day'
from generate_series(1, 80) u, generate_series(1, 3) i;
insert into shop.lines
select o.id, 1 + o.id / 10 % 4 * 10 + (o.id + k * 3) % 10, 1 + k % 2 from shop.orders o, generate_series(1, 3) k;
"""
ATTACH = (
    "attach items shop.products --manufacturer maker --category category --text made --text price",
    "attach interactions shop.visits --user visitor --item product --at at --weight weight --context meal"
    " --time-zone Asia/Seoul",
    "attach orders shop.orders shop.lines --order-id id --user customer --at placed_at --line-order-id order_id"
    " --item product --quantity quantity --time-zone Asia/Seoul",
)
WRITE = """
insert into shop.products values (1000, 'green tea leaf', 'maker 1', 'drink > green', '2026-01-02', 1.5);
update shop.products set name = 'black tea box z' where id = 3;
delete from shop.products where id = 5;
insert into shop.visits values ('v1', 1000, '2026-01-02 03:04:05', 'lunch', 1);
insert into shop.orders values (9001, md5('c1')::uuid, '2026-01-02 03:04:05+00');
insert into shop.lines values (9001, 1000, 1);
"""
QUESTIONS = (
    "predict_category('green tea leaf')",
    "predict_category('green tea leaf', level => 1)",
    "item_category(1)",
    "similar_items(1)",
    "similar_items('1', space => 'basket')",
    "search_items('black tea')",
    "recommend('v1')",
    "recommend('v1', category => 'drink')",
    "recommend('v1', exclude_seen => false, context => '{\"meal\": \"lunch\"}')",
    "recommend('nobody')",
    "next_basket('{customer}')",
    "next_basket('{customer}', null)",
    "complete_basket(array['1', '2'])",
)
VIEWS = ("status", "models", "freshness", "failures", "warnings", "category_review", "confusion", "category_report")


def run(url: str, command: str, *, code: int = 0) -> str:
    """Run a command of ours in this process; return what it prints."""
    outcome = CliRunner().invoke(aisle, ["--database-url", url, *command.split()], catch_exceptions=True)
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise AssertionError(f"aisle {command}: {outcome.exception}") from outcome.exception
    assert outcome.exit_code == code, f"aisle {command}: {outcome.output}"
    return str(outcome.output)


def attach_and_train(url: str, attach: tuple[str, ...] = ATTACH) -> None:
    """Attach everything, and train a small model of each task as `aisle train` does."""
    for command in attach:
        run(url, command)
    train(
        category.TASK,
        url,
        category.Options(ngram=NgramOptions(dimensions=8, epochs=2, members=1), baseline=True, deploy=True),
    )
    train(recommender.TASK, url, recommender.Options(model="ials", towers=TowerOptions(dimensions=8), deploy=True))
    train(basket.TASK, url, basket.Options(deploy=True))


def update_vectors(url: str) -> None:
    """Let a real worker do what there is to do."""
    command = [
        sys.executable,
        "-m",
        "aisle.cli",
        "--database-url",
        url,
        "worker",
        "--idle-exit",
        "0.3",
        "--poll-interval",
        "0.1",
    ]
    worker = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert worker.returncode == 0, worker.stderr
    assert "WARNING" not in worker.stderr, worker.stderr
    assert "Traceback" not in worker.stderr, worker.stderr


def write(url: str) -> None:
    """Write to the shop as an application does, which has set what it needs to write at all."""
    with psycopg.connect(url) as connection:
        connection.read_only = False
        limits = ["statement_timeout", "lock_timeout"]
        if connection.info.server_version >= 170000:
            limits.append("transaction_timeout")
        for limit in limits:
            connection.execute(f"set local {limit} = 0".encode())
        connection.execute(WRITE)


class Score(float):
    """A score, equal to one that another plan of the query adds up in another order."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(self, other, rel_tol=0, abs_tol=1e-3)

    def __ne__(self, other: object) -> bool:
        return not self == other


def answers(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Ask everything that an application asks."""
    customer = connection.execute("select pg_catalog.md5('c1')::pg_catalog.uuid::pg_catalog.text").fetchone()
    assert customer is not None
    said = {}
    for question in QUESTIONS:
        rows = connection.execute(
            f"select * from aisle.{question.replace('{customer}', customer[0])}".encode()
        ).fetchall()
        assert rows, question
        said[question] = [[Score(x) if isinstance(x, float) else x for x in row] for row in rows]
    return said


def look(url: str, folder: Path) -> None:
    """Run the commands that look, and a training of each kind anew."""
    for command in (
        "status",
        "models",
        "failures",
        "evaluate recommender",
        "evaluate basket",
        "index",
        "retrain --if-stale",
    ):
        run(url, command)
    findings = json.loads(CliRunner().invoke(aisle, ["--database-url", url, "doctor", "--json"]).stdout)
    problems = [f for f in findings if f["verdict"] != "ok" and f["check"] != "rights"]
    assert problems == [], problems
    for task in ("category", "recommender", "basket", "freshness"):
        run(url, f"report {task} -o {folder / task}.html")
