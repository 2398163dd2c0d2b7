from __future__ import annotations

import json
import threading
import time

import pytest

from alchemy_async.clock import to_wire
from alchemy_async.errors import FolderError, RuleError
from alchemy_async.experiment import AttemptKey, QueueState, State, Status, Suggestion, WorkerState
from alchemy_async.planner_daemon import run
from alchemy_async.planner_daemon.asker import InlineAsker
from alchemy_async.planner_daemon.run import run_planner

from .conftest import LateAsker


def test_the_initial_design_is_offered_at_the_first_step(lab):
    here = lab(n_initial=3)

    here.step()

    assert [offer.origin for offer in here.published().offers] == ["initial"] * 3
    assert here.published().state is QueueState.RUNNING


def test_a_campaign_ends_when_exactly_its_budget_is_completed(lab):
    here = lab(budget="experiments = 6")
    workers = [here.worker("w-1"), here.worker("w-2")]
    summary = None

    for _ in range(40):
        summary = here.step()
        if summary:
            break
        for worker in workers:
            offer = here.claim(worker)
            if offer:
                here.report(worker, offer)

    assert summary is not None
    assert summary.counts["completed"] == 6
    assert sum(summary.counts.values()) == 6
    assert here.published().state is QueueState.STOPPED
    assert not list((here.folder / "dump").glob("worker_result_*"))


def test_places_never_exceed_the_budget_while_results_come_in(lab):
    here = lab(budget="experiments = 4", look_ahead=8)
    worker = here.worker()

    for _ in range(4):
        here.step()
        tally = here.ledger.tally()
        assert sum(tally[state] for state in (State.QUEUED, State.RUNNING, State.COMPLETED)) <= 4
        here.run_one(worker)

    assert here.step().counts["completed"] == 4


def test_a_free_worker_gets_a_space_filling_point_until_there_is_a_model(lab):
    here = lab(n_initial=4, asker=LateAsker, budget="experiments = 20", look_ahead=0)
    first, second = here.worker("w-1"), here.worker("w-2")
    here.step()
    for _ in range(2):
        here.run_one(first)
        here.claim(second)
        here.step()
        here.workers["w-2"].beat(WorkerState.IDLE)

    offers = here.published().offers

    assert offers
    assert offers[0].origin in ("initial", "fill")
    assert all(offer.origin != "planner" for offer in offers)


def test_with_wait_nothing_is_asked_or_filled_before_all_initial_results_are_in(lab):
    here = lab(n_initial=3, wait="true", look_ahead=3, budget="experiments = 20")
    workers = [here.worker("w-1"), here.worker("w-2"), here.worker("w-3")]
    here.step()
    offers = [here.claim(worker) for worker in workers]
    here.report(workers[0], offers[0])
    here.report(workers[1], offers[1])

    here.step(3)
    assert here.planner.questions == []
    assert here.published().offers == ()

    here.report(workers[2], offers[2])
    here.step()
    assert len(here.published().offers) == 6  # three idle workers and a look-ahead of three


def test_every_ask_is_told_what_is_running_and_the_newest_observation(lab):
    here = lab(n_initial=2, look_ahead=1, budget="experiments = 20")
    first, second = here.worker("w-1"), here.worker("w-2")
    here.step()
    here.run_one(first)
    here.run_one(second)
    here.step()
    running = here.claim(first)
    measured = here.run_one(second)

    here.step()

    history, pending, _, _ = here.planner.questions[-1]
    assert running.parameters in pending
    assert measured.parameters in [observed.parameters for observed in history.observations]


def test_with_a_suggestion_is_kept_what_was_pending_when_it_was_asked_for(lab):
    here = lab(n_initial=2, look_ahead=1, budget="experiments = 20")
    first, second = here.worker("w-1"), here.worker("w-2")
    here.step()
    here.run_one(first)
    here.run_one(second)
    here.step()
    running = here.claim(first)
    here.run_one(second)

    here.step()

    asked = [here.ledger.metadata(found.id) for found in here.ledger.revisable()]
    assert asked
    assert all(running.key.experiment in metadata["pending"] for metadata in asked)
    assert all(metadata["asked_at"] and metadata["ask_s"] >= 0 for metadata in asked)


