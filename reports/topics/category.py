"""The page on a category model: metrics, calibration, confusions, mistakes, and a map of products.

The sections on held-out rows show the same as aisle.confusion, aisle.category_report and aisle.category_review, but of
any model, not only the live one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from aisle import db
from aisle.db import Connection
from aisle.reports import figures, pages
from aisle.reports.pages import Figure, Section, Table

Strings = npt.NDArray[np.str_]

MOST_CONFUSED = 12  # categories in the matrix
MOST_PAIRS = 20  # rows of the table of confusions
MOST_ROWS = 20  # products in a table
MOST_BARS = 24  # categories in a figure
EXAMPLES = 3  # products a confusion
MOST_POINTS = 2000  # products on the map
MOST_GROUPS = 9  # colours on it
NO_CATEGORY = "no category"
OTHERS = "others"


@dataclass(frozen=True)
class Answers:
    """The model's answers for held-out rows, (rows,) each."""

    item_id: Strings
    category: Strings
    predicted: Strings
    confidence: npt.NDArray[np.float64]
    given_confidence: npt.NDArray[np.float64]  # confidence in the row's own category

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Mark the rows whose category was predicted."""
        return np.asarray(self.category == self.predicted, dtype=np.bool_)

    def surest(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the indexes of the chosen rows, the most confident answer first."""
        places = np.flatnonzero(chosen)
        return places[np.argsort(-self.confidence[places], kind="stable")]

    def mislabelled(self) -> npt.NDArray[np.bool_]:
        """Mark the rows that aisle.category_review calls probably mislabelled (its file says why)."""
        categories, place = np.unique(self.category, return_inverse=True)
        usual = dict(
            zip(categories, np.bincount(place, self.given_confidence) / np.bincount(place), strict=True)
        )  # fmt: skip
        least = np.array([usual.get(category, np.inf) for category in self.predicted])
        return ~self.correct & (self.confidence >= least)


def read(connection: Connection, model: pages.Model) -> pages.Page:
    """Read the page on a model."""
    answers = _read_answers(connection, model.model_id)
    separator = model.parameters.get("category_separator", " > ")
    sections = [Section("Metrics", _metrics(model))]
    if answers is None:
        sections.append(Section("Held-out rows", ["No row was held out, so its mistakes are unknown."]))
    else:
        sections += [
            Section("Calibration", _calibration(model, answers)),
            Section("Confusions", _confusion(connection, answers)),
            Section("Categories", _by_category(answers, separator)),
            Section("Worst mistakes", _mistakes(connection, answers)),
            Section("Probably mislabelled", _mislabelled(connection, answers)),
        ]
    sections.append(Section("Map of products", _map(connection, model, separator)))
    return pages.of_model(connection, model, sections)


def _read_answers(connection: Connection, model_id: int) -> Answers | None:
    rows = connection.execute(db.read("queries/heldout_answers"), {"model_id": model_id}).fetchall()
    if not rows:
        return None
    item_id, category, predicted, confidence, given = zip(*rows, strict=True)
    return Answers(
        np.array(item_id), np.array(category), np.array(predicted), np.array(confidence, float), np.array(given, float)
    )


def _metrics(model: pages.Model) -> list[str | Figure | Table]:
    m = model.metrics
    if "accuracy" not in m:
        return ["No metrics are stored: aisle evaluate category"]
    beside = {pages.rival(who, r): r for who, r in m.items() if isinstance(r, dict) and "accuracy" in r}
    rows = [
        ("item_category: a row's vector", m["held_out_rows"], m["accuracy"], m["macro_f1"], m["ece"]),
        ("predict_category: any text", m["held_out_rows"], m["ngram_accuracy"], m["ngram_macro_f1"], None),
        *(
            (name, r.get("held_out_rows", m["held_out_rows"]), r["accuracy"], r.get("macro_f1"), r.get("ece"))
            for name, r in beside.items()
        ),
    ]
    return [
        Table(("on the held-out rows", "rows", "accuracy", "macro F1", "calibration error"), rows),
        *([] if beside else ["With TF-IDF + linear SVM on the same rows: aisle evaluate category --baseline"]),
    ]


