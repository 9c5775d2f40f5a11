"""recommend() on a model that fits in the head: two dimensions, five items, and all sums are of halves and ones."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Shop, TinyModel, load_tiny_recommender, scans

# item: category, out-vector, in-vector
ITEMS: dict[int, tuple[str | None, tuple[float, float], tuple[float, float]]] = {
    1: ("음료 > 차", (1, 0), (0, 2)),
    2: ("음료 > 커피", (0, 1), (2, 0)),
    3: ("음료 > 커피 > 캡슐", (0.5, 0.5), (0, 0)),
    4: ("빵", (-1, 1), (0, 1)),
    5: (None, (-1, -1), (1, 1)),
}


def create_items_and_visits(shop: Shop) -> None:
    """Create and attach five items, and a table of visits with its indexes."""
    shop.create()
    for item, (category, _, _) in ITEMS.items():
        shop.execute(
            "insert into shop.products (id, name, category) values (%s, %s, %s)", [item, f"item {item}", category]
        )
    shop.attach()
    create_visits(shop)
    shop.forget_jobs()


@pytest.fixture
def visits(shop: Shop) -> Shop:
    """Items and visits, and a live model that knows the user ann."""
    create_items_and_visits(shop)
    load_tiny_recommender(shop.connection, ITEMS)
    return shop


def create_visits(shop: Shop, user_type: str = "text", at_type: str = "timestamptz", **options: Any) -> None:
    shop.execute(
        f"create table shop.visits (who {user_type}, what bigint, seen_at {at_type} default clock_timestamp(), "
        "meal_time text)"
    )
    shop.execute("create index on shop.visits (who, seen_at)")
    shop.execute("create index on shop.visits (seen_at)")
    arguments = {"user_id": "who", "item_id": "what", "at": "seen_at", "context_columns": ["meal_time"]} | options
    assigned = ", ".join(f"{name} => %s" for name in arguments)
    shop.execute(f"select aisle.attach_interactions('shop.visits', {assigned})", list(arguments.values()))


def recommend(shop: Shop, user: Any, **options: Any) -> dict[int, float]:
    """Return the score of each recommended item, best first."""
    given = "".join(f", {name} => %s" for name in options)
    rows = shop.execute(
        f"select item_id::integer, score from aisle.recommend(%s{given}) order by rank", [user, *options.values()]
    )
    return dict(rows.fetchall())


def visit(shop: Shop, user: Any, *items: int, meal: str | None = None) -> None:
    for item in items:
        shop.execute("insert into shop.visits (who, what, meal_time) values (%s, %s, %s)", [user, item, meal])


def test_a_user_without_events_is_its_own_vector(visits: Shop) -> None:
    # u = (0, .5) + (1, 0)
    assert recommend(visits, "ann") == {1: 1, 3: 0.75, 2: 0.5, 4: -0.5, 5: -1.5}
    assert list(recommend(visits, "ann", k=2)) == [1, 3]


def test_an_event_counts_in_the_next_statement(visits: Shop) -> None:
    visit(visits, "ann", 4)
    # u = (1, .5) + (0, 1)
    assert recommend(visits, "ann") == {2: 1.5, 3: 1.25, 1: 1, 5: -2.5}, "4 was seen."


def test_later_events_weigh_more_and_the_oldest_nothing(visits: Shop) -> None:
    visit(visits, "ann", 5, 2, 4)
    # u = (1, .5) + 1 · (0, 1) + ½ · (2, 0); 5 is beyond the two that count
    assert recommend(visits, "ann") == {1: 2, 3: 1.75}


def test_an_item_counts_once_at_its_latest_where_the_model_says_so(visits: Shop) -> None:
    visit(visits, "ann", 5, 4, 2, 4, 4)
    # u = (1, .5) + 1 · (0, 1) + ½ · (0, 1)
    assert recommend(visits, "ann") == {3: 1.5, 1: 1}
    visits.execute("update aisle._models set parameters = parameters || '{\"distinct\": true}'")
    # u = (1, .5) + 1 · (0, 1) + ½ · (2, 0)
    assert recommend(visits, "ann") == {1: 2, 3: 1.75}


def test_items_that_are_gone_take_no_place_in_a_history(visits: Shop) -> None:
    visits.execute(
        """update aisle._models set parameters = jsonb_set(parameters, '{repeats}', '{"seen": 1, "count": 0,"""
        """ "recency": 1, "decay": 1, "context": {}}')"""
    )
    visit(visits, "ann", 5, 2, 4)
    new, again = recommend(visits, "ann"), recommend(visits, "ann", exclude_seen=False)
    assert new == {1: 2, 3: 1.75}
    visit(visits, "ann", *range(70, 130))
    assert recommend(visits, "ann") == new
    assert recommend(visits, "ann", exclude_seen=False) == again


