import math

import numpy as np
import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner import gp
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.designs import design
from alchemy_async.planner.growth import Limits
from alchemy_async.planner.learning import learn
from alchemy_async.planner.strategies import STRATEGIES, Strategy
from alchemy_async.space import Categorical, Continuous, Space

SPACE = Space(
    (Continuous("a", low=0.0, high=10.0), Continuous("b", low=-1.0, high=1.0), Categorical("c", options=("x", "y")))
)
YIELD = (Objective("yield", goal="maximize"),)


def measured(point):
    return -((point["a"] - 6.0) ** 2) / 10 - (point["b"] - 0.3) ** 2 + (0.3 if point["c"] == "y" else 0.0)


def history(n=16, seed=1):
    points = design(SPACE, "sobol", n, seed)
    return History(tuple(Observed(point, {"yield": measured(point)}) for point in points))


def learnt(strategy, known=None, **options):
    known = known or history()
    return learn(
        SPACE, YIELD, known, noise={"yield": "inferred"}, learns_failures=True, seed=3, strategy=strategy, **options
    )


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("kernel", ["matern", "rbf"])
def test_the_gradient_of_every_strategy_is_that_of_its_values(name, kernel):
    known = History(history().observations, (Refused({"a": 1.0, "b": 0.9, "c": "x"}, "infeasible"),))
    acquisition = learnt(Strategy(name), known, kernel=kernel).criterion.acquisition(np.array([[0.4, 0.6, 1.0]]))
    x, step = np.random.default_rng(0).random((6, 3)), 1e-6
    x[:, 2] = np.round(x[:, 2])

    values, gradients = acquisition.with_gradient(x)

    assert np.allclose(values, acquisition(x))
    for i in (0, 1):
        up, down = x.copy(), x.copy()
        up[:, i] += step
        down[:, i] -= step
        assert np.allclose(gradients[:, i], (acquisition(up) - acquisition(down)) / (2 * step), rtol=1e-3, atol=1e-4)
    assert np.all(gradients[:, 2] == 0.0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_offers_points_apart_from_each_other_and_from_what_is_pending(name):
    planner, known = BayesianPlanner(SPACE, YIELD, strategy=name), history()
    first = [one.parameters for one in planner.ask(known, (), 3, 7)]

    second = [one.parameters for one in planner.ask(known, first, 3, 7)]

    points = [*(one.parameters for one in known.observations), *first, *second]
    for i, point in enumerate(points):
        assert not SPACE.is_copy(point, points[:i])


def test_a_bound_without_doubt_goes_where_the_mean_is_highest_and_one_with_much_doubt_elsewhere():
    known = history()

    (bold,) = BayesianPlanner(SPACE, YIELD, strategy="bound", kappa=50.0).ask(known, (), 1, 7)
    (timid,) = BayesianPlanner(SPACE, YIELD, strategy="bound", kappa=0.0).ask(known, (), 1, 7)

    assert timid.metadata["expected"]["yield"]["mean"] > bold.metadata["expected"]["yield"]["mean"]
    assert timid.metadata["expected"]["yield"]["sd"] < bold.metadata["expected"]["yield"]["sd"]
    assert measured(timid.parameters) > 0.2


def test_what_is_pending_leaves_the_bound_without_doubt_and_tells_nothing_more():
    pending = np.array([[0.9, 0.1, 0.0]])

    for name in ("bound", "variance"):
        criterion = learnt(Strategy(name)).criterion
        alone, beside = criterion.acquisition(np.empty((0, 3))), criterion.acquisition(pending)
        assert beside(pending)[0] < alone(pending)[0] - 0.1


def test_a_margin_makes_an_improvement_less_likely_and_sends_the_search_to_where_less_is_known():
    known = history()
    at = SPACE.to_unit([{"a": 6.0, "b": 0.3, "c": "y"}])

    close = learnt(Strategy("probability"), known).criterion.acquisition(np.empty((0, 3)))(at)[0]
    far = learnt(Strategy("probability", margin=0.5), known).criterion.acquisition(np.empty((0, 3)))(at)[0]
    (greedy,) = BayesianPlanner(SPACE, YIELD).ask(known, (), 1, 7)
    (wide,) = BayesianPlanner(SPACE, YIELD, margin=2.0).ask(known, (), 1, 7)

    assert far < close <= 0.0
    assert wide.metadata["expected"]["yield"]["sd"] > greedy.metadata["expected"]["yield"]["sd"]


def test_the_probability_of_an_improvement_is_that_of_the_normal_distribution():
    found = learnt(Strategy("probability"))
    (one,) = found.modelled
    exact = learnt(Strategy("probability"), kernel="rbf").criterion.acquisition(np.empty((0, 3)))
    x = np.array([[0.1, 0.9, 0.0]])

    mean, variance = one.process.predict(x)
    best = one.process.fitted().max()

    below = 0.5 * math.erfc((best - mean[0]) / math.sqrt(2.0 * variance[0]))
    assert math.exp(exact(x)[0]) == pytest.approx(below, rel=0.1)


@pytest.mark.parametrize("n", [30, 450, 700])
def test_the_kernel_is_the_one_that_is_asked_for_however_long_the_history_is(n):
    known = history(n)

    kinds = {
        kernel: learnt(Strategy(), known, kernel=kernel, bounds=Limits(exact=500, active=200)).modelled[0].process
        for kernel in ("matern", "rbf")
    }

    assert kinds["matern"].kernel.is_rough
    assert not kinds["rbf"].kernel.is_rough


def test_the_draws_of_a_rough_local_model_have_the_gradient_of_their_values():
    known = history(700)
    found = learnt(Strategy(), known, kernel="matern", bounds=Limits(exact=500, active=200))
    acquisition = found.criterion.acquisition(np.array([[0.4, 0.6, 1.0]]))
    x = np.column_stack([np.random.default_rng(1).random((5, 2)), np.ones(5)])

    _, gradients = acquisition.with_gradient(x)

    for i in (0, 1):
        step = np.zeros(3)
        step[i] = 1e-6
        numeric = (acquisition(x + step) - acquisition(x - step)) / 2e-6
        assert np.allclose(gradients[:, i], numeric, rtol=0.02, atol=0.02)


def test_a_rough_kernel_is_the_same_on_another_device():
    torch = pytest.importorskip("torch")
    from alchemy_async.planner import accelerated

    rng = np.random.default_rng(2)
    x = np.column_stack([rng.random((40, 2)), rng.integers(2, size=40)])
    kernel = gp.Kernel(np.array([0.3, 0.7, 1.1]), np.array([False, False, True]), is_rough=True)

    there = accelerated.covariance_factor(x, np.full(40, 1e-3), kernel, "cpu")

    assert isinstance(there._factor, torch.Tensor)
    assert np.allclose(there._factor.numpy(), gp.covariance_factor(x, np.full(40, 1e-3), kernel))


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"strategy": "luck"}, "improvement"),
        ({"kernel": "linear"}, "matern"),
        ({"kappa": -1.0}, "number >= 0"),
        ({"margin": float("nan")}, "number >= 0"),
        ({"margin": True}, "number >= 0"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_by_name(options, mend):
    with pytest.raises(PlannerError, match=mend):
        BayesianPlanner(SPACE, YIELD, **options)


def test_a_strategy_that_can_not_serve_says_which_one_can():
    several = (*YIELD, Objective("cost", goal="minimize"))
    values = [
        Observed(one.parameters, {**one.values, "cost": float(i)}) for i, one in enumerate(history().observations)
    ]
    target = (Objective("yield", goal="target", target=0.0),)

    with pytest.raises(PlannerError, match="strategy improvement"):
        BayesianPlanner(SPACE, several, strategy="bound").ask(History(tuple(values)), (), 1, 0)
    with pytest.raises(PlannerError, match="improvement, without a margin"):
        BayesianPlanner(SPACE, target, strategy="probability").ask(history(), (), 1, 0)


@pytest.mark.parametrize(
    "options", [{"margin": 1e300}, {"strategy": "probability", "margin": 1e300}, {"strategy": "bound", "kappa": 1e300}]
)
def test_a_wish_beyond_all_measure_is_still_answered(options):
    (found,) = BayesianPlanner(SPACE, YIELD, **options).ask(history(), (), 1, 0)

    assert math.isfinite(found.metadata["acquisition"])