def test_each_completion_revises_what_is_still_queued(lab):
    here = lab(n_initial=2, look_ahead=2, budget="experiments = 20")
    worker = here.worker()
    here.step()
    here.run_one(worker)
    here.run_one(worker)
    here.step()
    before = {offer.key: offer.parameters for offer in here.published().offers}

    here.run_one(worker)
    here.step()

    after = {offer.key: offer.parameters for offer in here.published().offers}
    kept = before.keys() & after.keys()
    assert kept
    assert all(before[key] != after[key] for key in kept)


def test_what_a_person_staged_is_offered_as_it_is_and_never_revised(lab):
    here = lab(n_initial=2, look_ahead=2, budget="experiments = 20")
    worker = here.worker()
    with here.ledger.change() as change:
        staged = change.add({"x": 0.123}, origin="person", pinned=True, priority=5.0)
    for _ in range(3):
        here.step()
        here.run_one(worker) if here.ledger.tally()["completed"] else here.claim(worker)

    assert here.ledger.attempt(staged.key).parameters == {"x": 0.123}


def test_a_point_that_a_worker_took_while_the_planner_thought_is_not_suggested_beside_it(lab):
    here = lab(n_initial=2, look_ahead=1, asker=LateAsker, budget="experiments = 20")
    worker = here.worker()
    here.step()
    here.run_one(worker)
    here.run_one(worker)
    here.step()
    here.asker.let_it_answer()
    here.step()
    here.run_one(worker)
    here.step()  # asks anew, free to revise what is queued
    taken = here.claim(worker)
    here.planner.ask = lambda *_: [Suggestion({"x": 0.999})]  # far from what was taken
    here.asker.let_it_answer()

    here.step()

    open_points = [found.parameters["x"] for found in here.ledger.experiments(State.QUEUED, State.RUNNING)]
    assert taken.parameters["x"] in open_points
    assert len(open_points) == len(set(open_points))
    assert [offer.parameters for offer in here.published().offers] == [{"x": 0.999}]
    assert taken.parameters in here.asker.question.pending, "what was not known is asked for once more"


def test_a_point_that_was_added_and_measured_while_the_planner_thought_is_not_measured_again(lab):
    here = lab(n_initial=2, look_ahead=1, asker=LateAsker, budget="experiments = 20")
    worker = here.worker()
    here.step()
    here.run_one(worker)
    here.run_one(worker)
    here.step()  # the first question is on its way
    with here.ledger.change() as change:
        change.add({"x": 0.777}, origin="person", pinned=True, priority=9.0)
    here.step()
    here.run_one(worker)
    here.step()
    here.planner.ask = lambda *_: [Suggestion({"x": 0.777})]
    here.asker.let_it_answer()

    here.step()

    assert sum(found.parameters["x"] == 0.777 for found in here.ledger.experiments()) == 1


def test_a_restart_goes_on_with_the_same_queue(lab):
    here = lab(n_initial=3)
    worker = here.worker()
    here.step()
    here.run_one(worker)
    before = here.published()

    here.restart()
    here.step()

    after = here.published()
    assert {offer.key for offer in before.offers} - {AttemptKey("e0001", 1)} <= {offer.key for offer in after.offers}
    assert here.state("e0001") is State.COMPLETED
    assert after.campaign == before.campaign


def test_results_that_came_while_no_planner_ran_are_counted_at_the_start(lab):
    here = lab(n_initial=3)
    worker = here.worker()
    here.step()
    here.close()
    for _ in range(3):
        here.run_one(worker)

    here._open()

    assert here.ledger.tally()["completed"] == 3


