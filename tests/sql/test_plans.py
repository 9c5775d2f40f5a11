"""How the server finds what it answers: by indexes, in one generation, without hashing a table for each call."""

from collections.abc import Callable, Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from aisle import db
from aisle.db import Connection, model_registry
from aisle.trainers import index_recall, indexes, task_of
from tests.conftest import Server, Shop, TinyModel, load_tiny_basket, scans

NGRAMS = 200_000
CALLS = 20
ITEMS, DIMENSIONS = 20_000, 8
# Directions in which items lie evenly, so that each query has its own near ones.
VECTORS = """
select i::text as item,
       public.l2_normalize(array[sin(i), cos(i), sin(2.7 * i), cos(3.1 * i), sin(5.3 * i), cos(7.7 * i),
                                           sin(i / 9.1), cos(i / 5.9)]::public.vector) as out
from generate_series(1, %(items)s) i
"""
# Every hundredth item is tea.
FILL_FACTORS = f"""
insert into aisle.item_factors (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin)
select %(model)s, item, case when item::int %% 100 = 0 then 'tea > ' else 'other > ' end, out, out, '', 'events'
from ({VECTORS}) f
"""


@pytest.fixture
def shop(connection: Connection, load_model: Callable[..., TinyModel]) -> Shop:
    """Two generations with the n-grams of a large catalogue; the second one is live."""
    shop = Shop(connection)
    for _ in range(2):
        model = load_model()
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


def test_items_to_review_are_read_at_once(connection: Connection, tiny_model: TinyModel) -> None:
    shop = Shop(connection)
    shop.create()
    shop.attach()
    shop.insert(*["xyzzy"] * 20)
    shop.execute(
        "insert into aisle._item_predictions"
        " (model_id, item_id, category, confidence, ngram_category, ngram_confidence, content_hash)"
        " select %s, i, 'tea', 0.1, 'tea', 0.1, '' from generate_series(1, 20) i on conflict do nothing",
        [tiny_model.model_id],
    )
    with connection.transaction():
        shop.execute("set local track_functions = 'all'")
        assert shop.value("select count(*) from aisle.category_review") == 20
        assert shop.value("select calls from pg_stat_xact_user_functions where funcname = '_read_items'") == 1


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


def create_recommender(connection: Connection) -> None:
    shop = Shop(connection)
    shop.create()
    shop.attach()
    shop.execute("create table shop.visits (who bigint, what bigint, seen_at timestamptz)")
    shop.execute(
        "insert into shop.visits select i %% 1000, 1 + i * 7919 %% %s, now() - i * interval '1 minute'"
        " from generate_series(1, 30000) i",
        [ITEMS],
    )
    shop.execute("create index on shop.visits (who, seen_at)")
    shop.execute("analyze shop.visits")
    shop.execute("select aisle.attach_interactions('shop.visits', 'who', 'what', 'seen_at', accept_item_ids => true)")
    parameters = {
        "history": 50, "exponent": 0.5, "category_separator": " > ", "text_model": None,
        "repeats": {"seen": 1, "count": 0, "recency": 0, "decay": 0, "context": {}},
    }  # fmt: skip
    model_id = model_registry.create(connection, "recommender", DIMENSIONS, encoder=None, parameters=parameters)
    shop.execute(FILL_FACTORS, {"model": model_id, "items": ITEMS})
    zeros = str([0] * DIMENSIONS)
    shop.execute("insert into aisle.context_vectors values (%s, '', '', %s)", [model_id, zeros])
    shop.execute(
        "insert into aisle._recency_weights select %s, place, array_fill(1.0 / place, array[%s])::vector"
        " from generate_series(1, 50) place",
        [model_id, DIMENSIONS],
    )
    indexes.create_index(connection, f"item_factors_{model_id}", DIMENSIONS, "halfvec_ip_ops")
    shop.execute("analyze aisle.item_factors")
    shop.execute("update aisle._models set state = 'ready'")
    shop.execute("select aisle.deploy(%s)", [model_id])