def _calibration(model: pages.Model, answers: Answers) -> list[str | Figure | Table]:
    said = f" The expected calibration error is {model.metrics['ece']:.4f}." if "ece" in model.metrics else ""
    return [
        f"On the dashed line, 80 % of the answers with confidence 0.8 are right.{said}",
        Figure(
            "Reliability, and the distribution of confidence",
            partial(figures.reliability, answers.confidence, answers.correct),
        ),
    ]


def _confusion(connection: Connection, answers: Answers) -> list[str | Figure | Table]:
    wrong = np.flatnonzero(~answers.correct)
    if not len(wrong):
        return ["All held-out rows were classified correctly."]
    pairs: dict[tuple[str, str], list[int]] = {}
    for place in answers.surest(~answers.correct).tolist():
        pairs.setdefault((str(answers.category[place]), str(answers.predicted[place])), []).append(place)
    most = sorted(pairs.items(), key=lambda found: (-len(found[1]), found[0]))
    shown = most[:MOST_PAIRS]
    names = _names(connection, [str(answers.item_id[p]) for _, places in shown for p in places[:EXAMPLES]])
    mistakes: dict[str, int] = {}
    for pair, places in most:
        for category in pair:
            mistakes[category] = mistakes.get(category, 0) + len(places)
    confused = sorted(sorted(mistakes, key=lambda category: (-mistakes[category], category))[:MOST_CONFUSED])
    given = [answers.category == category for category in confused]
    said = [answers.predicted == category for category in confused]
    counts = np.array([[np.sum(mine & theirs) for theirs in said] for mine in given])  # (categories, categories)
    return [
        f"{len(wrong):,} of {len(answers.correct):,} answers are wrong, in {len(pairs):,} ways.",
        Figure(
            f"Rows by their category (down) and answer (across): the {len(confused)} most confused categories",
            partial(figures.confusion, confused, counts),
        ),
        Table(
            ("category", "predicted", "rows", "mean confidence", "surest mistakes"),
            [
                (
                    *pair,
                    len(places),
                    float(answers.confidence[places].mean()),
                    [names.get(str(answers.item_id[p]), "") for p in places[:EXAMPLES]],
                )
                for pair, places in shown
            ],
            f"The {len(shown)} most frequent confusions" if len(shown) < len(most) else "All confusions",
        ),
    ]


def _by_category(answers: Answers, separator: str) -> list[str | Figure | Table]:
    parts: list[str | Figure | Table] = []
    firsts = [
        np.array([path.split(separator)[0] for path in column]) for column in (answers.category, answers.predicted)
    ]
    top = _scores(*firsts)
    if any(separator in category for category in answers.category):
        parts.append(_bars(top[:MOST_BARS], "F1 of the first level, the largest categories first"))
    scores = _scores(answers.category, answers.predicted)
    weakest = sorted(scores, key=lambda score: (score[1], -score[2]))[:MOST_BARS]
    which = (
        "all categories" if len(weakest) == len(scores) else f"the {len(weakest)} weakest of {len(scores)} categories"
    )
    return [*parts, _bars(weakest, f"F1 of {which}")]


def _scores(category: Strings, predicted: Strings) -> list[tuple[str, float, int]]:
    """Return F1 and support of the held-out rows' categories, the largest first."""
    names, support = np.unique(category, return_counts=True)
    answered = dict(zip(*np.unique(predicted, return_counts=True), strict=True))
    right = dict(zip(*np.unique(category[category == predicted], return_counts=True), strict=True))
    found = [
        (str(name), 2 * int(right.get(name, 0)) / (int(rows) + int(answered.get(name, 0))), int(rows))
        for name, rows in zip(names, support, strict=True)
    ]
    return sorted(found, key=lambda score: (-score[2], score[0]))


def _bars(scores: Sequence[tuple[str, float, int]], title: str) -> Figure:
    labels, values, support = zip(*scores, strict=True)
    return Figure(title, partial(figures.bars, labels, values, notes=[f"({rows:,} rows)" for rows in support]))


