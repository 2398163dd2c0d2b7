from __future__ import annotations

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.experiment import State
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.planner_daemon.ending import summarise
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.figures import figures
from alchemy_async.simulation.lab import Lab

CAMPAIGN = {
    "campaign": {"name": "mesh"},
    "parameters": [
        {"name": "x", "type": "continuous", "bounds": [0, 1]},
        {"name": "mesh", "type": "discrete", "values": [1, 2], "fidelity": 2, "costs": [1, 8]},
    ],
    "objectives": [{"name": "y", "goal": "minimize"}],
    "budget": {"experiments": 14},
    "planner": {"seed": 3},
}


class Solver:
    """On the coarse mesh everything looks 3 better than it is, and the best lies elsewhere."""

    def measure(self, parameters, context):
        x, is_true = parameters["x"], parameters["mesh"] == 2
        return (x - 0.6) ** 2 if is_true else (x - 0.5) ** 2 - 3


def lab_of(tmp_path, strategy="bayesian", **budget):
    sections = {"planner": CAMPAIGN["planner"] | {"strategy": strategy}, "budget": CAMPAIGN["budget"] | budget}
    settings = check_campaign(CAMPAIGN | sections)
    recipe = PlannerRecipe(strategy, settings.as_space(), settings.as_objectives(), {}, tmp_path)
    lab = Lab(
        settings, recipe.make(), Solver(), tmp_path,
        n_workers=3, durations=uniform(10.0, 30.0), latency_s=0.0, seed=3, recipe=recipe,
    )  # fmt: skip
    return lab, settings


@pytest.mark.parametrize("strategy", ["bayesian", "sobol"])
def test_a_campaign_ends_with_an_answer_at_the_target_and_says_how_many_results_count(tmp_path, strategy):
    lab, settings = lab_of(tmp_path, strategy)

    with lab.ledger:
        lab.run()
        summary = summarise(lab.ledger, settings, "done")

        assert lab.ledger.tally()[State.COMPLETED] == 14
    meshes = [one.offer.parameters["mesh"] for one in lab.ran]
    assert summary.best["parameters"]["mesh"] == 2
    assert 0 <= summary.best["value"] < (0.02 if strategy == "bayesian" else 0.4)
    assert 0 < meshes.count(2) < 14
    assert f"Only results at mesh = 2 count: {meshes.count(2)} of 14; the others inform the model." in str(summary)


def test_a_cheap_result_reaches_no_target(tmp_path):
    lab, settings = lab_of(tmp_path, "sobol", experiments=60, target=0.003)

    with lab.ledger:
        lab.run()

        best = lab.ledger.best(*settings.as_objectives(), fidelity=settings.as_fidelity())
        assert lab.ledger.meta("ended") == "target of 0.003 reached"
    values = [one.outcome.values["y"] for one in sorted(lab.ran, key=lambda one: one.finished_s)]
    assert 0 <= best.value <= 0.003
    assert min(values[:5]) < -2, "a cheap one looked much better at once"
    assert len(values) > 20, "and the campaign went on"


def test_regret_in_simulated_time_is_that_of_results_at_the_target(tmp_path):
    lab, settings = lab_of(tmp_path, "sobol")

    with lab.ledger:
        lab.run()

    found = figures(
        lab, *settings.as_objectives(), n_workers=3, is_synchronous=False, optimum=0.0, fidelity=settings.as_fidelity()
    )
    true = [one.outcome.values["y"] for one in lab.ran if one.offer.parameters["mesh"] == 2]
    assert found["regret"] == pytest.approx(min(true))
    assert len(found["trace"]) == len(true) < 14