@pytest.fixture(scope="module")
def recommender_template(server: Server, template: str) -> Iterator[str]:
    """The name of a database with a recommender; nobody stays connected to it."""
    with server.database(f"template {template} strategy file_copy") as url:
        with db.connect(url) as connection:
            connection.execute("reset search_path")
            create_recommender(connection)
        yield str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def recommender(server: Server, recommender_template: str) -> Iterator[Shop]:
    """A live recommender of 20,000 items, indexed as the trainer does it, and a large table of visits."""
    with server.database(f"template {recommender_template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        yield Shop(connection)


def index_scans(shop: Shop) -> dict[str, int]:
    """Return how often each index of the items was used, up to now."""
    shop.execute("select pg_stat_force_next_flush()")
    rows = shop.execute(
        "select regexp_replace(indexrelname, '^item_factors_[0-9]+_', ''), idx_scan from pg_stat_user_indexes"
        " where relname ~ '^item_factors_[0-9]+$'"
    )
    return dict(rows.fetchall())


@pytest.mark.trap(22)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_recommendations_are_found_by_the_index_and_the_history_by_the_shops(
    recommender: Shop, exclude_seen: bool
) -> None:
    shop = recommender
    partition = shop.value("select 'aisle.item_factors_' || aisle._live_model('recommender')")
    for mode in ("auto", "force_generic_plan", "force_custom_plan"):
        shop.execute(f"set plan_cache_mode = {mode}")
        before = scans(shop, partition)[0], scans(shop, "shop.visits"), index_scans(shop)
        for user in range(CALLS):
            rows = shop.execute("select * from aisle.recommend(%s, exclude_seen => %s)", [user, exclude_seen])
            assert len(rows.fetchall()) == 10
        after = scans(shop, partition)[0], scans(shop, "shop.visits"), index_scans(shop)
        assert after[0] == before[0], f"A call reads all items ({mode})."
        assert after[1] == (before[1][0], before[1][1] + CALLS), f"The history is not one scan of an index ({mode})."
        assert after[2]["embedding"] == before[2]["embedding"] + CALLS, f"The HNSW index was not used once ({mode})."


@pytest.mark.trap(23)
def test_a_selective_category_is_compared_one_by_one(recommender: Shop) -> None:
    shop = recommender
    partition = shop.value("select 'aisle.item_factors_' || aisle._live_model('recommender')")
    before = scans(shop, partition)[0], index_scans(shop)
    for user in range(CALLS):
        rows = shop.execute("select item_id::int from aisle.recommend(%s, 200, 'tea')", [user]).fetchall()
        seen = shop.execute("select distinct what from shop.visits where who = %s and what %% 100 = 0", [user])
        assert {item for (item,) in rows} == set(range(100, ITEMS + 1, 100)) - {item for (item,) in seen}
    after = scans(shop, partition)[0], index_scans(shop)
    assert after[0] == before[0], "A call reads all items."
    assert after[1]["embedding"] == before[1]["embedding"], "An index of all items was searched for one in a hundred."
    assert after[1]["category_key_idx"] > before[1]["category_key_idx"]


@pytest.mark.trap(23)
@pytest.mark.parametrize(("k", "excluded"), [(10, 0), (10, 300), (10, 5000), (300, 0), (300, 5000), (19_990, 0)])
def test_the_index_finds_what_an_exact_search_finds(recommender: Shop, k: int, excluded: int) -> None:
    shop = recommender
    model = shop.value("select aisle._live_model('recommender')")
    exact = (
        "select array(select item_id from aisle.item_factors where item_id <> all (%(excluded)s::text[])"
        " order by embedding operator(public.<#>) %(query)s::public.vector limit %(k)s)"
    )
    found, all_ = 0, 0
    for n in range(1, 11):
        query = shop.value("select embedding::text from aisle.item_factors where item_id = %s", [str(n)])
        nearest = {"query": query, "excluded": [], "k": excluded}
        wanted = {"query": query, "excluded": shop.value(exact, nearest), "k": k}
        rows = shop.execute(
            "select item_id, score from aisle._nearest_factors(%s, %s::public.vector, %s, null, %s)",
            [model, query, k, wanted["excluded"]],
        ).fetchall()
        scores = [score for _, score in rows]
        assert len(rows) == min(k, ITEMS - excluded), "Fewer rows than there are."
        assert scores == sorted(scores, reverse=True)
        found += len({item for item, _ in rows} & set(shop.value(exact, wanted)))
        all_ += len(rows)
    assert found / all_ >= 0.99, f"recall@{k} is {found / all_:.3f} with the {excluded} nearest left out."


# Shares of 0.1, 1, 10 and 100 % of the items, one within the other.
NESTED = """
update aisle.item_factors set category_key = case
    when item_id::int % 1000 = 0 then 'drink > tea > green > ' when item_id::int % 100 = 0 then 'drink > tea > '
    when item_id::int % 10 = 0 then 'drink > ' else 'food > ' end
"""
SHARES = {"drink > tea > green": 0.001, "drink > tea": 0.01, "drink": 0.1, None: 1.0}


@pytest.mark.trap(23)
def test_a_filter_finds_as_many_as_there_are_whatever_its_share(recommender: Shop) -> None:
    shop = recommender
    shop.execute(NESTED)
    shop.execute("analyze aisle.item_factors")
    for category, share in SHARES.items():
        for k in (10, 150):
            rows = shop.execute("select item_id from aisle.recommend('nobody', %s, %s)", [k, category]).fetchall()
            assert len(set(rows)) == min(k, share * ITEMS), f"{category}, k = {k}"
    found = index_recall.recall(
        shop.connection, task_of("recommender"), shop.value("select aisle._live_model('recommender')")
    )
    assert found.keys() == {"0.1 %", "1 %", "10 %", "100 %"}
    assert min(found.values()) >= 0.99, found


@pytest.mark.trap(23)
def test_a_category_of_too_many_to_compare_is_searched_by_the_index(recommender: Shop) -> None:
    """What is nearest is of another category, so the scan must go on; where it may not, an exact one follows."""
    shop, others = recommender, 500
    shop.execute("update aisle.item_factors set category_key = 'food > '")
    shop.execute(
        "insert into aisle.item_factors"
        " (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin)"
        " select aisle._live_model('recommender'), 'other ' || item, 'other > ',"
        " out * array_fill(2, array[%(dimensions)s])::vector, out, '', 'events' from (" + VECTORS + ") v",
        {"items": others, "dimensions": DIMENSIONS},
    )
    shop.execute("analyze aisle.item_factors")
    call = "select item_id from aisle.recommend(%s, %s, 'food')"
    for max_scan_tuples, k in [(20_000, 10), (20_000, 150), (1, 5000)]:
        case = f"max_scan_tuples {max_scan_tuples}, k = {k}"
        shop.execute("select set_config('hnsw.max_scan_tuples', %s, false)", [str(max_scan_tuples)])
        before = index_scans(shop)["embedding"]
        found = [{item for (item,) in shop.execute(call, [user, k])} for user in range(1, 4)]
        assert index_scans(shop)["embedding"] == before + 3, f"The index was not searched once a call: {case}"
        assert [len(items) for items in found] == [k] * 3, f"Fewer rows than there are: {case}"
        shop.execute("set enable_indexscan = off")
        exact = [{item for (item,) in shop.execute(call, [user, k])} for user in range(1, 4)]
        shop.execute("reset enable_indexscan")
        assert sum(len(a & b) for a, b in zip(found, exact, strict=True)) >= 0.95 * 3 * k, case


@pytest.mark.trap(22)
def test_an_index_is_built_anew_and_takes_the_old_ones_place(recommender: Shop) -> None:
    shop = recommender
    model = shop.value("select aisle._live_model('recommender')")
    name = f"item_factors_{model}_embedding"
    old = shop.value("select to_regclass('aisle.' || %s)::oid", [name])
    answer = shop.execute("select item_id from aisle.recommend(5, 1)").fetchall()
    assert indexes.index_generation(shop.connection, "recommender", model) == [name]
    hnsw = shop.execute(
        "select indexrelid::regclass::text, indisvalid, indexrelid <> %s from pg_index i join pg_class c"
        " on c.oid = i.indexrelid join pg_am a on a.oid = c.relam where a.amname = 'hnsw'",
        [old],
    ).fetchall()
    assert hnsw == [(f"aisle.{name}", True, True)]
    assert shop.execute("select item_id from aisle.recommend(5, 1)").fetchall() == answer
    assert index_scans(shop)["embedding"] == 1, "The new index was not used."


@pytest.mark.trap(22)
def test_like_items_are_found_by_the_index(connection: Connection, load_model: Callable[..., TinyModel]) -> None:
    shop, model = Shop(connection), load_model(dimensions=DIMENSIONS).model_id
    shop.create()
    shop.attach()
    shop.execute(
        "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft)"
        " select %(model)s, item, out, '', false from (" + VECTORS + ") v",
        {"model": model, "items": indexes.INDEX_FROM},
    )
    assert indexes.index_generation(connection, "category", model) == [f"item_vectors_{model}_embedding"]
    partition = f"aisle.item_vectors_{model}"
    before = scans(shop, partition)
    for item in range(1, CALLS + 1):
        assert len(shop.execute("select * from aisle.similar_items(%s)", [item]).fetchall()) == 10
        assert len(shop.execute("select * from aisle.search_items('녹차', 100)").fetchall()) == 100
    after = scans(shop, partition)
    assert after[0] == before[0], "A call reads all items."
    assert after[1] == before[1] + 3 * CALLS, "An item is one look-up, and either search one scan of the index."
    assert index_recall.recall(connection, task_of("category"), model)["100 %"] >= 0.99


@pytest.mark.trap(22)
def test_the_next_basket_and_the_rest_of_a_cart_are_found_by_indexes(connection: Connection) -> None:
    shop = Shop(connection)
    shop.execute("create schema shop")
    shop.execute("create table shop.lines (number text, who text, at timestamptz, what text)")
    shop.execute("create index on shop.lines (who, at)")
    shop.execute("select aisle.attach_orders('shop.lines', 'number', 'what', 'who', 'at')")
    shop.execute(
        "insert into shop.lines select i / 5, i / 10, now() - i * interval '1 hour', 1 + i %% %s"
        " from generate_series(0, 20000) i",
        [ITEMS],
    )
    shop.execute("analyze shop.lines")
    model = load_tiny_basket(connection, {}, dimensions=DIMENSIONS)
    shop.execute(
        "insert into aisle.basket_items (model_id, item_id, embedding, taste, cart, completion, companions, cosines,"
        " popularity, gap) select %(model)s, item, out, out, out, out || '[0]', '{}', '{}', .001, 10"
        " from (" + VECTORS + ") v",
        {"model": model, "items": ITEMS},
    )
    shop.execute(
        "insert into aisle.customer_vectors (model_id, user_id, embedding, taste, next_items, known_at, content_hash)"
        " select %(model)s, item, out, out, array[item, '7'], 0, '' from (" + VECTORS + ") v",
        {"model": model, "items": indexes.INDEX_FROM},
    )
    assert len(indexes.index_generation(connection, "basket", model)) == 3
    tables = [f"aisle.{table}_{model}" for table in ("basket_items", "customer_vectors")]
    before = [scans(shop, table)[0] for table in tables]
    for customer in range(1, CALLS + 1):
        assert len(shop.execute("select * from aisle.next_basket(%s)", [customer]).fetchall()) == 10
        assert len(shop.execute("select * from aisle.complete_basket(array['5', '9'])").fetchall()) == 10
    assert [scans(shop, table)[0] for table in tables] == before, "A call reads all products or all customers."
    used = dict(
        shop.execute(
            "select regexp_replace(indexrelname, '_[0-9]+_', ' '), idx_scan from pg_stat_user_indexes"
            " where indexrelname ~ '_(embedding|completion|taste)$'"
        ).fetchall()
    )
    assert used == {"basket_items embedding": CALLS, "basket_items completion": CALLS, "customer_vectors taste": CALLS}
    assert index_recall.recall(connection, task_of("basket"), model)["100 %"] >= 0.99


@pytest.mark.trap(23)
def test_what_is_bought_with_like_products_is_found_by_the_index_as_far_as_is_asked(connection: Connection) -> None:
    shop, items, k = Shop(connection), indexes.INDEX_FROM, 150
    shop.create()
    shop.execute("insert into shop.products (id, name) select i, '' from generate_series(1, %s) i", [items])
    shop.execute("analyze shop.products")
    shop.attach()
    model = load_tiny_basket(connection, {}, dimensions=DIMENSIONS)
    shop.execute(
        "insert into aisle.basket_items (model_id, item_id, embedding, taste, cart, completion, companions, cosines,"
        " co_purchase, popularity, gap) select %(model)s, item, out, out, out, out || '[0]', '{}', '{}', out, .001, 10"
        " from (" + VECTORS + ") v",
        {"model": model, "items": items},
    )
    indexes.create_index(connection, f"basket_items_{model}", DIMENSIONS, "halfvec_cosine_ops", column="co_purchase")
    shop.execute("analyze aisle.basket_items")
    before, looked_through = (scans(shop, table)[0] for table in (f"aisle.basket_items_{model}", "shop.products"))
    found = 0
    for item in map(str, range(1, CALLS + 1)):
        rows = shop.execute("select item_id from aisle.similar_items(%s, %s, 'basket')", [item, k]).fetchall()
        assert len(rows) == k > 40, "A search of the index ends with hnsw.ef_search."
        exact = shop.value(
            "select array(select b.item_id from aisle.basket_items b where b.item_id <> %s order by b.co_purchase"
            " operator(public.<=>)"
            " (select a.co_purchase from aisle.basket_items a where a.item_id = %s) limit %s)",
            [item, item, k],
        )
        found += len({name for (name,) in rows} & set(exact))
    assert scans(shop, f"aisle.basket_items_{model}")[0] == before + CALLS, "Only the exact searches read all products."
    assert scans(shop, "shop.products")[0] == looked_through, "Whether a product is there is asked by its id."
    assert found >= 0.99 * k * CALLS


@pytest.mark.trap(23)
@pytest.mark.parametrize(("rows", "further"), [(0, 0), (100_000, 0), (100_001, 80), (1_000_000, 80), (2_000_000, 160)])
def test_a_larger_index_is_searched_further(connection: Connection, rows: int, further: int) -> None:
    assert Shop(connection).value("select aisle._further(%s)", [rows]) == further
