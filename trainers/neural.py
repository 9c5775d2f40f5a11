"""Common parts of the neural models: losses over all items, sparse products, early stopping."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import AutocastKwargs  # type: ignore[import-untyped]
from scipy import sparse
from torch import Tensor, nn

EXCLUDED = -1e4  # logit of an excluded item

Progress = Callable[[int, float, float | None], None]  # epoch, loss, validation metric
ModelT = TypeVar("ModelT")


@dataclass
class EarlyStopping(Generic[ModelT]):
    """Keeps the model that is best on validation, and says when that was `patience` evaluations ago."""

    patience: int
    history: list[float] = field(default_factory=list)  # of the metric
    best: ModelT | None = None

    def saw(self, metric: float, model: Callable[[], ModelT]) -> None:
        """Record an evaluation, and copy the model if it is the best so far."""
        self.history.append(metric)
        if metric >= max(self.history):
            self.best = model()

    @property
    def is_over(self) -> bool:
        """Whether the metric has not improved for long enough."""
        return bool(self.history) and len(self.history) - int(np.argmax(self.history)) > self.patience


class _Total(torch.autograd.Function):
    """Keeps only those logits that the gradient needs, in half precision if they are many."""

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, correction: Tensor | None, excluded: tuple[Tensor, Tensor] | None,
        softmax: bool, most_logits: int,
    ) -> Tensor:  # fmt: skip
        kind = torch.bfloat16 if len(states) * len(rows) > most_logits else torch.float32
        states, rows = states.to(kind), rows.to(kind)
        logits = states @ rows.T  # (positions, items)
        if softmax:
            if correction is not None:
                logits += correction
            if excluded is not None:
                logits[excluded] = EXCLUDED
            share = torch.softmax(logits, dim=1)
            # Logit - log share is the same for all items. Among several, the best has no share of 0.
            total = logits[:, :256].amax(1).float() - share[:, :256].amax(1).float().log()
        else:
            total, share = F.softplus(logits), torch.sigmoid(logits)
            if correction is not None:
                total, share = total * correction.exp(), (share * correction.exp()).to(kind)
            total = total.sum(1, dtype=torch.float32)
        context.save_for_backward(share, states, rows)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        share, states, rows = context.saved_tensors
        gradient = gradients[0][:, None]
        of_rows = (share.T @ (states * gradient.to(share.dtype))).float()
        return (share @ rows).float() * gradient, of_rows, None, None, None, None


def total_over_items(
    states: Tensor,
    rows: Tensor,
    correction: Tensor | None = None,
    excluded: tuple[Tensor, Tensor] | None = None,
    *,
    softmax: bool = True,
    most_logits: int,
) -> Tensor:
    """Return Σ over all items, (positions,): log Σ exp(z) of the soft-max, or Σ log(1 + exp(z)) of BCE.

    z = states · rows, (positions, items). `correction` is the log of the number of items that each row stands for;
    `excluded` are (position, item) pairs left out of the sum. Above `most_logits` the logits are bfloat16.
    """
    total: Tensor = _Total.apply(states, rows, correction, excluded, softmax, most_logits)  # type: ignore[no-untyped-call]
    return total


class Matrix(nn.Module):
    """A constant sparse matrix and its transpose, as bags."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        super().__init__()
        for name, m in (("rows", matrix), ("columns", sparse.csr_array(matrix.T))):
            self.register_buffer(f"{name}_items", torch.from_numpy(m.indices.astype(np.int64)), persistent=False)
            self.register_buffer(f"{name}_starts", torch.from_numpy(m.indptr[:-1].astype(np.int64)), persistent=False)
            self.register_buffer(f"{name}_weights", torch.from_numpy(m.data.astype(np.float32)), persistent=False)

    def times(self, dense: Tensor, transposed: bool) -> Tensor:
        """Return the product with a dense matrix, without a gradient."""
        name = "columns" if transposed else "rows"
        items, starts, weights = (self.get_buffer(f"{name}_{part}") for part in ("items", "starts", "weights"))
        return F.embedding_bag(items, dense.contiguous(), starts, mode="sum", per_sample_weights=weights)


class _Multiply(torch.autograd.Function):
    """Sparse constant matrix times dense; the gradient is its transpose times dense, cheaper than a scatter."""

    @staticmethod
    def forward(context: Any, dense: Tensor, matrix: Matrix, transposed: bool) -> Tensor:
        context.matrix, context.transposed = matrix, transposed
        return matrix.times(dense, transposed)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return context.matrix.times(gradients[0], not context.transposed), None, None


def multiply(matrix: Matrix, dense: Tensor, *, transposed: bool = False) -> Tensor:
    """Return a constant sparse matrix, or its transpose, times a dense one."""
    product: Tensor = _Multiply.apply(dense, matrix, transposed)  # type: ignore[no-untyped-call]
    return product


def sample_candidates(
    targets: npt.NDArray[np.int64], items: int, sampled: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the items of a sampled soft-max, and the log of how many items each stands for.

    The targets come first, in order. Each stands for itself, a sample of the others for all others: the sum is unbiased
    (the log-Q correction of sampled soft-max; Bengio and Senécal, 2008).
    """
    targets = np.unique(targets)
    others = np.setdiff1d(random.choice(items, sampled, replace=False), targets)
    correction = np.zeros(len(targets) + len(others), dtype=np.float32)
    correction[len(targets) :] = np.log(max(1, items - len(targets)) / max(1, len(others)))
    return np.concatenate([targets, others]), correction


def starts(lengths: npt.NDArray[np.int64]) -> Tensor:
    """Return each bag's start, (bags,), from the bags' lengths."""
    return torch.from_numpy(np.cumsum(lengths) - lengths)


def plain_accelerator() -> Accelerator:
    """Return an accelerator without mixed precision: half precision helps only in `total_over_items`.

    It keeps other settings of `accelerate launch`, or of an encoder that was trained in the same process.
    """
    return Accelerator(kwargs_handlers=[AutocastKwargs(enabled=False)])


def part_of_process(rows: npt.NDArray[np.int64], accelerator: Accelerator) -> npt.NDArray[np.int64]:
    """Return one process's share of a step."""
    processes = accelerator.num_processes
    return rows[accelerator.process_index :: processes] if len(rows) >= processes else rows


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = rate
