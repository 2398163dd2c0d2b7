"""Protocol workers: what workers, bad luck and people may do next.

In:    a state of the protocol's model.
Out:   their next steps, each with the state it leads to; names of luck and people start with "!".
Never: touches the ledger, but for what a command does.
"""

from collections.abc import Iterator
from itertools import product

from tests.system.protocol_planner import PlannerSteps, Step
from tests.system.protocol_state import OPEN, Claim, Planner, Result, Rules, Setting, State, Worker, is_visible, put


class WorkerSteps:
    def __init__(self, setting: Setting, rules: Rules):
        self.setting, self.rules = setting, rules
        self.name = PlannerSteps(setting, rules).name

    def __call__(self, state: State) -> Iterator[Step]:
        for place, worker in enumerate(state.workers):
            if worker not in state.workers[:place]:  # the others of its kind can do the same
                yield from getattr(self, f"_{worker.doing}")(state, place, worker)

    def _idle(self, state: State, place: int, worker: Worker) -> Iterator[Step]:
        for attempt, point in state.listed.offers:
            if state.claims[attempt] is None:
                step = f"a worker reads the queue and chooses {self.name(attempt)} at point {point}"
                yield step, _now(state, place, Worker("choosing", attempt, point))

    def _choosing(self, state: State, place: int, worker: Worker) -> Iterator[Step]:
        attempt, name = worker.attempt, self.name(worker.attempt)
        if state.claims[attempt] is not None and self.rules.claim_by_link:
            yield f"a worker finds {name} taken", _now(state, place, Worker())
            return
        claims = put(state.claims, attempt, Claim("worker", worker.point, is_durable=False))
        claimed = _now(state, place, worker._replace(doing="claimed"))._replace(claims=claims)
        if state.listed.is_stopped:
            claimed = claimed._replace(blame="claimed after `stopped`")
        elif state.counted[attempt]:
            claimed = claimed._replace(blame="claimed after its result was counted")
        yield f"a worker claims {name} at point {worker.point}", claimed

    def _claimed(self, state: State, place: int, worker: Worker) -> Iterator[Step]:
        begun = _now(state, place, worker._replace(doing="measuring"))
        begun = begun._replace(starts=put(state.starts, worker.attempt, state.starts[worker.attempt] + 1))
        if self.rules.start_after_fsync:
            begun = begun._replace(claims=tuple(claim and claim._replace(is_durable=True) for claim in state.claims))
        is_second_attempt = worker.attempt % self.setting.n_attempts > 0
        if is_second_attempt and state.chances == self.setting.chances and not self.setting.can_fail:
            begun = begun._replace(blame="run again although nothing went wrong")
        yield f"a worker starts {self.name(worker.attempt)}", begun

    def _measuring(self, state: State, place: int, worker: Worker) -> Iterator[Step]:
        attempt = worker.attempt
        endings = ["completed"]
        endings += ["failed"] if self.setting.can_fail else []
        endings += ["cancelled"] if attempt in state.listed.cancel else []
        for status in endings:
            step = f"a worker links the result of {self.name(attempt)}: {status}"
            measured = state.measured | {attempt} if status == "completed" else state.measured
            if is_visible(state.results[attempt]):
                yield f"{step} (the name is taken)", _now(state, place, Worker())._replace(measured=measured)
            else:
                results = put(state.results, attempt, Result(status, worker.point, is_durable=False))
                reporting = _now(state, place, worker._replace(doing="reporting"))
                yield step, reporting._replace(measured=measured, results=results)

    def _reporting(self, state: State, place: int, worker: Worker) -> Iterator[Step]:
        yield f"a worker fsyncs dump/ for {self.name(worker.attempt)}", _synced(_now(state, place, Worker()))

    def _cleaning(self, state: State, place: int, worker: Worker) -> Iterator[Step]:
        results = state.results
        if not (is_visible(results[worker.attempt]) and self.rules.result_by_link):
            results = put(results, worker.attempt, Result("failed", worker.point, is_durable=True))
        step = f"a fresh process reports {self.name(worker.attempt)} as failed for the killed one"
        yield step, _now(state, place, Worker())._replace(results=results)


