"""Categories that are rows of the shop's own: labels are ids, and names and places are read when answered."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aisle.db import grants
from tests.conftest import Shop, TinyModel, load_tiny_model, load_tiny_recommender

TREE = {"table": "shop.category"}
DRINKS, TEA, COFFEE, BREAD = 1, 11, 12, 2


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """A shop with 녹차 (tea), 커피 (coffee) and 식빵 (bread), and the tiny model with their ids as labels."""
    shop.execute(
        "create schema shop;"
        " create table shop.category (id integer primary key, parent_id integer references shop.category, name text,"
        " active boolean not null default true);"
        " insert into shop.category values (1, null, '음료'), (11, 1, '차'), (12, 1, '커피'), (2, null, '빵');"
        " create table shop.products (id bigint primary key, name text, category_id integer references shop.category);"
        " insert into shop.products values (1, '녹차', 11), (2, '커피', 12), (3, '식빵', 2), (4, '녹차', null)"
    )
    label_by_ids(shop, load_tiny_model(shop.connection))
    return shop


def label_by_ids(shop: Shop, model: TinyModel) -> None:
    for name, label in ((model.tea, TEA), (model.coffee, COFFEE), (model.bread, BREAD)):
        shop.execute("update aisle.category_vectors set category = %s where category = %s", [str(label), name])
    shop.execute("""update aisle._models set parameters = parameters || '{"category_ids": true}'""")


def attach(shop: Shop, **named: Any) -> str:
    given = {"category": "category_id", "categories": TREE} | named
    values = [Jsonb(value) if isinstance(value, dict) else value for value in given.values()]
    slots = ", ".join(f"{name} => %s" for name in given)
    said: str = shop.value(f"select aisle.attach_items('shop.products', {slots})", values)
    return said


def predict(shop: Shop, name: str, k: int = 3, level: int | None = None) -> list[tuple[str, str]]:
    query = "select category, category_id from aisle.predict_category(%s, k => %s, level => %s) order by rank"
    return shop.execute(query, [name, k, level]).fetchall()


def labels(shop: Shop) -> dict[str, str]:
    return dict(shop.execute("select item_id, category from aisle._items").fetchall())


def test_answers_have_names_and_ids(shop: Shop) -> None:
    attach(shop)
    assert predict(shop, "녹차") == [("음료 > 차", "11"), ("빵", "2"), ("음료 > 커피", "12")]
    assert predict(shop, "녹차", level=1) == [("음료", "1"), ("빵", "2")]
    assert predict(shop, "녹차", level=2) == predict(shop, "녹차")
    row = shop.execute("select category, category_id from aisle.item_category(4, k => 1)").fetchone()
    assert row == ("음료 > 차", "11")
    assert labels(shop) == {"1": "11", "2": "12", "3": "2", "4": None}


def test_a_level_adds_up_what_is_below(shop: Shop) -> None:
    attach(shop)
    shares = dict(
        shop.execute("select category, confidence from aisle.predict_category('녹차', level => 1)").fetchall()
    )
    assert shares == {"음료": pytest.approx(5 / 7, abs=1e-3), "빵": pytest.approx(2 / 7, abs=1e-3)}


def test_renames_and_moves_count_at_the_next_statement(shop: Shop) -> None:
    attach(shop)
    shop.execute("update shop.category set name = '찻잎' where id = 11")
    assert predict(shop, "녹차", k=1) == [("음료 > 찻잎", "11")]
    shop.execute("update shop.category set parent_id = 2 where id = 11")
    assert predict(shop, "녹차", k=1) == [("빵 > 찻잎", "11")]
    assert predict(shop, "녹차", level=1) == [("빵", "2"), ("음료", "1")]


def test_a_category_that_is_gone_is_never_answered(shop: Shop) -> None:
    attach(shop, categories=TREE | {"where": "active"})
    shop.execute("update shop.category set active = false where id = 11")
    assert predict(shop, "녹차", k=1) == [("빵", "2")]
    assert predict(shop, "녹차") == [("빵", "2"), ("음료 > 커피", "12")]
    assert labels(shop)["1"] is None
    shop.execute("delete from shop.products where id = 3; delete from shop.category where id = 2")
    assert predict(shop, "녹차") == [("음료 > 커피", "12")]
    assert predict(shop, "녹차", level=1) == [("음료", "1")]


def test_a_table_of_categories_that_is_gone_is_said_in_one_sentence(shop: Shop) -> None:
    attach(shop, categories=TREE)
    shop.execute("drop table shop.category cascade")
    with pytest.raises(psycopg.Error, match=r"^Aisle's view of the categories is gone\.\n") as gone:
        predict(shop, "녹차")
    assert gone.value.sqlstate == "AIS02"
    assert gone.value.diag.message_hint == "After a migration: select aisle.resume('items')"


def test_circles_and_unknown_parents_do_no_harm(shop: Shop) -> None:
    attach(shop, categories=TREE | {"where": "active"})
    shop.execute("update shop.category set active = false where id = 1")
    assert predict(shop, "녹차", k=1) == [("차", "11")], "Its parent is unknown."
    shop.execute("update shop.category set parent_id = case id when 11 then 12 else 11 end where id in (11, 12)")
    assert [category for _, category in predict(shop, "녹차", level=1)] == ["11", "2", "12"]
    assert len(predict(shop, "녹차")) == 3
    assert shop.value("select count(*) from aisle._categories") == 3


def test_names_may_be_expressions_and_trees_may_be_paths(shop: Shop) -> None:
    shop.execute(
        "create table shop.trail (code integer primary key, trail text, label jsonb); insert into shop.trail"
        """ values (1, '1/', '{"en": "Drinks"}'), (11, '1/11/', '{"en": "Tea"}'), (2, '2', null)"""
    )
    tree = {"table": "shop.trail", "id": "code", "path": "trail", "name": "label->>'en'"}
    attach(shop, categories=tree)
    assert predict(shop, "녹차") == [("Drinks > Tea", "11"), ("2", "2")]
    shop.execute("select aisle.detach('items')")
    with pytest.raises(psycopg.Error, match="must be one text") as caught:
        attach(shop, categories=tree | {"name": "label"})
    assert "name->>'en_US'" in str(caught.value.diag.message_hint)


@pytest.mark.parametrize(("categories", "message"), [
    ({}, "must name the table"), ({"table": "shop.category", "colour": 1}, "no setting colour"),
    ({"table": "shop.category", "parent": "above"}, "no column above"),
    ({"table": "shop.category", "where": "acti"}, "cannot be read"),
    ({"table": "shop.category", "prefer": "deepest"}, "without of_item"),
    ({"table": "shop.category", "of_item": "shop.in_category(product, category)"}, "name one"),
])  # fmt: skip
def test_a_wrong_declaration_is_named(shop: Shop, categories: dict[str, Any], message: str) -> None:
    with pytest.raises(psycopg.Error, match=message) as caught:
        attach(shop, categories=categories)
    assert caught.value.sqlstate in ("AIS04", "AIS05")


@pytest.mark.parametrize("unlabelled", [["2"], ["빵"]])
def test_a_category_that_stands_for_none_is_named_by_its_id_or_name(shop: Shop, unlabelled: list[str]) -> None:
    assert "2 of 4 items have a category." in attach(shop, unlabelled=unlabelled)
    assert labels(shop) == {"1": "11", "2": "12", "3": None, "4": None}


@pytest.fixture
def joined(shop: Shop) -> Shop:
    """The same with a table that gives each product's categories; the first product is in two."""
    shop.execute(
        "create table shop.in_category (product integer, category integer, is_main boolean, place integer);"
        " insert into shop.in_category values (1, 1, true, 2), (1, 11, false, 1), (2, 12, true, 1)"
    )
    return shop


