"""Reads the attached table in bulk (Arrow), with n-grams from the same SQL function as in serving, and splits it."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import ClientCursor
from psycopg import sql as compose
from psycopg.types.json import Jsonb
from scipy import sparse

from aisle import db
from aisle.db import Connection, errors
from aisle.embedder.encoders import encoder_text
from aisle.trainers.arrow import record_batches
from aisle.trainers.copy_rows import LONGEST_KEY

MAX_NGRAMS = 200_000
MIN_OCCURRENCES = 2
HELD_OUT = 0.1  # share of the labelled rows, only to measure the model
VALIDATION = 0.1  # share of the others, for early stopping and calibration

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Catalogue:
    """The rows of the attached table, as columns."""

    item_ids: Strings
    names: Strings
    manufacturers: Strings
    details: Strings
    categories: Strings  # None: a row to predict
    splits: Strings  # train, valid, test; '' for rows without a category
    hashes: Strings  # hash of each row's content as read
    keys: Sequence[str]  # rows with the same key are in the same split
    ngrams: sparse.csr_array  # (rows, all n-grams) of ones
    vocabulary: list[str]

    def __len__(self) -> int:
        return len(self.item_ids)

    def texts(self) -> list[tuple[str | None, str | None, str | None]]:
        """Return (name, manufacturer, details) of every row."""
        return list(zip(self.names, self.manufacturers, self.details, strict=True))

    def encoder_texts(self) -> list[str]:
        """Return every row's text for an encoder."""
        return [encoder_text(*text) for text in self.texts()]

    def fingerprint(self) -> str:
        """Return a hash of all training data."""
        digest = hashlib.sha256()
        for column in (self.item_ids, self.names, self.manufacturers, self.details, self.categories, self.splits):
            digest.update("\x1f".join("" if value is None else value for value in column).encode())
        return digest.hexdigest()[:16]


def read_catalogue(connection: Connection, *, split_column: str | None, seed: int) -> Catalogue:
    """Read the attached items in order of their ids; `split_column` overrides the automatic split."""
    attachment = connection.execute(
        "select c.oid::regclass::text, a.columns ->> 'id' from aisle._attachments a "
        "left join pg_class c on c.oid = a.relation where a.kind = 'items'"
    ).fetchone()
    if attachment is None:
        raise errors.NotAttachedError
    relation, id_column = attachment
    if relation is None:
        raise errors.AttachedTableGoneError
    columns, ngrams, vocabulary = _read_arrow(
        connection,
        _query(connection, relation, id_column, split_column),
        errors.TrainingDataError(
            "The attached table is empty.", hint="Fill it first, for example: aisle import items FILE.csv --table …"
        ),
    )
    given = columns.pop("split") if split_column else None
    keys = _groups(columns)
    splits = _split(keys, columns["category"], given, seed)
    return _catalogue(columns, keys if given is None else columns["item_id"].tolist(), splits, ngrams, vocabulary)


def read_reviews(connection: Connection, rule: dict[str, Any], seed: int) -> Catalogue:
    """Read the reviews whose ratings say liked or not liked; this is their category.

    A review is a name without a manufacturer. Its split depends on its text and the seed alone.
    """
    query = ClientCursor(connection).mogrify(db.read("queries/rated_reviews"), {"rule": Jsonb(rule)})
    columns, ngrams, vocabulary = _read_arrow(
        connection,
        query,
        errors.TrainingDataError(
            "No review has both words and a usable rating.",
            hint="--liked-from compares numbers, --liked names ratings as the column holds them.",
        ),
    )
    keys = _groups(columns)
    return _catalogue(columns, keys, _split(keys, columns["category"], None, seed), ngrams, vocabulary)


def _catalogue(
    columns: dict[str, Strings], keys: Sequence[str], splits: Strings, ngrams: sparse.csr_array, vocabulary: list[str]
) -> Catalogue:
    return Catalogue(
        item_ids=columns["item_id"],
        names=columns["name"],
        manufacturers=columns["manufacturer"],
        details=columns["details"],
        categories=columns["category"],
        hashes=columns["content_hash"],
        keys=keys,
        splits=splits,
        ngrams=ngrams,
        vocabulary=vocabulary,
    )


