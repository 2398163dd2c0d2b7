"""Signals, stopped processes, and clocks that jump: no lease is stolen, nothing is lost, the order stays."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import Outcome, State, Status, WorkerState
from tests.planner_daemon.conftest import Lab
from tests.system.both_daemons import Site, site_in, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds its own processes by /proc")

LEASE_S = 3.0
YEAR_S = 365 * 24 * 3600.0


def begin(site: Site, *, n_busy: int = 1) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Start both daemons; return them once so many workers measure and the ledger knows of it."""
    site.gate.touch()
    planner, pool = site.plan(), site.work()
    until(lambda: list(site.states().values()).count("running") == n_busy)
    until(lambda: len(site.journal("started")) == n_busy)
    return planner, pool


# -- row 10: SIGTERM and SIGINT --------------------------------------------


@pytest.mark.fault(10)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_both_daemons_ends_them_in_good_order_and_what_ran_meanwhile_is_counted(tmp_path, number):
    with site_in(tmp_path / "site", budget=6, count=2) as site:
        planner, pool = begin(site, n_busy=2)

        for daemon in (planner, pool):
            daemon.send_signal(number)
        assert planner.wait(60) == 0
        until(lambda: "Draining" in site.said("pool"))
        site.gate.unlink()
        assert pool.wait(60) == 0

        assert site.claims() == ["e0001.1", "e0002.1"], "something was claimed after the signal"
        assert len(site.results()) == 2
        second = site.plan("second planner")
        until(lambda: list(site.states().values()).count("completed") == 2)
        second.send_signal(number)
        assert second.wait(60) == 0
        assert site.results() == []
        site.assert_nothing_twice()


@pytest.mark.fault(10)
def test_the_planner_counts_what_a_draining_pool_still_brings(tmp_path):
    with site_in(tmp_path / "site", budget=6, count=2) as site:
        planner, pool = begin(site, n_busy=2)

        pool.send_signal(signal.SIGTERM)
        until(lambda: "Draining" in site.said("pool"))
        site.gate.unlink()

        assert pool.wait(60) == 0
        until(lambda: list(site.states().values()).count("completed") == 2)
        assert planner.poll() is None
        assert len(site.claims()) == 2


@pytest.mark.fault(10)
def test_a_second_signal_to_the_pool_breaks_off_what_runs_and_the_ledger_says_so(tmp_path):
    with site_in(tmp_path / "site", budget=4, count=2) as site:
        _, pool = begin(site, n_busy=2)

        pool.send_signal(signal.SIGINT)
        until(lambda: "Draining" in site.said("pool"))
        pool.send_signal(signal.SIGINT)

        assert pool.wait(60) == 0
        until(lambda: list(site.states().values()).count("cancelled") == 2)
        assert site.journal("teardown") == ["teardown"] * 2
        assert site.journal("measured") == []


@pytest.mark.fault(10)
def test_many_signals_at_any_moment_leave_a_planner_that_can_be_started_again(tmp_path, fault_seed, figures):
    rng = random.Random(fault_seed)
    exits: list[int] = []
    with site_in(tmp_path / "site", budget=30) as site:
        site.gate.touch()  # else the campaign is over before the last signal
        pool = site.work()
        for number in range(6):
            planner = site.plan(f"planner {number}")
            if number % 2:  # the others are hit while they still begin
                until(lambda name=f"planner {number}": "planner started" in site.said(name))
            time.sleep(rng.uniform(0.0, 0.5))
            for _ in range(4):
                if planner.poll() is None:
                    planner.send_signal(rng.choice([signal.SIGTERM, signal.SIGINT]))
                time.sleep(rng.uniform(0.0, 0.05))
            exits.append(planner.wait(60))

        site.gate.unlink()
        planner = site.plan("last planner")

        assert planner.wait(120) == 0
        assert pool.wait(60) == 0
        assert list(site.states().values()) == ["completed"] * 30
        assert [row[0] for row in site.rows("PRAGMA integrity_check")] == ["ok"]
        site.assert_nothing_twice()
        assert set(exits[1::2]) <= {0, 130, -signal.SIGINT, -signal.SIGTERM}, "it ended as nobody asked"
        figures(planner_stops=len(exits), begun=len(exits[1::2]), exit_0_of_those=exits[1::2].count(0))


# -- row 11: stopped processes ---------------------------------------------


