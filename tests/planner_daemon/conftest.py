"""A campaign in simulated time: the real daemon, ledger and folder queue; only the instruments are missing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import load_campaign
from alchemy_async.experiment import Failure, Outcome, Revision, State, Status, Suggestion, WorkerState
from alchemy_async.files import parse_json
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.asker import InlineAsker
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd

TEMPLATE = """
[campaign]
name = "study"

[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]

[[objectives]]
name = "y"
goal = "minimize"

[budget]
{budget}

[planner]
strategy = "random"
seed = 7
initial = {{ method = "random", n = {n_initial}, wait = {wait} }}
look_ahead = {look_ahead}
when_late = "{when_late}"
replicates = {replicates}

[[workers]]
name = "w"
count = 2
driver = "my_lab:reaction"
lease_s = 10
timeout_s = 100
"""


class Guesser:
    """A planner that guesses, and remembers what it was asked."""

    def __init__(self):
        self.questions = []

    def ask(self, history, pending, n, seed):
        self.questions.append((history, tuple(pending), n, seed))
        rng = random.Random(f"{seed}/{len(history.observations)}/{len(pending)}")
        return [Suggestion({"x": rng.random()}) for _ in range(n)]


class LateAsker(InlineAsker):
    """Answers only when the test says so."""

    def __init__(self, planner):
        super().__init__(planner)
        self.question = None

    @property
    def is_busy(self):
        return self.question is not None or super().is_busy

    def start(self, question):
        self.question = question

    def let_it_answer(self):
        question, self.question = self.question, None
        super().start(question)


class Lab:
    """One campaign folder with its planner daemon, and workers that the test plays."""

    def __init__(self, folder: Path, clock, *, asker=InlineAsker, **settings):
        self.folder, self.clock, self.planner = folder, clock, Guesser()
        known = {"budget": "experiments = 6", "n_initial": 2, "wait": "false", "look_ahead": 1, "when_late": "wait"}
        known["replicates"] = 1
        folder.mkdir(exist_ok=True)
        (folder / "campaign.toml").write_text(TEMPLATE.format(**(known | settings)))
        self.settings = load_campaign(folder)
        self.asker = asker(self.planner)
        self.workers = {}
        self._open()

    def _open(self):
        self.ledger = Ledger.create(
            self.folder / "campaign.db", name="study", study=self.settings.study(), clock=self.clock
        )
        self.queue = FolderPlannerEnd(self.folder, campaign=self.ledger.campaign, clock=self.clock)
        self.daemon = PlannerDaemon(self.settings, self.ledger, self.queue, self.asker, self.clock, seed=7)
        self.daemon.start()

    def restart(self):
        self.close()
        self._open()

    def close(self):
        self.queue.close()
        self.ledger.close()

    def step(self, times=1, seconds=0.1):
        summary = None
        for _ in range(times):
            self.clock.advance(seconds)
            summary = self.daemon.step()
        return summary

    def worker(self, name="w-1", *, instance="a", idempotent=False):
        worker = FolderWorkerEnd(self.folder, worker=name, instance=f"{name}-{instance}", idempotent=idempotent)
        self.workers[name] = worker
        worker.beat(WorkerState.IDLE)
        return worker

    def claim(self, worker):
        offer = worker.claim()
        if offer is not None:
            worker.beat(WorkerState.BUSY, offer.key)
        return offer

    def outcome(self, offer, status=Status.COMPLETED, *, y=None, kind="error", **rest):
        now = self.clock.now()
        values = {} if status is not Status.COMPLETED else {"y": offer.parameters["x"] if y is None else y}
        error = None if status is Status.COMPLETED else Failure(kind, "why")
        return Outcome(status, now, now, values=values, error=error, **rest)

    def report(self, worker, offer, status=Status.COMPLETED, **rest):
        worker.report(offer.key, self.outcome(offer, status, **rest))
        worker.beat(WorkerState.IDLE)

    def run_one(self, worker, status=Status.COMPLETED, **rest):
        offer = self.claim(worker)
        self.report(worker, offer, status, **rest)
        return offer

    def published(self):
        return Revision.from_wire(parse_json((self.folder / "pickup" / "priority_queue.json").read_bytes()))

    def ids(self, *states):
        return [found.id for found in self.ledger.experiments(*states)]

    def state(self, experiment="e0001"):
        return State(self.ledger.experiment(experiment).state)


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def lab(tmp_path, clock):
    made = []

    def make(**settings):
        made.append(Lab(tmp_path / "lab", clock, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
