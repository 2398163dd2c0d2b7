"""Whole campaigns in spaces with a person's rule, a fixed parameter and a reading that nobody chooses."""

from __future__ import annotations

import sys

import pytest

from alchemy_async.config import load_campaign
from alchemy_async.experiment import Observation, State
from alchemy_async.planner.present import PresentPlanner
from alchemy_async.planner.space_filling import SobolPlanner
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab

CAMPAIGN = """
[campaign]
name = "simulated"

[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 10]

[[parameters]]
name = "stages"
type = "integer"
bounds = [1, 5]
fixed = 3

[[parameters]]
name = "humidity"
type = "continuous"
bounds = [20, 80]
context = true

[[constraints]]
function = "simulated_limits:is_possible"

[[objectives]]
name = "height"
goal = "maximize"

[budget]
experiments = 12

[planner]
strategy = "sobol"
look_ahead = 1
"""


class Damp:
    """Tells the humidity of the day among the parameters as run."""

    n = 0

    def measure(self, parameters, context):
        self.n += 1
        ran = {**parameters, "humidity": 85.0 - 3 * self.n}
        return Observation({"height": parameters["x"]}, parameters=ran)


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    (tmp_path / "simulated_limits.py").write_text("def is_possible(x, stages):\n    return x < 2 * stages\n")
    settings = load_campaign(tmp_path)
    planner = PresentPlanner(lambda space: SobolPlanner(space, settings.as_objectives()), settings.as_space())
    lab = Lab(settings, planner, Damp(), tmp_path, durations=uniform(5.0, 30.0), n_workers=2, seed=3)
    yield lab
    lab.ledger.close()
    sys.modules.pop("simulated_limits", None)


def test_a_campaign_keeps_to_its_rule_and_its_fixed_value_and_follows_the_reading(lab):
    lab.run()

    done = lab.ledger.experiments(State.COMPLETED)
    assert len(done) == 12
    assert all(found.parameters["x"] < 6 and found.parameters["stages"] == 3 for found in done)
    assert done[0].parameters["humidity"] == 50.0
    seen = {observed.parameters["humidity"] for observed in lab.ledger.history().observations}
    assert len(seen) == 12
    assert done[-1].parameters["humidity"] in seen
