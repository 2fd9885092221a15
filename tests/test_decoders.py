"""Decoders: cases by hand, all outputs counted out, a plain beam search, drawn frequencies."""

import inspect
import math
import pickle
from itertools import pairwise, product

import pytest
import torch
from spacy.util import registry
from torch import nn, tensor

from plugins.decoders import (
    Hypothesis,
    _mix,
    _nucleus,
    create_beam_decoder,
    create_greedy_decoder,
    create_nucleus_decoder,
    create_top_k_decoder,
)

BEGIN, END = 0, 1
A, B, C, D, E = 2, 3, 4, 5, 6
DECODERS = {
    "greedy": create_greedy_decoder(),
    "beam": create_beam_decoder(width=3, n_best=2),
    "top k": create_top_k_decoder(k=3, seed=1, n_best=2),
    "nucleus": create_nucleus_decoder(p=0.8, seed=1, n_best=2),
    "plain sampling": create_nucleus_decoder(p=1, seed=1),
}
every_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS.keys())


class Table:
    """A step that knows p(next | previous), notes its rows, and carries what it was given."""

    def __init__(self, probabilities, symbols=7):
        self.log_probs = torch.full((symbols, symbols), -math.inf)
        for previous, following in probabilities.items():
            for symbol, probability in following.items():
                self.log_probs[previous, symbol] = math.log(probability)
        self.rows = []

    def __call__(self, symbols, state):
        self.rows.append(len(symbols))
        return self.log_probs[symbols], state

    def decode(self, decode, *limits):
        return decode(self, {}, tensor(limits, dtype=torch.long), BEGIN, END)


class Tree:
    """A step whose probabilities depend on the row and on all that is written before."""

    def __init__(self, seed, symbols=4, forbidden=0.0):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(1500, symbols, generator=generator) * 1.5
        logits[torch.rand(logits.shape, generator=generator) < forbidden] = -math.inf
        self.log_probs = logits.log_softmax(1).nan_to_num(nan=-math.inf, neginf=-math.inf)
        self.symbols, self.calls = symbols, []

    def state(self, rows):
        history = torch.zeros(rows, 0, dtype=torch.long)
        return {"number": torch.arange(rows), "history": history}

    def at(self, number, history):
        node = number + 1
        for symbol in history:
            node = node * (self.symbols + 1) + symbol + 1
        return self.log_probs[node % len(self.log_probs)]

    def __call__(self, symbols, state):
        history = torch.cat([state["history"], symbols.unsqueeze(1)], 1)
        self.calls.append((state["number"].tolist(), history.tolist()))
        rows = zip(state["number"].tolist(), history[:, 1:].tolist(), strict=True)
        log_probs = torch.stack([self.at(*row) for row in rows])
        return log_probs, {"number": state["number"], "history": history}

    def outputs(self, number, limit, length_penalty=0.0, written=()):
        """Return all hypotheses of a row, best first."""
        found, following = [], self.at(number, written).tolist()
        if len(written) == limit or max(following) == -math.inf:
            return [Hypothesis(list(written), 0.0)]
        for symbol, gained in enumerate(following):
            if gained == -math.inf:
                continue
            further = [Hypothesis(list(written), 0.0)]
            if symbol != END:
                further = self.outputs(number, limit, 0.0, (*written, symbol))
            found += [Hypothesis(h.symbols, gained + h.score) for h in further]
        found = [Hypothesis(h.symbols, h.score / penalty(h, length_penalty)) for h in found]
        return sorted(found, key=lambda h: -h.score)

    def beam(self, number, limit, width, length_penalty):
        """Return what a beam search that never stops early has found, best first."""
        running, ended = [((), 0.0)], []
        for _ in range(limit):
            grown = []
            for written, score in running:
                following = self.at(number, written).tolist()
                if max(following) == -math.inf:
                    following[END] = 0.0
                grown += [((*written, s), score + x) for s, x in enumerate(following)]
            grown = sorted(grown, key=lambda pair: -pair[1])[:width]
            grown = [(written, score) for written, score in grown if score > -math.inf]
            ended += [Hypothesis(list(w[:-1]), score) for w, score in grown if w[-1] == END]
            running = [pair for pair in grown if pair[0][-1] != END]
        ended += [Hypothesis(list(written), score) for written, score in running]
        ended = [Hypothesis(h.symbols, h.score / penalty(h, length_penalty)) for h in ended]
        return sorted(ended, key=lambda h: -h.score)


