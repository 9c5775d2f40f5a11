"""Shops of three shapes, from `aisle discover` to three live models; then what happens in a shop.

A test says whether its answers are right from the next statement on, or after a worker. What waits for a worker is
counted until then.
"""

import contextlib
import functools
import tomllib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from aisle import db
from tests.attached_shops import WAITING, Live
from tests.conftest import Server
from tests.integration.life import run, update_vectors
from tests.shapes import EXAMPLES, SHAPES, create_shop

ANSWERED = 2000  # items of each function
K = 20
# Enough for models that beat chance; the defaults take a minute a shop.
TRAIN = (
    "train category --epochs 2 --no-baseline",
    "train recommender --model towers --epochs 4",
    "train basket --test-share 0.5",
)


def cases(what: str) -> list[Any]:
    """Return each change of one sort of each shape."""
    changes = {shape.name: getattr(shape, what) for shape in SHAPES.values()}
    return [
        pytest.param(shape, change, id=f"{shape}: {name}")
        for shape, of in changes.items()
        for name, change in of.items()
    ]


@pytest.fixture(scope="module")
def prepared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`prepared(shape)` is a database with live models, made by commands alone; it becomes a template."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def prepare(shape: str) -> tuple[str, list[str]]:
            url = stack.enter_context(server.database())
            create_shop(url, SHAPES[shape])
            file = tmp_path_factory.mktemp(shape) / "shop.toml"
            commands = ("migrate", f"discover -o {file}", f"attach -f {file}", *TRAIN, "embed")
            said = [run(url, command) for command in commands]
            assert tomllib.loads(file.read_text(encoding="utf-8")) == example(shape)
            return url, said

        yield prepare


def example(shape: str) -> dict[str, Any]:
    return tomllib.loads((EXAMPLES / shape / "shop.toml").read_text(encoding="utf-8"))


@pytest.fixture
def live(server: Server, prepared: Any, request: pytest.FixtureRequest) -> Iterator[Live]:
    shape = SHAPES[request.param]
    template = psycopg.conninfo.conninfo_to_dict(prepared(shape.name)[0])["dbname"]
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        shop = Live(connection)
        shop.shape, shop.url = shape, url
        assert (shop.value(WAITING), shop.stale()) == (0, 0)
        yield shop


of_all = pytest.mark.parametrize("live", list(SHAPES), indirect=True)


# ---- from the shop's tables to answers ----


@pytest.mark.parametrize("shape", SHAPES)
def test_the_proposal_as_it_is_leads_to_three_live_models(prepared: Any, shape: str) -> None:
    url, said = prepared(shape)
    for task, output in zip(("category", "recommender", "basket"), said[3:], strict=False):
        assert " is live: " in output, f"{task}: {output}"
    again = run(url, f"attach -f {EXAMPLES / shape / 'shop.toml'}")
    assert again.endswith("Nothing changes.\n")


@of_all
def test_nothing_of_2000_answers_of_each_function_must_not_be_sold(live: Live) -> None:
    for change in (None, live.shape.most_not_sold):
        if change is not None:
            live.change(change)
        sold = {i for (i,) in live.execute("select item_id from aisle._items where is_eligible")}
        assert (0.8 if change is None else 0.1) * 600 < len(sold) < (0.9 if change is None else 0.3) * 600
        customers = [
            u for (u,) in live.execute("select distinct user_id::text from aisle._orders order by 1 limit 100")
        ]
        products = [i for (i,) in live.execute("select item_id from aisle._items order by md5(item_id) limit 100")]
        names = [n for (n,) in live.execute("select name from aisle._items order by md5(item_id) limit 100")]
        for function, arguments in (
            ("recommend", customers), ("next_basket", customers), ("similar_items", products), ("search_items", names),
            ("complete_basket", [f"{{{i}}}" for i in products]),
        ):  # fmt: skip
            called = f"aisle.{function}(a{'::text[]' if function == 'complete_basket' else ''}, {K})"
            rows = live.execute(
                f"select a, array_agg(f.item_id) from unnest(%s::text[]) a, {called} f group by a", [arguments]
            ).fetchall()
            found = [item for _, items in rows for item in items]
            assert len(found) == ANSWERED, f"{function}: there are {len(sold)} that may be sold"
            assert set(found) <= sold, function


# ---- what must not be sold: the next statement ----


@pytest.mark.parametrize(("live", "change"), cases("not_sold"), indirect=["live"])
def test_at_the_next_statement_what_must_not_be_sold_is_not_answered(live: Live, change: str) -> None:
    product = live.shape.product(13)
    before = live.answers(600)
    assert all(product in answer for answer in before.values()), {q: len(a) for q, a in before.items()}
    live.change(change)
    for question, answer in live.answers(600).items():
        assert product not in answer, question
        assert len(answer) == len(before[question]) - 1, question
    assert live.stale() == 0, "It keeps its vector."


@of_all
def test_at_the_next_statement_a_new_variant_in_stock_is_sold(live: Live) -> None:
    before = live.answers(600)
    live.change(live.shape.not_sold["out of stock"])
    assert live.answers(600) != before
    live.change(live.shape.sellable_again)
    assert live.answers(600) == before


# ---- orders: the next statement, and what models know of the customer after a worker ----


