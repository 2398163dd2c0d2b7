import numpy as np
import pytest

from alchemy_async.planner.climbing import climb

ALL = np.ones(2, dtype=bool)
CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]])


def hill(top, steep=(1.0, 1.0)):
    """A hill that is ``steep`` times as narrow along each axis, turned by an eighth; its top is 0."""
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2.0)
    matrix = turn @ np.diag(steep) @ turn.T

    def function(x):
        away = x - np.array(top)
        return -0.5 * np.sum((away @ matrix) * away, axis=1), -away @ matrix

    return function


@pytest.mark.parametrize("steep", [(1.0, 1.0), (1.0, 100.0), (1.0, 10_000.0)])
def test_every_point_arrives_at_the_top_of_a_hill(steep):
    where, height = climb(hill((0.3, 0.6), steep), CORNERS, ALL)

    assert where[np.argmax(height)] == pytest.approx([0.3, 0.6], abs=2e-3)
    assert height.max() == pytest.approx(0.0, abs=1e-5)


def test_a_top_outside_the_cube_is_approached_along_its_side():
    where, height = climb(hill((1.4, 0.3)), CORNERS, ALL)

    assert where[np.argmax(height)] == pytest.approx([1.0, 0.3], abs=2e-3)


def test_no_point_goes_downhill_or_leaves_the_cube():
    starts = np.random.default_rng(0).random((20, 2))

    def waves(x):
        return np.sum(np.sin(9 * x), axis=1), 9 * np.cos(9 * x)

    where, height = climb(waves, starts, ALL)

    assert np.all(height >= waves(starts)[0])
    assert height == pytest.approx(waves(where)[0])
    assert where.min() >= 0.0
    assert where.max() <= 1.0


def test_what_may_not_move_stays_where_it_was():
    where, _ = climb(hill((0.3, 0.6)), CORNERS, np.array([True, False]))

    assert np.array_equal(where[:, 1], CORNERS[:, 1])
    assert where[4, 0] != CORNERS[4, 0]


def test_points_do_not_disturb_each_other():
    together, _ = climb(hill((0.3, 0.6), (1.0, 9.0)), CORNERS, ALL)

    alone, _ = climb(hill((0.3, 0.6), (1.0, 9.0)), CORNERS[np.newaxis, 4], ALL)

    assert together[4] == pytest.approx(alone[0], abs=1e-2)


def test_a_point_on_the_top_is_left_there_at_the_price_of_one_look():
    n_looks = []

    def counted(x):
        n_looks.append(len(x))
        return hill((0.3, 0.6))(x)

    climb(counted, np.array([[0.3, 0.6]]), ALL)

    assert n_looks == [1]


def one_done_and_one_far_below(n_looks, top):
    """A flat top for whoever starts beyond the middle; before it a ramp that rises by a hundredth a step."""

    def function(x):
        n_looks.append(len(x))
        below = x[:, 0] < 0.5
        return top + np.where(below, 0.2 * x[:, 0] - 0.4, 0.0), np.where(below[:, None], [0.2, 0.0], 0.0)

    return function


def test_whoever_has_no_outlook_of_getting_as_high_is_given_up():
    n_looks = []

    where, height = climb(one_done_and_one_far_below(n_looks, 0.0), np.array([[0.9, 0.5], [0.0, 0.5]]), ALL)

    assert height.max() == 0.0
    assert where[1, 0] < 0.2
    assert sum(n_looks) <= 4


def test_on_a_plain_far_below_everything_nobody_is_given_up():
    where, _ = climb(one_done_and_one_far_below([], -250.0), np.array([[0.9, 0.5], [0.0, 0.5]]), ALL)

    assert where[1, 0] >= 0.5
