"""dask: a LocalCluster of worker processes with one thread each, jobs and results in memory.

In:    jobs, n worker processes.
Out:   results, gathered by the client as they come.
Never: listens beyond loopback.
"""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer, borrow
from alchemy_async.benchmark.peers.cycle import IN_MEMORY, Answer, Tally, run_cycle, work


@dataclass(frozen=True)
class Dask(ApartPeer):
    """dask's scheduler, nannies and workers on this machine."""

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Start the cluster and drive the cycle."""
        os.environ["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "forkserver"  # "spawn" starts one in seconds
        distributed = borrow("distributed")
        cluster = distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(folder / "tmp"),
            memory_limit=0,  # none: with many workers a share each is so small that dask pauses them
        )
        exchange = _Submitter(distributed.Client(cluster))
        tally = run_cycle(exchange, n_workers=n_workers, n_jobs=n_jobs, most_out=IN_MEMORY, until=until)
        return tally, "in memory"


class _Submitter:
    def __init__(self, client: Any) -> None:  # noqa: ANN401 - an object of an optional library
        self._client = client
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        for future in self._client.map(work, list(numbers), [rest_s] * len(numbers), pure=False):
            future.add_done_callback(self._ended.put)

    def collect(self) -> list[Answer]:
        ended: list[Any] = []
        with contextlib.suppress(queue.Empty):
            while True:
                ended.append(self._ended.get_nowait())
        return list(self._client.gather(ended)) if ended else []  # all at once: cheaper by half than one by one


CLUSTER = Dask("dask LocalCluster", durable=False, needs=("distributed",), worker_mb=25)
