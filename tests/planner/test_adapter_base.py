import logging
import subprocess
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import numpy as np
import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner import adapter
from alchemy_async.planner.adapter import AdapterPlanner, Proposal, tell
from alchemy_async.planner.ax import AxPlanner
from alchemy_async.planner.designs import design
from alchemy_async.planner.optuna import OptunaPlanner
from alchemy_async.space import Continuous, Integer, Space

LINE = Space((Continuous("x", low=0, high=10),))
LOSS, COST = Objective("loss", goal="minimize", unit="eV"), Objective("cost", goal="maximize")
HISTORY = History(tuple(Observed({"x": x}, {"loss": abs(x - 7)}) for x in (0.0, 2.0, 5.0, 9.0)))


class BrittleError(RuntimeError):
    pass


class ScriptedPlanner(AdapterPlanner):
    """Proposes what a test wrote down: in each round the next list, or an error."""

    strategy = "scripted"
    distribution = "numpy"
    least_version = (2, 0)

    def __init__(self, space, objectives, rounds):
        super().__init__(space, objectives)
        self.rounds, self.asked, self.told, self.seeds = rounds, [], [], []

    def _study(self, told, seed):
        self.told.append(told)
        self.seeds.append(seed)
        return self

    def _failures(self):
        return (BrittleError,)

    def _point(self, values):
        return dict(values)

    def propose(self, n):
        self.asked.append(n)
        proposed = self.rounds[min(len(self.asked), len(self.rounds)) - 1]
        if isinstance(proposed, Exception):
            raise proposed
        return [Proposal({"x": x}, {"mean": 0.5, "sd": 1.0}) for x in proposed[:n]]


def points(suggestions):
    return [suggestion.parameters["x"] for suggestion in suggestions]


@pytest.mark.parametrize("as_what", ["observed", "pending", "refused", "proposed before"])
def test_a_copy_of_a_taken_point_is_not_accepted_and_is_asked_for_again(as_what):
    planner = ScriptedPlanner(LINE, (LOSS,), [[3.0, 3.0005], [3.0001], [4.0]])
    observed = (*HISTORY.observations, *([Observed({"x": 3.0}, {"loss": 4.0})] if as_what == "observed" else []))
    refused = (Refused({"x": 3.0}, "limit"),) if as_what == "refused" else ()
    pending = [{"x": 3.0}] if as_what == "pending" else []

    suggestions = planner.ask(History(observed, refused), pending, n=2 if as_what == "proposed before" else 1, seed=0)

    assert points(suggestions) == ([3.0, 4.0] if as_what == "proposed before" else [4.0])
    assert {suggestion.origin for suggestion in suggestions} == {"planner"}


def test_what_proposes_nothing_but_copies_is_asked_a_few_times_and_then_the_space_is_filled():
    planner = ScriptedPlanner(LINE, (LOSS,), [[5.0, 5.0]])

    suggestions = planner.ask(HISTORY, [], n=2, seed=0)

    assert planner.asked == [2, 2, 2, 2]
    assert [suggestion.origin for suggestion in suggestions] == ["fill", "fill"]
    assert "nothing but points that are taken" in suggestions[0].reason
    assert not LINE.is_copy(suggestions[0].parameters, [{"x": 5.0}, suggestions[1].parameters])


def test_a_failure_of_the_other_package_keeps_what_was_chosen_and_fills_the_rest(caplog):
    planner = ScriptedPlanner(LINE, (LOSS,), [[3.0], BrittleError("no luck")])

    suggestions = planner.ask(HISTORY, [], n=2, seed=0)

    assert points(suggestions)[0] == 3.0
    assert [suggestion.origin for suggestion in suggestions] == ["planner", "fill"]
    assert "BrittleError" in suggestions[1].reason
    assert "scripted could not go on, filling the space (BrittleError: no luck)" in caplog.text


