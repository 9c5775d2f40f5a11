"""Scores of classifiers."""

from typing import Any

import numpy as np
import numpy.typing as npt


def classification_scores(given: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> dict[str, float]:
    """Return the accuracy, and the mean F1 over the categories that occur among the given labels."""
    from sklearn.metrics import f1_score

    return {
        "accuracy": float(np.mean(given == predicted)),
        "macro_f1": float(f1_score(given, predicted, labels=np.unique(given), average="macro", zero_division=0)),
    }


def calibration_error(confidence: npt.NDArray[Any], correct: npt.NDArray[Any], bins: int = 15) -> float:
    """Return the expected calibration error over equal-width bins (Guo et al., ICML 2017, equation 3)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(correct[place == b].mean() - confidence[place == b].mean()) * np.mean(place == b)
        for b in range(bins)
        if np.any(place == b)
    ]
    return float(np.sum(gaps))
