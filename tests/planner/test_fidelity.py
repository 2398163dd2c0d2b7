import json
import math
import statistics
from importlib.util import find_spec

import numpy as np
import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner import insight
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.chances import SUCCEEDS, Condition, Conditions
from alchemy_async.planner.criteria import Improvement, Modelled
from alchemy_async.planner.designs import design
from alchemy_async.planner.gains import Within
from alchemy_async.planner.gp import GaussianProcess, Kernel
from alchemy_async.planner.improvement import NoisyImprovement, may_be_best
from alchemy_async.planner.insight.fitting import fitted
from alchemy_async.planner.insight.summit import peak
from alchemy_async.planner.levels import aim_of
from alchemy_async.planner.load import load_planner
from alchemy_async.planner.training import Training, training
from alchemy_async.space import Continuous, Discrete, Fidelity, Integer, Space

X, MESH = Continuous("x"), Discrete("mesh", options=(0.0, 1.0))
FIDELITY = Fidelity.of(MESH, 1.0, [(0.0, 1.0), (1.0, 10.0)])
SPACE = Space((X, MESH), fidelity=FIDELITY)
LOSS = Objective("loss", goal="minimize")
NOTHING = np.empty((0, 2))


def true(x):
    """Forrester, Sobester & Keane (2008): least at x = 0.757249, -6.020740."""
    return (6 * x - 2) ** 2 * np.sin(12 * x - 4)


def measured(point):
    """Return the loss; on the coarse mesh half of it, and tilted."""
    value = true(point["x"])
    return float(value if point["mesh"] == 1.0 else 0.5 * value + 10 * (point["x"] - 0.5) - 5)


def history(*points):
    return History(
        tuple(Observed({"x": x, "mesh": mesh}, {"loss": measured({"x": x, "mesh": mesh})}) for x, mesh in points)
    )


def smooth(points, values, lengths=(0.3, 2.0)):
    """A model with these lengths, of these exact values."""
    x = SPACE.to_unit([{"x": x, "mesh": mesh} for x, mesh in points])
    return GaussianProcess(x, np.array(values), np.full(len(x), 1e-6), Kernel(np.array(lengths), np.zeros(2, bool)))


def test_a_cheap_result_that_looks_well_is_no_best_that_was_reached():
    aim, there = aim_of(SPACE), np.array([[0.5, 1.0]])
    process = smooth([(0.5, 0.0), (0.1, 1.0)], [2.0, -1.0], lengths=(0.3, 0.6))

    counted_wrongly = NoisyImprovement(process, NOTHING, 0)(there)
    counted = NoisyImprovement(process, NOTHING, 0, aim=aim)(there)

    assert counted > counted_wrongly + 1.0


def test_a_point_that_looks_well_cheaply_and_is_known_to_be_bad_may_not_be_the_best():
    points, values = [(0.2, 0.0), (0.2, 1.0), (0.7, 1.0), (0.95, 0.0)], [3.0, -1.0, 1.0, -2.0]
    process, aim = smooth(points, values, lengths=(0.1, 1.0)), aim_of(SPACE)
    at = SPACE.to_unit([{"x": x, "mesh": mesh} for x, mesh in points])
    data = Training(at, np.array(values), None, np.arange(4), 0.0, 1.0, -1.0)

    around = Improvement(Modelled(LOSS, data, process), Conditions(()), 0, aim=aim).around()

    assert 0 in may_be_best(process, 0)
    assert not {0, 1} & set(may_be_best(process, 0, aim=aim))
    assert around[:2, 0].tolist() != [0.2, 0.2]
    assert around[0].tolist() == [0.7, 1.0]
    assert (around[:, 1] == 1.0).all()


@pytest.mark.parametrize("name", ["heat", SUCCEEDS])
def test_that_a_condition_was_met_cheaply_does_not_say_that_it_is_met_at_the_target(name):
    process = smooth([(0.5, 0.0), (0.49, 1.0), (0.51, 1.0)], [2.0, -2.0, -2.0], lengths=(0.3, 0.5))
    conditions = Conditions([Condition(name, process, Within(0.0, np.inf))])
    ran, there = np.array([[0.5, 0.0]]), np.array([[0.5, 1.0]])

    _, met_as_run = conditions.drawn(ran, 1, 0)
    _, met_there = conditions.drawn(ran, 1, 0, at=there)
    _, met_of_one_at_the_target = conditions.drawn(there, 1, 0, at=there)

    assert met_as_run.all()
    assert not met_there.any()
    assert met_of_one_at_the_target.all() == (name == SUCCEEDS)


def test_where_all_is_run_at_the_target_the_criterion_is_that_of_a_space_without_a_fidelity():
    process = smooth([(0.1, 1.0), (0.5, 1.0), (0.8, 1.0)], [0.3, 1.0, -1.0])
    pending, probes = np.array([[0.3, 1.0]]), np.column_stack([np.linspace(0, 1, 9), np.ones(9)])

    plain = NoisyImprovement(process, pending, 0)(probes)
    with_aim = NoisyImprovement(process, pending, 0, aim=aim_of(SPACE))(probes)

    assert may_be_best(process, 0) == may_be_best(process, 0, aim=aim_of(SPACE))
    assert np.exp(with_aim) == pytest.approx(np.exp(plain), rel=1e-2, abs=1e-5)


