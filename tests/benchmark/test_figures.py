from __future__ import annotations

import math

import pytest

from alchemy_async.benchmark.figures import gapless, percentile, utilisation


def test_two_workers_without_a_gap_are_busy_all_the_time():
    assert utilisation([(0.0, 4.0), (0.0, 2.0), (2.0, 4.0)], n_workers=2) == 1.0


def test_a_gap_counts_against_all_workers():
    assert utilisation([(0.0, 1.0), (3.0, 4.0)], n_workers=2) == pytest.approx(2 / 8)


def test_without_measurements_there_is_no_utilisation():
    assert math.isnan(utilisation([], n_workers=3))


def test_the_gapless_schedule_keeps_order_and_durations_and_fills_the_worker_that_is_free_first():
    schedule = gapless([(10.0, 13.0), (11.0, 12.0), (20.0, 22.0)], n_workers=2)

    assert schedule == [(0.0, 3.0), (0.0, 1.0), (1.0, 3.0)]


def test_no_schedule_is_better_used_than_the_gapless_one():
    spans = [(0.0, 3.0), (0.5, 1.0), (4.0, 6.0), (4.5, 9.0)]

    assert utilisation(spans, 2) <= utilisation(gapless(spans, 2), 2)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1.0), (50, 2.5), (100, 4.0), (99, 3.97)])
def test_percentiles_lie_between_order_statistics(percent, expected):
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(expected)


def test_no_values_have_no_percentile():
    assert percentile([], 50) is None
