"""The shop file: what a shop declares to Aisle, in TOML. docs/shop-file.md describes it.

It is the same as the arguments of `aisle.attach_items`, `attach_interactions` and `attach_orders`, in plainer words.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aisle.db import errors

# Each section's keys, with the argument of the SQL function that they are.
ITEMS = {
    "table": "relation", "query": "query", "id": "id", "name": "name", "manufacturer": "manufacturer",
    "category": "category", "text": "text_columns", "category_separator": "category_separator",
    "draft_rows": "draft_rows", "latitude": "latitude", "longitude": "longitude", "eligible": "eligible",
    "group": "group_column", "unlabelled": "unlabelled", "category_list": "category_list", "watch": "watch",
}  # fmt: skip
INTERACTIONS = {
    "table": "relation", "query": "query", "user": "user_id", "item": "item_id", "at": "at", "weight": "weight",
    "context": "context_columns", "review": "review", "rating": "rating", "time_zone": "time_zone",
    "counts": "counts", "item_via": "item_via", "accept_item_ids": "accept_item_ids",
}  # fmt: skip
ORDERS = {
    "table": "relation", "query": "query", "lines": "lines", "id": "order_id", "line_order": "line_order_id",
    "user": "user_id", "item": "item_id", "at": "at", "number": "order_number", "quantity": "quantity",
    "counts": "counts", "item_via": "item_via", "time_zone": "time_zone", "accept_item_ids": "accept_item_ids",
    "watch": "watch",
}  # fmt: skip
KINDS = {"items": ITEMS, "interactions": INTERACTIONS, "orders": ORDERS}  # in the order in which they are attached
CATEGORIES = ("table", "id", "parent", "path", "name", "where", "of_item", "prefer", "unlabelled")
WRITE_BACK = ("column", "statement", "undo", "threshold", "at_precision", "at_commit")

LISTS = {"text", "context", "unlabelled"}
FLAGS = {"accept_item_ids", "at_commit"}
NUMBERS = {"draft_rows": int, "threshold": float, "at_precision": float}
# A query names its columns so, and they need no key.
QUERY_COLUMNS = {
    "items": {name: name for name in ("manufacturer", "category", "text", "latitude", "longitude")},
    "interactions": {"user": "user_id", "item": "item_id"}
    | {name: name for name in ("at", "weight", "review", "rating")},
    "orders": {"id": "order_id", "user": "user_id", "item": "item_id", "number": "order_number"}
    | {name: name for name in ("at", "quantity")},
}


@dataclass(frozen=True)
class ShopFile:
    """The sections of a shop file, checked: known keys only, and values of the right types."""

    kinds: Mapping[str, Mapping[str, Any]]  # items, interactions, orders: those that the file has
    write_back: Mapping[str, Any] | None = None


def read(file: Path) -> ShopFile:
    """Read a shop file; raises ShopFileError with one sentence about what is wrong."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.ShopFileError(f"{file} is not UTF-8.") from error
    return parse(text, str(file))


def parse(text: str, name: str = "The shop file") -> ShopFile:
    """Return the sections of a shop file; raises ShopFileError with one sentence about what is wrong."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        raise errors.ShopFileError(f"{name} is not TOML: {said[:1].lower()}{said[1:].rstrip('.')}.") from error
    known = [*KINDS, "categories", "write_back"]
    if not content:
        raise errors.ShopFileError(f"{name} declares nothing.", hint=f"Sections: {', '.join(known)}")
    for section, values in content.items():
        if section not in known:
            raise _unknown(name, f"has no section [{section}]", section, known, "Sections")
        if not isinstance(values, dict):
            raise errors.ShopFileError(f"{name}: {section} must be a section: [{section}]")
    kinds = {kind: _checked(name, kind, content[kind], list(keys)) for kind, keys in KINDS.items() if kind in content}
    for kind, values in kinds.items():
        if ("table" in values) == ("query" in values):
            raise errors.ShopFileError(f"{name}: [{kind}] needs a table or a query, and not both.")
    if "categories" in content:
        categories = _checked(name, "categories", content["categories"], list(CATEGORIES))
        if "items" not in kinds:
            raise errors.ShopFileError(f"{name}: [categories] are of items, so the file needs [items], too.")
        if "table" not in categories:
            raise errors.ShopFileError(f"{name}: [categories] needs a table.")
        unlabelled = [*kinds["items"].get("unlabelled", []), *categories.pop("unlabelled", [])]
        kinds["items"] |= {"categories": categories} | ({"unlabelled": unlabelled} if unlabelled else {})
    write_back = (
        _checked(name, "write_back", content["write_back"], list(WRITE_BACK)) if "write_back" in content else None
    )
    return ShopFile(kinds, write_back)


def arguments(kind: str, values: Mapping[str, Any], query_columns: list[str] | None = None) -> dict[str, Any]:
    """Return the arguments of the SQL function for a section; `query_columns` are those of its query."""
    given = dict(values)
    for key, column in QUERY_COLUMNS[kind].items():
        if query_columns is not None and column in query_columns:
            given.setdefault(key, [column] if key in LISTS else column)
    if kind == "orders" and "lines" in given:
        given.setdefault("id", "id")
        given.setdefault("line_order", "order_id")
    names = KINDS[kind] | {"categories": "categories"}
    return {names[key]: value for key, value in given.items()}


def sections(kind: str, declaration: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sections of a shop file that declare this: the reverse of `arguments`."""
    keys = {argument: key for key, argument in KINDS[kind].items()}
    main = {keys[argument]: value for argument, value in declaration.items() if argument in keys}
    watch = main.pop("watch", None)
    made = {kind: {key: main[key] for key in KINDS[kind] if key in main}}
    if watch:
        made[f"{kind}.watch"] = watch
    if declaration.get("categories"):
        made["categories"] = declaration["categories"]
    return made


def _checked(name: str, section: str, values: Mapping[str, Any], known: list[str]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise _unknown(name, f"has no key {key} in [{section}]", key, known, "Keys")
        checked[key] = _of_type(f"{name}: {key} in [{section}]", key, value)
    return checked


def _of_type(where: str, key: str, value: Any) -> Any:
    if key == "watch":
        if isinstance(value, dict) and all(isinstance(query, str) for query in value.values()):
            return {table: query.strip() for table, query in value.items()}
        raise errors.ShopFileError(f"{where} must be a section of tables, each with a query as text.")
    if key in LISTS:
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return texts
        raise errors.ShopFileError(f"{where} must be a list of texts.")
    if key in FLAGS:
        if isinstance(value, bool):
            return value
        raise errors.ShopFileError(f"{where} must be true or false.")
    if key in NUMBERS:
        if isinstance(value, int | float) and not isinstance(value, bool) and isinstance(value, int | NUMBERS[key]):
            return value
        raise errors.ShopFileError(f"{where} must be a {'whole ' if NUMBERS[key] is int else ''}number.")
    if isinstance(value, str) and (value.strip() or key == "category_list"):
        return value if key in ("category_separator", "category_list") else value.strip()
    raise errors.ShopFileError(f"{where} must be a text that is not empty.")


def _unknown(name: str, what: str, given: str, known: list[str], title: str) -> errors.ShopFileError:
    nearest = max(known, key=lambda word: difflib.SequenceMatcher(None, given.lower(), word).ratio())
    return errors.ShopFileError(f"{name} {what}. The nearest is {nearest}.", hint=f"{title}: {', '.join(known)}")
