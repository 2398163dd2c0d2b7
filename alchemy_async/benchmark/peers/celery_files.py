"""Celery: its filesystem broker and file result backend, with prefork worker processes.

In:    jobs, n worker processes.
Out:   results, read back from the result files.
Never: calls fsync: neither the broker nor the backend does.

The broker writes a message under its final name, and a worker that reads it half-written ends on a JSON error and
takes the message with it. To have a figure at all, messages are written beside the broker's folder and renamed into it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer, borrow
from alchemy_async.benchmark.peers.cycle import Answer, Tally, run_cycle, window, work

_LOOK_S = 0.005  # the broker is polled; its default of 1 s would time its sleep


@dataclass(frozen=True)
class Celery(ApartPeer):
    """One Celery worker with n prefork processes."""

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Start the worker and drive the cycle."""
        _, task = make_app(folder)
        subprocess.Popen([sys.executable, "-m", __name__, str(folder), str(n_workers)], stdin=subprocess.DEVNULL)  # noqa: S603 - our own module
        exchange = _Submitter(task, folder)
        note = f"prefork, polls every {1000 * _LOOK_S:g} ms; messages renamed into place by us, against half-read ones"
        tally = run_cycle(exchange, n_workers=n_workers, n_jobs=n_jobs, most_out=window(n_workers), until=until)
        return tally, note


def make_app(folder: Path) -> tuple[Any, Any]:
    """Return a Celery app whose broker and results are files in a folder, and its one task."""
    for name in ("broker", "staging", "results", "control"):
        (folder / name).mkdir(exist_ok=True)
    app = borrow("celery").Celery("bench", broker="filesystem://", backend=(folder / "results").as_uri())
    app.conf.update(
        broker_transport_options={
            "data_folder_in": str(folder / "broker"),
            "data_folder_out": str(folder / "staging"),
            "control_folder": str(folder / "control"),
            "polling_interval": _LOOK_S,
        },
        broker_connection_retry_on_startup=False,
        worker_hijack_root_logger=False,
    )
    return app, app.task(name="work")(work)


class _Submitter:
    def __init__(self, task: Any, folder: Path) -> None:  # noqa: ANN401 - an object of an optional library
        self._task = task
        self._staging, self._broker = folder / "staging", folder / "broker"
        self._out: deque[Any] = deque()

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        self._out.extend(self._task.delay(number, rest_s) for number in numbers)
        for message in os.listdir(self._staging):  # noqa: PTH208 - names are enough
            (self._staging / message).rename(self._broker / message)

    def collect(self) -> list[Answer]:
        answers: list[Answer] = []
        with contextlib.suppress(ValueError):  # a result is written in place too: half of it is none yet
            while self._out and self._out[0].ready():
                number, process = self._out[0].get()
                self._out.popleft().forget()  # removes the result's file
                answers.append((number, process))
        return answers


def main(folder: str, n_workers: str) -> None:
    """Be the Celery worker."""
    app, _ = make_app(Path(folder))
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={n_workers}", *quiet])


FILES = Celery("celery filesystem", durable=False, needs=("celery",))

if __name__ == "__main__":
    main(*sys.argv[1:])
