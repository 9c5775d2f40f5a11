"""The programs in examples/ run as a reader would run them, against a shop with three tiny models."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import Server, Shop

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWERS = """\
녹차 is probably:
  음료 > 차 (57%)
  빵 (29%)
  음료 > 커피 (14%)
Recommended to ann for lunch:
  홍차 (1.00)
  녹차 (0.50)
The next order of ann:
  녹차 (50%)
  홍차 (50%)
"""


def run(program: str, url: str) -> str:
    if program == "with_django" and find_spec("django") is None:
        pytest.skip("Django is not installed: pip install -c constraints.txt -e '.[dev]'")
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{program}.py", "ann", "녹차"],
        env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, cwd="/", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("program", "more"),
    [
        ("with_psycopg", ""),
        ("with_sqlalchemy", "The vector of 녹차 has 2 dimensions.\n"),
        (
            "with_django",
            "Products without a category, and their predictions:\n  홍차: 빵\n  커피: 음료 > 커피\n",
        ),
    ],
)
def test_a_program_prints_what_sql_answers(documented_shop: Shop, database_url: str, program: str, more: str) -> None:
    assert run(program, database_url) == ANSWERS + more


@pytest.mark.parametrize("program", ["with_psycopg", "with_sqlalchemy", "with_django"])
def test_a_program_takes_all_of_its_address(database_url: str, program: str) -> None:
    with pytest.raises(AssertionError, match="connect_timeout"):  # as it would sslmode=verify-full
        run(program, f"{database_url}&connect_timeout=never")


def test_without_a_live_model_a_program_can_say_what_to_do(documented_shop: Shop, database_url: str) -> None:
    documented_shop.execute("update aisle._deployments set rolled_back_at = now() where task = 'category'")
    printed = run("with_psycopg", database_url)
    assert "no model is live yet: " in printed
    assert "aisle train category" in printed
    assert "홍차 (1.00)" in printed, "The other answers do not depend on that model."


@pytest.fixture
def web(server: Server, documented_shop: Shop, database_url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A request as PostgREST makes it: connected as shop_http, then read-only as web_anon."""
    psql = [server.program("psql"), database_url, "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
    environment = {**os.environ, "AISLE_HTTP_PASSWORD": "it's a secret"}
    for _ in range(2):  # running it again changes nothing
        subprocess.run([*psql, f"--file={EXAMPLES}/http.sql"], env=environment, check=True, capture_output=True)
    connection = psycopg.connect(make_conninfo(database_url, user="shop_http"))
    connection.execute("set transaction read only")
    connection.execute("set local role web_anon")
    return connection


def test_http_answers_what_is_meant_to_be_asked(web: psycopg.Connection[tuple[object, ...]]) -> None:
    with web:
        (category, *_), *_ = web.execute("select category from api.predict_category(name => '녹차', k => 1)").fetchall()
        assert category == "음료 > 차"
        context = '{"meal_time": "lunch"}'
        rows = web.execute(
            "select item_id from api.recommend(user_id => 'ann', context => %s::jsonb)", [context]
        ).fetchall()
        assert rows == [("41",), ("42",)]
        assert web.execute("select from api.next_basket(user_id => 'ann')").rowcount >= 1


@pytest.mark.parametrize(
    "statement",
    [
        "select from aisle.recommend('ann')",
        "select from aisle.item_vectors",
        "select from shop.products",
        "select aisle.deploy(1)",
    ],
)
def test_http_answers_nothing_else(web: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    with web, pytest.raises(psycopg.errors.InsufficientPrivilege):
        web.execute(statement.encode())
