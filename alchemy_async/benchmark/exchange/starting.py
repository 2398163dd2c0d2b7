"""Starting: how long a pool of three takes until all its workers are ready.

In:    how often to try.
Out:   seconds from exec to the third idle heartbeat, next to three bare processes that import the same driver.
Never: lets one side start on a disk that the other has warmed up: they take turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import campaign, daemons

_N_WORKERS = 3
_LIMIT_S = 120.0
_BARE = f"""\
import importlib
import multiprocessing
import sys
import time

def be_ready(folder, pipe):
    sys.path.insert(0, folder)
    importlib.import_module({campaign.MODULE!r})
    pipe.send("ready")

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range({_N_WORKERS})]
    processes = [spawn.Process(target=be_ready, args=(sys.argv[1], theirs)) for _, theirs in pipes]
    for process in processes:
        process.start()
    for ours, _ in pipes:
        ours.recv()
    print(time.perf_counter())
    for process in processes:
        process.join()
"""


def measure(folder: Path, *, repeats: int) -> dict[str, Any]:
    """Start both a few times, in turns, and compare the medians.

    Raises:
        BenchError: If the pool fails.
    """
    ours, bare = [], []
    for k in range(-1, repeats):  # the first of each, which compiles, does not count
        place = folder.with_name(f"{folder.name}-{k + 1}")
        campaign.write(place, budget=1, n_workers=_N_WORKERS)
        bare.append(_start_bare(place))
        with daemons.running("work", place) as pool:
            daemons.wait_until_idle(pool, _N_WORKERS, poll_s=0.002)
            ours.append(time.perf_counter() - pool.begun)
    return compare(ours[1:], bare[1:])


def compare(ours: list[float], bare: list[float]) -> dict[str, Any]:
    """Return the medians and their ratio.

    Args:
        ours: Seconds of each start of a pool.
        bare: Seconds of each start of bare processes.
    """
    return {
        "n_workers": _N_WORKERS,
        "pool_ready_s": statistics.median(ours),
        "pool_ready_each_s": ours,
        "bare_spawn_s": statistics.median(bare),
        "bare_spawn_each_s": bare,
        "ratio": statistics.median(ours) / statistics.median(bare),
    }


def _start_bare(folder: Path) -> float:
    script = folder / "bare_spawn.py"
    script.write_text(_BARE, encoding="utf-8")
    begun = time.perf_counter()
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=_LIMIT_S,
        env=daemons.as_installed(),
    )
    return float(ended.stdout) - begun  # one machine has one monotonic clock
