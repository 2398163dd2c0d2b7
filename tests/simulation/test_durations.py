from __future__ import annotations

import random
import statistics

import pytest

from alchemy_async.errors import DriverError
from alchemy_async.simulation import SimulationError
from alchemy_async.simulation.durations import parse
from alchemy_async.simulation.seeds import parse_seeds


def drawn(durations, n=4000):
    rng = random.Random(1)
    return [durations(rng, {"x": 0.5, "y": 0.5}) for _ in range(n)]


def test_two_numbers_are_the_shortest_and_the_longest_time(tmp_path):
    found = drawn(parse("5,30", tmp_path))

    assert 5 <= min(found) < 6 < 29 < max(found) <= 30


def test_lognormal_durations_have_the_mean_and_the_spread_that_were_asked_for(tmp_path):
    found = drawn(parse("lognormal:20,8", tmp_path))

    assert statistics.fmean(found) == pytest.approx(20, rel=0.03)
    assert statistics.stdev(found) == pytest.approx(8, rel=0.08)
    assert min(found) > 0


def test_durations_may_depend_on_the_parameters(campaign):
    durations = parse("simulated_functions:seconds", campaign.parent)

    assert durations(random.Random(), {"x": 0.2, "y": 0.0}) == 12.0


def test_a_function_that_returns_no_time_is_named(campaign):
    durations = parse("simulated_functions:no_seconds", campaign.parent)

    with pytest.raises(SimulationError, match=r"no_seconds returned -1 .* Let it return seconds"):
        durations(random.Random(), {"x": 0.2, "y": 0.0})


@pytest.mark.parametrize("text", ["5", "30,5", "0,5", "five,six", "lognormal:0,3", "lognormal:3", "nan,3", ""])
def test_what_says_no_durations_is_refused_with_an_example(text, tmp_path):
    with pytest.raises(SimulationError, match="such as 5,30"):
        parse(text, tmp_path)


def test_a_function_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DriverError, match="no_such_module"):
        parse("no_such_module:f", tmp_path)


@pytest.mark.parametrize(("text", "seeds"), [("0-3", (0, 1, 2, 3)), ("1,3,5", (1, 3, 5)), ("2, 0-2", (2, 0, 1))])
def test_seeds_are_a_range_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "3-1", "-1", "0-10000", "0-9999,5", "4294967296"])
def test_what_names_no_seeds_or_too_many_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_seeds(text)
