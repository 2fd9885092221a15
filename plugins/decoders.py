"""Decoders of sequence-to-sequence models: greedy, beam search, top-k and nucleus sampling."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from spacy.util import registry
from torch import Tensor
from torch.nn.functional import pad

# What a network carries from step to step; the first dimension of each tensor is rows.
State = dict[str, Tensor]
# Symbols [rows] and the state before them; returns the log probabilities of what comes next
# [rows, symbols], -inf for what cannot, and the state after. decode_greedy says the rest.
Step = Callable[[Tensor, State], tuple[Tensor, State]]
Keep = Callable[[Tensor], tuple[Tensor, Tensor]]

NOTHING = -1  # after the last symbol of an output
FIRST_CUT = 64  # symbols that a nucleus rarely exceeds; to sort all of them takes much longer
TOLERANCE = 1e-3  # of log probabilities above 0, which rounding makes of some


@dataclass(frozen=True)
class Hypothesis:
    """An output of a row.

    symbols: Without begin and end.
    score: Log probability of the symbols and the end; a beam divides it by its length penalty.
    """

    symbols: list[int]
    score: float


# decode(step, state, limits, begin, end) returns the hypotheses of each row, best first.
Decoder = Callable[..., list[list[Hypothesis]]]


@registry.misc("goemotions.GreedyDecoder.v1")
def create_greedy_decoder() -> Decoder:
    """Create a decoder that takes the likeliest symbol at each step.

    RETURNS: decode_greedy.
    """
    return decode_greedy


@registry.misc("goemotions.BeamDecoder.v1")
def create_beam_decoder(width: int = 4, length_penalty: float = 0.6, n_best: int = 1) -> Decoder:
    """Create a decoder that follows the best outputs side by side.

    width: Outputs followed in each row. With 1 it is greedy; time grows with it.
    length_penalty (0 or more): A score is divided by ((5 + symbols) / 6) ** length_penalty, so a
        higher one favours long outputs; 0 compares the log probabilities alone.
    n_best (1 to width): Hypotheses returned for each row; fewer where there are not so many.
    RETURNS: decode_beam with these settings.
    RAISES ValueError: An argument out of range.
    SOURCE: Wu et al. 2016, Google's Neural Machine Translation System, arXiv 1609.08144.
    """
    if not 1 <= n_best <= width:
        raise ValueError(f"n_best {n_best}, width {width}. Expected 1 <= n_best <= width.")
    if not 0 <= length_penalty < math.inf:
        raise ValueError(f"length_penalty {length_penalty}. Expected a number of 0 or more.")
    return partial(decode_beam, width=width, length_penalty=length_penalty, n_best=n_best)


@registry.misc("goemotions.TopKDecoder.v1")
def create_top_k_decoder(
    k: int = 10, temperature: float = 1.0, seed: int = 0, n_best: int = 1
) -> Decoder:
    """Create a decoder that draws each symbol from the k likeliest, by their probabilities.

    k: Symbols to draw from; 0 draws from all, which is plain sampling.
    temperature (> 0): Log probabilities are divided by it before anything else; near 0 is greedy.
    seed (0 or more): Other numbers draw other outputs.
    n_best: Outputs drawn for each row, independently; some may be equal.
    RETURNS: decode_sampled with these settings.
    RAISES ValueError: An argument out of range.
    SOURCE: Fan et al. 2018, Hierarchical Neural Story Generation, arXiv 1805.04833.
    """
    if k < 0:
        raise ValueError(f"k {k}. Expected 1 or more, or 0 for all.")
    return _sampler(partial(_top, k=k) if k else _all, temperature, seed, n_best)


@registry.misc("goemotions.NucleusDecoder.v1")
def create_nucleus_decoder(
    p: float = 0.9, temperature: float = 1.0, seed: int = 0, n_best: int = 1
) -> Decoder:
    """Create a decoder that draws each symbol from the fewest whose probabilities sum to p.

    p (above 0, to 1): Share of the probability; 1 draws from all, which is plain sampling.
    temperature, seed, n_best: As in create_top_k_decoder; p is of the divided log probabilities.
    RETURNS: decode_sampled with these settings.
    RAISES ValueError: An argument out of range.
    SOURCE: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, arXiv 1904.09751.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p {p}. Expected a number above 0, to 1.")
    return _sampler(partial(_nucleus, p=p) if p < 1 else _all, temperature, seed, n_best)


