"""Protocol model: the folder protocol of two workers and a planner, and what it promises.

In:    a setting, and the rules that hold in it.
Out:   a model that `model_checker` can explore.
Never: runs code of the product; it checks the protocol's rules, not their implementation.

Not modelled: conflicts and rejected files, pinned experiments, exclusive create where there are no hard links,
and the timing of heartbeats (a lease may end whenever its worker holds nothing, and by bad luck at any time).
"""

from collections.abc import Iterator

from tests.system.protocol_planner import PlannerSteps, Step
from tests.system.protocol_state import OPEN, Listing, Planner, Rules, Setting, State, Worker, is_visible
from tests.system.protocol_workers import Interference, WorkerSteps


class Protocol:
    """The model of one small campaign."""

    def __init__(self, setting: Setting, rules: Rules):
        self.setting = setting
        self._planner = PlannerSteps(setting, rules)
        self._workers = WorkerSteps(setting, rules)
        self._interference = Interference(setting, rules)

    def start(self) -> State:
        n_names = self.setting.n_experiments * self.setting.n_attempts
        return State(
            ledger=(),
            is_stopping=False,
            counted=(0,) * n_names,
            planner=Planner(),
            claims=(None,) * n_names,
            results=(None,) * n_names,
            listed=Listing(),
            workers=(Worker(),) * self.setting.n_workers,
            starts=(0,) * n_names,
            measured=frozenset(),
            reported=frozenset(),
            lease_ended=frozenset(),
            n_points=0,
            chances=self.setting.chances,
        )

    def steps(self, state: State) -> Iterator[Step]:
        yield from self._planner(state)
        yield from self._workers(state)
        yield from self._interference(state)

    def violations(self, before: State, after: State) -> Iterator[str]:
        """Yield the promises that this step breaks; what it leaves untouched is not looked at again."""
        is_ledger_touched = after.ledger is not before.ledger
        if after.blame != before.blame:
            yield after.blame
        if after.starts is not before.starts or after.measured is not before.measured:
            yield from self._bench_violations(after)
        if is_ledger_touched or after.claims is not before.claims:
            yield from self._claim_violations(after)
        if after.reported:
            yield from self._losses(after)
        if is_ledger_touched:
            yield from self._ledger_violations(before, after)

    def is_finished(self, state: State) -> bool:
        """Whether the campaign is over, or waits for a person (interrupted ones, no ids left)."""
        if any(experiment.tail in ("queued", "running") for experiment in state.ledger):
            return False
        if any(worker.doing != "idle" for worker in state.workers) or any(map(is_visible, state.results)):
            return False
        if state.is_stopping:
            return state.listed.is_stopped
        n_taken = sum(experiment.state in (*OPEN, "completed") for experiment in state.ledger)
        return n_taken == self.setting.budget or len(state.ledger) == self.setting.n_experiments

    def _bench_violations(self, state: State) -> Iterator[str]:
        if max(state.starts) > 1:
            yield "an attempt was started twice"
        n_measured = len({attempt // self.setting.n_attempts for attempt in state.measured - state.lease_ended})
        if n_measured > self.setting.budget:
            yield "more was measured than the budget allows"
        for _, attempt, experiment in self._planner.newest(state):
            if experiment.tail == "withdrawn" and state.starts[attempt]:
                yield "a withdrawn attempt was started"

    def _claim_violations(self, state: State) -> Iterator[str]:
        taken: dict[int, int] = {}
        for attempt, claim in enumerate(state.claims):
            if claim is not None and claim.by == "worker":
                experiment = attempt // self.setting.n_attempts
                if taken.setdefault(claim.point, experiment) != experiment:
                    yield "one point runs under two ids"
        for index, attempt, experiment in self._planner.newest(state):
            is_known = experiment.tail in ("running", "interrupted", "ended")
            if None in state.claims[index * self.setting.n_attempts : attempt + is_known]:
                yield "a claim that the ledger knows is gone"

    def _losses(self, state: State) -> Iterator[str]:
        for attempt in state.reported:
            result = state.results[attempt]
            is_in_dump = is_visible(result) and result.status == "completed"
            if not (is_in_dump or state.counted[attempt] or state.planner.ingesting == attempt):
                yield "a reported measurement was lost"

    def _ledger_violations(self, before: State, after: State) -> Iterator[str]:
        if max(after.counted) > 1:
            yield "a measurement was counted twice"
        if sum(experiment.state in (*OPEN, "completed") for experiment in after.ledger) > self.setting.budget:
            yield "more places were given than the budget has"
        for old, new in zip(before.ledger, after.ledger, strict=False):
            if old.state not in OPEN and old.state != new.state:
                yield "a terminal state changed"
