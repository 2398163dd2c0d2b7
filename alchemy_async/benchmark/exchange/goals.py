"""Goals: what the figures should reach, and whether they do.

In:    the document of a run.
Out:   one line for each goal whose figures were measured, missed ones too.
Never: measures, or judges by a figure of another run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from alchemy_async.benchmark.exchange.floor import PUBLISH

Document = Mapping[str, Any]

IN_MEMORY = ("ray", "parsl", "dask")  # engines that keep nothing on a disk: told, not a goal


def judge(document: Document) -> list[dict[str, Any]]:
    """Return every goal with the figure that it is judged by: ``goal, figure, limit, is_met``."""
    parts: tuple[Callable[[Document], Iterator[dict[str, Any]]], ...] = (
        _throughput,
        _peers,
        _turnaround,
        _atlas,
        _backlog,
        _restart,
        _standing,
        _start,
    )
    return [goal for part in parts for goal in part(document)]


def _at_most(what: str, figure: float | None, limit: float) -> dict[str, Any]:
    is_met = figure is not None and figure <= limit
    return {"goal": what, "figure": figure, "limit": f"<= {limit:g}", "is_met": is_met}


def _at_least(what: str, figure: float | None, limit: float) -> dict[str, Any]:
    is_met = figure is not None and figure >= limit
    return {"goal": what, "figure": figure, "limit": f">= {limit:.4g}", "is_met": is_met}


def _throughput(document: Document) -> Iterator[dict[str, Any]]:
    for row in document.get("throughput") or ():
        if row["durable"]:
            share = quotient(row["jobs_per_s"], row["floor_per_s"])
            yield _at_least(f"durable, {row['n_workers']} workers: share of the fsync floor", share, 0.25)


def _peers(document: Document) -> Iterator[dict[str, Any]]:
    """Compare with every peer of the same number of workers; engines in memory are above any disk."""
    ours = {(row["n_workers"], row["durable"]): row["jobs_per_s"] for row in document.get("throughput") or ()}
    for peer in document.get("peers") or ():
        durable = bool(peer["durable"])
        mine = ours.get((peer["n_workers"], durable))
        if mine is None or not peer["jobs_per_s"] or not is_compared(peer["name"]):
            continue
        kind = "durable" if durable else "not durable"
        yield _at_least(f"{kind}, {peer['n_workers']} workers: jobs/s, above {peer['name']}", mine, peer["jobs_per_s"])


def is_compared(name: str) -> bool:
    """Return whether being quicker than this peer is a goal."""
    return not is_polling(name) and not any(engine in name.casefold() for engine in IN_MEMORY)


def is_polling(name: str) -> bool:
    """Return whether a peer is the Atlas demo: a few completions that take seconds each."""
    return "atlas" in name.casefold()


def _turnaround(document: Document) -> Iterator[dict[str, Any]]:
    ours = document.get("turnaround")
    if not ours or not document.get("floor"):
        return
    floor = document["floor"][PUBLISH]
    yield _at_most("turnaround p50, in publish floors", quotient(ours["p50_ms"], floor["p50_ms"]), 5)
    yield _at_most("turnaround p99, in p99 of publish floors", quotient(ours["p99_ms"], floor["p99_ms"]), 10)
    yield _at_most("turnarounds above 500 ms", ours["n_above_500_ms"], 0)


def _atlas(document: Document) -> Iterator[dict[str, Any]]:
    ours = document.get("turnaround")
    for peer in document.get("peers") or ():
        theirs = (peer.get("turnaround") or {}).get("p50_ms")
        if ours and theirs and is_polling(peer["name"]):
            yield _at_least("turnaround p50, times below the Atlas demo", quotient(theirs, ours["p50_ms"]), 300)


def _backlog(document: Document) -> Iterator[dict[str, Any]]:
    rows: Sequence[dict[str, Any]] = document.get("backlog") or ()
    if len(rows) < 2:
        return
    least, most = (choose(rows, key=lambda row: row["n_waiting"]) for choose in (min, max))
    between = f"with {most['n_waiting']} waiting, times that with {least['n_waiting']}"
    yield _at_most(f"planner's time for a completion {between}", most["cost_ratio"], 2)
    yield _at_most(f"seconds for a completion {between}", most["seconds_per_job_ratio"], 2)


def _restart(document: Document) -> Iterator[dict[str, Any]]:
    found = document.get("restart")
    if found:
        what = f"restart with {found['n_waiting']} waiting, times bare read + bare process start"
        yield _at_most(what, found["ratio_without_imports"], 2)


def _standing(document: Document) -> Iterator[dict[str, Any]]:
    idle, memory = document.get("idle"), document.get("memory")
    if idle:
        yield _at_most("idle: percent of a core, all processes", idle["all_percent_of_a_core"], 1)
    if memory:
        yield _at_most("worker's PSS in MB", memory.get("worker_pss_mb"), 30)


def _start(document: Document) -> Iterator[dict[str, Any]]:
    found = document.get("start")
    if found:
        yield _at_most("pool of 3 ready, times a bare spawn of 3", found["ratio"], 2)


def quotient(above: float | None, below: float | None) -> float | None:
    """Return a quotient; None where a figure is missing."""
    return above / below if above is not None and below else None
