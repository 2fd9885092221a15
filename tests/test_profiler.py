"""The profiler measures what happens between the first step and the last, and the logger inside."""

import io
import pstats

import pytest
import spacy

from plugins.profiler import create_profiler


def slow_words() -> int:
    return sum(len(str(number)) for number in range(2000))


def logger_of(told: list):
    def setup(nlp, stdout, stderr):
        told.append("begin")
        return told.append, lambda: told.append("end")

    return setup


def profiled(path, steps: int, **settings) -> tuple[list, str]:
    """Return what the logger inside was told, and what was printed."""
    told, printed = [], io.StringIO()
    setup = create_profiler(logger_of(told), path=str(path), **settings)
    log, finish = setup(spacy.blank("en"), printed, printed)
    for step in range(steps):
        slow_words()
        log({"step": step} if step else None)
    finish()
    slow_words()  # after the training
    return told, printed.getvalue()


def test_functions_are_counted_printed_and_saved(tmp_path):
    told, printed = profiled(tmp_path / "new" / "a.prof", 3, top=5)
    assert told == ["begin", None, {"step": 1}, {"step": 2}, "end"]
    stats = pstats.Stats(str(tmp_path / "new" / "a.prof")).stats
    counts = {name: calls for (_, _, name), (_, calls, *_) in stats.items()}
    assert counts["slow_words"] == 3
    assert "due to restriction <5>" in printed or "function calls" in printed
    assert f"All functions: {tmp_path / 'new' / 'a.prof'}" in printed
    assert printed.count("test_profiler.py") <= 5


def test_the_functions_that_took_longest_come_first(tmp_path):
    _, printed = profiled(tmp_path / "a.prof", 3, top=50)
    assert "Ordered by: internal time" in printed
    table = printed.split("filename:lineno(function)\n")[1]
    assert "test_profiler.py" in table.splitlines()[0] or "builtins" in table.splitlines()[0]


def test_no_functions_can_be_printed_but_not_fewer(tmp_path):
    _, printed = profiled(tmp_path / "a.prof", 1, top=0)
    assert "slow_words" not in printed
    with pytest.raises(ValueError, match=r"Profiler.v1: top -1. Expected 0 or more"):
        create_profiler(logger_of([]), top=-1)