@pytest.mark.parametrize(("prefer", "first"), [(None, "11"), ("deepest", "11"), ("is_main", "1"), ("place", "11")])
def test_which_of_several_categories_counts(joined: Shop, prefer: str | None, first: str) -> None:
    of_item = {"of_item": "shop.in_category(product, category)"} | ({"prefer": prefer} if prefer else {})
    attach(joined, category=None, categories=TREE | of_item)
    assert labels(joined) == {"1": first, "2": "12", "3": None, "4": None}


def test_a_row_of_the_table_of_items_categories_is_a_change_of_its_item(joined: Shop) -> None:
    attach(joined, category=None, categories=TREE | {"of_item": "shop.in_category(product, category)"})
    joined.forget_jobs()
    joined.execute("insert into shop.in_category values (3, 2)")
    joined.execute("update shop.in_category set category = 2 where product = 2")
    joined.execute("update shop.in_category set place = 7 where product = 1")
    joined.execute("select aisle._resolve_watches()")
    assert joined.jobs().keys() == {"2", "3"}
    joined.execute("select aisle.detach('items')")
    attach(joined, category=None, categories=TREE | {"of_item": "shop.in_category(product, category)"})
    joined.forget_jobs()
    joined.execute("update shop.category set name = 'x' where id = 11")
    assert not joined.value("select aisle._resolve_watches()"), "Names are read when answered."
    joined.execute("update shop.category set parent_id = null where id = 11; select aisle._resolve_watches()")
    assert joined.jobs().keys() == {"1"}


