import tomllib
from copy import deepcopy

import pytest

THE_FILE = """
[campaign]
name = "amide-coupling"

[[parameters]]
name = "temperature"
type = "continuous"
bounds = [300, 400]
unit = "K"

[[parameters]]
name = "time"
type = "integer"
bounds = [1, 40]

[[parameters]]
name = "loading"
type = "discrete"
values = [5.0, 0.5, 1.0]

[[parameters]]
name = "solvent"
type = "categorical"
options = ["DMF", "THF"]

[[objectives]]
name = "yield"
goal = "maximize"
unit = "%"

[[constraints]]
terms = { temperature = 1.0, time = 2.0 }
at_most = 450

[budget]
experiments = 20

[planner]
strategy = "bayesian"
seed = 1
initial = { method = "sobol", n = 5, wait = false }
look_ahead = "auto"
when_late = "wait"

[[workers]]
name = "reactor"
count = 3
driver = "my_lab:reaction"
options = {}
labels = []
timeout_s = 3600
lease_s = 30
"""


@pytest.fixture
def text():
    """The text of a file without a mistake."""
    return THE_FILE


@pytest.fixture
def document():
    """The same file as plain values, to be spoiled."""
    return deepcopy(tomllib.loads(THE_FILE))


@pytest.fixture
def write(tmp_path):
    """Write a campaign.toml and return its folder."""

    def write(content):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "campaign.toml").write_bytes(data)
        return tmp_path

    return write