def test_an_uncommitted_event_counts_for_its_own_transaction_only(visits: Shop, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("insert into shop.visits (who, what) values ('ann', 4)")
        assert 4 in recommend(visits, "ann")
        row = other.execute("select array_agg(item_id) from aisle.recommend('ann')").fetchone()
        assert row is not None
        assert "4" not in row[0]


def test_seen_items_come_again_on_request(visits: Shop) -> None:
    visit(visits, "ann", 4)
    # the score of 4 is -1 · 1 + 1 · 1.5, and 1 for having been there
    assert recommend(visits, "ann", exclude_seen=False) == {2: 1.5, 4: 1.5, 3: 1.25, 1: 1, 5: -2.5}


def test_a_repeat_in_the_same_situation_counts_more(visits: Shop) -> None:
    visit(visits, "ann", 4, meal="lunch")
    lunch = recommend(visits, "ann", exclude_seen=False, context=Jsonb({"meal_time": "lunch"}))
    assert lunch[4] == pytest.approx(1.5 + 10 * 0.6931472, abs=1e-6)
    assert recommend(visits, "ann", exclude_seen=False, context=Jsonb({"meal_time": "brunch"}))[4] == 1.5


def test_context_adds_its_vector(visits: Shop) -> None:
    # u = (1, .5) + (0, 3)
    assert recommend(visits, "ann", context=Jsonb({"meal_time": "dinner"}), k=1) == {2: 3.5}


def test_a_context_value_that_was_never_seen_adds_nothing(visits: Shop) -> None:
    for value in ("brunch", "", None, 7, ["dinner"]):
        assert recommend(visits, "ann", context=Jsonb({"meal_time": value})) == recommend(visits, "ann")


@pytest.mark.parametrize("context", [{"mealtime": "lunch"}, ["lunch"], "lunch", 7])
def test_a_context_that_can_only_be_a_mistake_is_refused(visits: Shop, context: Any) -> None:
    with pytest.raises(psycopg.Error) as raised:
        recommend(visits, "ann", context=Jsonb(context))
    assert raised.value.sqlstate == "AIS06"
    assert "meal_time" in (raised.value.diag.message_hint or "")


def test_a_new_user_with_events_is_their_sum(visits: Shop) -> None:
    visit(visits, "bob", 1)
    # u = (0, .5) + (0, 2)
    assert recommend(visits, "bob", k=2) == {2: 2.5, 4: 2.5}


def test_a_new_user_with_a_context_is_that(visits: Shop) -> None:
    assert recommend(visits, "bob", context=Jsonb({"meal_time": "dinner"}), k=1) == {2: 3.5}


def test_of_a_user_without_anything_the_popular_items_come_first(visits: Shop) -> None:
    visit(visits, "zoe", 4, 4, 5)
    visit(visits, "yan", 4)
    # then those that the constant (0, .5) likes best
    assert recommend(visits, "bob") == {4: 0.75, 5: 0.25, 2: 0, 3: 0, 1: 0}
    assert list(recommend(visits, "bob", k=1)) == [4]
    assert recommend(visits, None) == recommend(visits, "bob"), "No id is nobody in particular."


def test_what_was_popular_long_ago_is_not(visits: Shop) -> None:
    visits.execute(
        "insert into shop.visits (who, what, seen_at) "
        "select 'zoe', 5, now() - interval '8 days' from generate_series(1, 9)"
    )
    visit(visits, "zoe", 4)
    assert list(recommend(visits, "bob", k=2)) == [4, 2]


def test_what_is_yet_to_come_is_not_popular(visits: Shop) -> None:
    visit(visits, "zoe", 4)
    visits.execute("insert into shop.visits values ('zoe', 5, now() + interval '1 month'), ('zoe', 5, '9999-12-31')")
    assert recommend(visits, "bob", k=2) == {4: 1, 2: 0}


def test_a_category_is_it_and_all_below_it(visits: Shop) -> None:
    assert list(recommend(visits, "ann", category="음료")) == [1, 3, 2]
    assert list(recommend(visits, "ann", category="음료 > 커피")) == [3, 2]
    visit(visits, "zoe", 1, 3, 4)
    assert list(recommend(visits, "bob", category="음료 > 커피")) == [3, 2], "Popular ones, too."
    visit(visits, "ann", 1, 4)
    assert list(recommend(visits, "ann", category="빵", exclude_seen=False)) == [4], "And repeats."


def test_an_unknown_category_is_a_mistake_and_near_ones_are_named(visits: Shop) -> None:
    for unknown in ("음", "음료 > 커피 > 원두"):
        with pytest.raises(psycopg.Error, match=f"There is no category '{unknown}'") as caught:
            recommend(visits, "ann", category=unknown)
        assert caught.value.sqlstate == "AIS06"
    assert str(caught.value.diag.message_hint).startswith("Near: '음료 > 커피'")


def test_without_items_left_there_are_no_rows(visits: Shop) -> None:
    visit(visits, "ann", 1, 2, 3, 4, 5)
    assert recommend(visits, "ann") == {}
    visits.execute("truncate shop.products")
    visits.collect()
    assert recommend(visits, "ann", exclude_seen=False) == {}


@pytest.mark.parametrize("k", [0, -1, None])
def test_k_must_be_at_least_one(visits: Shop, k: int | None) -> None:
    with pytest.raises(psycopg.Error, match="k must be at least 1"):
        recommend(visits, "ann", k=k)


@pytest.mark.parametrize(
    ("user_type", "user", "others"),
    [
        ("bigint", 7, ["ann", "9223372036854775808", "7.0", " 7", ""]),
        ("integer", 7, ["3000000000"]),
        ("uuid", "5f0c9d2e-8d4f-4b7c-9a55-0a6a4a1f7e11", ["7", "5f0c"]),
        ("varchar(50)", "O'Brien", ["'"]),
    ],
)
def test_user_ids_of_any_type(shop: Shop, user_type: str, user: Any, others: list[str]) -> None:
    shop.create()
    shop.execute("insert into shop.products (id, name) select i, 'item ' || i from generate_series(1, 5) i")
    shop.attach()
    create_visits(shop, user_type)
    load_tiny_recommender(shop.connection, ITEMS)
    visit(shop, user, 1)
    assert 1 not in recommend(shop, str(user))
    if user_type == "bigint":
        assert recommend(shop, user) == recommend(shop, str(user)), "The overload is the same."
    for other in others:
        assert list(recommend(shop, other, k=1)) == [1], "An id that cannot be one is a user without anything."


def test_the_history_is_read_by_the_shops_own_index(visits: Shop) -> None:
    visits.execute(
        "insert into shop.visits (who, what, seen_at) "
        "select 'user ' || i % 1000, i % 5 + 1, now() - i * interval '1 minute' from generate_series(1, 20000) i"
    )
    visits.execute("analyze shop.visits")
    whole, _ = scans(visits, "shop.visits")
    for user in ("user 1", "nobody"):
        for mode in ("auto", "force_generic_plan", "force_custom_plan"):
            visits.execute(f"set plan_cache_mode = {mode}")
            recommend(visits, user)
    assert scans(visits, "shop.visits")[0] == whole, "A user must not cost a scan of all visits."


def test_without_an_index_on_time_a_large_table_is_not_scanned_for_strangers(visits: Shop) -> None:
    visit(visits, "zoe", 4)
    visits.execute("drop index shop.visits_seen_at_idx")
    assert list(recommend(visits, "bob", k=1)) == [4], "This table is small."
    visits.execute("insert into shop.visits select 'zoe', 4, now(), repeat('x', 1000) from generate_series(1, 10000)")
    assert list(recommend(visits, "bob", k=1)) == [2], "What the model likes best for anybody."


def test_an_index_that_keeps_no_order_is_none(visits: Shop) -> None:
    visit(visits, "zoe", 4)
    visits.execute("drop index shop.visits_seen_at_idx")
    visits.execute(
        "create index on shop.visits using brin (seen_at); create index on shop.visits (who) include (seen_at)"
    )
    visits.execute("insert into shop.visits select 'zoe', 4, now(), repeat('x', 1000) from generate_series(1, 10000)")
    assert list(recommend(visits, "bob", k=1)) == [2]
    (missing,), *others = visits.execute("select statement from aisle._missing_indexes('interactions')").fetchall()
    assert missing == "create index concurrently on shop.visits (seen_at);"
    assert not others


def test_a_moment_means_the_same_in_every_style_of_dates(visits: Shop) -> None:
    visits.execute("set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'")
    visits.execute("insert into shop.visits values ('zoe', 4, now() + interval '2 hours')")
    assert list(recommend(visits, "bob", k=1)) == [2], "What is yet to come does not count."


def test_a_category_is_queried_as_the_model_has_it_whatever_is_attached(visits: Shop) -> None:
    visit(visits, "zoe", 1, 3, 4)
    visits.execute("select aisle.detach('items')")
    assert list(recommend(visits, "ann", category="음료 > 커피")) == [3, 2]
    visits.attach(category_separator="/")
    assert list(recommend(visits, "ann", category="음료 > 커피")) == [3, 2]
    assert list(recommend(visits, "bob", category="음료 > 커피")) == [3, 2]
    visits.execute("insert into shop.products (id, name, category) values (9, '홍차', '차')")
    visits.execute("delete from shop.products where id = 3")
    visits.execute("insert into shop.products (id, name, category) values (3, '커피', '음료 > 커피')")
    assert list(recommend(visits, "ann", category="음료 > 커피")) == [3, 2], "What comes back, too."


def test_as_of_a_moment_nothing_later_counts(visits: Shop) -> None:
    visits.execute("insert into shop.visits values ('ann', 4, '2026-01-01 12:00Z'), ('ann', 2, '2026-01-02 12:00Z')")
    rows = visits.execute(
        "select r.item_id from aisle._live_model('recommender') model, "
        "aisle._recommend(model, 'ann', 10, null, null, true, '2026-01-02 12:00Z') r"
    ).fetchall()
    assert [item for (item,) in rows] == ["2", "3", "1", "5"]


def test_of_dates_the_day_before_a_held_out_one_counts(visits: Shop) -> None:
    visits.execute("select aisle.detach('interactions')")
    visits.execute("drop table shop.visits")
    create_visits(visits, at_type="date", time_zone="Asia/Seoul")
    visits.execute("insert into shop.visits values ('ann', 5, '2026-01-01'), ('ann', 4, '2026-01-02')")
    visits.execute("insert into shop.visits values ('ann', 2, '2026-01-03')")
    rows = visits.execute(
        "select r.item_id from aisle._live_model('recommender') model, "
        "aisle._recommend(model, 'ann', 10, null, null, true, '2026-01-02 14:59:59.999998Z') r"
    ).fetchall()
    # u = (1, .5) + 1 · (0, 1) + ½ · (1, 1)
    assert [item for (item,) in rows] == ["2", "3", "1"], "4 was seen the day before; 2 is what should be foreseen."


def test_hour_weekday_and_meal_are_taken_from_the_time_in_the_attached_zone(visits: Shop) -> None:
    visits.execute("select aisle.detach('interactions')")
    visits.execute("drop table shop.visits")
    create_visits(visits, time_zone="Asia/Seoul", context_columns=[])
    visits.execute("insert into aisle.context_vectors select model_id, 'hour', '13', '[9,0]' from aisle._models")
    visits.execute("set aisle.now = '2026-11-23 04:30Z'")  # 13:30 in Seoul
    assert recommend(visits, "ann", k=1) == {1: 10}
    assert recommend(visits, "ann", k=1, context=Jsonb({"hour": "12"})) == {1: 1}, "What is given counts."
    assert visits.value("select aisle._time_context('2026-11-23 13:30')") == {
        "hour": "13", "weekday": "1", "meal_slot": "lunch",
    }  # fmt: skip


def test_without_attached_interactions_a_known_user_is_its_vector(visits: Shop) -> None:
    visits.execute("select aisle.detach('interactions')")
    assert list(recommend(visits, "ann", k=1)) == [1]
    assert list(recommend(visits, "bob", k=1)) == [2]


def test_no_context_columns_may_be_null(shop: Shop) -> None:
    shop.create()
    create_visits(shop, context_columns=None)
    assert shop.value("select columns -> 'context' from aisle._attachments where kind = 'interactions'") == []


@pytest.mark.parametrize("type_", ["boolean", "text"])
def test_a_weight_is_a_number(shop: Shop, type_: str) -> None:
    shop.execute(f"create schema shop; create table shop.visits (who text, what int, at date, w {type_})")
    with pytest.raises(psycopg.Error, match=f"w of shop.visits is of type {type_}; the weight of an event") as raised:
        shop.execute("select aisle.attach_interactions('shop.visits', 'who', 'what', 'at', weight => 'w')")
    assert raised.value.sqlstate == "AIS04"


def test_without_a_model_it_says_what_to_do(shop: Shop) -> None:
    with pytest.raises(psycopg.Error) as raised:
        recommend(shop, "ann")
    assert raised.value.sqlstate == "AIS01"
    assert raised.value.diag.message_hint == "Train one: aisle train recommender"


def test_a_new_item_is_the_mean_of_its_neighbours_in_the_same_transaction(visits: Shop, tiny_model: TinyModel) -> None:
    visits.execute("update shop.products set name = 'tea' where id in (1, 2)")
    visits.execute("update shop.products set name = 'zzz' where id in (3, 4, 5)")
    visits.execute("insert into shop.products (id, name) values (6, 'tea')")
    row = visits.execute(
        "select origin, embedding, in_embedding from aisle.item_factors where item_id = '6'"
    ).fetchone()
    assert row == ("draft", "[0.5,0.5]", "[1,1]"), "Items 1 and 2; the text of the others has no vector."
    assert 6 in recommend(visits, "ann")
    visits.execute("delete from shop.products where id = 6")
    assert 6 not in recommend(visits, "ann")


def test_a_new_item_without_a_text_model_waits_for_the_worker(visits: Shop) -> None:
    visits.execute("insert into shop.products (id, name) values (6, 'tea')")
    assert 6 not in recommend(visits, "ann")
    visits.collect()
    tasks = visits.execute("select task from aisle._embedding_jobs where id = '6' order by task").fetchall()
    assert tasks == [("category",), ("recommender",)]


def test_a_changed_category_is_a_change_and_counts_from_its_own_transaction_on(visits: Shop) -> None:
    visits.execute("update shop.products set category = '빵' where id = 1")
    assert 1 not in recommend(visits, "ann", category="음료")
    assert 1 in recommend(visits, "ann", category="빵")
    assert set(visits.jobs()) == {"1"}
