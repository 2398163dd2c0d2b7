import numpy as np
import pytest

from alchemy_async.space import Categorical, Continuous, Discrete, Integer, Space

PARAMETERS = (
    Continuous("a", low=-3.3, high=7.1),
    Continuous("b", low=0.01, high=10, log=True),
    Integer("c", low=-3, high=1000),
    Integer("d", low=1, high=100, log=True),
    Discrete("e", options=(0.1, 2.5, 7.0)),
    Discrete("g", options=(0.01, 2.5, 700.0), log=True),
    Categorical("f", options=("p", "q", "r")),
)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: f"{parameter.kind} {parameter.name}")
def test_many_points_have_to_the_last_bit_the_coordinates_that_each_has_alone(parameter):
    space = Space((parameter,))
    points = space.from_unit(np.random.default_rng(0).random((200, 1)))

    together = space.to_unit(points)

    assert together[:, 0].tolist() == [parameter.to_unit(point[parameter.name]) for point in points]


def test_values_as_run_may_lie_outside_the_cube_many_at_once_too():
    space = Space(PARAMETERS[:1])

    coordinates = space.to_unit([{"a": -13.7}] * 50)

    assert coordinates[:, 0] == pytest.approx(-1.0)


def test_a_name_that_is_no_option_is_refused_among_many_too():
    with pytest.raises(ValueError, match="not in tuple"):
        Space(PARAMETERS[-1:]).to_unit([{"f": "p"}] * 50 + [{"f": "x"}])
