"""Links between items in recommend(), similar_items() and explain_recommendation(): all sums are of halves and ones."""

import math
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Shop, TinyModel, load_tiny_recommender, scans
from tests.sql.test_recommend import ITEMS, create_items_and_visits, recommend, visit

# source: {target: weight}
AFTER = {1: {2: 4.0, 3: 2.0}, 2: {4: 1.0, 1: 8.0}}
BESIDE = {1: {4: 0.5}, 4: {1: 0.5, 3: 0.25}}
HALF_LIFE = 1 / math.log(2)  # the event before the latest counts a half


@pytest.fixture
def visits(shop: Shop) -> Shop:
    """Five items whose vectors say nothing, and links."""
    create_items_and_visits(shop)
    model_id = load_tiny_recommender(
        shop.connection, {item: (category, (0, -item / 1024), (0, 0)) for item, (category, _, _) in ITEMS.items()}
    )
    shop.execute("delete from aisle.user_vectors; delete from aisle.context_vectors where feature <> ''")
    shop.execute("update aisle.context_vectors set embedding = '[0,1]'")
    links = {"after": {"decay": HALF_LIFE, "history": 2}, "beside": {"decay": None, "history": 1000}}
    setting(shop, links=links, kind="item-item", distinct=True)
    for kind, of in (("after", AFTER), ("beside", BESIDE)):
        for source, targets in of.items():
            shop.execute(
                "insert into aisle.item_links (model_id, item_id, kind, linked, weights) values (%s, %s, %s, %s, %s)",
                [model_id, str(source), kind, [str(t) for t in targets], list(targets.values())],
            )
    return shop


def setting(shop: Shop, **parameters: Any) -> None:
    shop.execute("update aisle._models set parameters = parameters || %s", [Jsonb(parameters)])


def add_without_links(shop: Shop, item: int, category: str) -> None:
    shop.execute("insert into shop.products (id, name, category) values (%s, 'new', %s)", [item, category])
    shop.execute(
        "insert into aisle.item_factors"
        " (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin)"
        " select model_id, %s, %s, embedding, in_embedding, '', 'content' from aisle.item_factors where item_id = '5'"
        " on conflict (item_id, model_id) do update set category_key = excluded.category_key",
        [str(item), f"{category} > "],
    )


def rounded(scores: dict[int, float]) -> dict[int, float]:
    """Leave out what popularity adds."""
    return {item: round(score * 32) / 32 for item, score in scores.items()}


def why(shop: Shop, user: str, item: int, context: Any = None) -> dict[tuple[str, str | None], float]:
    rows = shop.execute(
        "select because, value, share from aisle.explain_recommendation(%s, %s, %s)",
        [user, str(item), Jsonb(context) if context else None],
    )
    return {(because, value): share for because, value, share in rows}


def test_links_of_later_events_weigh_more(visits: Shop) -> None:
    visit(visits, "eva", 1)
    assert rounded(recommend(visits, "eva")) == {2: 4, 3: 2, 4: 0.5, 5: 0}, "What no link leads to comes last."
    visit(visits, "eva", 2)
    # after: 2 counts 1, and 1 a half; beside: all count 1
    assert rounded(recommend(visits, "eva")) == {4: 1.5, 3: 1, 5: 0}
    visit(visits, "eva", 4)
    # 1 is beyond the two that count for what follows
    assert rounded(recommend(visits, "eva")) == {3: 0.25, 5: 0}
    assert rounded(recommend(visits, "eva", exclude_seen=False))[1] == 8 * 0.5 + 0.5 + 1, "And 1 for a repeat."


def test_an_item_counts_at_its_latest_event_alone_if_the_model_counts_each_once(visits: Shop) -> None:
    visit(visits, "eva", 1, 2, 1)
    assert rounded(recommend(visits, "eva")) == {3: 2, 4: 1, 5: 0}
    setting(visits, distinct=False)
    assert rounded(recommend(visits, "eva")) == {3: 2, 4: 1.5, 5: 0}, "beside: twice a half from 1"


@pytest.mark.parametrize("unit", [False, True])
def test_a_mixture_adds_the_vectors(visits: Shop, unit: bool) -> None:
    setting(visits, kind="mixture", unit=unit)
    visits.execute("update aisle.context_vectors set embedding = '[2,0]'")
    visits.execute("update aisle.item_factors set embedding = '[1,0]' where item_id = '5'")
    visit(visits, "eva", 1)
    assert rounded(recommend(visits, "eva")) == {2: 4, 3: 2, 5: 1 if unit else 2, 4: 0.5}
    assert recommend(visits, "eva", k=1).keys() == {2}


def test_of_a_category_there_are_as_many_as_it_has(visits: Shop) -> None:
    visit(visits, "eva", 1)
    assert rounded(recommend(visits, "eva", category="음료")) == {2: 4, 3: 2}
    assert rounded(recommend(visits, "eva", category="음료 > 커피 > 캡슐")) == {3: 2}


def test_what_must_not_be_answered_is_not_and_others_take_its_place(visits: Shop) -> None:
    visits.execute("select aisle.detach('items')")
    visits.execute("select aisle.attach_items('shop.products', category => 'category', eligible => 'id <> 2')")
    visit(visits, "eva", 1)
    assert rounded(recommend(visits, "eva")) == {3: 2, 4: 0.5, 5: 0}
    assert rounded(recommend(visits, "eva", k=1)) == {3: 2}
    assert why(visits, "eva", 2) == {}
    assert visits.value("select array_agg(item_id) from aisle.similar_items('1', space => 'after')") == ["3"]


