"""A campaign with its two real daemons, and a checker of its own.

The driver measures while the test lets it, and keeps a tally outside the campaign folder: a disk that refuses
can't falsify it. The checker reads ledger and folders with its own code, not with the product's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

CAMPAIGN = """
[campaign]
name = "trouble"
ledger = "{ledger}"

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
strategy = "sobol"
seed = 5
initial = {{ method = "sobol", n = 2, wait = false }}
look_ahead = 2

[[workers]]
name = "w"
count = {workers}
driver = "counted:Counted"
lease_s = {lease_s}
timeout_s = 600
grace_s = 2
"""

DRIVER = """
import os
import time
from pathlib import Path

OUTSIDE = Path({outside!r})


def note(word, context, x):
    descriptor = os.open(OUTSIDE / "tally.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{{word}} {{context.experiment}}.{{context.attempt}} {{x!r}}\\n".encode())
    os.close(descriptor)


class Counted:
    def measure(self, parameters, context):
        x = parameters["x"]
        note("started", context, x)
        context.sleep({seconds})
        while (OUTSIDE / "closed").exists():  # last of all, so that nobody ends who was seen running at a closed gate
            context.sleep(0.02)
        print("what an instrument tells is long:", "x" * 6000)
        note("measured", context, x)
        return x * x
"""


def until(condition: Callable[[], object], what: str, within_s: float = 90.0) -> None:
    """Poll until something holds; generous, because other tests may have the processors."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain until {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def folder_in_memory(otherwise: Path) -> Iterator[Path]:
    """Make a folder where an fsync costs nothing, for tests that pull no plug; where there is none, the other one."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield otherwise
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


class RealDaemons:
    """One campaign folder, and the processes that were started on it.

    Args:
        folder: The campaign folder; made here.
        outside: Where logs, the tally and the gate of the driver are kept.
        budget: Experiments of the campaign.
        workers: How many workers the pool has.
        lease_s: Of a claim; a worker beats four times as often.
        seconds: How long a measurement takes, if the gate is open then.
        ledger: Where the ledger lies; seen from the campaign folder.
    """

    def __init__(
        self,
        folder: Path,
        outside: Path,
        *,
        budget: int = 10,
        workers: int = 2,
        lease_s: float = 20,
        seconds: float = 0.05,
        ledger: str = "campaign.db",
    ) -> None:
        self.folder, self.outside, self.budget = folder, outside, budget
        self.ledger = folder / ledger
        self.started: list[subprocess.Popen[bytes]] = []
        for made in (folder, outside):
            made.mkdir(parents=True, exist_ok=True)
        settings = CAMPAIGN.format(budget=budget, workers=workers, lease_s=lease_s, ledger=ledger)
        (folder / "campaign.toml").write_text(settings)
        (folder / "counted.py").write_text(DRIVER.format(outside=str(outside), seconds=seconds))

    # -- processes ---------------------------------------------------------

    def start(self, command: str, name: str = "") -> subprocess.Popen[bytes]:
        """Start ``plan`` or ``work``; what it says goes to ``<name>.log`` outside the campaign folder."""
        with (self.outside / f"{name or command}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "alchemy_async", command, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def said(self, name: str) -> str:
        path = self.outside / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End what was started here, workers included: each daemon leads a session of its own."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    # -- the driver --------------------------------------------------------

    def close_gate(self) -> None:
        (self.outside / "closed").touch()

    def open_gate(self) -> None:
        (self.outside / "closed").unlink()

    def tally(self, word: str) -> list[str]:
        """Return the attempts of which the driver noted this word, in order."""
        path = self.outside / "tally.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1] for line in lines if line.startswith(f"{word} ")]

    # -- what the disk shows -----------------------------------------------

    def rows(self, sql: str, ledger: Path | None = None) -> list[sqlite3.Row]:
        place = f"file:{ledger or self.ledger}?mode=ro"  # else a ledger that is not there yet would be made
        with contextlib.closing(sqlite3.connect(place, timeout=30, uri=True)) as opened:
            opened.row_factory = sqlite3.Row
            return opened.execute(sql).fetchall()

    def n_completed(self) -> int:
        """Return how many experiments the ledger has as completed; 0 while there is no ledger to read."""
        with contextlib.suppress(sqlite3.Error):
            return int(self.rows("SELECT count(*) FROM experiments WHERE state = 'completed'")[0][0])
        return 0

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the folder."""
        words = (words[0], str(self.folder), *words[1:])
        line = [sys.executable, "-m", "alchemy_async", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)

    def running(self) -> set[str]:
        """Return the attempts that were started and not measured to the end."""
        return set(self.tally("started")) - set(self.tally("measured"))

    def heartbeat(self, worker: str = "w-1") -> dict[str, object]:
        document: dict[str, object] = json.loads((self.folder / "dump" / "workers" / f"{worker}.json").read_bytes())
        return document

    # -- afterwards --------------------------------------------------------

    def violations(self) -> list[str]:
        """Return whatever a campaign that ended has lost, doubled or left half-written."""
        outcomes = self.rows("SELECT experiment, attempt, status, role, measured FROM outcomes")
        started, measured = self.tally("started"), self._measured()
        counted = [row["experiment"] for row in outcomes if row["role"] == "result" and row["status"] == "completed"]
        recorded = {f"{row['experiment']}.{row['attempt']}" for row in outcomes}
        bad = [f"{key} was started twice" for key in set(started) if started.count(key) > 1]
        bad += [f"{key} was measured and is lost" for key in measured.keys() - recorded]
        bad += [f"{name} was counted twice" for name in set(counted) if counted.count(name) > 1]
        keys = Counter(f"{row['experiment']}.{row['attempt']}" for row in outcomes)
        bad += [f"{key} was recorded twice" for key, n in keys.items() if n > 1]
        for row in outcomes:
            key = f"{row['experiment']}.{row['attempt']}"
            if row["role"] == "conflict":
                bad.append(f"{key} has a conflict")
            if row["status"] != "completed" or json.loads(row["measured"])["y"] != measured.get(key):
                bad.append(f"{key} has an outcome that no driver brought: {row['status']} {row['measured']}")
        if len(counted) != self.budget:
            bad.append(f"{len(counted)} of {self.budget} completed")
        if self.rows("PRAGMA integrity_check")[0][0] != "ok":
            bad.append("the ledger is not intact")
        return bad + self._left_in_folders()

    def _measured(self) -> dict[str, float]:
        lines = [line.split() for line in (self.outside / "tally.txt").read_text().splitlines()]
        return {key: float(x) * float(x) for word, key, x in lines if word == "measured"}

    def _left_in_folders(self) -> list[str]:
        dump = self.folder / "dump"
        left = [*dump.glob("worker_result_*"), *(dump / "rejected").iterdir(), *(self.folder / ".staging").iterdir()]
        bad = [f"{path} was left" for path in left]
        for path in [*dump.glob("claims/*"), *dump.glob("workers/*"), *self.folder.glob("pickup/*")]:
            try:
                json.loads(path.read_bytes())
            except ValueError:
                bad.append(f"{path} is torn")
        return bad
