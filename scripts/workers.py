"""Convert chunks of posts in processes of this machine or on Ray's workers, in order."""

import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice

from spacy.language import Language
from spacy.tokens import DocBin

from plugins.tokenizer import create_tokenizer
from scripts.lang import PLACEHOLDERS, blank
from scripts.on_ray import connected

WORDS = 50_000  # in a vocabulary, 0.4 kB each, before a new one takes its place
Post = tuple[int, str, list[int]]


@contextmanager
def mapping(n_process: int, address: str | None = None) -> Iterator[Callable]:
    """Yield a function like `map`: results come in order, and input is read as they do.

    n_process: Processes on this machine; on a cluster half the chunks that are on their way.
    address: Of a Ray cluster; "local" starts one on this machine; None does without Ray.
    RAISES ValueError: Ray is not installed, there is no such cluster, or workers keep failing.
    """
    if address is not None:
        with connected(address, n_process, {"cpu": 1, "gpu": 0}):
            yield lambda work, chunks: _map_on_ray(work, chunks, 2 * n_process)
    elif n_process <= 1:
        yield map
    else:
        # A forked worker has spaCy already; elsewhere forking is not safe.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        with context.Pool(n_process) as pool:

            def run(work: Callable, chunks: Iterator) -> Iterator:
                # In windows: a pool reads its whole input ahead, and memory would grow with it.
                while window := list(islice(chunks, 8 * n_process)):
                    yield from pool.imap(work, window)  # in order, whatever n_process is

            yield run


def _map_on_ray(work: Callable, chunks: Iterator, window: int) -> Iterator:
    import ray

    call = ray.remote(_call)
    waiting = deque(call.remote(work, chunk) for chunk in islice(chunks, window))
    try:
        while waiting:
            yield ray.get(waiting.popleft())  # of a worker that died, Ray calls another
            waiting.extend(call.remote(work, chunk) for chunk in islice(chunks, 1))
    except ray.exceptions.RayError as error:
        raise ValueError(f"A worker of Ray failed: {error}") from error


def _call(work: Callable, chunk: list[Post]) -> tuple[bytes, list[int]]:
    return work(chunk)


def pack(chunk: list[Post], labels: list[str], lang: str) -> tuple[bytes, list[int]]:
    """Tokenize posts.

    RETURNS: They as a DocBin, with every label in `cats`, and their lengths in tokens.
    """
    nlp = pipeline_of(lang)
    docs = DocBin(attrs=["ORTH"])
    lengths = []
    for _, text, numbers in chunk:
        doc = nlp.make_doc(text)
        doc.cats = {label: float(number in numbers) for number, label in enumerate(labels)}
        docs.add(doc)
        lengths.append(len(doc))
    if len(nlp.vocab) > WORDS:  # new words never cease
        pipeline_of.cache_clear()
    return docs.to_bytes(), lengths


@lru_cache
def pipeline_of(lang: str) -> Language:
    """Return the tokenizer of the corpus in a pipeline, the same one again until it is full."""
    nlp = blank(lang)
    nlp.tokenizer = create_tokenizer(PLACEHOLDERS)(nlp)
    return nlp
