"""The views and orders of the demo shop's customers.

Each customer has preferences: a weight for every product, from the product's popularity, the kind of household, and the
customer's liking of the category and the brand. Views are drawn by preferences and a little by the time of day; most
views of a visit are in one category. Orders consist of favourites that have run out, each with its own replenishment
gap, and of a few products drawn by preferences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aisle.demo.catalogue import Category
from aisle.demo.products import Product

CUSTOMERS = 1500
DAYS = 425  # about 14 months
REGULAR = 42  # 'user-42': a household with a baby that shops every week, for examples

TIMEZONE = timezone(timedelta(hours=9))  # Seoul
WEEKDAY = np.array([1.3, 0.9, 0.8, 0.9, 0.9, 1.1, 1.6])  # relative number of orders on Monday, …, Sunday
MEALS = {"breakfast": (7, 10), "lunch": (11, 14), "dinner": (17, 20), "late_night": (21, 24)}  # hours
MEAL_SHARE = np.array([0.18, 0.24, 0.28, 0.30])
MEAL_EFFECT = 2.5  # factor of a category's views at its own meal
HOUSEHOLDS = {"baby": 0.30, "dog": 0.25, "cat": 0.18}  # share of customers; a household may be several
FOCUS = 0.65  # share of a visit's views in its main category
DURABLE = 0.15  # relative weight of durables, against things that run out
NEW_FAVOURITE = 0.15  # chance that a picked product becomes a favourite
GIVEN_UP = 0.04  # chance that a favourite is dropped
LOOKED_FIRST = 0.20  # share of bought products viewed just before


class Customer(NamedTuple):
    """A row of shop.customers."""

    id: str


class Order(NamedTuple):
    """A row of shop.orders."""

    id: int
    customer_id: str
    ordered_at: datetime


class OrderItem(NamedTuple):
    """A row of shop.order_items."""

    order_id: int
    product_id: int
    quantity: int


class Visit(NamedTuple):
    """A row of shop.visits."""

    customer_id: str
    product_id: int
    visited_at: datetime
    meal_time: str


@dataclass(frozen=True)
class History:
    customers: list[Customer]
    orders: list[Order]
    order_items: list[OrderItem]
    visits: list[Visit]


@dataclass(frozen=True)
class _Stock:
    """The products as arrays; a product's position in them is its id - 1."""

    popularity: NDArray[np.float64]  # (products,)
    category: NDArray[np.intp]  # (products,) position in `categories`
    brand: NDArray[np.intp]  # (products,)
    gap: NDArray[np.float64]  # (products,) days until a household needs it again; 0: durable
    meal: NDArray[np.float64]  # (meals, products) factor of the preferences by time of day
    categories: Sequence[Category]
    brands: int


@dataclass(frozen=True)
class _Person:
    preferences: NDArray[np.float64]  # (products,) sums to 1
    order_gap: float  # days between orders
    pace: float  # speed of using things up; 1: average
    visits: int  # visits over the whole time, each of several views
    first_day: int
    hour: float  # when they usually order


def make_history(
    products: Sequence[Product],
    truth: Sequence[Category],  # each product's right category
    until: date,
    rng: np.random.Generator,
) -> History:
    """Return orders and visits of the `DAYS` days before `until`."""
    stock = _stock(products, truth, rng)
    start = until - timedelta(days=DAYS)
    customers: list[Customer] = []
    baskets: list[tuple[datetime, str, dict[int, int]]] = []
    visits: dict[tuple[str, datetime, int], Visit] = {}
    for number in range(1, CUSTOMERS + 1):
        customer = Customer(f"user-{number}")
        person = _person(stock, rng, regular=number == REGULAR)
        views = _views(person, stock, start, rng)
        for at, basket in _baskets(person, stock, start, rng):
            baskets.append((at, customer.id, basket))
            looked = (product for product in basket if rng.random() < LOOKED_FIRST)
            views += [(at - timedelta(seconds=int(rng.integers(20, 1500))), product) for product in looked]
        for at, product in views:
            visits[customer.id, at, product] = Visit(customer.id, product + 1, at, _meal_time(at))
        customers.append(customer)

    baskets.sort(key=lambda basket: basket[:2])
    orders = [Order(id_, customer_id, at) for id_, (at, customer_id, _) in enumerate(baskets, start=1)]
    order_items = [
        OrderItem(order.id, product + 1, quantity)
        for order, (_, _, basket) in zip(orders, baskets, strict=True)
        for product, quantity in basket.items()
    ]
    return History(customers, orders, order_items, sorted(visits.values(), key=lambda visit: visit.visited_at))


def _stock(products: Sequence[Product], truth: Sequence[Category], rng: np.random.Generator) -> _Stock:
    categories = list({category.path: category for category in truth}.values())
    position = {category.path: index for index, category in enumerate(categories)}
    # A brand is the same in both languages; all products without a maker count as one brand.
    korean = {brand.en: brand.ko for category in categories for brand in category.brands}
    makers = [korean.get(product.manufacturer or "", product.manufacturer) for product in products]
    brands = {maker: index for index, maker in enumerate(dict.fromkeys(makers))}
    every = np.array([category.every for category in truth], dtype=float)
    rank = rng.permutation(len(products))
    return _Stock(
        popularity=np.where(every > 0, 1.0, DURABLE) / (rank + 20.0) ** 0.8,
        category=np.array([position[category.path] for category in truth]),
        brand=np.array([brands[maker] for maker in makers]),
        gap=every * rng.lognormal(0, 0.25, len(products)),
        meal=np.array([[MEAL_EFFECT if meal in category.meals else 1.0 for category in truth] for meal in MEALS]),
        categories=categories,
        brands=len(brands),
    )


