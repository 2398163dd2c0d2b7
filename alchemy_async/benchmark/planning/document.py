"""The document: one object with all that a run measured and compared.

In:    what is wanted, a store.
Out:   the object that ``alchemy-async bench planner --json`` prints.
Never: leaves out what failed.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from alchemy_async.benchmark.planning import latency, schedule, summary, summary_parts
from alchemy_async.benchmark.planning.catalogue import CAMPAIGNS, is_compared
from alchemy_async.benchmark.planning.contenders import CONTENDERS, versions
from alchemy_async.benchmark.planning.goals import judge
from alchemy_async.benchmark.planning.problem import Record
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.benchmark.planning.run import Wanted, run
from alchemy_async.benchmark.planning.store import Store
from alchemy_async.benchmark.planning.trial import Key

PARTS = (*CAMPAIGNS, "latency", "growth", "schedule")


def measure(
    wanted: Wanted, store: Store, parts: Collection[str] = PARTS, show: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure some parts, and compare all that the store then holds.

    Args:
        wanted: Which trials.
        store: Where they are kept; without a part that runs trials it is only read, and all that is wanted compared.
        parts: Some of `PARTS`.
        show: Told of the progress.

    Returns:
        ``problems`` and ``comparisons`` of the wanted trials that are there, the same of those with two objectives
        in ``front`` and of those with failures in ``failing``, the measured parts, the ``goals``, and ``failures``.
    """
    begun = time.monotonic()
    running = [part for part in CAMPAIGNS if part in parts]
    wanted = _only(wanted, running or CAMPAIGNS)
    failures = run(wanted, store, show) if running else []
    keys = set(wanted.each())
    records = {key: record for key, record in store.read(wanted.contenders).items() if key in keys}
    document: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "versions": versions(),
        "n_trials": {"wanted": len(keys), "there": len(records)},
        **summarised(records),
    }
    if "latency" in parts:
        asked = [name for name in wanted.contenders if _is_timed(name)]
        document["latency"], failed = latency.side_by_side(asked, show=show)
        failures += failed
    if "growth" in parts:
        document["growth"], failed = latency.growth(show=show)
        failures += failed
    if "schedule" in parts:
        document["schedule"] = schedule.measure(show=show)
    document["goals"] = judge(document)
    document["failures"] = failures
    document["wall_s"] = time.monotonic() - begun
    return document


def summarised(records: Mapping[Key, Record]) -> dict[str, Any]:
    """Return what trials came to: ``problems`` and ``comparisons``, and the same of ``front`` and ``failing``."""
    single = {key: record for key, record in records.items() if key.problem in PROBLEMS}
    return {
        "problems": summary.by_problem(single),
        "comparisons": summary.comparisons(single),
        **{part: rows(records) for part, rows in summary_parts.PARTS.items()},
    }


def _only(wanted: Wanted, parts: Iterable[str]) -> Wanted:
    """Return what is wanted of these parts."""
    names = {name for part in parts for name in CAMPAIGNS[part]}
    return dataclasses.replace(wanted, problems=tuple(name for name in wanted.problems if name in names))


def _is_timed(name: str) -> bool:
    """Whether the asks of a contender are compared: those of designs, and of variants of another one, are not."""
    return name not in CONTENDERS or (name not in ("sobol", "random") and is_compared(name, "hartmann6"))