def test_a_claim_that_the_planner_linked_before_it_was_killed_is_a_withdrawal(lab):
    here = lab(n_initial=2)
    here.step()
    assert here.queue.withdraw(AttemptKey("e0001", 1))

    here.restart()

    assert here.ledger.experiment("e0001").attempt == 2
    assert here.state("e0001") is State.QUEUED


@pytest.mark.fault(6)
@pytest.mark.fault(7)
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("worker_result_w-1_e0001.1.json", b'{"format": 1, "camp', "not JSON"),
        ("worker_result_w-1_e0001.1.json", b"\x00\xff garbage", "UTF-8"),
        ("worker_result_w-1_e0001.1.pkl", b"cos\nsystem\n", "name"),
        ("worker_result_w-9_e0777.1.json", None, "no attempt of this campaign"),
    ],
)
def test_a_result_that_is_none_is_rejected_with_a_reason_and_the_campaign_goes_on(lab, name, content, reason):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    if content is None:
        document = {
            "format": 1,
            "campaign": here.ledger.campaign,
            "experiment": "e0777",
            "attempt": 1,
            "worker": "w-9",
            "status": "completed",
            "values": {"y": 1.0},
            "started_at": to_wire(here.clock.now()),
            "finished_at": to_wire(here.clock.now()),
        }
        content = json.dumps(document).encode()
    (here.folder / "dump" / name).write_bytes(content)

    here.step(12)

    rejected = here.folder / "dump" / "rejected"
    assert (rejected / name).read_bytes() == content
    assert reason in (rejected / f"{name}.reason.txt").read_text()
    here.run_one(worker)
    here.step()
    assert here.ledger.tally()["completed"] == 1


