"""Cut world: a campaign folder with its planner and workers, for stories in which the power may fail.

In:    a story, an empty folder.
Out:   the film of it.
Never: waits or sleeps; time is simulated, and what happens at once is nested by hand.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import Offer, Status, WorkerState
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from tests.planner_daemon.conftest import Lab
from tests.system.disk import Step, watching
from tests.system.power_cut import DiskState, Film, Told

SETTINGS = {"budget": "experiments = 3", "n_initial": 2}


@dataclass
class World:
    """One campaign folder, its planner, and workers that a story plays."""

    folder: Path
    lab: Lab | None = None
    film: Film | None = None
    offer: Offer | None = None
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    told: tuple[Told, ...] = ()
    n_lives: int = 0

    def open(self) -> Lab:
        """Start the planner and let it publish."""
        self.lab = Lab(self.folder, self.clock, **SETTINGS)
        self.lab.step()
        return self.lab

    def come_back_to(self, state: DiskState) -> None:
        """Take up what a power cut left, with what had been promised before it."""
        state.lay_out(self.folder)
        self.told, self.n_lives = state.told, self.n_lives + 1

    def saw(self, step: Step) -> None:
        """Take note of a step; then let happen what the story wants to happen just there, once."""
        if self.film is not None:
            self.film.take(step)
        if step.name == "queue.renamed":
            self.tell(Told("published", str(json.loads(step.path.read_bytes())["revision"])))
        self.meanwhile.pop(step.name, lambda: None)()

    def is_to_see(self, step: Step) -> None:
        """Let a step fail where the story wants it, once."""
        if step.name in self.refused:
            self.refused.remove(step.name)
            if self.film is not None:
                self.film.refuse(step)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def tell(self, told: Told) -> None:
        if self.film is not None:
            self.film.tell(told)

    def worker(self, name: str = "w-1") -> FolderWorkerEnd:
        worker = FolderWorkerEnd(self.folder, worker=name, instance=f"{name}-life-{self.n_lives}", clock=self.clock)
        worker.beat(WorkerState.IDLE)
        return worker

    def start(self, worker: FolderWorkerEnd) -> Offer:
        """Claim, and start the driver as soon as the claim is held; only then beat."""
        offer = worker.claim()
        assert offer is not None, "there was nothing to claim"
        return self._begin(worker, offer)

    def run_if_offered(self, worker: FolderWorkerEnd) -> None:
        """Claim, start and report, if there is anything to claim."""
        offer = worker.claim()
        if offer is not None:
            self.report(worker, self._begin(worker, offer))

    def _begin(self, worker: FolderWorkerEnd, offer: Offer) -> Offer:
        self.tell(Told("started", str(offer.key), worker._worker, offer.parameters["x"]))
        worker.beat(WorkerState.BUSY, offer.key)
        return offer

    def report(self, worker: FolderWorkerEnd, offer: Offer, status: Status = Status.COMPLETED, **rest: str) -> None:
        worker.report(offer.key, Lab.outcome(self, offer, status, **rest))
        x = offer.parameters["x"] if status is Status.COMPLETED else None
        self.tell(Told("reported", str(offer.key), worker._worker, x))
        worker.beat(WorkerState.IDLE)


@dataclass(frozen=True)
class Story:
    """What happens, and what came before.

    Args:
        play: What is filmed.
        begin: What came before; of this all is durable.
        has_links: Whether the file system has hard links.
        name: What it is called.
    """

    play: Callable[[World], None]
    begin: Callable[[World], object] = World.open
    has_links: bool = True
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.play.__name__

    def film(
        self,
        folder: Path,
        *,
        is_left_out: Callable[[Step], bool] = lambda step: False,
        altered: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> Film:
        """Play it in an empty folder and return the film.

        Args:
            folder: The empty folder.
            is_left_out: Steps that are not made, as `watching` takes it.
            altered: Entered while the camera runs: changes the product.
        """
        world = World(folder)
        self.begin(world)
        world.film = Film(folder, list(world.told))
        with contextlib.nullcontext() if self.has_links else no_hard_links():
            with watching(folder, world.is_to_see, world.saw, is_left_out=is_left_out), altered():
                self.play(world)
            world.film.end()
        if world.lab is not None:
            world.lab.close()
        return world.film


@contextlib.contextmanager
def refused(world: World, name: str) -> Iterator[None]:
    """Let the disk refuse a step once, and somebody be told so."""
    world.refused.add(name)
    with contextlib.suppress(OSError):
        yield
    assert name not in world.refused, f"{name} did not happen"


@contextlib.contextmanager
def no_hard_links() -> Iterator[None]:
    """Be a file system that knows no hard links."""

    def refuse(*_names: object, **_options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    real, os.link = os.link, refuse
    try:
        yield
    finally:
        os.link = real
