"""Measure resident memory while generated posts stream through reader and tokenizer."""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy
import psutil
import spacy
import typer
from tqdm import tqdm
from wasabi import msg

from benchmarks.conditions import alone, conditions, write_result
from plugins.stream import create_stream, read_labels_file
from plugins.tokenizer import create_tokenizer

SHARD = 50_000  # posts per generated file
EXPONENT, OFFSET = 1.54, 40  # of the Zipf-Mandelbrot law that the words follow
RANKS = 2**26
SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvwyzcx" for vowel in "aeiou"]


def generate(folder: Path, posts: int, n_labels: int, seed: int) -> dict[int, int]:
    """Write files of made-up posts in which new words never cease to come.

    Words are spelt from their rank, and ranks follow a Zipf-Mandelbrot law without an end; a post
    has 12.8 words on average, as in GoEmotions, a capital, a full stop, one or two labels.

    posts: Rounded up to whole files of 50,000.
    RETURNS: How many distinct words the first so many posts have.
    """
    random = numpy.random.default_rng(seed)
    seen = numpy.zeros(RANKS, dtype=bool)
    distinct = {}
    for start in tqdm(range(0, posts, SHARD), desc="generate", unit="files"):
        lengths = 1 + random.poisson(11.8, SHARD)
        tail = random.random(lengths.sum()) ** (-1 / (EXPONENT - 1)) - 1
        ranks = (OFFSET * tail).clip(0, RANKS - 1).astype("int64")
        seen[ranks] = True
        distinct[start + SHARD] = int(seen.sum())
        unique, index = numpy.unique(ranks, return_inverse=True)
        words = numpy.array([_spell(rank) for rank in unique.tolist()], dtype=object)[index]
        labels = random.integers(0, n_labels, (SHARD, 2))
        with (folder / f"{start:09d}.tsv").open("w", encoding="utf8") as stream:
            for number, row in enumerate(numpy.split(words, lengths.cumsum()[:-1])):
                ids = ",".join(map(str, sorted(set(labels[number, : 1 + number % 2].tolist()))))
                stream.write(f"{' '.join(row).capitalize()}.\t{ids}\tg{start + number}\n")
    return distinct


def _spell(rank: int) -> str:
    word = ""
    while True:
        rank, syllable = divmod(rank, len(SYLLABLES))
        word += SYLLABLES[syllable]
        if not rank:
            return word


def measure(folder: Path, labels: Path, posts: int, vocab_posts: int) -> dict[str, Any]:
    """Stream posts into examples, as training does in batches of 64, and watch this process.

    RETURNS: Resident MB by posts (0: pipeline loaded), posts/s, and the most and the last MB as a
        multiple of those at 50,000.
    """
    nlp = spacy.blank("en")
    nlp.tokenizer = create_tokenizer(["[NAME]"])(nlp)
    read = create_stream(
        folder, labels, shuffle_buffer=10_000, limit=posts, vocab_posts=vocab_posts
    )
    process = psutil.Process()
    megabytes, batch = {0: process.memory_info().rss / 1e6}, []
    start = time.perf_counter()
    for number, example in enumerate(tqdm(read(nlp), total=posts, unit="posts"), 1):
        batch = [example] if len(batch) == 64 else [*batch, example]
        if number % 10_000 == 0:
            megabytes[number] = process.memory_info().rss / 1e6
    seconds = time.perf_counter() - start
    base = megabytes[SHARD]
    later = [value for number, value in megabytes.items() if number > SHARD]
    keep = [n for n in megabytes if n in (0, posts) or str(n).rstrip("0") in ("1", "2", "5")]
    return {
        "posts": posts,
        "vocab_posts": vocab_posts,
        "resident_mb": {number: round(megabytes[number], 1) for number in keep},
        "ratio_last": round(megabytes[max(megabytes)] / base, 3),
        "ratio_most": round(max(later) / base, 3),
        "posts_per_second": round(posts / seconds),
    }


def compare(labels: Path, posts: int, posts_growing: int, seed: int = 0) -> dict[str, Any]:
    """Measure a replaced vocabulary and, for fewer posts, the pipeline's own, which grows.

    RAISES ValueError: Fewer than 100,000 posts, or no multiple of 10,000.
    """
    for number in (posts, posts_growing):
        if number < 2 * SHARD or number % 10_000:
            raise ValueError(f"{number} posts. Expected at least {2 * SHARD}, in ten thousands.")
    with tempfile.TemporaryDirectory() as folder:
        n_labels = len(read_labels_file(labels))
        distinct = alone(generate, Path(folder), max(posts, posts_growing), n_labels, seed)
        # In processes of their own: memory that was freed need not leave the process.
        replaced = alone(measure, Path(folder), labels, posts, 20_000)
        growing = alone(measure, Path(folder), labels, posts_growing, 0)
    marks = {SHARD, posts_growing, posts}
    return {
        "distinct_words": {n: found for n, found in distinct.items() if n in marks},
        "replaced_vocabulary": replaced,
        "pipeline_vocabulary": growing,
    }


def main(
    data: Annotated[str, typer.Option(help="Data set in assets/ with the labels")] = "goemotions",
    posts: Annotated[int, typer.Option(help="Posts to stream")] = 5_000_000,
    posts_growing: Annotated[int, typer.Option(help="With the pipeline's vocabulary")] = 1_000_000,
) -> None:
    """Measure resident memory at 50,000 and at 5,000,000 streamed posts."""
    before = conditions("stream", 0)
    try:
        result = compare(Path("assets") / data / "emotions.txt", posts, posts_growing)
    except ValueError as error:
        msg.fail("Cannot measure", str(error), exits=1)
    output = Path("metrics") / data / "benchmark_stream.json"
    write_result(output, {**result, "conditions": before})
    rows = [
        (name, f"{n:,}", f"{mb:.0f}")
        for name in ("replaced_vocabulary", "pipeline_vocabulary")
        for n, mb in result[name]["resident_mb"].items()
    ]
    msg.table(rows, header=("vocabulary", "posts", "MB"), divider=True, aligns=("l", "r", "r"))
    found = result["replaced_vocabulary"]
    msg.info(f"MB of those at 50,000: most {found['ratio_most']}, last {found['ratio_last']}")
    msg.info(f"{found['posts_per_second']} posts/s")
    msg.good(output)


if __name__ == "__main__":
    typer.run(main)
