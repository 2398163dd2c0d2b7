"""Leases: who still has what, judged by heartbeats alone.

In:    at each scan, the attempts that are held and the last beat of every worker; or beats in the ledger.
Out:   attempts whose lease has ended, attempts whose worker is back, and which workers live.
Never: compares clocks of two machines, or takes the time while the planner was stopped for silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alchemy_async.clock import Clock
from alchemy_async.experiment import Attempt, AttemptKey, AttemptState, Heartbeat, WorkerState

MAX_STEP_S = 2.0  # of silence that one scan may add, and no more than half a lease: a stopped planner steals nothing


@dataclass(frozen=True)
class Terms:
    """How long a worker may be silent while it beats at all, and if it never does, in seconds."""

    lease_s: float
    timeout_s: float


@dataclass(frozen=True)
class Verdict:
    """What one scan brought: leases that ended, with the reason, and leases that go on."""

    ended: tuple[tuple[AttemptKey, str], ...] = ()
    revived: tuple[AttemptKey, ...] = ()


class Leases:
    """Adds up silence from scan to scan.

    Args:
        clock: Its monotonic seconds decide.
        terms: The terms of a worker, by name.
    """

    def __init__(self, clock: Clock, terms: Callable[[str], Terms]) -> None:
        self._clock = clock
        self._terms = terms
        self._last_scan: float | None = None
        self._beats: dict[str, Heartbeat] = {}
        self._worker_silence_s: dict[str, float] = {}
        self._silence_s: dict[AttemptKey, float] = {}
        self._ledger_beats: dict[AttemptKey, int] = {}

    def scan(self, held: Iterable[Attempt], heartbeats: Iterable[Heartbeat]) -> Verdict:
        """Judge every held attempt once."""
        now = self._clock.monotonic()
        step = 0.0 if self._last_scan is None else min(max(now - self._last_scan, 0.0), MAX_STEP_S)
        self._last_scan = now
        before, self._beats = self._beats, {beat.worker: beat for beat in heartbeats}
        fresh = {worker for worker, beat in self._beats.items() if _is_later(beat, before.get(worker))}
        beating = fresh & set(before)  # seen twice: the file of a worker that was killed long ago is no sign of life
        for worker in self._beats:
            added = min(step, self._terms(worker).lease_s / 2)
            self._worker_silence_s[worker] = 0.0 if worker in fresh else self._worker_silence_s.get(worker, 0.0) + added
        held = list(held)
        ended = [
            (a.key, why) for a in held if a.state is AttemptState.RUNNING and (why := self._ending(a, fresh, step))
        ]
        revived = [a.key for a in held if a.state is AttemptState.INTERRUPTED and self._is_back(a, beating)]
        known = {attempt.key for attempt in held}
        self._silence_s = {key: silence for key, silence in self._silence_s.items() if key in known}
        self._ledger_beats = {attempt.key: attempt.beat for attempt in held if attempt.lease_s is not None}
        return Verdict(tuple(ended), tuple(revived))

    def _ending(self, attempt: Attempt, fresh: set[str], step: float) -> str:
        if attempt.lease_s is not None:
            if self._ledger_beats.get(attempt.key) != attempt.beat:
                self._silence_s[attempt.key] = 0.0
                return ""
            return self._add_silence(attempt, step, attempt.lease_s)
        beat, terms = self._beats.get(attempt.worker), self._terms(attempt.worker)
        if beat is not None and attempt.instance and beat.instance != attempt.instance:
            return "its worker process was replaced"
        if beat is not None and beat.state is WorkerState.GONE:
            return "its worker process ended"
        if beat is not None and attempt.worker in fresh and beat.holds == attempt.key:
            self._silence_s[attempt.key] = 0.0
            return ""
        return self._add_silence(attempt, step, terms.timeout_s if beat is None else terms.lease_s)

    def _add_silence(self, attempt: Attempt, step: float, allowed: float) -> str:
        silence = self._silence_s.get(attempt.key, 0.0) + min(step, allowed / 2)
        self._silence_s[attempt.key] = silence
        return f"no sign of its worker for {allowed:g} s" if silence >= allowed else ""

    def _is_back(self, attempt: Attempt, beating: set[str]) -> bool:
        if attempt.lease_s is not None:  # whoever writes its beats takes it up again
            return False
        beat = self._beats.get(attempt.worker)
        return (
            beat is not None
            and attempt.worker in beating
            and bool(attempt.instance)
            and beat.instance == attempt.instance
            and beat.holds == attempt.key
            and beat.state is not WorkerState.GONE
        )

    def living(self) -> dict[str, Heartbeat]:
        """Return the last beat of every worker that is neither gone nor silent for its lease."""
        return {
            worker: beat
            for worker, beat in self._beats.items()
            if beat.state is not WorkerState.GONE
            and self._worker_silence_s.get(worker, 0.0) < self._terms(worker).lease_s
        }


def _is_later(beat: Heartbeat, before: Heartbeat | None) -> bool:
    return before is None or beat.instance != before.instance or beat.beat != before.beat