class Interference:
    def __init__(self, setting: Setting, rules: Rules):
        self.setting = setting
        planner = PlannerSteps(setting, rules)
        self.name, self.newest = planner.name, planner.newest

    def __call__(self, state: State) -> Iterator[Step]:
        chances = state.chances
        if chances.kill_planner and state.planner != Planner():
            yield "!the planner is killed, and started again", _spent(state, "kill_planner")._replace(planner=Planner())
        if chances.kill_worker:
            yield from self._kills(state)
        if chances.power_cut:
            yield from self._power_cuts(state)
        yield from self._commands(state)
        if chances.unclaimed_result and not state.listed.is_stopped:
            yield from self._unclaimed_results(state)

    def _kills(self, state: State) -> Iterator[Step]:
        for place, worker in enumerate(state.workers):
            if worker.doing == "idle" or worker in state.workers[:place]:
                continue
            step = f"!the worker {worker.doing} {self.name(worker.attempt)} is killed"
            is_cleaned = self.setting.has_clean_up and worker.doing != "choosing"
            killed = _spent(
                _now(state, place, worker._replace(doing="cleaning") if is_cleaned else Worker()), "kill_worker"
            )
            yield step, killed
            if worker.doing == "reporting":
                yield f"{step} just after the fsync", _synced(killed)

    def _power_cuts(self, state: State) -> Iterator[Step]:
        claims = [_after_power_cut(claim, claim) for claim in state.claims]
        results = [_after_power_cut(result, result and result._replace(is_unlinked=False)) for result in state.results]
        off = _spent(state, "power_cut")._replace(planner=Planner(), workers=(Worker(),) * self.setting.n_workers)
        for kept_claims, kept_results in product(product(*claims), product(*results)):
            lost = [self.name(number) for number, claim in enumerate(kept_claims) if claim != state.claims[number]]
            step = f"!power cut; claims lost: {', '.join(lost) or 'none'}"
            yield step, off._replace(claims=kept_claims, results=kept_results)

    def _commands(self, state: State) -> Iterator[Step]:
        if state.chances.stop and not state.is_stopping:
            yield "!a person says stop", _spent(state, "stop")._replace(is_stopping=True)
        for index, attempt, experiment in self.newest(state):
            commands = {}
            if experiment.state in OPEN and not experiment.is_cancelling:
                commands["cancel"] = experiment._replace(is_cancelling=True)
            if experiment.state == "interrupted":
                commands["abandon"] = experiment._replace(state="abandoned", tail="ended")
                if experiment.attempt < self.setting.n_attempts:
                    commands["requeue"] = experiment._replace(
                        state="queued", tail="queued", attempt=experiment.attempt + 1
                    )
            for command, after in commands.items():
                if getattr(state.chances, command):
                    commanded = _spent(state, command)._replace(ledger=put(state.ledger, index, after))
                    yield f"!a person says {command} {self.name(attempt)}", commanded

    def _unclaimed_results(self, state: State) -> Iterator[Step]:
        for attempt, point in state.listed.offers:
            if state.results[attempt] is None:
                step = f"!somebody reports {self.name(attempt)} without having claimed it"
                results = put(state.results, attempt, Result("completed", point, is_durable=True))
                reported = state.reported | {attempt}
                yield step, _spent(state, "unclaimed_result")._replace(results=results, reported=reported)


def _now(state: State, place: int, worker: Worker) -> State:
    return state._replace(workers=tuple(sorted(put(state.workers, place, worker))))


def _spent(state: State, chance: str) -> State:
    chances = state.chances._replace(**{chance: getattr(state.chances, chance) - 1})
    return state._replace(chances=chances)


def _synced(state: State) -> State:
    """Return the state after an fsync of dump/: every result in it survives a power cut."""
    results = tuple(
        result._replace(is_durable=True) if is_visible(result) and not result.is_durable else result
        for result in state.results
    )
    values = {attempt for attempt, result in enumerate(results) if is_visible(result) and result.status == "completed"}
    return state._replace(results=results, reported=state.reported | values)


def _after_power_cut(file, if_kept) -> tuple:
    """Return what the disk may show of a file: what was not fsynced is there or not."""
    if file is None:
        return (None,)
    is_certain = file.is_durable and not getattr(file, "is_unlinked", False)
    kept = if_kept._replace(is_durable=True)
    if is_certain:
        return (kept,)
    return (kept, file if file.is_durable else None)
