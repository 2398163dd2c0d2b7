"""Studies: the same sessions on both servers, made with requests that both understand.

In:    a connection, how many variables and rows, a seed.
Out:   the path of a session; points and values that are the same on either side.
Never: uses what only one of the two has.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from alchemy_async.benchmark.service.calls import Line

Point = dict[str, float]


def begin(line: Line, n_variables: int) -> str:
    """Make a session of real variables ``x0``, ``x1`` ... from 0 to 1; return its path."""
    return begin_within(line, {f"x{k}": (0.0, 1.0) for k in range(n_variables)})


def begin_within(line: Line, bounds: dict[str, tuple[float, float]]) -> str:
    """Make a session of real variables; return its path.

    Args:
        line: To the server.
        bounds: Of each variable, the least and the most.
    """
    session = f"/sessions/{line.must('POST', '/sessions', {'name': 'bench'}).body['session_id']}"
    for name, (least, most) in bounds.items():
        line.must("POST", f"{session}/variables", {"name": name, "type": "real", "min": least, "max": most})
    return session


def points(n: int, n_variables: int, *, seed: int) -> list[Point]:
    """Return random points of the unit cube."""
    draw = random.Random(seed)
    return [{f"x{k}": draw.random() for k in range(n_variables)} for _ in range(n)]


def value(point: Point) -> float:
    """Return what is measured at a point of the unit cube: a smooth hill."""
    return -sum((x - 0.3 - 0.05 * k) ** 2 for k, x in enumerate(point.values()))


def add_rows(line: Line, session: str, measured: Sequence[tuple[Point, float]]) -> None:
    """Add measurements to a session, in one request."""
    line.must(
        "POST",
        f"{session}/experiments/batch",
        {"experiments": [{"inputs": point, "output": output} for point, output in measured]},
    )