def penalty(hypothesis, length_penalty):
    return ((5 + len(hypothesis.symbols)) / 6) ** length_penalty


def penalty_of(decode):
    return 0.6 if decode is DECODERS["beam"] else 0


def assert_equal(found, expected):
    """Compare the hypotheses of several rows; scores up to rounding."""
    assert [[h.symbols for h in row] for row in found] == [[h.symbols for h in r] for r in expected]
    for row, other in zip(found, expected, strict=True):
        assert [h.score for h in row] == pytest.approx([h.score for h in other], abs=1e-5)


# The likeliest first symbol leads to outputs of 0.3 at most; the other one to 0.36.
MISLEADING = {
    BEGIN: {A: 0.6, B: 0.4},
    A: {C: 0.5, D: 0.5},
    B: {C: 0.9, D: 0.1},
    C: {END: 1.0},
    D: {END: 1.0},
}


def test_a_beam_finds_what_greedy_misses():
    greedy = Table(MISLEADING).decode(create_greedy_decoder(), 9)
    assert_equal(greedy, [[Hypothesis([A, C], math.log(0.3))]])
    beam = Table(MISLEADING).decode(create_beam_decoder(width=2, length_penalty=0), 9)
    assert_equal(beam, [[Hypothesis([B, C], math.log(0.36))]])


def test_hypotheses_come_best_first_and_once():
    decode = create_beam_decoder(width=9, length_penalty=0, n_best=9)
    expected = [([B, C], 0.36), ([A, C], 0.3), ([A, D], 0.3), ([B, D], 0.04)]
    found = Table(MISLEADING).decode(decode, 9, 9)
    assert_equal(found, 2 * [[Hypothesis(symbols, math.log(p)) for symbols, p in expected]])


def test_the_length_penalty_decides_between_a_short_and_a_long_output():
    table = Table({
        BEGIN: {A: 0.5, B: 0.4, E: 0.1}, A: {END: 1}, B: {C: 1}, C: {D: 1}, D: {END: 1}, E: {E: 1}
    })  # fmt: skip
    # log 0.5 = -0.693 of one symbol, log 0.4 = -0.916 of three: / (8 / 6) ** 1 = -0.687
    for length_penalty, best, score in ((0, [A], -0.693147), (0.5, [A], -0.693147),
                                        (1, [B, C, D], -0.687218)):  # fmt: skip
        decode = create_beam_decoder(width=3, length_penalty=length_penalty)
        assert_equal(table.decode(decode, 5), [[Hypothesis(best, score)]])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("length_penalty", [0, 0.6, 3])
def test_a_beam_of_one_is_greedy(seed, length_penalty):
    tree, limits = Tree(seed, forbidden=0.2), tensor([4, 3, 0, 1, 4])
    greedy = create_greedy_decoder()(tree, tree.state(5), limits, BEGIN, END)
    decode = create_beam_decoder(width=1, length_penalty=length_penalty)
    beam = decode(tree, tree.state(5), limits, BEGIN, END)
    scaled = [[Hypothesis(h.symbols, h.score / penalty(h, length_penalty))] for (h,) in greedy]
    assert_equal(beam, scaled)


@pytest.mark.parametrize("forbidden", [0, 0.2, 0.4])
@pytest.mark.parametrize("length_penalty", [0, 0.6, 3])
def test_a_beam_of_all_outputs_is_exhaustive_search(forbidden, length_penalty):
    tree, limits = Tree(7, forbidden=forbidden), [4, 3, 0, 1, 2, 4]
    expected = [tree.outputs(i, limit, length_penalty) for i, limit in enumerate(limits)]
    assert max(map(len, expected)) > 9
    for n_best in (1, 5, 200):
        decode = create_beam_decoder(200, length_penalty, n_best)
        found = decode(tree, tree.state(6), tensor(limits), BEGIN, END)
        assert_equal(found, [row[:n_best] for row in expected])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width, n_best", [(2, 1), (2, 2), (3, 1), (4, 3)])
