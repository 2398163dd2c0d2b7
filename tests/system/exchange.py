"""One exchange for the state machine: what is real, the model beside it, and the comparison of both.

Real are the ledger, both ends of the folder queue and the planner daemon; simulated are the clock and the drivers.
The comparison reads the ledger and the folders with code of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import load_campaign
from alchemy_async.errors import LedgerError
from alchemy_async.experiment import Failure, Outcome, Status, Suggestion, WorkerState
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.asker import InlineAsker
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from tests.system.queue_model import PENDING, Killed, QueueModel, Refused, Report, Taken

BUDGET, STARTS, LEASE_S, TIMEOUT_S = 6, 12, 4.0, 10.0
CAMPAIGN = f"""
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
experiments = {BUDGET}
max_started = {STARTS}
[planner]
strategy = "random"
seed = 7
initial = {{ method = "random", n = 2, wait = false }}
look_ahead = 1
[[workers]]
name = "w"
count = 2
driver = "my_lab:reaction"
labels = ["hot"]
lease_s = {LEASE_S}
timeout_s = {TIMEOUT_S}
"""


class Guesser:
    """A planner that never says the same twice."""

    def __init__(self):
        self.numbers = itertools.count(1)

    def ask(self, history, pending, n, seed):
        return [Suggestion({"x": next(self.numbers) * 0.6180339887498949 % 1}) for _ in range(n)]


class DoomedQueue:
    """The planner's end of the queue, in a process that dies at a point that is told before."""

    def __init__(self, queue):
        self._queue, self.doom = queue, ""

    def __getattr__(self, name):
        return getattr(self._queue, name)

    def collect(self, keys):
        return self._or_die("collect", self._queue.collect(keys))

    def withdraw(self, key):
        return self._or_die("withdraw", self._queue.withdraw(key))

    def settle(self, name, reason=""):
        self._or_die("settle")
        self._queue.settle(name, reason)

    def publish(self, revision):
        self._or_die("publish")
        self._queue.publish(revision)

    def _or_die(self, at, done=None):
        if self.doom == at:
            raise Killed
        return done


class Player:
    """One worker process, as far as the folders see it."""

    def __init__(self, folder, name, number):
        self.name, self.instance, self.n_beats, self.offer = name, f"{name}-{number}", 0, None
        self.labels, self.idempotent = ("hot",) * (name == "w-1"), name == "w-2"
        self.end = FolderWorkerEnd(
            folder, worker=name, instance=self.instance, labels=self.labels, idempotent=self.idempotent
        )


