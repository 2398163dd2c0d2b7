"""Goals: what the planner should reach, and whether it does.

In:    the document of a run.
Out:   one line for each goal whose figures are there, missed ones too.
Never: measures, or calls a goal met that too few pairs speak for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alchemy_async.benchmark.planning.contenders import IGNORING, OURS
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.space import Continuous

Document = Mapping[str, Any]
Goal = dict[str, Any]

NOT_INFERIOR = 0.25  # log10 of a ratio of regrets: a factor of 1.8
LEAST_PAIRS = {3: 113, 8: 24}  # what the spread of such ratios, 1.07, asks for at 3 workers
ADAPTERS = ("ax", "optuna-gp", "optuna-tpe")
GROWTH_LIMITS_S = {1_000: 0.3, 2_000: 1.0, 10_000: 2.0}
_LEAST_EXACT_PAIRS = 48
NOT_INFERIOR_FRONT = 0.02  # of the largest hypervolume
LEAST_OF_EACH = 8  # pairs of each problem with two objectives, or with failures
_MOST_OF_AX_ON_FRONTS = 0.5  # of its time for one ask
MOST_OF_FAILURES = 1 / 3  # of those of the same planner, failures ignored
_MOST_OF_AX = {True: 0.10, False: 0.35}  # of Ax's time for one ask: continuous spaces, others


def judge(document: Document) -> list[Goal]:
    """Return every goal with the figure that it is judged by: ``goal, figure, limit, is_met``."""
    parts = (_regret, _copies, _front, _ask_beside_front, _failing, _latency, _steadiness, _growth, _schedule)
    return [goal for part in parts for goal in part(document)]


def _goal(what: str, figure: float | None, limit: float, *, is_enough: bool = True) -> Goal:
    is_met = is_enough and figure is not None and figure <= limit
    return {"goal": what, "figure": figure, "limit": f"<= {limit:g}", "is_met": is_met}


def _regret(document: Document) -> Iterator[Goal]:
    for row in document["comparisons"]:
        if row["problem"] is not None:
            continue
        n_workers, n_pairs, peer = row["n_workers"], row["n_pairs"], row["peer"]
        least = _LEAST_EXACT_PAIRS if row["is_exact"] else LEAST_PAIRS.get(n_workers, 113)
        too_few = "" if n_pairs >= least else f", of {least} that it takes"
        where = f"{n_workers} workers, {n_pairs} pairs{too_few}: upper bound of log10(regret / that of {peer})"
        if row["is_exact"]:
            if peer == "optuna-gp":
                yield _goal(f"declared exact, {where}", row["upper"], NOT_INFERIOR, is_enough=n_pairs >= least)
        elif peer in ("ax", "qlognei"):
            yield _goal(where, row["upper"], NOT_INFERIOR, is_enough=n_pairs >= least)
            if n_workers == 3:
                yield _goal(f"better: {where}", row["upper"], 0.0, is_enough=n_pairs >= least)


def _copies(document: Document) -> Iterator[Goal]:
    for name in (OURS, *ADAPTERS):
        rows = [row for row in _rows(document) if row["contender"] == name]
        if rows:
            n_asks = sum(row["n_asks"] for row in rows)
            n_copies = sum(row["n_copies"] for row in rows)
            yield _goal(f"{name}: asks that are copies of a pending point, of {n_asks}", n_copies, 0)


def _rows(document: Document) -> list[Mapping[str, Any]]:
    """Return the rows of all campaigns, whatever part ran them."""
    parts = (document, *(document[part] for part in ("front", "failing") if part in document))
    return [row for part in parts for row in part["problems"]]


def _front(document: Document) -> Iterator[Goal]:
    for row in _compared(document, "front", "ax"):
        where, is_enough = _on(row, row["n_pairs"], row["n_of_each"])
        what = f"{where}: upper bound of what Ax's front covers more"
        yield _goal(what, row["upper"], NOT_INFERIOR_FRONT, is_enough=is_enough)


def _ask_beside_front(document: Document) -> Iterator[Goal]:
    for row in _compared(document, "front", "ax"):
        if row["problem"] is None:
            continue
        where, is_enough = _on(row, row["n_timed_pairs"], row["n_timed_pairs"])
        for kind, words in (("wall", "wall"), ("cpu", "processor")):
            what = f"{where}: {words} time of an ask in one process, share of Ax's"
            yield _goal(what, row[f"ask_{kind}_ratio"], _MOST_OF_AX_ON_FRONTS, is_enough=is_enough)


def _failing(document: Document) -> Iterator[Goal]:
    for row in _compared(document, "failing", IGNORING):
        if row["problem"] is None:
            where, is_enough = _on(row, row["n_pairs"], row["n_of_each"])
            for ratio, until in (("ratio", "to the end"), ("ratio_until_found", "until the optimum is found")):
                what = f"{where}: failures {until}, share of those with failures ignored"
                yield _goal(what, row[ratio], MOST_OF_FAILURES, is_enough=is_enough)
            what = f"{where}: upper bound of log10(regret / that with failures ignored)"
            yield _goal(what, row["upper"], NOT_INFERIOR, is_enough=is_enough)


def _compared(document: Document, part: str, peer: str) -> list[Mapping[str, Any]]:
    return [row for row in document.get(part, {}).get("comparisons", ()) if row["peer"] == peer]


def _on(row: Mapping[str, Any], n_pairs: int, n_of_each: int) -> tuple[str, bool]:
    """Return where a comparison was made, and whether it has enough pairs of each problem."""
    is_enough = n_of_each >= LEAST_OF_EACH
    too_few = "" if is_enough else f", of {LEAST_OF_EACH} of each problem that it takes"
    return f"{row['problem'] or 'all problems'}, {row['n_workers']} workers, {n_pairs} pairs{too_few}", is_enough


def _latency(document: Document) -> Iterator[Goal]:
    rows = {(row["problem"], row["n"], row["contender"]): row for row in document.get("latency") or ()}
    for (problem, n, name), row in rows.items():
        theirs = rows.get((problem, n, "ax"))
        if name != OURS or theirs is None:
            continue
        limit = _MOST_OF_AX[_is_continuous(problem)]
        for kind, words in (("wall_ms", "wall"), ("cpu_ms", "processor")):
            share = row[kind]["p50"] / theirs[kind]["p50"]
            yield _goal(f"{problem}, n = {n}: {words} time of an ask, share of Ax's, median", share, limit)


def _steadiness(document: Document) -> Iterator[Goal]:
    for row in document.get("latency") or ():
        if row["contender"] == OURS:
            ratio = row["cpu_ms"]["p95"] / row["cpu_ms"]["p50"]
            yield _goal(f"{row['problem']}, n = {row['n']}: processor time of an ask, 95 % over median", ratio, 2)


def _growth(document: Document) -> Iterator[Goal]:
    for row in document.get("growth") or ():
        limit = GROWTH_LIMITS_S.get(row["n"])
        if limit is not None:
            yield _goal(f"n = {row['n']}: steady ask, wall time in s, median", row["wall_ms"]["p50"] / 1000, limit)


def _schedule(document: Document) -> Iterator[Goal]:
    for row in document.get("schedule") or ():
        n_workers = row["n_workers"]
        for what, figure, least in (
            ("utilisation, share of that without latency", row["utilisation_ratio"], 0.97),
            ("times quicker than synchronous batches", row["speed_up"], {3: 1.30, 8: 1.40}.get(n_workers)),
        ):
            if least is not None:
                is_met = figure is not None and figure >= least
                goal = f"{n_workers} workers: {what}, median"
                yield {"goal": goal, "figure": figure, "limit": f">= {least:g}", "is_met": is_met}


def _is_continuous(problem: str) -> bool:
    parameters = PROBLEMS[problem].settings(0).as_space().parameters
    return all(isinstance(parameter, Continuous) for parameter in parameters)
