"""What is said of a campaign when it has ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.config import check_campaign
from alchemy_async.experiment import AttemptKey, Claim, Outcome, Result, Status
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon.ending import summarise


def objective(name, goal, **more):
    return {"name": name, "goal": goal, **more}


@pytest.fixture
def ended(tmp_path):
    """Return a function that measures points of some objectives and returns what is said in the end."""

    def summary_of(objectives, *values):
        settings = check_campaign(
            {
                "campaign": {"name": "ended"},
                "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
                "objectives": objectives,
            }
        )
        clock = SimulatedClock()
        with Ledger.create(tmp_path / "campaign.db", name="ended", study=settings.study(), clock=clock) as ledger:
            for k, measured in enumerate(values):
                _measure(ledger, clock, k / 10, measured)
            return str(summarise(ledger, settings, "drained")).splitlines()

    return summary_of


def _measure(ledger, clock, x, measured):
    with ledger.change() as change:
        key = AttemptKey(change.add({"x": x}).id, 1)
        change.list_attempts([key])
        change.claim(Claim(ledger.campaign, key, 1, {}, "w-1", "i"))
    now = clock.now()
    outcome = Outcome(Status.COMPLETED, now, now + timedelta(seconds=2), measured)
    with ledger.change() as change:
        change.ingest(Result(ledger.campaign, key, "w-1", outcome), digest=repr(outcome))


def test_of_several_objectives_the_front_is_told_and_no_single_best(ended):
    both = [objective("y", "maximize"), objective("cost", "minimize")]

    lines = ended(both, {"y": 1.0, "cost": 5.0}, {"y": 2.0, "cost": 6.0}, {"y": 0.5, "cost": 7.0})

    assert "Pareto front of y and cost: 2 of 3 measurements; `alchemy-async status` shows them." in lines
    assert not any(line.startswith("Best") for line in lines)


def test_a_front_that_no_measurement_is_on_is_told_with_the_reason(ended):
    both = [objective("y", "maximize", at_least=3.0), objective("cost", "minimize")]

    lines = ended(both, {"y": 1.0, "cost": 5.0})

    assert "Pareto front of y and cost: empty, as no measurement keeps all limits yet." in lines


def test_one_objective_beside_limits_has_a_best_and_no_front(ended):
    lines = ended([objective("y", "maximize"), objective("cost", "limit", at_most=9.0)], {"y": 1.0, "cost": 5.0})

    assert any(line.startswith("Best y: 1 (e0001) at x = 0") for line in lines)
    assert not any("front" in line for line in lines)


def test_before_the_first_measurement_neither_is_told(ended):
    lines = ended([objective("y", "maximize"), objective("cost", "minimize")])

    assert lines[1:] == ["Experiments: none."]
