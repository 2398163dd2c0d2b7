from __future__ import annotations

import sqlite3

import pytest

from alchemy_async.errors import BudgetError, IllegalTransitionError, UnknownExperimentError
from alchemy_async.experiment import TERMINAL, AttemptKey, AttemptState, State, Status
from alchemy_async.ledger import Ingested
from alchemy_async.ledger.change import MAX_ATTEMPTS

from .conftest import second_of


def test_every_change_leaves_exactly_one_event(bench):
    key = bench.add().key
    bench.claim(key)
    bench.report(key)

    assert bench.kinds() == ["created", "queued", "claimed", "completed"]


def test_the_claim_says_which_parameters_were_taken(bench, first, ledger):
    bench.do("revise", first.experiment, {"x": 0.9})

    bench.claim(first, x=0.5)

    assert ledger.experiment("e0001").parameters == {"x": 0.5}
    assert ledger.attempt(first).parameters == {"x": 0.5}


def test_a_result_seen_before_its_claim_passes_through_running_in_one_transaction(bench, first):
    assert bench.report(first) is Ingested.COUNTED

    assert bench.kinds()[-2:] == ["claimed", "completed"]
    assert bench.state() is State.COMPLETED


def test_parameters_as_run_are_what_the_model_learns_from(bench, first, ledger):
    bench.claim(first)
    bench.report(first, parameters={"x": 0.47})

    assert ledger.history().observations[0].parameters == {"x": 0.47}


@pytest.mark.parametrize(
    ("status", "kind", "state"),
    [
        (Status.FAILED, "ValueError", State.FAILED),
        (Status.INFEASIBLE, "limit", State.INFEASIBLE),
        (Status.CANCELLED, "stopped", State.CANCELLED),
    ],
)
def test_a_newest_attempt_without_a_measurement_decides_its_experiment(bench, first, status, kind, state):
    bench.claim(first)

    bench.report(first, status, kind=kind)

    assert bench.state() is state


def test_failed_and_infeasible_points_are_remembered_as_refused(bench, ledger):
    for status in (Status.FAILED, Status.INFEASIBLE, Status.CANCELLED):
        key = bench.add(0.1).key
        bench.report(key, status)

    assert [refused.kind for refused in ledger.history().refused] == ["error", "infeasible"]


def test_what_made_an_experiment_fail_is_remembered_with_its_point(bench, ledger):
    for _ in range(MAX_ATTEMPTS):
        key = ledger.experiment("e0001").key if ledger.last_number() else bench.add(0.1).key
        bench.report(key, Status.FAILED, kind="retryable")

    (refused,) = ledger.history().refused

    assert refused.kind == "retryable"


def test_a_released_experiment_goes_back_and_uses_up_no_start(bench, ledger):
    bench.limit(1, max_started=1)
    key = bench.add().key
    bench.claim(key)

    bench.report(key, Status.RELEASED)

    assert ledger.experiment("e0001").key == second_of(key)
    assert bench.state() is State.QUEUED
    assert ledger.tally()["starts"] == 0


def test_a_retryable_failure_is_tried_three_times_and_then_stays_failed(bench, ledger):
    key = bench.add().key

    for attempt in (1, 2, 3):
        assert bench.state() is State.QUEUED
        bench.report(AttemptKey("e0001", attempt), Status.FAILED, kind="retryable")

    assert bench.state() is State.FAILED
    assert ledger.history().refused[0].parameters == {"x": 0.5}
    assert key.attempt == 1


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_terminal_experiment_never_changes(bench, ledger, state):
    key = bench.add().key
    bench.claim(key)
    if state is State.ABANDONED:
        bench.do("interrupt", key, "silence")
        bench.do("abandon", "e0001")
    else:
        bench.report(key, Status(state))

    for call, args in [("requeue", ["e0001"]), ("abandon", ["e0001"]), ("request_cancel", ["e0001"])]:
        with pytest.raises(IllegalTransitionError):
            bench.do(call, *args)
    with pytest.raises(sqlite3.IntegrityError, match="terminal experiment never changes"):
        ledger._db.execute("UPDATE experiments SET state = 'queued'")
    assert bench.state() is state


def test_sqlite_itself_refuses_an_illegal_transition(bench, first, ledger):
    with pytest.raises(sqlite3.IntegrityError, match="illegal transition"):
        ledger._db.execute("UPDATE experiments SET state = 'interrupted'")


