"""Names, makers, labels and prices of the demo shop's products, with the noise of real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from aisle.demo.catalogue import Catalogue, Category

# Shares of all products.
KOREAN = 0.60  # the others have English names
NO_MANUFACTURER = 0.08
NO_CATEGORY = 0.05
WRONG_CATEGORY = 0.015  # of those with a category
NO_SPECIFICATIONS = 0.20
OUT_OF_STOCK = 0.04

# Shares of names.
NO_BRAND = 0.25
NO_NOUN = 0.14  # '베베로아 골드 2단계 800g': clear to a person, not to a word list
TYPO = 0.05
PROMOTION = 0.18


class Product(NamedTuple):
    """A row of shop.products."""

    id: int
    name: str
    manufacturer: str | None
    category: str | None
    specifications: str | None
    price: int  # won
    stock: int


@dataclass(frozen=True)
class Assortment:
    products: list[Product]
    truth: list[Category]  # each product's right category, in the order of `products`
    mislabelled: frozenset[int]  # ids of products under a wrong category


def make_products(catalogue: Catalogue, rng: Random) -> Assortment:
    by_path = {category.path: category for category in catalogue.categories}
    featured = [(Product(0, **row, stock=24), by_path[row["category"]]) for row in catalogue.featured]
    names = {product.name for product, _ in featured}
    generated = []
    for category in catalogue.categories:
        for _ in range(category.count):
            product = _product(category, rng)
            while product.name in names:
                product = _product(category, rng)
            names.add(product.name)
            generated.append((product, category))
    rng.shuffle(generated)

    products, truth, mislabelled = [], [], set()
    for id_, (product, category) in enumerate(featured + generated, start=1):
        label = product.category
        if id_ > len(featured):
            if _chance(rng, NO_CATEGORY):
                label = None
            elif _chance(rng, WRONG_CATEGORY):
                label = _neighbour(category, catalogue.categories, rng).path
                mislabelled.add(id_)
        products.append(product._replace(id=id_, category=label))
        truth.append(category)
    return Assortment(products, truth, frozenset(mislabelled))


def _product(category: Category, rng: Random) -> Product:
    """Return a product without an id, in its right category."""
    korean = _chance(rng, KOREAN)
    brand = rng.choice(category.brands)
    size = rng.choice(list(category.sizes))
    pieces = rng.choice((1, 1, 1, 2, 3, 4, 6, 10)) if category.unit else 1
    if korean:
        name = _korean_name(category, _mostly(rng, 0.93, brand.ko, brand.en), size, pieces, rng)
        manufacturer = _mostly(rng, 0.93, brand.ko, brand.en)
    else:
        name = _english_name(category, brand.en, category.sizes[size], pieces, rng)
        manufacturer = _mostly(rng, 0.70, brand.en, brand.ko)
    if _chance(rng, TYPO):
        name = _typo(name, rng)
    low, high = category.price
    price = low * (high / low) ** rng.betavariate(2, 3) * pieces**0.85
    return Product(
        id=0,
        name=name,
        manufacturer=None if _chance(rng, NO_MANUFACTURER) else manufacturer,
        category=category.path,
        specifications=None if _chance(rng, NO_SPECIFICATIONS) else _specifications(category, size, rng),
        price=max(1, round(price / 1000)) * 1000 - rng.choice((100, 100, 100, 10, 500)),
        stock=0 if _chance(rng, OUT_OF_STOCK) else round(rng.lognormvariate(math.log(40), 0.9)),
    )


def _korean_name(category: Category, brand: str, size: str, pieces: int, rng: Random) -> str:
    words = category.ko
    noun = "" if _chance(rng, NO_NOUN) else rng.choice(words.nouns)
    middle = [
        _maybe(rng, 0.35, words.adjectives),
        _maybe(rng, 0.45, words.series),
        _maybe(rng, 0.50 if noun else 1.0, words.kinds),
    ]
    rng.shuffle(middle)
    pack = ""
    if pieces > 1:
        pack = rng.choice(
            (f"x {pieces}{category.unit}", f"{pieces}{category.unit}", f"{size} {pieces}개입", f"X{pieces}")
        )
    name = _join(
        _maybe(rng, PROMOTION, words.promotions),
        "" if _chance(rng, NO_BRAND) else brand,
        *middle,
        noun,
        "" if pack.startswith(size) or _chance(rng, 0.15) else size,
        pack,
    )
    return name.replace(f" {size}", size, 1) if noun and _chance(rng, 0.08) else name  # '누룽지500g'


def _english_name(category: Category, brand: str, size: str, pieces: int, rng: Random) -> str:
    words = category.en
    noun = "" if _chance(rng, NO_NOUN) else rng.choice(words.nouns)
    name = _join(
        _maybe(rng, PROMOTION / 2, words.promotions),
        "" if _chance(rng, NO_BRAND) else brand,
        _maybe(rng, 0.30, words.adjectives),
        _maybe(rng, 0.45, words.series),
        _maybe(rng, 0.50 if noun else 1.0, words.kinds),
        noun,
    )
    if not _chance(rng, 0.15):
        name += rng.choice((", ", " ", " - ")) + size
    if pieces > 1:
        name += rng.choice((f" (Pack of {pieces})", f", {pieces} Pack", f" x {pieces}", f" {pieces} ct"))
    return name.lower() if _chance(rng, 0.04) else name


def _specifications(category: Category, size: str, rng: Random) -> str:
    facts = rng.sample(category.facts, k=rng.choice((0, 1, 1, 2)))
    facts = list({fact.split(":")[0]: fact for fact in facts}.values())  # one origin, one material
    return ", ".join([f"{'용량' if category.unit else '옵션'}: {size}", *facts])


def _typo(name: str, rng: Random) -> str:
    """Swap, drop or double one character."""
    at = rng.randrange(1, len(name) - 1)
    before, one, two, after = name[:at], name[at], name[at + 1], name[at + 2 :]
    slip = rng.choice((before + two + one + after, before + two + after, before + one + one + two + after))
    return " ".join(slip.split())


def _neighbour(category: Category, categories: Sequence[Category], rng: Random) -> Category:
    """Return another category, mostly of the same department: a typical human error."""
    others = [other for other in categories if other is not category]
    department = category.path.split(" > ")[0]
    near = [other for other in others if other.path.startswith(f"{department} > ")]
    return rng.choice(near if near and _chance(rng, 0.7) else others)


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _chance(rng: Random, probability: float) -> bool:
    return rng.random() < probability


def _maybe(rng: Random, probability: float, words: Sequence[str]) -> str:
    return rng.choice(words) if _chance(rng, probability) else ""


def _mostly(rng: Random, probability: float, usual: str, other: str) -> str:
    return usual if _chance(rng, probability) else other
