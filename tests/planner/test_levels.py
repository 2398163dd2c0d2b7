from collections import Counter

import numpy as np
import pytest

from alchemy_async.planner.designs import design
from alchemy_async.planner.gp import GaussianProcess, Kernel
from alchemy_async.planner.levels import AT_TARGET, Levels, aim_of, levels_of, spread_levels, told
from alchemy_async.planner.taken import Taken
from alchemy_async.space import Continuous, Discrete, Fidelity, Integer, LinearConstraint, Space

X = Continuous("x", low=0, high=10)
GRADE = Discrete("grade", options=(0.0, 1.0, 2.0))
FIDELITY = Fidelity.of(GRADE, 2.0, [(0.0, 1.0), (1.0, 3.0), (2.0, 10.0)])
SPACE = Space((X, GRADE), fidelity=FIDELITY)
NOTHING = np.empty((0, 2))


def process(lengths, points=((5.0, 2.0), (1.0, 0.0)), noise=1e-6):
    """A model with these lengths of x and of the grade, which has seen some points."""
    x = SPACE.to_unit([{"x": x, "grade": grade} for x, grade in points])
    y = np.linspace(-1, 1, len(x))
    return GaussianProcess(x, y, np.full(len(x), noise), Kernel(np.array(lengths), np.zeros(2, dtype=bool)))


def at(x, grade):
    return {"x": x, "grade": grade}


def test_a_measurement_takes_away_the_squared_correlation_of_the_doubt_at_the_target():
    model, point = process((0.3, 2.0)), at(3.0, 2.0)
    offers = SPACE.to_unit([at(3.0, grade) for grade in GRADE.options])

    shares = told(model, offers, SPACE.to_unit([point]), NOTHING)

    before = model.predict(SPACE.to_unit([point]))[1][0]
    for offer, share in zip(offers, shares, strict=True):
        more = GaussianProcess(np.vstack([model.x, offer]), np.zeros(3), np.full(3, 2e-6), model.kernel)
        after = more.predict(SPACE.to_unit([point]))[1][0]
        assert share == pytest.approx(1 - after / before, abs=1e-4)


def test_what_will_be_known_by_then_is_not_told_again():
    model, aim, waiting = process((0.3, 5.0)), SPACE.to_unit([at(9.0, 2.0)]), SPACE.to_unit([at(9.0, 0.0)])
    offers = SPACE.to_unit([at(9.02, 0.0)])

    assert told(model, offers, aim, NOTHING)[0] > 0.8
    assert told(model, offers, aim, waiting)[0] < 0.1


@pytest.mark.parametrize(("length", "level"), [(5.0, 0.0), (0.1, 2.0)], ids=["much alike", "nothing alike"])
def test_a_cheap_level_is_run_where_it_tells_enough_of_the_target_for_its_cost(length, level):
    levels = Levels(SPACE, [process((0.3, length))], [at(5.0, 2.0)])

    assert levels.choose(at(8.0, 2.0), NOTHING, Taken(SPACE)) == at(8.0, level)


def test_of_several_models_the_one_that_a_level_tells_least_of_counts():
    models = [process((0.3, 5.0)), process((0.3, 0.1))]

    assert Levels(SPACE, models, [at(5.0, 2.0)]).choose(at(8.0, 2.0), NOTHING, Taken(SPACE))["grade"] == 2.0


def test_half_of_all_costs_are_spent_at_the_target_whatever_the_model_believes():
    levels, spent = Levels(SPACE, [process((0.3, 50.0))], [at(5.0, 0.0)]), Counter()

    for x in np.linspace(0, 10, 60):
        grade = levels.choose(at(float(x), 2.0), NOTHING, Taken(SPACE))["grade"]
        spent[grade] += FIDELITY.cost(grade)

    assert spent[2.0] / spent.total() == pytest.approx(AT_TARGET, abs=0.1)


def test_a_level_that_was_run_there_or_is_not_allowed_is_left_to_the_next_best():
    models, run = [process((0.3, 5.0))], [at(5.0, 2.0)]
    bound = LinearConstraint((("grade", 1.0), ("x", 0.1)), "at_least", 1.5)
    bounded = Space(SPACE.parameters, (bound,), fidelity=FIDELITY)

    assert Levels(SPACE, models, run).choose(at(8.0, 2.0), NOTHING, Taken(SPACE, [at(8.0, 0.0)]))["grade"] == 1.0
    assert Levels(bounded, models, run).choose(at(8.0, 2.0), NOTHING, Taken(bounded))["grade"] == 1.0


