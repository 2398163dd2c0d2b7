"""A planner that is killed and started again goes on with the very campaign that it would have had without."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from tests.system.real_daemons import RealDaemons, until

N_INITIAL, BUDGET = 2, 8  # two results are what the first model needs
KILLED_AT = (4, 5, 6)  # while that measurement runs, in the order of the campaign

CAMPAIGN = f"""
[campaign]
name = "same"

[[parameters]]
name = "u"
type = "continuous"
bounds = [0, 1]

[[parameters]]
name = "v"
type = "continuous"
bounds = [-2, 2]

[[objectives]]
name = "y"
goal = "minimize"

[budget]
experiments = {BUDGET}

[planner]
strategy = "bayesian"
seed = 7
initial = {{ method = "sobol", n = {N_INITIAL} }}
look_ahead = 1

[[workers]]
name = "w"
driver = "gated:Gated"
lease_s = 600
timeout_s = 600
"""

DRIVER = """
from pathlib import Path

OUTSIDE = Path({outside!r})


class Gated:
    def measure(self, parameters, context):
        key = f"{{context.experiment}}.{{context.attempt}}"
        with (OUTSIDE / "tally.txt").open("a") as tally:
            tally.write(f"started {{key}}\\n")
        while not (OUTSIDE / f"{{key}} may end").exists():
            context.sleep(0.02)
        u, v = parameters["u"], parameters["v"]
        return (u - 0.3) ** 2 + (v - 0.7) ** 2 * (1 + u)
"""

pytestmark = [
    pytest.mark.fault(1),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="ends processes by their session"),
]


class OneWorker:
    """A campaign with one worker, each of whose measurements ends when the planner has done all it can do before."""

    def __init__(self, place):
        self.daemons = RealDaemons(place / "campaign", place / "outside")
        (self.daemons.folder / "campaign.toml").write_text(CAMPAIGN)
        (self.daemons.folder / "gated.py").write_text(DRIVER.format(outside=str(self.daemons.outside)))
        self.n_asks_before = 0  # the answers that planners before this one had
        self.plan, self.work = self.daemons.start("plan"), self.daemons.start("work")

    def kill_planner(self):
        self.plan.kill()
        self.plan.wait()
        self.n_asks_before = len(self._asks())
        self.plan = self.daemons.start("plan")

    def run(self, killed_at=()):
        """Run to the end; return the parameters of all experiments in the order in which they were measured."""
        until(lambda: self.daemons.tally("started"), "the first measurement runs")
        for number in range(1, BUDGET):
            if number in killed_at:
                if number % 2:  # then it has nothing left to do; else it has hardly begun to ask
                    self._let_planner_settle(number)
                self.kill_planner()
            self._let_planner_settle(number)
            self._let_worker_go_on(number)
        self._open_gate()
        assert self.plan.wait(60) == 0
        assert self.work.wait(60) == 0
        measured = self._in_ledger("completed")
        assert len(measured) == BUDGET
        return [measured[key.removesuffix(".1")] for key in self.daemons.tally("started")]

    def _let_planner_settle(self, number):
        """Wait until the next experiment is published, conditioned on all that is known and on what runs.

        A planner asks again after a start, lest something came that it did not see: that answer is waited for, too.
        """
        until(lambda: self._has_settled(number), f"the planner is ready for the end of measurement {number}")

    def _has_settled(self, number):
        running = self.daemons.tally("started")[-1].removesuffix(".1")
        if running not in self._in_ledger("running") or self._in_ledger("queued") != self._published():
            return False
        return number <= N_INITIAL or (number - 1, 1) in self._asks()[self.n_asks_before :]

    def _let_worker_go_on(self, number):
        """Let a measurement end; have the planner see its result and the claim that follows in one look.

        Where it sees the result alone, on a busy machine, it reckons with an idle worker, and another point is next:
        with kills or without, such a campaign is not the same twice.
        """
        os.kill(self.plan.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.plan.pid, os.WSTOPPED)
        self._open_gate()
        until(lambda: len(self.daemons.tally("started")) == number + 1, f"measurement {number + 1} runs")
        os.kill(self.plan.pid, signal.SIGCONT)

    def _open_gate(self):
        (self.daemons.outside / f"{self.daemons.tally('started')[-1]} may end").touch()

    def _in_ledger(self, state):
        found = self.daemons.rows(f"SELECT id, parameters FROM experiments WHERE state = '{state}'")
        return {row["id"]: json.loads(row["parameters"]) for row in found}

    def _published(self):
        queue = json.loads((self.daemons.folder / "pickup" / "priority_queue.json").read_bytes())
        return {each["experiment"]: each["parameters"] for each in queue["experiments"]} or None

    def _asks(self):
        """Return how many observations and pending points each answer took into account."""
        return [tuple(row) for row in self.daemons.rows("SELECT n_observations, n_pending FROM asks ORDER BY rowid")]


@pytest.fixture
def one_worker(tmp_path):
    made = []

    def make(name):
        made.append(OneWorker(tmp_path / name))
        return made[-1]

    yield make
    for each in made:
        each.daemons.close()


def test_with_one_worker_and_a_seed_a_campaign_is_the_same_although_its_planner_was_killed_three_times(
    one_worker, figures
):
    expected = one_worker("whole").run()

    found = one_worker("killed").run(KILLED_AT)

    assert found == expected
    figures(kills=len(KILLED_AT), experiments=BUDGET, different=0)
