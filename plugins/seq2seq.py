"""Component that writes a text for a text, and reads what the tags in it say."""

from collections import Counter
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from itertools import islice
from typing import Any, Literal

import numpy
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.example import validate_get_examples
from spacy.util import filter_spans, logger, registry
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

BEGIN, END, UNKNOWN, SPECIAL = 1, 2, 3, 4  # as the models number what is no symbol
END_SYMBOL = "<end>"  # after the symbols of a source; none of markup's is the same
KEY = "entities"  # of doc.spans
SAMPLE = 10  # examples from which the layers infer their widths
GROUP = 128  # texts that are decoded together

Tags = Literal["none", "entities", "labels"]
Written = list[tuple[list[str], float]]  # symbols and score, best first
Schedule = Callable[[int], float]

DEFAULT = """
[model]
@architectures = "goemotions.Seq2SeqAttention.v1"
hidden_width = 256
embed_width = 128
dropout = 0.2
copying = true

[model.tok2vec]
@architectures = "spacy.MultiHashEmbed.v2"
width = 128
attrs = ["NORM", "PREFIX", "SUFFIX", "SHAPE", "SPACY"]
rows = [5000, 1000, 2500, 2500, 50]
include_static_vectors = false

[markup]
@misc = "goemotions.Markup.v1"

[decoder]
@misc = "goemotions.GreedyDecoder.v1"

[scorer]
@scorers = "goemotions.pair_scorer.v1"

[scorer.markup]
@misc = "goemotions.Markup.v1"
"""


@registry.schedules("goemotions.teacher_forcing.v1")
def create_teacher_forcing(start: float = 1.0, end: float = 0.0, steps: int = 1000) -> Schedule:
    """Create a schedule that falls in a line from `start` to `end` and stays there.

    start, end (0 to 1): How probably a symbol before is told as it should be.
    steps: Updates between them.
    RAISES ValueError: A number is out of range.
    SOURCE: Bengio et al. 2015, Scheduled Sampling, arXiv 1506.03099.
    """
    if not (0 <= start <= 1 and 0 <= end <= 1 and steps >= 1):
        raise ValueError(
            f"start {start}, end {end}, steps {steps}. Expected 0 to 1, 0 to 1, 1 or more."
        )
    return lambda step: start + (end - start) * min(1.0, step / steps)


def make_seq2seq(
    nlp: Language,
    name: str,
    model: Model,
    markup: Any,
    decoder: Callable,
    tags: Tags,
    teacher_forcing: float | Schedule,
    label_smoothing: float,
    max_ratio: float,
    max_extra: int,
    scorer: Callable | None,
) -> "Seq2Seq":
    """Make a component that sets doc._.seq2seq to the text that it writes for a doc's text.

    model: E.g. goemotions.Seq2SeqAttention.v1.
    markup: Splits texts into symbols and joins them, e.g. goemotions.Markup.v1.
    decoder: Searches what to write, e.g. goemotions.BeamDecoder.v1.
    tags: What the tags in the output mark: entities, which go to doc.ents and doc.spans; labels of
        the whole text, which go to doc.cats; or nothing.
    teacher_forcing (0 to 1): How probably, in training, each step is told what it should have
        written before; a number or a schedule of the step.
    label_smoothing (0 to 1): Of the probability, how much is for all symbols alike.
    max_ratio, max_extra: A text of n symbols gets at most max_ratio * n + max_extra.
    """
    return Seq2Seq(
        nlp.vocab,
        model,
        name,
        markup=markup,
        decoder=decoder,
        tags=tags,
        teacher_forcing=teacher_forcing,
        label_smoothing=label_smoothing,
        max_ratio=max_ratio,
        max_extra=max_extra,
        scorer=scorer,
    )


try:
    Language.factory(
        "seq2seq",
        assigns=["doc._.seq2seq", "doc._.seq2seq_best", "doc.ents", "doc.cats"],
        default_config={
            **Config().from_str(DEFAULT),
            "tags": "none",
            "teacher_forcing": 1.0,
            "label_smoothing": 0.0,
            "max_ratio": 2.0,
            "max_extra": 10,
        },
        default_score_weights={"pair_exact": 0.5, "pair_acc": 0.5},
        func=make_seq2seq,
    )
