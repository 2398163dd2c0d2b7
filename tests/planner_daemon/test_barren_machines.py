"""Machines that have no point left: they keep no place from those that have, and end no campaign by themselves."""

from __future__ import annotations

import itertools
import logging
import sys

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.errors import LimitError
from alchemy_async.experiment import State
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.simulation import SimulationError
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab

EXHAUSTED = "the search space is exhausted"


class Machine:
    """The hotter the better; at some points it refuses to run."""

    def __init__(self, *refused):
        self.refused = refused

    def measure(self, parameters, context):
        if (parameters["machine"], parameters.get("T")) in self.refused:
            raise LimitError("too hot")
        return float(parameters.get("T", 0)) + (parameters["machine"] == "m2")


@pytest.fixture
def play(tmp_path):
    """Return a function that runs a campaign on machines m1, m2 ..., each of which has so many temperatures."""
    made = []

    def run(*temperatures, driver=None, budget=None, labels=(), seconds=None, strategy="sobol", **more):
        names = [f"m{k + 1}" for k in range(len(temperatures))]
        (tmp_path / "machine_limits.py").write_text(
            f"HAS = {dict(zip(names, temperatures, strict=True))}\ndef has(machine, T):\n    return T <= HAS[machine]\n"
        )
        document = {
            "campaign": {"name": "machines"},
            "parameters": [
                {"name": "machine", "type": "categorical", "options": names, "tied": True},
                {"name": "T", "type": "integer", "bounds": [1, max(2, *temperatures)]},
            ],
            "constraints": [{"function": "machine_limits:has"}],
            "objectives": [{"name": "y", "goal": "maximize"}],
            "budget": budget or {"experiments": 12},
            "planner": {"seed": 1, "strategy": strategy, **more.pop("planner", {})},
            "workers": [{"name": f"w{k}", "driver": "a:b", "labels": own} for k, own in enumerate(labels)],
        }
        settings = check_campaign(document).in_folder(tmp_path)
        recipe = PlannerRecipe(strategy, settings.as_space(), settings.as_objectives(), {}, tmp_path)
        lab = Lab(
            settings, recipe.make(), driver or Machine(), tmp_path, recipe=recipe, seed=1,
            durations=seconds or uniform(5.0, 30.0), **{"n_workers": len(labels) or len(names), **more},
        )  # fmt: skip
        made.append(lab)
        return lab, lab.run()

    yield run
    for lab in made:
        lab.ledger.close()
    sys.modules.pop("machine_limits", None)


def waited_s(lab, worker):
    """Return how long a worker waited at most between two experiments, in seconds."""
    own = sorted((ran.started_s, ran.finished_s) for ran in lab.ran if ran.worker == worker)
    return max(after[0] - before[1] for before, after in itertools.pairwise(own))


def points(lab, machine):
    return [ran.offer.parameters["T"] for ran in lab.ran if ran.offer.parameters["machine"] == machine]


def test_a_campaign_ends_when_a_refused_point_leaves_a_place_that_no_machine_can_fill(play):
    lab, summary = play(3, 3, budget={"experiments": 6}, driver=Machine(("m1", 3)), strategy="bayesian")

    assert summary.reason.startswith(EXHAUSTED)
    assert (summary.counts[State.COMPLETED], summary.counts[State.INFEASIBLE]) == (5, 1)
    assert sorted(points(lab, "m1")) == sorted(points(lab, "m2")) == [1, 2, 3]


@pytest.mark.parametrize("temperatures", [(2, 20), (20, 2)])
@pytest.mark.parametrize("latency_s", [0.0, 7.0])
def test_a_machine_without_a_point_left_keeps_no_place_from_another(play, temperatures, latency_s):
    _, summary = play(*temperatures, latency_s=latency_s)

    assert summary.counts[State.COMPLETED] == 12


def test_what_still_runs_on_a_machine_without_a_point_left_does_not_keep_another_waiting(play):
    def seconds(rng, parameters):
        return 300.0 if parameters["machine"] == "m1" else 10.0

    lab, summary = play(1, 20, seconds=seconds)

    assert summary.counts[State.COMPLETED] == 12
    assert lab.ran[-2].finished_s < 300, "m1 runs until after all is done on m2"
    assert waited_s(lab, "worker-2") < 2.5


def test_before_the_first_model_too_a_machine_without_a_point_left_keeps_no_place_from_another(play):
    hopeless = Machine(*itertools.product(("m1", "m2"), range(1, 21)))

    _, summary = play(1, 20, driver=hopeless, budget={"experiments": 2, "max_started": 9})

    assert summary.reason.startswith("no start left, 9 experiments")


@pytest.mark.parametrize("look_ahead", [0, 1])
@pytest.mark.parametrize("n_initial", [2, 6])
def test_a_machine_for_which_the_planner_fails_keeps_no_other_waiting(play, n_initial, look_ahead, caplog):
    lab, summary = play(20, 0, latency_s=1.0, planner={"initial": {"n": n_initial}, "look_ahead": look_ahead})

    assert summary.counts[State.COMPLETED] == 12
    assert {ran.offer.origin for ran in lab.ran[-5:]} == {"planner"}, "a model chooses, nothing fills in for it"
    assert waited_s(lab, "worker-1") < 2.5
    assert any("no answer for machine = m2" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("latency_s", [0.0, 7.0])
def test_a_campaign_ends_although_the_planner_fails_for_a_machine_that_never_had_a_point(play, latency_s):
    _, summary = play(4, 0, latency_s=latency_s, budget={"experiments": 4}, driver=Machine(("m1", 2)))

    assert summary.reason.startswith(EXHAUSTED)
    assert summary.counts[State.COMPLETED] == 3


def test_more_workers_than_points_end_a_campaign_as_soon_as_all_points_are_measured(play):
    _, summary = play(1, 1, 1, n_workers=16, budget={"hours": 1, "max_started": 16})

    assert summary.reason.startswith(EXHAUSTED)
    assert summary.counts[State.COMPLETED] == 3


def test_a_worker_of_several_machines_goes_on_at_once_with_the_one_that_has_points_left(play):
    def seconds(rng, parameters):
        return 300.0 if parameters["machine"] == "m4" else 10.0  # the turn is another's after each result

    labels = [["m1", "m2", "m3"], ["m4"]]
    lab, summary = play(1, 1, 30, 9, labels=labels, budget={"experiments": 20}, seconds=seconds)

    assert summary.counts[State.COMPLETED] == 20
    assert len(points(lab, "m3")) > 10
    assert waited_s(lab, "worker-1") < 2.5


def test_points_of_a_machine_that_nobody_stands_at_end_no_campaign_and_are_waited_for(play, caplog):
    first = {"initial": {"method": "points", "points": [{"machine": "m1", "T": T} for T in (1, 2)]}}

    with caplog.at_level(logging.WARNING), pytest.raises(SimulationError, match=r'requires m2.*\["m2"\]`'):
        play(3, 20, n_workers=1, planner=first)

    (told,) = [record.getMessage() for record in caplog.records]
    assert "waits for a worker that has the label m2" in told


def test_a_planner_that_is_started_again_finds_out_anew_that_nothing_is_left(play):
    budget = {"experiments": 6}
    play(3, 3, budget=budget, driver=Machine(("m1", 3)))

    again, summary = play(3, 3, budget=budget, driver=Machine(("m1", 3)))

    assert summary.reason.startswith(EXHAUSTED)
    assert again.ran == []
