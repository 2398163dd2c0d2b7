"""The restart: how long a planner with a long backlog takes to its first revision.

In:    how many experiments wait in the ledger.
Out:   seconds from its start; the same for bare SQLite that reads them, and for bare processes.
Never: measures a first start: the campaign has been opened before.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import campaign, daemons
from alchemy_async.queues.layout import Layout

_POLL_S = 0.002
_LIMIT_S = 600.0
_IMPORTS = "import alchemy_async.cli.commands, alchemy_async.planner_daemon.run, alchemy_async.planner.space_filling"
_READ = """\
import sqlite3, sys, time
begun = time.perf_counter()
db = sqlite3.connect(sys.argv[1])
rows = db.execute("SELECT * FROM experiments").fetchall()
print(len(rows), time.perf_counter() - begun)
"""


def measure(folder: Path, *, n_waiting: int, repeats: int) -> dict[str, Any]:
    """Restart a planner a few times and compare the medians.

    Raises:
        BenchError: If the planner fails.
    """
    campaign.stage(folder, n=n_waiting, n_workers=1)
    first = _start(folder)
    restarts, reads, starts, imports = [], [], [], []
    for _ in range(repeats):
        restarts.append(_start(folder))
        reads.append(_read(folder / "campaign.db", n_waiting))
        starts.append(_time_python("pass"))
        imports.append(_time_python(_IMPORTS))
    return compare(n_waiting, first, restarts, reads, starts, imports)


def compare(
    n_waiting: int,
    first: float,
    restarts: list[float],
    reads: list[float],
    starts: list[float],
    imports: list[float],
) -> dict[str, Any]:
    """Return the medians, and the restart in multiples of bare reading and the start of a process.

    Args:
        n_waiting: Experiments in the ledger.
        first: The campaign's very first start, seconds.
        restarts: Later ones, seconds from exec to the first revision.
        reads: Bare SQLite reading every experiment, seconds.
        starts: A Python that does nothing, seconds.
        imports: A Python that imports what the planner imports, seconds.
    """
    restart, read, start, imported = map(statistics.median, (restarts, reads, starts, imports))
    return {
        "n_waiting": n_waiting,
        "first_start_s": first,
        "restart_s": restart,
        "restart_each_s": restarts,
        "bare_read_s": read,
        "python_start_s": start,
        "import_s": max(imported - start, 0.0),
        "ratio": restart / (read + imported),
        "ratio_without_imports": restart / (read + start),
    }


def _start(folder: Path) -> float:
    """Start a planner; return the seconds to the first revision that it publishes, and end it."""
    queue = Layout(folder).queue_file
    before = _identity(queue)
    with daemons.running("plan", folder) as planner:
        daemons.wait_for(
            "the first revision", lambda: _identity(queue) != before, planner, limit_s=_LIMIT_S, poll_s=_POLL_S
        )
        return time.perf_counter() - planner.begun


def _identity(queue: Path) -> tuple[int, int] | None:
    """Return what differs between two revisions: each is renamed over the last."""
    try:
        found = queue.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read(ledger: Path, n: int) -> float:
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", _READ, str(ledger)], capture_output=True, text=True, check=True, timeout=_LIMIT_S
    )
    found, seconds = ended.stdout.split()
    if int(found) != n:
        raise daemons.BenchError(f"the ledger holds {found} experiments, and {n} were staged")
    return float(seconds)


def _time_python(script: str) -> float:
    begun = time.perf_counter()
    command = [sys.executable, "-c", script]
    subprocess.run(command, check=True, timeout=_LIMIT_S, env=daemons.as_installed())  # noqa: S603 - our own script
    return time.perf_counter() - begun
