"""Categories as shops write them into one column: paths with and without spaces, codes, several in one cell."""

from typing import Any

import pytest

from tests.conftest import Shop, load_tiny_recommender


@pytest.mark.parametrize(("cell", "label"), [
    ("A > B", "A > B"), ("A>B", "A > B"), (" A> B ", "A > B"), ("[50001] 식품>쌀/잡곡", "식품 > 쌀/잡곡"),
    ("[new] A", "[new] A"),
    ("A", "A"), ("  ", None), ("", None), (None, None), ("R&D", "R&D"), ("A\u00a0>\tB", "A > B"),
])  # fmt: skip
def test_steps_are_trimmed(shop: Shop, cell: str | None, label: str | None) -> None:
    assert shop.value("select aisle._flat_label(%s, ' > ', null, null)", [cell]) == label


@pytest.mark.parametrize(("separator", "cell", "label"), [
    (">", "A > B", "A>B"), (" / ", "AC/DC / Rock", "AC/DC / Rock"), ("/", "A / B", "A/B"), ("||", "A || B", "A||B"),
    ("\\", "A \\ B", "A\\B"), (" ", "A B", "A B"), (" > ", "A >> B", "A >  > B"),
])  # fmt: skip
def test_a_separator_with_spaces_around_a_sign_of_names_is_one_only_with_spaces(
    shop: Shop, separator: str, cell: str, label: str
) -> None:
    assert shop.value("select aisle._flat_label(%s, %s, null, null)", [cell, separator]) == label


def fill(shop: Shop, *cells: str | None) -> None:
    shop.create()
    for number, cell in enumerate(cells, start=1):
        shop.execute("insert into shop.products (id, name, category) values (%s, 'x', %s)", [number, cell])


def labels(shop: Shop) -> list[str | None]:
    return [label for (label,) in shop.execute("select category from aisle._items order by id").fetchall()]


def attach(shop: Shop, **named: Any) -> str:
    slots = "".join(f", {name} => %s" for name in named)
    said: str = shop.value(
        f"select aisle.attach_items('shop.products', category => 'category'{slots})", [*named.values()]
    )
    return said


def test_attach_says_what_the_categories_look_like(shop: Shop) -> None:
    fill(shop, "식품>쌀/잡곡>현미", "식품> 쌀/잡곡 > 백미", "식품 > 과자", None)
    assert "3 categories, depth 3, separated by '>'." in attach(shop)
    assert labels(shop) == ["식품 > 쌀/잡곡 > 현미", "식품 > 쌀/잡곡 > 백미", "식품 > 과자", None]


def test_attach_names_another_separator(shop: Shop) -> None:
    fill(shop, "A::B", "A::C", "A::D", "B::E", "B::F")
    said = attach(shop)
    assert "5 categories." in said
    assert "They look like paths separated by '::'. If so, say category_separator => '::'." in said
    shop.execute("select aisle.detach('items')")
    assert "5 categories, depth 2, separated by '::'." in attach(shop, category_separator="::")


def test_codes_of_three_digits_a_level(shop: Shop) -> None:
    fill(shop, "001", "001002", "001002001", "002")
    assert "codes of 3 digits a level. If so, say category_separator => '3 digits'" in attach(shop)
    shop.execute("select aisle.detach('items')")
    assert "4 categories, depth 3, separated by 3 digits each." in attach(shop, category_separator="3 digits")
    assert labels(shop) == ["001", "001 > 002", "001 > 002 > 001", "002"]
    load_tiny_recommender(shop.connection, {item: (None, (1 - item / 10, 0), (0, 1)) for item in (1, 2, 3, 4)})
    shop.execute(
        "create table shop.visits (customer text, product bigint, at timestamptz);"
        " select aisle.attach_interactions('shop.visits', 'customer', 'product', 'at')"
    )
    rows = shop.execute("select item_id from aisle.recommend('ann', category => '001002')").fetchall()
    assert rows == [("2",), ("3",)]
    shop.execute("""select aisle.set_write_back('{"column": "category", "threshold": 0}')""")
    shop.execute("update shop.products set category = null where id = 3")
    shop.execute("select aisle._write_category('3', '001 > 002 > 003')")
    assert shop.value("select category from shop.products where id = 3") == "001002003"


@pytest.mark.parametrize("sign", ["|", "\n"])
def test_several_categories_in_one_cell_are_a_list(shop: Shop, sign: str) -> None:
    fill(shop, "29", "99", "31", f"29{sign}99", f" {sign}31{sign}29", None)
    assert "Some cells have several categories" in attach(shop)
    assert labels(shop) == ["29", "99", "31", "29", "31", None]
    shop.execute("insert into shop.products (id, name, category) values (9, 'x', %s)", [f"99{sign}31"])
    shop.execute("select aisle.pause('items'); select aisle.resume('items')")
    assert labels(shop)[-1] == "99"
    shop.execute("select aisle.detach('items')")
    assert "several" not in attach(shop, category_list="")
    assert labels(shop)[3] == f"29{sign}99"


def test_a_sign_in_names_is_no_list(shop: Shop) -> None:
    fill(shop, "A|B", "C|D", "A", "E")
    assert "several" not in attach(shop)
    assert labels(shop) == ["A|B", "C|D", "A", "E"]


def test_triggers_see_the_labels_of_the_view(shop: Shop) -> None:
    fill(shop, "29", "99", "29|99", "[7] A>B")
    attach(shop, unlabelled=["none"])
    load_tiny_recommender(shop.connection, dict.fromkeys((1, 2, 3), (None, (1, 0), (0, 1))))
    for cell, key in (("99|29", "99 > "), ("[7] A> C", "A > C > "), ("none", None)):
        shop.execute("update shop.products set category = %s where id = 3", [cell])
        assert shop.value("select category_key from aisle.item_factors where item_id = '3'") == key
