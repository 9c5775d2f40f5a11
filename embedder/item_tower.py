"""The recommender's two vectors of an item without events, from its category path and its text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ItemTower:
    """The content half of the item tower; several towers' vectors are concatenated."""

    dimensions: int
    cosine: bool  # out-vectors have length 1, and there is no bias
    names: Sequence[Sequence[str]]  # the known categories, each a path from the root
    # (categories, width): into, out (the same columns if they are tied), and a bias unless cosine
    categories: Floats
    text: tuple[Floats, ...]  # weights and biases of the layers, () without texts

    def content(self, categories: Sequence[Sequence[str] | None], texts: Floats | None) -> tuple[Floats, Floats]:
        """Return (into, out) of items, (items, dimensions or + 1) each."""
        rows = {tuple(name): row for row, name in enumerate(self.names)}
        x = np.zeros((len(categories), self.categories.shape[1]), dtype=np.float32)
        for line, path in enumerate(categories):
            known = [rows[prefix] for prefix in prefixes(path) if prefix in rows]
            x[line] = self.categories[known].sum(0)
        if self.text and texts is not None:
            first, first_bias, second = self.text
            x += np.maximum(texts @ first.T + first_bias, 0) @ second.T * texts.any(1, keepdims=True)
        into, out = x[:, : self.dimensions], x[:, -self.dimensions :] if self.cosine else x[:, -self.dimensions - 1 :]
        if self.cosine:
            out = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
        return np.pad(into, ((0, 0), (0, out.shape[1] - into.shape[1]))), out


def prefixes(path: Sequence[str] | None) -> Iterator[tuple[str, ...]]:
    """Yield a category's path and its ancestors', from the root."""
    for length in range(1, len(path or ()) + 1):
        yield tuple(path or ())[:length]


def content(
    towers: Sequence[ItemTower], categories: Sequence[Sequence[str] | None], texts: Floats | None
) -> tuple[Floats, Floats]:
    """Return (into, out) of items by all towers, (items, d) each."""
    parts = [tower.content(categories, texts) for tower in towers]
    return np.concatenate([into for into, _ in parts], axis=1), np.concatenate([out for _, out in parts], axis=1)


def to_arrays(towers: Sequence[ItemTower]) -> tuple[dict[str, npt.NDArray[Any]], list[dict[str, Any]]]:
    """Return the towers' arrays by name, for a file, and the rest as JSON."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for member, tower in enumerate(towers):
        arrays[f"{member}.categories"] = tower.categories
        arrays |= {f"{member}.text.{layer}": array for layer, array in enumerate(tower.text)}
    return arrays, [
        {"dimensions": t.dimensions, "cosine": t.cosine, "names": [list(name) for name in t.names]} for t in towers
    ]


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]], rest: Sequence[Mapping[str, Any]]) -> list[ItemTower]:
    """Return the towers from the result of `to_arrays`."""
    return [
        ItemTower(
            **kept,
            categories=arrays[f"{member}.categories"],
            text=tuple(arrays[name] for name in sorted(n for n in arrays if n.startswith(f"{member}.text."))),
        )
        for member, kept in enumerate(rest)
    ]
