"""A real campaign whose planner and workers are killed at named steps, one after the other."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from alchemy_async.errors import AlchemyError
from alchemy_async.ledger import Ledger
from tests.system.armed import WHERE
from tests.system.kills import Fire

ONCE = ("staging.made", "pickup.made", "claims.made", "workers.made", "rejected.made", "folder.fsynced", "dump.fsynced")
"""What the planner does once in the life of a folder."""
AT_A_START = ("folder.fsynced",)
"""What a worker does as it begins, and not again."""


class StepFire(Fire):
    """Kills planner and workers at named steps, one after the other, in one campaign.

    Args:
        folder: The campaign folder; made here.
        points: Whom to kill, at which step, and whether before or after it: ``("planner", "queue.renamed", "after")``.
            What is in `ONCE` comes first, in its order, or alone.
        seed: Of what a person decides.
    """

    modules: Mapping[str, str] = {"planner": "tests.system.armed", "pool": "tests.system.armed"}

    def __init__(self, folder: Path, points: list[tuple[str, str, str]], *, seed: int = 0):
        super().__init__(folder, rounds=3 * len(points), seed=seed, workers=2)  # so many that none is left without work
        self.points, self.orders = points, folder.parent / "orders"
        self.orders.mkdir()
        self.environment = {WHERE: str(self.orders)}
        self.report.kills = {"planner": 0, "worker": 0}
        self._next_stimulus_s = 0.0
        self._n_fought = 0

    def _commands(self):
        """Return what is to run: a worker would make the folders too, so it comes after what happens once."""
        is_once = any(name in ONCE and actor == "planner" for actor, name, _ in self.points[self._n_fought :])
        return {"planner": "plan"} if is_once else super()._commands()

    def met(self, actor: str) -> set[str]:
        """Return the names of all steps that were met."""
        path = self.orders / f"{actor}.met"
        return set(path.read_text().split()) if path.exists() else set()

    def _fight(self):
        for actor, name, when in self.points:
            struck = self.orders / f"{actor}.struck"
            struck.unlink(missing_ok=True)
            (self.orders / "order").write_text(f"{name} {when}")
            (self.orders / "order").rename(self.orders / actor)
            self._keep_up()
            until = time.monotonic() + 240
            while not struck.exists():
                if time.monotonic() > until or self.processes["planner"].poll() == 0:
                    (self.orders / actor).unlink(missing_ok=True)
                    self.checker.violations.append(f"{actor} did not meet {name} ({when})")
                    break
                self._provoke(actor, name)
                time.sleep(0.02)
            else:
                self._count_death(actor)
            self.checker.look(is_planner_dead=self.processes["planner"].poll() is not None)
            self._n_fought += 1
            self._decide_interrupted()
            if actor == "worker":
                self._let_workers_work()

    def _count_death(self, actor):
        """Wait for the death itself: the order was taken just before it."""
        if actor == "planner":
            self.processes["planner"].wait(60)
        self.report.kills[actor] += 1

    def _let_workers_work(self):
        """Let each instrument finish something: the pool waits ever longer for one that only dies."""
        wanted, until = self._n_measured() + 4, time.monotonic() + 60
        while self._n_measured() < wanted and time.monotonic() < until:
            self._keep_up()
            self._decide_interrupted()
            time.sleep(0.1)

    def _n_measured(self) -> int:
        path = self.folder / "tally.txt"
        return path.read_bytes().count(b"measured") if path.exists() else 0

    def _provoke(self, actor, name):
        """Do what makes somebody take a step that is taken seldom: cancel, leave what is no result, end a worker."""
        if time.monotonic() < self._next_stimulus_s:
            return
        self._next_stimulus_s = time.monotonic() + 1.0
        if actor == "worker":
            if name in AT_A_START:
                self._end_a_worker()
            return
        if name.startswith(("rejected", "reason", "result", "staging")):
            name = f"worker_result_stranger_e9999.{len(self.checker.spoiled) + 1}.json"
            self.checker.spoiled.add(name)
            (self.folder / "dump" / name).write_text("this is no result")
        if name.startswith("claim"):
            self._cancel_one()

    def _end_a_worker(self):
        """Kill one at no step in particular; the pool starts another."""
        self._next_stimulus_s += 4.0
        for pid in self._workers()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _cancel_one(self):
        try:
            with Ledger.open(self.folder / "campaign.db") as ledger, ledger.change() as change:
                for found in ledger.experiments("queued")[-1:]:
                    change.request_cancel(found.id)
        except (AlchemyError, sqlite3.OperationalError):  # no table yet, or it has been claimed
            return