def test_sqlite_itself_refuses_to_delete_anything(bench, first, ledger):
    bench.report(first)
    for table in ("experiments", "attempts", "outcomes", "events"):
        with pytest.raises(sqlite3.IntegrityError):
            ledger._db.execute(f"DELETE FROM {table}")


@pytest.mark.fault(7)
def test_the_same_result_twice_counts_once(bench, first, ledger):
    bench.report(first)

    assert bench.report(first) is Ingested.DUPLICATE
    assert len(ledger.history().observations) == 1


@pytest.mark.fault(7)
def test_other_content_under_the_same_name_is_kept_out_of_the_model(bench, first, ledger):
    bench.report(first, y=1.0, digest="d1")

    assert bench.report(first, y=2.0, digest="d2") is Ingested.CONFLICT
    assert [observed.values["y"] for observed in ledger.history().observations] == [1.0]
    assert [outcome["role"] for outcome in ledger.outcomes()] == ["result", "conflict"]


@pytest.mark.fault(7)
def test_a_result_from_a_worker_that_does_not_hold_the_attempt_is_a_conflict(bench, first, ledger):
    bench.claim(first, worker="w-1")

    assert bench.report(first, worker="w-2") is Ingested.CONFLICT
    assert bench.state() is State.RUNNING


@pytest.mark.fault(2)
def test_interrupted_stays_interrupted_unless_the_driver_is_idempotent(bench):
    careful, simple = bench.add(0.1).key, bench.add(0.2).key
    bench.claim(careful, idempotent=False)
    bench.claim(simple, worker="w-2", idempotent=True)

    bench.do("interrupt", careful, "silence")
    bench.do("interrupt", simple, "silence")

    assert bench.state("e0001") is State.INTERRUPTED
    assert bench.state("e0002") is State.QUEUED
    assert bench.ledger.experiment("e0002").attempt == 2


@pytest.mark.fault(2)
def test_an_idempotent_experiment_is_not_offered_a_fourth_time(bench):
    bench.add()
    for attempt in (1, 2, 3):
        key = AttemptKey("e0001", attempt)
        bench.claim(key, idempotent=True)
        bench.do("interrupt", key, "silence")

    assert bench.state() is State.INTERRUPTED


@pytest.mark.fault(7)
def test_a_late_result_of_an_interrupted_experiment_counts(bench, first):
    bench.claim(first)
    bench.do("interrupt", first, "silence")

    assert bench.report(first) is Ingested.COUNTED
    assert bench.state() is State.COMPLETED


@pytest.mark.fault(11)
def test_the_same_worker_may_take_its_lease_up_again(bench, first):
    bench.claim(first)
    bench.do("interrupt", first, "silence")

    assert bench.do("revive", first)
    assert bench.state() is State.RUNNING


def test_no_lease_is_taken_up_again_once_there_is_a_newer_attempt(bench, first):
    bench.claim(first)
    bench.do("interrupt", first, "silence")
    bench.do("requeue", "e0001")

    assert not bench.do("revive", first)
    assert bench.state() is State.QUEUED


@pytest.mark.fault(7)
def test_completed_of_an_older_attempt_ends_the_experiment_and_the_newer_one_is_to_stop(bench, first, ledger):
    bench.claim(first)
    bench.do("interrupt", first, "silence")
    newer = bench.do("requeue", "e0001")
    bench.claim(newer, worker="w-2")

    assert bench.report(first) is Ingested.COUNTED

    assert bench.state() is State.COMPLETED
    assert ledger.to_stop() == [newer]
    assert bench.report(newer, worker="w-2", y=2.0) is Ingested.REPLICATE
    assert len(ledger.history().observations) == 2


@pytest.mark.fault(7)
def test_completed_of_an_older_attempt_withdraws_a_newer_one_that_was_only_listed(bench, first, ledger):
    bench.claim(first)
    bench.do("interrupt", first, "silence")
    newer = bench.do("requeue", "e0001")
    bench.do("list_attempts", [newer])

    bench.report(first)

    assert ledger.to_withdraw() == [newer]


def test_completed_of_an_older_attempt_ends_a_newer_one_that_was_never_listed(bench, first, ledger):
    bench.claim(first)
    bench.do("interrupt", first, "silence")
    newer = bench.do("requeue", "e0001")

    bench.report(first)

    assert ledger.attempt(newer).state is AttemptState.ENDED
    assert ledger.to_withdraw() == []


