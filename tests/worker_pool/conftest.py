"""A bench of real processes: a campaign folder, a driver that keeps a journal, pools in sessions of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alchemy_async.clock import SystemClock
from alchemy_async.experiment import AttemptKey, Heartbeat, Offer, QueueState, Result, Revision, WorkerState
from alchemy_async.files import parse_json
from alchemy_async.queues.folder_planner import FolderPlannerEnd

CAMPAIGN = "test-00000001"

LAB = '''
import os, signal, sys, time
from alchemy_async.errors import LimitError, NotStartedError

class Furnace:
    """Does what the parameter ``do`` says, for ``seconds``, and writes down whatever is asked of it."""

    idempotent = os.path.exists("repeatable")

    def write(self, line):
        with open("journal.txt", "a") as journal:
            journal.write(f"{line} {os.getpid()}\\n")

    def connect(self):
        self.write("connect")
        if os.path.exists("unplugged"):
            raise OSError("the furnace does not answer")
        if os.path.exists("explosive"):
            os.kill(os.getpid(), signal.SIGSEGV)

    def setup(self):
        self.write("setup")

    def stop(self):
        self.write("stop")

    def teardown(self):
        self.write("teardown")

    def measure(self, parameters, context):
        self.write(f"measure {context.experiment}.{context.attempt}")
        do, seconds = parameters["do"], parameters["seconds"]
        if do == "hang":
            while True:
                time.sleep(0.05)
        while do == "gate" and not os.path.exists("open"):
            time.sleep(0.01)
        if do == "late":
            context.stopping.wait()
            return 7.0
        if do == "raise":
            raise ValueError("the sample broke")
        if do == "exit":
            sys.exit(3)
        if do == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if do == "print":
            print("x" * 12_000_000, flush=True)
        if do == "release" and not os.path.exists("full"):
            open("full", "w").close()
            raise NotStartedError("the rack is empty")
        if do == "limit":
            raise LimitError("too hot")
        if do == "blind":
            time.sleep(seconds)
        else:
            context.sleep(seconds)
        self.write(f"measured {context.experiment}.{context.attempt}")
        return 1.5
'''

SETTINGS = """
[campaign]
name = "test"
[[parameters]]
name = "do"
type = "categorical"
options = ["wait", "hang"]
[[parameters]]
name = "seconds"
type = "continuous"
bounds = [0, 100]
[[objectives]]
name = "yield"
goal = "maximize"
[[workers]]
name = "w"
count = {count}
driver = "lab:Furnace"
timeout_s = {timeout_s}
lease_s = {lease_s}
grace_s = {grace_s}
"""

START = """
print("the script runs")
import logging, sys
from pathlib import Path
from alchemy_async.worker_pool import run_pool
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
sys.exit(run_pool(Path(sys.argv[1]), name=sys.argv[2]))
"""


def until(condition: Callable[[], object], within_s: float = 15.0) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that died and was not waited for does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class Bench:
    """One campaign folder, its planner's end, and the pools that were started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pools: list[subprocess.Popen[bytes]] = []
        self.revision = 0
        self.end: FolderPlannerEnd | None = None
        (folder / "lab.py").write_text(LAB)
        self.settings()

    def settings(self, count: int = 1, timeout_s: float = 60, lease_s: float = 1, grace_s: float = 0.5) -> None:
        text = SETTINGS.format(count=count, timeout_s=timeout_s, lease_s=lease_s, grace_s=grace_s)
        (self.folder / "campaign.toml").write_text(text)

    def publish(
        self, *what: tuple[str, float], state: QueueState = QueueState.RUNNING, cancel: tuple[str, ...] = ()
    ) -> None:
        """Publish a queue of e0001.1, e0002.1 ... with what the driver is to do and for how long."""
        if self.end is None:
            self.end = FolderPlannerEnd(self.folder, campaign=CAMPAIGN, clock=SystemClock())
        self.revision += 1
        offers = tuple(
            Offer(AttemptKey(f"e{k:04}", 1), {"do": do, "seconds": seconds}) for k, (do, seconds) in enumerate(what, 1)
        )
        keys = tuple(AttemptKey.parse(text) for text in cancel)
        self.end.publish(Revision(CAMPAIGN, self.revision, state, offers, keys))

    def start(self, name: str = "pool") -> subprocess.Popen[bytes]:
        """Start a pool; its lines go to ``<name>.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            script = self.folder / "script_without_a_guard.py"
            script.write_text(START)
            command = [sys.executable, str(script), str(self.folder), name]
            pool = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        self.pools.append(pool)
        return pool

    def said(self, name: str = "pool") -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def journal(self) -> list[str]:
        """Return what was asked of the driver, in order, without the process ids."""
        return [line.rsplit(" ", 1)[0] for line in self._journal()]

    def process_of(self, line: str) -> int:
        """Return the process that last wrote a line of the journal."""
        return next(int(entry.rsplit(" ", 1)[1]) for entry in reversed(self._journal()) if entry.startswith(f"{line} "))

    def _journal(self) -> list[str]:
        path = self.folder / "journal.txt"
        return path.read_text().splitlines() if path.exists() else []

    def results(self) -> dict[str, Result]:
        """Return the published results by attempt."""
        found = [Result.from_wire(parse_json(path.read_bytes())) for path in self.folder.glob("dump/worker_result_*")]
        return {str(result.key): result for result in found}

    def heartbeat(self, worker: str = "w-1") -> Heartbeat:
        """Return the last beat of a worker; before the first, one that says ``gone``."""
        try:
            return Heartbeat.from_wire(parse_json((self.folder / f"dump/workers/{worker}.json").read_bytes()))
        except FileNotFoundError:
            return Heartbeat(worker, "", 0, WorkerState.GONE)

    def log(self, worker: str = "w-1") -> str:
        path = self.folder / f"logs/{worker}.log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        if self.end is not None:
            self.end.close()
        for pool in self.pools:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pool.pid, signal.SIGKILL)
            pool.wait()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()
