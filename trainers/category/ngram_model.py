"""The n-gram model: one vector for each n-gram, so that SQL can embed any text as a scaled sum.

    vector(text) = Σ_g v_g / √n        n: the text's known n-grams        logits = vector · category + bias

Its loss is cross-entropy, of the ancestors as well if categories are paths. Each step drops half of a text's n-grams,
which regularises the rare ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from aisle.embedder.encoders import Floats
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.category.path_loss import PathLoss

SMALL = 5_000  # texts
WARM_UP = 20  # steps
BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-8  # Adam
# How fast an n-gram's vector may grow: a word says more than a piece of one.
CHARACTER_SCALE, WORD_SCALE, MANUFACTURER_SCALE = 0.5, 1.5, 2.0

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class NgramModel:
    """A fitted model; its vectors include the scales of the n-grams."""

    vectors: Floats  # (n-grams, dimensions)
    weight: Floats  # (categories, dimensions)
    bias: Floats  # (categories,)

    def embed(self, texts: sparse.csr_array) -> Floats:
        """Return the vectors of texts, (texts, dimensions), from their n-grams, (texts, n-grams)."""
        known = np.maximum(np.diff(texts.indptr), 1).astype(np.float32)[:, None]
        return np.asarray(texts @ self.vectors / np.sqrt(known), dtype=np.float32)


def is_word(ngram: str) -> bool:
    """Tell an n-gram of whole words from a run of characters, by the marks that the SQL function `_ngrams` makes."""
    return ngram[0] in "=@" or "+" in ngram


def ngram_scale(ngram: str) -> float:
    """Return the scale of an n-gram by its kind."""
    if ngram[0] == "@" and "*" not in ngram:
        return MANUFACTURER_SCALE
    return WORD_SCALE if is_word(ngram) else CHARACTER_SCALE


def fit_ngram_model(
    texts: sparse.csr_array,
    labels: npt.NDArray[np.int64],
    paths: Sequence[Sequence[str]],
    ngrams: Sequence[str],
    options: NgramOptions,
    *,
    seed: int,
    progress: Progress = lambda epoch, loss: None,
    start: NgramModel | None = None,
) -> NgramModel:
    """Fit on `texts`, (texts, n-grams) of ones, and their labels; same seed and machine, same model.

    `labels` are indexes of `paths`, one path a category. `start` is a model for a warm start, of the same n-grams and
    categories and at most as many dimensions; its rows of zeros are n-grams and categories that it does not know.
    """
    small = texts.shape[0] < SMALL
    size = options.batch_size or (64 if small else 256)
    members = options.members or (4 if small else 1)
    models = [
        _fit_one(texts, labels, paths, ngrams, options, size, seed + member, progress, start)
        for member in range(members)
    ]
    return models[0] if members == 1 else weighted_sum(models, [1 / members] * members, texts, options.dimensions)


def shared_head(logits: Floats, dimensions: int) -> Floats:
    """Return a head, (categories, dimensions), that can produce these logits, (texts, categories), from vectors.

    Its columns are orthonormal. It is exact if there are no more categories than dimensions; else it is the projection
    that loses least of the logits' energy (their principal directions: Eckart and Young, 1936).
    """
    energies, directions = np.linalg.eigh(logits.T.astype(np.float64) @ logits)
    return np.ascontiguousarray(directions[:, np.argsort(-energies)[:dimensions]], dtype=np.float32)


def weighted_sum(
    models: Sequence[NgramModel], weights: Sequence[float], texts: sparse.csr_array, dimensions: int
) -> NgramModel:
    """Return one model with the weighted sum of the models' logits, exact for these texts as `shared_head` is."""
    logits = np.zeros((texts.shape[0], len(models[0].bias)), dtype=np.float32)
    for model, weight in zip(models, weights, strict=True):
        logits += np.float32(weight) * (model.embed(texts) @ model.weight.T)
    head = shared_head(logits, dimensions)
    vectors = np.zeros((len(models[0].vectors), head.shape[1]), dtype=np.float32)
    for model, weight in zip(models, weights, strict=True):
        vectors += model.vectors @ (np.float32(weight) * model.weight.T @ head)
    bias = sum(weight * model.bias for model, weight in zip(models, weights, strict=True))
    return NgramModel(vectors, head, np.asarray(bias, dtype=np.float32))


