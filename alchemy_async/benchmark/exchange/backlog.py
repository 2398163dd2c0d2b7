"""The backlog: what a completion costs while very many experiments wait in the ledger.

In:    how many wait.
Out:   the planner's processor time for each completion, and completions a second with real workers.
Never: counts what the planner does before the first completions: that is the restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import campaign, daemons, processes
from alchemy_async.experiment import State
from alchemy_async.ledger import Ledger

_WARM_UP = 50
_N_WORKERS = 3


@dataclass(frozen=True)
class Reading:
    """How many had been completed, and how long the planner had been on the processor, in seconds."""

    n: int
    cpu_s: float


def measure(folder: Path, *, n_waiting: int, n_jobs: int, limit_s: float) -> dict[str, Any]:
    """Complete ``n_jobs`` experiments while more wait: ``n_waiting`` are left at the end.

    Raises:
        BenchError: If a daemon fails, or the limit is reached.
    """
    campaign.stage(folder, n=_WARM_UP + n_jobs + n_waiting, n_workers=_N_WORKERS)
    with daemons.running("work", folder) as pool:
        daemons.wait_until_idle(pool, _N_WORKERS)
        with daemons.running("plan", folder) as planner, Ledger.open(folder / "campaign.db") as ledger:
            first = _read_at(_WARM_UP, ledger, planner, pool, limit_s)
            last = _read_at(_WARM_UP + n_jobs, ledger, planner, pool, limit_s)
    done = campaign.turns(folder)[first.n : last.n]
    return {
        "n_waiting": n_waiting,
        "n_waiting_at_start": n_waiting + n_jobs,
        **campaign.rate(done),
        "planner_cpu_ms_per_job": 1000 * cost_s(first, last),
        "turnaround": campaign.turnaround(done),
    }


def cost_s(first: Reading, last: Reading) -> float:
    """Return the planner's processor time for each completion between two readings, in seconds."""
    return (last.cpu_s - first.cpu_s) / (last.n - first.n)


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row how its cost and its rate compare to the shortest backlog."""
    if not rows:
        return []
    base = min(rows, key=lambda row: row["n_waiting"])
    return [
        row
        | {
            "cost_ratio": row["planner_cpu_ms_per_job"] / base["planner_cpu_ms_per_job"],
            "seconds_per_job_ratio": base["jobs_per_s"] / row["jobs_per_s"],
        }
        for row in rows
    ]


def _read_at(n: int, ledger: Ledger, planner: daemons.Daemon, pool: daemons.Daemon, limit_s: float) -> Reading:
    """Wait for the ``n``-th completion; more may have come before it was seen."""
    daemons.wait_for(
        f"{n} experiments were completed",
        lambda: ledger.tally()[State.COMPLETED] >= n,
        planner,
        pool,
        limit_s=limit_s,
        poll_s=0.05,
    )
    found = processes.read(planner.pid)
    if found is None:
        raise daemons.BenchError(f"the planner ended. It said:\n{planner.tail()}")
    return Reading(ledger.tally()[State.COMPLETED], found.cpu_s)