@pytest.mark.fault(7)
@pytest.mark.parametrize("status", [Status.FAILED, Status.INFEASIBLE, Status.CANCELLED, Status.RELEASED])
def test_any_other_status_of_an_older_attempt_changes_nothing(bench, first, status):
    bench.claim(first)
    bench.do("interrupt", first, "silence")
    bench.do("requeue", "e0001")

    assert bench.report(first, status) is Ingested.SUPERSEDED
    assert bench.state() is State.QUEUED


@pytest.mark.fault(7)
def test_a_measurement_of_an_abandoned_experiment_is_a_replicate_and_holds_no_place(bench, ledger):
    bench.limit(1)
    key = bench.add().key
    bench.claim(key)
    bench.do("interrupt", key, "silence")
    bench.do("abandon", "e0001")
    bench.add(0.9)

    assert bench.report(key) is Ingested.REPLICATE
    assert bench.state("e0001") is State.ABANDONED
    assert ledger.n_observations() == 1


def test_places_taken_and_completed_never_exceed_the_budget(bench):
    bench.limit(2)
    key = bench.add().key
    bench.add()
    bench.claim(key)
    bench.report(key)

    with pytest.raises(BudgetError, match=r"Raise budget\.experiments"):
        bench.add()


def test_failed_experiments_give_their_place_back_up_to_max_started(bench):
    bench.limit(1, max_started=2)
    for _ in range(2):
        bench.report(bench.add().key, Status.FAILED)

    with pytest.raises(BudgetError, match=r"Raise budget\.max_started"):
        bench.add()


def test_a_change_that_fails_leaves_nothing_behind(bench, ledger):
    def add_and_fail():
        with ledger.change() as change:
            change.add({"x": 0.1})
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        add_and_fail()

    assert ledger.experiments() == []
    assert ledger.tally()[State.QUEUED] == 0


def test_only_first_unpinned_queued_experiments_are_revised(bench, first):
    pinned = bench.add(pinned=True).key
    bench.claim(first)

    for key in (pinned, first):
        with pytest.raises(IllegalTransitionError, match="first, unpinned"):
            bench.do("revise", key.experiment, {"x": 0.1})


def test_every_point_that_an_id_was_offered_with_is_remembered_until_it_is_claimed(bench, first, ledger):
    bench.do("revise", first.experiment, {"x": 0.7})
    assert ledger.offered_points(10) == {"e0001": [{"x": 0.5}, {"x": 0.7}]}

    bench.claim(first)

    assert ledger.offered_points(10) == {}


def test_the_window_shows_the_best_of_each_kind_of_requirement(bench, ledger):
    for priority in (0.0, 2.0, 1.0):
        bench.add(priority=priority)
    bench.add(requires=["uv"])

    shown = [(found.id, found.requires) for found in ledger.window(2)]

    assert shown == [("e0002", ()), ("e0003", ()), ("e0004", ("uv",))]


def test_a_cancelled_running_experiment_is_to_stop_and_a_queued_one_to_be_withdrawn(bench, ledger):
    running, queued = bench.add().key, bench.add().key
    bench.claim(running)

    bench.do("request_cancel", running.experiment)
    bench.do("request_cancel", queued.experiment)

    assert ledger.to_stop() == [running]
    assert ledger.to_withdraw() == [queued]
    assert ledger.window(10) == []


def test_a_cancelled_experiment_whose_worker_died_is_given_up_not_left_hanging(bench, first):
    bench.claim(first)
    bench.do("request_cancel", "e0001")

    bench.do("interrupt", first, "silence")

    assert bench.state() is State.ABANDONED


def test_withdrawing_what_a_person_staged_offers_it_again_under_its_next_attempt(bench):
    key = bench.add(pinned=True).key

    bench.do("withdrawn", key, "drained", keep=True)

    assert bench.ledger.experiment("e0001").key == second_of(key)
    assert bench.state() is State.QUEUED


def test_an_unknown_experiment_is_named_with_a_way_to_see_the_known_ones(bench):
    with pytest.raises(UnknownExperimentError, match=r"e0042.*export"):
        bench.do("abandon", "e0042")


@pytest.mark.fault(7)
def test_a_conflict_of_a_worker_that_never_had_the_attempt_does_not_shut_out_the_one_that_has_it(bench, first):
    bench.claim(first, worker="w-1")

    assert bench.report(first, worker="w-2", y=7.0, digest="d2") is Ingested.CONFLICT
    assert bench.report(first, worker="w-1", y=1.0, digest="d1") is Ingested.COUNTED
    assert bench.report(first, worker="w-2", y=8.0, digest="d3") is Ingested.CONFLICT
    assert bench.state() is State.COMPLETED
