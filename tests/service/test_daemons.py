"""Planner daemons of sessions, as real children of this process or of a server: started, ended, never orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alchemy_async import locks
from alchemy_async.clock import SystemClock
from alchemy_async.experiment import QueueState, Revision
from alchemy_async.files import parse_json
from alchemy_async.service.autonomous import daemons as room
from alchemy_async.service.autonomous.daemons import Daemons, Standing
from alchemy_async.service.sessions.sessions import Sessions
from alchemy_async.service.staged.staging import Wanted, stage
from tests.worker_pool.conftest import is_alive, until

SETTINGS = """
[campaign]
name = "test"
[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]
[[objectives]]
name = "yield"
goal = "maximize"
[planner]
strategy = "sobol"
seed = 3
"""

SERVER = """
import sys, time
from pathlib import Path
from alchemy_async.clock import SystemClock
from alchemy_async.service.autonomous.daemons import Daemons
from alchemy_async.service.sessions.sessions import Sessions
daemons = Daemons(Sessions(Path(sys.argv[1]), SystemClock()), SystemClock())
daemons.run("s1")
time.sleep(300)
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "s1"
    folder.mkdir()
    (folder / "campaign.toml").write_text(SETTINGS)
    return folder


@pytest.fixture
def sessions(folder):
    sessions = Sessions(folder.parent, SystemClock())
    yield sessions
    sessions.close()


@pytest.fixture
def daemons(sessions, monkeypatch):
    monkeypatch.setattr(room, "LOOK_S", 0.02)
    monkeypatch.setattr(room, "PAUSED_S", 1.0)
    monkeypatch.setattr(room, "ELSEWHERE_S", 0.1)
    daemons = Daemons(sessions, SystemClock())
    yield daemons
    daemons.close()


def queue(folder: Path) -> Revision | None:
    path = folder / "pickup" / "priority_queue.json"
    return Revision.from_wire(parse_json(path.read_bytes())) if path.exists() else None


def is_planned(folder: Path) -> bool:
    return locks.holder(folder / "planner.lock") is not None


def planner_of(folder: Path) -> int:
    return locks.holder(folder / "planner.lock").pid


def offers(folder: Path) -> list[str]:
    found = queue(folder)
    return [] if found is None else [offer.origin for offer in found.offers]


def say_run(sessions: Sessions) -> None:
    """Write into the ledger what `control: run` does."""
    with sessions.session("s1").desk.turn() as turn:
        turn.change.set_meta(wanted="running", suggests="yes", control='{"requested": "run"}')


def test_a_session_that_is_told_to_run_fills_its_queue_by_itself(daemons, folder):
    assert daemons.standing("s1") is None

    daemons.run("s1")

    until(lambda: "initial" in offers(folder), within_s=30)
    assert daemons.standing("s1") == Standing("running")


@pytest.mark.fault(1)
def test_a_daemon_that_was_killed_is_started_again(daemons, folder):
    daemons.run("s1")
    until(lambda: offers(folder), within_s=30)
    killed = planner_of(folder)

    os.kill(killed, signal.SIGKILL)

    until(lambda: daemons.standing("s1").reported == "failed")
    assert "started again" in daemons.standing("s1").detail
    until(lambda: is_planned(folder) and planner_of(folder) != killed, within_s=30)
    until(lambda: daemons.standing("s1") == Standing("running"))


def test_a_pause_is_published_and_then_the_daemon_ends_so_that_the_study_can_be_changed(daemons, sessions, folder):
    say_run(sessions)
    daemons.run("s1")
    until(lambda: offers(folder), within_s=30)

    with sessions.session("s1").desk.turn() as turn:
        turn.change.set_meta(wanted="paused")
    daemons.pause("s1")

    until(lambda: not is_planned(folder), within_s=20)
    until(lambda: daemons.standing("s1").reported == "paused")
    assert queue(folder).state is QueueState.PAUSED


def test_where_nobody_plans_a_pool_that_calls_in_is_served_what_is_staged_and_nothing_is_suggested(
    daemons, sessions, folder
):
    with sessions.session("s1").desk.turn() as turn:
        stage(turn, [Wanted({"x": 0.25})], ("inputs",))

    daemons.attend("s1", begins=True)
    until(lambda: offers(folder), within_s=30)
    with sessions.session("s1").desk.turn() as turn:
        stage(turn, [Wanted({"x": 0.75})], ("inputs",))
    until(lambda: len(offers(folder)) == 2)

    assert offers(folder) == ["person", "person"]
    assert daemons.standing("s1").reported == "idle"


def test_a_daemon_that_only_serves_begins_to_suggest_when_it_is_told_to_run(daemons, folder):
    daemons.attend("s1", begins=True)
    until(lambda: queue(folder), within_s=30)
    process = planner_of(folder)

    daemons.run("s1")

    until(lambda: "initial" in offers(folder), within_s=30)
    assert planner_of(folder) == process


