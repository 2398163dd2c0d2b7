"""ray: a cluster on this machine, jobs and results in memory.

In:    jobs, n worker processes.
Out:   results, fetched as they end.
Never: can be reached from outside, starts a dashboard, or counts itself to ray's makers.

ray listens on every address of its machine, whatever it is told, and runs what it is sent. So it gets a network of its
own that holds nothing but loopback; where the system gives out none, it is not run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.peers.apart import ApartPeer, borrow
from alchemy_async.benchmark.peers.cycle import IN_MEMORY, Answer, Tally, run_cycle, work

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # netdevice(7): set an interface's flags; it is up
_STORE_BYTES = 100_000_000  # the least that ray takes is 75 MB; results are two numbers


@dataclass(frozen=True)
class Ray(ApartPeer):
    """ray's own processes and n workers."""

    def measure(self, folder: Path, *, n_workers: int, n_jobs: int, until: float) -> tuple[Tally, str]:
        """Start ray and drive the cycle."""
        del folder  # ray's sockets need a short path: a socket's is limited to 107 bytes
        _raise_loopback()
        os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DISABLE_MEMORY_MONITOR="1")
        ray = borrow("ray")
        place = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        try:
            ray.init(
                num_cpus=n_workers,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=place,
            )
            exchange = _Submitter(ray)
            tally = run_cycle(exchange, n_workers=n_workers, n_jobs=n_jobs, most_out=IN_MEMORY, until=until)
            return tally, "in memory"
        finally:
            ray.shutdown()
            shutil.rmtree(place, ignore_errors=True)


def _raise_loopback() -> None:
    """Turn loopback on: a fresh network has it, but off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


class _Submitter:
    def __init__(self, ray: Any) -> None:  # noqa: ANN401 - an object of an optional library
        self._ray = ray
        self._task = ray.remote(work)
        self._out: list[Any] = []

    def submit(self, numbers: Sequence[int], rest_s: float) -> None:
        self._out.extend(self._task.remote(number, rest_s) for number in numbers)

    def collect(self) -> list[Answer]:
        if not self._out:
            return []
        ended, self._out = self._ray.wait(self._out, num_returns=len(self._out), timeout=0)
        return [tuple(answer) for answer in self._ray.get(ended)]


ENGINE = Ray("ray", durable=False, needs=("ray",), extra="engines", worker_mb=60, own_network=True)
