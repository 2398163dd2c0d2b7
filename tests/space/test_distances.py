"""Which points are copies of each other, and how far apart the others are."""

import itertools

import numpy as np
import pytest

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner.load import load_planner
from alchemy_async.space import COPY_DISTANCE, Categorical, Continuous, Discrete, Fixed, Integer, Space

DECADES = Discrete("conc", options=(0.001, 0.01, 0.1, 1.0, 10.0, 100.0))
SOLVENT = Categorical("solvent", options=("a", "b", "c"))
SPEED = Integer("speed", low=1, high=2001)


def n_copies(space):
    points = list(space.grid())
    coordinates = space.to_unit(points)
    return int((space.distances(coordinates, coordinates) < COPY_DISTANCE).sum()) - len(points)


@pytest.mark.parametrize(
    "parameters",
    [
        (DECADES, SOLVENT),
        (SPEED,),
        (Integer("rate", low=1, high=3000, log=True),),
        (Discrete("dose", options=(1.0, 1.0001, 5.0, 1000.0), log=True),),
        (Integer("a", low=0, high=1500), Fixed("b", of=Continuous("b"), at=0.5)),
    ],
    ids=["decades", "integers", "logarithmic", "unevenly", "held"],
)
def test_no_two_points_of_a_small_finite_space_are_copies(parameters):
    assert n_copies(Space(parameters)) == 0


def test_different_values_of_a_discrete_parameter_are_no_copies_beside_a_continuous_one_either():
    space = Space((DECADES, Continuous("time", low=0, high=10)))

    assert not space.is_copy({"conc": 0.01, "time": 5.0}, [{"conc": 0.001, "time": 5.0}])
    assert space.is_copy({"conc": 0.01, "time": 5.0}, [{"conc": 0.01, "time": 5.001}])


def test_a_value_as_run_a_little_off_the_grid_is_a_copy_of_the_value_that_was_meant():
    space = Space((SPEED,))

    assert space.is_copy({"speed": 25}, [{"speed": 25.3}])
    assert not space.is_copy({"speed": 25}, [{"speed": 24.3}])


def test_of_numbers_as_fine_as_continuous_ones_neighbours_are_copies():
    space = Space((SPEED, Integer("rate", low=1, high=2001)))

    assert space.is_copy({"speed": 25, "rate": 7}, [{"speed": 26, "rate": 7}])


def test_telling_values_apart_leaves_greater_distances_alone():
    space = Space((DECADES, SOLVENT))
    rows = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 1.0]])

    found = space.distances(rows[:1], rows)

    assert found[0] == pytest.approx([0.0, np.sqrt(0.125), np.sqrt(0.625)])


@pytest.mark.parametrize("strategy", ["bayesian", "random", "sobol"])
def test_a_space_of_decades_is_measured_to_its_last_point(strategy):
    space = Space((DECADES, SOLVENT))
    planner = load_planner(strategy, space, (Objective("y", "maximize"),), {})
    observations: list[Observed] = []

    for seed in itertools.count():
        found = planner.ask(History(tuple(observations)), (), 2, seed)
        if not found:
            break
        observations += [Observed(one.parameters, {"y": float(len(observations) % 5)}) for one in found]

    assert len({tuple(one.parameters.values()) for one in observations}) == len(observations) == 18


def test_decades_are_evenly_spread_on_a_logarithmic_scale():
    parameter = Discrete("conc", options=DECADES.options, log=True)

    assert [parameter.to_unit(value) for value in parameter.options] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert [parameter.from_unit(u) for u in (0.0, 0.29, 0.31, 1.0)] == [0.001, 0.01, 0.1, 100.0]
    assert parameter.to_unit(0.0) < 0.0  # as run; it has no logarithm


def test_on_a_logarithmic_scale_a_value_fits_by_its_own_size():
    parameter = Discrete("conc", options=(1e-12, 1e-9, 1.0), log=True)

    assert parameter.fit(1e-9 * (1 + 1e-12)) == 1e-9
    assert parameter.fit(2e-12) is None
