import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner.designs import design
from alchemy_async.planner.load import load_planner
from alchemy_async.planner.optuna import OptunaPlanner
from alchemy_async.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Space
from alchemy_async.testing.planner_contract import PlannerContract

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="needs pip install 'alchemy-async[optuna]'")

SQUARE = Space((Continuous("x", low=0, high=10), Continuous("y", low=0, high=10)))
STEPS = Space((Integer("x", low=0, high=500),))
LOSS = Objective("loss", goal="minimize")
AROUND_333 = tuple(Observed({"x": x}, {"loss": float(abs(x - 333))}) for x in (0, 90, 210, 290, 400, 500))


def bowl(point):
    return float((point["x"] - 7) ** 2 + (point["y"] - 3) ** 2)


@pytest.fixture(scope="module")
def history():
    return History(tuple(Observed(p, {"loss": bowl(p)}) for p in design(SQUARE, "sobol", 30, seed=0)))


class _OptunaKeepsTheContract(PlannerContract):
    sampler = ""
    refuses = frozenset({"fixed", "reading"})

    def make_planner(self, space, objectives):
        if space.constraints:
            pytest.skip("Optuna takes no constraints on parameters, and says so at construction")
        return OptunaPlanner(space, objectives, sampler=self.sampler)


class TestOptunaGpKeepsTheContract(_OptunaKeepsTheContract):
    sampler = "gp"


class TestOptunaTpeKeepsTheContract(_OptunaKeepsTheContract):
    sampler = "tpe"


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
@pytest.mark.parametrize(
    "parameter",
    [
        Continuous("x", low=-3, high=5),
        Continuous("x", low=1e-4, high=1e2, log=True),
        Integer("x", low=-4, high=40),
        Integer("x", low=1, high=1000, log=True),
        Discrete("x", options=(0.1, 0.5, 2.0, 2.5, 10.0)),
        Categorical("x", options=("water", "ethanol", "toluene", "DMF")),
    ],
    ids=["continuous", "log", "integer", "log integer", "discrete", "categorical"],
)
def test_each_kind_of_parameter_is_planned_by_optuna_itself(sampler, parameter):
    space = Space((parameter, Continuous("other")))
    seen = design(space, "sobol", 5, seed=0)
    history = History(tuple(Observed(point, {"loss": float(point["other"])}) for point in seen))

    suggestions = OptunaPlanner(space, (LOSS,), sampler=sampler).ask(history, seen[:1], n=2, seed=0)

    assert [suggestion.origin for suggestion in suggestions] == ["planner", "planner"]
    assert all(space.check(suggestion.parameters) == suggestion.parameters for suggestion in suggestions)


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_it_chooses_what_a_study_of_optunas_own_chooses(history, sampler):
    import optuna

    pending = {"x": 5.0, "y": 5.0}
    seed = int(np.random.SeedSequence([0, 31]).generate_state(1)[0])
    samplers = {"gp": optuna.samplers.GPSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(direction="minimize", sampler=samplers[sampler](seed=seed, n_startup_trials=0))
    axes = {name: optuna.distributions.FloatDistribution(0, 10) for name in "xy"}
    for observed in history.observations:
        point = dict(observed.parameters)
        study.add_trial(optuna.trial.create_trial(params=point, distributions=axes, value=observed.values["loss"]))
    study.add_trial(
        optuna.trial.create_trial(params=pending, distributions=axes, state=optuna.trial.TrialState.RUNNING)
    )

    (suggestion,) = OptunaPlanner(SQUARE, (LOSS,), sampler=sampler).ask(history, [pending], n=1, seed=0)

    assert suggestion.parameters == pytest.approx(study.ask(axes).params, rel=1e-4)


def test_the_gaussian_process_goes_to_the_bottom_of_a_bowl_that_it_has_seen(history):
    (suggestion,) = OptunaPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.parameters["x"] == pytest.approx(7, abs=1)
    assert suggestion.parameters["y"] == pytest.approx(3, abs=1)


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_a_logarithmic_parameter_is_searched_by_its_decades(sampler):
    space = Space((Continuous("x", low=1e-4, high=1e4, log=True),))
    told = tuple(Observed({"x": 10.0**k}, {"loss": abs(k + 2.0)}) for k in range(-4, 5))
    planner = OptunaPlanner(space, (LOSS,), sampler=sampler)

    found = [planner.ask(History(told), [], n=1, seed=seed)[0].parameters["x"] for seed in range(3)]

    assert np.median(np.log10(found)) == pytest.approx(-2, abs=1.2)


@pytest.mark.parametrize("as_what", ["pending", "refused"])
def test_the_gaussian_process_keeps_away_from_a_point_that_is_chosen_or_was_refused(as_what):
    planner = OptunaPlanner(STEPS, (LOSS,))
    (alone,) = planner.ask(History(AROUND_333), [], n=1, seed=0)
    beside = {"x": alone.parameters["x"] + 2}  # no copy: the guard against copies lets it pass
    pending = [beside] if as_what == "pending" else []
    refused = (Refused(beside, "limit"),) if as_what == "refused" else ()

    (other,) = planner.ask(History(AROUND_333, refused), pending, n=1, seed=0)

    assert abs(other.parameters["x"] - alone.parameters["x"]) > 5


@pytest.mark.parametrize("as_what", ["pending", "refused"])
def test_the_parzen_estimator_leaves_a_region_that_is_full_of_chosen_or_refused_points(as_what):
    crowd = [{"x": x} for x in range(270, 320, 5)]
    pending = crowd if as_what == "pending" else []
    refused = tuple(Refused(point, "limit") for point in crowd) if as_what == "refused" else ()
    planner = OptunaPlanner(STEPS, (LOSS,), sampler="tpe")

    free = [planner.ask(History(AROUND_333), [], 1, seed)[0].parameters["x"] for seed in range(10)]
    crowded = [planner.ask(History(AROUND_333, refused), pending, 1, seed)[0].parameters["x"] for seed in range(10)]

    assert np.mean([265 <= x <= 320 for x in free]) > 0.5
    assert np.mean([265 <= x <= 320 for x in crowded]) < 0.2


def test_each_point_of_a_batch_is_pending_for_the_next():
    suggestions = OptunaPlanner(STEPS, (LOSS,)).ask(History(AROUND_333), [], n=4, seed=0)

    places = sorted(suggestion.parameters["x"] for suggestion in suggestions)
    assert [suggestion.origin for suggestion in suggestions] == ["planner"] * 4
    assert min(np.diff(places)) > 2


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_the_random_numbers_of_others_are_left_alone(history, sampler):
    def drawn():
        return torch.rand(1).item(), random.random(), np.random.rand()

    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    expected = drawn()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)

    OptunaPlanner(SQUARE, (LOSS,), sampler=sampler).ask(history, [], n=1, seed=0)

    assert drawn() == expected


