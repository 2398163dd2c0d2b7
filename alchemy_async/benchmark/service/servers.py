"""Servers: both as real processes on free ports of this machine, begun, waited for and ended.

In:    a folder for each; an interpreter that has alchemist-nrel.
Out:   a server that answers; how long that took; its memory and its time on the processor.
Never: leaves a process behind, or listens beyond this machine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alchemy_async.benchmark.exchange import daemons, processes
from alchemy_async.benchmark.exchange.daemons import BenchError
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.turns import OURS, THEIRS

VERSION = "0.4.0"  # of ALchemist: the one that was read and compared with
_MEND = f"pip install alchemist-nrel=={VERSION} into an environment of its own, and name its interpreter: --alchemist"
_ASK_VERSION = "import importlib.metadata as m; print(m.version('alchemist-nrel'))"
_POLL_S = 0.005
_START_LIMIT_S = 180.0
_LOG = "server.log"


@dataclass(frozen=True)
class Server:
    """A server that answers; ``ready_s`` is what it took from exec to its first session."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready_s: float

    def cpu_s(self) -> float:
        """Return the seconds on the processor that it and its children have had."""
        return sum(process.cpu_s for process in processes.family(self.process.pid))

    def memory_mb(self) -> float:
        """Return the proportional memory of it and its children, in MB of 10^6 bytes."""
        found = 0.0
        for process in processes.family(self.process.pid):
            with contextlib.suppress(OSError):  # it ended while we looked
                found += processes.memory_mb(process.pid)["pss_mb"]
        return found


@dataclass(frozen=True)
class Peer:
    """ALchemist as it is installed here.

    Args:
        python: An interpreter that has it.
    """

    python: str = sys.executable

    def missing(self) -> str:
        """Return why it can't be compared with, and how to mend that; empty if it can."""
        try:
            asked = subprocess.run(  # noqa: S603 - an interpreter that the caller named, and a fixed line
                [self.python, "-c", _ASK_VERSION], capture_output=True, text=True, check=False, timeout=_START_LIMIT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{self.python} can't be run ({error}): {_MEND}"
        found = asked.stdout.strip()
        if asked.returncode != 0:
            return f"{self.python} has no alchemist-nrel: {_MEND}"
        return "" if found == VERSION else f"{self.python} has alchemist-nrel {found}: {_MEND}"


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[Server]:
    """Run our server on an empty root until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "alchemy_async", "serve", "--root", str(folder / "root"), "--port", str(port)]
    with _running(OURS, command, port, folder) as server:
        yield server


@contextlib.contextmanager
def theirs(peer: Peer, folder: Path) -> Iterator[Server]:
    """Run ALchemist's server, as its documentation starts it, in an empty folder until the block ends."""
    port = free_port()
    command = [peer.python, "-m", "uvicorn", "api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    with _running(THEIRS, [*command, "--log-level", "warning", "--no-access-log"], port, folder) as server:
        yield server


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def _running(name: str, command: list[str], port: int, folder: Path) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOG).open("ab") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own command, or the peer's that the caller named
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=daemons.as_installed() | {"HOME": str(folder), "PYTHONPATH": _where_we_are(name)},
        )
    try:
        _wait_until_ready(name, process, port, folder)
        yield Server(name, port, process, time.perf_counter() - begun)
    finally:
        daemons.end(process)


def _where_we_are(name: str) -> str:
    """Return the path that lets our own server be imported from its folder, installed or not; theirs needs none."""
    return str(Path(__file__).resolve().parents[3]) if name == OURS else ""


def _wait_until_ready(name: str, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + _START_LIMIT_S
    with Line(port) as line:
        while True:
            with contextlib.suppress(OSError):
                if line.call("POST", "/sessions", {"name": "first"}).status == 201:
                    return
            if process.poll() is not None:
                raise BenchError(f"{name} ended with exit code {process.returncode}. It said:\n{_tail(folder)}")
            if time.monotonic() > until:
                raise BenchError(f"{name} was not ready within {_START_LIMIT_S:g} s. It said:\n{_tail(folder)}")
            time.sleep(_POLL_S)


def _tail(folder: Path, lines: int = 15) -> str:
    with contextlib.suppress(OSError):
        text = (folder / _LOG).read_text(encoding="utf-8", errors="replace")
        return os.linesep.join(text.splitlines()[-lines:])
    return ""
