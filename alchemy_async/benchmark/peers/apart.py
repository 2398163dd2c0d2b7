"""Apart: a peer runs in a process tree of its own, which is gone when its figures are read.

In:    a peer, a folder, a limit in seconds.
Out:   the figures that its process wrote down, or why there are none.
Never: ends a process that is not of that tree, or leaves one of it behind.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers import PeerError, PeerFigures, tree
from alchemy_async.benchmark.peers.cycle import Tally

_OWN_NETWORK = ("unshare", "--user", "--map-root-user", "--net", "--")
_LOOK_S = 0.05
_LONGEST = 60  # bytes of a folder's name
_GRACE_S = 3.0  # a peer's process stops by itself at the limit; this long after, it is stopped
_END_S = 10.0
_MEMORY_SHARE = 0.6  # of what is free: others live here too


def borrow(module: str) -> Any:  # noqa: ANN401 - a peer is optional, and mypy must pass without it
    """Return a peer's module."""
    return importlib.import_module(module)


@dataclass(frozen=True)
class ApartPeer(ABC):
    """A peer whose measuring happens in processes apart from ours.

    Attributes:
        name: What tables call it.
        durable: Whether every step is on the disk before it is acknowledged.
        needs: Modules that must be installed.
        extra: The extra of alchemy_async that installs them.
        worker_mb: What one worker process holds for itself, in MB; 0 where workers share it.
        own_network: Whether it listens beyond loopback, and so may only run in a network of its own.
    """

    name: str
    durable: bool
    needs: tuple[str, ...] = ()
    extra: str = "bench"
    worker_mb: int = 0
    own_network: bool = False

    @abstractmethod
    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Start the workers, drive the cycle, and return what came back and a note; processes may be left running."""

    def missing(self) -> str:
        """Return what it lacks here, and how to mend that; empty if it can run."""
        absent = [module for module in self.needs if importlib.util.find_spec(module) is None]
        if absent:
            return f"{', '.join(absent)} is not installed: pip install 'alchemy-async[{self.extra}]'"
        if self.own_network and not _has_networks():
            return "it listens beyond loopback, and `unshare --net` is not allowed here: run it where that is"
        return ""

    def run(self, folder: Path, *, n_workers: int, n_jobs: int, limit_s: float) -> PeerFigures:
        """Run jobs in a process tree of its own and return what was measured.

        Args:
            folder: The peer's own; made if it does not exist.
            n_workers: Worker processes, > 0.
            n_jobs: Jobs to submit, > 0.
            limit_s: How long all of it may take, start of the processes included, > 0.

        Raises:
            PeerError: If the peer is not installed.
        """
        if self.missing():
            raise PeerError(f"{self.name} can't run: {self.missing()}")
        if note := self._too_large(n_workers):
            return self._nothing(n_workers, note)
        folder.mkdir(parents=True, exist_ok=True)
        told = folder / "figures.json"
        with _apart(self, folder, n_workers, n_jobs, limit_s) as process:
            waited_s = _wait_for(told, process, limit_s + _GRACE_S)
        if not told.exists():
            late = waited_s > limit_s
            why = f"not ready within the limit of {limit_s:g} s" if late else f"ended with code {process.returncode}"
            return self._nothing(n_workers, f"{why}; see peer.log in its folder")
        tally, note = json.loads(told.read_bytes())
        if tally is None:
            return self._nothing(n_workers, note)
        tally["turnaround_s"] = tuple(tally["turnaround_s"])
        return self._figures(Tally(**tally), n_workers, note, limit_s)

    def _figures(self, tally: Tally, n_workers: int, note: str, limit_s: float) -> PeerFigures:
        notes = [note] if note else []
        if tally.n_jobs < tally.n_asked:
            notes.append(f"{tally.n_jobs} of {tally.n_asked} jobs within the limit of {limit_s:g} s")
        if tally.n_twice:
            notes.append(f"{tally.n_twice} results came twice")
        if tally.n_processes < min(n_workers, tally.n_asked):
            notes.append(f"{tally.n_processes} of {n_workers} workers answered")
        rate = tally.n_jobs / tally.seconds if tally.n_jobs and tally.seconds > 0 else 0.0
        return PeerFigures(
            self.name, self.durable, n_workers, tally.n_jobs, rate, tally.seconds, "; ".join(notes), tally.turnaround_s
        )

    def _nothing(self, n_workers: int, note: str) -> PeerFigures:
        return PeerFigures(self.name, self.durable, n_workers, 0, 0.0, 0.0, note)

    def _too_large(self, n_workers: int) -> str:
        needed, free = n_workers * self.worker_mb, _free_mb()
        if needed <= _MEMORY_SHARE * free:
            return ""
        return (
            f"not run: {n_workers} workers of {self.worker_mb} MB need {needed / 1000:.1f} GB of {free / 1000:.1f} free"
        )


@contextlib.contextmanager
def _apart(peer: ApartPeer, folder: Path, *arguments: float) -> Iterator[subprocess.Popen[bytes]]:
    """Start a peer's process, and end all that came of it when the block ends."""
    (folder / "tmp").mkdir(exist_ok=True)
    mark = uuid.uuid4().hex
    own = {
        tree.MARK: mark,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),  # its commands
        "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path),
    }
    kind = f"{type(peer).__module__}:{type(peer).__qualname__}"
    with (folder / "peer.log").open("wb") as log, _short((folder / "tmp").absolute(), mark) as place:
        process = subprocess.Popen(  # noqa: S603 - our own module, with values of ours
            [
                *(_OWN_NETWORK if peer.own_network else ()),
                *(sys.executable, "-m", "alchemy_async.benchmark.peers.inside"),
                *(kind, json.dumps(asdict(peer)), str(folder.absolute()), *map(str, arguments)),
            ],
            stdin=subprocess.PIPE,  # never written to: its end tells the tree that we are gone
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | own | {"TMPDIR": str(place)},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _let_go(process, mark)


@contextlib.contextmanager
def _short(place: Path, mark: str) -> Iterator[Path]:
    """Yield a folder, by a short name if its own is too long for the sockets in it: theirs may have 107 bytes."""
    if len(os.fsencode(place)) <= _LONGEST:
        yield place
        return
    link = Path(tempfile.gettempdir()) / f"peer-{mark[:12]}"
    link.symlink_to(place)
    try:
        yield link
    finally:
        link.unlink()


def _let_go(process: subprocess.Popen[bytes], mark: str) -> None:
    """Let a peer's process end its tree and itself; end what is left."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    tree.end(process.pid, mark, limit_s=_END_S)
    process.wait(_END_S)


def _wait_for(told: Path, process: subprocess.Popen[bytes], limit_s: float) -> float:
    """Wait until a peer told its figures, or ended without, or took too long; return the seconds."""
    begun = time.monotonic()
    while process.poll() is None and not told.exists() and time.monotonic() < begun + limit_s:
        time.sleep(_LOOK_S)
    return time.monotonic() - begun


def _has_networks() -> bool:
    try:
        return subprocess.run([*_OWN_NETWORK, "true"], capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603 - a fixed command
    except (OSError, subprocess.TimeoutExpired):
        return False


def _free_mb() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1000
    return float("inf")
