from __future__ import annotations

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Heartbeat, WorkerState
from alchemy_async.planner_daemon.leases import Leases, Terms

KEY = AttemptKey("e0001", 1)


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def leases(clock):
    return Leases(clock, lambda _worker: Terms(lease_s=10.0, timeout_s=100.0))


def attempt(state=AttemptState.RUNNING, instance="a"):
    return Attempt(KEY, state, {"x": 0.5}, worker="w-1", instance=instance)


def beat(number, *, instance="a", holds=KEY, state=WorkerState.BUSY):
    return Heartbeat("w-1", instance, number, state, holds)


def scan(leases, clock, *beats, seconds=1.0, held=None):
    clock.advance(seconds)
    return leases.scan([attempt()] if held is None else held, beats)


def test_a_beating_worker_keeps_its_lease_for_ever(leases, clock):
    for number in range(100):
        assert scan(leases, clock, beat(number)).ended == ()


def test_a_worker_that_stands_still_loses_its_lease_after_lease_s(leases, clock):
    verdicts = [scan(leases, clock, beat(1)) for _ in range(12)]

    assert [bool(verdict.ended) for verdict in verdicts] == [False] * 10 + [True] * 2


def test_a_worker_that_beats_but_holds_something_else_is_silent_about_this_attempt(leases, clock):
    verdicts = [scan(leases, clock, beat(number, holds=None)) for number in range(12)]

    assert verdicts[-1].ended[0][0] == KEY


def test_a_worker_that_never_beat_has_until_timeout_s(leases, clock):
    ended = [bool(scan(leases, clock).ended) for _ in range(101)]

    assert ended.index(True) == 100


@pytest.mark.fault(11)
def test_one_scan_adds_at_most_two_seconds_of_silence(leases, clock):
    scan(leases, clock, beat(1))

    for _ in range(4):
        assert scan(leases, clock, beat(1), seconds=3600).ended == ()
    assert scan(leases, clock, beat(1), seconds=3600).ended != ()


@pytest.mark.fault(2)
@pytest.mark.parametrize("last", [beat(2, instance="b"), beat(2, state=WorkerState.GONE)])
def test_another_instance_or_gone_ends_a_lease_at_once(leases, clock, last):
    scan(leases, clock, beat(1))

    assert scan(leases, clock, last).ended != ()


@pytest.mark.fault(11)
def test_only_a_beat_that_was_seen_to_move_revives(leases, clock):
    held = [attempt(AttemptState.INTERRUPTED)]

    assert scan(leases, clock, beat(7), held=held).revived == ()
    assert scan(leases, clock, beat(7), held=held).revived == ()
    assert scan(leases, clock, beat(8), held=held).revived == (KEY,)


def test_a_worker_that_is_gone_or_silent_does_not_live(leases, clock):
    scan(leases, clock, beat(1))
    assert set(leases.living()) == {"w-1"}

    for _ in range(11):
        scan(leases, clock, beat(1))
    assert leases.living() == {}

    scan(leases, clock, beat(2))
    assert set(leases.living()) == {"w-1"}


@pytest.mark.fault(11)
def test_a_suspend_ends_no_lease_however_short(clock):
    leases = Leases(clock, lambda worker: Terms(lease_s=1.0, timeout_s=100.0))
    scan(leases, clock, beat(1))

    assert scan(leases, clock, beat(1), seconds=3600).ended == ()