@pytest.mark.parametrize("length_penalty", [0, 0.6, 3])
def test_stopping_early_changes_nothing(seed, width, n_best, length_penalty):
    tree, limits = Tree(seed, forbidden=0.1), [6, 3, 0, 5]
    decode = create_beam_decoder(width, length_penalty, n_best)
    found = decode(tree, tree.state(4), tensor(limits), BEGIN, END)
    expected = [tree.beam(i, limit, width, length_penalty) for i, limit in enumerate(limits)]
    assert_equal(found, [row[:n_best] for row in expected])


STOPS = {BEGIN: {END: 0.9, A: 0.1}, A: {A: 0.999, END: 0.001}}


def test_a_beam_stops_as_soon_as_nothing_better_can_come():
    table = Table(STOPS)
    decode = create_beam_decoder(width=2, length_penalty=0)
    assert_equal(table.decode(decode, 50, 50), [[Hypothesis([], math.log(0.9))]] * 2)
    assert table.rows == [2]
    # The second hypothesis is that of the limit: 0.1 * 0.999 ** 49.
    table = Table(STOPS)
    found = table.decode(create_beam_decoder(width=2, length_penalty=0, n_best=2), 50)
    assert found[0][1].symbols == [A] * 50
    assert found[0][1].score == pytest.approx(math.log(0.1) + 49 * math.log(0.999), abs=1e-4)
    assert table.rows == [1] + [2] * 49


def test_a_beam_goes_on_while_the_penalty_of_the_limit_can_make_the_long_one_better():
    # -2.3 / (55 / 6) ** 1.5 = -0.083 against log 0.9 / (5 / 6) ** 1.5 = -0.139: it must go on.
    table = Table(STOPS)
    ((best,),) = table.decode(create_beam_decoder(width=2, length_penalty=1.5), 50)
    assert (best.symbols, len(table.rows)) == ([A] * 50, 50)
    # With a limit of 5 the bound is -0.998.
    table = Table(STOPS)
    ((best,),) = table.decode(create_beam_decoder(width=2, length_penalty=1.5), 5)
    assert (best.symbols, len(table.rows)) == ([], 1)


def count_down(rows):
    """Return a step that writes A as often as the state says, and the list of its rows."""

    def step(symbols, state):
        rows.append(len(symbols))
        log_probs = torch.full((len(symbols), 3), -math.inf)
        log_probs[:, A] = 0.0
        log_probs[state["left"] == 0] = tensor([-math.inf, 0.0, -math.inf])
        return log_probs, {"left": (state["left"] - 1).clamp(min=0)}

    return step


@every_decoder
def test_rows_that_have_ended_are_taken_out_when_half_have(decode):
    rows, left = [], torch.randperm(8, generator=torch.Generator().manual_seed(3))
    found = decode(count_down(rows), {"left": left}, torch.full((8,), 99), BEGIN, END)
    assert [row[0].symbols for row in found] == [[A] * n for n in left.tolist()]
    each = rows[-1]  # outputs side by side; a beam begins with one
    assert rows[0] == 8 * (1 if decode is DECODERS["beam"] else each)
    assert rows[1:] == [each * n for n in (8, 8, 8, 4, 4, 2, 1)]


@every_decoder
def test_rows_without_room_take_no_step(decode):
    rows = []
    found = decode(count_down(rows), {"left": tensor([2, 2, 2])}, tensor([0, 5, 0]), BEGIN, END)
    best = [row[0] for row in found]
    assert best == [Hypothesis([], 0), Hypothesis([A, A], 0), Hypothesis([], 0)]
    assert rows[0] <= 2  # samples of the one row
    rows.clear()
    assert decode(count_down(rows), {"left": tensor([2])}, tensor([0]), BEGIN, END)[0][0] == best[0]
    nothing = tensor([], dtype=torch.long)
    assert decode(count_down(rows), {"left": nothing}, nothing, BEGIN, END) == []
    assert rows == []


