"""Standing: what both daemons cost while nothing is to be done.

In:    for how long they are watched.
Out:   share of a core and memory, of the planner, its asker, the pool and the workers.
Never: watches daemons that have not worked before: the workers have each run some experiments.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import campaign, daemons, processes
from alchemy_async.queues.layout import Layout

_N_WORKERS = 3
_N_JOBS = 30
_LIMIT_S = 120.0


def measure(folder: Path, *, watch_s: float, settle_s: float) -> dict[str, Any]:
    """Let three workers run a few experiments; then watch all processes while the one that is left waits for nobody.

    Args:
        folder: Where; it is made and taken away.
        watch_s: How long processor time is counted.
        settle_s: How long to wait before, so that nothing is still being loaded.

    Raises:
        BenchError: If a daemon fails.
    """
    campaign.stage(folder, n=_N_JOBS, n_workers=_N_WORKERS, n_for_nobody=1)
    with daemons.running("work", folder) as pool, daemons.running("plan", folder) as planner:
        daemons.wait_for(
            "the experiments were done",
            lambda: campaign.n_completed(folder) >= _N_JOBS,
            planner,
            pool,
            limit_s=_LIMIT_S,
            poll_s=0.2,
        )
        layout = Layout(folder)
        daemons.wait_for(
            "the workers were idle", lambda: daemons.n_idle(layout) == _N_WORKERS, planner, pool, limit_s=_LIMIT_S
        )
        time.sleep(settle_s)
        before = {
            role: processes.read(pid) for role, pid in roles(planner.pid, pool.pid, daemons.worker_pids(layout)).items()
        }
        begun = time.perf_counter()
        time.sleep(watch_s)
        after = {
            role: processes.read(pid) for role, pid in roles(planner.pid, pool.pid, daemons.worker_pids(layout)).items()
        }
        seconds = time.perf_counter() - begun
        memory = {role: processes.memory_mb(found.pid) for role, found in after.items() if found}
    return {"idle": idle(before, after, seconds), "memory": {"each": memory, **worst_worker(memory)}}


def roles(planner: int, pool: int, workers: Collection[int]) -> dict[str, int]:
    """Return the process id of everything that runs, by what it is: workers by their beats, others by command line."""
    own = {"planner": planner, "pool": pool}
    for daemon in ("planner", "pool"):
        for found in processes.family(own[daemon])[1:]:
            kind = "worker" if found.pid in workers else f"{daemon}'s {_kind(found.pid)}"
            own[f"{kind} {sum(name.startswith(kind) for name in own) + 1}"] = found.pid
    return own


def idle(
    before: dict[str, processes.Process | None], after: dict[str, processes.Process | None], seconds: float
) -> dict[str, Any]:
    """Return the share of a core that each process took, in percent, and their sum."""
    each = {
        role: 100 * (found.cpu_s - earlier.cpu_s) / seconds
        for role, found in after.items()
        if found is not None and (earlier := before.get(role)) is not None
    }
    return {"seconds": seconds, "each_percent_of_a_core": each, "all_percent_of_a_core": sum(each.values())}


def worst_worker(memory: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the memory of the worker that has most."""
    workers = [found for role, found in memory.items() if role.startswith("worker")]
    most = max(workers, key=lambda found: found["pss_mb"], default={})
    return {f"worker_{name}": value for name, value in most.items()}


def _kind(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    if b"spawn_main" in command:
        return "asker"
    return "fork server" if b"forkserver" in command else "resource tracker"
