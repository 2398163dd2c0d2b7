from __future__ import annotations

import tomllib

import pytest

from alchemy_async.config import check_campaign
from alchemy_async.config.templates import template
from alchemy_async.drivers.load import load_driver
from alchemy_async.planner.load import load_planner
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab

CAMPAIGN = """
[campaign]
name = "simulated"

[[parameters]]
name = "x"
type = "continuous"
bounds = [0, 1]

[[parameters]]
name = "y"
type = "continuous"
bounds = [0, 1]

[[objectives]]
name = "height"
goal = "maximize"

[budget]
experiments = 10

[planner]
strategy = "sobol"
"""

FUNCTIONS = """
def hill(x, y):
    return 5 - (x - 0.3) ** 2 - (y - 0.7) ** 2

def half_blocked(x, y):
    if x < 0.5:
        raise RuntimeError("the tube is blocked")
    return {"height": x}

def line(x):
    return float(x)

def broken(x, y):
    raise RuntimeError("the tube is blocked")

def seconds(x, y):
    return 10 + 10 * x

def no_seconds(x, y):
    return -1
"""


@pytest.fixture
def campaign(tmp_path):
    """A campaign file of two parameters, with functions beside it."""
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN)
    (tmp_path / "simulated_functions.py").write_text(FUNCTIONS)
    return path


@pytest.fixture
def make_lab(tmp_path):
    """Return a function that makes a lab on Branin; all labs are closed at the end."""
    made = []

    def make(*, budget=15, strategy="sobol", planner=None, driver=None, look_ahead=1, durations=None, **more):
        document = tomllib.loads(template("branin"))
        document["budget"] = {"experiments": budget}
        document["planner"] = {"strategy": strategy, "seed": 3, "look_ahead": look_ahead}
        settings = check_campaign(document)
        folder = tmp_path / f"lab-{len(made)}"
        folder.mkdir()
        lab = Lab(
            settings,
            planner or load_planner(strategy, settings.as_space(), settings.as_objectives(), {}),
            driver or load_driver("olympus:Branin", {"domain": "physical"}, folder),
            folder,
            durations=durations or uniform(5.0, 30.0),
            **{"n_workers": 3, "seed": 3, **more},
        )
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.ledger.close()
