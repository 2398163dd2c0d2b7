"""Both daemons as real processes in one folder, with a driver that keeps a journal of what was really done.

The ledger is read with plain SQLite, the folders with plain JSON: what the product says of itself proves little.
Only processes that were started here, and workers that carry this folder's mark, are ever signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "ALCHEMY_ASYNC_FAULT_TEST"

CAMPAIGN = """
[campaign]
name = "faults"

[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]

[[objectives]]
name = "y"
goal = "minimize"

[budget]
experiments = {budget}

[planner]
strategy = "random"
seed = 11
initial = {{ method = "random", n = {budget}, wait = false }}

[[workers]]
name = "w"
count = {count}
driver = "lab:Instrument"
lease_s = {lease_s}
timeout_s = {timeout_s}
grace_s = {grace_s}
"""

DRIVER = '''
import os
import time


class Instrument:
    """Measures at once, or holds each measurement back until the file ``gate`` is away."""

    idempotent = os.path.exists("repeatable")

    def note(self, *words):
        line = " ".join(map(str, (*words, os.getpid()))) + "\\n"
        descriptor = os.open("journal.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def connect(self):
        self.note("connect")

    def setup(self):
        self.note("setup")

    def stop(self):
        self.note("stop")

    def teardown(self):
        self.note("teardown")

    def measure(self, parameters, context):
        key = f"{context.experiment}.{context.attempt}"
        self.note("started", key)
        while os.path.exists("gate"):
            context.sleep(0.02)
        self.note("measured", key)
        return parameters["x"] ** 2
'''


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Poll until something holds; the limit is for a machine that is busy with other things."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that died and was not waited for does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class Site:
    """One campaign folder and the daemons that were started on it."""

    def __init__(self, folder: Path, *, budget=4, count=1, lease_s=30.0, timeout_s=120.0, grace_s=2.0):
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        text = CAMPAIGN.format(budget=budget, count=count, lease_s=lease_s, timeout_s=timeout_s, grace_s=grace_s)
        (folder / "campaign.toml").write_text(text)
        (folder / "lab.py").write_text(DRIVER)

    # -- processes ---------------------------------------------------------

    def plan(self, name: str = "planner", **options) -> subprocess.Popen[bytes]:
        """Start `alchemy-async plan`; its lines go to ``<name>.out``."""
        return self._start("plan", name, **options)

    def work(self, name: str = "pool", **options) -> subprocess.Popen[bytes]:
        """Start `alchemy-async work`; its lines go to ``<name>.out``."""
        return self._start("work", name, "--name", name, **options)

    def _start(self, command: str, name: str, *arguments: str, **options) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "alchemy_async", command, str(self.folder), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={**os.environ, MARK: self.mark, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                **options,
            )
        self.processes.append(process)
        return process

    def command(self, name: str, *arguments: str) -> None:
        """Run a short command on the folder."""
        words = [sys.executable, "-m", "alchemy_async", name, str(self.folder), *arguments]
        subprocess.run(words, check=True, capture_output=True, timeout=60)

    def workers(self) -> dict[str, int]:
        """Return the process of each worker that lives and is this folder's, by name."""
        living = {}
        for path in (self.folder / "dump" / "workers").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                pid = json.loads(path.read_bytes())["pid"]
                if self._is_ours(pid) and is_alive(pid):
                    living[path.stem] = pid
        return living

    def beat(self, worker: str) -> int:
        """Return the number of a worker's last beat."""
        return json.loads((self.folder / "dump" / "workers" / f"{worker}.json").read_bytes())["beat"]

    def _is_ours(self, pid: int) -> bool:
        return f"{MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()

    def close(self) -> None:
        """Kill what is left."""
        pids = list(self.workers().values())
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for pid in {*pids, *self.workers().values()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # -- what they did -----------------------------------------------------

    @property
    def gate(self) -> Path:
        """While this file is there, no measurement ends."""
        return self.folder / "gate"

    def said(self, name: str) -> str:
        """Return what a daemon wrote."""
        path = self.folder / f"{name}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def journal(self, word: str = "") -> list[str]:
        """Return what the drivers noted in order, without process ids; of one kind if ``word`` is given."""
        path = self.folder / "journal.txt"
        lines = [line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line.startswith(word)]

    def queue(self) -> dict:
        """Return the queue as it is published."""
        return json.loads((self.folder / "pickup" / "priority_queue.json").read_bytes())

    def is_published(self) -> bool:
        """Return whether there is a queue that offers something."""
        path = self.folder / "pickup" / "priority_queue.json"
        return path.exists() and bool(json.loads(path.read_bytes())["experiments"])

    def claims(self) -> list[str]:
        """Return the attempts that somebody claimed."""
        return sorted(path.stem for path in (self.folder / "dump" / "claims").glob("*.json"))

    def results(self) -> list[str]:
        """Return the result files that wait."""
        return sorted(path.name for path in (self.folder / "dump").glob("worker_result_*"))

    def states(self) -> dict[str, str]:
        """Return the state of each experiment."""
        return {row["id"]: row["state"] for row in self.rows("SELECT id, state FROM experiments ORDER BY number")}

    def rows(self, sql: str) -> list[sqlite3.Row]:
        """Ask the ledger; nothing while there is none."""
        path = self.folder / "campaign.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as ledger:
            ledger.row_factory = sqlite3.Row
            try:
                return ledger.execute(sql).fetchall()
            except sqlite3.OperationalError:  # it is just being made
                return []

    def assert_nothing_twice(self) -> None:
        """Assert that no attempt was started twice, and that no experiment was counted twice."""
        started = self.journal("started")
        counted = [row["experiment"] for row in self.rows("SELECT experiment FROM outcomes WHERE role = 'result'")]
        assert len(started) == len(set(started))
        assert len(counted) == len(set(counted))


@contextmanager
def site_in(folder: Path, **settings) -> Iterator[Site]:
    """Make a site; kill what is left of it at the end, and show what it said if the test failed."""
    site = Site(folder, **settings)
    try:
        yield site
    except BaseException:
        for path in sorted(folder.glob("*.out")):
            print(f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}")
        raise
    finally:
        site.close()
