import pickle

import numpy as np
import pytest

from alchemy_async.space import Categorical, Continuous, Discrete, Fidelity, Fixed, Integer, LinearConstraint, Space

TIME = Discrete("time", unit="min", options=(5.0, 15.0, 60.0))
X = Continuous("x", low=0, high=10)
FIDELITY = Fidelity.of(TIME, 60.0, [(60.0, 10.0), (5.0, 1.0), (15.0, 3.0)])
SPACE = Space((X, TIME), fidelity=FIDELITY)


def test_a_cost_is_that_of_the_value_and_between_two_values_lies_on_a_straight_line():
    assert [FIDELITY.cost(value) for value in (5, 15, 60)] == [1, 3, 10]
    assert FIDELITY.cost(10) == pytest.approx(2)
    assert [FIDELITY.cost(value) for value in (0, 100)] == [1, 10]


@pytest.mark.parametrize(
    ("parameter", "target", "counting", "others"),
    [
        (TIME, 60.0, [60, 60.0], [15.0, 59.9]),
        (Integer("time", low=1, high=100_000), 50_000, [50_000], [49_999, 50_001]),
        (Continuous("time", low=0, high=100), 100.0, [100.0, 99.95, 100.05], [99.8]),
        (Continuous("time", low=1e-3, high=1e3, log=True), 1.0, [1.0, 1.01, 0.99], [1.05, 0.9]),
    ],
    ids=["discrete", "integer", "continuous", "log"],
)
def test_a_result_counts_if_it_was_run_at_the_target_as_nearly_as_an_instrument_sets_it(
    parameter, target, counting, others
):
    fidelity = Fidelity.of(parameter, target, [(1, 1)])

    assert all(fidelity.counts({"time": value}) for value in counting)
    assert not any(fidelity.counts({"time": value}) for value in others)


def test_a_space_at_its_target_has_no_other_value_of_the_fidelity_and_the_same_coordinates():
    at_target = SPACE.at_target

    assert at_target.check({"x": 1}) == {"x": 1, "time": 60}
    assert isinstance(at_target.parameters[1], Fixed)
    assert np.array_equal(at_target.to_unit([{"x": 1, "time": 15}]), SPACE.to_unit([{"x": 1, "time": 15}]))
    assert at_target.at_target == at_target


def test_a_space_without_a_fidelity_is_at_its_target_as_it_is():
    space = Space((X, Categorical("base", options=("A", "B"))))

    assert space.at_target is space


def test_a_fidelity_stays_with_its_space_when_something_else_is_held_and_on_the_way_to_another_process():
    space = Space((X, TIME, Continuous("y")), (LinearConstraint((("x", 1.0),), "at_most", 5.0),), fidelity=FIDELITY)

    assert pickle.loads(pickle.dumps(space.holding({"y": 0.5}))).fidelity == FIDELITY


def test_it_says_in_words_which_results_count():
    assert FIDELITY.in_words(6, 20) == "Only results at time = 60 min count: 6 of 20; the others inform the model."
    assert FIDELITY.in_words(2, 2) == "Only results at time = 60 min count: 2 of 2."
