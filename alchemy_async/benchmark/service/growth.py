"""Growth: what the requests of an instrument cost in an empty session, and in one that holds very many rows.

In:    our server; how many rows.
Out:   medians of both sessions, in turns, and their ratio.
Never: measures a request that lists rows: that grows with what it lists.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from alchemy_async.benchmark.service import studies
from alchemy_async.benchmark.service.calls import Line

KINDS = ("stage", "state", "claim", "heartbeat", "complete")

_N_VARIABLES = 3
_CHUNK = 2000  # rows of one request
_WORKER = "bench-1"


def measure(line: Line, *, n_rows: int, n_times: int, show: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure each kind of request in both sessions.

    Args:
        line: To our server.
        n_rows: How many measurements the full session holds.
        n_times: How often each request is sent.
        show: Called with how far the filling is.

    Raises:
        BenchError: If a request is refused.
        OSError: If the server does not answer.
    """
    empty, full = studies.begin(line, _N_VARIABLES), studies.begin(line, _N_VARIABLES)
    points = studies.points(n_rows, _N_VARIABLES, seed=3)
    for k in range(0, n_rows, _CHUNK):
        show(f"growth: {k} of {n_rows} rows")
        studies.add_rows(line, full, [(point, studies.value(point)) for point in points[k : k + _CHUNK]])

    seconds: dict[str, list[dict[str, float]]] = {"empty": [], "full": []}
    for point in studies.points(n_times + 1, _N_VARIABLES, seed=4):
        for name, session in (("empty", empty), ("full", full)):
            seconds[name].append(_one(line, session, point))
    return [
        compare(kind, n_rows, *([one[kind] for one in seconds[name][1:]] for name in ("empty", "full")))
        for kind in KINDS
    ]


def compare(kind: str, n_rows: int, empty_s: list[float], full_s: list[float]) -> dict[str, Any]:
    """Return the medians of one kind of request, and their ratio."""
    empty, full = statistics.median(empty_s), statistics.median(full_s)
    return {"what": kind, "n_rows": n_rows, "empty_ms": 1000 * empty, "full_ms": 1000 * full, "ratio": full / empty}


def _one(line: Line, session: str, point: studies.Point) -> dict[str, float]:
    """Send one request of each kind, as an instrument does; return their seconds."""
    staged = f"{session}/experiments/staged"
    found = {
        "stage": line.must("POST", staged, {"inputs": point, "reason": "bench"}).seconds,
        "state": line.must("GET", f"{session}/state").seconds,
    }
    claim = line.must("POST", f"{staged}/claim", {"n": 1, "worker": _WORKER, "lease_s": 600})
    (experiment,) = claim.body["experiments"]
    mine = f"{staged}/{experiment['id']}"
    beat = line.must("POST", f"{mine}/heartbeat", {"worker": _WORKER, "attempt": experiment["attempt"]})
    body = {"worker": _WORKER, "attempt": experiment["attempt"], "values": {"Output": studies.value(point)}}
    complete = line.must("POST", f"{mine}/complete", body)
    return found | {"claim": claim.seconds, "heartbeat": beat.seconds, "complete": complete.seconds}
