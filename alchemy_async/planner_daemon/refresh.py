"""Refreshing: when to ask, what to tell the planner, and what becomes of its answer.

In:    the ledger, the workers that live, measured times.
Out:   experiments queued and revised in the ledger, conditioned on all that is known and pending.
Never: waits for an answer, publishes, or takes more places than the budget has.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alchemy_async.clock import Clock, to_wire
from alchemy_async.config import CampaignSettings
from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import PENDING, Experiment, State
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon import look_ahead, opening
from alchemy_async.planner_daemon.answers import check
from alchemy_async.planner_daemon.asker import Answer, Asker, Question
from alchemy_async.planner_daemon.needs import MOST_PENDING, Held, Need, Needs, held
from alchemy_async.planner_daemon.pauses import Pauses
from alchemy_async.planner_daemon.placing import place
from alchemy_async.planner_daemon.replicating import n_points, repeated
from alchemy_async.planner_daemon.sharing import Sharing
from alchemy_async.planner_daemon.ties import Ties, Worker
from alchemy_async.space import Point, Space, Value

log = logging.getLogger(__name__)

MOST_NOTED = 64  # pending experiments that are named in what is noted of a suggestion


@dataclass(frozen=True)
class _Asked:
    """What the question that is on its way knew."""

    revisable: tuple[str, ...]
    hold: Mapping[str, Value]
    learnt: int
    n_observations: int
    n_pending: int
    n: int
    last_number: int
    signature: tuple[int, ...]
    at: str
    pending: tuple[str, ...]

    def note(self, metadata: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Return what a planner said of a suggestion, and what only the daemon knows of the ask."""
        return {**metadata, "asked_at": self.at, "ask_s": round(seconds, 4), "pending": list(self.pending)}