def test_a_mistake_in_the_adapter_itself_is_not_taken_for_such_a_failure():
    planner = ScriptedPlanner(LINE, (LOSS,), [KeyError("x")])

    with pytest.raises(KeyError):
        planner.ask(HISTORY, [], n=1, seed=0)


@pytest.mark.parametrize("n_left", [0, 2])
def test_a_space_that_can_be_listed_is_not_asked_for_more_than_it_has_left(n_left):
    space = Space((Integer("x", low=0, high=6),))
    observed = tuple(Observed({"x": x}, {"loss": float(x)}) for x in range(7 - n_left))
    planner = ScriptedPlanner(space, (LOSS,), [[6, 5]])

    suggestions = planner.ask(History(observed), [], n=5, seed=0)

    assert points(suggestions) == [6, 5][:n_left]
    assert planner.asked == [2][:n_left]


def test_the_next_ask_of_a_campaign_draws_other_random_numbers():
    planner = ScriptedPlanner(LINE, (LOSS,), [[3.0]])

    planner.ask(HISTORY, [], n=1, seed=0)
    planner.ask(HISTORY, [{"x": 8.0}], n=1, seed=0)
    planner.ask(HISTORY, [], n=1, seed=0)
    planner.ask(HISTORY, [], n=1, seed=1)

    assert planner.seeds[0] == planner.seeds[2]
    assert len(set(planner.seeds)) == 3


def test_a_prediction_comes_back_in_the_objectives_unit():
    (suggestion,) = ScriptedPlanner(LINE, (LOSS,), [[3.0]]).ask(HISTORY, [{"x": 8.0}], n=1, seed=5)

    losses = [observed.values["loss"] for observed in HISTORY.observations]
    sd = np.std(losses, ddof=1)
    assert suggestion.metadata["mean"] == pytest.approx(np.mean(losses) - 0.5 * sd)  # half a deviation better: less
    assert suggestion.metadata["sd"] == pytest.approx(sd)
    assert (suggestion.metadata["n_observations"], suggestion.metadata["n_pending"]) == (4, 1)
    assert suggestion.reason == "chosen by scripted: loss 2.775 ± 2.4 eV predicted"


def test_the_order_of_the_history_is_kept_because_some_samplers_forget_what_is_old():
    told = tell(LINE, (LOSS,), History(HISTORY.observations[::-1]), [{"x": 8.0}, {"x": 1.0}])

    assert [point["x"] for point in told.points] == [9.0, 5.0, 2.0, 0.0]
    assert [point["x"] for point in told.waiting] == [8.0, 1.0]


def test_larger_values_are_better_whatever_the_goal_and_the_size():
    history = History(
        tuple(Observed({"x": x}, {"loss": 1e308 * y, "cost": 1e-300 * y}) for x, y in ((1, -1.5), (2, 1.0), (4, 1.5))),
    )

    told = tell(LINE, (LOSS, COST), history, [])

    best_first = [float(point["x"]) for point in np.array(told.points)[np.argsort(-told.values[:, 0])]]
    assert best_first == [1.0, 2.0, 4.0]
    assert np.argsort(told.values[:, 1]).tolist() == np.argsort(-told.values[:, 0]).tolist()
    assert told.values.std(axis=0, ddof=1) == pytest.approx(1.0)


def test_standard_errors_are_told_only_where_every_value_has_one():
    with_sems = tuple(Observed(o.parameters, o.values, {"loss": 0.5}) for o in HISTORY.observations)

    told = tell(LINE, (LOSS,), History(with_sems), [])

    assert told.sems * told.scales == pytest.approx(0.5)
    assert tell(LINE, (LOSS,), History((*with_sems, Observed({"x": 6.0}, {"loss": 1.0}))), []).sems is None


