"""Staged: what staging, looking and completing cost, alone and with a thousand that wait.

In:    both servers.
Out:   one row for each kind of request.
Never: counts what puts a queue back as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alchemy_async.benchmark.service import studies
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.turns import in_turns, row

_N_VARIABLES = 3


class Side:
    """One server as the requests see it.

    Args:
        line: To the server.
        n_rows: How many experiments a large queue holds.
    """

    def __init__(self, line: Line, n_rows: int) -> None:
        self._line = line
        self._points = studies.points(n_rows, _N_VARIABLES, seed=1)
        self._more = studies.points(n_rows, _N_VARIABLES, seed=2)
        self._outputs = [studies.value(point) for point in self._points]
        self._small = studies.begin(line, _N_VARIABLES)
        self._large = ""

    def stage_one(self, k: int) -> float:
        """Stage one experiment where none waits."""
        seconds = self._stage(self._small, k)
        self._line.must("DELETE", f"{self._small}/experiments/staged")
        return seconds

    def stage_many(self, _: int) -> float:
        """Stage a large batch in an empty session."""
        self._large = studies.begin(self._line, _N_VARIABLES)
        body = {"experiments": self._points, "reason": "bench"}
        return self._line.must("POST", f"{self._large}/experiments/staged/batch", body).seconds

    def look(self, _: int) -> float:
        """Get a large queue."""
        return self._line.must("GET", f"{self._large}/experiments/staged").seconds

    def complete_many(self, k: int) -> float:
        """Complete a large queue, staged for it."""
        self.stage_many(k)
        body = {"outputs": self._outputs, "iteration": 1}
        return self._line.must("POST", f"{self._large}/experiments/staged/complete", body).seconds

    def stage_behind_many(self, k: int) -> float:
        """Stage one experiment where many wait."""
        return self._stage(self._large, k)

    def _stage(self, session: str, k: int) -> float:
        body = {"inputs": self._more[k % len(self._more)], "reason": "bench"}
        return self._line.must("POST", f"{session}/experiments/staged", body).seconds


def measure(lines: Mapping[str, Line], *, n_rows: int, n_small: int, n_large: int) -> list[dict[str, Any]]:
    """Measure each kind of request on both sides, in turns.

    Args:
        lines: To the servers, by name.
        n_rows: How many experiments a large queue holds.
        n_small: How often a small request is sent.
        n_large: How often a large one is.

    Raises:
        BenchError: If a request is refused.
        OSError: If a server does not answer.
    """
    sides = {name: Side(line, n_rows) for name, line in lines.items()}
    for side in sides.values():
        side.stage_one(0)  # what is loaded at the first request does not count

    return [
        row("stage one", in_turns(n_small, {name: side.stage_one for name, side in sides.items()})),
        row(f"complete {n_rows}", in_turns(n_large, {name: side.complete_many for name, side in sides.items()})),
        row(f"stage {n_rows}", in_turns(n_large, {name: side.stage_many for name, side in sides.items()})),
        row(f"get {n_rows}", in_turns(n_small, {name: side.look for name, side in sides.items()})),
        row(
            f"stage one, {n_rows} waiting",
            in_turns(n_small, {name: side.stage_behind_many for name, side in sides.items()}),
            n_waiting=n_rows,
        ),
    ]
