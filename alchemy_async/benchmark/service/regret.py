"""Regret: how near the optimum the suggestions lead, the same problem and first points on both servers.

In:    both servers; seeds.
Out:   simple regret after the last round for each seed, and the ratio of the geometric means.
Never: compares seeds with other seeds.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from alchemy_async.benchmark.service import studies
from alchemy_async.benchmark.service.calls import Line
from alchemy_async.benchmark.service.suggesting import STRATEGY, train
from alchemy_async.benchmark.service.turns import OURS, THEIRS

BOUNDS = {"x0": (-5.0, 10.0), "x1": (0.0, 15.0)}
OPTIMUM = 0.39788735772973816
N_FIRST = 6
_LEAST = 1e-9  # below this, regrets are rounding


def branin(point: Mapping[str, float]) -> float:
    """Return the Branin function, to be minimised.

    Source:
        Dixon & Szego (1978), Towards Global Optimisation 2, 1-15.
    """
    x, y = point["x0"], point["x1"]
    hill = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(hill**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def measure(lines: Mapping[str, Line], *, seeds: Sequence[int], n_rounds: int) -> dict[str, Any]:
    """Run one study for each seed on both sides, in turns; each round suggests one point.

    Raises:
        BenchError: If a request is refused.
        OSError: If a server does not answer.
    """
    regrets: dict[str, list[float]] = {name: [] for name in lines}
    for seed in seeds:
        for name, line in lines.items():
            regrets[name].append(_study(line, name, seed, n_rounds))
    return {"problem": "Branin", "n_first": N_FIRST, "n_rounds": n_rounds, "seeds": list(seeds), **compare(regrets)}


def compare(regrets: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return regrets, their geometric means, and ours over theirs.

    Args:
        regrets: Of each side, one for each seed, >= 0.
    """
    means = {name: _geometric_mean(found) for name, found in regrets.items() if found}
    both = OURS in means and THEIRS in means
    pairs = zip(regrets[OURS], regrets[THEIRS], strict=True) if both else ()
    return {
        "regrets": {name: list(found) for name, found in regrets.items()},
        "geometric_mean": means,
        "ratio": means[OURS] / means[THEIRS] if both else None,
        "n_wins": sum(mine < other for mine, other in pairs) if both else None,
    }


def _geometric_mean(found: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(max(one, _LEAST)) for one in found))


def _study(line: Line, name: str, seed: int, n_rounds: int) -> float:
    session = studies.begin_within(line, BOUNDS)
    draw = random.Random(seed)
    first = [{x: draw.uniform(*bounds) for x, bounds in BOUNDS.items()} for _ in range(N_FIRST)]
    studies.add_rows(line, session, [(point, -branin(point)) for point in first])
    best = min(map(branin, first))
    for _ in range(n_rounds):
        if name == THEIRS:
            train(line, session)  # ours trains itself when it is asked
        body = {"strategy": STRATEGY, "goal": "maximize", "n_suggestions": 1}
        (point,) = line.must("POST", f"{session}/acquisition/suggest", body).body["suggestions"]
        studies.add_rows(line, session, [(point, -branin(point))])
        best = min(best, branin(point))
    return best - OPTIMUM
