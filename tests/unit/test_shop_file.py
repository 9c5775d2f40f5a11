"""The shop file: its keys, its errors, and the arguments that it stands for."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from aisle.db import errors
from aisle.discovery.writing import Section, text
from aisle.files import shop_file

FILE = """
[items]
table = "shop.products"
name = "title"
text = ["description"]
eligible = "active"
draft_rows = 10
[items.watch]
"shop.brand" = "select id from shop.products where brand_id = r.id"
[categories]
table = "shop.category"
parent = "parent_id"
unlabelled = ["None"]
[orders]
table = "shop.orders"
lines = "shop.lines"
item = "variant_id"
item_via = "shop.variant(id → product_id)"
"""


def refused(text: str) -> errors.ShopFileError:
    with pytest.raises(errors.ShopFileError) as caught:
        shop_file.parse(text, "shop.toml")
    return caught.value


def test_keys_become_the_arguments_of_the_functions() -> None:
    kinds = shop_file.parse(FILE).kinds
    assert shop_file.arguments("items", kinds["items"]) == {
        "relation": "shop.products",
        "name": "title",
        "text_columns": ["description"],
        "eligible": "active",
        "draft_rows": 10,
        "watch": {"shop.brand": "select id from shop.products where brand_id = r.id"},
        "categories": {"table": "shop.category", "parent": "parent_id"},
        "unlabelled": ["None"],
    }
    assert shop_file.arguments("orders", kinds["orders"]) == {
        "relation": "shop.orders",
        "lines": "shop.lines",
        "order_id": "id",
        "line_order_id": "order_id",
        "item_id": "variant_id",
        "item_via": "shop.variant(id → product_id)",
    }


def test_a_query_names_its_columns() -> None:
    kinds = shop_file.parse("[items]\nquery = 'select …'\nmanufacturer = 'maker'\n[orders]\nquery = 'select …'").kinds
    columns = ["id", "name", "manufacturer", "category", "text", "stock"]
    given = shop_file.arguments("items", kinds["items"], columns)
    assert given == {"query": "select …", "manufacturer": "maker", "category": "category", "text_columns": ["text"]}
    given = shop_file.arguments("orders", kinds["orders"], ["order_id", "item_id", "user_id", "at", "state"])
    assert given == {
        "query": "select …",
        "order_id": "order_id",
        "item_id": "item_id",
        "user_id": "user_id",
        "at": "at",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "shop.toml declares nothing."),
        ("[item]\ntable = 'a'", "shop.toml has no section [item]. The nearest is items."),
        ("[items]\ntable = 'a'\nnaem = 'b'", "shop.toml has no key naem in [items]. The nearest is name."),
        ("[items]\ntable = 'a'\neligable = 'b'", "shop.toml has no key eligable in [items]. The nearest is eligible."),
        ("[orders]\ntable = 'a'\nuser_id = 'b'", "shop.toml has no key user_id in [orders]. The nearest is user."),
        ("items = 1", "shop.toml: items must be a section: [items]"),
        ("[items]\nname = 'a'", "shop.toml: [items] needs a table or a query, and not both."),
        ("[items]\ntable = 'a'\nquery = 'b'", "shop.toml: [items] needs a table or a query, and not both."),
        ("[categories]\ntable = 'a'", "shop.toml: [categories] are of items, so the file needs [items], too."),
        ("[items]\ntable = 'a'\n[categories]\nname = 'b'", "shop.toml: [categories] needs a table."),
        ("[items]\ntable = 1", "shop.toml: table in [items] must be a text that is not empty."),
        ("[items]\ntable = ' '", "shop.toml: table in [items] must be a text that is not empty."),
        ("[items]\ntable = 'a'\ntext = [1]", "shop.toml: text in [items] must be a list of texts."),
        ("[items]\ntable = 'a'\ndraft_rows = 1.5", "shop.toml: draft_rows in [items] must be a whole number."),
        ("[items]\ntable = 'a'\ndraft_rows = true", "shop.toml: draft_rows in [items] must be a whole number."),
        ("[items]\ntable = 'a'\nwatch = 'b'", "shop.toml: watch in [items] must be a section of tables, each with a "
         "query as text."),
        ("[orders]\ntable = 'a'\naccept_item_ids = 1", "shop.toml: accept_item_ids in [orders] must be true or false."),
        ("[write_back]\nthreshold = 'a'", "shop.toml: threshold in [write_back] must be a number."),
    ],
)  # fmt: skip
def test_one_sentence_says_what_is_wrong(text: str, sentence: str) -> None:
    assert str(refused(text)) == sentence


def test_an_unknown_key_shows_the_known_ones() -> None:
    assert "table, query, id, name" in str(refused("[items]\ntable = 'a'\nx = 'b'").hint)


def test_an_error_of_syntax_names_the_line() -> None:
    said = str(refused("[items]\ntable = 'a'\nname: 'b'\n"))
    assert said.startswith("shop.toml is not TOML: expected '='")
    assert "line 3" in said


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes("[items]\nname = '상품'".encode("cp949"))
    with pytest.raises(errors.ShopFileError, match=r"is not UTF-8\."):
        shop_file.read(file)
    file.write_bytes(b"\xef\xbb\xbf[items]\ntable = 'a'\n")
    assert shop_file.read(file).kinds == {"items": {"table": "a"}}


def test_declarations_become_sections_again() -> None:
    kinds = shop_file.parse(FILE).kinds
    written: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        written |= shop_file.sections(kind, shop_file.arguments(kind, kinds[kind]))
    made = []
    for name, values in written.items():
        section = Section(name)
        for key, value in values.items():
            section.add(key, value)
        made.append(section)
    again = shop_file.parse(text(["A comment."], made)).kinds
    assert again["items"] == kinds["items"]
    assert again["orders"] == kinds["orders"] | {"id": "id", "line_order": "order_id"}


@pytest.mark.parametrize(
    "value",
    [
        "plain", 'with "quotes"', "it's", "both \" and '", "back\\slash", "two\nlines", 'lines\nwith """ and \\',
        "한글", 'ends in "',
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_active", [True, False])
def test_any_text_is_written_as_toml(value: str, is_active: bool) -> None:
    section = Section("items")
    section.add("eligible", value, "why", is_active=is_active)
    section.add('public."Order"', value)
    read = tomllib.loads(text([], [section]))["items"]
    assert read['public."Order"'].strip() == value
    assert ("eligible" in read) == is_active
