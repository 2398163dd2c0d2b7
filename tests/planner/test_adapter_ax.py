import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner.adapter import hushed
from alchemy_async.planner.ax import AxPlanner
from alchemy_async.planner.designs import design
from alchemy_async.planner.load import load_planner
from alchemy_async.space import Continuous, Discrete, Integer, LinearConstraint, Space
from alchemy_async.testing.planner_contract import SPACES, PlannerContract

pytestmark = pytest.mark.skipif(find_spec("ax") is None, reason="needs pip install 'alchemy-async[ax]'")

SQUARE = Space((Continuous("x", low=0, high=10), Continuous("y", low=0, high=10)))
LINE = Space((Continuous("x", low=0, high=10),))
LOSS = Objective("loss", goal="minimize", unit="eV")


@pytest.fixture(autouse=True, scope="module")
def ax_is_loaded():
    """Load Ax before the first test, which would be charged for the seconds that it takes."""
    with hushed():
        import ax.api.client  # noqa: F401  loaded for its effect


def kinds(*quick):
    """Return the contract's spaces; an ask of Ax on most of them takes seconds, under constraints ten."""
    return [kind if kind in quick else pytest.param(kind, marks=pytest.mark.slow) for kind in SPACES]


class TestAxKeepsTheContract(PlannerContract):
    refuses = frozenset({"fixed", "reading"})

    def make_planner(self, space, objectives):
        return AxPlanner(space, objectives)

    @pytest.mark.parametrize("kind", kinds("log", "integer", "discrete"))
    def test_three_points_are_three_feasible_points_and_copies_of_nothing_seen(self, kind):
        super().test_three_points_are_three_feasible_points_and_copies_of_nothing_seen(kind)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["continuous", "mixed", "mixture"])
    def test_the_same_question_brings_the_same_answer_whatever_was_asked_in_between(self, kind):
        super().test_the_same_question_brings_the_same_answer_whatever_was_asked_in_between(kind)


def bowl(point):
    return float((point["x"] - 7) ** 2 + (point["y"] - 3) ** 2) + 20


@pytest.fixture(scope="module")
def history():
    return History(tuple(Observed(p, {"loss": bowl(p)}) for p in design(SQUARE, "sobol", 8, seed=0)))


@pytest.fixture(scope="module")
def ladder():
    """A rising line with a scatter that no smooth function follows."""
    return [({"x": float(x)}, 0.3 * x + (0.5 if i % 2 else -0.5)) for i, x in enumerate(np.linspace(0, 10, 8))]


def test_it_chooses_what_ax_chooses_when_it_is_told_trial_by_trial(history):
    from ax.api.client import Client
    from ax.api.configs import RangeParameterConfig

    pending = {"x": 5.0, "y": 5.0}
    client = Client(random_seed=int(np.random.SeedSequence([0, 9]).generate_state(1)[0]))
    with hushed():
        client.configure_experiment([RangeParameterConfig(f"x{i}", (0.0, 10.0), "float") for i in range(2)])
        client.configure_optimization("-y0")
        client.configure_generation_strategy(initialization_budget=0, initialize_with_center=False)
        for observed in history.observations:
            index = client.attach_trial({"x0": observed.parameters["x"], "x1": observed.parameters["y"]})
            client.complete_trial(index, {"y0": observed.values["loss"]})
        client.attach_trial({"x0": 5.0, "x1": 5.0})
        (expected,) = client.get_next_trials(1).values()

    (suggestion,) = AxPlanner(SQUARE, (LOSS,)).ask(history, [pending], n=1, seed=0)

    assert list(suggestion.parameters.values()) == pytest.approx(list(expected.values()), abs=0.02)


def test_it_goes_to_the_bottom_of_a_bowl_and_says_in_units_what_it_expects_there(history):
    (suggestion,) = AxPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert (suggestion.parameters["x"], suggestion.parameters["y"]) == (
        pytest.approx(7, abs=1),
        pytest.approx(3, abs=1),
    )
    assert suggestion.metadata["mean"] == pytest.approx(bowl(suggestion.parameters), abs=3)
    assert suggestion.reason.startswith("chosen by ax: loss ")
    assert "eV" in suggestion.reason


@pytest.mark.parametrize("as_what", ["pending", "refused"])
def test_a_point_that_is_chosen_or_was_refused_makes_its_neighbourhood_less_worth(history, as_what):
    planner = AxPlanner(SQUARE, (LOSS,))
    (alone,) = planner.ask(history, [], n=1, seed=0)
    beside = {**alone.parameters, "x": alone.parameters["x"] + 0.05}  # no copy: the guard against copies lets it pass
    pending = [beside] if as_what == "pending" else []
    refused = (Refused(beside, "limit"),) if as_what == "refused" else ()

    (other,) = planner.ask(History(history.observations, refused), pending, n=1, seed=0)

    assert other.origin == "planner"
    assert SQUARE.distances(SQUARE.to_unit([alone.parameters]), SQUARE.to_unit([other.parameters])) > 0.02


def test_the_random_numbers_of_others_are_left_alone(history):
    def drawn():
        return torch.rand(1).item(), random.random(), np.random.rand()

    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    expected = drawn()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)

    AxPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert drawn() == expected


