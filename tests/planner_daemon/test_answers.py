from __future__ import annotations

import sys

import pytest

from alchemy_async.experiment import Suggestion
from alchemy_async.planner_daemon.answers import check
from alchemy_async.planner_daemon.asker import Answer
from alchemy_async.space import Context, Continuous, Fixed, Integer, Rule, Space

HUMIDITY = Context("humidity", of=Continuous("humidity", low=20, high=80))
SPACE = Space((Continuous("x"), Fixed("stages", of=Integer("stages", low=1, high=5), at=3), HUMIDITY))


@pytest.fixture
def ruled(tmp_path):
    (tmp_path / "my_limits.py").write_text("def is_possible(x):\n    return 1 / x < 10\n")
    yield Space((Continuous("x"),), (), (Rule("my_limits:is_possible", str(tmp_path)),))
    sys.modules.pop("my_limits", None)


def checked(space, parameters):
    return check(Answer((Suggestion(parameters),), 0.1), space)


def test_a_point_that_a_rule_forbids_is_no_answer(ruled):
    assert checked(ruled, {"x": 0.5}).error == ""
    assert "my_limits:is_possible says that this point is not possible" in checked(ruled, {"x": 0.05}).error


def test_a_rule_that_fails_is_named_with_its_point(ruled):
    error = checked(ruled, {"x": 0.0}).error

    assert "my_limits:is_possible failed at x = 0.0: ZeroDivisionError" in error


def test_what_nobody_chooses_need_not_be_suggested_and_is_kept_as_it_was_if_it_is():
    (filled,) = checked(SPACE, {"x": 0.5}).suggestions
    (kept,) = checked(SPACE, {"x": 0.5, "humidity": 93.0}).suggestions

    assert filled.parameters == {"x": 0.5, "stages": 3, "humidity": 50.0}
    assert kept.parameters["humidity"] == 93.0


def test_another_value_than_the_fixed_one_is_no_answer():
    assert "stages: 4 does not fit" in checked(SPACE, {"x": 0.5, "stages": 4}).error
