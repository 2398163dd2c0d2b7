"""Model checker: every state that a model can reach, breadth first, so that a counterexample is a shortest one.

In:    a model: its start, its steps, and what it calls a violation.
Out:   how many states there are, the shortest way to a violation, the states from which no end can be reached.
Never: knows what is modelled.
"""

from collections import deque
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol


class Model(Protocol):
    def start(self) -> Hashable: ...

    def steps(self, state) -> Iterator[tuple[str, Hashable]]:
        """Yield what may happen next, each with its name; a name that starts with "!" is bad luck or a person."""

    def violations(self, before, after) -> Iterator[str]:
        """Yield the promises that this step breaks."""

    def is_finished(self, state) -> bool: ...


@dataclass(frozen=True)
class Findings:
    """What an exploration found; the trace leads from the start to the violation."""

    n_states: int
    violation: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self):
        steps = "".join(f"\n  {number:2d}. {step}" for number, step in enumerate(self.trace, 1))
        return f"{self.violation or 'no violation'} after {self.n_states} states{steps}"


def explore(model: Model, watched: Collection[str] = ()) -> Findings:
    """Visit every state, and stop at the first violation (of the watched kinds, if any are named)."""
    start = model.start()
    came_from = {start: None}
    to_visit = deque([start])
    while to_visit:
        state = to_visit.popleft()
        for step, following in model.steps(state):
            for violation in model.violations(state, following):
                if not watched or violation in watched:
                    return Findings(len(came_from), violation, (*_trace(came_from, state), step))
            if following not in came_from:
                came_from[following] = (state, step)
                to_visit.append(following)
    return Findings(len(came_from))


def _trace(came_from, state) -> tuple[str, ...]:
    steps = []
    while came_from[state] is not None:
        state, step = came_from[state]
        steps.append(step)
    return tuple(reversed(steps))


def stuck_states(model: Model) -> tuple[int, list[Hashable]]:
    """Return the number of states, and those from which no end can be reached unless luck or a person helps."""
    start = model.start()
    seen, to_visit = {start}, deque([start])
    finished = deque()
    before = {}
    while to_visit:
        state = to_visit.popleft()
        if model.is_finished(state):
            finished.append(state)
        for step, following in model.steps(state):
            if not step.startswith("!"):
                before.setdefault(following, []).append(state)
            if following not in seen:
                seen.add(following)
                to_visit.append(following)
    can_finish = set(finished)
    while finished:
        for state in before.get(finished.popleft(), ()):
            if state not in can_finish:
                can_finish.add(state)
                finished.append(state)
    return len(seen), [state for state in seen if state not in can_finish]