@pytest.mark.parametrize("how", ["given as a standard error", "declared none"])
def test_noise_is_inferred_unless_it_is_known(ladder, how):
    sems = {"loss": 1e-3} if how == "given as a standard error" else {}
    noise = "none" if how == "declared none" else "inferred"

    (inferred,) = AxPlanner(LINE, (LOSS,)).ask(_told(ladder, {}), [], n=1, seed=0)
    (known,) = AxPlanner(LINE, (LOSS,), noise=noise).ask(_told(ladder, sems), [], n=1, seed=0)

    assert (inferred.origin, known.origin) == ("planner", "planner")
    assert (known.metadata["mean"], known.metadata["sd"]) != pytest.approx(
        (inferred.metadata["mean"], inferred.metadata["sd"]), rel=0.1
    )


def test_replicates_are_all_heard():
    once = [({"x": 2.0}, 1.0), ({"x": 5.0}, 2.0), ({"x": 8.0}, 3.0)]

    (alone,) = AxPlanner(LINE, (LOSS,)).ask(_told(once, {"loss": 0.5}), [], n=1, seed=0)
    (repeated,) = AxPlanner(LINE, (LOSS,)).ask(_told([*once, ({"x": 2.0}, 5.0)], {"loss": 0.5}), [], n=1, seed=0)

    assert repeated.origin == "planner"
    assert repeated.parameters["x"] != pytest.approx(alone.parameters["x"], abs=0.5)


def test_a_logarithmic_parameter_and_names_that_ax_could_not_parse_are_no_obstacle():
    space = Space((Continuous("lambda", low=1e-4, high=1e2, log=True), Integer("E", low=1, high=1000, log=True)))
    seen = design(space, "sobol", 5, seed=0)
    told = History(tuple(Observed(p, {"log(k) / s": float(np.log10(p["lambda"]))}) for p in seen))

    (suggestion,) = AxPlanner(space, (Objective("log(k) / s"),)).ask(told, seen[:1], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert suggestion.parameters["lambda"] < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPACES)
def test_each_kind_of_space_is_planned_by_ax_itself(kind):
    space = SPACES[kind]
    seen = design(space, "sobol", 6, seed=0)
    told = History(tuple(Observed(point, {"loss": float(i)}) for i, point in enumerate(seen)))

    suggestions = AxPlanner(space, (LOSS,)).ask(told, design(space, "sobol", 1, seed=1, avoid=seen), n=2, seed=0)

    assert [suggestion.origin for suggestion in suggestions] == ["planner", "planner"]


@pytest.mark.slow
def test_the_optimum_of_a_mixture_is_found_on_its_edge():
    names = ("x", "y", "z")
    space = Space(
        tuple(Continuous(name, low=0, high=10) for name in names),
        (LinearConstraint(tuple((name, 1.0) for name in names), "equals", 10.0),),
    )
    told = History(tuple(Observed(p, {"loss": bowl(p)}) for p in design(space, "sobol", 10, seed=0)))

    (suggestion,) = AxPlanner(space, (LOSS,)).ask(told, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert suggestion.parameters["x"] == pytest.approx(7, abs=1)
    assert suggestion.parameters["z"] < 1


@pytest.mark.slow
def test_a_discrete_parameter_keeps_to_its_values_and_its_order():
    space = Space((Discrete("x", options=(0.0, 1.0, 2.0, 4.0, 7.0, 9.0, 10.0)), Continuous("y", low=0, high=10)))
    seen = [{"x": x, "y": y} for x, y in ((0.0, 0.0), (2.0, 9.0), (4.0, 4.0), (9.0, 1.0), (10.0, 6.0), (1.0, 5.0))]
    told = History(tuple(Observed(point, {"loss": bowl(point)}) for point in seen))

    (suggestion,) = AxPlanner(space, (LOSS,)).ask(told, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert suggestion.parameters["x"] in (7.0, 9.0)


@pytest.mark.slow
def test_several_objectives_are_traded_off():
    near, far = Objective("near", goal="minimize"), Objective("far", goal="maximize")
    seen = [{"x": float(x), "y": float(y)} for x in (0, 3, 6, 10) for y in (0, 5, 10)]
    told = History(tuple(Observed(p, {"near": abs(p["x"] - 4) + p["y"], "far": p["x"] - p["y"]}) for p in seen))

    suggestions = AxPlanner(SQUARE, (near, far)).ask(told, [], n=2, seed=0)

    assert [suggestion.origin for suggestion in suggestions] == ["planner"] * 2
    assert max(suggestion.parameters["y"] for suggestion in suggestions) < 3


@pytest.mark.parametrize("noise", ["some", 0.1, True])
def test_an_option_of_the_wrong_kind_is_answered_with_what_to_set(noise):
    with pytest.raises(PlannerError, match='Set it to "inferred" or to "none"'):
        load_planner("alchemy_async.planner.ax:AxPlanner", SQUARE, (LOSS,), {"noise": noise})


def _told(pairs, sems):
    return History(tuple(Observed(point, {"loss": float(value)}, sems) for point, value in pairs))
