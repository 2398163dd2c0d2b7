"""Designs: what a client wishes of a design, and why there may be none.

In:    a method with its settings.
Out:   frozen values that a process beside the server can be sent; errors with their status.
Never: makes a design, or loads what that needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alchemy_async.service.problems import ServiceError

FILLING = ("random", "lhs", "sobol", "halton", "hammersly")
CLASSICAL = ("full_factorial", "fractional_factorial", "ccd", "box_behnken", "plackett_burman", "gsd")
MOST_RUNS = 10_000


class InfeasibleRegionError(ServiceError):
    """No point, or none of a design, meets all constraints."""


class DesignNotEstimableError(ServiceError):
    """Constraints forbid some runs of a design, so that it tells less than it should."""


@dataclass(frozen=True)
class Designed:
    """A design.

    Args:
        points: Values of the variables that are chosen.
        details: What its runs are, where it is a classical one.
        n_dropped: How many runs the constraints forbade.
    """

    points: tuple[dict[str, Any], ...]
    details: dict[str, Any] | None = None
    n_dropped: int = 0


@dataclass(frozen=True)
class Classical:
    """A classical design.

    Args:
        method: One of `CLASSICAL`.
        n_levels: Of each continuous or integer variable, for factorial designs.
        n_center: Runs at the centre; a central composite design has as many in each of its two blocks.
        generators: Of a fractional factorial design, such as ``a b ab``; None: the smallest of resolution III.
        alpha: ``orthogonal`` or ``rotatable``: how far out the axial runs of a central composite design lie.
        face: ``circumscribed``, ``inscribed`` or ``faced``: where its corners lie.
        reduction: By how much a generalised subset design is smaller than the full one.
        allow_infeasible: Whether runs that the constraints forbid are just left out.
    """

    method: str
    n_levels: int = 2
    n_center: int = 1
    generators: str | None = None
    alpha: str = "orthogonal"
    face: str = "circumscribed"
    reduction: int = 2
    allow_infeasible: bool = False