@pytest.mark.fault(6)
def test_a_spoiled_result_of_the_worker_that_runs_the_attempt_fails_it_without_retry(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    here.step()
    (here.folder / "dump" / f"worker_result_w-1_{offer.key}.json").write_bytes(b"half a resu")

    here.step(12)

    assert here.state(offer.key.experiment) is State.FAILED
    assert next(here.ledger.outcomes())["error_kind"] == "bad_result"


def test_a_completed_result_without_its_objective_fails_with_what_to_do(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    outcome = here.outcome(offer)
    worker.report(offer.key, type(outcome)(outcome.status, outcome.started_at, outcome.finished_at))

    here.step()

    assert here.state(offer.key.experiment) is State.FAILED
    reason = next((here.folder / "dump" / "rejected").glob("*.reason.txt")).read_text()
    assert "no value for 'y'" in reason


@pytest.mark.fault(11)
def test_silence_for_a_lease_interrupts_and_the_same_process_may_come_back(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    here.step(4, seconds=1.0)
    assert here.state(offer.key.experiment) is State.RUNNING

    here.step(11, seconds=1.0)
    assert here.state(offer.key.experiment) is State.INTERRUPTED

    worker.beat(WorkerState.BUSY, offer.key)
    here.step()
    assert here.state(offer.key.experiment) is State.RUNNING


@pytest.mark.fault(11)
def test_a_planner_that_was_stopped_steals_no_lease(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    here.step()

    here.step(2, seconds=3600.0)

    assert here.state(offer.key.experiment) is State.RUNNING


@pytest.mark.fault(2)
def test_a_new_worker_process_under_the_same_name_ends_the_lease_of_the_old_one_at_once(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    here.step()

    here.worker("w-1", instance="b")
    here.step()

    assert here.state(offer.key.experiment) is State.INTERRUPTED


@pytest.mark.fault(2)
def test_the_stale_heartbeat_of_a_killed_worker_does_not_revive_its_experiment_at_a_restart(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    here.step(13, seconds=1.0)
    assert here.state(offer.key.experiment) is State.INTERRUPTED

    here.restart()
    here.step(3)

    assert here.state(offer.key.experiment) is State.INTERRUPTED


def test_with_only_interrupted_experiments_left_the_daemon_stays_up_and_names_them(lab, caplog):
    here = lab(n_initial=1, budget="experiments = 1")
    worker = here.worker()
    here.step()
    here.claim(worker)

    assert here.step(20, seconds=1.0) is None

    assert "only interrupted experiments are left: e0001" in caplog.text
    with here.ledger.change() as change:
        change.abandon("e0001")
    assert here.step() is None  # its place came back, and another experiment is offered
    assert here.ids(State.QUEUED) == ["e0002"]


def test_a_cancelled_queued_experiment_is_withdrawn_and_can_never_start(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    with here.ledger.change() as change:
        change.request_cancel("e0001")

    here.step()

    assert here.state("e0001") is State.CANCELLED
    assert (here.folder / "dump" / "claims" / "e0001.1.json").exists()
    assert here.claim(worker).key.experiment == "e0002"


def test_a_cancelled_running_experiment_is_put_on_the_cancel_list(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    here.step()
    with here.ledger.change() as change:
        change.request_cancel(offer.key.experiment)

    here.step()

    assert here.published().cancel == (offer.key,)
    here.report(worker, offer, Status.CANCELLED, kind="stopped")
    here.step()
    assert here.published().cancel == ()
    assert here.state(offer.key.experiment) is State.CANCELLED


def test_paused_offers_nothing_new_until_resumed(lab):
    here = lab(n_initial=2)
    worker = here.worker()
    here.step()
    with here.ledger.change() as change:
        change.set_meta(wanted="paused")
    here.step()

    assert here.published().state is QueueState.PAUSED
    assert worker.claim() is None

    with here.ledger.change() as change:
        change.set_meta(wanted="running")
    here.step()
    assert worker.claim() is not None


def test_a_drain_lets_what_runs_finish_and_keeps_what_was_not_started_for_the_next_time(lab):
    here = lab(n_initial=3)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    with here.ledger.change() as change:
        change.set_meta(wanted="draining")

    assert here.step(3) is None
    assert here.published().state is QueueState.DRAINING
    here.report(worker, offer)
    summary = here.step()

    assert summary is not None
    assert here.published().state is QueueState.STOPPED
    assert [found.attempt for found in here.ledger.experiments(State.QUEUED)] == [2, 2]
    here.restart()
    here.step()
    assert {str(offer.key) for offer in here.published().offers} >= {"e0002.2", "e0003.2"}


def test_a_reached_target_ends_the_campaign_after_what_runs(lab):
    here = lab(n_initial=3, budget="experiments = 20\ntarget = 0.5")
    first, second = here.worker("w-1"), here.worker("w-2")
    here.step()
    slow = here.claim(first)
    here.run_one(second, y=0.4)

    assert here.step() is None
    here.report(first, slow, y=0.9)
    summary = here.step()

    assert "target of 0.5 reached" in summary.reason
    assert summary.counts["completed"] == 2


def test_hours_count_while_the_planner_runs_and_survive_a_restart(lab):
    here = lab(budget="hours = 1")
    here.step(20, seconds=100.0)
    here.restart()

    summary = None
    for _ in range(20):
        summary = here.step(seconds=100.0)
        if summary:
            break

    assert "time is up" in summary.reason


def test_failures_give_their_places_back_until_max_started(lab):
    here = lab(n_initial=2, budget="experiments = 2\nmax_started = 4")
    worker = here.worker()
    summary = None
    for _ in range(10):
        summary = here.step()
        if summary:
            break
        here.run_one(worker, Status.FAILED)

    assert "no start left" in summary.reason
    assert summary.counts["failed"] == 4


def test_failed_points_are_told_to_the_planner(lab):
    here = lab(n_initial=3, budget="experiments = 20")
    worker = here.worker()
    here.step()
    failed = here.run_one(worker, Status.FAILED)
    for _ in range(3):
        here.run_one(worker) if here.step() is None else None

    history = here.planner.questions[-1][0]
    assert failed.parameters in [refused.parameters for refused in history.refused]


def test_a_planner_that_fails_is_reported_and_idle_workers_get_space_filling_points(lab, caplog):
    here = lab(n_initial=2, look_ahead=0, budget="experiments = 20")
    here.planner.ask = lambda *_: 1 / 0
    worker = here.worker()
    for _ in range(5):
        here.step()
        here.run_one(worker)
    here.step()

    assert "ZeroDivisionError" in caplog.text
    assert here.ledger.tally()["completed"] == 5


def test_an_exhausted_space_ends_the_campaign_with_a_message(lab):
    here = lab(n_initial=2, budget="experiments = 20")
    here.planner.ask = lambda *_: []
    worker = here.worker()
    summary = None
    for _ in range(10):
        summary = here.step()
        if summary or not here.claim(worker):
            continue
        held = here.ledger.experiments(State.QUEUED, State.RUNNING)[0]
        here.report(worker, type("Offer", (), {"key": held.key, "parameters": held.parameters})())

    assert "exhausted" in summary.reason


def test_a_planner_that_always_says_the_same_is_not_asked_again_until_something_changes(lab):
    here = lab(n_initial=2, look_ahead=2, budget="experiments = 20")
    here.planner.ask = lambda *question: here.planner.questions.append(question) or [Suggestion({"x": 0.5})]
    worker = here.worker()
    here.step()
    here.run_one(worker)
    here.run_one(worker)
    here.step(5)
    n_asked = len(here.planner.questions)

    here.step(20)

    assert len(here.planner.questions) == n_asked


def test_the_queue_of_another_campaign_is_refused(lab, tmp_path):
    here = lab()
    here.step()
    here.close()
    for name in ("campaign.db", "campaign.db-wal", "campaign.db-shm"):
        (here.folder / name).unlink(missing_ok=True)

    with pytest.raises(FolderError, match="alchemy-async clear"):
        here._open()


def test_a_failure_is_logged_with_what_went_wrong(lab, caplog):
    caplog.set_level("INFO")
    campaign = lab()
    worker = campaign.worker()
    campaign.step(2)

    campaign.run_one(worker, Status.FAILED, kind="pump")
    campaign.step()

    (line,) = [record for record in caplog.records if "status=failed" in record.message]
    assert (line.levelname, "(pump: why)" in line.message) == ("WARNING", True)


def test_a_rule_that_is_not_there_is_told_before_anything_is_written(lab):
    here = lab()
    campaign = here.folder.parent / "ruled"
    campaign.mkdir()
    text = (here.folder / "campaign.toml").read_text()
    (campaign / "campaign.toml").write_text(text + '\n[[constraints]]\nfunction = "nowhere:is_possible"\n')

    with pytest.raises(RuleError, match="nowhere"):
        run_planner(campaign)

    assert [path.name for path in campaign.iterdir()] == ["campaign.toml"]


@pytest.mark.parametrize(("budget", "is_loaded"), [(2, False), (3, True)])
def test_a_planner_is_loaded_only_where_the_budget_has_a_place_for_a_suggestion(lab, monkeypatch, budget, is_loaded):
    loaded = []

    class Asker(InlineAsker):
        def __init__(self, recipe, on_answer):
            super().__init__(recipe.make())

        def warm_up(self):
            loaded.append(True)

        is_answered = False

        def close(self):
            pass

    here = lab(n_initial=2, budget=f"experiments = {budget}")
    here.close()
    monkeypatch.setattr(run, "ProcessAsker", Asker)
    daemon = threading.Thread(target=run_planner, args=(here.folder,), daemon=True)
    daemon.start()
    worker, until = here.worker(), time.monotonic() + 30
    while daemon.is_alive() and time.monotonic() < until:
        offer = here.claim(worker)
        if offer is None:
            time.sleep(0.01)
        else:
            here.report(worker, offer)

    assert not daemon.is_alive()
    assert bool(loaded) is is_loaded


def test_a_planner_that_was_not_needed_is_when_a_failure_frees_a_place(lab):
    here = lab(n_initial=2, budget="experiments = 2")
    here.step()
    assert not here.daemon.has_to_ask

    here.run_one(here.worker(), Status.FAILED)
    here.step()

    assert here.daemon.has_to_ask
