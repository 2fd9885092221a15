"""Find posts that say the same as others: again, in another split, with other labels."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

import numpy
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm import tqdm

from scripts.corpus import Post

Findings = list[dict[str, Any]]
ROWS = 500  # texts compared with all others at a time


def same_texts(posts: dict[str, list[Post]], near: float) -> tuple[Findings, dict[str, Any]]:
    """Find all posts of the splits that say the same as others.

    near (0 to 1): Least cosine of near-duplicates; 0 leaves them out.
    RETURNS: Findings and how many there are.
    """
    everything = [post for split in posts.values() for post in split]
    duplicates = {split: list(find_same("duplicate", of, of)) for split, of in posts.items()}
    leaks = {
        f"{later} in {earlier}": list(find_same("leak", posts[later], posts[earlier]))
        for earlier, later in combinations(posts, 2)
    }
    conflicts = list(find_conflicts(everything))
    pairs = list(find_near(everything, near)) if near else []
    counts = {
        "posts": {split: len(of) for split, of in posts.items()},
        "duplicates": {split: _by_match(rows) for split, rows in duplicates.items()},
        "leaks": {where: _by_match(rows) for where, rows in leaks.items()},
        "conflicts": {
            "posts": len(conflicts),
            "texts": len({(row["other_split"], row["other_doc"]) for row in conflicts}),
        },
    }
    if near:
        counts["near_duplicates"] = dict(Counter(map(_where, pairs)))
    rows = [row for part in (*duplicates.values(), *leaks.values()) for row in part]
    return [*rows, *conflicts, *pairs], counts


def as_finding(
    kind: str,
    post: Post,
    other: Post | None = None,
    *,
    match: str = "",
    suggested: list[str] | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """Return a row for the file of findings.

    kind: duplicate, leak, near-duplicate, conflict or label-error.
    match: exact or normalised, if it is about the same text.
    """
    return {
        "kind": kind,
        "split": post.split,
        "doc": post.doc,
        "text": post.text,
        "labels": list(post.labels),
        "suggested": suggested,
        "score": score,
        "match": match or None,
        "other_split": other.split if other else None,
        "other_doc": other.doc if other else None,
        "other_text": other.text if other else None,
        "other_labels": list(other.labels) if other else None,
    }


def find_same(kind: str, posts: list[Post], among: list[Post]) -> Iterator[dict[str, Any]]:
    """Yield a finding for each post whose text an earlier one, or one of others, has.

    kind: duplicate or leak.
    among: Where to look; the posts themselves for duplicates.
    RETURNS: The match is exact if any text is the same as it is, else normalised.
    """
    exact = _first_by(among, lambda post: post.text)
    normal = _first_by(among, lambda post: post.normal)
    for post in posts:
        for match, other in (
            ("exact", exact.get(post.text)),
            ("normalised", normal.get(post.normal)),
        ):
            if other is not None and other is not post:
                yield as_finding(kind, post, other, match=match)
                break


def find_conflicts(posts: list[Post]) -> Iterator[dict[str, Any]]:
    """Yield a finding for each post with other labels than the first of its normalised text."""
    first = _first_by(posts, lambda post: post.normal)
    for post in posts:
        other = first[post.normal]
        if set(post.labels) != set(other.labels):
            match = "exact" if post.text == other.text else "normalised"
            yield as_finding("conflict", post, other, match=match)


def find_near(posts: list[Post], least: float) -> Iterator[dict[str, Any]]:
    """Yield a finding for each pair of texts that nearly say the same, the same ones left out.

    Compares all with all: twice as many texts take four times as long.

    least (0 to 1): Cosine of TF-IDF vectors over the four letters in a row of normalised texts.
    """
    unique = list(_first_by(posts, lambda post: post.normal).values())
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(4, 4), sublinear_tf=True, dtype=numpy.float32
    )
    found = vectorizer.fit_transform(post.normal for post in unique).tocsr()
    columns = found.T.tocsr()
    for start in tqdm(range(0, len(unique), ROWS), desc="near-duplicates", unit=f"{ROWS} texts"):
        cosines = (found[start : start + ROWS] @ columns).tocoo()
        near = (cosines.data >= least) & (cosines.col < cosines.row + start)
        pairs = zip(cosines.row[near] + start, cosines.col[near], cosines.data[near], strict=True)
        for later, earlier, cosine in sorted(pairs):
            score = round(float(cosine), 3)
            yield as_finding("near-duplicate", unique[later], unique[earlier], score=score)


def _first_by(posts: Iterable[Post], key: Callable[[Post], str]) -> dict[str, Post]:
    found: dict[str, Post] = {}
    for post in posts:
        found.setdefault(key(post), post)
    return found


def _where(row: dict[str, Any]) -> str:
    same = row["split"] == row["other_split"]
    return row["split"] if same else f"{row['split']} in {row['other_split']}"


def _by_match(rows: Findings) -> dict[str, int]:
    """Return how many there are with the text as it is, and how many with the normalised text."""
    return {"exact": sum(row["match"] == "exact" for row in rows), "normalised": len(rows)}
