"""The demo: both daemons as real processes on Olympus' Branin, watched until they end.

In:    a folder, a budget, workers, durations, a seed.
Out:   a finished campaign in that folder, and one object of figures measured in this run.
Never: takes a short cut: planner and workers are the two commands that a user types.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from alchemy_async import files
from alchemy_async.benchmark.figures import gapless, percentile, utilisation
from alchemy_async.clock import from_wire
from alchemy_async.config import load_campaign
from alchemy_async.errors import AlchemyError, FolderError
from alchemy_async.experiment import Heartbeat, State, WorkerState
from alchemy_async.ledger import Ledger
from alchemy_async.queues.layout import Layout

BRANIN_MINIMUM = 0.39788735772973816

_POLL_S = 0.2
_START_LIMIT_S = 120.0
_CAMPAIGN = """\
# The demo: Branin's function as a simulated instrument.

[campaign]
name = "demo"

[[parameters]]
name = "x0"
type = "continuous"
bounds = [-5, 10]

[[parameters]]
name = "x1"
type = "continuous"
bounds = [0, 15]

[[objectives]]
name = "value"
goal = "minimize"

[budget]
experiments = {budget}

[planner]
strategy = "bayesian"
options = {{ noise = "none" }}   # the simulation repeats exactly
seed = {seed}

[[workers]]
name = "branin"
count = {workers}
driver = "olympus:Branin"
options = {{ domain = "physical", durations = [{shortest}, {longest}], seed = {seed} }}
timeout_s = {timeout}
"""


@dataclass(frozen=True)
class Progress:
    """Where the demo stands: experiments completed of the budget, running, queued, the best value."""

    completed: int
    budget: int
    running: int = 0
    queued: int = 0
    best: float | None = None
    stage: str = "running"


class DemoError(AlchemyError):
    """A daemon of the demo did not start or did not end properly."""


def run_demo(
    folder: Path | None,
    *,
    budget: int = 20,
    workers: int = 3,
    durations: tuple[float, float] = (0.5, 3.0),
    seed: int | None = None,
    show: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Run one campaign with both daemons as processes of their own, and measure it.

    Args:
        folder: Where; it may exist if it is empty. None: a folder in the system's temporary one.
        budget: Experiments to complete.
        workers: Simulated instruments.
        durations: Shortest and longest experiment, in seconds.
        seed: Of planner and instruments; None draws one.
        show: Called with the progress a few times a second.

    Returns:
        The figures, as ``alchemy-async demo --json`` prints them.

    Raises:
        FolderError: If the folder is not empty.
        DemoError: If a daemon fails.
    """
    folder = _prepare(folder, budget, workers, durations, seed)
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        show(Progress(0, budget, stage="starting the workers"))
        pool = stack.enter_context(_daemon("work", folder))
        _wait_until_ready(folder, workers, pool)
        show(Progress(0, budget, stage="starting the planner"))
        planner = stack.enter_context(_daemon("plan", folder))
        publish_s = _watch(folder, budget, planner, pool, show)
    figures = measure(folder)
    figures["publish_ms"] = _ms(percentile(publish_s, 50))
    figures["wall_s"] = time.perf_counter() - began
    figures["folder"] = str(folder)
    return figures


def _prepare(folder: Path | None, budget: int, workers: int, durations: tuple[float, float], seed: int | None) -> Path:
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="alchemy-demo-"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderError(f"{folder} is not empty. Name a folder that is empty or does not exist yet, with --dir.")
    folder.mkdir(parents=True, exist_ok=True)
    shortest, longest = durations
    text = _CAMPAIGN.format(
        budget=budget,
        seed=int.from_bytes(os.urandom(3)) if seed is None else seed,
        workers=workers,
        shortest=shortest,
        longest=longest,
        timeout=max(60.0, 10 * longest),
    )
    (folder / "campaign.toml").write_text(text, encoding="utf-8")
    load_campaign(folder)  # a budget or a duration that makes no sense is refused here, with its mend
    return folder


