"""The numbers of the data report are those of numpy."""

from collections import Counter

import numpy
import pytest

from scripts.data_report import percentile


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1001])
def test_percentiles_of_counts_are_those_of_the_values(size):
    values = numpy.random.default_rng(size).poisson(12, size)
    for percent in (0, 50, 90, 99, 100):
        assert percentile(Counter(values.tolist()), percent) == int(
            numpy.percentile(values, percent)
        )