def _sampler(keep: Keep, temperature: float, seed: int, n_best: int) -> Decoder:
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature {temperature}. Expected a number above 0; goemotions.GreedyDecoder.v1 "
            "does what 0 would mean."
        )
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed {seed}. Expected 0 to 2 ** 63 - 1.")
    if n_best < 1:
        raise ValueError(f"n_best {n_best}. Expected 1 or more.")
    return partial(decode_sampled, keep=keep, temperature=temperature, seed=seed, n_best=n_best)


# Not inference_mode: what a network makes in a step and keeps must serve in training as well.
@torch.no_grad()
def decode_greedy(
    step: Step, state: State, limits: Tensor, begin: int, end: int
) -> list[list[Hypothesis]]:
    """Write the likeliest symbol of each step, the lowest of equal ones, until it is the end.

    A row also ends at its limit, or where nothing can follow; such an end costs nothing. It is
    still in the steps after that, with whatever symbol, until half of the rows have ended: then
    these are taken out of the state, so all copies cost less than the first state again.

    step: The network, in eval mode.
    state: Of the network before begin.
    limits ([rows]): Symbols of each output at most, the end not counted.
    begin: Id of the first symbol that step gets.
    end: Id of the symbol after the last.
    RETURNS: One hypothesis for each row; that of a row with limit 0 is empty.
    RAISES ValueError: A limit below 0, a state or log probabilities of other rows, or numbers that
        are no log probabilities.
    """
    hypotheses = _write(step, state, _start(state, limits), begin, end, _likeliest, {})
    return [[hypothesis] for hypothesis in hypotheses]


@torch.no_grad()
def decode_sampled(
    step: Step,
    state: State,
    limits: Tensor,
    begin: int,
    end: int,
    *,
    keep: Keep,
    temperature: float,
    seed: int,
    n_best: int,
) -> list[list[Hypothesis]]:
    """Write a random symbol at each step, by the probabilities of those that are kept.

    The random numbers of a row are made from the seed, its limit, and at each step its likeliest
    symbol and what is written, and nothing else: other rows, their order and other random numbers
    of the program do not change an output, and equal rows get equal ones.

    step, state, limits, begin, end: As in decode_greedy, which also says when a row ends.
    keep: Takes log probabilities and returns those to draw from, and their symbols.
    temperature, seed, n_best: As in create_top_k_decoder.
    RETURNS: n_best hypotheses for each row, by falling score. Scores are of the network's log
        probabilities, whatever is kept and at any temperature.
    RAISES ValueError: As decode_greedy.
    """
    limits, rows = _start(state, limits), len(limits)
    state = {name: tensor.repeat_interleave(n_best, 0) for name, tensor in state.items()}
    limits = limits.repeat_interleave(n_best)
    samples = torch.arange(len(limits), device=limits.device) % n_best
    keys = _mix(_mix(torch.full_like(samples, seed)) + limits) + samples
    choose = partial(_draw, keep=keep, temperature=temperature)
    drawn = _write(step, state, limits, begin, end, choose, {"keys": keys})
    groups = (drawn[row * n_best : (row + 1) * n_best] for row in range(rows))
    return [sorted(group, key=lambda hypothesis: -hypothesis.score) for group in groups]


