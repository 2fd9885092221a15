"""The chains: every sum and maximum by brute force, gradients, batches, windows."""

import re

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from plugins.crf import (
    BEGIN,
    INSIDE,
    LAST,
    OUTSIDE,
    UNIT,
    Chains,
    build_crf,
    constrain,
    cut_windows,
    log_marginals,
    log_partition,
    viterbi,
)

MODES = ["joint", "marginal", "independent"]
VALID = re.compile("(O|U|BI*L)*")
WHOLE = Chains("joint", 0, 0)
CPU = torch.device("cpu")


def paths_of(length: int) -> list[tuple[int, ...]]:
    """Return all valid tag sequences, made of outside tokens and entities."""
    if not length:
        return [()]
    found = [(tag, *rest) for tag in (OUTSIDE, UNIT) for rest in paths_of(length - 1)]
    for size in range(2, length + 1):
        entity = (BEGIN, *[INSIDE] * (size - 2), LAST)
        found += [entity + rest for rest in paths_of(length - size)]
    return found


def weigh(paths, X, T) -> numpy.ndarray:
    """Return the score of each path; X [tokens, 5], T [5, 5]."""
    return numpy.array([
        sum(X[range(len(path)), path]) + sum(T[path[:-1], path[1:]]) for path in paths
    ])  # fmt: skip


def logsumexp(scores) -> float:
    return float(numpy.logaddexp.reduce(scores))


def emit(lengths, labels=3, seed=0, scale=2.0):
    """Return random scores and transitions as the layer does, in float64."""
    rng = numpy.random.default_rng(seed)
    X = [rng.normal(size=(length, labels * 5)) * scale for length in lengths]
    return X, rng.normal(size=(labels, 5, 5)) * scale


def tensors(emissions):
    """Return scores [tokens, labels, 5], constrained transitions, lengths."""
    X, T = emissions
    together = numpy.concatenate(X).reshape(-1, len(T), 5)
    return torch.from_numpy(together), constrain(torch.from_numpy(T)), [len(doc) for doc in X]


def gold(tags, labels=1):
    """Return what may be true [tokens, labels, 5]: these tags of label 0 (-1: any), else O."""
    may = numpy.zeros((len(tags), labels, 5), dtype=bool)
    may[:, :, OUTSIDE] = True
    for i, tag in enumerate(tags):
        may[i, 0] = tag == -1 or numpy.arange(5) == tag
    return may


def favour(*tags, by=20.0):
    """Return scores of one doc and one label that favour these tags, and transitions of 0."""
    return [by * numpy.eye(5)[list(tags)]], numpy.zeros((1, 5, 5))


def spell(tags) -> str:
    return "".join("OIBLU"[tag] for tag in tags)


def places(found):
    """Return the entities of docs without their confidence."""
    return [[entity[:3] for entity in doc] for doc in found]


@pytest.mark.parametrize("length", range(1, 7))
def test_sums_maximum_and_confidences_are_those_of_all_valid_paths(length):
    paths = paths_of(length)
    assert len(paths) == [1, 2, 5, 13, 34, 89, 233][length]
    assert all(VALID.fullmatch(spell(path)) for path in paths)
    entities = 0
    for seed in range(5):
        emissions = emit([length], seed=seed)
        X, T, lengths = tensors(emissions)
        cut = cut_windows(lengths, 0, 0, CPU)
        partition, marginals = log_partition(X, cut, T), log_marginals(X, cut, T).exp()
        tags, (found,) = viterbi(X, lengths, cut, T), WHOLE.decode(emissions)
        for label in range(3):
            scores = weigh(paths, X[:, label].numpy(), emissions[1][label])
            total = logsumexp(scores)
            p = numpy.exp(scores - total)
            assert partition[0, label] == pytest.approx(total)
            expected = numpy.zeros((length, 5))
            for path, weight in zip(paths, p, strict=True):
                expected[range(length), path] += weight
            assert_allclose(marginals[cut.index, label], expected, atol=1e-9)
            best = paths[scores.argmax()]
            assert tuple(tags[:, label]) == best
            spans = [m.span() for m in re.finditer("U|BI*L", spell(best))]
            assert [entity[:2] for entity in found if entity[2] == label] == spans
            for start, end in spans:
                same = [path[start:end] == best[start:end] for path in paths]
                confidence = next(e[3] for e in found if e[:3] == (start, end, label))
                assert confidence == pytest.approx(p[same].sum())
                entities += 1
    assert entities >= 3