def test_what_runs_cheaply_makes_its_neighbourhood_less_worth_at_the_target():
    aim, there = aim_of(SPACE), np.array([[0.5, 1.0]])
    process = smooth([(0.1, 1.0), (0.9, 1.0), (0.1, 0.0)], [0.5, -0.5, 0.4], lengths=(0.3, 3.0))

    free = NoisyImprovement(process, NOTHING, 0, aim=aim)(there)
    waiting = NoisyImprovement(process, np.array([[0.5, 0.0]]), 0, aim=aim)(there)

    assert waiting < free - 0.5


def test_the_gradient_at_the_target_is_that_of_the_value():
    process = smooth([(0.1, 1.0), (0.6, 0.0), (0.8, 1.0)], [0.3, 1.0, -1.0])
    acquisition = NoisyImprovement(process, np.array([[0.3, 0.0]]), 0, aim=aim_of(SPACE))
    at, step = np.array([[0.45, 1.0]]), np.array([[1e-5, 0.0]])

    _, gradient = acquisition.with_gradient(at)

    slope = (acquisition(at + step) - acquisition(at - step)) / 2e-5
    assert gradient[0, 0] == pytest.approx(slope[0], rel=1e-4)


def test_a_suggestion_says_what_is_expected_at_the_target_and_what_the_run_costs():
    told = history((0.0, 0.0), (0.2, 0.0), (0.4, 0.0), (0.6, 0.0), (0.8, 0.0), (1.0, 0.0), (0.5, 1.0))

    suggestions = BayesianPlanner(SPACE, (LOSS,)).ask(told, [], n=4, seed=1)

    for one in suggestions:
        said = json.loads(json.dumps(dict(one.metadata), allow_nan=False))
        if one.parameters["mesh"] == 1.0:
            assert said["at_target"] == said["expected"]
            assert one.reason.endswith("at mesh = 1, measured there (cost 10 of 10)")
        else:
            assert said["at_target"] != said["expected"]
            assert one.reason.endswith("at mesh = 1, asked of a run at 0 (cost 1 of 10)")
        assert f"loss {said['at_target']['loss']['mean']:.4g}" in one.reason


def test_an_ask_is_a_pure_function_with_a_fidelity_too():
    told, pending = history((0.1, 0.0), (0.4, 0.0), (0.7, 1.0), (0.9, 0.0)), [{"x": 0.55, "mesh": 0.0}]

    first, again = (BayesianPlanner(SPACE, (LOSS,)).ask(told, pending, n=3, seed=2) for _ in range(2))

    assert first == again


def test_it_never_proposes_a_copy_and_ends_when_every_point_was_run_at_the_target():
    space = Space((Integer("x", low=0, high=5), MESH), fidelity=FIDELITY)
    seen = [Observed(p, {"loss": float((p["x"] - 3) ** 2 + p["mesh"])}) for p in design(space, "sobol", 4, seed=0)]
    planner = BayesianPlanner(space, (LOSS,))

    for _ in range(20):
        found = planner.ask(History(tuple(seen)), [], n=1, seed=0)
        if not found:
            break
        point = found[0].parameters
        assert not space.is_copy(point, [one.parameters for one in seen])
        seen.append(Observed(point, {"loss": float((point["x"] - 3) ** 2 + point["mesh"])}))

    assert not found
    assert {one.parameters["x"] for one in seen if one.parameters["mesh"] == 1.0} == set(range(6))


def test_limits_and_failures_are_judged_at_the_target():
    limit = Objective("heat", goal="limit", at_most=1.0)
    points = [{"x": x, "mesh": mesh} for x in np.linspace(0, 1, 6) for mesh in (0.0, 1.0)]
    seen = [Observed(p, {"loss": -p["x"], "heat": 2 * p["x"] * p["mesh"]}) for p in points]  # only the true one is hot
    told = History(tuple(seen), (Refused({"x": 0.05, "mesh": 1.0}, "blocked"),))

    found = BayesianPlanner(SPACE, (LOSS, limit)).ask(told, [], n=3, seed=0)

    assert all(0.2 < one.parameters["x"] < 0.6 for one in found)


@pytest.mark.parametrize(("goal", "options"), [
    ("target", {}), ("minimize", {"strategy": "bound"}), ("minimize", {"strategy": "probability"}),
    ("minimize", {"strategy": "variance"}),
])  # fmt: skip
def test_every_goal_and_strategy_of_one_objective_plans_with_a_fidelity(goal, options):
    objective = Objective("loss", goal=goal, target=-2.0 if goal == "target" else None)
    told = history((0.0, 0.0), (0.3, 0.0), (0.55, 0.0), (0.8, 1.0), (1.0, 0.0))

    found = BayesianPlanner(SPACE, (objective,), **options).ask(told, [], n=2, seed=0)

    assert [one.origin for one in found] == ["planner"] * 2


