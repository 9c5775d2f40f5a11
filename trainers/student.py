"""The n-gram student: one vector an n-gram, so that SQL can embed any text as a scaled sum.

    vector(text) = Σ_g weight_g · v_g / √n        n: the text's known n-grams        logits = vector · category + bias

Alone it is trained with cross-entropy. With a teacher it learns, in the teacher's space and under the teacher's head, from
the teacher's class distribution (KL), the labels, and the teacher's vectors (1 − cosine); see Ye et al., "Sparse
Distillation", NAACL 2022. Half of a text's n-grams are dropped at each step, which is what keeps rare ones honest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch.nn import functional as F

from aisle.embedder.encoders import Floats

WARM_UP_STEPS = 20
MOMENTUM, SQUARED_MOMENTUM = 0.9, 0.99  # Adam's betas
# A whole word says more than a piece of one: how much, by the n-gram's first character.
WEIGHTS = {"=": 3.0, "+": 3.0, "@": 4.0, "*": 3.0}

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class StudentOptions:
    """Hyper-parameters of the student."""

    dimensions: int = 256
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 0.01
    ngram_dropout: float = 0.5
    label_smoothing: float = 0.05


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned encoder's view of every row, and its head, which the student shares."""

    vectors: Floats  # (rows, dimensions)
    weight: Floats  # (categories, dimensions)
    bias: Floats  # (categories,)


@dataclass(frozen=True)
class Student:
    """What was learned, with the n-gram weights multiplied in."""

    vectors: Floats  # (n-grams, dimensions)
    weight: Floats  # (categories, dimensions)
    bias: Floats  # (categories,)

    def embed(self, matrix: sparse.csr_array) -> Floats:
        """Return the vectors of texts, (texts, dimensions), from their n-grams, (texts, n-grams)."""
        known = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)[:, None]
        return np.asarray(matrix @ self.vectors / np.sqrt(known), dtype=np.float32)


def fit_student(
    matrix: sparse.csr_array,
    labels: npt.NDArray[np.int64],
    categories: int,
    ngrams: Sequence[str],
    options: StudentOptions,
    *,
    seed: int,
    teacher: Teacher | None = None,
    progress: Progress = lambda epoch, loss: None,
) -> Student:
    """Fit on all rows of `matrix`, (texts, n-grams). A label of -1 is a text without a category: only a teacher can use it."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    weights = np.array([WEIGHTS.get(ngram[0], 1.0) for ngram in ngrams], dtype=np.float32)
    vectors = torch.randn(len(ngrams), options.dimensions) * (0.1 if teacher is None else 0.01)
    if teacher is None:
        weight = torch.randn(categories, options.dimensions) / options.dimensions**0.5
        bias = torch.zeros(categories)
    else:
        weight, bias = torch.from_numpy(teacher.weight), torch.from_numpy(teacher.bias)
    head = [weight.requires_grad_(teacher is None), bias.requires_grad_(teacher is None)]
    optimiser = torch.optim.Adam(head, lr=options.learning_rate) if teacher is None else None
    moment, squared = torch.zeros_like(vectors), torch.zeros(len(ngrams), 1)

    steps_an_epoch = -(-matrix.shape[0] // options.batch_size)
    step = 0
    for epoch in range(options.epochs):
        order = random.permutation(matrix.shape[0])
        total = 0.0
        for start in range(0, len(order), options.batch_size):
            rows = order[start : start + options.batch_size]
            batch = _drop(matrix[rows], options.ngram_dropout, random)
            used, columns = np.unique(batch.indices, return_inverse=True)
            scale = 1 / np.sqrt(np.maximum(np.diff(batch.indptr), 1), dtype=np.float32)
            batch = sparse.csr_array(
                (weights[batch.indices] * np.repeat(scale, np.diff(batch.indptr)), columns, batch.indptr),
                shape=(len(rows), len(used)),
            )
            touched = torch.from_numpy(used.astype(np.int64))
            before = vectors[touched]  # (used n-grams, dimensions)
            embedded = torch.from_numpy(batch @ before.numpy()).requires_grad_()  # (batch, dimensions)
            loss = _loss(embedded, head[0], head[1], torch.from_numpy(labels[rows]), teacher, rows, options)
            if optimiser:
                optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            assert embedded.grad is not None
            gradient = torch.from_numpy(batch.T @ embedded.grad.numpy())

            step += 1
            rate = options.learning_rate * min(1, step / WARM_UP_STEPS) * (1 - step / (options.epochs * steps_an_epoch + 1))
            if optimiser:
                optimiser.param_groups[0]["lr"] = rate
                optimiser.step()
            # Adam with one second moment a row: a row is touched seldom, and a table of squares would double the memory.
            moment[touched] = m = moment[touched].mul_(MOMENTUM).add_(gradient, alpha=1 - MOMENTUM)
            squared[touched] = s = (
                squared[touched].mul_(SQUARED_MOMENTUM).add_(gradient.pow(2).mean(1, keepdim=True), alpha=1 - SQUARED_MOMENTUM)
            )
            vectors[touched] = before - rate * m / (s.sqrt() + 1e-8)
            total += loss.item() * len(rows)
        progress(epoch + 1, total / matrix.shape[0])
    return Student(
        vectors.numpy() * weights[:, None], head[0].detach().numpy().copy(), head[1].detach().numpy().copy()
    )


def _drop(batch: sparse.csr_array, share: float, random: np.random.Generator) -> sparse.csr_array:
    kept = random.random(len(batch.indices)) >= share
    ends = np.concatenate([[0], np.cumsum(kept)])[batch.indptr]
    return sparse.csr_array((batch.data[kept], batch.indices[kept], ends), shape=batch.shape)


def _loss(
    embedded: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    labels: torch.Tensor,
    teacher: Teacher | None,
    rows: npt.NDArray[np.int64],
    options: StudentOptions,
) -> torch.Tensor:
    logits = embedded @ weight.T + bias
    if teacher is None:
        return F.cross_entropy(logits, labels, label_smoothing=options.label_smoothing)
    target = torch.from_numpy(teacher.vectors[rows])
    with torch.no_grad():
        distribution = F.softmax(target @ weight.T + bias, dim=1)
    loss = F.kl_div(F.log_softmax(logits, dim=1), distribution, reduction="batchmean")
    loss = loss + 0.5 * (1 - F.cosine_similarity(embedded, target)).mean()
    if (labels >= 0).any():
        loss = loss + 0.5 * F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=options.label_smoothing)
    return loss