@pytest.mark.parametrize("tags", [(UNIT,), (BEGIN, LAST), (BEGIN, INSIDE, LAST), (UNIT, UNIT)])
def test_the_shortest_docs_may_be_entities_from_end_to_end(tags):
    expected = [m.span() for m in re.finditer("U|BI*L", spell(tags))]
    (found,) = WHOLE.decode(favour(*tags))
    assert [entity[:2] for entity in found] == expected
    assert all(entity[3] > 0.999 for entity in found)


def test_the_loss_of_two_tokens_is_the_one_by_hand():
    X = [numpy.array([[0.1, 9, 0.2, 9, 0.3], [0.4, 9, 9, 0.5, 0.6]])]  # 9: nobody can go there
    T = numpy.zeros((1, 5, 5))
    T[0, BEGIN, LAST], T[0, OUTSIDE, UNIT], T[0, BEGIN, OUTSIDE] = 2, 1, 9
    entity, others = 0.2 + 0.5 + 2, [0.1 + 0.4, 0.1 + 0.6 + 1, 0.3 + 0.4, 0.3 + 0.6]
    loss = logsumexp([entity, *others]) - entity
    may = [gold([BEGIN, LAST])]
    assert WHOLE.loss((X, T), may)[0] == pytest.approx(loss)
    assert Chains("marginal", 0, 0).loss((X, T), may)[0] == pytest.approx(2 * loss)
    alone = logsumexp(X[0][0]) - 0.2 + logsumexp(X[0][1]) - 0.5
    assert Chains("independent", 0, 0).loss((X, T), may)[0] == pytest.approx(alone)


TAGS = {
    "known": [[OUTSIDE, BEGIN, LAST], [], [UNIT], [BEGIN, INSIDE, INSIDE, LAST]],
    "partly unknown": [[OUTSIDE, -1, -1], [], [-1], [BEGIN, -1, -1, LAST]],
}


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_finite_differences(mode, tags, window):
    chains = Chains(mode, window, window and 2)
    X, T = emit(map(len, TAGS[tags]), labels=2, scale=1.0)
    may = [gold(doc, labels=2) for doc in TAGS[tags]]
    _, (dX, dT) = chains.loss((X, T), may)
    assert [doc.shape for doc in dX] == [doc.shape for doc in X]
    assert max(abs(doc).max(initial=0) for doc in dX) > 0.1
    assert (abs(dT).max() > 0.1) == (mode != "independent")
    for values, gradient in [*zip(X, dX, strict=True), (T, dT)]:
        for place in numpy.ndindex(*values.shape):
            before, sides = values[place], []
            for step in (1e-4, -1e-4):
                values[place] = before + step
                sides.append(chains.loss((X, T), may)[0])
            values[place] = before
            expected = 0 if values is T and mode == "independent" else (sides[0] - sides[1]) / 2e-4
            assert gradient[place] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_tokens_of_which_nothing_is_known_teach_nothing(mode):
    emissions = emit([4, 1], labels=2)
    may = [numpy.ones((4, 2, 5), dtype=bool), numpy.ones((1, 2, 5), dtype=bool)]
    loss, (dX, dT) = Chains(mode, 0, 0).loss(emissions, may)
    assert loss == pytest.approx(0, abs=1e-9)
    assert max(abs(d).max() for d in [*dX, dT]) < 1e-9


