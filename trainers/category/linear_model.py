"""The linear model: a number for each n-gram and category, so that SQL scores any text as a scaled sum.

    score(text, category) = Σ_g w_g · c_g,category / √n + bias_category        n: the text's known n-grams

w are inverse document frequencies; c and the biases are those of a linear SVM (squared hinge loss, one category against
the rest). It is convex, so no seed has a say, and it is the best that a few hundred rows allow.
"""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from aisle.trainers.category.ngram_model import NgramModel, is_word

C = 3.0  # of the SVM: the larger, the less it is regularised
WORDS_TO_CHARACTERS = 0.5  # energy of words and pairs of words in the training texts, to that of runs of characters
LARGE = 1_000_000  # rows × categories from which several processes are faster than one
AFFORDABLE = 5_000_000  # rows × categories: half a minute on two cores; beyond, it adds nothing to the network

Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]  # (categories, n-grams), and biases (categories,)


def is_affordable(rows: int, categories: int) -> bool:
    """Tell whether a fit takes seconds, or a minute."""
    return rows * categories <= AFFORDABLE


def fit_linear_model(
    texts: sparse.csr_array, labels: npt.NDArray[np.int64], categories: int, ngrams: Sequence[str]
) -> NgramModel:
    """Fit on `texts`, (texts, n-grams) of ones, and their labels, indexes of categories; vectors are scores.

    A category without a text has the score of one that no text speaks for.
    """
    from joblib import Parallel, delayed

    vectors = np.zeros((len(ngrams), categories), dtype=np.float32)
    bias = np.full(categories, -1.0, dtype=np.float32)
    present = np.unique(labels)
    if len(present) < 2:  # of a fold without the others: nothing to tell apart
        bias[present] = 1
        return NgramModel(vectors, np.eye(categories, dtype=np.float32), bias)
    weights = weights_by_rarity(texts, ngrams)
    known = np.maximum(np.diff(texts.indptr), 1)
    features = sparse.csr_matrix(sparse.diags_array(1 / np.sqrt(known)) @ texts @ sparse.diags_array(weights))
    features.indices, features.indptr = features.indices.astype(np.int32), features.indptr.astype(np.int32)
    # Processes, not threads: threads would share the library's random numbers, and no two fits would be the same.
    shares = min(os.cpu_count() or 1, len(present)) if len(labels) * categories > LARGE else 1
    fitted = Parallel(n_jobs=shares)(
        delayed(_fit_some)(features, labels, some) for some in np.array_split(present, shares)
    )
    vectors[:, present] = np.concatenate([coefficients for coefficients, _ in fitted]).T
    bias[present] = np.concatenate([intercepts for _, intercepts in fitted])
    vectors *= weights[:, None].astype(np.float32)
    return NgramModel(vectors, np.eye(categories, dtype=np.float32), bias)


def _fit_some(features: sparse.csr_matrix, labels: npt.NDArray[np.int64], some: npt.NDArray[np.int64]) -> Weights:
    from sklearn.svm import LinearSVC

    fitted = [LinearSVC(C=C, random_state=0).fit(features, labels == category) for category in some]
    coefficients = np.array([svm.coef_[0] for svm in fitted], dtype=np.float32)
    return coefficients, np.array([svm.intercept_[0] for svm in fitted], dtype=np.float32)


def weights_by_rarity(texts: sparse.csr_array, ngrams: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the weight of each n-gram, (n-grams,), by its inverse document frequency; texts have 1 as mean energy."""
    counts = np.bincount(texts.indices, minlength=len(ngrams))
    weights = np.log((1 + texts.shape[0]) / (1 + counts)) + 1
    energies, words = counts * weights**2, np.array([is_word(ngram) for ngram in ngrams], dtype=bool)
    if energies[words].any() and energies[~words].any():
        weights[words] *= np.sqrt(WORDS_TO_CHARACTERS * energies[~words].sum() / energies[words].sum())
    return np.asarray(weights / np.sqrt((counts * weights**2).sum() / max(counts.sum(), 1)))
