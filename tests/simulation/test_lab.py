from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest

from alchemy_async.errors import LimitError
from alchemy_async.experiment import State, Status, Suggestion
from alchemy_async.planner.space_filling import SobolPlanner
from alchemy_async.simulation.figures import makespan_s


class Stubborn:
    """Suggests one point, whatever is pending."""

    def ask(self, history, pending, n, seed):
        return [Suggestion({"x0": 1.0, "x1": 2.0})] * n


class Watching(SobolPlanner):
    """Takes note of what it was told."""

    def __init__(self, lab_settings=()):
        self.told = []

    def bind(self, space):
        super().__init__(space, ())
        return self

    def ask(self, history, pending, n, seed):
        self.told.append((len(history.observations), len(pending), n))
        return super().ask(history, pending, n, seed)


class Moody:
    """Fails in every third attempt, and refuses one point in five."""

    n = 0

    def measure(self, parameters, context):
        self.n += 1
        if self.n % 3 == 0:
            raise RuntimeError("the tube is blocked")
        if self.n % 5 == 0:
            raise LimitError("too hot")
        return 1.0


def gaps(lab):
    """Return the time between the end of an experiment and the next start on the same worker, in seconds."""
    spans = defaultdict(list)
    for ran in lab.ran:
        spans[ran.worker].append((ran.started_s, ran.finished_s))
    return [after[0] - before[1] for own in spans.values() for before, after in pairwise(sorted(own))]


def test_a_simulated_campaign_meets_its_budget_and_keeps_every_worker_busy(make_lab):
    lab = make_lab()

    summary = lab.run()

    assert summary.counts[State.COMPLETED] == 15
    assert {ran.worker for ran in lab.ran} == {"worker-1", "worker-2", "worker-3"}
    assert max(gaps(lab)) == 0, "an ask costs no simulated time, so no worker may wait for one"


def test_no_worker_waits_for_an_ask_without_latency_even_where_nothing_is_queued_ahead(make_lab):
    lab = make_lab(look_ahead=0)

    lab.run()

    assert max(gaps(lab)) == 0


def test_the_same_seed_brings_the_same_campaign(make_lab):
    ran = []
    for _ in range(2):
        lab = make_lab()
        lab.run()
        ran.append([(one.offer.parameters, one.outcome.values, one.finished_s) for one in lab.ran])

    assert ran[0] == ran[1]


def test_planners_of_one_seed_meet_the_same_durations_and_the_same_initial_design(make_lab):
    labs = [make_lab(strategy=strategy) for strategy in ("sobol", "random")]

    for lab in labs:
        lab.run()

    first, second = (sorted(lab.ran, key=lambda one: one.started_s) for lab in labs)
    assert [a.finished_s - a.started_s for a in first] == pytest.approx([b.finished_s - b.started_s for b in second])
    initial = [[one.offer.parameters for one in ran if one.offer.origin == "initial"] for ran in (first, second)]
    assert initial[0] == initial[1] != []
    assert [a.offer.parameters for a in first] != [b.offer.parameters for b in second]


def test_an_ask_that_takes_long_leaves_workers_waiting_without_look_ahead(make_lab):
    quick, slow = make_lab(look_ahead=0), make_lab(look_ahead=0, latency_s=9.3)

    quick.run()
    slow.run()

    assert max(gaps(quick)) == 0
    assert max(gaps(slow)) > 0
    ends_s = [0.0, *(ran.finished_s for ran in slow.ran)]
    answered_s = [end_s + k * 9.3 for end_s in ends_s for k in range(12)]  # asks follow one another
    assert all(ran.started_s in map(pytest.approx, answered_s) for ran in slow.ran), "just when the answer is there"
    assert slow.ledger.ask_seconds() == [9.3] * len(slow.asker.asked)


def test_the_automatic_look_ahead_hides_most_of_a_slow_ask(make_lab):
    waited_s = {}
    for depth in (0, "auto"):
        lab = make_lab(look_ahead=depth, latency_s=10.0, budget=40)
        lab.run()
        waited_s[depth] = sum(gaps(lab))

    assert waited_s["auto"] < waited_s[0] / 2


def test_a_measured_latency_is_what_the_ask_really_took(make_lab):
    lab = make_lab(latency_s=None)

    lab.run()

    assert lab.ledger.ask_seconds() == pytest.approx([asked.wall_s for asked in lab.asker.asked])


def test_in_batches_nobody_starts_before_all_are_done(make_lab):
    lab = make_lab(is_synchronous=True, look_ahead=0)

    lab.run()

    starts = sorted({ran.started_s for ran in lab.ran})
    assert len(starts) == 5, "fifteen experiments by threes"
    for moment in starts:
        assert not [ran for ran in lab.ran if ran.started_s < moment < ran.finished_s]
    durations_s = [ran.finished_s - ran.started_s for ran in sorted(lab.ran, key=lambda one: one.started_s)]
    assert lab.ran[-1].finished_s == pytest.approx(makespan_s(durations_s, 3, is_synchronous=True))


def test_a_batch_is_asked_for_with_all_results_and_nothing_pending(make_lab):
    planner = Watching()
    lab = make_lab(is_synchronous=True, look_ahead=0, planner=planner)
    planner.bind(lab.space)

    lab.run()

    whole = [(n_known, n_pending) for n_known, n_pending, n in planner.told if n == 3]
    assert whole == [(n, 0) for n in (6, 9, 12)]


def test_a_slow_planner_holds_a_batch_up_until_all_of_it_is_there(make_lab):
    lab = make_lab(is_synchronous=True, look_ahead=0, latency_s=4.0)

    lab.run()

    sizes = defaultdict(int)
    for ran in lab.ran:
        sizes[ran.started_s] += 1
    assert set(sizes.values()) == {3}
    assert max(gaps(lab)) >= 4.0


def test_failed_and_refused_experiments_give_their_place_back(make_lab):
    lab = make_lab(driver=Moody(), budget=8)

    summary = lab.run()

    statuses = {ran.outcome.status for ran in lab.ran}
    assert statuses == {Status.COMPLETED, Status.FAILED, Status.INFEASIBLE}
    assert summary.counts[State.COMPLETED] == 8


def test_an_ask_whose_suggestion_is_pending_is_counted_as_a_copy(make_lab):
    lab = make_lab(planner=Stubborn(), budget=8)

    lab.run()

    assert sum(asked.n_copies for asked in lab.asker.asked) > 0


def test_the_distance_to_what_is_pending_is_that_at_the_moment_it_is_taken(make_lab):
    lab = make_lab(look_ahead=0)

    lab.run()

    for one in lab.ran[-3:]:
        others = [o for o in lab.ran if o.started_s < one.started_s < o.finished_s]
        at = lab.space.to_unit([one.offer.parameters])
        expected = lab.space.distances(at, lab.space.to_unit([o.offer.parameters for o in others])).min()
        assert one.nearest_pending == pytest.approx(expected)
