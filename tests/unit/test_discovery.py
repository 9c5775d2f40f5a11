"""Names as words, guessed links, and what states and tables say, without a database."""

from collections import Counter
from typing import Any

import pytest

from aisle.discovery import eligibility, items, links, orders, states
from aisle.discovery.catalogue import Catalogue, Column, Link, Table
from aisle.discovery.sql import identifier, relation
from aisle.discovery.words import similarity, without_ids, words


def column(name: str, type_: str, *values: Any, labels: tuple[str, ...] = ()) -> Column:
    given = [str(value) for value in values if value is not None]
    return Column(name, type_, False, labels, len(values), len(values) - len(given), Counter(given))


def table(name: str, *columns: Column, key: str = "id", rows: int = 100) -> Table:
    return Table("public", name, columns, (key,), (), rows)


def catalogue(*tables: Table, **found: str) -> Catalogue:
    named = {str(t): t for t in tables}
    made = [
        Link(f"public.{name.split('__')[0]}", name.split("__")[1], f"public.{target}", "id", True, 1.0, 1.0)
        for name, target in found.items()
    ]
    return Catalogue(named, tuple(made))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OrderItem", ("order", "item")),
        ("order_items", ("order", "item")),
        ("orderitem", ("order", "item")),
        ("orders_orderitem", ("order", "order", "item")),
        ("product_tmpl_id", ("product", "template", "id")),
        ("CreatedOnUtc", ("created", "on", "utc")),
        ("productcategories", ("product", "category")),
        ("tb_ord_dtl", ("tb", "order", "detail")),
        ("주문상세", ("order", "detail")),
        ("상품명", ("product", "name")),
        ("address", ("address",)),
        ("statuses", ("status",)),
        ("skus", ("sku",)),
    ],
)
def test_words_of_names(name: str, expected: tuple[str, ...]) -> None:
    assert words(name) == expected


def test_words_that_say_that_a_column_is_a_key() -> None:
    assert without_ids("id_product") == ("product",)
    assert without_ids("product_id") == ("product",)
    assert without_ids("상품코드") == ("product",)
    assert without_ids("id") == ()


@pytest.mark.parametrize(
    ("column_name", "table_name", "expected"),
    [
        ("product_id", "products", 1.0),
        ("variant_id", "product_variants", 0.85),
        ("categ_id", "product_category", 0.85),
        ("billing_address_id", "addresses", 0.7),
        ("product_id", "catalog_product_entity", 1.0),
        ("brand_id", "products", 0.0),
        ("status", "orders", 0.0),
    ],
)
def test_how_well_a_column_names_a_table(column_name: str, table_name: str, expected: float) -> None:
    assert similarity(without_ids(column_name), words(table_name)) == expected


def test_numbers_alone_are_no_link() -> None:
    lines = table("lines", column("id", "int4", 1, 2), column("position", "int4", 1, 2), column("tax_id", "int4", 1, 2))
    products = table("products", column("id", "int4", 1, 2), column("name", "text", "a", "b"))
    assert links.guesses({str(t): t for t in (lines, products)}, []) == []


def test_long_ids_are_a_link_whatever_their_name() -> None:
    ids = ["prod_01ABCDEFGH", "prod_01IJKLMNOP"]
    lines = table("lines", column("id", "int4", 1, 2), column("thing", "text", *ids))
    products = table("goods", column("id", "text", *ids), column("name", "text", "a", "b"))
    (link,) = links.guesses({str(t): t for t in (lines, products)}, [])
    assert (link.table, link.column, link.target) == ("public.lines", "thing", "public.goods")


def test_a_link_needs_values_that_match() -> None:
    products = table("products", column("id", "int4", 1, 2))
    lines = table("lines", column("id", "int4", 1), column("product_id", "int4", 1, 2))
    tables = {str(t): t for t in (products, lines)}
    (guess,) = links.guesses(tables, [])

    def kept(share: float | None, similarity: float = guess.similarity) -> bool:
        measured = Link(guess.table, guess.column, guess.target, guess.target_column, False, share, similarity)
        return bool(links.best(tables, [measured]))

    assert kept(1.0)
    assert kept(0.5), "Half of the products may be gone; the name says it."
    assert not kept(0.1)
    assert not kept(0.5, similarity=0.7)
    assert kept(None), "With no rows, the name is enough."


