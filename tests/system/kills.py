"""A campaign under fire: kill -9 of planner, pool and workers at random, restarted each time.

After each kill, and at the end, a checker with its own code reads the ledger, the folders, the drivers' own
tally, and what a witness saw (`checking`). Only processes that carry this run's mark in their environment are
ever killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alchemy_async.errors import AlchemyError
from alchemy_async.ledger import Ledger
from tests.system.checking import Checker
from tests.system.witness import Witness

ROOT = Path(__file__).parents[2]
MARK = "ALCHEMY_ASYNC_KILL_TEST"

CAMPAIGN = """
[campaign]
name = "kills"

[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]

[[parameters]]
name = "z"
type = "continuous"
bounds = [0, 1]

[[objectives]]
name = "y"
goal = "minimize"

[budget]
experiments = {budget}
max_started = {most}

[planner]
strategy = "random"
seed = {seed}
initial = {{ method = "random", n = 3, wait = false }}
look_ahead = 2

[[workers]]
name = "bench"
count = {workers}
driver = "counted:Counted"
lease_s = 2
timeout_s = 60
grace_s = 2
"""

DRIVER = '''
"""A driver that keeps its own append-only tally of what was really started and measured."""

import os
import random

def note(folder, *words):
    descriptor = os.open(folder / "tally.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (" ".join(map(str, words)) + "\\n").encode())
    os.fsync(descriptor)
    os.close(descriptor)


class Counted:
    def measure(self, parameters, context):
        key = f"{context.experiment}.{context.attempt}"
        note(context.folder, "started", key, repr(parameters["x"]))
        context.sleep(0.01 if (context.folder / "hurry").exists() else random.uniform(0.1, 0.8))
        note(context.folder, "measured", key, repr(parameters["x"]))
        return parameters["x"] ** 2
'''


@dataclass
class Report:
    """What a campaign under fire came to; ``violations`` should be empty."""

    kills: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    n_looks: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"kills {self.kills}, {self.counts}, looks {self.n_looks}, {self.seconds:.0f} s, "
            f"violations {self.violations or 'none'}"
        )

    def figures(self) -> dict[str, object]:
        """Return what the table of faults shows."""
        wanted = ("attempts_started", "started_again", "allowed_again", "published", "completed", "replicates")
        shown = {name: self.counts.get(name, 0) for name in wanted}
        return {"kills": sum(self.kills.values()), "of": self.kills, **shown, "looks_of_the_checker": self.n_looks}


class Fire:
    """Runs one campaign and kills its processes.

    Args:
        folder: The campaign folder; made here.
        rounds: How many kills.
        seed: Of who is killed, and when.
        workers: How many instruments there are.
    """

    modules: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path, *, rounds: int, seed: int, workers: int = 3):
        self.folder, self.rounds = folder, rounds
        self.rng = random.Random(seed)
        self.mark = uuid.uuid4().hex
        self.budget = 20 + 10 * rounds
        self.processes: dict[str, subprocess.Popen] = {}
        self.report = Report(kills={"planner": 0, "pool": 0, "worker": 0, "everything": 0})
        for made in (folder, folder / "dump", folder.parent / "out"):
            made.mkdir(parents=True, exist_ok=True)
        text = CAMPAIGN.format(budget=self.budget, most=20 * self.budget, seed=seed, workers=workers)
        (folder / "campaign.toml").write_text(text)
        (folder / "counted.py").write_text(DRIVER)
        self.witness = Witness(folder / "dump", folder.parent / "seen")
        self.checker = Checker(folder, self.budget, self.witness, folder.parent / "copy")

    def run(self) -> Report:
        """Kill ``rounds`` times, let the campaign end, and check it."""
        began = time.monotonic()
        try:
            self._fight()
            (self.folder / "hurry").touch()
            has_ended = self._finish(time.monotonic() + 300 + 10 * self.rounds)
        finally:
            self._stop_all()
        if has_ended:
            self.report.counts = self.checker.close()
        else:
            self.checker.violations.append("the campaign did not end")
        self.witness.close()
        self.report.violations = self.checker.violations
        self.report.n_looks = self.checker.n_looks
        self.report.seconds = time.monotonic() - began
        return self.report

    def _fight(self):
        self._keep_up()
        for _ in range(self.rounds):
            self._wait_for_the_next_kill()
            self._kill()
            time.sleep(self.rng.uniform(0.0, 0.2))
            self._look_and_restart()

    def _look_and_restart(self):
        self.checker.look(is_planner_dead=self.processes["planner"].poll() is not None)
        self._keep_up()
        self._decide_interrupted()

    # -- processes ---------------------------------------------------------

    def _commands(self) -> dict[str, str]:
        return {"planner": "plan", "pool": "work"}

    def _keep_up(self):
        for name, command in self._commands().items():
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            environment = {**os.environ, **self.environment, MARK: self.mark}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling anew would be most of each start
            with (self.folder.parent / "out" / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", self.modules.get(name, "alchemy_async"), command, str(self.folder)],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                )

    def _workers(self) -> list[int]:
        """Pids of living worker processes of this run."""
        pids = []
        for path in (self.folder / "dump" / "workers").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                pid = json.loads(path.read_bytes())["pid"]
                if f"{MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    pids.append(pid)
        return pids

    def _kill(self):
        target = self.rng.choice(["planner", "planner", "pool", "worker", "worker", "everything"])
        workers = self._workers()
        if target == "worker" and not workers:
            target = "planner"
        if target in ("pool", "everything"):
            self._kill_process("pool")
        if target in ("planner", "everything"):
            self._kill_process("planner")
        for pid in {"worker": [self.rng.choice(workers or [0])], "everything": workers}.get(target, []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.report.kills[target] += 1

    def _kill_process(self, name):
        process = self.processes[name]
        process.kill()
        process.wait()

    def _stop_all(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self._workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # -- while it runs -----------------------------------------------------

    def _wait_for_the_next_kill(self):
        """Let instruments work again, four times of five: a kill among processes that only begin proves little."""
        pause_s = self.rng.uniform(0.0, 0.5)
        if self.rng.random() < 0.8:
            wanted, until = self._n_started() + 2, time.monotonic() + 30
            while self._n_started() < wanted and time.monotonic() < until:
                if self.processes["planner"].poll() == 0:
                    return
                time.sleep(0.02)
        time.sleep(pause_s)

    def _n_started(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "tally.txt").read_bytes().count(b"started")
        return 0

    def _decide_interrupted(self):
        """Play the person who looks at the bench and decides; the same calls as behind the commands."""
        if not (self.folder / "campaign.db").exists():
            return
        try:
            with Ledger.open(self.folder / "campaign.db") as ledger:
                for found in ledger.experiments("interrupted"):
                    with contextlib.suppress(AlchemyError):  # it may have ended meanwhile
                        self._decide(ledger, found.id)
        except (AlchemyError, sqlite3.OperationalError):  # no table yet
            return

    def _decide(self, ledger: Ledger, experiment: str):
        runs_again = self.rng.random() < 0.5
        with ledger.change() as change:
            (change.requeue if runs_again else change.abandon)(experiment)
        if runs_again:
            self.checker.allow_again(experiment)

    def _finish(self, until) -> bool:
        """Let the campaign end by itself."""
        while time.monotonic() < until:
            time.sleep(0.3)
            self._decide_interrupted()
            if self.processes["planner"].poll() == 0:
                self.processes["pool"].wait(60)
                return True
            self._keep_up()
        return False