def check_orders(live: Live, change: str, bought: set[int]) -> None:
    assert live.bought() == {live.shape.product(n) for n in (13, 25)}
    known = "select content_hash from aisle.customer_vectors where user_id = %s"
    before = live.value(known, [live.shape.buyer])
    live.change(change)
    assert live.bought() == {live.shape.product(n) for n in bought}
    assert live.value(WAITING) > 0, "The customer's vector is out of date."
    live.work()
    assert live.value(known, [live.shape.buyer]) != before
    assert live.bought() == {live.shape.product(n) for n in bought}


@pytest.mark.parametrize(("live", "change"), cases("not_bought"), indirect=["live"])
def test_at_the_next_statement_it_counts_as_not_bought(live: Live, change: str) -> None:
    check_orders(live, change, {25, 37} if "ordli_c" in change else {25})


@pytest.mark.parametrize(("live", "change"), cases("bought"), indirect=["live"])
def test_at_the_next_statement_it_counts_as_bought(live: Live, change: str) -> None:
    check_orders(live, change, {13, 25, 37})


# ---- texts: after a worker ----


@pytest.mark.parametrize(("live", "change"), cases("text"), indirect=["live"])
def test_after_a_worker_vectors_are_those_of_the_new_text(live: Live, change: str) -> None:
    product = live.shape.product(13)
    before = live.vectors()[product]
    live.change(change)
    assert live.value(WAITING) > 0
    live.work()
    assert live.stale() == 0
    assert live.vectors()[product] != before
    if "rye" in change:
        (top,) = live.execute("select category from aisle.item_category(%s, 1)", [product]).fetchone() or [None]
        assert str(top).endswith("Rye")


@of_all
def test_what_no_model_reads_makes_no_work(live: Live) -> None:
    for change in live.shape.no_text:
        live.change(change)
        assert live.value(WAITING) == 0, change
    assert live.stale() == 0


@pytest.mark.parametrize("live", ["odoo"], indirect=True)
def test_after_a_worker_a_translation_that_no_model_reads_changes_nothing(live: Live) -> None:
    vectors = live.vectors()
    live.change('update product_template set name = name || \'{"ko_KR": "다른 이름"}\'')
    assert live.value(WAITING) > 0, "The column is read; that the text is the same, only a worker sees."
    live.work()
    assert live.vectors() == vectors


@of_all
def test_a_new_product_is_known_in_its_transaction_and_found_after_a_worker(live: Live) -> None:
    with live.connection.transaction():
        live.change(live.shape.new_product)
        assert live.value("select category_id from aisle.item_category('9001', 1)") == live.shape.shelf(2)
    assert live.value(WAITING) > 0
    live.work()
    assert live.stale() == 0
    assert live.value("select count(*) from aisle.item_factors where item_id = '9001'") == 1
    assert live.answer("similar_items('9001', 5)")
    assert not any("9001" in answer for answer in live.answers(600).values()), "It has no variant in stock."


# ---- categories ----


@of_all
def test_at_the_next_statement_a_renamed_or_moved_category_is_answered_so(live: Live) -> None:
    item = f"item_category('{live.shape.product(13)}', 1)"
    text = "predict_category('roast coffee bean', k => 1)"
    for change, name in ((live.shape.rename_shelf, "Renamed"), (live.shape.move_shelf, "Department 1 > Renamed")):
        if change is None:
            continue
        live.change(change)
        for question in (item, text):
            category, category_id = live.execute(f"select category, category_id from aisle.{question}").fetchone() or ()
            assert category.endswith(name)
            assert category_id == live.shape.shelf(2)
        by_path = live.answer(f"recommend('nobody', 20, category => '{category}')")
        assert by_path == live.answer(f"recommend('nobody', 20, category => '{live.shape.shelf(2)}')") != []


@of_all
def test_at_the_next_statement_a_deleted_category_is_not_answered(live: Live) -> None:
    live.change(live.shape.delete_shelf)
    for question in (
        f"item_category('{live.shape.product(13)}', 50)",
        "predict_category('roast coffee bean', k => 50)",
    ):
        answered = {c for (c,) in live.execute(f"select category_id from aisle.{question}")}
        assert len(answered) == 11
        assert live.shape.shelf(2) not in answered
    with pytest.raises(psycopg.Error, match="no category"):
        live.answer(f"recommend('nobody', 5, category => '{live.shape.shelf(2)}')")


@of_all
def test_after_a_worker_a_moved_product_is_recommended_in_its_category(live: Live) -> None:
    def of_shelf(number: int) -> list[str]:
        return live.answer(f"recommend('nobody', 600, category => '{live.shape.shelf(number)}')")

    product = live.shape.product(13)
    assert product in of_shelf(2)
    live.change(live.shape.move_product)
    assert live.value(WAITING) > 0
    live.work()
    assert product in of_shelf(3)
    assert product not in of_shelf(2)


@of_all
def test_a_worker_process_renews_what_changed(live: Live) -> None:
    for change in (*live.shape.text.values(), live.shape.new_product, live.shape.move_product):
        live.change(change)
    for change in live.shape.not_bought.values():
        live.change(change)
    assert live.value(WAITING) > 0
    update_vectors(live.url)
    assert (live.value(WAITING), live.stale()) == (0, 0)
    assert live.value("select count(*) from aisle.warnings where warning !~ 'pgvector|index'") == 0