def test_several_objectives_are_refused():
    with pytest.raises(PlannerError, match="Take `fidelity` out of it, or give all objectives but one the goal limit"):
        BayesianPlanner(SPACE, (LOSS, Objective("cost", goal="minimize")))


@pytest.mark.parametrize("strategy", ["ax", "optuna"])
def test_what_knows_no_fidelity_refuses_it(strategy):
    if find_spec(strategy) is None:
        pytest.skip(f"needs pip install 'alchemy-async[{strategy}]'")

    with pytest.raises(PlannerError, match="can't plan with the fidelity of the parameter 'mesh'"):
        load_planner(strategy, SPACE, (LOSS,), {})


@pytest.mark.parametrize("strategy", ["sobol", "random"])
def test_space_filling_planners_run_cheap_levels_oftener(strategy):
    planner, told = load_planner(strategy, SPACE, (LOSS,), {}), []

    for _ in range(22):
        told += [one.parameters for one in planner.ask(History(), told, n=1, seed=4)]

    assert told[0]["mesh"] == 1.0
    assert 17 <= sum(point["mesh"] == 0.0 for point in told) <= 20


def test_what_is_recommended_is_a_point_at_the_target_whatever_looks_better_elsewhere():
    told = history((0.0, 0.0), (0.2, 0.0), (0.4, 1.0), (0.6, 1.0), (0.8, 0.0), (1.0, 1.0), (0.9, 1.0))

    found = insight.learn(SPACE, (LOSS,), told, names=[f"e{k}" for k in range(7)])

    assert found.recommended.parameters["mesh"] == 1.0
    assert found.recommended.experiment in ("", "e2", "e3", "e5", "e6")
    assert not any(notice.parameter == "mesh" for notice in found.notices)


def test_before_anything_was_run_at_the_target_a_point_is_recommended_that_nobody_measured():
    told = history((0.0, 0.0), (0.2, 0.0), (0.4, 0.0), (0.6, 0.0), (0.8, 0.0), (1.0, 0.0))

    found = insight.learn(SPACE, (LOSS,), told, names=[f"e{k}" for k in range(6)]).recommended

    assert (found.experiment, found.measured, found.parameters["mesh"]) == ("", None, 1.0)


def test_the_peak_of_a_model_is_a_point_at_the_target():
    told = history((0.0, 0.0), (0.2, 0.0), (0.4, 1.0), (0.6, 1.0), (0.8, 0.0), (1.0, 1.0), (0.9, 1.0))
    data = training(SPACE, LOSS, told)

    point, _ = peak(SPACE, [fitted(SPACE, LOSS, data, "inferred")], told.observations)

    assert point["mesh"] == 1.0


def test_that_nothing_better_came_is_told_of_results_at_the_target():
    flat = [({"x": float(x), "mesh": 1.0}, abs(x - 0.02)) for x in np.linspace(0, 1, 24)]
    cheap = [({"x": float(x), "mesh": 0.0}, -5.0 - k) for k, x in enumerate(np.linspace(0.05, 0.95, 24))]
    told = History(tuple(Observed(point, {"loss": float(value)}) for point, value in [*flat, *cheap]))

    notices = insight.learn(SPACE, (LOSS,), told).notices

    assert any("stalled" in notice.kind and "0.02" in notice.message for notice in notices)


X0, X1 = Continuous("x0", low=-5, high=10), Continuous("x1", low=0, high=15)
PLANE = Space((X0, X1, MESH), fidelity=FIDELITY)


def augmented_branin(point):
    """Wu, Toscano-Palmerin, Frazier & Wilson (2019), UAI: Branin's function where the mesh is 1, a bent one else."""
    x, y = point["x0"], point["x1"]
    bend = 5.1 / (4 * math.pi**2) - 0.1 * (1 - point["mesh"])
    return (y - bend * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def regret_of(space, seed, budget):
    """Return how far from the optimum the best result at the target is, after so much was spent."""
    seen, spent, best = [], 0.0, np.inf
    opening = design(space, "sobol", 12 if space.fidelity else 6, seed)
    planner = BayesianPlanner(space, (LOSS,), noise="none")
    while True:
        asked = opening or planner.ask(History(tuple(seen)), [], n=1, seed=seed)
        point = opening.pop(0) if opening else asked[0].parameters
        if spent + FIDELITY.cost(point["mesh"]) > budget:
            return best - 0.397887
        spent += FIDELITY.cost(point["mesh"])
        value = augmented_branin(point)
        seen.append(Observed(point, {"loss": value}))
        best = min(best, value) if FIDELITY.counts(point) else best


@pytest.mark.slow
def test_for_the_same_cost_cheap_runs_bring_a_better_answer_at_the_target():
    dear_alone = Space((X0, X1, PLANE.at_target.parameters[2]))

    ratios = [regret_of(PLANE, seed, budget=150) / regret_of(dear_alone, seed, budget=150) for seed in range(8)]

    assert statistics.fmean(map(math.log10, ratios)) < -0.6  # seen: -1.2