@every_decoder
def test_an_output_ends_at_its_limit_at_no_cost(decode):
    table = Table({BEGIN: {A: 0.5}, A: {A: 1}}, symbols=3)
    found = table.decode(decode, 1, 3, 2)
    assert [row[0].symbols for row in found] == [[A], [A] * 3, [A] * 2]
    length_penalty = penalty_of(decode)
    expected = [math.log(0.5) / penalty(row[0], length_penalty) for row in found]
    assert [row[0].score for row in found] == pytest.approx(expected)
    assert len(table.rows) == 3


@every_decoder
def test_an_output_ends_where_nothing_can_follow(decode):
    table = Table({BEGIN: {A: 1}, A: {B: 1}})
    found = table.decode(decode, 9, 1)
    assert [row[0] for row in found] == [Hypothesis([A, B], 0), Hypothesis([A], 0)]
    assert len(table.rows) == 3
    nothing = Table({})
    assert nothing.decode(decode, 9)[0][0] == Hypothesis([], 0)


@every_decoder
def test_a_batch_gives_what_its_rows_give_alone_in_any_order(decode):
    tree, limits = Tree(5, forbidden=0.1), tensor([5, 0, 3, 6, 6, 1, 4])
    together = decode(tree, tree.state(7), limits, BEGIN, END)
    assert len({str(row) for row in together}) == 7
    for order in ([[i] for i in range(7)], [[6, 5, 4, 3, 2, 1, 0]], [[3, 0, 1], [2, 5, 6, 4]]):
        for part in order:
            index = tensor(part)
            state = {name: rows[index] for name, rows in tree.state(7).items()}
            found = decode(tree, state, limits[index], BEGIN, END)
            assert found == [together[i] for i in part]


@every_decoder
def test_the_state_follows_the_outputs(decode):
    tree, limits = Tree(3), tensor([5, 2, 6, 3])
    found = decode(tree, tree.state(4), limits, BEGIN, END)
    for number, row in enumerate(found):
        for hypothesis in row:
            known = [
                history
                for numbers, histories in tree.calls
                for n, history in zip(numbers, histories, strict=True)
                if n == number
            ]
            length = len(hypothesis.symbols) + (len(hypothesis.symbols) < limits[number])
            path = [BEGIN, *hypothesis.symbols]
            assert all(path[:n] in known for n in range(1, length + 1))


@every_decoder
def test_a_score_is_that_of_the_networks_log_probabilities(decode):
    tree, limits = Tree(11), [5, 2, 6, 3]
    for number, row in enumerate(decode(tree, tree.state(4), tensor(limits), BEGIN, END)):
        all_outputs = tree.outputs(number, limits[number], penalty_of(decode))
        score_of = {tuple(h.symbols): h.score for h in all_outputs}
        for hypothesis in row:
            score = score_of[tuple(hypothesis.symbols)]
            assert hypothesis.score == pytest.approx(score, abs=1e-5)
        scores = [hypothesis.score for hypothesis in row]
        assert scores == sorted(scores, reverse=True)


def test_the_lowest_of_equal_symbols_wins():
    equal = {BEGIN: {D: 0.2, A: 0.2, C: 0.2, B: 0.2, E: 0.2}} | {x: {END: 1} for x in range(2, 7)}
    assert Table(equal).decode(create_greedy_decoder(), 9)[0][0].symbols == [A]
    for width in (1, 2, 4):
        beam = Table(equal).decode(create_beam_decoder(width=width, n_best=width), 9)
        assert [h.symbols for h in beam[0]] == [[A], [B], [C], [D]][:width]
    samples = Table(equal).decode(create_top_k_decoder(k=2, n_best=200), 9)
    assert {h.symbols[0] for h in samples[0]} == {A, B}
    samples = Table(equal).decode(create_nucleus_decoder(p=0.5, n_best=200), 9)
    assert {h.symbols[0] for h in samples[0]} == {A, B, C}


