from __future__ import annotations

import pytest

from alchemy_async import locks
from alchemy_async.experiment import AttemptKey, State


@pytest.fixture
def planner(bench):
    """Be the planner that holds the lock."""
    with locks.hold(bench.site.lock_path, what="a planner", mend="") as held:
        yield held


def last_event(bench):
    return bench.ledger.last_events(1)[0]["kind"]


def test_pause_and_resume_say_what_is_wanted_and_are_events(run, bench):
    paused = run("pause")
    wanted, event = bench.ledger.meta("wanted"), last_event(bench)
    resumed = run("resume")

    assert (paused.exit_code, wanted, event) == (0, "paused", "paused")
    assert (resumed.exit_code, bench.ledger.meta("wanted"), last_event(bench)) == (0, "running", "resumed")
    assert "as soon as `alchemy-async plan` runs" in paused.stdout


def test_a_second_pause_changes_nothing(run, bench):
    run("pause")
    n_events = len(bench.ledger.events())

    shown = run("pause")

    assert "paused already" in shown.stdout
    assert len(bench.ledger.events()) == n_events


def test_a_running_planner_acts_within_a_second(run, planner):
    assert "within a second" in run("pause").stdout


def test_drain_is_for_the_planner_that_runs(run, bench, planner):
    shown = run("drain")

    assert (shown.exit_code, bench.ledger.meta("wanted")) == (0, "draining")


def test_drain_without_a_planner_is_refused_and_leaves_no_wish_behind(run, bench):
    refused = run("drain")

    assert refused.exit_code == 1
    assert "No planner runs" in refused.stderr
    assert bench.ledger.meta("wanted") == "running"


def test_requeue_offers_an_interrupted_experiment_as_its_next_attempt(run, bench):
    name = bench.add(350)
    bench.claim(name)
    bench.interrupt(name)

    shown = run("requeue", name)

    assert shown.exit_code == 0
    assert "attempt 2" in shown.stdout
    assert bench.ledger.experiment(name).key == AttemptKey(name, 2)


def test_abandon_gives_an_interrupted_experiment_up(run, bench):
    name = bench.add(350)
    bench.claim(name)
    bench.interrupt(name)

    assert run("abandon", name).exit_code == 0
    assert bench.ledger.experiment(name).state is State.ABANDONED


def test_cancel_tells_whether_it_withdraws_or_stops(run, bench):
    queued, running = bench.add(350), bench.add(360)
    bench.claim(running)

    withdrawn, stopped = run("cancel", queued), run("cancel", running)

    assert "withdrawn from the queue" in withdrawn.stdout
    assert "told to stop" in stopped.stdout
    assert bench.ledger.to_stop() == [AttemptKey(running, 1)]
    assert bench.ledger.to_withdraw() == [AttemptKey(queued, 1)]


def test_move_changes_the_order_of_the_queue(run, bench):
    first, second = bench.add(350), bench.add(360)

    assert run("move", second, "--priority", 1).exit_code == 0
    assert [found.id for found in bench.ledger.window(9)] == [second, first]


@pytest.mark.parametrize("command", ["requeue", "abandon"])
def test_what_does_not_fit_the_state_is_refused_with_a_mend(run, bench, command):
    name = bench.add(350)

    refused = run(command, name)

    assert refused.exit_code == 1
    assert f"{name} is queued" in refused.stderr
    assert bench.ledger.experiment(name).state is State.QUEUED


@pytest.mark.parametrize("command", [["requeue"], ["abandon"], ["cancel"], ["move", "--priority", "1"]])
def test_an_unknown_experiment_is_told(run, bench, command):
    refused = run(command[0], "e9999", *command[1:])

    assert refused.exit_code == 1
    assert "no experiment 'e9999'" in refused.stderr


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_campaign_that_never_started_can_not_be_steered(run, folder, command):
    refused = run(command)

    assert refused.exit_code == 1
    assert "never started" in refused.stderr
    assert not (folder / "campaign.db").exists()