def _write(
    step: Step,
    state: State,
    limits: Tensor,
    begin: int,
    end: int,
    choose: Step,
    chosen_by: State,
) -> list[Hypothesis]:
    """Write one output for each row.

    choose: Takes log probabilities and its own state; returns symbols and its state after.
    """
    scores, columns = torch.zeros(limits.shape, device=limits.device), []
    rows, running = torch.arange(len(limits), device=limits.device), limits > 0
    symbols = torch.full_like(limits, begin)
    while left := int(running.sum()):
        if 2 * left <= len(rows):
            index = running.nonzero().squeeze(1)
            rows, running, symbols = rows[index], running[index], symbols[index]
            state, chosen_by = _select(state, index), _select(chosen_by, index)
        log_probs, state = _advance(step, symbols, state, end)
        symbols, chosen_by = choose(log_probs, chosen_by)
        gained = log_probs.gather(1, symbols.unsqueeze(1)).squeeze(1)
        running = running & (gained > -math.inf)
        scores[rows] += gained.where(running, 0.0)
        running = running & (symbols != end)
        column = torch.full_like(limits, NOTHING)
        column[rows] = symbols.where(running, NOTHING)
        columns.append(column)
        running = running & (limits[rows] > len(columns))
    written = torch.stack(columns, 1).tolist() if columns else [[]] * len(limits)
    return [_hypothesis(*output) for output in zip(written, scores.tolist(), strict=True)]


def _likeliest(log_probs: Tensor, unused: State) -> tuple[Tensor, State]:
    return log_probs.argmax(1), unused


def _draw(log_probs: Tensor, state: State, keep: Keep, temperature: float) -> tuple[Tensor, State]:
    highest, likeliest = log_probs.max(1, keepdim=True)
    # Less the highest first, so that no temperature is too low; nan is of rows without a symbol.
    heated = ((log_probs - highest) / temperature).nan_to_num(nan=0.0, neginf=-math.inf)
    kept, symbols = keep(heated.log_softmax(1))
    shares = kept.exp().cumsum(1)
    shares = shares / shares[:, -1:]  # the last is 1, above each random number
    keys = _mix(state["keys"] + likeliest.squeeze(1))
    random = (keys >> 40 & 0xFFFFFF).float() / 2**24  # as many bits as a float has
    place = torch.searchsorted(shares, random.unsqueeze(1), right=True)
    chosen = symbols.gather(1, place).squeeze(1)
    return chosen, {"keys": _mix(keys + chosen)}


