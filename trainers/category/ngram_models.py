"""Fits the models of n-grams, and adds them up to the one that SQL serves.

    score = a · linear model + b · network

A linear model is the best that a few hundred rows allow; with thousands, the network sees what it cannot. Rows that
neither has seen choose a and b, and later calibrate the sum: in a small shop those of all folds, else the
validation rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from aisle.embedder.encoders import Floats
from aisle.trainers.category import linear_model
from aisle.trainers.category.linear_model import fit_linear_model, weights_by_rarity
from aisle.trainers.category.ngram_model import SMALL, NgramModel, fit_ngram_model, weighted_sum
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.category.products import Catalogue, select_ngrams, share
from aisle.trainers.task import Report
from aisle.trainers.warm_start import Start

NETWORK_FROM = 2_000  # rows; with fewer, the network adds nothing
FOLDS, FOLDS_OF_NETWORKS = 9, 4  # of the training rows; the validation rows are one more
FEWEST_DETAILS = 16  # dimensions
SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)  # of the network in the sum, to try

Rows = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """Models that were fitted to some rows, by name, and the n-grams that they know."""

    columns: npt.NDArray[np.int64]  # of the catalogue's n-grams
    ngrams: list[str]
    models: Mapping[str, NgramModel]

    def texts(self, catalogue: Catalogue, rows: npt.NDArray[np.int64] | Rows) -> sparse.csr_array:
        """Return the known n-grams of these rows, (rows, n-grams)."""
        return catalogue.ngrams[rows][:, self.columns]


@dataclass(frozen=True)
class NgramSum:
    """The sum, and how it scores rows that its models had not seen."""

    ngrams: list[str]
    matrix: sparse.csr_array  # (catalogue, n-grams)
    model: NgramModel
    first: NgramModel  # the network as fitted to the training rows alone, for a warm start
    first_ngrams: list[str]
    judges: npt.NDArray[np.int64]  # rows that were held out from the fits whose scores follow
    logits: Floats  # (judges, categories), without bias
    bias: Floats  # (judges, categories)
    weights: Mapping[str, float]  # model → its weight in the sum


def fit_ngram_models(
    catalogue: Catalogue,
    labels: Labels,
    training: Rows,
    validation: Rows,
    categories: Sequence[str],
    paths: Sequence[Sequence[str]],
    options: NgramOptions,
    *,
    seed: int,
    report: Report,
    is_alone: bool = True,
    details: bool = False,
    start: Start | None = None,
) -> NgramSum:
    """Fit, weigh and add the models; unless `is_alone`, an encoder has learned from the training rows.

    `labels` are indexes of `categories` and of their `paths`, -1 for other rows.
    """
    learned = training | validation
    rows, unlabelled = int(np.count_nonzero(learned)), ~learned & (catalogue.splits != "test")
    has_linear = linear_model.is_affordable(rows, len(categories))
    has_network = not has_linear or rows >= NETWORK_FROM or start is not None

    def fit_to(some: Rows, network: NgramOptions) -> Fitted:
        # Held-out rows take no part, not even as unlabelled texts.
        columns, ngrams = select_ngrams(catalogue, some | unlabelled, labelled=some if rows < SMALL else None)
        texts, models = catalogue.ngrams[some][:, columns], {}
        if has_linear:
            models["linear"] = fit_linear_model(texts, labels[some], len(categories), ngrams)
        if has_network:
            models["network"] = fit_ngram_model(
                texts, labels[some], paths, ngrams, network, seed=seed, progress=progress,
                start=None if start is None else NgramModel(
                    start.rows("ngrams", ngrams), start.rows("categories", categories), start.rows("bias", categories)
                ),
            )  # fmt: skip
        return Fitted(columns, ngrams, models)

    def progress(epoch: int, loss: float) -> None:
        if rows >= SMALL:
            report(f"  epoch {epoch}/{options.epochs}: loss {loss:.3f}")

    folds = [validation]
    is_quick = has_network and options.members == 1  # who asks for one network has no time for one a fold
    if is_alone and start is None and rows < SMALL and not is_quick:
        place = np.array([share(f"fold/{key}", seed) for key in catalogue.keys])
        count = FOLDS_OF_NETWORKS if has_network else FOLDS
        folds = [*(training & ((place * count).astype(int) == n) for n in range(count)), validation]
    both = has_linear and has_network
    report(f"Fitting {'n-gram models' if both else 'an n-gram model'}, to {'weigh and ' if both else ''}calibrate …")
    judges: list[npt.NDArray[np.int64]] = []
    logits: dict[str, list[Floats]] = {}
    bias: dict[str, list[Floats]] = {}
    for fold in folds:
        first = fit_to(learned & ~fold, options if len(folds) == 1 else replace(options, members=1))
        # A category that a fit has not seen says nothing of its confidence; the validation rows are as they are.
        held = np.flatnonzero(fold & (validation | np.isin(labels, np.unique(labels[learned & ~fold]))))
        judges.append(held)
        for name, model in first.models.items():
            logits.setdefault(name, []).append(model.embed(first.texts(catalogue, held)) @ model.weight.T)
            bias.setdefault(name, []).append(np.tile(model.bias, (len(held), 1)))
    judged = np.concatenate(judges)
    all_logits, all_bias = ({n: np.concatenate(parts) for n, parts in one.items()} for one in (logits, bias))
    weights = weigh({name: all_logits[name] + all_bias[name] for name in all_logits}, labels[judged])

    report("Fitting again on all rows that are not held out …")
    last = fit_to(learned, options)
    matrix = catalogue.ngrams[:, last.columns]
    model = weighted_sum([last.models[n] for n in weights], list(weights.values()), matrix[learned], options.dimensions)
    if is_alone and details:
        model = _with_details(model, matrix[learned], last.ngrams, options.dimensions)
    return NgramSum(
        last.ngrams,
        matrix,
        model,
        first.models.get("network", _unlearned(len(categories), options.dimensions)),
        first.ngrams if has_network else [],
        judged,
        np.asarray(sum(w * all_logits[n] for n, w in weights.items()), dtype=np.float32),
        np.asarray(sum(w * all_bias[n] for n, w in weights.items()), dtype=np.float32),
        weights,
    )


def weigh(scores: Mapping[str, Floats], labels: Labels) -> dict[str, float]:
    """Return the weight of each model whose scores, (rows, categories), are given: those of the likeliest labels.

    A model with a weight of 0 is left out. The weights' scale means nothing: calibration gives it one.
    """
    spread = {name: float(one.std()) or 1.0 for name, one in scores.items()}
    if len(scores) == 1:
        return {name: 1 / spread[name] for name in scores}

    def weights_of(network: float) -> dict[str, float]:
        return {"linear": (1 - network) / spread["linear"], "network": network / spread["network"]}

    def loss_of(network: float) -> float:
        total = sum(weight * scores[name] for name, weight in weights_of(network).items())
        return float(
            minimize_scalar(lambda t: log_loss(np.exp(t) * total, labels), bounds=(-2, 4), method="bounded").fun
        )

    best = min(SHARES, key=loss_of)
    return {name: weight for name, weight in weights_of(best).items() if weight}


def log_loss(scores: Floats, labels: Labels) -> float:
    """Return the mean of minus the logarithm of the labels' shares."""
    return -float(np.mean(log_softmax(scores, axis=1)[np.arange(len(labels)), labels]))


