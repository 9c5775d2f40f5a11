"""How the server finds what it answers: by indexes, in one generation, without hashing a table for each call."""

from collections.abc import Callable

import pytest

from aisle.sql import Connection
from tests.conftest import Shop, TinyModel, scans

NGRAMS = 200_000
CALLS = 20


@pytest.fixture
def shop(connection: Connection, publish: Callable[..., TinyModel]) -> Shop:
    """Two generations with the n-grams of a large catalogue; the second one is live."""
    shop = Shop(connection)
    for _ in range(2):
        model = publish()
        shop.execute(
            "insert into aisle.ngram_vectors (model_id, ngram, embedding) "
            "select %s, md5(i::text), '[0,0]' from generate_series(1, %s) i",
            [model.model_id, NGRAMS],
        )
    return shop


def test_ngrams_are_looked_up_by_the_index_of_the_live_partition(shop: Shop) -> None:
    names = ["tea", "커피 한 잔", "에르고베이비 옴니 브리즈 아기띠", "xyzzy", ""]
    for state in ("never analyzed", "analyzed"):
        if state == "analyzed":
            shop.execute("analyze aisle.ngram_vectors")
            names.append("tea and biscuits with oats and honey " * 4)  # as long as names of products become
        for cache_mode in ("auto", "force_generic_plan", "force_custom_plan"):
            shop.execute(f"set plan_cache_mode = {cache_mode}")
            before = {n: scans(shop, f"aisle.ngram_vectors_{n}") for n in (1, 2)}
            for i in range(CALLS):
                shop.execute("select * from aisle.predict_category(%s, 'maker')", [names[i % len(names)]])
            after = {n: scans(shop, f"aisle.ngram_vectors_{n}") for n in (1, 2)}
            case = f"({state}, plan_cache_mode = {cache_mode})"
            assert after[1] == before[1], f"Another generation's n-grams were read {case}."
            assert after[2][0] == before[2][0], f"A call reads all n-grams, by a sequential scan or a hash join {case}."
            assert after[2][1] > before[2][1], f"The index was not used {case}."


def test_a_whole_table_is_predicted_by_the_index(shop: Shop) -> None:
    shop.execute("analyze aisle.ngram_vectors")
    shop.create()
    shop.execute("insert into shop.products (id, name) select i, 'tea ' || i from generate_series(1, 200) i")
    before = scans(shop, "aisle.ngram_vectors_2")
    shop.execute("select c.category from shop.products p, lateral aisle.predict_category(p.name, p.maker, 1) c")
    after = scans(shop, "aisle.ngram_vectors_2")
    assert after[0] == before[0], "A set of rows must not read all n-grams for each of them."
    assert after[1] > before[1]


def test_the_stored_vector_of_an_item_is_found_by_its_key(connection: Connection, tiny_model: TinyModel) -> None:
    shop = Shop(connection)
    shop.execute(
        "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft) "
        "select %s, i, '[1,0]', '', false from generate_series(1, 20000) i",
        [tiny_model.model_id],
    )
    shop.execute("analyze aisle.item_vectors")
    partition = f"aisle.item_vectors_{tiny_model.model_id}"
    before = scans(shop, partition)
    for i in range(CALLS):
        shop.execute("select * from aisle.item_category(%s)", [i + 1])
    assert scans(shop, partition) == (before[0], before[1] + CALLS)