class Refresher:
    """Keeps the queue in the ledger filled and fresh.

    Args:
        ledger: The ledger; this object does not own it.
        settings: The campaign.
        space: The search space.
        asker: Who puts questions to the planner.
        clock: Its monotonic seconds time the pauses after failed asks.
        seed: The campaign's seed.
        sharing: The batch that is run now; None: no parameter is shared.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: CampaignSettings,
        space: Space,
        asker: Asker,
        clock: Clock,
        seed: int,
        sharing: Sharing | None = None,
    ) -> None:
        self._sharing = sharing or Sharing(())
        self._ledger, self._settings, self._space = ledger, settings, space
        self._asker, self._clock, self._seed = asker, clock, seed
        self._replicates = settings.planner.replicates  # of these none is revised: they belong together
        self._pauses = Pauses(clock)
        self._ties = Ties(settings.ties())
        self._needs = Needs(ledger, settings.planner.look_ahead, self._ties, self._sharing)
        self._filler = opening.Filler(space, settings, seed)
        self._asked: _Asked | None = None
        self._conditioned_on: dict[str, int] = {}  # how much had been learnt when a queued id got its point
        self._barren: dict[Held, tuple[int, ...]] = {}  # what was known when nothing was left, by what was held
        self._needed: Sequence[Need] = ()  # at the last look
        self._has_model = bool(ledger.ask_seconds(last=1))
        self._initial: set[str] | None = None  # of the initial design, those without a result; None: not looked up yet
        self.depth = 1

    @property
    def is_exhausted(self) -> bool:
        """Whether the planner had nothing more to offer, and nothing has changed since."""
        # Only who seeks on all machines can tell: others say what is left on those of the workers that live.
        return any(not need.kind.hold and self._is_barren(need.hold) for need in self._needed)

    def _is_barren(self, hold: Mapping[str, Value]) -> bool:
        """Whether it is known that there is no point left with parameters held so, and nothing has changed since."""
        known = self._barren.get(held(hold))
        return known is not None and known == self._signature()

    def _is_vain(self, hold: Mapping[str, Value]) -> bool:
        """Whether to ask for points with parameters held so is in vain: none is left, or the planner failed lately."""
        return self._is_barren(hold) or not self._pauses.may_ask(hold)

    @property
    def has_places(self) -> bool:
        """Whether a suggestion could be queued, or take the place of an older one."""
        return self._n_free_places() > 0 or bool(self._ledger.revisable())

    def open_campaign(self) -> None:
        """Queue the initial design, once in the life of a campaign.

        Raises:
            PlannerError: If no point meets the constraints.
        """
        if self._ledger.meta("opened"):
            return
        points: list[Point] = []
        if self._n_free_places():
            avoid = [experiment.parameters for experiment in self._ledger.experiments()]
            points = opening.initial_design(self._settings, self._space, self._seed, avoid)
        with self._ledger.change() as change:
            method = self._settings.planner.initial.method
            for point in repeated(points, self._replicates, self._n_free_places()):
                reason, requires = f"initial design: {method}", self._ties.requires(point)
                change.add(point, origin="initial", reason=reason, pinned=True, requires=requires)
            change.set_meta(opened="yes")

    def refresh(self, workers: Sequence[Worker]) -> None:
        """Take an answer, fill up, ask.

        Args:
            workers: Those that live.
        """
        self._take_answer()
        self._needed = needs = self._needs.of(workers, self._is_vain)
        self.depth = max(need.depth for need in needs)
        if not self._may_ask():
            return
        is_ready = self._ledger.n_observations() >= opening.model_starts_at(self._settings)
        for need in needs:
            self._fill_up(need, is_ready=is_ready)
        if is_ready:
            self._ask(needs)
            if self._take_answer():  # in simulated time the answer is there at once
                self.refresh(workers)  # and where there was none, others shall not wait for the next look

    def _fill_up(self, need: Need, *, is_ready: bool) -> None:
        """Fill the space where no model can be asked, or is late where that is wanted, or had no answer."""
        is_late = self._settings.planner.when_late == "fill" or self._pauses.has_failed(need.hold)
        if is_ready and self._has_model and not is_late:
            return
        wanted = min(need.n_idle - need.n_ready, need.missing) if is_ready and self._has_model else need.missing
        n_fill = min(wanted, self._n_free_places())
        if n_fill > 0:
            filled = self._fill(n_fill, need.hold)
            need.missing -= filled
            if not filled and not is_ready and self._pauses.may_fill(need.hold):  # a small space may have no point left
                self._be_barren(need.hold, self._signature())

    def _be_barren(self, hold: Mapping[str, Value], signature: tuple[int, ...]) -> None:
        """Take note that there is no point left; of a batch, that it is to be the last of these values."""
        same = {key: known for key, known in self._barren.items() if known == signature}
        self._barren = {**same, held(hold): signature}
        if self._sharing.is_needed and hold:
            self._sharing.end_batch()

    def _may_ask(self) -> bool:
        """Whether initial results need not, or need no longer, be waited for."""
        if not self._settings.planner.initial.wait:
            return True
        if self._initial is None:
            self._initial = {found.id for found in self._ledger.experiments(*PENDING) if found.origin == "initial"}
        self._initial = self._ledger.still_pending(self._initial)
        return not self._initial

    # -- asking ------------------------------------------------------------

    def _ask(self, needs: Sequence[Need]) -> None:
        """Ask for what the first kind misses; if none does, for fresh points for what is queued and old."""
        if self._asker.is_busy or self.is_exhausted:
            return
        learnt = self._ledger.history_version()
        old = [found for found in self._ledger.revisable() if self._conditioned_on.get(found.id) != learnt]
        n_free = self._n_free_places()
        for need in sorted(needs, key=lambda need: min(need.missing, n_free) == 0):
            size = look_ahead.round_size(need.pace, is_starved=need.n_idle > need.n_ready)
            n_new = n_points(min(need.missing, n_free, size), self._replicates)
            stale = [found for found in old if self._may_serve(found, need)][: size - n_new]
            if n_new + len(stale) and not self._is_vain(need.hold):
                self._put(need.hold, n_new + len(stale), stale, learnt)
                return

    def _may_serve(self, experiment: Experiment, need: Need) -> bool:
        """Tell whether an experiment may be given a point that is sought for some workers."""
        point = {**experiment.parameters, **need.hold}
        return need.is_for(frozenset(experiment.requires)) and self._sharing.may_become(experiment, point)

    def _put(self, hold: Mapping[str, Value], n: int, stale: Sequence[Experiment], learnt: int) -> None:
        history = self._ledger.history()
        by_name, ids = self._pending(stale), tuple(found.id for found in stale)
        pending = tuple(point for points in by_name.values() for point in points)
        self._asked = _Asked(
            ids, hold, learnt, len(history.observations), len(pending), n, self._ledger.last_number(),
            self._signature(), at=to_wire(self._clock.now()), pending=tuple(by_name)[:MOST_NOTED],
        )  # fmt: skip
        self._asker.start(Question(history, pending, n, opening.derived_seed(self._seed, "ask"), hold))

    def _pending(self, revisable: Sequence[Experiment]) -> dict[str, list[Point]]:
        """Every point chosen and not yet observed, by experiment, except what this ask may replace.

        What stays queued counts with every point it was ever offered with: a
        worker may still take an old one. Of a backlog only its head is told.
        """
        free = {experiment.id for experiment in revisable}
        held = {found.id: [found.parameters] for found in self._ledger.experiments(State.RUNNING, State.INTERRUPTED)}
        offered = self._ledger.offered_points(MOST_PENDING)
        return held | {name: points for name, points in offered.items() if name not in free}

    def _take_answer(self) -> bool:
        """Take the answer, if it is there; tell whether it was in vain."""
        answer = self._asker.take()
        if answer is None or self._asked is None:
            return False
        asked, self._asked = self._asked, None
        answer = check(answer, self._space)
        if answer.error:
            self._note_failure(answer.error, asked.hold, self._pauses.begin(asked.hold))
            return True
        self._pauses.end(asked.hold)
        self._has_model = True
        if self._settle(asked, answer):
            return False
        self._be_barren(asked.hold, asked.signature)  # the same question would bring the same answer
        return True

    def _settle(self, asked: _Asked, answer: Answer) -> bool:
        """Put suggestions under their ids; tell whether any of them found a place."""
        revisable = {experiment.id: experiment for experiment in self._ledger.revisable()}
        # What the question could not know of: revisable points that were taken since, and all that was added and taken.
        since = [self._ledger.experiment(name) for name in asked.revisable if name not in revisable]
        since += [found for found in self._ledger.added_after(asked.last_number) if found.state is not State.QUEUED]
        taken = [found.parameters for found in since if found.state is not State.CANCELLED]
        held = self._ledger.experiments(State.RUNNING, State.INTERRUPTED)
        placement = place(
            answer.suggestions,
            space=self._space,
            taken=taken,
            held=[*(found.parameters for found in held), *taken],
            revisable=[
                name
                for name, found in revisable.items()
                if name in asked.revisable or (found.origin == "fill" and not asked.hold)
            ],
            offered=self._ledger.offered_points(MOST_PENDING),
        )
        fresh = [name for name in asked.revisable if name in revisable]
        with self._ledger.change() as change:
            still = {found.id for found in self._ledger.revisable()}  # others write this ledger too
            for name, to in placement.revisions:
                fresh.append(name)
                before = revisable[name]
                if name not in still or not self._sharing.may_become(before, to.parameters):
                    continue
                if before.parameters != to.parameters:
                    metadata = asked.note(to.metadata, answer.seconds)
                    change.revise(
                        name, to.parameters, origin=to.origin, reason=to.reason, metadata=metadata,
                        requires=self._ties.requires(to.parameters),
                    )  # fmt: skip
            for to in repeated(placement.additions, self._replicates, self._n_free_places()):
                metadata = asked.note(to.metadata, answer.seconds)
                requires = self._ties.requires(to.parameters)
                added = change.add(
                    to.parameters, origin=to.origin, reason=to.reason, metadata=metadata, requires=requires,
                    pinned=self._replicates > 1,
                )  # fmt: skip
                fresh.append(added.id)
                self._tell_if_alone(added)
            change.record_ask(
                n=asked.n, n_observations=asked.n_observations, n_pending=asked.n_pending, seconds=answer.seconds
            )
        learnt = -1 if taken else asked.learnt  # then these points are asked for once more
        self._conditioned_on = {name: n for name, n in self._conditioned_on.items() if name in revisable}
        self._conditioned_on |= dict.fromkeys(fresh, learnt)
        return bool(placement.revisions or placement.additions)

    def _tell_if_alone(self, added: Experiment) -> None:
        """Say that a point waits for a worker that is not there, while others are."""
        kinds = [need.kind for need in self._needed if need.kind.living]
        if kinds and not any(kind.can_run(frozenset(added.requires)) for kind in kinds):
            log.warning(
                "experiment=%s waits for a worker that has the label %s: the others have no point left. Start one with "
                "`alchemy-async work`, or end the campaign with `alchemy-async drain`.",
                added.id, " and ".join(added.requires),
            )  # fmt: skip

    def _note_failure(self, error: str, hold: Mapping[str, Value], pause_s: float) -> None:
        where = f" for {', '.join(f'{name} = {value}' for name, value in hold.items())}" if hold else ""
        log.error("the planner has no answer%s: %s. Asking again in %g s; idle workers get space-filling points.",
                  where, error.rstrip("."), pause_s)  # fmt: skip
        with self._ledger.change() as change:
            change.note("ask_failed", error=error[:2000])

    # -- filling -----------------------------------------------------------

    def _fill(self, n: int, hold: Mapping[str, Value]) -> int:
        if not self._pauses.may_fill(hold):
            return 0
        history = self._ledger.history()
        pending = [point for points in self._pending(()).values() for point in points]
        try:
            found = self._filler.points(history, pending, n_points(n, self._replicates), hold)
        except AlchemyError as error:  # a rule of a person's may fail at any point
            self._note_failure(str(error), hold, self._pauses.begin(hold, of_filling=True))
            return 0
        if found:
            with self._ledger.change() as change:
                # somebody may have staged meanwhile
                found = repeated(found, self._replicates, self._n_free_places())
                for to in found:
                    change.add(
                        to.parameters, origin=to.origin, reason=to.reason, requires=self._ties.requires(to.parameters),
                        pinned=self._replicates > 1,
                    )  # fmt: skip
        return len(found)

    # -- places ------------------------------------------------------------

    def _n_free_places(self) -> int:
        """How many experiments may be queued now; bounded even where the budget is not."""
        tally = self._ledger.tally()
        pending = sum(tally[state] for state in PENDING)
        budget, most = self._settings.budget.experiments, self._settings.budget.most_started()
        free = math.inf if budget is None else budget - tally[State.COMPLETED] - pending
        starts = math.inf if most is None else most - tally["starts"] - tally[State.QUEUED]
        return int(min(max(min(free, starts), 0), 100_000))

    def _signature(self) -> tuple[int, ...]:
        tally = self._ledger.tally()
        return tuple(tally[state] for state in State)
