"""Calibrates confidences: fits the scales of the logits on validation rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from aisle.embedder.encoders import Floats

LARGEST = 5.0  # natural logarithm of the largest multiplier
PRIOR = 1e-3  # weight of the distance from the start: without it, rows without errors would give infinite scales
MAX_NOISE = 0.3  # share of wrong labels; above it, there is nothing to calibrate

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scales:
    """Multipliers of the logits: n-gram model alone (`draft`), encoder and n-gram model in their sum, and bias.

    `noise` is the share of wrong labels, even of answers that the model is sure of; it bounds every confidence.
    """

    draft: float
    encoder: float
    ngram: float
    bias: float
    noise: float


def fit_scales(ngram: Floats, encoder: Floats | None, bias: Floats, labels: npt.NDArray[np.int64]) -> Scales:
    """Fit the scales to validation labels; `ngram` and `encoder` are logits without bias, (rows, categories).

    First the multipliers, by the likelihood of the label (temperature scaling: Guo et al., ICML 2017). Then the noise
    and one more temperature for each answer, by the likelihood that the best category is right: a shop reads a
    confidence that way.
    """

    def answers(draft: float, encoder_part: float, ngram_part: float, bias_part: float) -> list[Array]:
        alone = draft * ngram + bias_part * bias
        if encoder is None:
            return [alone]
        return [alone, encoder_part * encoder + ngram_part * ngram + bias_part * bias]

    multipliers = _minimise(
        lambda p: sum(-float(np.mean(_log_shares(z)[np.arange(len(labels)), labels])) for z in answers(*p)),
        [1.0, 0.5, 0.5, 1.0],
    )

    def top_label_loss(p: Array) -> float:
        noise, alone, both = min(p[0], MAX_NOISE), p[1], p[2]
        draft, encoder_part, ngram_part, bias_part = multipliers
        loss = 0.0
        for logits in answers(draft * alone, encoder_part * both, ngram_part * both, bias_part):
            shares = np.exp(_log_shares(logits))
            confidence = np.clip((1 - noise) * shares.max(axis=1) + noise / shares.shape[1], 1e-9, 1 - 1e-9)
            right = shares.argmax(axis=1) == labels
            loss -= float(np.mean(np.log(np.where(right, confidence, 1 - confidence))))
        return loss

    noise, alone, both = _minimise(top_label_loss, [0.02, 1.0, 1.0])
    draft, encoder_part, ngram_part, bias_part = multipliers
    if encoder is None:
        encoder_part, ngram_part, both = 0.0, draft, alone
    return Scales(draft * alone, encoder_part * both, ngram_part * both, bias_part, min(noise, MAX_NOISE))


def _log_shares(logits: Array) -> Array:
    return np.asarray(log_softmax(logits, axis=1))


def _minimise(loss: Callable[[Array], float], start: list[float]) -> Array:
    """Minimise over logarithms, which keeps multipliers positive; without derivatives, because there are few."""
    origin = np.log(start)

    def objective(logarithms: Array) -> float:
        return loss(bounded(logarithms)) + PRIOR * float(np.sum((logarithms - origin) ** 2))

    def bounded(logarithms: Array) -> Array:
        return np.asarray(np.exp(np.clip(logarithms, -LARGEST, LARGEST)))

    return bounded(minimize(objective, origin, method="Nelder-Mead", options={"maxiter": 300}).x)
