"""Peers: other people's queues and task runners, timed on the job that our two folders do.

In:    a folder of its own, a number of worker processes, a number of jobs, a limit in seconds.
Out:   jobs per second of the full cycle: a job submitted, taken by a worker process, a function that does
       nothing called, its result stored, and read back by who submitted it.
Never: imports a peer before it is asked for, or invents a figure where a peer can't keep up.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from alchemy_async.errors import AlchemyError


@dataclass(frozen=True)
class PeerFigures:
    """What one peer did in one run, measured.

    Attributes:
        name: The peer.
        durable: Whether every step is on the disk before it is acknowledged, as the peer was set here. What becomes
            of a job whose worker dies is another question; ``note`` says where it is lost.
        n_workers: Worker processes that it was given.
        n_jobs: Jobs whose results came back; fewer than were asked for where the limit came first.
        jobs_per_s: Those jobs over ``seconds``; 0 if none came back.
        seconds: From the first submit to the last result, without the start of the processes.
        note: Settings, and whatever a reader must know to be fair.
        turnaround_s: Result published to next start on that worker, for each; empty where the peer was not asked.
    """

    name: str
    durable: bool
    n_workers: int
    n_jobs: int
    jobs_per_s: float
    seconds: float
    note: str = ""
    turnaround_s: tuple[float, ...] = ()


class Peer(Protocol):
    """One way to hand jobs to worker processes and to get their results back."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def durable(self) -> bool:
        """Whether every step is on the disk before it is acknowledged."""

    def missing(self) -> str:
        """Return why it can't run here and how to mend that; empty if it can."""

    def run(self, folder: Path, *, n_workers: int, n_jobs: int, limit_s: float) -> PeerFigures:
        """Run jobs in a process tree of its own, in a folder, for at most ``limit_s`` (start of processes included)."""


class PeerError(AlchemyError):
    """A peer was asked for that does not exist or is not installed."""


_ROOMS = {
    "persist-queue (ack)": "persist_queues:ACK",
    "persist-queue (fifo)": "persist_queues:FIFO",
    "huey SqliteHuey (fsync)": "huey_queues:SQLITE",
    "huey FileHuey": "huey_queues:FILE",
    "celery filesystem": "celery_files:FILES",
    "dask LocalCluster": "dask_cluster:CLUSTER",
    "ray": "ray_engine:ENGINE",
    "parsl HTEX": "parsl_engine:ENGINE",
    "Atlas demo (polling)": "atlas_polling:DEMO",
}

PEERS: tuple[str, ...] = tuple(_ROOMS)


def load_peer(name: str) -> Peer:
    """Return one of ``PEERS`` by its name; the library behind it is not imported for that.

    Raises:
        PeerError: If there is no peer of that name.
    """
    if name not in _ROOMS:
        raise PeerError(f"There is no peer {name!r}. Take one of: {', '.join(PEERS)}.")
    room, _, attribute = _ROOMS[name].partition(":")
    return cast(Peer, getattr(importlib.import_module(f"{__name__}.{room}"), attribute))
