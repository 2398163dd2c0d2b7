"""A bench whose instruments reach the queue by network alone: a server, a line to it that can be cut, a folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from alchemy_async import locks
from alchemy_async.clock import SystemClock
from alchemy_async.experiment import AttemptKey, Heartbeat, Offer, QueueState, Result, Revision, WorkerState
from alchemy_async.files import parse_json
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from tests.service.serving import RealServer
from tests.worker_pool.conftest import CAMPAIGN, LAB, SETTINGS


class Line:
    """A network line to a server: it can be cut, and mended again."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._is_cut = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._is_cut.set()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                here = self._listener.accept()[0]
            except OSError:
                return
            if self._is_cut.is_set():
                here.close()
                continue
            try:
                there = socket.create_connection(self._to)
            except OSError:
                here.close()
                continue
            for end in (here, there):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {here, there}
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._open.discard(end)


class RemoteBench:
    """A session on a server, and a folder on another machine where pools are started.

    The test itself plans, by `publish`; or a planner daemon of the server does, after `let_server_plan`.
    """

    def __init__(self, base: Path, server: RealServer) -> None:
        self.server, self.line = server, Line(server.port)
        self.session = server.root / base.name[-60:]
        self.session.mkdir()
        self.pc = base / "pc"
        self.pc.mkdir()
        (self.pc / "lab.py").write_text(LAB)
        self.settings()
        self.pools: list[subprocess.Popen[bytes]] = []
        self.revision = 0
        self.lock = locks.hold(self.session / "planner.lock", what="the test plans", mend="")
        self.end: FolderPlannerEnd | None = None

    def settings(self, count: int = 1, lease_s: float = 1, more: str = "") -> None:
        text = SETTINGS.format(count=count, timeout_s=60, lease_s=lease_s, grace_s=0.5)
        (self.session / "campaign.toml").write_text(text + more)

    def let_server_plan(self, settings: str) -> None:
        """Leave the session to a planner daemon of the server."""
        self.lock.release()
        (self.session / "campaign.toml").write_text(settings)
        self.server.call("PUT", f"/sessions/{self.session.name}/control", {"requested": "run"})

    def publish(
        self, *what: tuple[str, float], state: QueueState = QueueState.RUNNING, cancel: tuple[str, ...] = ()
    ) -> None:
        """Publish a queue of e0001.1, e0002.1 ... with what the driver is to do and for how long."""
        if self.end is None:
            self.end = FolderPlannerEnd(self.session, campaign=CAMPAIGN, clock=SystemClock())
        self.revision += 1
        offers = tuple(
            Offer(AttemptKey(f"e{k:04}", 1), {"do": do, "seconds": seconds}) for k, (do, seconds) in enumerate(what, 1)
        )
        keys = tuple(AttemptKey.parse(text) for text in cancel)
        self.end.publish(Revision(CAMPAIGN, self.revision, state, offers, keys))

    def start(self, name: str = "pool", *options: str) -> subprocess.Popen[bytes]:
        """Start a pool on the other machine; its lines go to ``<name>.log`` there."""
        words = ["work", str(self.pc), "--name", name, "--server", self.line.url, "--session", self.session.name]
        with (self.pc / f"{name}.log").open("ab") as log:
            pool = subprocess.Popen(
                [sys.executable, "-m", "alchemy_async", *words, *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.pc, start_new_session=True,
            )  # fmt: skip
        self.pools.append(pool)
        return pool

    def said(self, name: str = "pool") -> str:
        path = self.pc / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def log(self, worker: str = "w-1") -> str:
        path = self.pc / f"logs/{worker}.log"
        return path.read_text() if path.exists() else ""

    def journal(self) -> list[str]:
        """Return what was asked of the driver, in order, without the process ids."""
        return [line.rsplit(" ", 1)[0] for line in self._journal()]

    def process_of(self, line: str) -> int:
        """Return the process that last wrote a line of the journal."""
        return next(int(entry.rsplit(" ", 1)[1]) for entry in reversed(self._journal()) if entry.startswith(f"{line} "))

    def _journal(self) -> list[str]:
        path = self.pc / "journal.txt"
        return path.read_text().splitlines() if path.exists() else []

    def results(self) -> dict[str, Result]:
        """Return the results that reached the session's folder, by attempt."""
        found = [Result.from_wire(parse_json(path.read_bytes())) for path in self.session.glob("dump/worker_result_*")]
        return {str(result.key): result for result in found}

    def spooled(self) -> list[str]:
        """Return the results that wait on the other machine."""
        return sorted(path.name for path in self.pc.glob("spool/*/worker_result_*"))

    def heartbeat(self, worker: str = "w-1") -> Heartbeat:
        """Return the last beat that reached the session's folder; before the first, one that says ``gone``."""
        try:
            return Heartbeat.from_wire(parse_json((self.session / f"dump/workers/{worker}.json").read_bytes()))
        except FileNotFoundError:
            return Heartbeat(worker, "", 0, WorkerState.GONE)

    def close(self) -> None:
        self.line.close()
        if self.end is not None:
            self.end.close()
        for pool in self.pools:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pool.pid, signal.SIGKILL)
            pool.wait()
        self.lock.release()
