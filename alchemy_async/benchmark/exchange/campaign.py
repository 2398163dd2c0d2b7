"""Campaigns of no-op experiments: folders to be measured in, and what their ledgers say afterwards.

In:    how many workers and experiments.
Out:   a campaign folder whose experiments wait in the ledger; figures from the outcomes.
Never: times anything itself: times are those that worker and planner wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange.floor import percentiles
from alchemy_async.clock import from_wire
from alchemy_async.config import load_campaign
from alchemy_async.config.campaign import CampaignTable
from alchemy_async.experiment import State
from alchemy_async.ledger import Ledger

STALL_S = 0.5  # what a lost wake-up used to cost in other systems
NOBODY = "nobody"  # a label that no worker has

MODULE = "no_op"
_DRIVER = """\
def measure(x):
    return {"y": 0.0}
"""
_CAMPAIGN = """\
[campaign]
name = "bench"
{durable}
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
seed = 1

[[workers]]
name = "w"
count = {workers}
driver = "no_op:measure"
"""


@dataclass(frozen=True)
class Turn:
    """One experiment: when it was started and ingested, in seconds of one clock; ``turnaround_s`` before its start."""

    started_s: float
    recorded_s: float
    turnaround_s: float | None


def can_be_loose() -> bool:
    """Return whether a campaign may do without fsync here."""
    return "durable" in CampaignTable.model_fields


def stage(folder: Path, *, n: int, n_workers: int, durable: bool = True, n_for_nobody: int = 0) -> None:
    """Make a campaign whose experiments wait in its ledger.

    Args:
        folder: Where; it must not exist.
        n: How many experiments.
        n_workers: How many workers its pool has.
        durable: Whether it fsyncs.
        n_for_nobody: How many more there are that no worker can run.
    """
    write(folder, budget=n + n_for_nobody, n_workers=n_workers, durable=durable)
    settings = load_campaign(folder)
    with (
        Ledger.create(settings.ledger_path(folder), name=settings.campaign.name, study=settings.study()) as ledger,
        ledger.change() as change,
    ):
        for k in range(n):
            change.add({"x": (k + 0.5) / n}, origin="bench", pinned=True)
        for _ in range(n_for_nobody):
            change.add({"x": 0.0}, origin="bench", pinned=True, requires=[NOBODY])


def write(folder: Path, *, budget: int, n_workers: int, durable: bool = True) -> None:
    """Write campaign.toml and a driver that does nothing and imports nothing."""
    folder.mkdir(parents=True)
    text = _CAMPAIGN.format(budget=budget, workers=n_workers, durable="" if durable else "durable = false\n")
    (folder / "campaign.toml").write_text(text, encoding="utf-8")
    (folder / f"{MODULE}.py").write_text(_DRIVER, encoding="utf-8")


def n_completed(folder: Path) -> int:
    """Return how many experiments the ledger has as completed."""
    with Ledger.open(folder / "campaign.db") as ledger:
        return ledger.tally()[State.COMPLETED]


def turns(folder: Path) -> list[Turn]:
    """Return every completed experiment, in the order of ingestion."""
    with Ledger.open(folder / "campaign.db") as ledger:
        return [
            Turn(_seconds(row["started_at"]), _seconds(row["recorded_at"]), row["metadata"].get("turnaround_s"))
            for row in ledger.outcomes()
            if row["status"] == "completed"
        ]


def rate(done: Sequence[Turn]) -> dict[str, Any]:
    """Return experiments a second, from the first start to the last ingestion."""
    if not done:
        return {"n_jobs": 0, "seconds": None, "jobs_per_s": None}
    seconds = max(turn.recorded_s for turn in done) - min(turn.started_s for turn in done)
    return {"n_jobs": len(done), "seconds": seconds, "jobs_per_s": len(done) / seconds if seconds > 0 else None}


def turnaround(done: Sequence[Turn]) -> dict[str, Any]:
    """Return percentiles from a published result to the next start on the same worker."""
    seconds = [turn.turnaround_s for turn in done if turn.turnaround_s is not None]
    return {**percentiles(seconds), "n_above_500_ms": sum(second > STALL_S for second in seconds)}


def _seconds(text: str) -> float:
    return from_wire(text).timestamp()
