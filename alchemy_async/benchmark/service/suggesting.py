"""Suggesting: how long a client waits for the next points.

In:    both servers; how many variables, rows and points at once.
Out:   one row for each case: ours as it comes, theirs with and without the training that it has to ask for.
Never: asks twice in one session, where a server may remember what it said.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from alchemy_async.benchmark.service import studies
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.servers import Server
from alchemy_async.benchmark.service.turns import OURS, THEIRS, in_turns, row

STRATEGY = "qEI"  # the one that ALchemist's documentation shows; the only improvement of its that suggests batches
CASES = ((2, 20), (6, 50))  # variables, rows
BATCHES = (1, 4)


class Side:
    """One server as suggestions see it; `train_s` and `cpu_s` grow with each turn."""

    def __init__(self, server: Server, line: Line) -> None:
        self._server, self._line = server, line
        self.train_s: list[float] = []
        self.cpu_s: list[float] = []

    def suggest(self, n_variables: int, n_rows: int, n: int, k: int) -> float:
        """Ask for ``n`` points in a fresh session of so many rows; return the seconds of that request alone."""
        session = studies.begin(self._line, n_variables)
        rows = studies.points(n_rows, n_variables, seed=100 + k)
        studies.add_rows(self._line, session, [(point, studies.value(point)) for point in rows])
        before_s = self._server.cpu_s()
        if self._server.name == THEIRS:
            self.train_s.append(train(self._line, session))
        body = {"strategy": STRATEGY, "goal": "maximize", "n_suggestions": n}
        answer = self._line.must("POST", f"{session}/acquisition/suggest", body)
        self.cpu_s.append(self._server.cpu_s() - before_s)
        return answer.seconds


def train(line: Line, session: str) -> float:
    """Train the model that suggests batches, as ALchemist must be told to; return the seconds."""
    body = {"backend": "botorch", "kernel": "Matern"}
    return line.must("POST", f"{session}/model/train", body).seconds


def measure(servers: Mapping[str, Server], lines: Mapping[str, Line], *, repeats: int) -> list[dict[str, Any]]:
    """Measure every case on both sides, in turns.

    Raises:
        BenchError: If a request is refused.
        OSError: If a server does not answer.
    """
    for name, line in lines.items():
        Side(servers[name], line).suggest(2, 6, 1, 0)  # what is loaded at the first request does not count
    return [
        _case(servers, lines, n_variables, n_rows, n, repeats)
        for n_variables, n_rows in CASES
        for n in BATCHES
    ]  # fmt: skip


def _case(
    servers: Mapping[str, Server], lines: Mapping[str, Line], n_variables: int, n_rows: int, n: int, repeats: int
) -> dict[str, Any]:
    sides = {name: Side(servers[name], line) for name, line in lines.items()}
    asking: dict[str, Callable[[int], float]] = {
        name: functools.partial(side.suggest, n_variables, n_rows, n) for name, side in sides.items()
    }
    seconds = in_turns(repeats, asking)
    found = row(
        f"suggest {n}, {n_variables} variables, {n_rows} rows", seconds,
        n_variables=n_variables, n_rows=n_rows, n_suggestions=n,
        cpu_ms={name: 1000 * statistics.median(side.cpu_s) for name, side in sides.items()},
        train_p50_ms=None, times_quicker_than_train_and_suggest=None,
    )  # fmt: skip
    if THEIRS in sides:
        train_s = statistics.median(sides[THEIRS].train_s)
        both = train_s + statistics.median(seconds[THEIRS])
        found["train_p50_ms"] = 1000 * train_s
        if OURS in seconds:
            found["times_quicker_than_train_and_suggest"] = both / statistics.median(seconds[OURS])
    return found
