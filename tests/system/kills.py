"""A campaign under fire: kill -9 of planner, pool and workers at random, restarted each time.

The checker reads the ledger, the folders and the drivers' own tally with its own code, not with the product's.
Only processes that carry this run's mark in their environment are ever killed.
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
from dataclasses import dataclass, field
from pathlib import Path

MARK = "ALCHEMY_ASYNC_KILL_TEST"
TERMINAL = {"completed", "failed", "infeasible", "cancelled", "abandoned"}

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
strategy = "sobol"
seed = {seed}
initial = {{ method = "sobol", n = 3, wait = false }}
look_ahead = 2

[[workers]]
name = "bench"
count = 3
driver = "counted:Counted"
lease_s = 2
timeout_s = 20
grace_s = 2
"""

DRIVER = '''
"""A driver that keeps its own append-only tally of what was really started and measured."""

import os
import random
import time


def note(folder, *words):
    descriptor = os.open(folder / "tally.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (" ".join(map(str, words)) + "\\n").encode())
    os.fsync(descriptor)
    os.close(descriptor)


class Counted:
    def measure(self, parameters, context):
        key = f"{context.experiment}.{context.attempt}"
        note(context.folder, "started", key, repr(parameters["x"]))
        context.sleep(random.uniform(0.1, 0.8))
        note(context.folder, "measured", key, repr(parameters["x"]))
        return parameters["x"] ** 2
'''


@dataclass
class Report:
    """What a campaign under fire came to; ``violations`` should be empty."""

    kills: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    n_started: int = 0
    n_replicates: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"kills {self.kills}, experiments {self.counts}, attempts started {self.n_started}, "
            f"replicates {self.n_replicates}, {self.seconds:.0f} s, violations {self.violations or 'none'}"
        )


class Fire:
    """Runs one campaign and kills its processes."""

    def __init__(self, folder: Path, *, rounds: int, seed: int):
        self.folder, self.rounds = folder, rounds
        self.rng = random.Random(seed)
        self.mark = uuid.uuid4().hex
        self.budget = 20 + 10 * rounds
        self.processes: dict[str, subprocess.Popen] = {}
        self.seen_results: set[str] = set()
        self.report = Report(kills={"planner": 0, "pool": 0, "worker": 0, "everything": 0})
        folder.mkdir(parents=True, exist_ok=True)
        text = CAMPAIGN.format(budget=self.budget, most=20 * self.budget, seed=seed)
        (folder / "campaign.toml").write_text(text)
        (folder / "counted.py").write_text(DRIVER)
        (folder / "out").mkdir()

    def run(self) -> Report:
        began = time.monotonic()
        try:
            self._keep_up()
            for _ in range(self.rounds):
                self._wait_for_starts(time.monotonic() + 30)
                self._watch_for(self.rng.uniform(0.0, 0.8))
                self._kill()
                self._watch_for(self.rng.uniform(0.0, 0.3))
                self._keep_up()
                self._decide_interrupted()
            self._finish(time.monotonic() + 60 + 2 * self.rounds)
        finally:
            self._stop_all()
        self.report.seconds = time.monotonic() - began
        self._check()
        return self.report

    # -- processes ---------------------------------------------------------

    def _keep_up(self):
        for name, command in (("planner", "plan"), ("pool", "work")):
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            with (self.folder / "out" / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "alchemy_async", command, str(self.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, MARK: self.mark},
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
        if target in ("planner", "pool"):
            self._kill_process(target)
        elif target == "worker":
            workers = self._workers()
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.rng.choice(workers), signal.SIGKILL)
        else:
            self._kill_process("pool")
            self._kill_process("planner")
            for pid in self._workers():
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

    def _watch_for(self, seconds):
        """Remember every result file that is ever seen: each must come into the ledger."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for path in (self.folder / "dump").glob("worker_result_*.json"):
                with contextlib.suppress(OSError, ValueError):
                    document = json.loads(path.read_bytes())
                    self.seen_results.add(f"{document['experiment']}.{document['attempt']}")
            time.sleep(0.005)

    def _wait_for_starts(self, until):
        """Wait until instruments work again: a kill among processes that only begin would prove little."""
        wanted = self._n_started() + 2
        while self._n_started() < wanted and time.monotonic() < until:
            if self.processes["planner"].poll() == 0:
                return
            self._watch_for(0.05)

    def _n_started(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "tally.txt").read_text().count("started")
        return 0

    def _decide_interrupted(self):
        """Play the person who looks at the bench and decides."""
        for row in self._rows("SELECT id FROM experiments WHERE state = 'interrupted'"):
            command = self.rng.choice(["requeue", "abandon"])
            subprocess.run(
                [sys.executable, "-m", "alchemy_async", command, str(self.folder), row["id"]],
                capture_output=True,
                check=False,
                timeout=60,
            )

    def _finish(self, until):
        """Let the campaign end by itself."""
        while time.monotonic() < until:
            self._watch_for(0.3)
            self._decide_interrupted()
            if self.processes["planner"].poll() == 0:
                self.processes["pool"].wait(40)
                return
            self._keep_up()
        self.report.violations.append("the campaign did not end")

    # -- afterwards --------------------------------------------------------

    def _rows(self, sql):
        try:
            with contextlib.closing(sqlite3.connect(self.folder / "campaign.db", timeout=30)) as ledger:
                ledger.row_factory = sqlite3.Row
                return ledger.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []

    def _check(self):
        bad = self.report.violations
        experiments = self._rows("SELECT id, state FROM experiments")
        outcomes = self._rows("SELECT experiment, attempt, status, role, measured FROM outcomes")
        for row in experiments:
            self.report.counts[row["state"]] = self.report.counts.get(row["state"], 0) + 1
            if row["state"] not in TERMINAL:
                bad.append(f"{row['id']} has no terminal record: {row['state']}")
        if self.report.counts.get("completed", 0) != self.budget:
            bad.append(f"{self.report.counts.get('completed', 0)} of {self.budget} completed")
        self._check_tally(outcomes)
        recorded = {f"{row['experiment']}.{row['attempt']}" for row in outcomes}
        bad += [f"{key} reached a result file and is not in the ledger" for key in self.seen_results - recorded]
        bad += [f"{path.name} was left in dump/" for path in (self.folder / "dump").glob("worker_result_*")]
        rejected = [path.name for path in (self.folder / "dump" / "rejected").glob("*.json")]
        bad += [f"{name} was rejected" for name in rejected]
        if self._rows("PRAGMA integrity_check")[0][0] != "ok":
            bad.append("the ledger is not intact")

    def _check_tally(self, outcomes):
        bad = self.report.violations
        lines = [line.split() for line in (self.folder / "tally.txt").read_text().splitlines()]
        started = [key for word, key, _ in lines if word == "started"]
        measured = {key: float(x) ** 2 for word, key, x in lines if word == "measured"}
        self.report.n_started = len(started)
        bad += [f"{key} was started twice" for key in set(started) if started.count(key) > 1]
        results = [row["experiment"] for row in outcomes if row["role"] == "result" and row["status"] == "completed"]
        bad += [f"{name} was counted twice" for name in set(results) if results.count(name) > 1]
        self.report.n_replicates = sum(row["role"] == "replicate" for row in outcomes)
        for row in outcomes:
            key = f"{row['experiment']}.{row['attempt']}"
            if row["role"] == "conflict":
                bad.append(f"{key} has a conflict")
            if row["status"] == "completed" and json.loads(row["measured"])["y"] != measured.get(key):
                bad.append(f"{key} has a value that no driver measured")