class Exchange:
    """One campaign folder with its daemon and its players, and the model of all that."""

    def __init__(self, folder: Path):
        self.folder, self.dump = folder, folder / "dump"
        (folder / "campaign.toml").write_text(CAMPAIGN)
        self.settings = load_campaign(folder)
        self.clock, self.guesser, self.numbers = SimulatedClock(), Guesser(), itertools.count(1)
        self.model = QueueModel(budget=BUDGET, starts=STARTS, lease_s=LEASE_S, timeout_s=TIMEOUT_S)
        self.players, self.ghosts, self.started = {}, [], Counter()
        self.offered, self.sent, self.ended = {}, {}, {}  # every list ever; every result file ever; terminal rows
        self.daemon, self.campaign = None, ""
        self.start_planner()
        self.steps(1)
        for name in ("w-1", "w-2"):
            self.bring(name)

    def close(self):
        with Ledger.open(self.folder / "campaign.db") as ledger:
            found = {each.id: (str(each.state), each.attempt) for each in ledger.experiments()}
        assert found == {name: (plan.state, plan.attempt) for name, plan in self.model.plans.items()}
        with self.reading() as read:
            assert read("PRAGMA integrity_check")[0][0] == "ok"
        if self.daemon is not None:
            self.drop_planner()
        shutil.rmtree(self.folder)

    # -- the planner -------------------------------------------------------

    def start_planner(self, doom=""):
        path, study = self.folder / "campaign.db", self.settings.study()
        self.ledger = Ledger.create(path, name="study", study=study, clock=self.clock)
        self.campaign = self.ledger.campaign
        self.queue = DoomedQueue(FolderPlannerEnd(self.folder, campaign=self.campaign, clock=self.clock))
        asker = InlineAsker(self.guesser)
        self.daemon = PlannerDaemon(self.settings, self.ledger, self.queue, asker, self.clock, seed=7)
        self._on_both(doom if doom in ("collect", "settle") else "", self.daemon.start, self.model.start)

    def drop_planner(self):
        self.queue.close()
        self.ledger.close()
        self.daemon = None

    def steps(self, n, doom="", seconds=0.3):
        """Let time pass and the planner look; one that died is started first."""
        for _ in range(n):
            self.clock.advance(seconds)
            if self.daemon is None:
                self.start_planner()
            self._on_both(doom, self.daemon.step, self.model.step)

    def _on_both(self, doom, real, modelled):
        """Let daemon and model do the same, and die at the same point."""
        self.queue.doom, is_dead, is_dead_too, summary = doom, False, False, None
        try:
            summary = real()
        except Killed:
            is_dead = True
        with self.reading() as read:
            rows = experiments(read)
        try:
            modelled(self.clock.monotonic(), rows, doom)
        except Killed:
            is_dead_too = True
        assert is_dead == is_dead_too
        assert is_dead or (summary is not None) == self.model.ended
        self.model.seen[f"killed at {doom}"] += is_dead
        if is_dead or self.model.ended:
            self.drop_planner()
        self.offered |= {(key, dict(point)["x"]): dict(point) for key, point, _ in self.model.queue[1]}

    def command(self, real, modelled):
        """Give a command to the ledger, as the command line does; both must say the same."""
        refusal = refusal_too = ""
        with Ledger.open(self.folder / "campaign.db", clock=self.clock) as ledger:
            try:
                with ledger.change() as change:
                    real(change)
            except LedgerError as error:
                refusal = type(error).__name__
        try:
            modelled()
        except Refused as error:
            refusal_too = str(error)
        assert refusal == refusal_too
        self.model.seen[refusal or "commands"] += 1

    # -- workers -----------------------------------------------------------

    def bring(self, name):
        self.players[name] = Player(self.folder, name, next(self.numbers))
        self.beat(self.players[name])

    def beat(self, player, state=None):
        key = player.offer and player.offer.key
        state = state or (WorkerState.BUSY if key else WorkerState.IDLE)
        player.end.beat(state, key)
        player.n_beats += 1
        self.model.beats[player.name] = (player.instance, player.n_beats, str(state), key and tuple_of(key))

    def claim(self, player):
        expected = self._best_offer(player)
        player.offer = player.end.claim()
        assert (player.offer and (tuple_of(player.offer.key), dict(player.offer.parameters))) == expected
        if expected:
            self.note_claim(expected[0], Taken(player.name, player.instance, expected[1], player.idempotent))

    def _best_offer(self, player):
        state, offers, _ = self.model.queue
        for key, point, _ in offers if state == "running" else ():
            if key not in self.model.claims and set(self.model.plans[key[0]].requires) <= set(player.labels):
                return key, dict(point)
        return None

    def note_claim(self, key, taken):
        self.model.claims[key] = taken
        self.started[key] += 1
        assert self.started[key] == 1, f"{key} was started twice"

    def publish(self, player, status):
        """Report; tell whether the disk took it: what a stranger put under this name is taken away first."""
        report, outcome = self.report_of(player.name, tuple_of(player.offer.key), status)
        lies_there = self.model.results.get(report.name)
        if (self.dump / report.name).exists():
            assert lies_there is not None
            with pytest.raises(FileExistsError):
                player.end.report(player.offer.key, outcome)
            return False
        player.end.report(player.offer.key, outcome)
        if lies_there is None:
            self.note_result(report)
        return True

    def report_of(self, worker, key, status):
        number, word = next(self.numbers), "failed" if status == "retryable" else status
        at = self.clock.now() + timedelta(microseconds=number)
        error = Failure("retryable" if status == "retryable" else "error", "why") if word != "completed" else None
        values = {"y": float(number)} if word == "completed" else {}
        name = f"worker_result_{worker}_{key[0]}.{key[1]}.json"
        report = Report(name, key, worker, word, float(number), at, retryable=status == "retryable")
        return report, Outcome(Status(word), at, at, values=values, error=error)

    def note_result(self, report):
        content = (self.dump / report.name).read_bytes()
        self.model.results[report.name] = replace(report, digest=content)
        self.sent.setdefault(report.name, []).append((content, self.model.results[report.name]))

    # -- what must hold ----------------------------------------------------

    @contextlib.contextmanager
    def reading(self):
        """Open the ledger afresh, as another program would."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/campaign.db?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            yield lambda sql: db.execute(sql).fetchall()

    def check(self):
        with self.reading() as read:
            found = experiments(read)
            self._check_states(read, found)
            self._check_budget(read, found)
            self._check_measurements(read)
        self._check_folders()

    def _check_states(self, read, found):
        plans, tries = self.model.plans.items(), self.model.tries.items()
        told = {n: (r["state"], r["attempt"], r["point"], r["priority"]) for n, r in found.items()}
        assert told == {name: (plan.state, plan.attempt, plan.point, plan.priority) for name, plan in plans}
        told = {name for name, row in found.items() if row["is_cancelling"]}
        assert told == {name for name, plan in plans if plan.cancelling}
        rows = read("SELECT * FROM attempts")
        told = {(r["experiment"], r["attempt"]): (r["state"], r["worker"], r["instance"], r["is_listed"]) for r in rows}
        assert told == {key: (each.state, each.worker, each.instance, each.is_listed) for key, each in tries}
        replay = replayed(read("SELECT * FROM events WHERE experiment <> '' ORDER BY seq"))
        assert replay == {name: (row["state"], row["attempt"]) for name, row in found.items()}

    def _check_budget(self, read, found):
        tally = {row["name"]: row["n"] for row in read("SELECT * FROM tallies")}
        states = Counter(row["state"] for row in found.values())
        assert tally.pop("starts") == self.model.starts
        assert {state: n for state, n in tally.items() if n} == states
        assert sum(states[state] for state in (*PENDING, "completed")) <= BUDGET
        ended = {name: str(row) for name, row in found.items() if row["state"] not in PENDING}
        assert self.ended.items() <= ended.items(), "a terminal record has changed"
        self.ended = ended

    def _check_measurements(self, read):
        rows = [
            {**dict(r), "y": json.loads(r["measured"]).get("y")} for r in read("SELECT * FROM outcomes ORDER BY id")
        ]
        told = [tuple(row[key] for key in ("experiment", "attempt", "worker", "status", "role", "y")) for row in rows]
        assert told == self.model.outcomes
        used = [row["experiment"] for row in rows if (row["role"], row["status"]) == ("result", "completed")]
        assert sorted(used) == [name for name, plan in sorted(self.model.plans.items()) if plan.state == "completed"]
        recorded = Counter(row["y"] for row in rows)
        for content, report in itertools.chain(*self.sent.values()):
            if report.status == "completed" and not report.flaw and report.key in self.model.tries:
                lies_there = self.model.results.get(report.name)
                n_waiting = int(lies_there is not None and lies_there.digest == content)
                assert recorded[report.value] == 1 or (n_waiting and not recorded[report.value]), report.name

    def _check_folders(self):
        model, dump = self.model, self.dump
        assert {path.name for path in dump.glob("worker_result_*")} == set(model.results)
        assert {path.stem for path in (dump / "claims").iterdir()} == {f"{n}.{a}" for n, a in model.claims}
        assert len([p for p in (dump / "rejected").iterdir() if not p.name.endswith(".txt")]) == model.n_rejected
        queue = json.loads((self.folder / "pickup" / "priority_queue.json").read_bytes())
        offers = [((o["experiment"], o["attempt"]), o["parameters"], o["priority"]) for o in queue["experiments"]]
        cancel = [tuple_of_text(text) for text in queue["cancel"]]
        wanted = [(key, dict(point), priority) for key, point, priority in model.queue[1]]
        assert (queue["state"], offers, cancel) == (model.queue[0], wanted, list(model.queue[2]))


def experiments(read):
    """Return the rows of all experiments by id."""
    rows = read("SELECT * FROM experiments ORDER BY number")
    return {row["id"]: {**dict(row), "point": json.loads(row["parameters"])} for row in rows}


def replayed(events):
    """Return state and newest attempt of each experiment, told by the events alone."""
    states = {}
    for event in events:
        name, attempt, kind = event["experiment"], event["attempt"], event["kind"]
        state, newest = states.get(name, ("", 0))
        if kind in ("queued", "requeued"):
            states[name] = ("queued", attempt)
        elif kind in ("completed", "failed", "infeasible", "cancelled", "abandoned"):
            assert state in PENDING, f"{name} has ended twice"
            states[name] = (kind, newest)
        elif kind == "released":  # unless it is offered again, which the next event says
            states[name] = ("cancelled", newest)
        elif kind == "revived" or (kind == "claimed" and attempt == newest and state == "queued"):
            states[name] = ("running", newest)
        elif kind == "interrupted" and attempt == newest and state == "running":
            states[name] = ("interrupted", newest)
    return states


def tuple_of(key):
    return key.experiment, key.attempt


def tuple_of_text(text):
    name, _, attempt = text.partition(".")
    return name, int(attempt)