def _query(connection: Connection, relation: str, id_column: str, split_column: str | None) -> str:
    split: compose.Composable = compose.SQL("null::text")
    join: compose.Composable = compose.SQL("")
    if split_column:
        # `relation` is a regclass as text: the server has quoted it.
        found = connection.execute(
            "select from pg_attribute where attrelid = %s::regclass and attname = %s and attnum > 0"
            " and not attisdropped",
            (relation, split_column),
        ).fetchone()
        if found is None:
            raise errors.MissingColumnError(f"{relation} has no column {split_column}.")
        split = compose.SQL("s.{}::text").format(compose.Identifier(split_column))
        join = compose.SQL("join {} s on s.{} = i.id").format(compose.SQL(relation), compose.Identifier(id_column))
    query = compose.SQL(
        "select i.item_id, i.name, i.manufacturer, i.details, "
        # What Aisle wrote, and nobody has confirmed, is no label.
        "case when own.item_id is null then i.category end as category, {split} as split, "
        "aisle._content_hash(i.name, i.manufacturer, i.details) as content_hash, "
        "aisle._ngrams(i.name, i.manufacturer, i.details) as ngrams from aisle._items i {join} "
        "left join aisle._applied_categories own on own.item_id = i.item_id and own.category = i.category "
        "and own.confirmed_at is null order by i.item_id"
    ).format(split=split, join=join)
    return query.as_string(connection)


def _read_arrow(
    connection: Connection, query: str, nothing: errors.TrainingDataError
) -> tuple[dict[str, Strings], sparse.csr_array, list[str]]:
    """Stream the query as Arrow batches; n-grams become integers batch by batch, so their texts do not stay in memory.

    Raises `nothing` if there are no rows.
    """
    ids: dict[str, int] = {}
    columns: dict[str, list[Strings]] = {}
    indices, lengths = [], []
    for batch in record_batches(connection, query):
        for name in batch.schema.names:
            if name != "ngrams":
                columns.setdefault(name, []).append(np.array(batch[name].to_pylist(), dtype=object))
        grams = batch["ngrams"]
        encoded = grams.flatten().cast("string").dictionary_encode()
        known = np.array([ids.setdefault(g, len(ids)) for g in encoded.dictionary.to_pylist()], dtype=np.int32)
        indices.append(known[encoded.indices.to_numpy()])
        lengths.append(np.diff(grams.offsets.to_numpy()))
    if not columns:
        raise nothing
    matrix = sparse.csr_array(
        (
            np.ones(sum(map(len, indices)), dtype=np.float32),
            np.concatenate(indices),
            np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        ),
        shape=(sum(map(len, lengths)), len(ids)),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1  # repeated n-grams count once
    return {name: np.concatenate(parts) for name, parts in columns.items()}, matrix, list(ids)


def select_ngrams(
    catalogue: Catalogue, rows: npt.NDArray[np.bool_], labelled: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the n-grams that occur in enough of these rows, at most the MAX_NGRAMS most frequent: columns and texts.

    One that occurs in a row of `labelled` needs no other. Those longer than LONGEST_KEY are left out.
    """

    def counts_in(some: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(catalogue.ngrams[some].indices, minlength=len(catalogue.vocabulary))

    counts = counts_in(rows)
    known = counts >= MIN_OCCURRENCES
    if labelled is not None:
        known |= counts_in(labelled) > 0
    known &= np.array([len(ngram.encode()) <= LONGEST_KEY for ngram in catalogue.vocabulary], dtype=bool)
    chosen = np.flatnonzero(known)
    chosen = np.sort(chosen[np.argsort(-counts[chosen], kind="stable")[:MAX_NGRAMS]])
    return chosen, [catalogue.vocabulary[i] for i in chosen]


def group_key(name: str | None) -> str:
    """Return the key of near-equal names: their sorted words, without numbers and units."""
    text = unicodedata.normalize("NFKC", name or "").lower()
    return " ".join(sorted(set(re.findall(r"[^\W\d_]{2,}", text))))


def _groups(columns: dict[str, Strings]) -> list[str]:
    """Return the group of each row; a text without words, a code or one syllable, groups only with its equals."""
    return [
        group_key(text) or (text or "").strip() or item_id
        for text, item_id in zip(columns["name"], columns["item_id"], strict=True)
    ]


def share(key: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the key and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "big") / 2**64


def _split(keys: Sequence[str], categories: Strings, given: Strings | None, seed: int) -> Strings:
    """Split labelled rows by groups of near-equal names: none trains in one spelling and measures in another.

    The shop's own splits stand; if they have no validation rows, some training rows become these.
    """
    splits = np.empty(len(keys), dtype=object)
    takes_validation = given is None or "valid" not in given
    for i, (key, category) in enumerate(zip(keys, categories, strict=True)):
        x = share(key, seed)
        split = given[i] if given is not None else "test" if x < HELD_OUT else "train"
        if split == "train" and takes_validation and x > 1 - VALIDATION * (1 - HELD_OUT):
            split = "valid"
        splits[i] = "" if category is None and split != "test" else split
    if empty := sum(split is None for split in splits):
        raise errors.TrainingDataError(
            f"The split column is empty in {empty:,} rows that have a category.", hint="Fill it: train, valid or test."
        )
    unknown = set(splits) - {"", "train", "valid", "test"}
    if unknown:
        raise errors.TrainingDataError(
            f"The split column holds {unknown.pop()!r}.", hint="Its values may be train, valid and test."
        )
    return splits
