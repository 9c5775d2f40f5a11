"""similar_items and search_items: cosine, ties, and what must not be found."""

from collections.abc import Callable
from typing import Any

import pytest

from aisle.db import Connection
from tests.conftest import Shop, TinyModel

# Item 1 is 녹차 and points east, as 4 does; 2 is 커피 and points north; 3 is 식빵, south-west.
NAMES = ["녹차", "커피", "식빵", "tea"]
HALF = 0.5**0.5


@pytest.fixture
def shop(connection: Connection, tiny_model: TinyModel) -> Shop:
    shop = Shop(connection)
    shop.create()
    shop.attach()
    shop.insert(*NAMES)
    return shop


def found(shop: Shop, call: str, *parameters: Any) -> list[tuple[Any, ...]]:
    rows = shop.execute(f"select rank, item_id, score from aisle.{call}", parameters).fetchall()
    return [(rank, item, pytest.approx(score, abs=1e-3)) for rank, item, score in rows]


def test_similar_items_leave_out_the_item_itself(shop: Shop) -> None:
    expected = [(1, "4", 1), (2, "2", 0), (3, "3", -HALF)]
    assert found(shop, "similar_items('1')") == expected
    assert found(shop, "similar_items(1)") == expected
    assert found(shop, "similar_items(1, k => 1)") == expected[:1]


def test_search_items(shop: Shop) -> None:
    assert found(shop, "search_items('커피', k => 2)") == [(1, "2", 1), (2, "1", 0)]
    assert found(shop, "search_items('TEA')") == [(1, "1", 1), (2, "4", 1), (3, "2", 0), (4, "3", -HALF)]


@pytest.mark.parametrize("text", [None, "", "xyzzy"])
def test_a_text_without_a_known_ngram_finds_nothing(shop: Shop, text: str | None) -> None:
    assert found(shop, "search_items(%s)", text) == []


def test_an_item_without_a_known_ngram_is_like_nothing_and_nothing_is_like_it(shop: Shop) -> None:
    shop.execute("insert into shop.products (id, name) values (5, 'xyzzy'), (6, null)")
    assert found(shop, "similar_items(5)") == []
    items = [item for _, item, _ in found(shop, "similar_items(1)")]
    assert items == ["4", "2", "3"], "An item with the zero vector has no direction: its cosine is not a number."


def test_a_deleted_item_is_found_no_more(shop: Shop) -> None:
    shop.execute("delete from shop.products where id = 4")
    assert [item for _, item, _ in found(shop, "similar_items(1)")] == ["2", "3"]


def test_scores_do_not_depend_on_the_length_of_vectors(shop: Shop, load_model: Callable[..., TinyModel]) -> None:
    before = found(shop, "similar_items(1)")
    load_model(scale=3)
    shop.execute("update shop.products set name = name || ' xyzzy'")  # a draft in the new generation for each
    assert found(shop, "similar_items(1)") == before


def test_the_index_of_a_generation_answers_where_there_is_one(shop: Shop, load_model: Callable[..., TinyModel]) -> None:
    model = load_model(dimensions=8)
    partition = f"aisle.item_vectors_{model.model_id}"
    shop.execute("set maintenance_work_mem = '64MB'")
    shop.execute(
        f"insert into {partition} (model_id, item_id, embedding, content_hash, is_draft) "
        "select %s, 'i' || i, array[1, sin(i), cos(i), sin(2 * i), cos(3 * i), sin(5 * i), tan(i), i / 5e3]"
        "::aisle._vector, '', false from generate_series(1, 5000) i",
        [model.model_id],
    )
    query = "select item_id from aisle.similar_items('i1')"
    exact = shop.execute(query).fetchall()
    shop.execute(f"create index on {partition} using hnsw ((embedding::public.halfvec(8)) public.halfvec_cosine_ops)")
    shop.execute(f"analyze {partition}")
    scans = "select seq_scan, idx_scan from pg_stat_user_tables where relid = %s::regclass"
    shop.execute("select pg_stat_force_next_flush()")
    ((seq_before, _),) = shop.execute(scans, [partition]).fetchall()
    approximate = shop.execute(query).fetchall()
    shop.execute("select pg_stat_force_next_flush()")
    ((seq_after, _),) = shop.execute(scans, [partition]).fetchall()
    assert seq_after == seq_before, "aisle._nearest_items reads the whole generation although there is an HNSW index."
    assert len(set(exact) & set(approximate)) >= 8, f"Recall is below .8: {approximate} instead of {exact}"
