"""The run: every part once, in one order, both servers side by side.

In:    a plan of what to measure; a folder on the disk in question.
Out:   one document, as ``alchemy-async bench service --json`` prints it.
Never: lets one part's failure take the others' figures away: it is told in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.exchange import machine, processes
from alchemy_async.benchmark.exchange.daemons import BenchError
from alchemy_async.benchmark.place import workplace
from alchemy_async.benchmark.service import goals, growth, mixed, regret, servers, staged, starting, suggesting
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.servers import Peer, Server
from alchemy_async.benchmark.service.turns import OURS, THEIRS
from alchemy_async.errors import AlchemyError

PARTS = ("start", "staged", "mixed", "suggest", "regret", "growth")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Args:
        parts: Some of `PARTS`.
        n_rows: Experiments of a large queue.
        n_small: How often a small request is sent.
        n_large: How often a large one is.
        n_clients: Clients of the mixed load.
        n_rounds: Experiments that each of them stages and completes.
        n_mixed: How often the mixed load is put on each server.
        n_suggest: How often each case of a suggestion is asked.
        seeds: Of the regret; one study each.
        n_regret: Suggestions of each study.
        n_starts: How often each server is started.
        n_observations: Rows of the full session.
        n_growth: How often each request is sent there.
    """

    parts: tuple[str, ...] = PARTS
    n_rows: int = 1000
    n_small: int = 40
    n_large: int = 3
    n_clients: int = 8
    n_rounds: int = 8
    n_mixed: int = 2
    n_suggest: int = 5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_regret: int = 14
    n_starts: int = 3
    n_observations: int = 100_000
    n_growth: int = 200


QUICK = Plan(
    n_rows=100, n_small=10, n_large=1, n_rounds=3, n_mixed=1, n_suggest=1, seeds=(0,), n_regret=3, n_starts=1,
    n_observations=2000, n_growth=20,
)  # fmt: skip


def run(
    plan: Plan, peer: Peer | None = None, folder: Path | None = None, *, show: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure everything that a plan names.

    Args:
        plan: What to measure.
        peer: What ours is compared with; None: nothing.
        folder: On the disk in question; it may exist. None: the current folder's disk. What is made there is
            taken away again.
        show: Called with what is being measured.

    Raises:
        FolderError: If the folder can't be used.
    """
    with workplace(folder) as place:
        return _Run(plan, peer, place, show).document()


class _Run:
    def __init__(self, plan: Plan, peer: Peer | None, place: Path, show: Callable[[str], None]) -> None:
        self._plan, self._peer, self._place, self._show = plan, peer, place, show
        self._failures: list[dict[str, str]] = []

    def document(self) -> dict[str, Any]:
        """Measure, and return the document."""
        begun = time.perf_counter()
        document: dict[str, Any] = {
            "machine": machine.facts(self._place),
            "plan": dataclasses.asdict(self._plan),
            "peer": self._look_at_peer(),
        }
        if "start" in self._plan.parts:
            with self._step("start"):
                processes_or_refuse()
                document["start"] = starting.measure(
                    self._starts(), self._place / "starts", repeats=self._plan.n_starts
                )
        with self._step("both servers"), contextlib.ExitStack() as stack:
            both = {name: stack.enter_context(start(self._place / name)) for name, start in self._starts().items()}
            lines = {name: stack.enter_context(Line(server.port)) for name, server in both.items()}
            self._with_servers(document, both, lines)
        document["failures"] = self._failures
        document["goals"] = goals.judge(document)
        return document | {"wall_s": time.perf_counter() - begun}

    def _with_servers(self, document: dict[str, Any], both: dict[str, Server], lines: dict[str, Line]) -> None:
        """Measure the parts that need running servers, the heaviest last."""
        plan = self._plan
        every: dict[str, Callable[[], Any]] = {
            "staged": lambda: staged.measure(
                lines, n_rows=plan.n_rows, n_small=plan.n_small, n_large=plan.n_large
            ),
            "mixed": lambda: mixed.measure(
                {name: server.port for name, server in both.items()},
                n_clients=plan.n_clients, n_rounds=plan.n_rounds, repeats=plan.n_mixed,
            ),
            "suggest": lambda: suggesting.measure(both, lines, repeats=plan.n_suggest),
            "regret": lambda: regret.measure(lines, seeds=plan.seeds, n_rounds=plan.n_regret),
            "growth": lambda: growth.measure(
                lines[OURS], n_rows=plan.n_observations, n_times=plan.n_growth, show=self._show
            ),
        }  # fmt: skip
        for part, measure in every.items():
            if part in plan.parts:
                with self._step(part):
                    document[part] = measure()

    def _starts(self) -> dict[str, starting.Start]:
        found: dict[str, starting.Start] = {OURS: servers.ours}
        peer = self._peer
        if peer is not None:
            found[THEIRS] = lambda folder: servers.theirs(peer, folder)
        return found

    def _look_at_peer(self) -> dict[str, str] | None:
        """Return what we compare with; a peer that is not there is told, and left out."""
        if self._peer is None:
            return None
        missing = self._peer.missing()
        if missing:
            self._fail(THEIRS, missing)
            self._peer = None
        return {"name": THEIRS, "version": servers.VERSION, "missing": missing}

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._show(name)
        try:
            yield
        except (AlchemyError, OSError) as error:
            self._fail(name, str(error))

    def _fail(self, what: str, why: str) -> None:
        self._failures.append({"what": what, "why": why})


def processes_or_refuse() -> None:
    """Check that memory can be measured here.

    Raises:
        BenchError: If not.
    """
    if not processes.IS_THERE:
        raise BenchError(processes.WHY_NOT)
