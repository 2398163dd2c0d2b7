"""Beats: which workers there are, and which of them live.

In:    the heartbeat files of a campaign folder, the settings, the instruments' locks on this machine.
Out:   one record for each worker that ever beat here.
Never: judges by the clock of another machine where this machine's own locks can tell.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alchemy_async import files, locks
from alchemy_async.errors import WireError
from alchemy_async.experiment import Heartbeat, WorkerState
from alchemy_async.queues.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from alchemy_async.cli.site import Site

REMOTE_SILENCE_S = 300.0  # a worker elsewhere may live for so long after its last beat: clocks differ, networks pause


@dataclass(frozen=True)
class Beat:
    """A worker's last heartbeat; ``age_s`` by this machine's clock, >= 0."""

    heartbeat: Heartbeat
    age_s: float
    lease_s: float

    @property
    def is_silent(self) -> bool:
        """Whether it has said nothing for a whole lease, and did not say goodbye."""
        return self.age_s > self.lease_s and self.heartbeat.state is not WorkerState.GONE


def read_beats(site: Site) -> list[Beat]:
    """Return the last beat of each worker, by name; what can't be read is left out."""
    folder = Layout(site.folder).workers
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError:
        return []
    found = (_read(path, site) for path in paths)
    return [beat for beat in found if beat is not None]


def _read(path: Path, site: Site) -> Beat | None:
    try:
        age_s = max(time.time() - os.lstat(path).st_mtime, 0.0)
        heartbeat = Heartbeat.from_wire(files.parse_json(files.read_file(path)))
    except (OSError, ValueError, WireError):
        return None
    return Beat(heartbeat, age_s, _lease_s(heartbeat.worker, site))


def _lease_s(worker: str, site: Site) -> float:
    groups = site.settings.workers
    own = [group.lease_s for group in groups if worker in group.worker_names()]
    return max(own or [group.lease_s for group in groups] or [30.0])


def living_workers(site: Site) -> list[str]:
    """Return every worker that lives, in words.

    On this machine a worker lives as long as it holds its instrument's lock; one
    elsewhere, until it says ``gone`` or was silent for long.
    """
    beats = {beat.heartbeat.worker: beat for beat in read_beats(site)}
    instruments = {name: f"{site.folder} {name}" for name in beats}
    for group in site.settings.workers:
        instruments |= {name: group.instrument or f"{site.folder} {name}" for name in group.worker_names()}
    found = (_life(name, instrument, beats.get(name), site) for name, instrument in instruments.items())
    return [life for life in found if life]


def _life(worker: str, instrument: str, beat: Beat | None, site: Site) -> str:
    holder = locks.holder(locks.machine_lock_path(f"instrument {instrument}"))
    is_own = instrument == f"{site.folder} {worker}"  # else another campaign may be at this instrument
    if holder is not None and (is_own or (beat is not None and beat.heartbeat.pid == holder.pid)):
        return f"worker {worker}: {holder}"
    if beat is None or beat.heartbeat.state is WorkerState.GONE or beat.heartbeat.host == socket.gethostname():
        return ""
    if beat.age_s > max(REMOTE_SILENCE_S, 3 * beat.lease_s):
        return ""
    where = beat.heartbeat.host or "an unnamed machine"
    return f"worker {worker} on {where}, last heard of {beat.age_s:.0f} s ago"