def test_a_measurement_that_repeats_exactly_is_trusted_to_the_last_digit():
    scattered = [(x, 0.1 * (x - 7) ** 2 + (3.0 if i % 2 else -3.0)) for i, x in enumerate(np.linspace(0, 10, 14))]
    seen = History(tuple(Observed({"x": float(x)}, {"loss": float(y)}) for x, y in scattered))
    space = Space((Continuous("x", low=0, high=10),))

    (inferred,) = OptunaPlanner(space, (LOSS,)).ask(seen, [], n=1, seed=0)
    (exact,) = OptunaPlanner(space, (LOSS,), noise="none").ask(seen, [], n=1, seed=0)

    assert exact.origin == inferred.origin == "planner"
    assert exact.parameters != inferred.parameters


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_several_objectives_are_traded_off(sampler):
    near, far = Objective("near", goal="minimize"), Objective("far", goal="maximize")
    seen = [{"x": float(x), "y": float(y)} for x in (0, 3, 6, 10) for y in (0, 5, 10)]
    told = History(tuple(Observed(p, {"near": abs(p["x"] - 4) + p["y"], "far": p["x"] - p["y"]}) for p in seen))

    suggestions = OptunaPlanner(SQUARE, (near, far), sampler=sampler).ask(told, [], n=3, seed=0)

    assert [suggestion.origin for suggestion in suggestions] == ["planner"] * 3
    assert np.median([suggestion.parameters["y"] for suggestion in suggestions]) < 4


def test_linear_constraints_are_refused_at_construction_with_what_to_set():
    space = Space(SQUARE.parameters, (LinearConstraint((("x", 1.0), ("y", 2.0)), "at_most", 9.0),))

    with pytest.raises(
        PlannerError, match=r"can't plan with linear constraints \(1 x x \+ 2 x y at most 9\).*strategy to bayesian"
    ):
        OptunaPlanner(space, (LOSS,))


@pytest.mark.parametrize(
    ("options", "mend"), [({"sampler": "cma"}, 'Set it to "gp" or "tpe"'), ({"noise": 0.1}, 'Set it to "inferred" or')]
)
def test_an_option_of_the_wrong_kind_is_answered_with_what_to_set(options, mend):
    with pytest.raises(PlannerError, match=mend):
        load_planner("alchemy_async.planner.optuna:OptunaPlanner", SQUARE, (LOSS,), options)