def test_what_ran_outside_the_space_is_told_at_its_edge():
    space = Space((Continuous("x", low=0.1, high=10, log=True), Integer("n", low=1, high=3)))
    ran = [{"x": 0.0, "n": 2.4}, {"x": 12.0, "n": 0}]
    history = History(tuple(Observed(point, {"loss": float(i)}) for i, point in enumerate(ran)))

    told = tell(space, (LOSS,), history, [])

    assert sorted((point["n"], point["x"]) for point in told.points) == [
        (1, pytest.approx(10.0)),
        (2, pytest.approx(0.1)),
    ]


def test_only_observations_of_every_objective_count_and_one_that_never_varies_is_no_obstacle():
    observed = [Observed({"x": x}, {"loss": x, "cost": 3.0}) for x in (1.0, 2.0)]

    told = tell(LINE, (LOSS, COST), History((*observed, Observed({"x": 3.0}, {"loss": 3.0}))), [])

    assert len(told.points) == 2
    assert told.values[:, 1].tolist() == [0.0, 0.0]


def test_the_other_packages_messages_stay_out_of_the_log_and_ours_do_not(caplog):
    loud = logging.getLogger("loud")

    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as warned:
        with adapter.hushed():
            loud.warning("progress")
            warnings.warn("beware", stacklevel=1)
        loud.info("after")

    assert [record.message for record in caplog.records] == ["after"]
    assert warned == []


@pytest.mark.parametrize(("planner", "extra"), [(AxPlanner, "ax"), (OptunaPlanner, "optuna")])
def test_a_missing_package_is_answered_with_the_extra_that_brings_it(planner, extra, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(adapter, "version", missing)

    with pytest.raises(
        PlannerError, match=rf"not installed\. Install it with `pip install 'alchemy-async\[{extra}\]'`"
    ):
        planner(LINE, (LOSS,))


@pytest.mark.parametrize(("planner", "extra"), [(AxPlanner, "ax"), (OptunaPlanner, "optuna")])
def test_a_package_that_is_too_old_is_answered_with_the_version_it_takes(planner, extra, monkeypatch):
    monkeypatch.setattr(adapter, "version", lambda name: "0.9.1")

    with pytest.raises(PlannerError, match=rf"or newer; 0\.9\.1 is installed.*alchemy-async\[{extra}\]"):
        planner(LINE, (LOSS,))


def test_a_goal_that_it_does_not_know_is_refused_before_anything_is_asked():
    with pytest.raises(PlannerError, match=r"can't plan with the goal 'target'.*set \[planner\] strategy to bayesian"):
        ScriptedPlanner(LINE, (Objective("ph", goal="target"),), [])


def test_a_kind_of_parameter_that_it_does_not_know_is_refused():
    @dataclass(frozen=True)
    class Molecule:
        name: str

    with pytest.raises(PlannerError, match=r"can't plan with parameters of the kind of 'ligand'"):
        ScriptedPlanner(Space((Molecule("ligand"),)), (LOSS,), [])


@pytest.mark.skipif(
    find_spec("ax") is None or find_spec("optuna") is None, reason="needs pip install 'alchemy-async[ax,optuna]'"
)
def test_neither_package_is_loaded_before_a_model_is_needed():
    script = (
        "import sys\n"
        "from alchemy_async.experiment import History, Objective\n"
        "from alchemy_async.planner.ax import AxPlanner\n"
        "from alchemy_async.planner.optuna import OptunaPlanner\n"
        "from alchemy_async.space import Continuous, Space\n"
        "for made in (AxPlanner, OptunaPlanner):\n"
        "    assert made(Space((Continuous('x'),)), (Objective('y'),)).ask(History(), [], 2, 0)\n"
        "print([name for name in ('torch', 'ax', 'optuna') if name in sys.modules])\n"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert ran.stdout.strip() == "[]", ran.stderr


def test_too_little_to_learn_from_brings_a_design():
    suggestions = ScriptedPlanner(LINE, (LOSS,), [[3.0]]).ask(History(), [], n=3, seed=0)

    assert points(suggestions) == [point["x"] for point in design(LINE, "sobol", 3, 0)]
    assert "too little is observed" in suggestions[0].reason
