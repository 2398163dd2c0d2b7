"""huey: its consumer with worker processes, over files or over SQLite with fsync.

In:    jobs, n worker processes.
Out:   results, read back from huey's result store.
Never: relies on a wake-up: huey's file and SQLite stores are polled.

``FileHuey`` never calls fsync. ``SqliteHuey(fsync=True)`` commits to a journal in WAL mode with synchronous=FULL;
a job is deleted as it is taken, so a worker that dies takes its job with it.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer, borrow
from alchemy_async.benchmark.peers.cycle import Answer, Tally, run_cycle, window, work

_LOCKED_S = 600.0  # how long SQLite may wait for its turn; the default of 5 s is too little for 256 workers
_LOOK_S, _LONGEST_LOOK_S = 0.005, 0.1  # huey's defaults, 0.1 s growing to 10 s, would time its sleep


@dataclass(frozen=True)
class Huey(ApartPeer):
    """huey over one of its stores."""

    store: str = "FileHuey"

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Start a consumer in a process of its own and drive the cycle."""
        huey = self._open(folder)
        task = huey.task()(work)
        multiprocessing.get_context("fork").Process(target=_consume, args=(huey, n_workers)).start()
        exchange = _Submitter(task)
        tally = run_cycle(exchange, n_workers=n_workers, n_jobs=n_jobs, most_out=window(n_workers), until=until)
        return tally, f"polls every {1000 * _LOOK_S:g} ms and more; a job that was taken is lost with its worker"

    def _open(self, folder: Path) -> Any:  # noqa: ANN401 - an object of an optional library
        library = borrow("huey")
        if self.store == "FileHuey":
            return library.FileHuey("bench", path=str(folder / "queue"))
        return library.SqliteHuey("bench", filename=str(folder / "queue.db"), fsync=True, timeout=_LOCKED_S)


def _consume(huey: Any, n_workers: int) -> None:  # noqa: ANN401 - an object of an optional library
    huey.create_consumer(
        workers=n_workers,
        worker_type="process",
        periodic=False,
        initial_delay=_LOOK_S,
        max_delay=_LONGEST_LOOK_S,
        check_worker_health=False,
    ).run()


class _Submitter:
    def __init__(self, task: Any) -> None:  # noqa: ANN401 - an object of an optional library
        self._task = task
        self._out: deque[Any] = deque()

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        self._out.extend(self._task(number, rest_s) for number in numbers)

    def collect(self) -> list[Answer]:
        answers = []
        while self._out and self._out[0].is_ready():  # is_ready takes no lock, so that looking stops no worker
            answers.append(self._out.popleft().get())
        return answers


FILE = Huey("huey FileHuey", durable=False, needs=("huey",))
SQLITE = Huey("huey SqliteHuey (fsync)", durable=True, needs=("huey",), store="SqliteHuey")
