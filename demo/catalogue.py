"""Reads `catalogue.toml`, the words of the demo shop."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Brand:
    ko: str
    en: str
    sells: tuple[str, ...]  # category path prefixes; "*": everything

    def is_sold_in(self, path: str) -> bool:
        return _covers(self.sells, path)


@dataclass(frozen=True)
class Language:
    """One language's share of the vocabulary; `nouns`, `kinds` and `adjectives` belong to one category."""

    nouns: list[str]
    kinds: list[str]
    series: list[str]
    adjectives: list[str]
    promotions: list[str]


@dataclass(frozen=True)
class Category:
    path: str
    count: int  # products
    price: tuple[int, int]  # won, lowest and highest of a single piece
    every: int  # days until a household needs it again; 0: durable
    household: str  # who buys it: "baby", "dog", "cat"; "": everyone
    meals: list[str]  # times of day with more views than usual
    ko: Language
    en: Language
    sizes: dict[str, str]  # Korean spelling: English spelling
    unit: str  # counting word of a pack; "": sold singly
    facts: list[str]
    brands: list[Brand]


@dataclass(frozen=True)
class Catalogue:
    categories: list[Category]
    featured: list[dict[str, Any]]  # rows of shop.products that examples rely on


def read_catalogue() -> Catalogue:
    text = files("aisle.demo").joinpath("catalogue.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    brands = []
    for names, sells in raw["brands"].items():
        ko, en = names.split(" / ")
        brands.append(Brand(ko, en, tuple(_list(sells))))
    categories = [_category(path, entry, raw, brands) for path, entry in raw["categories"].items()]
    return Catalogue(categories, raw["featured"])


def _category(path: str, entry: dict[str, Any], raw: dict[str, Any], brands: list[Brand]) -> Category:
    words = raw["words"]

    def language(code: str) -> Language:
        adjectives = raw[f"{code}_adjectives"].items()
        return Language(
            nouns=_list(entry[code]),
            kinds=_list(entry[f"{code}_kinds"]),
            series=_list(words[f"{code}_series"]),
            adjectives=[pair.split(" / ")[0 if _covers(_list(prefixes), path) else 1] for pair, prefixes in adjectives],
            promotions=_list(words[f"{code}_promotions"]),
        )

    low, high = entry["price"]
    return Category(
        path=path,
        count=entry["count"],
        price=(low, high),
        every=entry["every"],
        household=entry.get("household", ""),
        meals=_list(entry.get("meals", "")),
        ko=language("ko"),
        en=language("en"),
        sizes={size: _translate(size, raw["english_sizes"]) for size in _list(entry["sizes"])},
        unit=entry["unit"],
        facts=_list(entry["facts"]),
        brands=[brand for brand in brands if brand.is_sold_in(path)],
    )


def _covers(prefixes: Sequence[str], path: str) -> bool:
    """Return whether a category is below one of the path prefixes; "*" covers all."""
    return any(prefix == "*" or path.startswith(prefix) for prefix in prefixes)


def _translate(text: str, dictionary: dict[str, str]) -> str:
    for ko, en in dictionary.items():
        text = text.replace(ko, en)
    return text


def _list(text: str) -> list[str]:
    return text.split(", ") if text else []
