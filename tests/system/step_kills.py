"""A small campaign in simulated time, in which planner or worker can be killed at any step that it makes on the disk.

The daemon, the ledger and both ends of the queue are the real ones. Planner and worker take turns; at its kill
point the one whose turn it is gets a death that nothing answers, its objects are thrown away, and fresh ones
start on the folder. A person requeues what is interrupted, cancels one queued experiment, and a stranger leaves
something that is no result.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import load_campaign
from alchemy_async.errors import LedgerError
from alchemy_async.experiment import Outcome, QueueState, Status, WorkerState
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.asker import InlineAsker, PlannerRecipe
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from tests.system.checking import Checker
from tests.system.disk import Step, watching

BUDGET = 4
MOST_TURNS = 200
SPOILED = "worker_result_stranger_e9999.1.json"
CAMPAIGN = f"""
[campaign]
name = "steps"

[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]

[[objectives]]
name = "y"
goal = "minimize"

[budget]
experiments = {BUDGET}

[planner]
strategy = "random"
seed = 7
initial = {{ method = "random", n = 2, wait = false }}
look_ahead = 1

[[workers]]
name = "w"
driver = "my_lab:reaction"
lease_s = 10
timeout_s = 100
"""


class Killed(BaseException):
    """Death at a step; no ``except Exception`` answers it."""


@dataclass(frozen=True)
class KillPoint:
    """Where somebody dies: before or after his ``occurrence``-th step (from 1) of a name."""

    actor: str
    name: str
    when: str
    occurrence: int = 1


class Seen:
    """What reached ``dump/`` as a result, told by the steps themselves."""

    has_missed = False

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.names: set[str] = set()
        kept.mkdir()

    def published(self) -> set[str]:
        return set(self.names)

    def take(self, step: Step) -> None:
        if step.name == "result.linked":
            self.names.add(step.path.name)
            shutil.copyfile(step.path, self.kept / step.path.name)


class StepCampaign:
    """One run of the campaign.

    Args:
        folder: A folder for everything; the campaign's is made in it.
        kills: Where to kill, in this order.
        away: For how many turns of the other the dead one stays away.

    Attributes:
        counts: How often each actor made each step.
        xs: What was started, in order.
    """

    def __init__(self, folder: Path, *kills: KillPoint, away: int = 0) -> None:
        self.kills, self.away, self.victim = list(kills), away, ""
        self.folder = folder / "campaign"
        self.folder.mkdir()
        (self.folder / "campaign.toml").write_text(CAMPAIGN)
        self.settings = load_campaign(self.folder)
        self.clock = SimulatedClock()
        self.seen = Seen(folder / "seen")
        self.checker = Checker(self.folder, BUDGET, self.seen, folder / "copy", spoiled={SPOILED})
        self.planner, self.worker = _Planner(self), _Worker(self)
        self.counts: dict[str, Counter[str]] = {"planner": Counter(), "worker": Counter()}
        self.has_meddled = False
        self.xs: list[float] = []

    def run(self) -> StepCampaign:
        """Play the campaign to its end, and check it."""
        for _ in range(MOST_TURNS):
            self.clock.advance(0.6)  # so that what is no result has not changed for long enough
            self._turn("planner", self.planner)
            self._turn("worker", self.worker)
            self._meddle()
            if self.planner.has_ended and self.worker.has_ended:
                break
        else:
            self.checker.violations.append(f"the campaign did not end in {MOST_TURNS} turns")
        self.planner.die()
        self.checker.close()
        return self

    @property
    def violations(self) -> list[str]:
        """What the checker found, during the campaign and after it."""
        return self.checker.violations + [f"{kill} was never met" for kill in self.kills]

    def note(self, word: str, key: object, x: float) -> None:
        """Keep the instrument's own tally."""
        if word == "started":
            self.xs.append(x)
        with (self.folder / "tally.txt").open("a") as tally:
            tally.write(f"{word} {key} {x!r}\n")

    def _turn(self, name: str, actor: _Planner | _Worker) -> None:
        """Let one of them act; who dies starts afresh, at once or after a while."""
        if self.victim == name and self.away > 0:
            self.away -= 1
            return
        while not actor.has_ended:
            met: Counter[str] = self.counts[name]

            def before(step: Step, name=name, met=met) -> None:
                met[step.name] += 1
                self._strike(KillPoint(name, step.name, "before", met[step.name]))

            def after(step: Step, name=name, met=met) -> None:
                self.seen.take(step)
                self._strike(KillPoint(name, step.name, "after", met[step.name]))

            try:
                with watching(self.folder, before, after, beside=("tally.txt",)):
                    actor.turn()
                return
            except Killed:
                actor.die()
                self.checker.look(is_planner_dead=name == "planner")
                if self.away:
                    return

    def _strike(self, here: KillPoint) -> None:
        if self.kills and here == self.kills[0]:
            self.victim = self.kills.pop(0).actor
            raise Killed

    def _meddle(self) -> None:
        """Do what people do from outside: decide what is interrupted, cancel, and leave things lying about."""
        try:
            opened = Ledger.open(self.folder / "campaign.db")
        except LedgerError:  # the planner died before it had begun one
            return
        with opened as ledger:
            with ledger.change() as change:
                for found in ledger.experiments("interrupted"):
                    change.requeue(found.id)
                    self.checker.allow_again(found.id)
            claims = self.folder / "dump" / "claims"
            free = [found for found in ledger.experiments("queued") if not (claims / f"{found.key}.json").exists()]
            if self.xs and free and not self.has_meddled:
                self.has_meddled = True
                with ledger.change() as change:
                    change.request_cancel(free[-1].id)
                (self.folder / "dump" / SPOILED).write_text("this is no result")