def _fit_one(
    texts: sparse.csr_array,
    labels: npt.NDArray[np.int64],
    paths: Sequence[Sequence[str]],
    ngrams: Sequence[str],
    options: NgramOptions,
    size: int,
    seed: int,
    progress: Progress,
    initial: NgramModel | None,
) -> NgramModel:
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    scales = np.array([ngram_scale(ngram) for ngram in ngrams], dtype=np.float32)
    vectors = torch.randn(len(ngrams), options.dimensions, generator=generator) * options.initial_spread
    # The second moment is one number for each n-gram: a full table would double the memory.
    moments, squares = torch.zeros_like(vectors), torch.zeros(len(ngrams), 1)
    weight = torch.randn(len(paths), options.dimensions, generator=generator) / options.dimensions**0.5
    bias = torch.zeros(len(paths))
    if initial is not None:
        known, width = torch.from_numpy(initial.weight.any(axis=1)), initial.weight.shape[1]
        vectors.zero_()  # for dimensions and n-grams that the start lacks
        vectors[:, :width] = torch.from_numpy(initial.vectors / scales[:, None])
        weight[known, :width] = torch.from_numpy(initial.weight)[known]
        bias.copy_(torch.from_numpy(initial.bias))
    path_loss = PathLoss(paths, options.label_smoothing)
    optimiser = torch.optim.Adam([weight.requires_grad_(), bias.requires_grad_()], lr=options.learning_rate)

    steps, step = options.epochs * -(-texts.shape[0] // size), 0
    for epoch in range(1, options.epochs + 1):
        order, total = random.permutation(texts.shape[0]), 0.0
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            used, mix = _drop_and_scale(texts[rows], scales, options.ngram_dropout, random)
            block = vectors.index_select(0, used)  # (n-grams of this batch, dimensions)
            embedded = torch.from_numpy(mix @ block.numpy()).requires_grad_()  # (batch, dimensions)
            logits = embedded @ weight.T + bias  # (batch, categories)
            loss = path_loss(logits, torch.from_numpy(labels[rows]))
            loss.backward()

            rate = options.learning_rate * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
            optimiser.zero_grad()
            gradient = torch.from_numpy(mix.T @ _gradient(embedded).numpy()) + options.weight_decay * block
            moment = moments.index_select(0, used).mul_(BETA_1).add_(gradient, alpha=1 - BETA_1)
            square = squares.index_select(0, used).mul_(BETA_2)
            square.add_(gradient.pow(2).mean(1, keepdim=True), alpha=1 - BETA_2)
            moments.index_copy_(0, used, moment)
            squares.index_copy_(0, used, square)
            vectors.index_copy_(0, used, block.addcdiv_(moment, square.sqrt().add_(EPSILON), value=-rate))
            total, step = total + loss.item() * len(rows), step + 1
        progress(epoch, total / texts.shape[0])
    return NgramModel(vectors.numpy() * scales[:, None], weight.detach().numpy().copy(), bias.detach().numpy().copy())


def _drop_and_scale(
    batch: sparse.csr_array, scales: npt.NDArray[np.float32], dropout: float, random: np.random.Generator
) -> tuple[torch.Tensor, sparse.csr_array]:
    """Return the n-grams left after dropout, and the matrix from their vectors to the texts' vectors."""
    kept = random.random(batch.nnz) >= dropout
    lines = np.repeat(np.arange(batch.shape[0]), np.diff(batch.indptr))[kept]
    used, columns = np.unique(batch.indices[kept], return_inverse=True)
    known = np.maximum(np.bincount(lines, minlength=batch.shape[0]), 1).astype(np.float32)
    weights = scales[used][columns] / np.sqrt(known)[lines]
    mix = sparse.csr_array((weights, (lines, columns)), shape=(batch.shape[0], len(used)))
    return torch.from_numpy(used.astype(np.int64)), mix


def _gradient(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.grad is None:
        raise RuntimeError("the loss does not depend on the texts' vectors")
    return tensor.grad
