from __future__ import annotations

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.planner_daemon.pauses import Pauses

M1, M2 = {"machine": "m1"}, {"machine": "m2"}


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def pauses(clock):
    return Pauses(clock)


def test_each_failure_in_a_row_brings_a_longer_pause_up_to_a_minute(pauses):
    assert [pauses.begin(M1) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_answer_makes_the_next_pause_a_short_one(pauses):
    pauses.begin(M1)
    pauses.begin(M1)

    pauses.end(M1)

    assert not pauses.has_failed(M1)
    assert pauses.begin(M1) == 1


def test_a_pause_is_over_when_its_time_is_and_its_failure_is_remembered(pauses, clock):
    pauses.begin(M1)

    assert not pauses.may_ask(M1)
    clock.advance(1.0)

    assert pauses.may_ask(M1)
    assert pauses.has_failed(M1)


def test_what_failed_for_one_machine_is_no_pause_for_another(pauses):
    pauses.begin(M1, of_filling=True)

    assert pauses.may_ask(M2)
    assert pauses.may_fill(M2)
    assert not pauses.has_failed(M2)


def test_a_planner_that_failed_may_be_filled_in_for_unless_filling_failed(pauses):
    pauses.begin(M1)
    pauses.begin(M2, of_filling=True)

    assert pauses.may_fill(M1)
    assert not pauses.may_fill(M2)
