"""The baseline of text classifiers: TF-IDF of characters and words, and a linear SVM."""

from typing import Any

import numpy as np
import numpy.typing as npt

from aisle.db import errors
from aisle.trainers.category.products import Catalogue, Strings

NAME = "TF-IDF + linear SVM"
AFFORDABLE = 2_500_000  # rows × categories: about 20 seconds on one core


def predict(
    catalogue: Catalogue, testing: npt.NDArray[np.bool_], *, training: npt.NDArray[np.bool_] | None = None
) -> tuple[Strings, Strings, npt.NDArray[Any]]:
    """Fit the SVM to these rows, by default to all other labelled rows that a model could learn from.

    Return the held-out rows' categories, the predictions and, for two categories, the decision values of the first.
    Raises TrainingDataError if the texts have no usable features.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from sklearn.svm import LinearSVC

    texts = np.array([" ".join(part for part in (m, n, d) if part) for n, m, d in catalogue.texts()], dtype=object)
    if training is None:
        training = np.isin(catalogue.splits.astype(str), ("train", "valid")) & ~testing
    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    )
    try:
        learned = features.fit_transform(texts[training])
    except ValueError as error:  # names of one syllable have neither words nor pairs of characters in common
        raise errors.TrainingDataError(f"{NAME} finds no features in these texts.") from error
    svm = LinearSVC(C=0.5).fit(learned, catalogue.categories[training])
    vectors = features.transform(texts[testing])
    given, predicted = catalogue.categories[testing].astype(str), svm.predict(vectors).astype(str)
    return given, predicted, -svm.decision_function(vectors)