except ValueError as error:
    # Another wheel of this project brought it; spaCy refuses it from a second file.
    if "E004" not in str(error):
        raise


class Seq2Seq(TrainablePipe):
    """Write a text for a text.

    doc._.seq2seq: The text; of a reference, the one to learn. A text without symbols gets "".
    doc._.seq2seq_best: All that the decoder found, best first: text and score.
    decoder: May be replaced; what is saved is the one of the config.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "seq2seq",
        *,
        markup: Any,
        decoder: Callable,
        tags: Tags = "none",
        teacher_forcing: float | Schedule = 1.0,
        label_smoothing: float = 0.0,
        max_ratio: float = 2.0,
        max_extra: int = 10,
        scorer: Callable | None = None,
    ) -> None:
        """Take what make_seq2seq was given.

        RAISES ValueError: A number is out of range.
        """
        forcing = 1.0 if callable(teacher_forcing) else teacher_forcing
        if not (0 <= forcing <= 1 and 0 <= label_smoothing < 1):
            raise ValueError(
                f"{name}: teacher_forcing {forcing}, label_smoothing {label_smoothing}. "
                "Expected 0 to 1, and 0 to below 1."
            )
        if max_ratio < 0 or max_extra < 0 or max_ratio + max_extra == 0:
            raise ValueError(
                f"{name}: max_ratio {max_ratio}, max_extra {max_extra}. "
                "Expected 0 or more, one of them above."
            )
        self.vocab, self.model, self.name, self.scorer = vocab, model, name, scorer
        self.markup, self.decoder, self.tags = markup, decoder, tags
        self.teacher_forcing, self.label_smoothing = teacher_forcing, label_smoothing
        self.max_ratio, self.max_extra = max_ratio, max_extra
        self.cfg: dict[str, Any] = {"labels": [], "step": 0}
        for extension in ("seq2seq", "seq2seq_best"):
            if not Doc.has_extension(extension):
                Doc.set_extension(extension, default=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels that tags may have; none if tags mean nothing."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """Return the labels for `spacy init labels`."""
        return list(self.labels)

    @property
    def misses(self) -> dict[str, Any]:
        """Return which symbols of source and target had no vector to start from."""
        return self.model.attrs["misses"]

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        min_freq: int = 2,
        max_symbols: int = 20_000,
    ) -> None:
        """Count the symbols of all examples and give the model its vocabularies.

        labels: That tags may have; those of the data when None. They are in the vocabulary. Where
            tags are to mean nothing, none are kept.
        min_freq: Symbols that occur less often are unknown.
        max_symbols: Keep so many of the most frequent of each side.
        RAISES ValueError: A number is out of range, an example without a target, no symbols at all,
            no labels where tags are to have them, or vectors that do not fit.
        """
        validate_get_examples(get_examples, "Seq2Seq.initialize")
        if min_freq < 1 or max_symbols < 1:
            raise ValueError(
                f"{self.name}: min_freq {min_freq}, max_symbols {max_symbols}. Expected 1 or more."
            )
        source, target, found = Counter(), Counter(), set()
        for example in get_examples():
            source.update(self.markup.split(example.x.text))
            symbols = self.markup.split(self._gold(example))
            target.update(symbols)
            found.update(filter(None, map(self.markup.label_of, symbols)))
        if not source:
            raise ValueError(f"{self.name}: no example has symbols in its text. Expected some.")
        labels = sorted(found) if labels is None else labels
        if self.tags != "none" and not labels:
            raise ValueError(f"{self.name}: tags = {self.tags!r}, and no labels. Expected some.")
        self.cfg = {"labels": labels if self.tags != "none" else [], "step": 0}
        self.model.attrs["source_symbols"] = _choose(source, min_freq, max_symbols)
        known = _choose(target, min_freq, max_symbols)
        self.model.attrs["target_symbols"] = list(dict.fromkeys([*known, *self._tags()]))
        sample = list(islice((e for e in get_examples() if self.markup.split(e.x.text)), SAMPLE))
        self.model.initialize(X=self._inputs(sample, 1.0)[1])
        for side, missed in self.misses.items():
            told = (self.name, missed["missing"], missed["words"], side)
            logger.info("%s: %d of %d symbols of the %s have no vector", *told)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from examples; those without symbols in their text teach nothing."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        forcing = self.teacher_forcing
        forcing = forcing(self.cfg["step"]) if callable(forcing) else forcing
        examples, inputs = self._inputs(list(examples), forcing)
        if not examples:
            return losses
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update(inputs)
        loss, gradient = self.get_loss(examples, scores)
        backprop(gradient)
        losses[self.name] += loss
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Move the weights, and teacher forcing by a step."""
        self.model.finish_update(sgd)
        self.cfg["step"] += 1

    def get_loss(self, examples: Iterable[Example], scores: Floats2d) -> tuple[float, Floats2d]:
        """Return the mean cross-entropy of the symbols, and its gradient.

        scores ([symbols, 2]): Log probability of each symbol that was to be written, and the mean
            of those of all symbols.
        """
        shares = self.model.ops.asarray2f([[1 - self.label_smoothing, self.label_smoothing]])
        gradient = self.model.ops.xp.zeros_like(scores) - shares / len(scores)
        return float((scores * gradient).sum()), gradient

    def predict(self, docs: Iterable[Doc]) -> list[Written]:
        """Return what the decoder finds for each doc: symbols and score, best first."""
        docs = list(docs)
        sources = [self._source(doc) for doc in docs]
        real = [i for i, source in enumerate(sources) if len(source) > 1]
        written: list[Written] = [[([], 0.0)] for _ in docs]
        # Texts of like length together: all of a group take as many steps as the longest one.
        real.sort(key=lambda i: len(sources[i]))
        for start in range(0, len(real), GROUP):
            group = real[start : start + GROUP]
            for i, found in zip(group, self._decode([sources[i] for i in group]), strict=True):
                written[i] = found
        return written

    def set_annotations(self, docs: Iterable[Doc], scores: list[Written]) -> None:
        """Write what `predict` returned into the docs."""
        for doc, written in zip(docs, scores, strict=True):
            best = [{"text": self.markup.join(s), "score": score} for s, score in written]
            doc._.seq2seq, doc._.seq2seq_best = best[0]["text"], best
            if self.tags == "entities":
                self._set_entities(doc, written[0][0])
            elif self.tags == "labels":
                on = set(map(self.markup.label_of, written[0][0]))
                doc.cats.update({label: float(label in on) for label in self.labels})

    def attention(self, doc: Doc) -> tuple[list[str], list[str], NDArray[numpy.float32]]:
        """Return what the decoder looks at while it writes doc._.seq2seq.

        RETURNS: Symbols of the source, the end among them, those of the output, weights [output,
            source]; those of a symbol of the output sum to 1.
        RAISES ValueError: The model has no attention, or the doc has no symbols or no output.
        """
        source = self._source(doc)
        if len(source) == 1 or doc._.seq2seq is None:
            raise ValueError(f"{doc.text!r}: no symbols or no output. Expected both.")
        read, output = source.user_data["symbols"], self.markup.split(doc._.seq2seq)
        step, state, (outside,) = self.model.attrs["encode"](self.model, [source])
        if "weights" not in state:
            raise ValueError(f"{self.name}: {self.model.name} looks at nothing in particular.")
        numbers = self._numbers() | {word: i for i, word in enumerate(outside, self._size)}
        weights = numpy.zeros((len(output), len(read)), dtype="f")
        before = BEGIN
        for row, symbol in zip(weights, output, strict=True):
            _, state = step(torch.tensor([before], device=state["weights"].device), state)
            row[:] = state["weights"][0].cpu().numpy()
            before = numbers.get(symbol, UNKNOWN)
        return read, output, weights

    @property
    def _size(self) -> int:
        return SPECIAL + len(self.model.attrs["target_symbols"])

    def _numbers(self) -> dict[str, int]:
        return {s: i for i, s in enumerate(self.model.attrs["target_symbols"], SPECIAL)}

    def _tags(self) -> list[str]:
        """Return the symbols of all tags."""
        marked = (self.markup.write("x", [(0, 1, label)]) for label in self.labels)
        return [tag for text in marked for tag in self.markup.split(text)[::2]]

    def _gold(self, example: Example) -> str:
        """Return the text to learn."""
        target = example.reference._.seq2seq
        if target is None:
            text = example.reference.text[:60]
            raise ValueError(f"{self.name}: {text!r} has no doc._.seq2seq. Expected a target.")
        return target

    def _source(self, doc: Doc) -> Doc:
        """Return a doc whose words are the symbols of a doc's text, and the end."""
        symbols = [*self.markup.split(doc.text), END_SYMBOL]
        words = self.markup.words(symbols)
        blanks = [word == symbol for word, symbol in zip(words[1:], symbols[1:], strict=True)]
        source = Doc(self.vocab, words=words, spaces=[*blanks, False])
        source.user_data["symbols"] = symbols
        return source

    def _inputs(
        self, examples: list[Example], forcing: float
    ) -> tuple[list[Example], tuple[list[Doc], list[list[str]], float, bool]]:
        """Return the examples that have symbols, and what the model takes of them."""
        sources = [self._source(example.x) for example in examples]
        real = [i for i, source in enumerate(sources) if len(source) > 1]
        targets = [self.markup.split(self._gold(examples[i])) for i in real]
        inputs = ([sources[i] for i in real], targets, forcing, self.label_smoothing > 0)
        return [examples[i] for i in real], inputs

    def _decode(self, sources: list[Doc]) -> list[Written]:
        step, state, outside = self.model.attrs["encode"](self.model, sources)
        lengths = [len(source) - 1 for source in sources]
        most = [int(self.max_ratio * length) + self.max_extra for length in lengths]
        limits = torch.tensor(most, device=next(iter(state.values())).device)
        symbols = [""] * SPECIAL + self.model.attrs["target_symbols"]
        size, written = len(symbols), []
        with torch.inference_mode():
            found = self.decoder(step, state, limits, BEGIN, END)
        for words, hypotheses in zip(outside, found, strict=True):
            written.append(
                [
                    ([symbols[i] if i < size else words[i - size] for i in one.symbols], one.score)
                    for one in hypotheses
                ]
            )
        return written

    def _set_entities(self, doc: Doc, symbols: list[str]) -> None:
        """Mark in a doc what tags mark in the output; where the texts differ, in what is alike."""
        text, spans = self.markup.spans_of(symbols)
        if spans and text != doc.text:
            spans = _moved(spans, text, doc.text)
        found = [
            span
            for start, end, label in spans
            if label in self.cfg["labels"]
            and (span := doc.char_span(start, end, label=label, alignment_mode="expand"))
        ]
        found = list({(span.start, span.end, span.label_): span for span in found}.values())
        doc.spans[KEY] = found
        doc.set_ents(filter_spans(found), default="outside")


def _moved(spans: list[tuple[int, int, str]], old: str, new: str) -> list[tuple[int, int, str]]:
    """Return where spans of one text are in another; those of which nothing is there are left."""
    place: dict[int, int] = {}
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        place |= {block.a + i: block.b + i for i in range(block.size)}
    moved = []
    for start, end, label in spans:
        at = [place[i] for i in range(start, end) if i in place]
        if 2 * len(at) > end - start:
            moved.append((at[0], at[-1] + 1, label))
    return moved


def _choose(counts: Counter[str], min_freq: int, limit: int) -> list[str]:
    """Return the most frequent symbols; among equals the order is alphabetical."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [symbol for symbol, count in ranked if count >= min_freq][:limit]