def test_an_unknown_tag_counts_as_all_that_it_may_be():
    X, T = emit([3], labels=1)
    losses = [WHOLE.loss((X, T), [gold(tags)])[0] for tags in ([2, 1, 3], [2, 3, 0], [2, 3, 4])]
    assert WHOLE.loss((X, T), [gold([BEGIN, -1, -1])])[0] == pytest.approx(
        -logsumexp([-loss for loss in losses])
    )


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("mode", MODES)
def test_docs_alone_batched_and_shuffled_agree(mode, window):
    chains = Chains(mode, window, window and 2)
    lengths = [4, 0, 9, 1, 2, 9, 0, 7]
    X, T = emit(lengths)
    may = [gold([-1, *[OUTSIDE] * (n - 1)][:n], labels=3) for n in lengths]
    order = numpy.random.default_rng(1).permutation(len(lengths))
    batches = chains.decode((X, T)), chains.decode(([X[i] for i in order], T))
    _, (dX, dT) = chains.loss((X, T), may)
    alone = [chains.loss((X[i : i + 1], T), may[i : i + 1]) for i in range(len(lengths))]
    for i in range(len(lengths)):
        (expected,) = chains.decode((X[i : i + 1], T))
        for found in (batches[0][i], batches[1][list(order).index(i)]):
            assert [e[:3] for e in found] == [e[:3] for e in expected]
            assert_allclose([e[3] for e in found], [e[3] for e in expected])
    assert sum(map(len, batches[0])) > 10
    if not window:  # with windows, a token's weight depends on how much the batch overlaps
        assert_allclose(sum(d_transitions for _, (_, d_transitions) in alone), dT, atol=1e-9)
        for doc, (_, (one, _)) in zip(dX, alone, strict=True):
            assert_allclose(doc, one[0], atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lengths", [[0], [0, 0], [1], [1, 0, 1]])
def test_batches_without_a_second_token_give_no_gradient_of_transitions(mode, lengths):
    X, T = emit(lengths)
    loss, (dX, dT) = Chains(mode, 0, 0).loss((X, T), [gold([OUTSIDE] * n, 3) for n in lengths])
    assert (loss > 0) == any(lengths)
    assert [doc.shape for doc in dX] == [(n, 15) for n in lengths]
    assert_array_equal(dT, numpy.zeros((3, 5, 5)))
    assert [bool(found) for found in WHOLE.decode(favour_units(lengths))] == [
        n > 0 for n in lengths
    ]


def favour_units(lengths):
    """Return scores that make each token an entity."""
    return [numpy.eye(5)[[UNIT] * n].reshape(n, 5) * 9 for n in lengths], numpy.zeros((1, 5, 5))


@given(st.lists(st.lists(st.sampled_from([-1000.0, 0.0, 3.0, 1000.0]), min_size=5, max_size=5),
                min_size=1, max_size=5), st.integers(0, 4), st.integers(0, 4))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_scores_make_forbidden_transitions_worth_it(rows, tag, following):
    X, T = torch.tensor(rows)[:, None], numpy.zeros((1, 5, 5), dtype="f")
    T[0, tag, following] = 1000
    tags = viterbi(X, [len(rows)], cut_windows([len(rows)], 0, 0, CPU),
                   constrain(torch.from_numpy(T)))[:, 0]  # fmt: skip
    assert VALID.fullmatch(spell(tags))
    paths = paths_of(len(rows))
    scores = weigh(paths, X[:, 0].numpy(), T[0])
    assert scores[paths.index(tuple(tags))] == scores.max()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_windows_of_any_size_decode_valid_sequences_of_all_docs(data):
    window = data.draw(st.integers(2, 9))
    stride = data.draw(st.integers(1, window - 1))
    lengths = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
    X, T, _ = tensors(emit(lengths, labels=2, seed=data.draw(st.integers(0, 99)), scale=5.0))
    tags = viterbi(X, lengths, cut_windows(lengths, window, stride, CPU), T)
    for doc in numpy.split(tags, numpy.cumsum(lengths)[:-1]):
        assert all(VALID.fullmatch(spell(doc[:, label])) for label in range(2))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_each_token_is_looked_up_where_most_is_before_or_behind_it(data):
    window = data.draw(st.integers(2, 9))
    stride = data.draw(st.integers(1, window - 1))
    lengths = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=4))
    cut = cut_windows(lengths, window, stride, CPU)
    tokens = numpy.arange(sum(lengths))
    assert_array_equal(cut.index[cut.left], tokens)
    assert_array_equal(cut.index[cut.right], tokens)
    before = torch.arange(len(cut.sizes)).repeat_interleave(torch.tensor(cut.sizes, dtype=int))
    behind = before[cut.flip]
    inside = numpy.concatenate([numpy.arange(n) for n in lengths])
    left = numpy.concatenate([numpy.arange(n)[::-1] for n in lengths])
    assert (before[cut.left].numpy() >= numpy.minimum(inside, window - stride)).all()
    assert (behind[cut.right].numpy() >= numpy.minimum(left, window - stride)).all()