def _person(stock: _Stock, rng: np.random.Generator, *, regular: bool) -> _Person:
    households = {household for household, share in HOUSEHOLDS.items() if rng.random() < share}
    if regular:
        households = {"baby"}
    likes = rng.lognormal(0, 1.1, len(stock.categories))
    for index, category in enumerate(stock.categories):
        if category.household:
            likes[index] *= 4.0 if category.household in households else 0.01
    preferences = stock.popularity * likes[stock.category] * rng.lognormal(0, 0.8, stock.brands)[stock.brand]
    person = _Person(
        preferences=preferences / preferences.sum(),
        order_gap=float(np.clip(rng.lognormal(np.log(20), 0.5), 6, 90)),
        pace=float(rng.lognormal(0, 0.2)),
        visits=1 + int(rng.lognormal(np.log(9), 0.7)),
        first_day=0 if rng.random() < 0.6 else int(rng.integers(DAYS - 60)),
        hour=float(rng.normal(19, 3)),
    )
    if regular:
        return replace(person, order_gap=7.0, visits=60, first_day=0)
    return person


def _baskets(
    person: _Person, stock: _Stock, start: date, rng: np.random.Generator
) -> list[tuple[datetime, dict[int, int]]]:
    """Return one customer's orders: time, and quantity by product (position)."""
    cumulative = person.preferences.cumsum()

    def empty_on(product: int, bought: int) -> float:
        return bought + float(stock.gap[product]) * person.pace * rng.normal(0.9, 0.15)

    # The favourites: the day when each runs out. At first they are between full and empty.
    favourites = {
        product: person.first_day + rng.random() * float(stock.gap[product])
        for product in _draw(cumulative, int(rng.integers(3, 14)), rng).tolist()
        if stock.gap[product]
    }
    baskets: list[tuple[datetime, dict[int, int]]] = []
    day = person.first_day + int(rng.random() * person.order_gap)
    while True:
        weekdays = (start.weekday() + day + np.arange(4)) % 7
        day += int(_draw(WEEKDAY[weekdays].cumsum(), 1, rng)[0])  # the next days compete
        if day >= DAYS:
            return baskets
        basket = [product for product, empty in favourites.items() if empty <= day]
        picked = _draw(cumulative, max(int(rng.poisson(1.7)), 0 if basket else 1), rng).tolist()
        for product in (*basket, *picked):
            if product in favourites or (stock.gap[product] and rng.random() < NEW_FAVOURITE):
                favourites[product] = empty_on(product, day)
        for product in basket:
            if rng.random() < GIVEN_UP:
                del favourites[product]
        at = _moment(start, day, min(max(rng.normal(person.hour, 2), 0.5), 23.9))
        quantities = {product: min(int(rng.geometric(0.8)), 9) for product in dict.fromkeys((*basket, *picked))}
        baskets.append((at, quantities))
        day += max(1, round(rng.gamma(4, person.order_gap / 4)) - 1)


def _views(person: _Person, stock: _Stock, start: date, rng: np.random.Generator) -> list[tuple[datetime, int]]:
    """Return one customer's views: time, and product (position)."""
    by_meal = stock.meal * person.preferences  # (meals, products)
    cumulative = by_meal.cumsum(axis=1)
    views = []
    for _ in range(person.visits):
        meal = int(_draw(MEAL_SHARE.cumsum(), 1, rng)[0])
        first_hour, end_hour = list(MEALS.values())[meal]
        at = _moment(start, int(rng.integers(person.first_day, DAYS)), rng.uniform(first_hour, end_hour - 1))
        about = stock.category[_draw(cumulative[meal], 1, rng)[0]]
        near = np.where(stock.category == about, by_meal[meal], 0.0).cumsum()
        count = int(rng.geometric(0.25))
        stays = rng.random(count) < FOCUS
        products = np.where(stays, _draw(near, count, rng), _draw(cumulative[meal], count, rng))
        seconds = rng.integers(10, 120, count).cumsum()
        views += [
            (at + timedelta(seconds=s), product) for s, product in zip(seconds.tolist(), products.tolist(), strict=True)
        ]
    return views


def _draw(cumulative: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw positions, (count,), by weight, from the running sum of the weights."""
    # All but the last sum are borders; a draw beyond the last border is the last position.
    drawn: NDArray[np.intp] = np.searchsorted(cumulative[:-1], rng.random(count) * cumulative[-1], side="right")
    return drawn


def _moment(start: date, day: int, hour: float) -> datetime:
    midnight = datetime.combine(start + timedelta(days=day), time(), TIMEZONE)
    return midnight + timedelta(seconds=int(hour * 3600))


def _meal_time(at: datetime) -> str:
    """Return the meal whose hours include `at`, else the next one."""
    return next((meal for meal, (_, end) in MEALS.items() if at.hour < end), "late_night")
