"""A real server on a free port of this machine, which a test kills and starts again.

Each is a process of its own; only those started here are ever signalled, by their id.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SOURCE = Path(__file__).parents[2]
START_LIMIT_S = 90.0
END_LIMIT_S = 30.0


class RealServer:
    """`alchemy-async serve` on a root folder; it keeps its port over restarts."""

    def __init__(self, root, *options):
        self.root, self.options = Path(root), options
        self.port = free_port()
        self.process = None
        self.log = self.root.parent / f"{self.root.name}.log"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self):
        return f"{self.url}/api/v1"

    def start(self):
        command = [sys.executable, "-m", "alchemy_async", "serve", "--root", str(self.root)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port), *self.options],
                cwd=self.root.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
            )
        self.wait_until_ready()
        return self

    def wait_until_ready(self):
        until = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(f"{self.url}/health"):
                return
            assert self.process.poll() is None, f"the server ended:\n{self.said()}"
            assert time.monotonic() < until, f"the server is not ready:\n{self.said()}"
            time.sleep(0.02)

    def kill(self):
        """Let it die without a word, as by `kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """End it in order; return its exit code."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return None if self.process is None else self.process.returncode

    def said(self):
        return self.log.read_text(errors="replace")[-4000:]

    def call(self, method, path, body=None):
        """Send one request below /api/v1 and return what it answers."""
        text = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, text, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = answer.read()
        return json.loads(said) if said else None


@contextlib.contextmanager
def serving(root, *options):
    """Run a server until the block ends."""
    server = RealServer(root, *options)
    try:
        yield server.start()
    finally:
        server.stop()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