def test_equal_outputs_come_in_the_order_of_their_parents():
    table = {BEGIN: {A: 0.5, B: 0.5}, A: {D: 0.5, C: 0.5}, B: {A: 0.5, C: 0.5}, C: {END: 1},
             D: {END: 1}}  # fmt: skip
    found = Table(table).decode(create_beam_decoder(width=9, n_best=3), 2)
    assert [h.symbols for h in found[0]] == [[A, C], [A, D], [B, A]]


CHANCES = {A: 0.5, B: 0.3, C: 0.15, D: 0.05}


def chi_square(symbols, shares):
    """Return the statistic of drawn symbols; symbols without a share may not be among them."""
    assert set(symbols) <= set(shares)
    total, draws = sum(shares.values()), len(symbols)
    expected = {symbol: draws * share / total for symbol, share in shares.items()}
    return sum((symbols.count(x) - n) ** 2 / n for x, n in expected.items())


def drawn(decoder, limits=(1,)):
    """Return the first symbols that are drawn."""
    found = Table({BEGIN: CHANCES, A: CHANCES}).decode(decoder, *limits)
    return [hypothesis.symbols[0] for row in found for hypothesis in row]


@pytest.mark.parametrize("decoder, kept", [
    (create_top_k_decoder(k=2, n_best=10_000), {A: 0.5, B: 0.3}),
    (create_top_k_decoder(k=3, seed=5, n_best=10_000), {A: 0.5, B: 0.3, C: 0.15}),
    (create_top_k_decoder(k=0, n_best=10_000), CHANCES),
    (create_top_k_decoder(k=99, n_best=10_000), CHANCES),
    (create_nucleus_decoder(p=0.3, n_best=100), {A: 0.5}),
    (create_nucleus_decoder(p=0.51, n_best=10_000), {A: 0.5, B: 0.3}),
    (create_nucleus_decoder(p=0.9, n_best=10_000), {A: 0.5, B: 0.3, C: 0.15}),
    (create_nucleus_decoder(p=0.96, n_best=10_000), CHANCES),
    (create_nucleus_decoder(p=1, n_best=10_000), CHANCES),
    # The square of the probabilities, then their root; the nucleus is of those.
    (create_top_k_decoder(temperature=0.5, n_best=10_000), {k: p**2 for k, p in CHANCES.items()}),
    (create_top_k_decoder(k=2, temperature=2, n_best=10_000), {A: 0.5**0.5, B: 0.3**0.5}),
    (create_nucleus_decoder(p=0.9, temperature=0.5, n_best=10_000), {A: 0.25, B: 0.09}),
])  # fmt: skip
def test_symbols_are_drawn_by_their_probabilities(decoder, kept):
    assert chi_square(drawn(decoder), kept) < 16.3  # 0.1 % of 3 degrees of freedom


def test_draws_of_seeds_rows_and_steps_are_independent():
    by_seed = [drawn(create_top_k_decoder(seed=seed))[0] for seed in range(300)]
    assert chi_square(by_seed, CHANCES) < 16.3
    by_limit = drawn(create_top_k_decoder(), range(1, 5000))
    assert chi_square(by_limit, CHANCES) < 16.3
    pairs = Table({x: CHANCES for x in (BEGIN, *CHANCES)}).decode(
        create_top_k_decoder(n_best=10_000), 2
    )
    shares = {(x, y): CHANCES[x] * CHANCES[y] for x, y in product(CHANCES, repeat=2)}
    assert chi_square([tuple(h.symbols) for h in pairs[0]], shares) < 37.7  # 15 degrees
    assert chi_square(list(pairwise(by_limit)), shares) < 37.7


def test_equal_rows_get_equal_outputs_and_those_that_part_go_on_independently():
    first = tensor([[0.5, 0.4, 0.1, 0], [0.5, 0.1, 0.4, 0]]).log()  # the likeliest is the same
    shares = {0: 0.5, 1: 0.3, 2: 0.2}
    then = tensor([*shares.values(), 0]).log()

    def step(symbols, state):
        return first[state["kind"]].where((symbols == 3).unsqueeze(1), then), state

    after = []
    for seed in range(300):
        state, decode = {"kind": tensor([0, 1, 0])}, create_top_k_decoder(seed=seed)
        (one,), (other,), (same,) = decode(step, state, tensor([2, 2, 2]), begin=3, end=3)
        assert one == same
        if one.symbols[0] != other.symbols[0]:
            after.append((one.symbols[1], other.symbols[1]))
    assert len(after) > 100
    both = {(x, y): shares[x] * shares[y] for x, y in product(shares, repeat=2)}
    assert chi_square(after, both) < 26.1  # 0.1 % of 8 degrees of freedom


