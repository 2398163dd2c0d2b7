"""The run: every part once, in one order, with the floor sampled before, between and after them.

In:    a plan of what to measure; a folder on the disk in question.
Out:   one document, as ``alchemy-async bench exchange --json`` prints it.
Never: lets one part's failure take the others' figures away: it is told in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import (
    backlog,
    campaign,
    contenders,
    goals,
    machine,
    processes,
    restart,
    standing,
    starting,
    throughput,
)
from alchemy_async.benchmark.exchange.daemons import BenchError
from alchemy_async.benchmark.exchange.floor import REPLACE, Floor
from alchemy_async.benchmark.place import workplace
from alchemy_async.errors import AlchemyError

PARTS = ("floor", "throughput", "turnaround", "backlog", "restart", "idle", "memory", "start", "peers")

_TURNAROUND_WORKERS = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Args:
        parts: Some of `PARTS`.
        workers: Numbers of workers for throughput and peers.
        jobs: Experiments of each of those; at least four for each worker.
        turnarounds: Experiments of the turnaround part.
        backlogs: How many wait, for the backlog part; the largest is restarted with.
        backlog_jobs: Completions that are measured at each.
        idle_s: How long idle daemons are watched.
        repeats: How often a start and a restart are tried.
        floor_n: Samples of each kind between two parts.
        limit_s: A single campaign is broken off after this long.
        peer_limit_s: The same for one run of a peer, the start of its processes included.
    """

    parts: tuple[str, ...] = PARTS
    workers: tuple[int, ...] = (1, 3, 32, 256)
    jobs: int = 1000
    turnarounds: int = 10_000
    backlogs: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    backlog_jobs: int = 500
    idle_s: float = 60.0
    repeats: int = 5
    floor_n: int = 200
    limit_s: float = 600.0
    peer_limit_s: float = 120.0

    def n_jobs(self, n_workers: int) -> int:
        """Return how many jobs so many workers get."""
        return max(self.jobs, 4 * n_workers)


QUICK = Plan(
    workers=(1, 3),
    jobs=100,
    turnarounds=300,
    backlogs=(100, 1000),
    backlog_jobs=100,
    idle_s=5.0,
    repeats=2,
    floor_n=50,
    limit_s=60.0,
    peer_limit_s=20.0,
)