def test_a_gone_item_is_neither_answered_nor_part_of_the_history(visits: Shop) -> None:
    visit(visits, "eva", 1, 2)
    visits.execute("delete from shop.products where id in (2, 3)")
    assert rounded(recommend(visits, "eva")) == {4: 0.5, 5: 0}


def test_a_history_without_links_leads_where_its_neighbours_do(visits: Shop) -> None:
    add_without_links(visits, 6, "음료 > 차")
    visit(visits, "eva", 6)
    assert rounded(recommend(visits, "eva")) == {2: 4, 3: 2, 4: 0.5, 1: 0, 5: 0}, "1 is of its category."
    assert visits.execute("select item_id, score from aisle.similar_items('6', space => 'after')").fetchall() == [
        ("2", 4), ("3", 2),
    ]  # fmt: skip


def test_neighbours_are_found_by_text_if_there_is_a_category_model(visits: Shop, tiny_model: TinyModel) -> None:
    add_without_links(visits, 6, "빵")
    for item, vector in ((2, "[1,0]"), (6, "[1,0]")):
        visits.execute("delete from aisle.item_vectors where item_id = %s", [str(item)])
        visits.execute(
            "insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft)"
            " values (%s, %s, %s, '', false)",
            [tiny_model.model_id, str(item), vector],
        )
    visit(visits, "eva", 6)
    assert rounded(recommend(visits, "eva", k=2)) == {1: 8, 4: 1}


def test_spaces_of_similar_items(visits: Shop) -> None:
    query = "select item_id, score from aisle.similar_items(%s::bigint, 5, %s) order by rank"
    assert visits.execute(query, [1, "after"]).fetchall() == [("2", 4), ("3", 2)]
    assert visits.execute(query, [4, "behaviour"]).fetchall() == [("1", 0.5), ("3", 0.25)]
    assert visits.execute(query, [77, "behaviour"]).fetchall() == []


# ---- why ----


def test_the_terms_of_a_score_are_named(visits: Shop) -> None:
    visit(visits, "eva", 1, 2)
    found = why(visits, "eva", 4)
    popularity = found.pop(("popularity", None))
    assert found == {("item", "2"): 1, ("item", "1"): 0.5}
    assert popularity == -4 / 1024
    assert why(visits, "eva", 1)["repeat", None] == 1
    assert why(visits, "eva", 77) == {}


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("history", [[], [1], [1, 2, 1, 4], [5, 5, 3]])
@pytest.mark.parametrize("user", ["ann", "eva"])
def test_shares_add_up_to_the_score(visits: Shop, user: str, history: list[int], unit: bool) -> None:
    setting(visits, kind="mixture", unit=unit, exponent=0.5)
    visits.execute("insert into aisle.user_vectors select max(model_id), 'ann', '[1,0]' from aisle._models")
    visits.execute(
        "insert into aisle.context_vectors select max(model_id), 'meal_time', 'dinner', '[0,3]' from aisle._models"
    )
    for item, (_, out, into) in ITEMS.items():
        visits.execute(
            "update aisle.item_factors set embedding = %s, in_embedding = %s where item_id = %s",
            [str(list(out)), str(list(into)), str(item)],
        )
    visit(visits, user, *history, meal="dinner")
    context = {"meal_time": "dinner"}
    scores = recommend(visits, user, exclude_seen=False, context=Jsonb(context))
    assert len(scores) == len(ITEMS)
    for item, score in scores.items():
        assert sum(why(visits, user, item, context).values()) == pytest.approx(score, abs=1e-6)


def test_for_a_user_of_whom_nothing_is_known_it_is_popularity(visits: Shop) -> None:
    visit(visits, "ann", 3, 3, 4)
    assert why(visits, "nobody", 3) == {("popularity", None): 2 / 3}


# ---- plans ----


def test_a_call_reads_the_links_of_the_last_events_by_their_key(visits: Shop) -> None:
    """10,000 items with 20 links each; a call reads those of its history alone."""
    model = visits.value("select max(model_id) from aisle._models")
    visits.execute("insert into shop.products (id, name) select n, 'item ' || n from generate_series(6, 10000) n")
    visits.execute(
        "insert into aisle.item_factors (model_id, item_id, embedding, in_embedding, content_hash, origin)"
        " select %s, n::text, '[0,0]', '[0,0]', '', 'events' from generate_series(6, 10000) n",
        [model],
    )
    visits.execute(
        "insert into aisle.item_links select %s, n::text, k, array(select (1 + (n * 7 + i) %% 10000)::text"
        " from generate_series(1, 20) i), array_fill(1::real, array[20])"
        " from generate_series(6, 10000) n, unnest(array['after', 'beside']) k",
        [model],
    )
    visits.execute("analyze aisle.item_links; analyze aisle.item_factors")
    visit(visits, "eva", *range(100, 120))
    for mode in ("auto", "force_generic_plan", "force_custom_plan"):
        visits.execute(f"set plan_cache_mode = {mode}")
        before = scans(visits, f"aisle.item_links_{model}"), scans(visits, f"aisle.item_factors_{model}")
        for _ in range(8):
            assert len(recommend(visits, "eva")) == 10
        after = scans(visits, f"aisle.item_links_{model}"), scans(visits, f"aisle.item_factors_{model}")
        for (all_before, _), (all_after, _) in zip(before, after, strict=True):
            assert all_after == all_before, f"A call reads all rows ({mode})."