def test_windows_find_what_whole_docs_do_with_the_same_confidence():
    emissions = emit([300, 41, 7, 40, 0, 95], scale=1.5)
    for doc in emissions[0]:
        doc.reshape(-1, 3, 5)[:, :, INSIDE] += 0.7  # longer entities
    whole, windows = WHOLE.decode(emissions), Chains("joint", 40, 20).decode(emissions)
    assert places(windows) == places(whole)
    crossing = [e for e in whole[0] if any(e[0] < seam < e[1] for seam in range(20, 300, 20))]
    assert len(crossing) > 10
    assert min(e[3] for e in crossing) < 0.1
    for one, other in zip(windows, whole, strict=True):
        assert_allclose([e[3] for e in one], [e[3] for e in other], atol=1e-3)


def test_an_entity_across_seams_stays_whole():
    tags = [OUTSIDE, BEGIN, *[INSIDE] * 7, LAST, OUTSIDE]
    ((found,),) = Chains("joint", 4, 3).decode(favour(*tags))
    assert found[:3] == (1, 10, 0)
    assert found[3] == pytest.approx(1, abs=1e-6)


def test_only_the_borders_of_docs_bar_half_an_entity():
    emissions = emit([5], labels=1)
    X, T, lengths = tensors(emissions)
    cut = cut_windows(lengths, 3, 2, CPU)
    found = log_partition(X[cut.index], cut, T)[:, 0]
    for window, start in zip(found, (0, 2), strict=True):
        pieces = sorted({path[start : start + 3] for path in paths_of(5)})
        scores = weigh(pieces, X[start : start + 3, 0].numpy(), emissions[1][0])
        assert window.item() == pytest.approx(logsumexp(scores))


def test_each_token_counts_once_in_the_loss_however_windows_overlap():
    lengths = [11, 3, 8]
    X, T = [numpy.zeros((n, 5)) for n in lengths], numpy.zeros((1, 5, 5))
    for window, stride in ((0, 0), (4, 3), (5, 1)):
        loss, (dX, _) = Chains("independent", window, stride).loss(
            (X, T), [gold([OUTSIDE] * n) for n in lengths]
        )
        assert loss == pytest.approx(22 * numpy.log(5))
        assert sum(doc[:, OUTSIDE].sum() for doc in dX) == pytest.approx(22 * (0.2 - 1))


@pytest.mark.parametrize("window, stride", [(40, 0), (40, 40), (0, 20), (20, 40), (40, -1)])
def test_windows_that_leave_tokens_out_are_refused(window, stride):
    expected = rf"window {window}, stride {stride}\. Expected 0 < stride < window, or 0"
    with pytest.raises(ValueError, match=expected):
        build_crf(window=window, stride=stride)


def test_a_bias_for_recall_finds_more_and_leaves_confidences_alone():
    emissions = emit([60], labels=2, scale=1.0)
    emissions[0][0].reshape(-1, 2, 5)[:, :, OUTSIDE] += 4
    found = [WHOLE.decode(emissions, recall_bias=bias)[0] for bias in (-4, 0, 2, 4, 8)]
    counts = [len(entities) for entities in found]
    assert counts == sorted(set(counts))
    known = {entity[:3]: entity[3] for entities in found for entity in entities}
    for entities in found:
        assert [known[entity[:3]] for entity in entities] == pytest.approx([e[3] for e in entities])


def test_the_layer_starts_with_neutral_transitions_and_passes_gradients_through():
    model = build_crf("marginal", window=6, stride=2)
    assert model.attrs["chains"] == Chains("marginal", 6, 2)
    model.initialize()
    assert model.has_param("transitions") is None  # the labels are not known yet
    model.set_dim("nO", 2)
    model.initialize()
    X = [numpy.ones((3, 10), dtype="f"), numpy.ones((0, 10), dtype="f")]
    (Y, T), backprop = model(X, True)
    assert Y is X
    assert_array_equal(T, numpy.zeros((2, 5, 5)))
    d_transitions = numpy.full((2, 5, 5), 0.5, dtype="f")
    assert backprop((X, d_transitions)) is X
    assert_array_equal(model.get_grad("transitions"), d_transitions)
