"""Fits the few numbers that turn logits into honest confidences, on validation rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

from aisle.embedder.encoders import Floats


@dataclass(frozen=True)
class Scales:
    """Multipliers: of the student's vector alone, of the encoder's and student's vectors in their sum, of the bias."""

    draft: float
    encoder: float
    student: float
    bias: float


def fit_scales(
    student: Floats, encoder: Floats | None, weight: Floats, bias: Floats, labels: npt.NDArray[np.int64]
) -> Scales:
    """Minimise the negative log-likelihood of validation labels (temperature scaling: Guo et al., ICML 2017).

    `student` and `encoder` are vectors, (rows, dimensions). With an encoder, the student alone and the weighted sum are
    fitted together, because they share the bias.
    """
    from_student = student @ weight.T
    from_encoder = None if encoder is None else encoder @ weight.T

    def loss(logarithms: npt.NDArray[np.float64]) -> float:
        draft, student_part, encoder_part, bias_part = np.exp(logarithms)
        total = _negative_log_likelihood(draft * from_student + bias_part * bias, labels)
        if from_encoder is not None:
            both = encoder_part * from_encoder + student_part * from_student + bias_part * bias
            total += _negative_log_likelihood(both, labels)
        return total

    # In logarithms the multipliers stay positive; the search is derivative-free because four numbers are few.
    best = np.exp(minimize(loss, np.log([1.0, 0.5, 0.5, 1.0]), method="Nelder-Mead", options={"maxiter": 300}).x)
    if encoder is None:
        return Scales(draft=best[0], encoder=0.0, student=best[0], bias=best[3])
    return Scales(draft=best[0], encoder=best[2], student=best[1], bias=best[3])


def _negative_log_likelihood(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))