def _with_details(model: NgramModel, texts: sparse.csr_array, ngrams: Sequence[str], dimensions: int) -> NgramModel:
    """Fill up a model's vectors with which n-grams a text has, for neighbours by text and searches; scores stay.

    They are a random projection of the n-grams' weights by rarity, whose inner products are nearly theirs (Johnson and
    Lindenstrauss, 1984). A text's details have as much energy as its scores.
    """
    left = dimensions - model.vectors.shape[1]
    if left < FEWEST_DETAILS:
        return model
    directions = np.random.default_rng(0).standard_normal((len(ngrams), left)) / np.sqrt(left)
    energy = float(np.mean(np.square(model.embed(texts)).sum(axis=1)))
    details = np.sqrt(energy) * weights_by_rarity(texts, ngrams)[:, None] * directions
    blind = np.zeros((len(model.weight), left), dtype=np.float32)
    return NgramModel(
        np.concatenate([model.vectors, details], axis=1).astype(np.float32),
        np.concatenate([model.weight, blind], axis=1),
        model.bias,
    )


def _unlearned(categories: int, dimensions: int) -> NgramModel:
    return NgramModel(
        np.zeros((0, dimensions), dtype=np.float32),
        np.zeros((categories, dimensions), dtype=np.float32),
        np.zeros(categories, dtype=np.float32),
    )
