"""persist-queue: two queues in SQLite, one for jobs and one for results, each in a database of its own.

In:    jobs, n worker processes.
Out:   results, read and acknowledged by the submitter.
Never: lets two workers have one job.

Both kinds keep their default settings: journal in WAL mode, and SQLite's own synchronous=FULL, so that every
put, get and ack is a commit with its fsync. ``SQLiteAckQueue`` marks what was taken and what was done: six commits
for a job. ``SQLiteQueue`` deletes what was taken: four, but a worker that dies takes its job with it.

Neither is made for many processes that take from one queue: a get is a SELECT and, apart from it, an UPDATE or a
DELETE, and two workers may be given one job. So a file lock is held around get; it costs microseconds beside the fsync.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer, borrow
from alchemy_async.benchmark.peers.cycle import Answer, Tally, run_cycle, window, work

_LOCKED_S = 600.0  # how long SQLite may wait for its turn; the default of 10 s is too little for 256 workers
_TIDY_EVERY = 100
_LOOK_S = 0.002  # the queue wakes no other process: who found nothing looks again


@dataclass(frozen=True)
class PersistQueue(ApartPeer):
    """persist-queue with one of its two kinds of SQLite queue."""

    kind: str = "SQLiteAckQueue"

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Fork the workers and drive the cycle."""
        exchange = _Submitter(self.kind, folder)
        forked = multiprocessing.get_context("fork")
        for _ in range(n_workers):
            forked.Process(target=_serve, args=(self.kind, folder, until), daemon=True).start()
        tally = run_cycle(exchange, n_workers=n_workers, n_jobs=n_jobs, most_out=window(n_workers), until=until)
        note = f"{self.kind} for jobs and for results, {exchange.journal()}"
        return tally, note if self.kind == "SQLiteAckQueue" else f"{note}; a job that was taken is lost with its worker"


class _Submitter:
    def __init__(self, kind: str, folder: Path) -> None:
        for queue in _open(kind, folder):  # makes the tables; a connection must not be carried through a fork
            queue.close()
        self._place = (kind, folder)
        self._queues: tuple[Any, Any] | None = None
        self._n_read = 0

    def _opened(self) -> tuple[Any, Any]:
        if self._queues is None:
            self._queues = _open(*self._place)
        return self._queues

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        for number in numbers:
            self._opened()[0].put((number, rest_s))

    def collect(self) -> list[Answer]:
        results, answers = self._opened()[1], []
        with contextlib.suppress(borrow("persistqueue").Empty):
            answers.append(results.get(block=False))
            self._n_read += 1
            self._acknowledge(answers[-1])
        return answers

    def _acknowledge(self, answer: Answer) -> None:
        """Acknowledge a result; drop what was acknowledged now and then, for every get walks through all of it."""
        _acknowledge(self._opened()[1], answer)
        if self._n_read % _TIDY_EVERY == 0:
            for queue in self._opened():
                if hasattr(queue, "clear_acked_data"):
                    queue.clear_acked_data(max_delete=_TIDY_EVERY, keep_latest=0)

    def journal(self) -> str:
        connection = self._opened()[0]._putter
        mode, level = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
        return f"journal_mode={mode}, synchronous={ {0: 'OFF', 1: 'NORMAL', 2: 'FULL', 3: 'EXTRA'}[level] }"


def _open(kind: str, folder: Path) -> tuple[Any, Any]:
    settings: dict[str, Any] = {"timeout": _LOCKED_S}
    if kind == "SQLiteAckQueue":
        settings["auto_resume"] = False  # else whoever opens the queue gives out again what others work on
    make = getattr(borrow("persistqueue"), kind)
    return make(str(folder / "jobs"), **settings), make(str(folder / "results"), **settings)


def _acknowledge(queue: Any, item: Any) -> None:  # noqa: ANN401 - objects of an optional library
    if hasattr(queue, "ack"):
        queue.ack(item)


def _serve(kind: str, folder: Path, until: float) -> None:
    """Take jobs, do them, put their results, acknowledge them, until time is up."""
    jobs, results = _open(kind, folder)
    empty = borrow("persistqueue").Empty
    with (folder / "take.lock").open("w") as lock:
        while time.monotonic() < until:
            try:
                with _alone(lock.fileno()):
                    job = jobs.get(block=False)
            except empty:
                time.sleep(_LOOK_S)
                continue
            results.put(work(*job))
            _acknowledge(jobs, job)


@contextlib.contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


ACK = PersistQueue("persist-queue (ack)", durable=True, needs=("persistqueue",))
FIFO = PersistQueue("persist-queue (fifo)", durable=True, needs=("persistqueue",), kind="SQLiteQueue")