def test_the_first_samples_do_not_depend_on_how_many_are_drawn():
    tree = Tree(2)
    few, many = (
        create_top_k_decoder(n_best=n)(tree, tree.state(3), tensor([4, 5, 6]), BEGIN, END)
        for n in (1, 4)
    )
    assert all(few[row][0] in many[row] for row in range(3))
    assert [len(row) for row in many] == [4, 4, 4]


def test_draws_depend_on_the_seed_and_on_no_other_random_numbers():
    decoders = [create_nucleus_decoder(seed=seed, n_best=20) for seed in (4, 4, 5)]
    outputs = []
    for number, decoder in enumerate(decoders):
        torch.manual_seed(number)
        before = torch.get_rng_state()
        outputs.append(drawn(decoder))
        assert torch.equal(torch.get_rng_state(), before)
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 5e-324])
def test_a_temperature_near_0_is_greedy(temperature):
    tree, limits = Tree(9, symbols=6), tensor([5, 5, 3, 6])
    greedy = create_greedy_decoder()(tree, tree.state(4), limits, BEGIN, END)
    for decode in (create_top_k_decoder(temperature=temperature),
                   create_nucleus_decoder(temperature=temperature),
                   create_nucleus_decoder(p=1, temperature=temperature)):  # fmt: skip
        assert decode(tree, tree.state(4), limits, BEGIN, END) == greedy


@pytest.mark.parametrize("p, size", [(0.0508, 31), (0.5008, 301), (0.9008, 541)])
def test_a_nucleus_may_hold_more_symbols_than_are_sorted_at_first(p, size):
    log_probs = torch.full((2, 600), -math.log(600))
    log_probs[1] = tensor([0.99] + [0.01 / 599] * 599).log()
    kept, symbols = _nucleus(log_probs, p)
    assert symbols[0, kept[0] > -math.inf].tolist() == list(range(size))
    assert symbols[1, kept[1] > -math.inf].tolist() == [0]


def test_random_bits_are_those_of_splitmix64():
    state = torch.arange(4) * (0x9E3779B97F4A7C15 - 2**64) + 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [bits % 2**64 for bits in _mix(state).tolist()] == expected


@every_decoder
def test_log_probabilities_may_be_of_another_precision(decode):
    table = Table(MISLEADING)
    expected = table.decode(decode, 4)
    for dtype in (torch.float64, torch.bfloat16):
        table.log_probs = table.log_probs.to(dtype)
        found = table.decode(decode, 4)
        assert [h.symbols for h in found[0]] == [h.symbols for h in expected[0]]


@every_decoder
def test_nothing_is_changed_in_place_and_no_gradient_is_kept(decode):
    network = nn.GRUCell(4, 4)
    kept = {}

    def step(symbols, state):
        kept.setdefault("table", torch.eye(4))
        hidden = network(kept["table"][symbols % 4], state["hidden"])
        assert not hidden.requires_grad
        return hidden.log_softmax(1), {"hidden": hidden}

    hidden, limits = torch.ones(3, 4), tensor([2, 0, 3], dtype=torch.int32)
    decode(step, {"hidden": hidden}, limits, BEGIN, END)
    assert torch.equal(hidden, torch.ones(3, 4)) and limits.tolist() == [2, 0, 3]
    assert torch.is_grad_enabled()
    network(kept["table"], torch.zeros(4, 4)).sum().backward()  # as in training afterwards
    assert network.weight_ih.grad is not None


