"""Daemons: the two commands as real processes, begun, waited for and ended.

In:    a campaign folder.
Out:   a running daemon; whether its workers are ready; its last words.
Never: leaves a process behind, or waits without a limit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from alchemy_async import files
from alchemy_async.benchmark.exchange import processes
from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import Heartbeat, WorkerState
from alchemy_async.queues.layout import Layout

START_LIMIT_S = 120.0
_START_PER_WORKER_S = 2.0
_END_LIMIT_S = 60.0
_ALONE_LIMIT_S = 10.0


class BenchError(AlchemyError):
    """A daemon or a peer of the benchmark did not do what it was started for."""


@dataclass(frozen=True)
class Daemon:
    """A daemon that was started; ``begun`` is the moment before, on `time.perf_counter`."""

    command: str
    folder: Path
    process: subprocess.Popen[bytes]
    begun: float

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def has_ended(self) -> bool:
        """Return whether it ended in good order.

        Raises:
            BenchError: If it failed.
        """
        code = self.process.poll()
        if code:
            raise BenchError(f"`alchemy-async {self.command}` ended with exit code {code}. It said:\n{self.tail()}")
        return code is not None

    def tail(self, lines: int = 15) -> str:
        """Return its last words."""
        with contextlib.suppress(OSError):
            text = _log(self.folder, self.command).read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


@contextlib.contextmanager
def running(command: str, folder: Path) -> Iterator[Daemon]:
    """Run ``plan`` or ``work`` until the block ends; what it prints goes to logs/."""
    log = _log(folder, command)
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own command, with a path of ours
            [sys.executable, "-m", "alchemy_async", command, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=as_installed(),
        )
    try:
        yield Daemon(command, folder, process, begun)
    finally:
        end(process)


def as_installed() -> dict[str, str]:
    """Return the environment without the ban on bytecode that a developer's shell may have: users' has none."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and see to it that it and its descendants do."""
    own = processes.family(process.pid) if processes.IS_THERE else []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    until = time.monotonic() + _ALONE_LIMIT_S
    while any(map(processes.is_alive, own)) and time.monotonic() < until:
        time.sleep(0.02)
    for left in filter(processes.is_alive, own):
        with contextlib.suppress(ProcessLookupError):
            os.kill(left.pid, signal.SIGKILL)


def wait_for(what: str, is_so: Callable[[], bool], *daemons: Daemon, limit_s: float, poll_s: float = 0.02) -> None:
    """Wait until something is so.

    Raises:
        BenchError: If a daemon ends before, or the limit is reached.
    """
    until = time.monotonic() + limit_s
    while not is_so():
        for daemon in daemons:
            if daemon.has_ended():
                raise BenchError(f"`alchemy-async {daemon.command}` ended before {what}. It said:\n{daemon.tail()}")
        if time.monotonic() > until:
            said = "\n".join(daemon.tail() for daemon in daemons)
            raise BenchError(f"not within {limit_s:g} s: {what}. Is the machine very busy? The daemons said:\n{said}")
        time.sleep(poll_s)


def wait_until_idle(pool: Daemon, n_workers: int, *, poll_s: float = 0.02) -> None:
    """Wait until so many workers say that they are idle.

    Raises:
        BenchError: If the pool ends before, or they do not come.
    """
    layout = Layout(pool.folder)
    limit_s = START_LIMIT_S + _START_PER_WORKER_S * n_workers
    wait_for(
        f"{n_workers} workers were ready", lambda: n_idle(layout) >= n_workers, pool, limit_s=limit_s, poll_s=poll_s
    )


def n_idle(layout: Layout) -> int:
    """Return how many workers say that they are idle."""
    return sum(beat.state is WorkerState.IDLE for beat in _beats(layout))


def worker_pids(layout: Layout) -> set[int]:
    """Return the process ids that the workers name in their heartbeats."""
    return {beat.pid for beat in _beats(layout)}


def _beats(layout: Layout) -> list[Heartbeat]:
    beats = []
    for path in layout.workers.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, AlchemyError):
            beats.append(Heartbeat.from_wire(files.parse_json(files.read_file(path))))
    return beats


def _log(folder: Path, command: str) -> Path:
    return folder / "logs" / f"{command}.log"
