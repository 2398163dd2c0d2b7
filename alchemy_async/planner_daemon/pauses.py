"""Pauses: how long a planner that had no answer is left in peace, for each of the machines that points are sought for.

In:    failures and answers, by what the points had to have; a clock.
Out:   whether to ask, or to fill, again.
Never: asks; lets one machine wait for what went wrong with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alchemy_async.clock import Clock
from alchemy_async.planner_daemon.needs import Held, held
from alchemy_async.space import Value

_PAUSE_S = (1.0, 60.0)  # after the first failure, and at most


@dataclass
class _Failing:
    n: int = 0
    no_ask_before_s: float = float("-inf")
    no_fill_before_s: float = float("-inf")


class Pauses:
    """The pauses of one planner.

    Args:
        clock: Its monotonic seconds are counted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[Held, _Failing] = {}

    def begin(self, hold: Mapping[str, Value], *, of_filling: bool = False) -> float:
        """Begin a pause after a failure, twice as long as the one before; return how long it is, in seconds.

        Args:
            hold: What the points had to have.
            of_filling: Whether space-filling points can't be found either.
        """
        failing = self._failing.setdefault(held(hold), _Failing())
        failing.n += 1
        pause_s = min(_PAUSE_S[0] * 2.0 ** min(failing.n - 1, 16), _PAUSE_S[1])
        failing.no_ask_before_s = self._clock.monotonic() + pause_s
        if of_filling:
            failing.no_fill_before_s = failing.no_ask_before_s
        return pause_s

    def end(self, hold: Mapping[str, Value]) -> None:
        """Forget what failed: there was an answer."""
        self._failing.pop(held(hold), None)

    def has_failed(self, hold: Mapping[str, Value]) -> bool:
        """Tell whether there was no answer since the last failure."""
        return held(hold) in self._failing

    def may_ask(self, hold: Mapping[str, Value]) -> bool:
        """Tell whether no pause forbids to ask."""
        return self._clock.monotonic() >= self._failing.get(held(hold), _Failing()).no_ask_before_s

    def may_fill(self, hold: Mapping[str, Value]) -> bool:
        """Tell whether no pause forbids to fill."""
        return self._clock.monotonic() >= self._failing.get(held(hold), _Failing()).no_fill_before_s
