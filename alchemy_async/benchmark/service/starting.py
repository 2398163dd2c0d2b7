"""Starting: how long a server takes to its first answer, and what it holds in memory.

In:    what starts each server.
Out:   medians of the seconds, and of the memory before and after a first suggestion.
Never: lets one side start on a disk that the other has warmed up: they take turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.service import suggesting
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.servers import Server
from alchemy_async.benchmark.service.turns import OURS, THEIRS

Start = Callable[[Path], AbstractContextManager[Server]]


def measure(starts: Mapping[str, Start], folder: Path, *, repeats: int) -> dict[str, Any]:
    """Start each server a few times, in turns; the first start of each, which compiles, does not count.

    Raises:
        BenchError: If a server does not start, or refuses to suggest.
        OSError: If a server does not answer.
    """
    tries: dict[str, list[dict[str, float]]] = {name: [] for name in starts}
    for k in range(repeats + 1):
        for name, start in starts.items():
            with start(folder / f"{name}-{k}") as server, Line(server.port) as line:
                suggesting.Side(server, line).suggest(2, 6, 1, 0)
                tries[name].append({"ready_s": server.ready_s, "memory_mb": server.memory_mb()})
    return compare({name: found[1:] for name, found in tries.items()})


def compare(tries: Mapping[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return the medians of each side, and theirs over ours.

    Args:
        tries: Of each side: ``ready_s``, and ``memory_mb`` after its first suggestion.
    """
    each = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in tries.items()
        if found
    }
    ratios = {
        key: each[THEIRS][key] / each[OURS][key] if OURS in each and THEIRS in each and each[OURS][key] else None
        for key in ("ready_s", "memory_mb")
    }
    return {"each": each, "times_less": ratios}
