"""The catalogue: which problems each part of the benchmark has.

In:    nothing.
Out:   problems by part; all of them by name.
Never: holds one name twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from alchemy_async.benchmark.planning.contenders import CONTENDERS
from alchemy_async.benchmark.planning.failing import FAILING
from alchemy_async.benchmark.planning.fronts import FRONTS
from alchemy_async.benchmark.planning.problem import Problem
from alchemy_async.benchmark.planning.problems import PROBLEMS

CAMPAIGNS: Mapping[str, Mapping[str, Problem]] = {"trials": PROBLEMS, "front": FRONTS, "failing": FAILING}
"""By the part that runs them."""

EVERY: Mapping[str, Problem] = {name: problem for part in CAMPAIGNS.values() for name, problem in part.items()}


def is_compared(contender: str, problem: str) -> bool:
    """Return whether a contender runs on a problem; a planner of a user's own runs on all of them."""
    return contender not in CONTENDERS or contender in EVERY[problem].contenders
