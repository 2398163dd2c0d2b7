"""Protocol planner: what the planner may do next.

In:    a state of the protocol's model.
Out:   the planner's next steps, each with the state it leads to.
Never: looks at what only a worker or the bench knows, but for the heartbeats.
"""

from collections.abc import Iterator

from tests.system.protocol_state import (
    OPEN,
    Claim,
    Experiment,
    Listing,
    Planner,
    Result,
    Rules,
    Setting,
    State,
    is_visible,
    put,
)

Step = tuple[str, State]
HOLDING = ("claimed", "measuring", "reporting")


class PlannerSteps:
    def __init__(self, setting: Setting, rules: Rules):
        self.setting, self.rules = setting, rules

    def __call__(self, state: State) -> Iterator[Step]:
        planner = state.planner
        if planner.answer is not None:
            yield "planner commits what it has published", _answered(state, planner.answer)
        elif planner.ingesting is not None:
            yield self._end_ingest(state)
        else:
            if (read := self._collect(state)) is not state:
                yield "planner reads the claims, fsyncs and commits them", read
            yield from self._begin_ingest(state)
            yield from self._end_leases(state)
            yield from self._withdraw(state)
            yield from self._ask(state)
            if (listing := self.listing(state.ledger, state.is_stopping)) != state.listed:
                yield "planner publishes the queue", state._replace(listed=listing)

    def name(self, attempt: int) -> str:
        experiment, number = divmod(attempt, self.setting.n_attempts)
        return f"e{experiment + 1}.{number + 1}"

    def newest(self, state: State) -> Iterator[tuple[int, int, Experiment]]:
        """Yield (index in the ledger, number of the newest attempt, experiment)."""
        for index, experiment in enumerate(state.ledger):
            yield index, index * self.setting.n_attempts + experiment.attempt - 1, experiment

    def listing(self, ledger, is_stopping: bool) -> Listing:
        offers, cancel, is_busy = [], [], False
        for index, experiment in enumerate(ledger):
            attempt = index * self.setting.n_attempts + experiment.attempt - 1
            is_over = experiment.state not in OPEN
            is_tail_watched = self.rules.withdraw_newer_attempt or not is_over
            is_busy = is_busy or (is_tail_watched and experiment.tail in ("queued", "running"))
            if experiment.state == "queued" and not is_stopping:
                offers.append((attempt, experiment.point))
            if experiment.tail == "running" and (is_over or experiment.is_cancelling):
                cancel.append(attempt)
        return Listing(tuple(offers), tuple(cancel), is_stopping and not is_busy)

    def _collect(self, state: State) -> State:
        ledger = state.ledger
        for index, attempt, experiment in self.newest(state):
            claim = state.claims[attempt]
            if experiment.tail == "queued" and claim is not None:
                ledger = put(ledger, index, _claimed(experiment, claim))
        if ledger is state.ledger:
            return state
        claims = _durable(state.claims) if self.rules.fsync_before_commit else state.claims
        return state._replace(ledger=ledger, claims=claims)

    def _begin_ingest(self, state: State) -> Iterator[Step]:
        for attempt, result in enumerate(state.results):
            is_known = attempt // self.setting.n_attempts < len(state.ledger)
            if not is_known or not is_visible(result):
                continue
            claims = state.claims
            if claims[attempt] is None and self.rules.link_at_ingest:
                claims = put(claims, attempt, Claim("worker", result.point, is_durable=True))
            linked = state._replace(claims=claims)
            if self.rules.commit_before_unlink:
                ingested = self._count(self._collect(linked), attempt, result)
                memory = ingested.planner._replace(ingesting=attempt)
                yield f"planner commits the result of {self.name(attempt)}", ingested._replace(planner=memory)
            else:
                memory = state.planner._replace(ingesting=attempt, result=result)
                gone = linked._replace(planner=memory, results=_unlinked(state.results, attempt))
                yield f"planner reads and unlinks the result of {self.name(attempt)}", gone

    def _end_ingest(self, state: State) -> Step:
        attempt, result = state.planner.ingesting, state.planner.result
        free = state._replace(planner=state.planner._replace(ingesting=None, result=None))
        if result is not None:
            counted = self._count(self._collect(free), attempt, result)
            return f"planner commits the result of {self.name(attempt)}", counted
        free = free._replace(results=_unlinked(state.results, attempt))
        if not self.rules.keep_claims:
            free = free._replace(claims=put(state.claims, attempt, None))
        return f"planner unlinks the result of {self.name(attempt)}", free

    def _count(self, state: State, attempt: int, result: Result) -> State:
        """Return the state after the transaction that takes a result into the ledger."""
        if state.counted[attempt] and self.rules.ignore_duplicates:
            return state
        index = attempt // self.setting.n_attempts
        number = attempt % self.setting.n_attempts + 1
        experiment = state.ledger[index]
        is_newest = number == experiment.attempt
        counted = put(state.counted, attempt, state.counted[attempt] + 1)
        if experiment.state not in OPEN:
            after = experiment._replace(tail="ended") if is_newest else experiment
        elif result.status == "completed":
            tail = "ended" if is_newest or experiment.tail == "interrupted" else experiment.tail
            after = experiment._replace(state="completed", tail=tail, offered=frozenset())
        elif is_newest or not self.rules.newest_attempt_only:
            after = self._failed(experiment, result.status)
        else:
            after = experiment
        return state._replace(counted=counted, ledger=put(state.ledger, index, after))

    def _failed(self, experiment: Experiment, status: str) -> Experiment:
        if status == "failed" and experiment.attempt < self.setting.n_attempts and not experiment.is_cancelling:
            return _next_attempt(experiment)
        return experiment._replace(state=status, tail="ended", offered=frozenset())

    def _end_leases(self, state: State) -> Iterator[Step]:
        held = {worker.attempt for worker in state.workers if worker.doing in HOLDING}
        for index, attempt, experiment in self.newest(state):
            if experiment.state == "interrupted" and attempt in held:
                again = experiment._replace(state="running", tail="running")
                yield f"planner hears {self.name(attempt)} again", _with(state, index, again)
            if experiment.tail != "running":
                continue
            if self.rules.look_before_lease_end and is_visible(state.results[attempt]):
                continue
            if attempt not in held:
                yield f"planner ends the lease of {self.name(attempt)}", self._lease_ended(state, index, attempt)
            elif state.chances.false_lease_end:
                chances = state.chances._replace(false_lease_end=state.chances.false_lease_end - 1)
                ended = self._lease_ended(state._replace(chances=chances), index, attempt)
                yield f"!planner ends the lease of {self.name(attempt)}, whose worker is only silent", ended

    def _lease_ended(self, state: State, index: int, attempt: int) -> State:
        experiment = state.ledger[index]
        if experiment.state not in OPEN:
            after = experiment._replace(tail="ended")
        elif (
            self.setting.is_idempotent and experiment.attempt < self.setting.n_attempts and not experiment.is_cancelling
        ):
            after = _next_attempt(experiment)
        else:
            after = experiment._replace(state="interrupted", tail="interrupted")
        return _with(state, index, after)._replace(lease_ended=state.lease_ended | {attempt})

    def _withdraw(self, state: State) -> Iterator[Step]:
        for index, attempt, experiment in self.newest(state):
            is_over = experiment.state not in OPEN
            is_unwanted = is_over or state.is_stopping or experiment.is_cancelling
            if is_over and not self.rules.withdraw_newer_attempt:
                continue
            if experiment.tail != "queued" or not is_unwanted or state.claims[attempt] is not None:
                continue
            if self.rules.withdraw_by_link:
                claims = put(state.claims, attempt, Claim("planner", experiment.point, is_durable=True))
                yield f"planner links a claim to withdraw {self.name(attempt)}", state._replace(claims=claims)
            else:
                yield f"planner unlists {self.name(attempt)}", _with(state, index, _withdrawn(experiment))

    def _ask(self, state: State) -> Iterator[Step]:
        excluded = state.planner.excluded
        if excluded is None:
            has_work = any(_is_revisable(experiment) for experiment in state.ledger) or self._has_place(state.ledger)
            if has_work and not state.is_stopping:
                planner = state.planner._replace(excluded=_taken(state.ledger))
                yield "planner begins to ask", state._replace(planner=planner)
            return
        yield "planner drops an answer", state._replace(planner=Planner())
        if state.is_stopping:
            return
        collected = self._collect(state)
        n_known = min(state.n_points + 1, self.setting.n_points)
        for point in sorted(set(range(n_known)) - excluded):
            grown = collected._replace(n_points=max(state.n_points, point + 1))
            for what, ledger in self._answers(collected.ledger, point):
                if self.rules.commit_before_publish:
                    yield f"planner commits {what}", _answered(grown, ledger)
                else:
                    memory = collected.planner._replace(answer=ledger)
                    listed = self.listing(ledger, is_stopping=False)
                    yield f"planner publishes {what}", grown._replace(planner=memory, listed=listed)

    def _answers(self, ledger, point: int) -> Iterator[tuple[str, tuple[Experiment, ...]]]:
        """Yield the ledgers in which a suggested point has found its experiment."""
        if self.rules.drop_copies and point in _taken(ledger):
            return
        owners = {
            index
            for index, experiment in enumerate(ledger)
            if experiment.state == "queued"
            and (point in experiment.offered if self.rules.one_point_one_id else point == experiment.point)
        }
        new = Experiment("queued", 1, "queued", point, frozenset({point}))
        for index, experiment in enumerate(ledger):
            if not _is_revisable(experiment) or owners - {index} or experiment.point == point:
                continue
            if self.rules.revise_under_same_id:
                revised = experiment._replace(point=point, offered=experiment.offered | {point})
                yield f"point {point} for e{index + 1}", put(ledger, index, revised)
            elif len(ledger) < self.setting.n_experiments:
                yield f"point {point} in the place of e{index + 1}", (*put(ledger, index, _withdrawn(experiment)), new)
        if not owners and self._has_place(ledger):
            yield f"point {point} as e{len(ledger) + 1}", (*ledger, new)

    def _has_place(self, ledger) -> bool:
        n_taken = sum(experiment.state in (*OPEN, "completed") for experiment in ledger)
        return n_taken < self.setting.budget and len(ledger) < self.setting.n_experiments


