"""TF-IDF with logistic regression: a classifier that takes seconds to train."""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from tqdm import tqdm

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
# The best of 0.3, 1, 3 and 10 for five labels of GoEmotions' dev set.
STRENGTH = 0.3


class Tfidf:
    """Words and word pairs, characters within words, one logistic regression per label.

    min_df (docs): Features in fewer texts are left out.
    strength (> 0): Inverse of the regularisation, scikit-learn's C.
    seed: Of the solver.
    """

    def __init__(self, *, min_df: int = 2, strength: float = STRENGTH, seed: int = 0) -> None:
        shared = {"min_df": min_df, "sublinear_tf": True, "dtype": numpy.float32}
        words = TfidfVectorizer(ngram_range=(1, 2), **shared)
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared)
        self.features = FeatureUnion([("words", words), ("characters", characters)])
        self.settings = {"C": strength, "solver": "liblinear", "random_state": seed}
        self.models: list[LogisticRegression | float] = []

    def fit(self, texts: Sequence[str], truth: Floats, desc: str = "fit") -> "Tfidf":
        """Fit on texts and truth [docs, labels]; a label with one value only is that value.

        desc: What the progress bar says.
        """
        found = csr_matrix(self.features.fit_transform(texts))
        columns = tqdm(truth.T, desc=desc, unit="labels")
        self.models = [self._fit_label(found, column) for column in columns]
        return self

    def predict(self, texts: Sequence[str]) -> Floats:
        """Return scores [docs, labels] in 0 to 1."""
        found = csr_matrix(self.features.transform(texts))
        columns = [
            numpy.full(len(texts), model)
            if isinstance(model, float)
            else model.predict_proba(found)[:, 1]
            for model in self.models
        ]
        return numpy.stack(columns, axis=1)

    def _fit_label(self, found: csr_matrix, column: Floats) -> LogisticRegression | float:
        if column.min() == column.max():
            return float(column[0])
        return LogisticRegression(**self.settings).fit(found, column)
