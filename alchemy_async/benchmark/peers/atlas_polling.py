"""The Atlas demo's polling: its two loops, its sleeps, its order of events, with experiments that take no time.

In:    experiments, n workers.
Out:   seconds per completion, and the time from a published result to that worker's next start.
Never: reads a pickle: the files are JSON, and renamed into place, so that no reader sees half of one.

Left out, each in the demo's favour: the planner thinks for 0 s, an experiment takes 0 s (5 to 30 s there), files are
removed without a shell. What is left is the waiting: ``measurement.py`` sleeps 2 s before every look at the queue and
starts a process per experiment; ``run_opt.py`` looks for results and sleeps 5 s when there is none, waits for all three
of the first batch, and from then on overwrites the queue with a batch of 3 for every result that it reads.

Source:
    aspuru-guzik-group/atlas, examples/asynchronous_execution/{measurement,run_opt}.py.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import uuid
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer
from alchemy_async.benchmark.peers.cycle import Tally

_BATCH = 3
_ENOUGH = 12  # completions: four batches; each of them is seconds of sleep


@dataclass(frozen=True)
class AtlasPolling(ApartPeer):
    """The demo's timing.

    Attributes:
        monitor_s: How long ``measurement.py`` sleeps between two looks at the queue.
        wait_s: How long ``run_opt.py`` sleeps when there is no result.
    """

    monitor_s: float = 2.0
    wait_s: float = 5.0

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Run both loops until a handful of experiments is done."""
        for name in ("pickup", "dump", "times"):
            (folder / name).mkdir()
        n_enough = min(n_jobs, _ENOUGH)
        forked = multiprocessing.get_context("fork")
        forked.Process(target=_measurement, args=(folder, n_workers, self.monitor_s)).start()
        n_read, seconds = _run_opt(folder, n_enough, self.wait_s, until)
        spans = [json.loads(path.read_bytes()) for path in (folder / "times").iterdir()]
        tally = Tally(n_read, n_enough, seconds, len({span["worker"] for span in spans}), 0, _turnarounds(spans))
        note = f"{n_enough} no-op experiments are enough here; sleeps {self.monitor_s:g} s and {self.wait_s:g} s"
        return tally, note


def _run_opt(folder: Path, n_enough: int, wait_s: float, until: float) -> tuple[int, float]:
    """Be ``run_opt.py``: the first batch, then wait for results, and refill the queue at each from the third on."""
    begun = time.monotonic()
    n_read = 0
    _refill(folder)
    while n_read < n_enough:
        while not (found := [name for name in os.listdir(folder / "dump") if name.startswith("worker_result_")]):  # noqa: PTH208
            if time.monotonic() + wait_s > until:
                return n_read, time.monotonic() - begun
            time.sleep(wait_s)
        for name in found:
            (folder / "dump" / name).unlink()
            n_read += 1
            if n_read >= _BATCH:
                _refill(folder)
    return n_read, time.monotonic() - begun


def _refill(folder: Path) -> None:
    _write(folder / "pickup" / "priority_queue.json", [uuid.uuid4().hex for _ in range(_BATCH)])


def _measurement(folder: Path, n_workers: int, monitor_s: float) -> None:
    """Be ``measurement.py``: sleep, read the queue, note who is free, start what is unseen, one process each."""
    queue = folder / "pickup" / "priority_queue.json"
    used: set[str] = set()
    busy: set[int] = set()
    while True:
        time.sleep(monitor_s)
        if not queue.exists():
            continue
        listed = json.loads(queue.read_bytes())
        for worker in sorted(busy):
            status = folder / "dump" / f"worker_status_{worker}"
            if status.exists():
                busy.discard(worker)
                status.unlink()
        free = [worker for worker in range(n_workers) if worker not in busy]
        fresh = [experiment for experiment in listed if experiment not in used]
        for worker, experiment in zip(free, fresh, strict=False):
            busy.add(worker)
            used.add(experiment)
            multiprocessing.get_context("fork").Process(target=_measure, args=(folder, worker, experiment)).start()


def _measure(folder: Path, worker: int, experiment: str) -> None:
    """Be one measurement: publish the result, then say that the worker is free."""
    started = time.monotonic()  # one clock for all processes of a machine
    _write(folder / "dump" / f"worker_result_{worker}_{time.time()}", experiment)
    published = time.monotonic()
    _write(folder / "dump" / f"worker_status_{worker}", True)
    _write(folder / "times" / experiment, {"worker": worker, "started": started, "published": published})


def _write(final: Path, content: object) -> None:
    staged = final.with_name(f".{final.name}")
    staged.write_text(json.dumps(content), encoding="utf-8")
    staged.replace(final)


def _turnarounds(spans: list[dict[str, Any]]) -> tuple[float, ...]:
    """Return the time from each result to the next start on the same worker, in seconds."""
    ordered = sorted(spans, key=lambda span: (span["worker"], span["started"]))
    return tuple(
        after["started"] - before["published"]
        for before, after in pairwise(ordered)
        if before["worker"] == after["worker"]
    )


DEMO = AtlasPolling("Atlas demo (polling)", durable=False)
