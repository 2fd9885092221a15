"""Linear-chain CRFs over BIOUL tags, one chain per label, for all docs and labels at once."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy
import torch
from numpy.typing import NDArray
from spacy.util import registry
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d, Floats3d
from torch import Tensor

# Outside; inside, beginning and last token of a longer entity; an entity of one token.
OUTSIDE, INSIDE, BEGIN, LAST, UNIT = range(5)
MAY_START, MAY_END = (OUTSIDE, BEGIN, UNIT), (OUTSIDE, LAST, UNIT)  # of a doc
MAY_FOLLOW = {OUTSIDE: MAY_START, INSIDE: (INSIDE, LAST), BEGIN: (INSIDE, LAST),
              LAST: MAY_START, UNIT: MAY_START}  # fmt: skip
FORBIDDEN = -10_000.0

Emissions = tuple[list[Floats2d], Floats3d]
Entity = tuple[int, int, int, float]  # start, end, number of the label, confidence


@registry.layers("goemotions.Crf.v1")
def build_crf(
    mode: Literal["joint", "marginal", "independent"] = "joint", window: int = 0, stride: int = 0
) -> Model[list[Floats2d], Emissions]:
    """Build the layer that holds the transitions and, in attrs["chains"], loss and decoding.

    mode: What is minimised. joint: minus the log-probability of all tags of a doc; marginal: of
        each token's tag, given all tokens; independent: of each token's tag by its own scores,
        which teaches the transitions nothing. All three decode valid sequences only.
    window (tokens): Compute the chains on overlapping windows of long docs, side by side, which
        takes less time. What is decoded is one sequence per doc all the same. 0: docs whole.
    stride (tokens, 0 < stride < window): From window to window; a tag knows at least
        window - stride tokens before it, or all there are.
    RETURNS: The scores [tokens, labels * 5] as they came, and the transitions [labels, 5, 5].
    RAISES ValueError: window or stride are out of range.
    SOURCE: Lafferty et al. 2001, Conditional Random Fields.
    """
    if (window or stride) and not 0 < stride < window:
        raise ValueError(f"window {window}, stride {stride}. Expected 0 < stride < window, or 0.")
    return Model(
        "crf",
        _forward,
        init=_init,
        params={"transitions": None},
        dims={"nO": None},
        attrs={"chains": Chains(mode, window, stride)},
    )


def _init(model: Model, X: list[Floats2d] | None = None, Y: None = None) -> None:
    if model.has_dim("nO"):
        model.set_param("transitions", model.ops.alloc3f(model.get_dim("nO"), 5, 5))


def _forward(model: Model, X: list[Floats2d], is_train: bool) -> tuple[Emissions, Callable]:
    def backprop(dY: Emissions) -> list[Floats2d]:
        model.inc_grad("transitions", dY[1])
        return dY[0]

    return (X, model.get_param("transitions")), backprop


@dataclass(frozen=True)
class Chains:
    """Loss and decoding of the chains; the fields are those of build_crf."""

    mode: str
    window: int
    stride: int

    def loss(self, emissions: Emissions, allowed: list[NDArray]) -> tuple[float, Emissions]:
        """Return the loss, a sum over tokens and labels, and its gradient.

        emissions: As the layer returned them.
        allowed ([tokens, labels, 5] per doc, bool): Which tags may be true; all where unknown.
        """
        X, transitions = _to_torch(emissions)
        cut = cut_windows([len(doc) for doc in allowed], self.window, self.stride, X.device)
        may = torch.from_numpy(numpy.concatenate(allowed)).to(X.device)
        with torch.enable_grad():
            X.requires_grad_(True), transitions.requires_grad_(True)
            loss = self._loss(X, may, cut, transitions)
            loss = loss * (len(X) / max(1, len(cut.index)))  # windows overlap
            loss.backward()
        dX = torch2xp(X.grad.flatten(1))
        ends = numpy.cumsum([0, *map(len, allowed)]).tolist()
        d_transitions = transitions.grad
        if d_transitions is None:  # independent, or no doc has two tokens
            d_transitions = torch.zeros_like(transitions)
        return float(loss.detach()), (
            [dX[start:end] for start, end in pairwise(ends)],
            torch2xp(d_transitions),
        )

    def _loss(self, X: Tensor, may: Tensor, cut: "Cut", transitions: Tensor) -> Tensor:
        if self.mode == "independent":
            X = X[cut.index]
            return (X.logsumexp(-1) - _only(X, may[cut.index]).logsumexp(-1)).sum()
        T = constrain(transitions)
        if self.mode == "marginal":
            log_p = log_marginals(X[cut.index], cut, T)
            return -_only(log_p, may[cut.index]).logsumexp(-1).sum()
        both = torch.cat([X, _only(X, may)], dim=1)[cut.index]  # in one pass
        total, true = log_partition(both, cut, T.repeat(2, 1, 1)).chunk(2, dim=1)
        return (total - true).sum()

    def decode(self, emissions: Emissions, recall_bias: float = 0.0) -> list[list[Entity]]:
        """Return the entities of each doc on the best path, by label and start.

        recall_bias: Taken from the score of being outside, at every token; above 0 finds more
            entities, and more wrong ones.
        RETURNS: Start, end, number of the label, and how likely the chain takes exactly this
            entity to be (0 to 1), without the bias.
        SOURCE: Minkov et al. 2006, NER Systems that Suit User's Preferences.
        """
        lengths = [len(doc) for doc in emissions[0]]
        with torch.inference_mode():
            X, transitions = _to_torch(emissions)
            cut, T = (
                cut_windows(lengths, self.window, self.stride, X.device),
                constrain(transitions),
            )
            bias = X.new_tensor([recall_bias, 0, 0, 0, 0])
            tags = viterbi(X - bias, lengths, cut, T)
            number, start = numpy.nonzero(numpy.isin(tags.T, (BEGIN, UNIT)))
            _, last = numpy.nonzero(numpy.isin(tags.T, (LAST, UNIT)))
            confidence = _confidence(X, cut, T, tags, number, start, last) if len(start) else []
        before = numpy.cumsum([0, *lengths])
        found: list[list[Entity]] = [[] for _ in lengths]
        for doc, n, a, z, p in zip(
            numpy.searchsorted(before, start, side="right") - 1, number, start, last, confidence,
            strict=True,
        ):  # fmt: skip
            found[doc].append((int(a - before[doc]), int(z - before[doc]) + 1, int(n), float(p)))
        return found


@dataclass(frozen=True)
class Cut:
    """Where the tokens of a batch are in windows, packed: the first of each, longest window first.

    index ([places]): Token of each place. sizes: Places of each step, falling. ends ([windows]):
    Place of the last token. flip ([places]): Place of the same window read backwards. first, last
    ([windows, 1, 5]): FORBIDDEN where a doc may not start or end so. left, right ([tokens]): Place
    of each token in the window where most tokens are before it, and after it.
    """

    index: Tensor
    sizes: list[int]
    ends: Tensor
    flip: Tensor
    first: Tensor
    last: Tensor
    left: Tensor
    right: Tensor


def cut_windows(lengths: list[int], window: int, stride: int, device: torch.device) -> Cut:
    """Cut docs of some lengths, in tokens, into windows; see build_crf."""
    rows = []  # start, length, is the first of its doc, is the last
    offset = 0
    for length in lengths:
        starts = (
            [0] if not window or length <= window else range(0, length - window + stride, stride)
        )
        for start in starts if length else []:
            size = min(length - start, window or length)
            rows.append((offset + start, size, start == 0, start + size == length))
        offset += length
    table = numpy.array(rows, dtype="int64").reshape(-1, 4)
    table = table[numpy.argsort(-table[:, 1], kind="stable")]
    steps = numpy.arange(table[:, 1].max(initial=0))
    there = steps < table[:, 1:2]  # [windows, steps]
    place = numpy.full(there.shape, -1)
    place.T[there.T] = numpy.arange(there.sum())
    tokens = table[:, :1] + steps
    backwards = numpy.maximum(table[:, 1:2] - 1 - steps, 0)
    flip = numpy.take_along_axis(place, backwards, axis=1).T[there.T]
    left, right = numpy.zeros((2, offset), dtype="int64")
    for row in numpy.argsort(table[:, 0]):  # a later one overwrites
        right[tokens[row, there[row]]] = place[row, there[row]]
    for row in numpy.argsort(-table[:, 0]):
        left[tokens[row, there[row]]] = place[row, there[row]]
    penalties = (_penalty(MAY_START, table[:, 2]), _penalty(MAY_END, table[:, 3]))
    arrays = tokens.T[there.T], place[range(len(table)), table[:, 1] - 1], flip, left, right
    index, ends, flip, left, right = (torch.from_numpy(a).to(device) for a in arrays)
    first, last = (torch.from_numpy(p).to(device) for p in penalties)
    return Cut(index, there.sum(axis=0).tolist(), ends, flip, first, last, left, right)


def _penalty(allowed: tuple[int, ...], where: NDArray) -> NDArray:
    row = numpy.full(5, FORBIDDEN, dtype="float32")
    row[list(allowed)] = 0
    return numpy.where(where[:, None, None] > 0, row, numpy.float32(0))


def constrain(transitions: Tensor) -> Tensor:
    """Return transitions [..., tag, next tag] with those that are no BIOUL forbidden."""
    forbidden = torch.full((5, 5), FORBIDDEN, device=transitions.device)
    for tag, following in MAY_FOLLOW.items():
        forbidden[tag, list(following)] = 0
    return transitions + forbidden


def log_partition(X: Tensor, cut: Cut, T: Tensor) -> Tensor:
    """Return the log of the summed weight of all paths [windows, labels].

    X ([places, labels, 5]): Scores, packed. T ([labels, 5, 5]): Constrained transitions.
    """
    return (_messages(X, cut.sizes, T, cut.first)[cut.ends] + cut.last).logsumexp(-1)


def log_marginals(X: Tensor, cut: Cut, T: Tensor) -> Tensor:
    """Return the log-probability of each tag at each place, of the shape of X."""
    before = _messages(X, cut.sizes, T, cut.first)
    after = _messages(X[cut.flip], cut.sizes, T.mT, cut.last)[cut.flip]
    return (before + after - X).log_softmax(-1)


def _messages(X: Tensor, sizes: list[int], T: Tensor, first: Tensor) -> Tensor:
    """Return the log of the summed weight of all paths up to each place and tag."""
    found: list[Tensor] = []
    for step in X.split(sizes):
        if found:
            step = step + (found[-1][: len(step), :, :, None] + T).logsumexp(2)
        found.append(step if found else step + first)
    return torch.cat(found) if found else X


def viterbi(X: Tensor, lengths: list[int], cut: Cut, T: Tensor) -> NDArray:
    """Return the tags of the best path of each doc and label [tokens, labels].

    X ([tokens, labels, 5]): Scores of docs of these lengths, one after the other.
    """
    best, pointers = [], []
    for step in X[cut.index].split(cut.sizes):
        if best:
            top, pointer = (best[-1][: len(step), :, :, None] + T).max(dim=2)
        else:
            top, pointer = cut.first, torch.zeros_like(step, dtype=torch.int64)
        best.append(step + top)
        pointers.append(pointer)
    tags = numpy.zeros(X.shape[:2], dtype="int64")
    if not best:
        return tags
    # The tag before each token given its own, from the window that knows most of what is before.
    pointer = torch.cat(pointers)[cut.left].cpu().numpy()
    order = numpy.argsort(-numpy.array(lengths), kind="stable")
    longest_first = numpy.array(lengths)[order]
    ends = (numpy.cumsum(lengths) - 1)[order]
    ending = torch.cat(best)[cut.left].cpu().numpy()[ends[longest_first > 0]]
    tag = (ending + _penalty(MAY_END, numpy.ones(1))).argmax(-1)  # [docs, labels]
    for back in range(longest_first[0]):
        places = ends[: numpy.count_nonzero(longest_first > back)] - back
        tags[places] = tag = tag[: len(places)]
        tag = numpy.take_along_axis(pointer[places], tag[..., None], axis=2)[..., 0]
    return tags


def _confidence(
    X: Tensor, cut: Cut, T: Tensor, tags: NDArray, number: NDArray, start: NDArray, last: NDArray
) -> NDArray:
    """Return how likely each entity is: of its first tag, times of each next one given the last."""
    packed = X[cut.index]
    before = _messages(packed, cut.sizes, T, cut.first)[cut.left]
    after = _messages(packed[cut.flip], cut.sizes, T.mT, cut.last)[cut.flip][cut.right]
    path = torch.from_numpy(tags).to(X.device)[..., None]
    marginal = (before + after - X).log_softmax(-1).gather(2, path)[..., 0]
    # Each tag given the one before it, both as the window of the later one sees them: what lies
    # behind a token weighs more in a longer window. At the border of two docs it means nothing,
    # but no entity lies across one.
    move = T[torch.arange(len(T), device=X.device), path[:-1, :, 0]]  # [tokens - 1, labels, 5]
    given = (move + after[1:]).log_softmax(-1).gather(2, path[1:])[..., 0]
    given = torch.nn.functional.pad(given, (0, 0, 1, 0))
    total = given.double().cumsum(0)
    log_p = marginal[start, number] + total[last, number] - total[start, number]
    return log_p.exp().clamp(0, 1).cpu().numpy()


def _only(X: Tensor, may: Tensor) -> Tensor:
    return X.masked_fill(~may, FORBIDDEN)


def _to_torch(emissions: Emissions) -> tuple[Tensor, Tensor]:
    """Return scores [tokens, labels, 5] and transitions as tensors of their own."""
    scores, transitions = emissions
    T = xp2torch(transitions).clone()
    X = torch.cat([xp2torch(doc) for doc in scores])
    return X.reshape(len(X), len(T), 5), T
