"""The baseline learns words."""

import numpy

from scripts.tfidf import Tfidf


def test_tfidf_learns_words_and_gives_constant_labels_back():
    texts = ["good day", "bad day", "good night", "bad night"] * 5
    truth = numpy.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]] * 5, dtype=float)
    scores = Tfidf(min_df=1, strength=10).fit(texts, truth).predict(["good morning", "bad morning"])
    assert scores[0, 0] > 0.7 > 0.3 > scores[1, 0]
    assert scores[:, 1:].tolist() == [[0, 1], [0, 1]]