def test_recommendations_of_a_category_follow_the_tree(shop: Shop) -> None:
    attach(shop)
    load_tiny_recommender(
        shop.connection,
        {item: (label, (1 - item / 10, 0), (0, 1)) for item, label in ((1, "11"), (2, "12"), (3, "2"), (4, None))},
    )
    shop.execute("create table shop.visits (customer text, product bigint, at timestamptz)")
    shop.execute("select aisle.attach_interactions('shop.visits', 'customer', 'product', 'at')")

    def recommend(category: str) -> list[str]:
        rows = shop.execute("select item_id from aisle.recommend('ann', category => %s)", [category]).fetchall()
        return [item for (item,) in rows]

    for drinks in ("1", "음료"):
        assert recommend(drinks) == ["1", "2"]
    for tea in ("11", "음료 > 차", "음료>차"):
        assert recommend(tea) == ["1"]
    shop.execute("insert into shop.category values (3, 2, '크림빵')")
    assert recommend("빵 > 크림빵") == [], "A category without items is none the less known."
    shop.execute("update shop.category set parent_id = 2 where id = 12")
    assert recommend("빵") == ["2", "3"]
    assert recommend("음료") == ["1"]
    for unknown in ("음료 > 커피", "99", "차"):
        with pytest.raises(psycopg.Error, match="There is no category") as caught:
            recommend(unknown)
        assert caught.value.sqlstate == "AIS06"
    with pytest.raises(psycopg.Error) as caught:
        recommend("음료 > 커피")
    assert "'빵 > 커피'" in str(caught.value.diag.message_hint)


def test_a_reader_needs_the_categories_and_no_more(shop: Shop, login: Any) -> None:
    attach(shop)
    reader = login("usage on schema shop", "select on shop.category", "select (id, name, category_id) on shop.products")
    grants.grant(shop.connection, "reader", reader.info.user)
    query = "select category_id from aisle.predict_category('녹차', k => 1)"
    assert reader.execute(query).fetchall() == [("11",)]
    shop.execute("select aisle.pause('items'); select aisle.resume('items')")
    assert reader.execute(query).fetchall() == [("11",)]


def test_views_for_people_show_names(shop: Shop) -> None:
    attach(shop)
    model = shop.value("select aisle._live_model('category')")
    for item, given, predicted in (("1", "11", "11"), ("2", "12", "2"), ("3", "2", "2")):
        shop.execute(
            "insert into aisle._heldout_predictions values (%s, %s, %s, %s, .9, .1, %s)",
            [model, item, given, predicted, predicted],
        )
    assert shop.execute("select category, predicted from aisle.confusion").fetchall() == [("음료 > 커피", "빵")]
    assert shop.execute("select category, predicted from aisle.category_review").fetchall() == [("음료 > 커피", "빵")]
    report = shop.execute("select category, support from aisle.category_report where level = 1").fetchall()
    assert dict(report) == {"음료": 2, "빵": 1}


def test_while_the_items_are_paused_names_are_unknown(shop: Shop) -> None:
    attach(shop)
    shop.execute("select aisle.pause('items')")
    with pytest.raises(psycopg.Error, match="paused") as caught:
        predict(shop, "녹차")
    assert caught.value.sqlstate == "AIS02"
    shop.execute("alter table shop.category alter column id type bigint")
    assert "Attached" in shop.value("select aisle.resume('items')")
    assert predict(shop, "녹차", k=1) == [("음료 > 차", "11")]
    shop.execute("select aisle.detach('items')")
    assert predict(shop, "녹차", k=1) == [("11", "11")]