@contextlib.contextmanager
def _daemon(command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of the two commands until the block ends; what it prints goes to logs/."""
    (folder / "logs").mkdir(exist_ok=True)
    with (folder / "logs" / f"{command}.log").open("a", encoding="utf-8") as log:
        process = _start(command, folder, log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _start(command: str, folder: Path, log: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own command, with a path of ours
        [sys.executable, "-m", "alchemy_async", command, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _wait_until_ready(folder: Path, workers: int, pool: subprocess.Popen[bytes]) -> None:
    """Wait until every worker says that it is idle: the pool may start first, in any folder with a campaign.toml."""
    layout, until = Layout(folder), time.monotonic() + _START_LIMIT_S
    while sum(beat.state is WorkerState.IDLE for beat in _beats(layout)) < workers:
        if pool.poll() is not None or time.monotonic() > until:
            raise DemoError(f"the worker pool did not start. It said:\n{_tail(folder, 'work')}")
        time.sleep(0.05)


def _beats(layout: Layout) -> list[Heartbeat]:
    beats = []
    for path in layout.workers.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, AlchemyError):
            beats.append(Heartbeat.from_wire(files.parse_json(files.read_file(path))))
    return beats


def _watch(
    folder: Path,
    budget: int,
    planner: subprocess.Popen[bytes],
    pool: subprocess.Popen[bytes],
    show: Callable[[Progress], None],
) -> list[float]:
    """Show progress until both daemons have ended; meanwhile publish a file now and then, and time it."""
    publish_s: list[float] = []
    while planner.poll() is None or pool.poll() is None:
        publish_s.append(_publish_once(folder, len(publish_s)))
        show(_progress(folder, budget))
        time.sleep(_POLL_S)
    show(_progress(folder, budget))
    for command, process in (("plan", planner), ("work", pool)):
        if process.returncode != 0:
            raise DemoError(
                f"`{command}` ended with exit code {process.returncode}. It said:\n{_tail(folder, command)}"
            )
    return publish_s


def _publish_once(folder: Path, number: int) -> float:
    """Return how long write + fsync + link + fsync of the folder take on this disk, in seconds."""
    place = folder / "logs"
    final = place / f"publish-{number}.probe"
    begun = time.perf_counter()
    files.publish_once(place / "publish.staging", final, b"x" * 500)
    files.fsync_folder(place)
    taken = time.perf_counter() - begun
    final.unlink()
    return taken


def _progress(folder: Path, budget: int) -> Progress:
    try:
        with Ledger.open(folder / "campaign.db") as ledger:
            tally = ledger.tally()
            best = ledger.best(*load_campaign(folder).as_objectives())
    except AlchemyError:
        return Progress(0, budget, stage="starting the planner")
    return Progress(
        tally[State.COMPLETED], budget, tally[State.RUNNING], tally[State.QUEUED], None if best is None else best.value
    )


def _tail(folder: Path, command: str, lines: int = 15) -> str:
    with contextlib.suppress(OSError):
        text = (folder / "logs" / f"{command}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])
    return ""


def measure(folder: Path) -> dict[str, Any]:
    """Return the figures of a finished campaign on Branin, from its ledger and its folders."""
    settings = load_campaign(folder)
    n_workers = sum(len(group.worker_names()) for group in settings.workers)
    objective = settings.as_objectives()[0]
    with Ledger.open(folder / "campaign.db") as ledger:
        tally = ledger.tally()
        outcomes = list(ledger.outcomes())
        best = ledger.best(objective)
        asks = ledger.ask_seconds()
    spans = [(_seconds(row["started_at"]), _seconds(row["finished_at"])) for row in outcomes]
    turnarounds = [row["metadata"]["turnaround_s"] for row in outcomes if "turnaround_s" in row["metadata"]]
    return {
        "completed": tally[State.COMPLETED],
        "failed": tally[State.FAILED],
        "interrupted": tally[State.INTERRUPTED],
        "lost": _n_lost(Layout(folder), outcomes),
        "duplicated": _n_duplicated(outcomes),
        "best": None if best is None else {"values": {objective.name: best.value}, "parameters": dict(best.parameters)},
        "regret": None if best is None else best.value - BRANIN_MINIMUM,
        "utilisation": utilisation(spans, n_workers),
        "utilisation_ideal": utilisation(gapless(spans, n_workers), n_workers),
        "turnaround_ms": {
            "p50": _ms(percentile(turnarounds, 50)),
            "p99": _ms(percentile(turnarounds, 99)),
            "max": _ms(max(turnarounds, default=None)),
        },
        "ask_s": {"p50": percentile(asks, 50), "p95": percentile(asks, 95)},
    }


def _n_lost(layout: Layout, outcomes: list[dict[str, Any]]) -> int:
    """Count attempts that a worker claimed and of which the ledger has no outcome: claims are the witness."""
    recorded = {f"{row['experiment']}.{row['attempt']}" for row in outcomes}
    n_lost = 0
    for path in layout.claims.glob("*.json"):
        claimed_by = json.loads(path.read_bytes()).get("worker")
        n_lost += claimed_by != "planner" and path.stem not in recorded
    return n_lost


def _n_duplicated(outcomes: list[dict[str, Any]]) -> int:
    """Count measurements beyond the first of each experiment."""
    measured = [row["experiment"] for row in outcomes if row["status"] == "completed"]
    return len(measured) - len(set(measured))


def _seconds(text: str) -> float:
    return from_wire(text).timestamp()


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
