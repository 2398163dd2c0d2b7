"""parsl: its HighThroughputExecutor on this machine, jobs and results in memory.

In:    jobs, n worker processes.
Out:   results, as their futures end.
Never: listens beyond loopback.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer, borrow
from alchemy_async.benchmark.peers.cycle import IN_MEMORY, Answer, Tally, run_cycle, work


@dataclass(frozen=True)
class Parsl(ApartPeer):
    """parsl's interchange, one manager and n workers."""

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Start the executor and drive the cycle."""
        parsl = borrow("parsl")
        executor = borrow("parsl.executors").HighThroughputExecutor(
            label="bench",
            address="127.0.0.1",
            loopback_address="127.0.0.1",
            max_workers_per_node=n_workers,
            cores_per_worker=0.001,  # as many workers as were asked for, whatever the cores
            provider=borrow("parsl.providers").LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
            encrypted=False,
        )
        config = borrow("parsl.config").Config(
            executors=[executor], run_dir=str(folder / "runs"), strategy="none", usage_tracking=0
        )
        parsl.load(config)
        exchange = _Submitter(parsl.python_app(work))
        tally = run_cycle(exchange, n_workers=n_workers, n_jobs=n_jobs, most_out=IN_MEMORY, until=until)
        return tally, "in memory"


class _Submitter:
    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an object of an optional library
        self._app = app
        self._ended: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        for number in numbers:
            self._app(number, rest_s).add_done_callback(self._ended.put)

    def collect(self) -> list[Answer]:
        answers = []
        with contextlib.suppress(queue.Empty):
            while True:
                answers.append(self._ended.get_nowait().result())
        return answers


ENGINE = Parsl("parsl HTEX", durable=False, needs=("parsl",), extra="engines", worker_mb=70)
