"""What is told where only some results have a standard error."""

import pytest

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner.insight import learn
from alchemy_async.space import Continuous, Space

LINE = Space((Continuous("x", low=0, high=10),))
YIELD = Objective("yield", goal="maximize")


def told(n_with, n_without, noise="inferred"):
    sems = [{"yield": 0.5}] * n_with + [{}] * n_without
    observations = [Observed({"x": float(i)}, {"yield": -((i - 4.0) ** 2)}, sem) for i, sem in enumerate(sems)]
    found = learn(LINE, (YIELD,), History(tuple(observations)), noise=noise)
    return [notice.message for notice in found.notices if notice.kind == "some_sems"]


@pytest.mark.parametrize(("n_without", "begins"), [(1, "1 of 9 results has no"), (5, "5 of 9 results have no")])
def test_results_without_a_standard_error_are_counted_as_they_turn_off_all_others(n_without, begins):
    (message,) = told(9 - n_without, n_without)

    assert message.startswith(begins)
    assert "Return one with every result" in message


@pytest.mark.parametrize(("n_with", "n_without"), [(9, 0), (0, 9)], ids=["all", "none"])
def test_nothing_is_told_where_all_results_or_none_have_one(n_with, n_without):
    assert told(n_with, n_without) == []


@pytest.mark.parametrize("noise", ["none", 0.5, {"yield": 0.5}], ids=str)
def test_nothing_is_told_where_the_noise_is_given_otherwise(noise):
    assert told(8, 1, noise) == []


def test_an_objective_is_told_of_by_its_own_noise():
    assert len(told(8, 1, {"cost": 0.5})) == 1