def run(plan: Plan, folder: Path | None = None, *, show: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure everything that a plan names.

    Args:
        plan: What to measure.
        folder: On the disk in question; it may exist. None: the current folder's disk. What is made there is
            taken away again.
        show: Called with what is being measured.

    Raises:
        FolderError: If the folder can't be used.
    """
    with workplace(folder) as place:
        return _Run(plan, place, show).document()


class _Run:
    def __init__(self, plan: Plan, place: Path, show: Callable[[str], None]) -> None:
        self._plan, self._place, self._show = plan, place, show
        self._floor = Floor(place / "floor")
        self._failures: list[dict[str, str]] = []
        self._numbers = itertools.count(1)

    def document(self) -> dict[str, Any]:
        """Measure, and return the document."""
        begun = time.perf_counter()
        document: dict[str, Any] = {
            "machine": machine.facts(self._place),
            "plan": dataclasses.asdict(self._plan),
        }
        self._sample()
        try:
            for part, measure in self._parts():
                document[part] = measure()
            document["floor"] = self._floor.figures()
        finally:
            self._floor.close()
        document["failures"] = self._failures
        document["goals"] = goals.judge(document)
        return document | {"wall_s": time.perf_counter() - begun}

    def _parts(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Return the parts that are wanted, in the order in which they are measured: the noisiest last."""
        every: dict[str, Callable[[], Any]] = {
            "throughput": self._throughput,
            "turnaround": self._turnaround,
            "backlog": self._backlog,
            "restart": self._restart,
            "idle": lambda: self._standing.get("idle"),
            "memory": lambda: self._standing.get("memory"),
            "start": self._start,
            "peers": self._peers,
        }
        return ((part, measure) for part, measure in every.items() if part in self._plan.parts)

    # -- the parts -----------------------------------------------------------

    def _throughput(self) -> list[dict[str, Any]]:
        kinds = [True, False] if campaign.can_be_loose() else [True]
        if not campaign.can_be_loose():
            self._fail("throughput, not durable", "this version has no [campaign] durable = false")
        rows = []
        for n_workers in self._plan.workers:
            for durable in kinds:
                n_jobs = self._plan.n_jobs(n_workers)
                name = f"throughput: {n_workers} workers, {n_jobs} jobs, {'durable' if durable else 'not durable'}"
                with self._step(name):
                    found = throughput.measure(
                        self._next("campaign"),
                        n_workers=n_workers,
                        n_jobs=n_jobs,
                        durable=durable,
                        limit_s=self._plan.limit_s,
                    )
                    self._sample()
                    rows.append(found | {"floor_per_s": self._floor.per_s(REPLACE)})
        return rows

    def _turnaround(self) -> dict[str, Any] | None:
        n = self._plan.turnarounds
        with self._step(f"turnaround: {_TURNAROUND_WORKERS} workers, {n} jobs"):
            found = throughput.measure(
                self._next("campaign"),
                n_workers=_TURNAROUND_WORKERS,
                n_jobs=n,
                durable=True,
                limit_s=max(self._plan.limit_s, 0.2 * n),
            )
            rest = {key: found[key] for key in ("n_workers", "n_jobs", "seconds", "jobs_per_s", "note")}
            return {**found["turnaround"], **rest}
        return None

    def _backlog(self) -> list[dict[str, Any]]:
        rows = []
        for n_waiting in self._plan.backlogs:
            with self._step(f"backlog: {n_waiting} waiting"):
                self._need_proc()
                rows.append(
                    backlog.measure(
                        self._next("campaign"),
                        n_waiting=n_waiting,
                        n_jobs=self._plan.backlog_jobs,
                        limit_s=self._plan.limit_s,
                    )
                )
        return backlog.ratios(rows)

    def _restart(self) -> dict[str, Any] | None:
        n_waiting = max(self._plan.backlogs)
        with self._step(f"restart: {n_waiting} waiting"):
            return restart.measure(self._next("campaign"), n_waiting=n_waiting, repeats=self._plan.repeats)
        return None

    def _start(self) -> dict[str, Any] | None:
        with self._step("start of a pool"):
            return starting.measure(self._next("start"), repeats=self._plan.repeats)
        return None

    @functools.cached_property
    def _standing(self) -> dict[str, Any]:
        """Idle daemons and their memory, which are measured together."""
        watch_s = self._plan.idle_s if "idle" in self._plan.parts else 1.0
        with self._step(f"idle daemons, watched for {watch_s:g} s"):
            self._need_proc()
            return standing.measure(self._next("campaign"), watch_s=watch_s, settle_s=min(10.0, watch_s))
        return {}

    def _peers(self) -> list[dict[str, Any]]:
        rows = []
        for name in contenders.names():
            for n_workers, n_jobs in contenders.sizes(name, self._plan.workers, self._plan.n_jobs):
                with self._step(f"peer {name}: {n_workers} workers, {n_jobs} jobs"):
                    found = contenders.measure(
                        name, self._next("peer"), n_workers=n_workers, n_jobs=n_jobs, limit_s=self._plan.peer_limit_s
                    )
                    rows.append(found)
                    if found["missing"]:
                        break
        return rows

    # -- steps -----------------------------------------------------------------

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Measure one thing, then the floor; a failure is noted, and the run goes on."""
        self._show(name)
        try:
            yield
        except (AlchemyError, OSError) as error:
            self._fail(name, str(error))
        self._sample()

    def _fail(self, what: str, why: str) -> None:
        self._failures.append({"what": what, "why": why})

    def _need_proc(self) -> None:
        if not processes.IS_THERE:
            raise BenchError(processes.WHY_NOT)

    def _sample(self) -> None:
        self._floor.sample(self._plan.floor_n)

    def _next(self, kind: str) -> Path:
        """Return a folder that does not exist yet."""
        return self._place / f"{kind}-{next(self._numbers)}"
