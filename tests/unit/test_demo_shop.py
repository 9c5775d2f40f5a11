"""The demo shop: repeatable, consistent, and neither trivial nor impossible to classify."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, time
from random import Random

import pytest

from aisle.demo.catalogue import read_catalogue
from aisle.demo.history import DAYS, MEALS, TIMEZONE
from aisle.demo.products import make_products
from aisle.demo.shop import LAST_DAY, Shop, generate


@pytest.fixture(scope="module")
def shop() -> Shop:
    return generate()


def share(count: int, of: int) -> float:
    return count / of


def test_same_seed_makes_the_same_shop(shop: Shop) -> None:
    assert generate() == shop


def test_another_seed_makes_other_products(shop: Shop) -> None:
    products = make_products(read_catalogue(), Random(8)).products
    assert {product.name for product in products} != {product.name for product in shop.products}


def test_until_moves_the_history_and_leaves_the_products(shop: Shop) -> None:
    other = generate(until=date(2025, 3, 1))
    assert other.products == shop.products
    assert max(order.ordered_at for order in other.orders).date() < date(2025, 3, 1)


def test_sizes(shop: Shop) -> None:
    assert 3_800 <= len(shop.products) <= 4_200
    assert len(shop.customers) == 1_500
    assert 20_000 <= len(shop.orders) <= 40_000
    assert 100_000 <= len(shop.order_items) <= 200_000
    assert 80_000 <= len(shop.visits) <= 150_000


def test_keys_are_unique(shop: Shop) -> None:
    for keys in (
        [product.id for product in shop.products],
        [product.name for product in shop.products],
        [customer.id for customer in shop.customers],
        [order.id for order in shop.orders],
        [item[:2] for item in shop.order_items],
        [visit[:3] for visit in shop.visits],
    ):
        assert len(set(keys)) == len(keys)


def test_references_are_intact(shop: Shop) -> None:
    products = {product.id for product in shop.products}
    customers = {customer.id for customer in shop.customers}
    assert {item.product_id for item in shop.order_items} <= products
    assert {visit.product_id for visit in shop.visits} <= products
    assert {order.customer_id for order in shop.orders} <= customers
    assert {visit.customer_id for visit in shop.visits} <= customers
    assert {item.order_id for item in shop.order_items} == {order.id for order in shop.orders}


def test_shares_of_nulls(shop: Shop) -> None:
    rows = len(shop.products)
    assert 0.06 < share(sum(product.manufacturer is None for product in shop.products), rows) < 0.10
    assert 0.035 < share(sum(product.category is None for product in shop.products), rows) < 0.065
    assert 0.15 < share(sum(product.specifications is None for product in shop.products), rows) < 0.25


def test_values_are_plausible(shop: Shop) -> None:
    for product in shop.products:
        assert product.name == " ".join(product.name.split())
        assert product.price > 0
        assert product.stock >= 0
    assert all(1 <= item.quantity <= 9 for item in shop.order_items)


def test_korean_and_english_are_mixed_in_every_department(shop: Shop) -> None:
    def is_korean(text: str) -> bool:
        return any("가" <= letter <= "힣" for letter in text)

    assert 0.55 < share(sum(is_korean(product.name) for product in shop.products), len(shop.products)) < 0.65
    departments = defaultdict(set)
    for product in shop.products:
        departments[shop.truth[product.id].split(" > ")[0]].add(is_korean(product.name))
    assert all(languages == {True, False} for languages in departments.values())


def test_category_paths_are_well_formed(shop: Shop) -> None:
    paths = {category.path for category in read_catalogue().categories}
    assert 38 <= len(paths) <= 46
    assert set(shop.truth.values()) == paths
    assert {product.category for product in shop.products} <= paths | {None}
    for path in paths:
        levels = path.split(" > ")
        assert 2 <= len(levels) <= 3
        assert all(level and level == level.strip() and ">" not in level for level in levels)
        assert not any(other.startswith(f"{path} > ") for other in paths), f"{path} is no leaf"


def test_some_categories_are_rare_and_none_is_empty(shop: Shop) -> None:
    labelled = Counter(product.category for product in shop.products if product.category)
    assert min(labelled.values()) >= 10
    assert sum(count <= 20 for count in labelled.values()) >= 3


def test_wrong_labels_are_few_and_known(shop: Shop) -> None:
    wrong = {product.id for product in shop.products if product.category not in (None, shop.truth[product.id])}
    assert wrong == shop.mislabelled
    assert 0.008 < share(len(wrong), len(shop.products)) < 0.025


def test_names_do_not_tell_the_category(shop: Shop) -> None:
    def tells(product_id: int, name: str) -> bool:
        return any(word in name for word in shop.truth[product_id].split(" > ")[-1].split("·"))

    told: dict[str, list[bool]] = defaultdict(list)
    for product in shop.products:
        told[shop.truth[product.id]].append(tells(product.id, product.name))
    assert share(sum(map(sum, told.values())), len(shop.products)) < 0.4
    assert all(share(sum(tellings), len(tellings)) < 0.75 for tellings in told.values())


def test_neighbours_share_words() -> None:
    used: Counter[str] = Counter()
    for category in read_catalogue().categories:
        used.update({*category.ko.nouns, *category.en.nouns})
    assert sum(count > 1 for count in used.values()) >= 25


def test_brands_are_makers_of_one_or_of_many_categories(shop: Shop) -> None:
    sold = defaultdict(set)
    for product in shop.products:
        if product.manufacturer:
            sold[product.manufacturer].add(shop.truth[product.id])
    spans = [len(paths) for paths in sold.values()]
    assert sum(span <= 4 for span in spans) > 0.4 * len(spans)
    assert sum(span >= 30 for span in spans) >= 2


def test_every_brand_and_department_of_the_catalogue_is_used() -> None:
    categories = read_catalogue().categories
    brands = {brand for category in categories for brand in category.brands}
    for brand in brands:
        for prefix in brand.sells:
            assert prefix == "*" or any(category.path.startswith(prefix) for category in categories), prefix


def test_adjectives_fit_the_products() -> None:
    categories = {category.path: category for category in read_catalogue().categories}
    assert "저자극" in categories["뷰티 > 스킨케어 > 크림"].ko.adjectives
    assert "저자극" not in categories["식품 > 과자 > 스낵"].ko.adjectives
    assert "무첨가" not in categories["주방 > 보관 > 텀블러"].ko.adjectives


def test_featured_rows_come_first(shop: Shop) -> None:
    featured = read_catalogue().featured
    assert [product.name for product in shop.products[: len(featured)]] == [row["name"] for row in featured]
    assert shop.products[0].category == "출산·유아 > 외출용품 > 아기띠"
    assert "아기띠" in shop.products[0].name


def test_history_lies_in_its_14_months(shop: Shop) -> None:
    end = datetime.combine(LAST_DAY, time(), TIMEZONE)
    moments = [order.ordered_at for order in shop.orders] + [visit.visited_at for visit in shop.visits]
    assert max(moments) < end
    assert (end - min(moments)).days <= DAYS
    assert [order.ordered_at for order in shop.orders] == sorted(order.ordered_at for order in shop.orders)


def test_customers_buy_again(shop: Shop) -> None:
    baskets = defaultdict(set)
    for item in shop.order_items:
        baskets[item.order_id].add(item.product_id)
    seen: dict[str, set[int]] = defaultdict(set)
    again = 0
    for order in shop.orders:
        again += len(baskets[order.id] & seen[order.customer_id])
        seen[order.customer_id] |= baskets[order.id]
    assert 0.5 < share(again, len(shop.order_items)) < 0.8


def test_popularity_is_skewed_and_week_has_a_pattern(shop: Shop) -> None:
    bought = Counter(item.product_id for item in shop.order_items)
    most = sum(count for _, count in bought.most_common(len(shop.products) // 10))
    assert share(most, len(shop.order_items)) > 0.35
    weekdays = Counter(order.ordered_at.weekday() for order in shop.orders)
    assert weekdays[6] > 1.2 * weekdays[2]  # Sunday against Wednesday


def test_meal_time_matters_a_little(shop: Shop) -> None:
    snacks = {id_ for id_, path in shop.truth.items() if path == "식품 > 과자 > 스낵"}
    views = Counter(visit.meal_time for visit in shop.visits)
    of_snacks = Counter(visit.meal_time for visit in shop.visits if visit.product_id in snacks)
    assert set(views) == set(MEALS)
    lift = share(of_snacks["late_night"], views["late_night"]) / share(of_snacks["lunch"], views["lunch"])
    assert 1.2 < lift < 3


def test_user_42_is_a_regular(shop: Shop) -> None:
    orders = [order for order in shop.orders if order.customer_id == "user-42"]
    assert len(orders) > 40
    assert (LAST_DAY - orders[-1].ordered_at.date()).days < 21
    assert sum(visit.customer_id == "user-42" for visit in shop.visits) > 150