def test_of_two_tables_the_better_name_wins() -> None:
    lines = table("order_lines", column("id", "int4", 1), column("product_id", "int4", 1, 2))
    tables = {str(t): t for t in (lines, table("product", column("id", "int4", 1, 2)))}
    tables["public.store_product"] = table("store_product", column("id", "int4", 1, 2))
    guesses = links.guesses(tables, [])
    assert {link.target for link in guesses} == {"public.product", "public.store_product"}
    measured = [Link(g.table, g.column, g.target, g.target_column, False, 1.0, g.similarity) for g in guesses]
    assert [link.target for link in links.best(tables, measured)] == ["public.product"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"delivered": 90, "cancelled": 10}, "status <> 'cancelled'"),
        ({"complete": 90, "cart": 5, "payment": 2, "payment_settled": 3}, "status not in ('cart', 'payment')"),
        ({"delivered": 90, "pending": 10}, "status <> 'pending'"),
        ({"pending": 90, "canceled": 10}, "status <> 'canceled'"),
        ({"AddingItems": 10, "PaymentSettled": 80, "PartiallyRefunded": 10}, "status <> 'AddingItems'"),
        ({"배송완료": 80, "주문취소": 20}, "status <> '주문취소'"),
    ],
)
def test_states_that_are_no_purchase(values: dict[str, int], expected: str) -> None:
    sample = [value for value, n in values.items() for _ in range(n)]
    found = table("orders", column("id", "int4", 1), column("status", "text", *sample))
    (condition,) = states.orders_that_count(catalogue(found), found)
    assert condition.sql("") == expected


def test_numbers_as_states_are_for_the_owner() -> None:
    found = table("orders", column("id", "int4", 1), column("status_id", "int4", 10, 20, 30))
    (condition,) = states.orders_that_count(catalogue(found), found)
    assert condition.sql("") == ""
    assert condition.decided == ("status_id: say which values are no purchases",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (column("is_active", "bool", "true", "false"), "is_active"),
        (column("isOutOfStock", "bool", "true", "false"), '"isOutOfStock" is not true'),
        (column("sale_ok", "bool", "true", "false"), "sale_ok"),
        (column("deleted_at", "timestamptz", None), "deleted_at is null"),
        (column("discontinue_on", "timestamp", None), "(discontinue_on is null or discontinue_on > now())"),
        (column("available_on", "timestamp", "2026-01-01"), "available_on <= now()"),
        (column("status", "text", "published", "draft"), "status = 'published'"),
        (column("판매여부", "bpchar", "Y", "N"), "\"판매여부\" = 'Y'"),
        (column("active", "int2", 1, 0), "active = 1"),
        (column("purchase_ok", "bool", "true", "false"), None),
        (column("on_sale", "bool", "true", "false"), None),
        (column("is_giftcard", "bool", "true", "false"), None),
        (column("available_until", "timestamptz", "2026-01-01"), None),
    ],
)
def test_what_is_on_sale(given: Column, expected: str | None) -> None:
    found = table("products", column("id", "int4", 1), given)
    conditions = states.rows_on_sale(catalogue(found), found)
    assert [condition.sql("") for condition in conditions] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("name", "is_stock"),
    [("stock", True), ("quantity", True), ("units_in_stock", True), ("reorder_level", False), ("min_stock", False)],
)
def test_the_column_of_the_stock(name: str, is_stock: bool) -> None:
    found = eligibility.stock_column(table("products", column(name, "int4", 0, 5)))
    assert (found is not None) == is_stock


def test_lines_of_variants_lead_to_products() -> None:
    """Both are small numbers: a join of lines with products by their ids would be silent, and wrong."""
    numbers = list(range(1, 60))
    shop = catalogue(
        table("product", column("id", "int4", *numbers), column("name", "text", *(f"Thing {n}" for n in numbers))),
        table("variant", column("id", "int4", *numbers), column("product_id", "int4", *numbers)),
        table("orders", column("id", "int4", *numbers), column("customer_id", "int4", *numbers[:30] * 2),
              column("created_at", "timestamptz", *(f"2026-01-{n % 28 + 1}" for n in numbers))),
        table("order_line", column("id", "int4", *numbers), column("order_id", "int4", *numbers),
              column("variant_id", "int4", *numbers), column("quantity", "int4", 1, 2)),
        variant__product_id="product", order_line__order_id="orders", order_line__variant_id="variant",
    )  # fmt: skip
    found = orders.find(shop)[0]
    assert (found.lines, found.orders, found.items) == ("public.order_line", "public.orders", "public.product")
    assert [link.column for link in found.item] == ["variant_id", "product_id"]
    assert found.user is not None
    assert found.user.name == "customer_id"


def test_a_name_in_json_has_languages() -> None:
    name = Column("name", "jsonb", sampled=1, values=Counter(["{}"]), keys=Counter({"en_US": 2, "ko_KR": 1}))
    assert items.language_of(name) == ("en_US", ("en_US", "ko_KR"))
    metadata = Column("metadata", "jsonb", sampled=1, values=Counter(["{}"]), keys=Counter({"colour": 2}))
    assert items.language_of(metadata) == (None, ())


def test_names_are_quoted_where_sql_needs_it() -> None:
    assert [identifier(name) for name in ("id", "order", "Order", 'a"b', "상품")] == [
        "id", '"order"', '"Order"', '"a""b"', '"상품"',
    ]  # fmt: skip
    assert relation("public.order") == 'public."order"'
