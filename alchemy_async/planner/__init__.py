"""Planners: which points to measure next.

In:    the space and objectives at construction; history, pending points, n and a seed at each ask.
Out:   suggestions.
Never: keeps state between two asks, or reads a file, a clock or a ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from alchemy_async.experiment import History, Suggestion
    from alchemy_async.space import Point


@runtime_checkable
class Planner(Protocol):
    """A pure function with a name: the same arguments bring the same suggestions."""

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return up to ``n`` points worth measuring next, the best first.

        Args:
            history: Observations so far, and points that were refused.
            pending: Points chosen and not yet observed.
            n: How many points to suggest, > 0.
            seed: Seed of every random choice. A campaign passes the same one at each
                ask, so that a sequence can be gone on with: mix in how much is known.

        Returns:
            At most ``n`` suggestions, none a copy of another, of a pending or of
            a refused point; fewer only where the space has no more to offer.

        Raises:
            PlannerError: If it can't do what the campaign asks for.
        """
        ...
