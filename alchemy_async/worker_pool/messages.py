"""Messages: what passes through the pipes between the pool and one worker.

In:    plans and orders from the pool; notes from the worker.
Out:   the same at the other end, as bytes; and the exit codes a worker ends with.
Never: carries an experiment or a measurement; those go through the queue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alchemy_async.queues.rest import Server


@dataclass(frozen=True)
class WorkerPlan:
    """All that a worker process is told at its start.

    Args:
        folder: The campaign folder, absolute; with a server: a local one, for drivers, logs and results that wait.
        worker: Its name, such as ``reactor-1``.
        driver: Name of the driver, such as ``my_lab:reaction``.
        options: What the driver is given.
        labels: What this worker can do; an experiment may require some.
        timeout_s: How long a measurement may take before it is broken off.
        lease_s: How long its claims live without a heartbeat; it beats four times as often.
        grace_s: How long a measurement may take to break off before its process is given up.
        instrument: Name of the instrument on this machine; None: folder and worker name it.
        objectives: Names of the objectives.
        durable: Whether claims and results wait for the disk.
        must_recover: Whether the process before this one died with the instrument in its hands.
        server: Where the session is served; None: the queue is in the folder.
    """

    folder: Path
    worker: str
    driver: str
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    timeout_s: float = 3600.0
    lease_s: float = 30.0
    grace_s: float = 30.0
    instrument: str | None = None
    objectives: tuple[str, ...] = ()
    durable: bool = True
    must_recover: bool = False
    server: Server | None = None

    @property
    def instrument_name(self) -> str:
        """What the instrument's lock on this machine is named after."""
        return self.instrument or f"{self.folder} {self.worker}"


class Order(StrEnum):
    """What the pool tells a worker; ``stop`` includes ``drain``."""

    WAKE = "wake"
    DRAIN = "drain"
    STOP = "stop"


class Ending(IntEnum):
    """Exit codes of a worker process; any other is a crash, 0 too: that is what a driver's own ``exit`` brings.

    ``RECOVERED``: the instrument is safe, a worker may start on it.
    ``UNRECOVERED``: told to stop before the instrument was safe.
    ``HUNG``: the driver did not come back; its process was given up.
    ``EXHAUSTED``: the driver used up the memory that this process may have.
    """

    FINISHED = 70
    RECOVERED = 71
    UNRECOVERED = 72
    HUNG = 73
    EXHAUSTED = 74


class Topic(StrEnum):
    """What a note is about."""

    WAITING = "waiting"
    SICK = "sick"
    TROUBLE = "in trouble:"
    READY = "ready"
    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True)
class Note:
    """What a worker tells the pool.

    Args:
        topic: What it is about.
        text: A sentence for people.
        about: Ids, such as ``experiment=e0001 attempt=1``.
        n_completed: Experiments completed by this process so far; a lost note does no harm.
        n_other: Experiments that ended otherwise.
        busy_s: Seconds in which it measured.
    """

    topic: Topic
    text: str = ""
    about: str = ""
    n_completed: int = 0
    n_other: int = 0
    busy_s: float = 0.0

    @property
    def is_trouble(self) -> bool:
        """Whether a person should look."""
        has_failed = self.topic is Topic.ENDED and self.text.startswith("failed")
        return has_failed or self.topic in (Topic.WAITING, Topic.SICK, Topic.TROUBLE)

    def line(self, worker: str) -> str:
        """Return the note as a line of a log."""
        return " ".join(part for part in (self.about, f"worker={worker}", self.topic, self.text) if part)

    def to_bytes(self) -> bytes:
        """Return the note as one line of JSON, short enough to be written to a pipe whole."""
        return json.dumps(asdict(self) | {"text": self.text[:400]}, ensure_ascii=False).encode(errors="replace")

    @classmethod
    def from_bytes(cls, data: bytes) -> Note:
        """Read a note."""
        document = json.loads(data)
        return cls(**document | {"topic": Topic(document["topic"])})