def _with(state: State, index: int, experiment: Experiment) -> State:
    return state._replace(ledger=put(state.ledger, index, experiment))


def _answered(state: State, ledger: tuple[Experiment, ...]) -> State:
    return state._replace(ledger=ledger, planner=Planner())


def _claimed(experiment: Experiment, claim: Claim) -> Experiment:
    if claim.by == "planner":
        return _withdrawn(experiment)
    if experiment.state != "queued":
        return experiment._replace(tail="running")
    return experiment._replace(state="running", tail="running", point=claim.point, offered=frozenset({claim.point}))


def _withdrawn(experiment: Experiment) -> Experiment:
    state = "cancelled" if experiment.state in OPEN else experiment.state
    return experiment._replace(state=state, tail="withdrawn", offered=frozenset())


def _next_attempt(experiment: Experiment) -> Experiment:
    return experiment._replace(state="queued", attempt=experiment.attempt + 1, tail="queued")


def _is_revisable(experiment: Experiment) -> bool:
    return experiment.state == "queued" and experiment.attempt == 1 and not experiment.is_cancelling


def _taken(ledger) -> frozenset[int]:
    """Return the points that run, ran, or will surely run."""
    return frozenset(
        experiment.point
        for experiment in ledger
        if not (experiment.attempt == 1 and experiment.tail in ("queued", "withdrawn"))
    )


def _durable(claims) -> tuple[Claim | None, ...]:
    return tuple(claim and claim._replace(is_durable=True) for claim in claims)


def _unlinked(results, attempt: int) -> tuple[Result | None, ...]:
    result = results[attempt]
    return put(results, attempt, result._replace(is_unlinked=True) if result.is_durable else None)
