"""The baseline of classifiers of texts: TF-IDF of characters and words, and a linear SVM."""

from typing import Any

import numpy as np
import numpy.typing as npt

from aisle.trainers.catalogue import Catalogue, Strings

NAME = "TF-IDF + linear SVM"
AFFORDABLE = 2_500_000  # rows × categories: about 20 seconds on one core


def predict(
    catalogue: Catalogue, testing: npt.NDArray[np.bool_], *, training: npt.NDArray[np.bool_] | None = None
) -> tuple[Strings, Strings, npt.NDArray[Any]]:
    """Fit it to these rows, by default to every other labelled one that a model could learn from.

    Return the held-out rows' categories, its answers, and how sure it is of the first of two categories.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from sklearn.svm import LinearSVC

    texts = np.array([" ".join(part for part in (m, n, d) if part) for n, m, d in catalogue.texts()], dtype=object)
    if training is None:
        training = np.isin(catalogue.splits.astype(str), ("train", "valid")) & ~testing
    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
        # Words of one letter, too: names of one syllable would be no words at all.
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), sublinear_tf=True),  # noqa: S106  # no password
    )
    svm = LinearSVC(C=0.5).fit(features.fit_transform(texts[training]), catalogue.categories[training])
    vectors = features.transform(texts[testing])
    given, predicted = catalogue.categories[testing].astype(str), svm.predict(vectors).astype(str)
    return given, predicted, -svm.decision_function(vectors)