class _Planner:
    """The planner daemon; its turn is a start, if it must, and a step."""

    def __init__(self, campaign: StepCampaign) -> None:
        self.campaign, self.has_ended = campaign, False
        self.ledger: Ledger | None = None
        self.daemon: PlannerDaemon | None = None

    def turn(self) -> None:
        if self.daemon is None:
            self._start()
        self.has_ended = self.daemon.step() is not None

    def _start(self) -> None:
        here, settings = self.campaign, self.campaign.settings
        self.ledger = Ledger.create(here.folder / "campaign.db", name="steps", study=settings.study(), clock=here.clock)
        queue = FolderPlannerEnd(here.folder, campaign=self.ledger.campaign, clock=here.clock)
        recipe = PlannerRecipe(settings.planner.strategy, settings.as_space(), settings.as_objectives())
        daemon = PlannerDaemon(settings, self.ledger, queue, InlineAsker(recipe.make()), here.clock, seed=7)
        daemon.start()
        self.daemon = daemon

    def die(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        self.ledger = self.daemon = None


class _Worker:
    """A worker with its instrument; its turn is what a worker process does between two waits."""

    def __init__(self, campaign: StepCampaign) -> None:
        self.campaign, self.has_ended = campaign, False
        self.n_lives = 0
        self.die()

    def die(self) -> None:
        self.end = self.running = None

    def turn(self) -> None:
        if self.end is None:
            self._start()
        if self.running is not None:
            self._finish()
        self.running = self.end.claim()
        if self.running is not None:
            self.campaign.note("started", self.running.key, self.running.parameters["x"])
            self.end.beat(WorkerState.BUSY, self.running.key)
            return
        self.end.beat(WorkerState.IDLE)
        news = self.end.news()
        if news is not None and news.state in (QueueState.DRAINING, QueueState.STOPPED):
            self.end.beat(WorkerState.GONE)
            self.has_ended = True

    def _start(self) -> None:
        """Begin as a process does: what died before is told gone by one that recovers the instrument."""
        self.n_lives += 1
        end = FolderWorkerEnd(self.campaign.folder, worker="w-1", instance=f"life-{self.n_lives}")
        previous = end.previous_beat()
        if previous is not None and previous.state is not WorkerState.GONE:
            end.beat(WorkerState.SICK)
            end.beat(WorkerState.GONE)
            self.n_lives += 1
            end = FolderWorkerEnd(self.campaign.folder, worker="w-1", instance=f"life-{self.n_lives}")
        end.beat(WorkerState.IDLE)
        self.end = end

    def _finish(self) -> None:
        key, x = self.running.key, self.running.parameters["x"]
        self.campaign.note("measured", key, x)
        now = self.campaign.clock.now()
        self.end.report(key, Outcome(Status.COMPLETED, now, now, values={"y": x**2}))
        self.running = None
