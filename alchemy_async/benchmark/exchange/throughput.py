"""Throughput: how many no-op experiments a second the two real daemons close, and how soon a worker goes on.

In:    how many workers and jobs; durable or not.
Out:   jobs a second from the first start to the last ingestion; turnaround percentiles.
Never: counts the start of the processes: the workers are ready before the planner starts.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import campaign, daemons

_POLL_S = 0.1


def measure(folder: Path, *, n_workers: int, n_jobs: int, durable: bool, limit_s: float) -> dict[str, Any]:
    """Run one campaign of no-op experiments to its end, or to the limit.

    Args:
        folder: Where; it is made.
        n_workers: Worker processes.
        n_jobs: Experiments, all in the ledger before anything starts.
        durable: Whether the campaign fsyncs.
        limit_s: After this long it is broken off, and the note says so.

    Raises:
        BenchError: If a daemon fails.
    """
    campaign.stage(folder, n=n_jobs, n_workers=n_workers, durable=durable)
    with daemons.running("work", folder) as pool:
        daemons.wait_until_idle(pool, n_workers)
        with daemons.running("plan", folder) as planner:
            is_over = _wait(planner, pool, limit_s)
    done = campaign.turns(folder)
    note = "" if is_over else f"broken off after {limit_s:g} s with {len(done)} of {n_jobs} done"
    return {
        "n_workers": n_workers,
        "durable": durable,
        **campaign.rate(done),
        "turnaround": campaign.turnaround(done),
        "note": note,
    }


def _wait(planner: daemons.Daemon, pool: daemons.Daemon, limit_s: float) -> bool:
    """Wait until the planner has ended the campaign; False if it did not in time."""
    until = time.monotonic() + limit_s
    while not planner.has_ended():
        if time.monotonic() > until:
            return False
        if pool.process.poll():
            pool.has_ended()
        time.sleep(_POLL_S)
    return True
