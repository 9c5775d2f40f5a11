"""The weights for `--warm-start`: those of a model's first fit, before it learned from its validation rows.

A loaded model has learned from its validation rows too. If a run started from it, rows that its weights know would stop
and calibrate the run. So each model also stores the weights of its first fit, which saw neither validation nor held-out
rows, and the keys of the rows that this fit saw. A later run measures itself only on other rows.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder.model_folders import model_folder

ARRAYS, NAMES = "weights.safetensors", "names.json"

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """The text groups, users or customers that weights have learned from, and until when."""

    keys: npt.NDArray[np.uint64]  # (keys,), hashes in ascending order
    until: Doubles  # (keys,)

    @classmethod
    def of(cls, keys: Sequence[str], until: Doubles | None = None) -> "Seen":
        """Keep these keys; without `until`, for all time."""
        times = np.full(len(keys), np.inf) if until is None else until
        return cls._latest(_hashes(keys), np.asarray(times, dtype=np.float64))

    def until_of(self, keys: Sequence[str]) -> Doubles:
        """Return until when the weights learned from each key, (keys,); -inf: never."""
        if not len(self.keys):
            return np.full(len(keys), -np.inf)
        hashes = _hashes(keys)
        place = np.minimum(np.searchsorted(self.keys, hashes), len(self.keys) - 1)
        return np.where(self.keys[place] == hashes, self.until[place], -np.inf)

    def __or__(self, other: "Seen") -> "Seen":
        """Return the union."""
        return self._latest(np.concatenate([self.keys, other.keys]), np.concatenate([self.until, other.until]))

    @classmethod
    def _latest(cls, hashes: npt.NDArray[np.uint64], until: Doubles) -> "Seen":
        keys, place = np.unique(hashes, return_inverse=True)
        latest = np.full(len(keys), -np.inf)
        np.maximum.at(latest, place, until)
        return cls(keys, latest)


NOTHING_SEEN = Seen(np.zeros(0, dtype=np.uint64), np.zeros(0))


@dataclass(frozen=True)
class Start:
    """The weights for a warm start."""

    arrays: Mapping[str, npt.NDArray[Any]]
    names: Mapping[str, Sequence[str]]  # array → the names of its rows, if they have names
    seen: Seen
    model_id: int | None = None  # the model that has these weights
    digest: str = ""  # hash of all of that model's files

    def rows(self, array: str, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return an array's rows by these names, (names, any); zeros for an unknown name."""
        table, places = self.arrays[array], {name: row for row, name in enumerate(self.names[array])}
        found = np.array([places.get(name, -1) for name in names], dtype=np.int64)
        rows = np.zeros((len(names), *table.shape[1:]), dtype=np.float32)
        rows[found >= 0] = table[found[found >= 0]]
        return rows

    def store(self, connection: Connection, model_id: int) -> None:
        """Store the weights with a model."""
        with model_folder() as folder:
            below = folder / model_registry.START
            below.mkdir()
            arrays = {**self.arrays, "seen.keys": self.seen.keys, "seen.until": self.seen.until}
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, below / ARRAYS)
            (below / NAMES).write_text(json.dumps(self.names, ensure_ascii=False), encoding="utf-8")
            model_registry.write_files(connection, model_id, folder)

    @classmethod
    def read(cls, connection: Connection, model_id: int) -> "Start":
        """Return the weights stored with a model; raises WarmStartError if there are none."""
        with model_folder() as folder:
            model_registry.read_files(connection, model_id, folder, start=True)
            below = folder / model_registry.START
            if not (below / ARRAYS).exists():
                raise errors.WarmStartError(
                    f"Model {model_id} stores no weights for a warm start.", hint="Train without --warm-start."
                )
            arrays = load_file(below / ARRAYS)
            names = json.loads((below / NAMES).read_text(encoding="utf-8"))
        seen = Seen(arrays.pop("seen.keys"), arrays.pop("seen.until"))
        digest = db.fetch_value(
            connection,
            "select encode(sha256(string_agg(sha256, '' order by name)), 'hex') from aisle._model_files "
            "where model_id = %s",
            (model_id,),
        )
        return cls(arrays, names, seen, model_id, digest)


def of_live(connection: Connection, task: str) -> tuple[model_registry.Model, Start]:
    """Return the live model and its weights; raises NoLiveModelError, or WarmStartError if it has none."""
    model_id = model_registry.require_live(connection, task)
    return model_registry.get(connection, model_id), Start.read(connection, model_id)


def check_same(model: model_registry.Model, what: str, theirs: object, ours: object) -> None:
    """Raise WarmStartError unless model and run agree on a setting that the weights depend on."""
    if theirs != ours:
        raise errors.WarmStartError(
            f"The live model {model.model_id} has another {what}: {theirs}, not {ours}.",
            hint="Give the same, or train without --warm-start.",
        )


def check_unseen(start: Start, left: int, everybody: int, who: str) -> None:
    """Raise WarmStartError if the weights have learned from every row that would be held out."""
    if everybody and not left:
        raise errors.WarmStartError(
            f"The live model {start.model_id} has learned from the rows to be held out of all {everybody:,} {who}.",
            hint="Hold out later rows, or train without --warm-start.",
        )


def _hashes(keys: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return 8 bytes of each key's SHA-256: enough that no two keys of a shop collide."""
    digests = b"".join(hashlib.sha256(key.encode()).digest()[:8] for key in keys)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
