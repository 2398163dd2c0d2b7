from __future__ import annotations

import time

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.sessions import leases
from alchemy_async.service.sessions.leases import Sweep
from alchemy_async.service.sessions.sessions import Sessions
from alchemy_async.service.staged import taking
from alchemy_async.service.staged.staging import Wanted, stage
from tests.service.watched import CAMPAIGN


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "root"
    begin(place, "s1")
    return place


def begin(root, name, text=CAMPAIGN):
    (root / name).mkdir(parents=True)
    (root / name / "campaign.toml").write_text(text)


@pytest.fixture
def sessions(root, clock):
    made = Sessions(root, clock)
    yield made
    made.close()


@pytest.fixture
def ended():
    return []


@pytest.fixture
def sweep(sessions, clock, ended):
    return Sweep(sessions, clock, lambda: ended.append(1))


def claim(sessions, name="s1", *, lease_s=10.0, idempotent=False):
    """Stage an experiment and claim it; return its id."""
    with sessions.session(name).desk.turn() as turn:
        (found,) = stage(turn, [Wanted({"T": 350.0})], ("inputs",))
        taking.claim(turn, 1, "robot", lease_s=lease_s, idempotent=idempotent)
    return found.id


def state(sessions, experiment, name="s1"):
    with sessions.session(name).desk.look() as ledger:
        return str(ledger.experiment(experiment).state)


def pass_time(sweep, clock, seconds):
    for _ in range(round(seconds / leases.EVERY_S)):
        clock.advance(leases.EVERY_S)
        sweep.step()


@pytest.mark.fault(18)
def test_a_client_that_went_silent_loses_its_lease_and_not_before(sweep, sessions, clock, ended):
    experiment = claim(sessions, lease_s=10)
    sweep.step()

    pass_time(sweep, clock, 9.5)
    assert state(sessions, experiment) == "running"

    pass_time(sweep, clock, 1)
    assert state(sessions, experiment) == "interrupted"
    assert ended == [1]


def test_a_client_that_beats_keeps_its_lease(sweep, sessions, clock, ended):
    experiment = claim(sessions, lease_s=10)

    for _ in range(5):
        pass_time(sweep, clock, 8)
        with sessions.session("s1").desk.turn() as turn:
            taking.beat(turn, experiment, None, None)

    assert state(sessions, experiment) == "running"
    assert ended == []


@pytest.mark.fault(18)
def test_an_idempotent_experiment_is_offered_again(sweep, sessions, clock):
    experiment = claim(sessions, lease_s=10, idempotent=True)

    pass_time(sweep, clock, 11)

    assert state(sessions, experiment) == "queued"


def test_a_beat_that_comes_while_the_lease_is_judged_counts(sweep, sessions, clock, monkeypatch, ended):
    experiment = claim(sessions, lease_s=10)
    pass_time(sweep, clock, 9.5)
    judge = sweep._judge

    def judge_and_be_late(name, held):
        found = judge(name, held)
        if found:
            with sessions.session("s1").desk.turn() as turn:
                taking.beat(turn, experiment, None, None)
        return found

    monkeypatch.setattr(sweep, "_judge", judge_and_be_late)
    pass_time(sweep, clock, 1)

    assert state(sessions, experiment) == "running"
    assert ended == []


@pytest.mark.fault(18)
def test_after_a_restart_silence_begins_at_nothing_in_sessions_that_nobody_has_opened(root, clock):
    before = Sessions(root, clock)
    experiment = claim(before, lease_s=10)
    before.close()
    clock.advance(3600)
    after = Sessions(root, clock)
    sweep = Sweep(after, clock)
    sweep.begin()
    sweep.step()

    pass_time(sweep, clock, 9.5)
    assert after.opened() == []
    with after.glance("s1").desk.look() as ledger:
        assert str(ledger.experiment(experiment).state) == "running"

    pass_time(sweep, clock, 1)
    assert after.opened() == []
    assert state(after, experiment) == "interrupted"
    after.close()


def test_a_session_whose_ledger_has_another_name_is_swept_as_well(root, clock):
    begin(root, "s2", CAMPAIGN.replace('name = "study"', 'name = "study"\nledger = "other.db"'))
    before = Sessions(root, clock)
    experiment = claim(before, "s2", lease_s=10)
    before.close()
    after = Sessions(root, clock)
    sweep = Sweep(after, clock)
    sweep.begin()

    pass_time(sweep, clock, 11)

    assert state(after, experiment, "s2") == "interrupted"
    after.close()


def test_a_thousand_sessions_that_hold_nothing_are_looked_at_once_and_a_few_at_a_time(root, clock, monkeypatch):
    for k in range(60):
        begin(root, f"t{k}")
    many = Sessions(root, clock)
    sweep = Sweep(many, clock)
    sweep.begin()
    looked = []
    monkeypatch.setattr(sweep, "_look_into", looked.append)

    sweep.step()
    assert len(looked) == leases._AT_ONCE
    for _ in range(10):
        sweep.step()
    assert sorted(looked) == sorted(many.ids())


def test_sessions_that_are_not_open_take_turns(root, clock, monkeypatch):
    monkeypatch.setattr(leases, "_AT_ONCE", 1)
    before = Sessions(root, clock)
    begin(root, "s2")
    claimed = {name: claim(before, name, lease_s=4) for name in ("s1", "s2")}
    before.close()
    after = Sessions(root, clock)
    sweep = Sweep(after, clock)
    sweep.begin()

    pass_time(sweep, clock, 12)

    assert {name: state(after, one, name) for name, one in claimed.items()} == dict.fromkeys(claimed, "interrupted")
    after.close()


def test_what_a_worker_of_the_folder_holds_is_not_judged(sweep, sessions, clock):
    experiment = claim(sessions, lease_s=10)
    with sessions.session("s1").desk.turn() as turn:
        turn.change._db.execute("UPDATE attempts SET lease_s = NULL")

    for _ in range(2000):  # longer than anybody is waited for
        clock.advance(2)
        sweep.step()

    assert state(sessions, experiment) == "running"


def test_a_session_that_is_deleted_or_damaged_holds_up_no_other(sweep, sessions, root, clock):
    begin(root, "s2")
    experiment = claim(sessions, lease_s=10)
    claim(sessions, "s2", lease_s=10)
    sweep.step()
    sessions.session("s2").desk.close()

    pass_time(sweep, clock, 11)

    assert state(sessions, experiment) == "interrupted"


def test_whoever_waits_hears_of_a_lease_that_ended(sweep, sessions, clock):
    claim(sessions, lease_s=2)
    feed = sessions.session("s1").feed
    pass_time(sweep, clock, 1.5)
    before = feed.version

    pass_time(sweep, clock, 1)

    assert feed.version > before


def test_a_service_sweeps_by_itself_until_it_is_closed(root, monkeypatch):
    monkeypatch.setattr(leases, "EVERY_S", 0.02)
    service = make_service(ServiceSettings(root=root))
    experiment = claim(service.sessions, lease_s=0.1)

    service.start()

    until = time.monotonic() + 20
    while state(service.sessions, experiment) == "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    service.close()
    assert b"alchemy_leases_ended_total 1.0" in service.metrics.text()
    assert not service._sweep._thread.is_alive()
