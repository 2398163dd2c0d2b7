from __future__ import annotations

import math

import numpy as np
import pytest

from alchemy_async.benchmark.planning.comparing import compare, log10_ratios, quartiles, upper_bound

SPREAD = 1.07  # of the paired log10 ratio, as it was measured


def drawn(n, mean=0.0, seed=0):
    return (mean + SPREAD * np.random.default_rng(seed).standard_normal(n)).tolist()


def test_a_planted_effect_is_found():
    found = compare(drawn(120, mean=-0.5))

    assert found.upper < 0
    assert found.n_wins > found.n_losses
    assert found.n_pairs == 120


def test_where_there_is_no_effect_none_is_found_more_often_than_the_bound_allows():
    claims = [compare(drawn(120, seed=seed)).upper < 0 for seed in range(80)]

    assert np.mean(claims) < 0.15, "5 % are due"


def test_the_bound_covers_the_mean_as_often_as_it_promises():
    covered = [upper_bound(drawn(120, mean=0.1, seed=seed)) >= 0.1 for seed in range(80)]

    assert 0.85 <= np.mean(covered) <= 0.99


def test_few_pairs_do_not_show_that_a_planner_is_no_worse():
    assert np.mean([upper_bound(drawn(12, seed=seed)) for seed in range(10)]) > 0.25


def test_a_planner_that_is_worse_is_not_called_as_good():
    found = compare(drawn(120, mean=0.5))

    assert found.upper > 0.25
    assert found.n_losses > found.n_wins


def test_the_same_pairs_bring_the_same_bound():
    assert upper_bound(drawn(30)) == upper_bound(drawn(30))


def test_one_pair_has_no_bound_and_none_has_no_mean():
    assert math.isnan(compare([0.3]).upper)
    assert math.isnan(compare([]).mean)


def test_only_pairs_that_both_have_are_compared():
    floors = {"a": 1e-6, "b": 1e-6}

    assert log10_ratios({"a": 1.0, "b": 5.0}, {"a": 10.0}, floors) == [-1.0]


def test_regrets_below_the_floor_are_equally_good():
    found = compare(log10_ratios({"a": 0.0}, {"a": 1e-9}, {"a": 1e-5}))

    assert (found.n_wins, found.n_losses, found.mean) == (0, 0, 0.0)


def test_quartiles_are_those_of_the_values():
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((2.0, 3.0, 4.0))