def test_the_levels_of_a_long_scale_are_spread_over_it_and_the_target_is_one_of_them():
    time = Continuous("time", low=1, high=100, log=True)
    cycles = Integer("cycles", low=1, high=1000)

    for parameter, target in ((time, 42.0), (cycles, 777)):
        fidelity = Fidelity.of(parameter, target, [(1, 10), (parameter.high, 10)])
        found = levels_of(Space((X, parameter), fidelity=fidelity))
        assert target in found
        assert list(found) == sorted(found)
        assert len(found) == 18
        assert (found[0], found[-1]) == (parameter.low, pytest.approx(parameter.high))


def test_the_levels_of_an_integer_are_whole_numbers_0_among_them():
    stage = Integer("stage", low=0, high=2)
    space = Space((X, stage), fidelity=Fidelity.of(stage, 0.0, [(0, 5), (2, 1)]))

    assert [type(level) for level in levels_of(space)] == [int, int, int]


def test_what_costs_more_than_the_target_is_no_level():
    middle = Fidelity.of(GRADE, 1.0, [(0.0, 1.0), (1.0, 3.0), (2.0, 10.0)])
    space = Space((X, GRADE), fidelity=middle)

    assert levels_of(space) == (0.0, 1.0)
    assert {point["grade"] for point in design(space, "random", 30, seed=0)} == {0.0, 1.0}


def test_the_aim_moves_coordinates_to_the_target_and_nothing_else():
    aim = aim_of(SPACE)

    assert aim(SPACE.to_unit([at(3.0, 0.0)])).tolist() == SPACE.to_unit([at(3.0, 2.0)]).tolist()
    assert aim_of(Space((X,))) is None


@pytest.mark.parametrize("method", ["sobol", "lhs", "random", "grid"])
def test_a_design_has_levels_in_shares_inverse_to_their_costs(method):
    points = design(SPACE, method, 43, seed=3)

    counts = Counter(point["grade"] for point in points)
    assert points[0]["grade"] == 2.0
    assert counts[0.0] == pytest.approx(30, abs=2)
    assert counts[1.0] == pytest.approx(10, abs=2)
    assert counts[2.0] == pytest.approx(3, abs=2)
    assert points == design(SPACE, method, 43, seed=3)
    assert points != design(SPACE, method, 43, seed=4)


def test_a_small_design_has_a_point_at_the_target_unless_there_is_one_already():
    first = [design(SPACE, "sobol", 1, seed) for seed in range(20)]
    second = [design(SPACE, "sobol", 1, seed, avoid=points) for seed, points in enumerate(first)]

    assert all(point["grade"] == 2.0 for (point,) in first)
    assert sum(point["grade"] == 2.0 for (point,) in second) <= 4


def test_a_design_that_is_gone_on_with_point_by_point_is_the_same_design():
    whole, parts = design(SPACE, "sobol", 12, seed=5), []

    for _ in range(12):
        parts += design(SPACE, "sobol", 1, seed=5, avoid=parts)

    assert parts == whole


def test_a_design_of_a_small_space_ends_when_every_point_was_run_at_the_target():
    space = Space((Integer("x", low=1, high=3), GRADE), fidelity=FIDELITY)
    at_target = [{"x": x, "grade": 2.0} for x in (1, 2, 3)]

    assert len(design(space, "random", 9, seed=0)) == 3
    assert design(space, "random", 9, seed=0, avoid=at_target) == []


def test_a_level_that_is_taken_gives_way_to_another():
    points = [at(float(x), 2.0) for x in range(10)]
    taken = [at(float(x), 0.0) for x in range(10)] + [at(float(x), 1.0) for x in range(5)]

    placed = spread_levels(SPACE, points, [at(9.5, 2.0), *taken], seed=0)

    assert [point["grade"] for point in placed[:5]] == [2.0] * 5
    assert {point["grade"] for point in placed[5:]} <= {1.0, 2.0}