def _mistakes(connection: Connection, answers: Answers) -> list[str | Figure | Table]:
    places = answers.surest(~answers.correct)[:MOST_ROWS]
    if not len(places):
        return ["There are none."]
    return ["Held-out rows with a confident wrong answer.", _products(connection, answers, places)]


def _mislabelled(connection: Connection, answers: Answers) -> list[str | Figure | Table]:
    places = answers.surest(answers.mislabelled())
    current = _items(connection, answers.item_id[places].tolist())
    # Leave out rows that have been corrected since.
    places = places[[current.get(str(answers.item_id[p]), ("", None))[1] == answers.category[p] for p in places]]
    if not len(places):
        return ["No held-out row looks mislabelled."]
    return [
        f"{len(places):,} held-out rows are predicted another category, as confidently as rows of that category on "
        "average. Of the live model: aisle.category_review",
        _products(connection, answers, places[:MOST_ROWS]),
    ]


def _products(connection: Connection, answers: Answers, places: npt.NDArray[np.int64]) -> Table:
    names = _names(connection, answers.item_id[places].tolist())
    return Table(
        ("item", "name", "category", "predicted", "confidence"),
        [
            (
                item,
                names.get(item, ""),
                str(answers.category[p]),
                str(answers.predicted[p]),
                float(answers.confidence[p]),
            )
            for p, item in ((p, str(answers.item_id[p])) for p in places)
        ],
    )


def _map(connection: Connection, model: pages.Model, separator: str) -> list[str | Figure | Table]:
    rows = connection.execute(
        db.read("queries/sample_item_vectors"), {"model_id": model.model_id, "items": MOST_POINTS}
    ).fetchall()
    if len(rows) < 3:
        return ["There are too few products with a vector to draw."]
    vectors = np.array([vector for _, vector in rows], dtype=np.float64)  # (items, dimensions)
    categories = {item: category for item, (_, category) in _items(connection, [item for item, _ in rows]).items()}
    firsts = np.array([(categories.get(item) or NO_CATEGORY).split(separator)[0] for item, _ in rows])
    points, shares = project(vectors)
    labels = [f"{shares[axis]:.0%} of the variance" for axis in (0, 1)]
    return [
        f"The vectors of {len(rows):,} products on their first two principal components.",
        Figure("Products by category", partial(figures.scatter, points, _groups(firsts), (labels[0], labels[1]))),
    ]


def project(vectors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return coordinates, (n, 2), of vectors, (n, d), by principal components, and their shares of variance, (2,)."""
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = u * s
    # A component's sign is arbitrary; make its farthest point positive.
    coordinates *= np.sign(coordinates[np.abs(coordinates).argmax(axis=0), np.arange(len(s))])
    shares = s**2 / max(float((s**2).sum()), 1e-12)
    return (
        np.pad(coordinates, ((0, 0), (0, max(0, 2 - len(s)))))[:, :2],
        np.pad(shares, (0, max(0, 2 - len(s))))[:2],
    )


def _groups(categories: Strings) -> dict[str, npt.NDArray[np.bool_]]:
    """Return masks of the products of the largest categories, and last of all others."""
    names, counts = np.unique(categories, return_counts=True)
    largest = [str(name) for name in names[np.argsort(-counts, kind="stable")] if name != NO_CATEGORY][:MOST_GROUPS]
    groups = {name: categories == name for name in largest}
    rest = ~np.isin(categories, largest)
    if rest.any():
        unfiled = bool((categories[rest] == NO_CATEGORY).all())
        groups[NO_CATEGORY if unfiled else OTHERS] = rest
    return groups


def _items(connection: Connection, item_ids: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
    """Return the items' present names and categories."""
    rows: Sequence[Any] = connection.execute(
        "select i.item_id, i.name, coalesce(n.name, i.category) from aisle._read_items(%s) i "
        "left join aisle._category_names() n on n.category = i.category",
        (list(item_ids),),
    ).fetchall()
    return {item_id: (name or "", category) for item_id, name, category in rows}


def _names(connection: Connection, item_ids: Sequence[str]) -> dict[str, str]:
    return {item_id: name for item_id, (name, _) in _items(connection, item_ids).items()}
