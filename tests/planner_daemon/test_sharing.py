from __future__ import annotations

from itertools import pairwise

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.experiment import Experiment, State
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.planner_daemon.sharing import Sharing
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab


def experiment(number, oven, x=0.5, state=State.QUEUED):
    return Experiment(f"e{number}", number, state, {"x": x, "oven": oven}, 1)


def shared(size, running=(), listed=(), n_starts=0):
    sharing = Sharing(("oven",), size)
    sharing.look(running, listed, n_starts=n_starts, n_workers=2)
    return sharing


def test_while_nothing_runs_the_first_that_waits_says_what_may_be_offered():
    waiting = [experiment(1, 300), experiment(2, 400), experiment(3, 300)]

    assert [found.id for found in shared(4).allowed(waiting)] == ["e1", "e3"]


def test_beside_what_runs_only_the_same_value_is_offered_and_sought():
    sharing = shared(4, running=[experiment(1, 300, state=State.RUNNING)], n_starts=1)
    waiting = [experiment(2, 400), experiment(3, 300)]

    assert [found.id for found in sharing.allowed(waiting)] == ["e3"]
    assert sharing.sought(waiting) == {"oven": 300}


def test_a_full_batch_gets_nothing_more_and_points_are_sought_for_the_next():
    running = [experiment(k, 300, state=State.RUNNING) for k in (1, 2)]
    sharing = shared(2, running=running, n_starts=2)
    waiting = [experiment(3, 300), experiment(4, 400)]

    assert sharing.allowed(waiting) == []
    assert sharing.sought(waiting) == {"oven": 400}
    assert sharing.sought([experiment(3, 300)]) == {}


def test_what_was_listed_of_a_full_batch_stays_listed_and_keeps_its_value():
    listed = experiment(2, 300)
    sharing = shared(2, running=[experiment(1, 300, state=State.RUNNING)], listed=[listed], n_starts=1)

    assert sharing.allowed([listed, experiment(3, 300)]) == [listed]
    assert not sharing.may_become(listed, {"x": 0.1, "oven": 400})
    assert sharing.may_become(listed, {"x": 0.1, "oven": 300})
    assert sharing.may_become(experiment(3, 300), {"x": 0.1, "oven": 400})


def test_the_next_batch_begins_when_nothing_is_left_of_the_last():
    sharing = shared(2, running=[experiment(k, 300, state=State.RUNNING) for k in (1, 2)], n_starts=2)

    sharing.look([], [], n_starts=2, n_workers=2)

    assert [found.id for found in sharing.allowed([experiment(3, 400), experiment(4, 300)])] == ["e3"]


CAMPAIGN = {
    "campaign": {"name": "oven"},
    "parameters": [
        {"name": "x", "type": "continuous", "bounds": [0, 1]},
        {"name": "oven", "type": "integer", "bounds": [20, 120], "shared": True},
    ],
    "objectives": [{"name": "y", "goal": "maximize"}],
    "budget": {"experiments": 24},
    "planner": {"strategy": "bayesian", "seed": 3, "batch": 4},
}


class Oven:
    def measure(self, parameters, context):
        return -((parameters["x"] - 0.3) ** 2) - ((parameters["oven"] - 80) / 100) ** 2


@pytest.mark.parametrize("strategy", ["bayesian", "sobol"])
def test_whatever_runs_at_the_same_time_has_the_oven_at_the_same_temperature(tmp_path, strategy):
    settings = check_campaign(CAMPAIGN | {"planner": CAMPAIGN["planner"] | {"strategy": strategy}})
    recipe = PlannerRecipe(strategy, settings.as_space(), settings.as_objectives(), {}, tmp_path)
    lab = Lab(
        settings, recipe.make(), Oven(), tmp_path,
        n_workers=3, durations=uniform(10.0, 30.0), latency_s=0.0, seed=3, recipe=recipe,
    )  # fmt: skip

    with lab.ledger:
        lab.run()

        assert lab.ledger.tally()[State.COMPLETED] == 24
    ran = sorted(lab.ran, key=lambda one: one.started_s)
    for one in ran:
        beside = [other for other in ran if other.started_s < one.finished_s and one.started_s < other.finished_s]
        assert {other.offer.parameters["oven"] for other in beside} == {one.offer.parameters["oven"]}
    ovens = [one.offer.parameters["oven"] for one in ran]
    n_batches = 1 + sum(before != after for before, after in pairwise(ovens))
    assert 24 / 4 <= n_batches <= 24 / 3, "a batch is used, and left when it is full"