def test_a_daemon_that_only_serves_ends_when_no_pool_has_called_for_long(daemons, folder, monkeypatch):
    monkeypatch.setattr(room, "IDLE_S", 2.5)
    daemons.attend("s1", begins=True)
    until(lambda: is_planned(folder), within_s=30)

    until(lambda: not is_planned(folder), within_s=20)

    until(lambda: daemons.standing("s1") == Standing("idle"))


def test_a_pool_that_only_looks_starts_no_daemon_while_all_is_paused_and_one_with_a_result_does(
    daemons, sessions, folder
):
    with sessions.session("s1").desk.turn() as turn:
        turn.change.set_meta(wanted="paused")
    daemons.attend("s1", begins=True)
    until(lambda: queue(folder) is not None and queue(folder).state is QueueState.PAUSED, within_s=30)
    until(lambda: not is_planned(folder), within_s=20)

    daemons.attend("s1", has_work=False)
    time.sleep(0.5)
    assert not is_planned(folder)

    daemons.attend("s1")
    until(lambda: is_planned(folder), within_s=30)


def test_where_somebody_plans_by_hand_there_is_no_daemon_until_he_ends(daemons, folder):
    with locks.hold(folder / "planner.lock", what="somebody plans", mend=""):
        daemons.run("s1")
        until(lambda: daemons.standing("s1").detail is not None)

        assert "by hand" in daemons.standing("s1").detail
        assert queue(folder) is None

    until(lambda: offers(folder), within_s=30)


def test_a_campaign_that_is_over_says_why_and_is_not_started_again(daemons, sessions, folder):
    text = SETTINGS.replace("[planner]", "[budget]\nhours = 1e-9\n[planner]")
    (folder / "campaign.toml").write_text(text)
    daemons.run("s1")

    until(lambda: daemons.standing("s1").detail is not None, within_s=30)
    time.sleep(0.3)

    assert daemons.standing("s1").reported == "idle"
    assert "time is up" in daemons.standing("s1").detail
    assert queue(folder).state is QueueState.STOPPED
    assert not is_planned(folder)


def test_a_campaign_that_can_not_be_planned_says_why_without_a_path(daemons, folder):
    (folder / "campaign.toml").write_text(SETTINGS.replace('"sobol"', '"my_lab:Missing"'))

    daemons.run("s1")

    until(lambda: daemons.standing("s1").reported == "failed", within_s=30)
    assert "my_lab" in daemons.standing("s1").detail
    assert str(folder) not in daemons.standing("s1").detail


def test_a_session_without_variables_says_what_is_missing(daemons, folder):
    (folder / "campaign.toml").write_text(SETTINGS.partition("[[parameters]]")[0])

    daemons.run("s1")

    until(lambda: daemons.standing("s1").reported == "failed")
    assert "no variable yet" in daemons.standing("s1").detail


def test_the_daemons_end_with_the_service(daemons, folder):
    daemons.run("s1")
    until(lambda: offers(folder), within_s=30)
    process = planner_of(folder)

    daemons.close()

    assert not is_alive(process)
    assert "stopped by a signal" in (folder / "logs" / "planner-daemon.log").read_text()


@pytest.mark.fault(1)
def test_a_server_that_is_killed_leaves_no_daemon_behind(folder):
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder.parent)])
    until(lambda: offers(folder), within_s=60)
    process = planner_of(folder)
    assert is_alive(process)

    server.kill()
    server.wait()

    until(lambda: not is_alive(process))
    until(lambda: not is_planned(folder))
    assert "stopped by a signal" in (folder / "logs" / "planner-daemon.log").read_text()


@pytest.mark.parametrize(
    ("control", "ended", "runs"), [("run", None, True), ("run", "x", False), ("pause", None, False)]
)
def test_at_the_start_those_sessions_run_again_that_were_to_run_and_have_not_ended(
    daemons, sessions, folder, control, ended, runs
):
    with sessions.session("s1").desk.turn() as turn:
        turn.change.set_meta(control=f'{{"requested": "{control}"}}', ended=ended)

    daemons.begin()

    if runs:
        until(lambda: is_planned(folder), within_s=30)
    else:
        time.sleep(0.5)
        assert daemons.standing("s1") is None


def test_a_session_whose_daemon_is_ended_for_good_is_left_alone(daemons, folder):
    daemons.run("s1")
    until(lambda: is_planned(folder), within_s=30)

    daemons.end("s1")

    assert not is_planned(folder)
    assert daemons.standing("s1") is None


def test_somebody_who_plans_by_hand_where_the_server_only_served_gets_suggestions(daemons, folder):
    daemons.attend("s1", begins=True)
    until(lambda: queue(folder), within_s=30)
    daemons.close()

    by_hand = subprocess.Popen([sys.executable, "-m", "alchemy_async", "plan", str(folder)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: "initial" in offers(folder), within_s=30)
    finally:
        by_hand.terminate()
        by_hand.wait()