def _mix(keys: Tensor) -> Tensor:
    """Return 64 bits that look random for each key, on any device: a step of SplitMix64.

    SOURCE: Steele et al. 2014, Fast Splittable Pseudorandom Number Generators.
    """
    keys = keys + _signed(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        # The mask is for the sign, which the shift would copy.
        keys = (keys ^ (keys >> shift & (1 << 64 - shift) - 1)) * _signed(factor)
    return keys


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def _all(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    symbols = torch.arange(log_probs.shape[1], device=log_probs.device)
    return log_probs, symbols.expand_as(log_probs)


def _nucleus(log_probs: Tensor, p: float) -> tuple[Tensor, Tensor]:
    cut = FIRST_CUT
    while True:
        kept, symbols = _top(log_probs, cut)
        mass_before = pad(kept.exp().cumsum(1)[:, :-1], (1, 0))
        if cut >= log_probs.shape[1] or bool((mass_before[:, -1] >= p).all()):
            return kept.masked_fill(mass_before >= p, -math.inf), symbols
        cut *= 8


def _top(log_probs: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest of each row and their symbols, the lowest of equal ones first."""
    values, symbols = log_probs.topk(min(k + 1, log_probs.shape[1]))
    # topk has equal ones in any order, and any of those at the cut; a whole sort takes 40 times it.
    tied = (values.diff(dim=1) == 0).any(1)  # the difference of two -inf is nan
    if tied.any():
        ordered, order = torch.sort(log_probs[tied], dim=1, descending=True, stable=True)
        values[tied], symbols[tied] = ordered[:, : k + 1], order[:, : k + 1]
    return values[:, :k], symbols[:, :k]


@dataclass
class _Beams:
    """What a beam search follows and what it has found; the first dimension is rows.

    rows ([rows]): Numbers of the rows that are left.
    limits ([rows]): As in decode_greedy.
    scores ([rows, beams]): Log probabilities of what is followed, -inf where it has ended.
    written ([rows, beams, steps]): Its symbols.
    best_scores ([rows, n_best]): Of the best that have ended, -inf where there are fewer.
    best ([rows, n_best, steps]): Their symbols, then -1.
    """

    rows: Tensor
    limits: Tensor
    scores: Tensor
    written: Tensor
    best_scores: Tensor
    best: Tensor

    def select(self, index: Tensor) -> "_Beams":
        """Return those of some rows."""
        return _Beams(*(getattr(self, field.name)[index] for field in fields(self)))


@torch.no_grad()
def decode_beam(
    step: Step,
    state: State,
    limits: Tensor,
    begin: int,
    end: int,
    *,
    width: int,
    length_penalty: float,
    n_best: int,
) -> list[list[Hypothesis]]:
    """Follow the width likeliest outputs of each row; return the best that have ended.

    Each step keeps the likeliest of all continuations. Those that end are put aside, the others
    are followed, until none of them can get better than the n_best that have ended: its log
    probability only falls, and its length penalty is at most that of the limit. Of equal ones, the
    continuation of the better comes first, then the lowest symbol. No two outputs are equal.

    step, state, limits, begin, end: As in decode_greedy, which also says when a row ends. Each step
        reorders the state: what does not change in an output is better kept outside, with the
        numbers of its rows in the state.
    width, length_penalty, n_best: As in create_beam_decoder.
    RETURNS: 1 to n_best hypotheses for each row, by falling score.
    RAISES ValueError: As decode_greedy.
    """
    limits = _start(state, limits)
    beams = _first_beams(limits, n_best)
    symbols = torch.full_like(limits, begin).unsqueeze(1)  # [rows, beams]
    found: list[list[Hypothesis]] = [[] for _ in range(len(limits))]
    while True:
        bound = beams.scores.amax(1) / _penalty(beams.limits, length_penalty)
        running = bound > beams.best_scores[:, -1]
        left = int(running.sum())
        if 2 * left <= len(running):
            _collect(beams.select(~running), found)
            index = running.nonzero()  # [rows, 1]
            every = torch.arange(symbols.shape[1], device=index.device)
            state = _select(state, (index * len(every) + every).flatten())
            beams, symbols = beams.select(running), symbols[running]
        if not left:
            return found
        log_probs, state = _advance(step, symbols.flatten(), state, end)
        beams, symbols, parents = _extend(beams, log_probs, end, width, length_penalty)
        state = _select(state, parents)


def _first_beams(limits: Tensor, n_best: int) -> _Beams:
    rows = torch.arange(len(limits), device=limits.device)
    nothing = torch.full((len(limits), n_best), -math.inf, device=limits.device)
    empty = limits.new_zeros(len(limits), n_best, 0)
    has_ended = (limits == 0).unsqueeze(1)
    scores = nothing[:, :1].where(has_ended, 0.0)
    best_scores = nothing.clone()
    best_scores[:, :1].masked_fill_(has_ended, 0.0)
    return _Beams(rows, limits, scores, empty[:, :1], best_scores, empty)


def _extend(
    beams: _Beams, log_probs: Tensor, end: int, width: int, length_penalty: float
) -> tuple[_Beams, Tensor, Tensor]:
    """Return the beams after a step, their symbols [rows, beams], and the rows of the state."""
    rows, followed = beams.scores.shape
    gained, symbols = _top(log_probs, width)  # [rows * followed, at most width]
    stuck = gained[:, 0] == -math.inf  # nothing can follow, so the end does
    gained[:, 0].masked_fill_(stuck, 0.0)
    symbols[:, 0].masked_fill_(stuck, end)
    scores = (beams.scores.reshape(-1, 1) + gained).view(rows, -1)
    scores, order = torch.sort(scores, dim=1, descending=True, stable=True)
    scores, order = scores[:, :width], order[:, :width]
    parents, symbols = order // gained.shape[1], symbols.reshape(rows, -1).gather(1, order)
    steps, is_end = beams.written.shape[2] + 1, symbols == end
    written = torch.cat([_pick(beams.written, parents), symbols.unsqueeze(2)], 2)
    has_ended = is_end | (beams.limits == steps).unsqueeze(1)
    final = scores / _penalty(steps - is_end.long(), length_penalty)
    # The earlier ones first, so that a later one takes a place only if it is better.
    best_scores = torch.cat([beams.best_scores, final.where(has_ended, -math.inf)], 1)
    best_scores, order = torch.sort(best_scores, dim=1, descending=True, stable=True)
    n_best = beams.best.shape[1]
    best = torch.cat([pad(beams.best, (0, 1), value=NOTHING),
                      written.masked_fill(written == end, NOTHING)], 1)  # fmt: skip
    after = _Beams(beams.rows, beams.limits, scores.masked_fill(has_ended, -math.inf), written,
                  best_scores[:, :n_best], _pick(best, order[:, :n_best]))  # fmt: skip
    first = torch.arange(rows, device=parents.device).unsqueeze(1) * followed
    return after, symbols, (first + parents).flatten()


def _collect(beams: _Beams, found: list[list[Hypothesis]]) -> None:
    columns = (beams.rows.tolist(), beams.best.tolist(), beams.best_scores.tolist())
    for row, outputs, scores in zip(*columns, strict=True):
        pairs = zip(outputs, scores, strict=True)
        found[row] = [_hypothesis(*pair) for pair in pairs if pair[1] > -math.inf]


def _penalty(lengths: Tensor, length_penalty: float) -> Tensor:
    return ((5 + lengths) / 6) ** length_penalty


def _pick(written: Tensor, index: Tensor) -> Tensor:
    """Return some outputs of each row: [rows, outputs, steps] by [rows, picked]."""
    return written.gather(1, index.unsqueeze(2).expand(-1, -1, written.shape[2]))


def _hypothesis(symbols: list[int], score: float) -> Hypothesis:
    return Hypothesis([symbol for symbol in symbols if symbol != NOTHING], score)


def _start(state: State, limits: Tensor) -> Tensor:
    """Return the limits where the state is."""
    lowest = limits.min().item() if limits.numel() else 0
    if limits.dim() != 1 or lowest < 0:
        raise ValueError(
            f"limits of shape {tuple(limits.shape)}, the lowest {lowest}. Expected a number of 0 "
            "or more for each row."
        )
    _check_rows(state, len(limits))
    device = next((tensor.device for tensor in state.values()), limits.device)
    return limits.to(device, torch.long)


def _advance(step: Step, symbols: Tensor, state: State, end: int) -> tuple[Tensor, State]:
    log_probs, state = step(symbols, state)
    shape = tuple(log_probs.shape)
    if len(shape) != 2 or shape[0] != len(symbols) or not 0 <= end < shape[1]:
        raise ValueError(
            f"step: log probabilities of shape {shape}. Expected {len(symbols)} rows, and enough "
            f"symbols for the end, {end}."
        )
    highest = log_probs.max().item()
    if not highest <= TOLERANCE:  # so that nan is found as well
        raise ValueError(f"step: log probability {highest}. Expected 0 or less, as of log_softmax.")
    _check_rows(state, len(symbols))
    return log_probs.float(), state


def _check_rows(state: State, rows: int) -> None:
    for name, tensor in state.items():
        if tensor.shape[:1] != (rows,):
            raise ValueError(
                f"state {name!r} of shape {tuple(tensor.shape)}. Expected {rows} rows first."
            )


def _select(state: State, index: Tensor) -> State:
    return {name: tensor.index_select(0, index) for name, tensor in state.items()}
