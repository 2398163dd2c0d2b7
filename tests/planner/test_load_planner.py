import subprocess
import sys

import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import Objective
from alchemy_async.planner.load import load_planner
from alchemy_async.planner.space_filling import SobolPlanner
from alchemy_async.space import Continuous, Space

SPACE = Space((Continuous("x"),))
ONE, TWO = (Objective("y"),), (Objective("y"), Objective("cost"))


def test_a_shipped_strategy_is_found_by_its_name():
    assert isinstance(load_planner("sobol", SPACE, TWO, {}), SobolPlanner)


def test_a_planner_of_ones_own_is_found_by_its_path_and_given_its_options(tmp_path, monkeypatch):
    (tmp_path / "my_plan.py").write_text(
        "class Middle:\n"
        "    def __init__(self, space, objectives, *, step):\n"
        "        self.step = step\n"
        "    def ask(self, history, pending, n, seed):\n"
        "        return []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert load_planner("my_plan:Middle", SPACE, ONE, {"step": 3}).step == 3


def test_a_misspelt_strategy_is_answered_with_the_nearest_and_all_there_are():
    with pytest.raises(PlannerError, match=r"Did you mean 'bayesian'\?.*ax, bayesian, optuna, random, sobol"):
        load_planner("baysian", SPACE, ONE, {})


def test_a_module_that_is_not_there_is_answered_with_where_to_put_it():
    with pytest.raises(PlannerError, match=r"Put no_such_plan\.py beside campaign\.toml"):
        load_planner("no_such_plan:Planner", SPACE, ONE, {})


def test_a_misspelt_class_is_answered_with_the_nearest():
    with pytest.raises(PlannerError, match="Did you mean 'SobolPlanner'"):
        load_planner("alchemy_async.planner.space_filling:SoboPlanner", SPACE, ONE, {})


def test_something_that_cannot_be_asked_is_no_planner(tmp_path, monkeypatch):
    (tmp_path / "my_dict.py").write_text("def planner(space, objectives):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(PlannerError, match=r"Give it a method `ask\(history, pending, n, seed\)`"):
        load_planner("my_dict:planner", SPACE, ONE, {})


def test_an_unknown_option_is_answered_with_those_there_are():
    with pytest.raises(PlannerError, match="it takes noise, failures, max_enumerated, device"):
        load_planner("bayesian", SPACE, ONE, {"colour": "blue"})


@pytest.mark.parametrize("options", [{"noise": "some"}, {"noise": -1.0}, {"noise": True}, {"max_enumerated": -1}])
def test_an_option_of_the_wrong_kind_is_answered_with_what_to_set(options):
    with pytest.raises(PlannerError, match="Set "):
        load_planner("bayesian", SPACE, ONE, options)


def test_torch_is_not_loaded_before_a_model_is_needed():
    script = (
        "import sys\n"
        "from alchemy_async.experiment import History, Objective\n"
        "from alchemy_async.planner.load import load_planner\n"
        "from alchemy_async.space import Continuous, Space\n"
        "for strategy in ('sobol', 'random', 'bayesian'):\n"
        "    planner = load_planner(strategy, Space((Continuous('x'),)), (Objective('y'),), {})\n"
        "    assert planner.ask(History(), [], 2, 0)\n"
        "print([name for name in ('torch', 'botorch', 'gpytorch') if name in sys.modules])\n"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert ran.stdout.strip() == "[]", ran.stderr
