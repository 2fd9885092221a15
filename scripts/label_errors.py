"""Find labels that are likely wrong, by scores of a classifier that has not seen the post."""

import warnings
from typing import Any

import numpy
from cleanlab.multilabel_classification import get_label_quality_scores
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from sklearn.model_selection import GroupKFold

from scripts.corpus import Post
from scripts.same_texts import as_finding
from scripts.tfidf import Bools, Floats, Tfidf


def truth_of(posts: list[Post], labels: list[str]) -> Floats:
    """Return the given labels [posts, labels], 0 or 1."""
    return numpy.array([[float(label in post.labels) for label in labels] for post in posts])


def cross_validated_scores(
    posts: list[Post], labels: list[str], *, folds: int = 5, seed: int = 0
) -> Floats:
    """Score each post by a TF-IDF classifier that was trained on the other folds.

    folds (2 or more): Posts of the same normalised text are in the same one.
    seed: Of folds and solver.
    RETURNS ([posts, labels], 0 to 1): Scores.
    RAISES ValueError: There are fewer different texts than folds, or no words that are repeated.
    """
    texts = numpy.array([post.text for post in posts], dtype=object)
    groups = numpy.unique([post.normal for post in posts], return_inverse=True)[1]
    different = groups.max() + 1
    if folds < 2 or different < folds:
        raise ValueError(f"{folds} folds, {different} different texts. Expected 2 to {different}.")
    truth = truth_of(posts, labels)
    scores = numpy.zeros_like(truth)
    split = GroupKFold(folds, shuffle=True, random_state=seed).split(texts, groups=groups)
    for number, (rest, fold) in enumerate(split, 1):
        try:
            model = Tfidf(seed=seed).fit(texts[rest], truth[rest], f"fold {number} of {folds}")
        except ValueError as error:
            expected = "Expected words that are there again, or 0 folds"
            raise ValueError(f"Nothing to learn from: {error}. {expected}.") from error
        scores[fold] = model.predict(texts[fold])
    return scores


def find_label_errors(
    posts: list[Post], labels: list[str], scores: Floats
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Find posts with likely wrong labels, by confident learning for each label.

    scores ([posts, labels], 0 to 1): Of a classifier that was not trained on these posts.
    RETURNS: Findings, the most likely errors first; counts of posts, and of each label: posts that
        have it, of these how many likely should not, and how many others likely should.
    SOURCE: Northcutt et al. 2021, Confident Learning, arXiv 1911.00068; Thyagarajan et al. 2022,
        Identifying Incorrect Annotations in Multi-Label Classification Data, arXiv 2211.13895.
    """
    truth = truth_of(posts, labels) > 0
    wrong, quality = likely_wrong(truth, scores)
    suggested = truth ^ wrong
    findings = [
        as_finding(
            "label-error",
            posts[number],
            suggested=[label for label, on in zip(labels, suggested[number], strict=True) if on],
            score=round(float(quality[number]), 4),
        )
        for number in numpy.argsort(quality, kind="stable")
        if wrong[number].any()
    ]
    return findings, {
        "posts": len(posts),
        "suspect": len(findings),
        "labels": {
            label: {
                "given": int(truth[:, column].sum()),
                "likely_wrong": int((wrong & truth)[:, column].sum()),
                "likely_missing": int((wrong & ~truth)[:, column].sum()),
            }
            for column, label in enumerate(labels)
        },
    }


def likely_wrong(truth: Bools, scores: Floats) -> tuple[Bools, Floats]:
    """Return which given labels are likely wrong, and how good those of a post are as a whole.

    truth, scores ([posts, labels]): The scores of a classifier that was not trained on the posts.
    RETURNS ([posts, labels], [posts]): A label is likely wrong if it is there and likely should not
        be, or the other way round; quality is 0 to 1, low where labels contradict sure scores.
    """
    wrong, quality = numpy.zeros_like(truth), numpy.ones(len(truth))
    # Of a label that all or none have nothing can be learned.
    columns = numpy.flatnonzero(truth.any(0) & ~truth.all(0))
    if len(columns) == 1:
        columns = numpy.repeat(columns, 2)  # cleanlab wants two labels at least
    if len(columns):
        numbers = [numpy.flatnonzero(row).tolist() for row in truth[:, columns]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of labels with hardly any posts
            found = scores[:, columns]
            wrong[:, columns] = find_multilabel_issues_per_class(numbers, found, n_jobs=1)
            quality = get_label_quality_scores(numbers, found)
    return wrong, quality