def stand_still(pids: list[int], seconds: float) -> None:
    """Stop processes and let them go on, the first first: it must bear with the others."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.2)


def interruptions(site: Site) -> list[str]:
    return [row["experiment"] for row in site.rows("SELECT experiment FROM events WHERE kind = 'interrupted'")]


@pytest.mark.fault(11)
@pytest.mark.parametrize("who", ["both daemons", "daemons and workers"])
def test_daemons_that_stood_still_for_longer_than_a_lease_steal_nothing(tmp_path, who):
    with site_in(tmp_path / "site", budget=4, count=2, lease_s=LEASE_S) as site:
        planner, pool = begin(site, n_busy=2)
        workers = list(site.workers().values()) if who == "daemons and workers" else []

        stand_still([planner.pid, pool.pid, *workers], LEASE_S + 1.5)
        beats = {name: site.beat(name) for name in site.workers()}
        until(lambda: all(site.beat(name) >= beat + 2 for name, beat in beats.items()))
        site.gate.unlink()

        assert planner.wait(60) == 0
        assert pool.wait(60) == 0
        assert interruptions(site) == []
        assert list(site.states().values()) == ["completed"] * 4
        site.assert_nothing_twice()


@pytest.mark.fault(11)
def test_a_worker_that_stood_still_for_longer_than_its_lease_comes_back_and_its_measurement_counts(tmp_path):
    with site_in(tmp_path / "site", budget=3, count=1, lease_s=1.5) as site:
        planner, pool = begin(site)
        worker = site.workers()["w-1"]

        os.kill(worker, signal.SIGSTOP)
        until(lambda: site.states()["e0001"] == "interrupted")
        assert site.claims() == ["e0001.1"], "a worker that may still hold its instrument was given another"
        os.kill(worker, signal.SIGCONT)
        until(lambda: site.states()["e0001"] == "running")
        site.gate.unlink()

        assert planner.wait(60) == 0
        assert pool.wait(60) == 0
        assert list(site.states().values()) == ["completed"] * 3
        assert site.journal("started e0001") == ["started e0001.1"]
        site.assert_nothing_twice()


# -- row 11: clocks that jump ----------------------------------------------


class JumpingClock(SimulatedClock):
    """A machine whose wall clock is set while its monotonic seconds go on."""

    def __init__(self):
        super().__init__()
        self.jumped_s = 0.0

    def now(self):
        return super().now() + timedelta(seconds=self.jumped_s)


def campaign_with_jumps(folder, jumps_s: list[float]):
    """Run a campaign in simulated time, its wall clock set anew before each turn; return what happened, in order.

    A worker brings each result two turns after its claim, so that a measurement may span a jump.
    """
    clock = JumpingClock()
    here = Lab(folder, clock, n_initial=2, budget="experiments = 6\nhours = 1", look_ahead=2)
    workers, held, revisions, summary = [here.worker("w-1"), here.worker("w-2")], {}, [], None
    for turn in range(60):
        clock.jumped_s = jumps_s[turn % len(jumps_s)]
        summary = here.step(seconds=1.0)
        revisions.append(here.published().revision)
        if summary is not None:
            break
        for worker in workers:
            since, began_at, offer = held.get(worker, (turn, clock.now(), None))
            if offer is not None and turn - since < 2:
                worker.beat(WorkerState.BUSY, offer.key)
                continue
            if offer is not None:
                values = {"y": offer.parameters["x"]}
                worker.report(offer.key, Outcome(Status.COMPLETED, began_at, clock.now(), values=values))
            held[worker] = (turn, clock.now(), here.claim(worker))
    happened = [(event["kind"], event["experiment"], event["attempt"]) for event in here.ledger.events()]
    parameters = [found.parameters for found in here.ledger.experiments(State.COMPLETED)]
    here.close()
    return str(summary), revisions, happened, parameters


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    "jumps_s",
    [[0.0, YEAR_S], [0.0, -YEAR_S], [YEAR_S, -YEAR_S, 0.0], [0.0] * 5 + [YEAR_S] * 55, [0.0] * 5 + [-YEAR_S] * 55],
    ids=["ahead and back", "back and ahead", "to and fro", "ahead for good", "back for good"],
)
def test_a_wall_clock_that_jumps_by_a_year_changes_neither_the_order_nor_any_lease(tmp_path, jumps_s):
    steady = campaign_with_jumps(tmp_path / "steady", [0.0])

    jumped = campaign_with_jumps(tmp_path / "jumped", jumps_s)

    summary, revisions, happened, _ = jumped
    assert "budget met" in summary
    assert revisions == sorted(revisions)
    assert not [kind for kind, _, _ in happened if kind in ("interrupted", "conflict", "rejected")]
    assert anonymous(jumped) == anonymous(steady)


def anonymous(told):
    """Leave out the id that each campaign draws."""
    return (re.sub(r"study-[0-9a-f]{8}", "study", told[0]), *told[1:])


@pytest.mark.fault(11)
@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_a_lease_ends_by_seconds_that_passed_however_often_the_wall_clock_is_set(tmp_path, jump_s):
    clock = JumpingClock()
    here = Lab(tmp_path / "lab", clock, n_initial=1)
    worker = here.worker()
    here.step()
    here.claim(worker)
    states = []

    for turn in range(12):
        clock.jumped_s = jump_s * (turn + 1)
        here.step(seconds=1.0)
        states.append(here.state())

    assert states == [State.RUNNING] * 10 + [State.INTERRUPTED] * 2
    here.close()
