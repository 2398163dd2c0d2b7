import numpy as np
import pytest

from alchemy_async.errors import PointError
from alchemy_async.space import Categorical, Context, Continuous, Fixed, Integer, Space

HUMIDITY = Context("humidity", "%", of=Continuous("humidity", low=20, high=80))
SPACE = Space(
    (
        Continuous("temperature", low=300, high=400),
        Fixed("stages", of=Integer("stages", low=1, high=5), at=3),
        HUMIDITY,
    )
)
POINT = {"temperature": 350.0, "stages": 3, "humidity": 41.5}


def test_what_nobody_chooses_may_be_left_out_and_is_filled_in():
    assert SPACE.check({"temperature": 350}) == {"temperature": 350.0, "stages": 3, "humidity": 50.0}
    assert SPACE.given({"humidity": 33.0}).check({"temperature": 350})["humidity"] == 33.0


def test_another_value_than_the_fixed_one_is_refused_with_the_fixed_one():
    with pytest.raises(PointError, match=r"stages: 4 does not .*Give nothing or 3, at which it is fixed"):
        SPACE.check({**POINT, "stages": 4})


def test_a_reading_may_lie_outside_the_bounds_but_must_be_a_number():
    assert SPACE.check({**POINT, "humidity": 93})["humidity"] == 93.0
    with pytest.raises(PointError, match="humidity: 'wet' does not fit"):
        SPACE.check({**POINT, "humidity": "wet"})


def test_parameters_as_run_may_differ_from_what_is_fixed_and_must_tell_the_reading():
    ran = {**POINT, "stages": 2, "humidity": 85.0}

    assert SPACE.check_as_run(ran) == ran
    with pytest.raises(PointError, match="humidity"):
        SPACE.check_as_run({"temperature": 350.0, "stages": 3})


def test_a_point_that_differs_in_a_reading_alone_is_a_copy():
    assert SPACE.is_copy(POINT, [{**POINT, "humidity": 20.0}])
    assert not SPACE.is_copy(POINT, [{**POINT, "temperature": 351.0}])


def test_distances_do_not_grow_smaller_by_readings_that_are_there_too():
    bare = Space(SPACE.parameters[:2])
    other = {**POINT, "temperature": 360.0}

    with_reading = SPACE.distances(SPACE.to_unit([POINT]), SPACE.to_unit([other]))

    assert with_reading == pytest.approx(bare.distances(bare.to_unit([POINT]), bare.to_unit([other])))


def test_coordinates_come_back_as_the_only_value_there_is():
    (point,) = SPACE.given({"humidity": 33.0}).from_unit(np.array([[0.5, 0.0, 1.0]]))

    assert point == {"temperature": 350.0, "stages": 3, "humidity": 33.0}


def test_the_points_of_a_space_are_counted_without_what_nobody_chooses():
    finite = Space((Integer("k", low=0, high=2), *SPACE.parameters[1:]))

    assert finite.n_points == 3
    assert list(finite.grid()) == [{"k": k, "stages": 3, "humidity": 50.0} for k in range(3)]


def test_a_reading_of_names_begins_with_the_first_and_is_one_of_them():
    batch = Space((Context("batch", of=Categorical("batch", options=("a", "b", "c"))),))

    assert batch.check({}) == {"batch": "a"}
    assert batch.is_categorical.tolist() == [True]
    with pytest.raises(PointError, match="Give one of 'a', 'b', 'c'"):
        batch.check({"batch": "d"})
