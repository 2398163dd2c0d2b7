"""The document: one object with all that a run measured and compared.

In:    what is wanted, a store.
Out:   the object that ``alchemy-async bench planner --json`` prints.
Never: leaves out what failed.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Collection
from typing import Any

from alchemy_async.benchmark.planning import latency, schedule, summary
from alchemy_async.benchmark.planning.contenders import CONTENDERS, versions
from alchemy_async.benchmark.planning.goals import judge
from alchemy_async.benchmark.planning.run import Wanted, run
from alchemy_async.benchmark.planning.store import Store

PARTS = ("trials", "latency", "growth", "schedule")


def measure(
    wanted: Wanted, store: Store, parts: Collection[str] = PARTS, show: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure some parts, and compare all that the store then holds.

    Args:
        wanted: Which trials.
        store: Where they are kept; without the part ``trials`` it is only read.
        parts: Some of `PARTS`.
        show: Told of the progress.

    Returns:
        ``problems`` and ``comparisons`` of the wanted trials that are there, the measured parts, the ``goals``, and
        ``failures``.
    """
    begun = time.monotonic()
    failures = run(wanted, store, show) if "trials" in parts else []
    keys = set(wanted.each())
    records = {key: record for key, record in store.read(wanted.contenders).items() if key in keys}
    document: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "versions": versions(),
        "n_trials": {"wanted": len(keys), "there": len(records)},
        "problems": summary.by_problem(records),
        "comparisons": summary.comparisons(records),
    }
    if "latency" in parts:
        names = [name for name in wanted.contenders if name not in ("sobol", "random") or name not in CONTENDERS]
        document["latency"], failed = latency.side_by_side(names, show=show)
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