@every_decoder
def test_a_step_that_does_not_keep_to_its_rows_is_refused(decode):
    good, limits = torch.zeros(2, 3).log_softmax(1), tensor([4, 4])
    with pytest.raises(ValueError, match=r"state 'h' of shape \(1, 2\). Expected 2 rows first"):
        decode(lambda _, state: (good, state), {"h": torch.zeros(1, 2)}, limits, BEGIN, END)
    wide = good.repeat_interleave(2, 0)

    def widen(symbols, state):
        return wide[: len(symbols)], {"h": torch.zeros(1, len(symbols))}

    with pytest.raises(ValueError, match=r"state 'h' of shape \(1, \d\). Expected \d rows first"):
        decode(widen, {"h": torch.zeros(2)}, limits, BEGIN, END)
    with pytest.raises(ValueError, match=r"shape \(1, 3\). Expected \d rows, and enough symbols"):
        decode(lambda _, state: (good[:1], state), {}, limits, BEGIN, END)
    with pytest.raises(ValueError, match="and enough symbols for the end, 3"):
        decode(lambda symbols, state: (wide[: len(symbols)], state), {}, limits, BEGIN, 3)


@every_decoder
@pytest.mark.parametrize("value", [2.5, math.nan, math.inf])
def test_numbers_that_are_no_log_probabilities_are_refused(decode, value):
    table = Table(MISLEADING)
    table.log_probs[A, C] = table.log_probs[B, D] = value
    with pytest.raises(ValueError, match=f"log probability {value}. Expected 0 or less, as of log"):
        table.decode(decode, 9, 9)


@every_decoder
def test_limits_must_be_one_number_for_each_row(decode):
    for limits, found in (
        (tensor([3, -1]), r"shape \(2,\), the lowest -1"),
        (tensor([[3, 1]]), r"shape \(1, 2\), the lowest 1"),
    ):
        with pytest.raises(ValueError, match=f"{found}. Expected a number of 0 or more"):
            decode(count_down([]), {}, limits, BEGIN, END)


@pytest.mark.parametrize("create, settings, message", [
    (create_beam_decoder, {"width": 0}, "n_best 1, width 0. Expected 1 <= n_best <= width"),
    (create_beam_decoder, {"n_best": 5}, "n_best 5, width 4. Expected 1 <= n_best <= width"),
    (create_beam_decoder, {"n_best": 0}, "n_best 0, width 4. Expected 1 <= n_best <= width"),
    (create_beam_decoder, {"length_penalty": -0.1}, "length_penalty -0.1. Expected a number of 0"),
    (create_beam_decoder, {"length_penalty": math.nan}, "length_penalty nan. Expected a number"),
    (create_top_k_decoder, {"k": -1}, "k -1. Expected 1 or more, or 0 for all"),
    (create_top_k_decoder, {"n_best": 0}, "n_best 0. Expected 1 or more"),
    (create_top_k_decoder, {"seed": -1}, "seed -1. Expected 0 to"),
    (create_top_k_decoder, {"temperature": 0}, "temperature 0. .*; goemotions.GreedyDecoder.v1"),
    (create_nucleus_decoder, {"temperature": math.inf}, "temperature inf. Expected a number above"),
    (create_nucleus_decoder, {"p": 0}, "p 0. Expected a number above 0, to 1"),
    (create_nucleus_decoder, {"p": 1.1}, "p 1.1. Expected a number above 0, to 1"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(create, settings, message):
    with pytest.raises(ValueError, match=message):
        create(**settings)


@pytest.mark.parametrize("name, create", [
    ("Greedy", create_greedy_decoder),
    ("Beam", create_beam_decoder),
    ("TopK", create_top_k_decoder),
    ("Nucleus", create_nucleus_decoder),
])  # fmt: skip
def test_decoders_are_in_the_registry_and_go_to_other_processes(name, create):
    config = {"decoder": {"@misc": f"goemotions.{name}Decoder.v1"}}
    decode = registry.resolve(config)["decoder"]
    arguments = ["step", "state", "limits", "begin", "end"]
    assert list(inspect.signature(decode).parameters)[:5] == arguments
    tree = Tree(1)
    found, copied, made = (
        each(tree, tree.state(3), tensor([5, 5, 5]), BEGIN, END)
        for each in (decode, pickle.loads(pickle.dumps(decode)), create())
    )
    assert found == copied == made
    assert found[0][0].symbols
