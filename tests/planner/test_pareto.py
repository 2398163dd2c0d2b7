from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.monte_carlo import qNoisyExpectedHypervolumeImprovement
from botorch.models import ModelListGP, SingleTaskGP
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from botorch.utils.multi_objective.hypervolume import Hypervolume as BoTorchHypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from botorch.utils.testing import MockModel, MockPosterior
from gpytorch.kernels import RBFKernel

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner import hypervolume, pareto
from alchemy_async.planner.boxes import SKY, Boxes, boxes, non_dominated
from alchemy_async.planner.chances import Condition, Conditions
from alchemy_async.planner.criteria import Modelled
from alchemy_async.planner.designs import design
from alchemy_async.planner.expected import N_DRAWS
from alchemy_async.planner.gains import Within
from alchemy_async.planner.gp import GaussianProcess, Kernel
from alchemy_async.planner.hypervolume import HypervolumeImprovement
from alchemy_async.planner.pareto import Hypervolume, apart
from alchemy_async.planner.training import training
from alchemy_async.space import Continuous, Space

SQUARE = Space((Continuous("a", low=0.0, high=1.0), Continuous("b", low=0.0, high=1.0)))
NUMBERS = np.zeros(2, dtype=bool)
N_SAMPLES = 256
WANTED = {
    "near": Objective("near", goal="minimize"),
    "far": Objective("far", goal="minimize", unit="h"),
    "third": Objective("third", goal="maximize"),
}


def values_at(point):
    a, b = point["a"], point["b"]
    return {
        "near": (a - 0.2) ** 2 + (b - 0.5) ** 2,
        "far": 40.0 + 10.0 * ((a - 0.8) ** 2 + (b - 0.5) ** 2),
        "third": a * b - 3.0 * (b - 0.1) ** 2,
    }


def modelled(objectives, n=10, noise=1e-3, points=None):
    points = design(SQUARE, "sobol", n, seed=1) if points is None else points
    history = History(tuple(Observed(point, values_at(point)) for point in points))
    found = []
    for objective in objectives:
        data = training(SQUARE, objective, history)
        kernel = Kernel(np.array([0.5, 0.7]), NUMBERS)
        found.append(Modelled(objective, data, GaussianProcess(data.x, data.y, np.full(len(data.y), noise), kernel)))
    return found


def sphere(shape, seed=0):
    points = np.abs(np.random.default_rng(seed).standard_normal(shape))
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def differences(function, x, step=1e-6):
    """Return the gradient of a function at each point by differences."""
    steps = step * np.eye(x.shape[1])
    return np.column_stack([(function(x + one) - function(x - one)) / (2.0 * step) for one in steps])


# -- boxes -------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3, 4])
def test_boxes_fill_exactly_what_no_point_dominates_each_place_once(m):
    values = sphere((5, 12, m))
    reference = np.full(m, 0.1)
    places = 0.1 + 1.1 * np.random.default_rng(1).random((200, m))

    cut = boxes(values, reference)

    for draw in range(5):
        of_draw = cut.draw == draw
        is_in = np.all((places[:, None] >= cut.lower[of_draw]) & (places[:, None] < cut.upper[of_draw]), axis=2)
        is_dominated = np.any(np.all(values[draw] > places[:, None], axis=2), axis=1)
        assert (is_in.sum(axis=1) == np.where(is_dominated, 0, 1)).all()
        volume = np.prod(np.minimum(cut.upper[of_draw], 2.0) - cut.lower[of_draw], axis=1).sum()
        covered = BoTorchHypervolume(torch.tensor(reference)).compute(torch.tensor(values[draw]))
        assert 1.9**m - volume == pytest.approx(covered, abs=1e-9)


@pytest.mark.parametrize(("m", "n_boxes"), [(2, 26), (3, 51)])
def test_there_are_no_more_boxes_than_there_must_be(m, n_boxes):
    cut = boxes(sphere((3, 25, m)), np.zeros(m))

    assert np.bincount(cut.draw).tolist() == [n_boxes] * 3


def test_without_a_point_better_than_the_reference_all_beyond_it_is_one_box():
    values = np.array([[[2.0, -1.0], [-np.inf, -np.inf]], [[1.0, 1.0], [0.5, 0.5]]])

    cut = boxes(values, np.zeros(2))

    assert cut.draw.tolist() == [0, 1, 1]
    assert cut.lower[0].tolist() == [0.0, 0.0]
    assert cut.upper[0].tolist() == [SKY, SKY]


@pytest.mark.parametrize("m", [2, 3, 4])
def test_ties_are_dominated_as_botorch_says_and_of_equal_points_one_is_kept(m):
    values = np.random.default_rng(m).integers(0, 3, size=(20, 15, m)).astype(float)

    found = non_dominated(values)

    for one, kept in zip(values, found, strict=True):
        expected = {tuple(row) for row in one[is_non_dominated(torch.tensor(one)).numpy()]}
        assert sorted(map(tuple, one[kept])) == sorted(expected)


# -- expected hypervolume improvement ----------------------------------------


class Known:
    """A process whose moments are given, whatever the points."""

    def __init__(self, mean, sd):
        self.mean, self.sd = mean, sd

    def moments(self, _):
        return SimpleNamespace(mean=self.mean, sd=self.sd)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_with_a_known_front_it_is_botorchs_analytic_value(m):
    rng = np.random.default_rng(3)
    front, reference = sphere((8, m)), np.zeros(m)
    mean, sd = rng.normal(0.5, 0.4, size=(30, m)), rng.uniform(0.05, 1.0, size=(30, m))
    goals = [hypervolume.Goal(Known(mean[:, j : j + 1], sd[:, j]), None) for j in range(m)]

    values = HypervolumeImprovement(goals, boxes(front[None], reference))(np.zeros((30, 2)))

    tensors = torch.tensor(mean)[:, None], torch.tensor(sd**2)[:, None]
    partitioning = FastNondominatedPartitioning(torch.zeros(m, dtype=torch.float64), torch.tensor(front))
    expected = ExpectedHypervolumeImprovement(
        MockModel(MockPosterior(mean=tensors[0], variance=tensors[1])), [0.0] * m, partitioning
    )(torch.zeros(30, 1, 2, dtype=torch.float64))
    assert np.exp(values) == pytest.approx(expected.numpy(), rel=1e-6, abs=1e-12)


def as_botorch(one):
    """Return BoTorch's model with the very hyperparameters of ours."""
    kernel = RBFKernel(ard_num_dims=2)
    kernel.lengthscale = torch.tensor(one.process.kernel.lengths)
    inputs, outputs = torch.tensor(one.process.x), torch.tensor(one.process.y)[:, None]
    noise = torch.tensor(one.process.variances)[:, None]
    model = SingleTaskGP(inputs, outputs, noise, covar_module=kernel.double(), outcome_transform=None)
    model.mean_module.initialize(constant=one.process.mean)
    return model.eval()


@pytest.mark.filterwarnings("ignore:qNoisyExpectedHypervolumeImprovement has known numerical issues")
def test_it_is_botorchs_noisy_value_given_what_is_pending(monkeypatch):
    monkeypatch.setattr(pareto, "_MOST_DRAWS", N_DRAWS)
    found = modelled([WANTED["near"], WANTED["far"]], n=6, noise=0.02)
    criterion = Hypervolume(found, seed=0)
    pending = np.array([[0.5, 0.45], [0.1, 0.9]])
    x = np.random.default_rng(0).random((12, 2))

    values = np.exp(criterion.acquisition(pending)(x))

    theirs = qNoisyExpectedHypervolumeImprovement(
        ModelListGP(*map(as_botorch, found)),
        criterion.reference.tolist(),
        torch.tensor(found[0].process.x),
        sampler=SobolQMCNormalSampler(torch.Size([N_SAMPLES]), seed=0),
        X_pending=torch.tensor(pending),
        prune_baseline=False,
    )
    with torch.no_grad():
        expected = theirs(torch.tensor(x)[:, None]).numpy()
    assert values == pytest.approx(expected, rel=0.15, abs=0.03 * expected.max())  # both draw at random


@pytest.mark.parametrize("names", [("near", "far"), ("near", "far", "third")])
@pytest.mark.parametrize("least", [hypervolume._LEAST, 1e300], ids=["near", "far from any improvement"])
def test_the_gradient_is_the_derivative(names, least, monkeypatch):
    monkeypatch.setattr(hypervolume, "_LEAST", least)
    acquisition = Hypervolume(modelled([WANTED[name] for name in names]), seed=0).acquisition(np.array([[0.4, 0.6]]))
    x = np.random.default_rng(1).random((7, 2))

    values, gradient = acquisition.with_gradient(x)

    assert values == pytest.approx(acquisition(x))
    assert gradient == pytest.approx(differences(acquisition, x), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("least", [hypervolume._LEAST, 1e300], ids=["near", "far from any improvement"])
def test_a_target_is_one_objective_among_others_with_a_gradient_too(least, monkeypatch):
    monkeypatch.setattr(hypervolume, "_LEAST", least)
    nearer = Objective("third", goal="target", target=-0.2)
    acquisition = Hypervolume(modelled([WANTED["near"], nearer]), seed=0).acquisition(np.array([[0.4, 0.6]]))
    x = np.random.default_rng(2).random((7, 2))

    _, gradient = acquisition.with_gradient(x)

    assert gradient == pytest.approx(differences(acquisition, x), rel=1e-4, abs=1e-4)


def test_what_a_target_is_worth_agrees_with_drawing_it():
    rng = np.random.default_rng(5)
    mean, sd = np.array([[0.3, -0.4], [1.5, 0.2]]), np.array([[0.5, 0.3], [0.2, 0.4]])
    front, reference = np.array([[-0.5, 0.1], [-0.1, -0.6]]), np.array([-1.0, -1.0])
    goals = [
        hypervolume.Goal(Known(mean[:, :1], sd[:, 0]), 0.7),
        hypervolume.Goal(Known(mean[:, 1:], sd[:, 1]), None),
    ]

    values = np.exp(HypervolumeImprovement(goals, boxes(front[None], reference))(np.zeros((2, 2))))

    drawn = mean + sd * rng.standard_normal((200_000, 2, 2))
    drawn[:, :, 0] = -np.abs(drawn[:, :, 0] - 0.7)
    cut: Boxes = boxes(front[None], reference)
    sides = np.clip(drawn[:, :, None], cut.lower, cut.upper) - cut.lower
    assert values == pytest.approx(np.prod(sides, axis=3).sum(axis=2).mean(axis=0), rel=0.02)


def test_far_from_any_improvement_it_says_by_how_much_and_does_not_break_off():
    mean, sd = np.linspace(-60.0, -20.0, 400)[:, None], np.full(400, 1.0)
    goals = [hypervolume.Goal(Known(mean, sd), None) for _ in range(2)]

    values = HypervolumeImprovement(goals, boxes(np.array([[[0.5, 0.5]]]), np.zeros(2)))(np.zeros((400, 2)))

    assert np.isfinite(values).all()
    assert (np.diff(values) > 0.0).all()
    assert values[0] == pytest.approx(-(60.0**2 + 0.5 * 30.0), rel=0.05)


def test_many_points_take_no_more_memory_at_once_and_are_worth_what_each_is_alone(monkeypatch):
    acquisition = Hypervolume(modelled([WANTED["near"], WANTED["far"]]), seed=0).acquisition(np.empty((0, 2)))
    x = np.random.default_rng(1).random((50, 2))
    monkeypatch.setattr(acquisition, "_block", 7)

    values = acquisition(x)

    assert values == pytest.approx([acquisition(row[None])[0] for row in x])
    assert acquisition.with_gradient(x)[0] == pytest.approx(values)


# -- the criterion -----------------------------------------------------------


def test_a_pending_point_and_its_neighbourhood_are_worth_less():
    criterion = Hypervolume(modelled([WANTED["near"], WANTED["far"]]), seed=0)
    x = np.random.default_rng(0).random((200, 2))
    alone = criterion.acquisition(np.empty((0, 2)))(x)
    best = x[[np.argmax(alone)]]

    given = criterion.acquisition(best)

    assert given(best)[0] < alone.max() - 5.0
    assert given(best + 0.01)[0] < alone.max() - 1.0


def test_the_same_seed_brings_the_same_values_in_whatever_order_data_and_pending_points_come():
    points, pending = design(SQUARE, "sobol", 9, seed=4), np.array([[0.5, 0.5], [0.2, 0.1]])
    objectives = [WANTED["near"], WANTED["far"]]
    x = np.random.default_rng(0).random((5, 2))

    forth = Hypervolume(modelled(objectives, points=points), seed=3).acquisition(pending)(x)
    back = Hypervolume(modelled(objectives, points=points[::-1]), seed=3).acquisition(pending)(x)

    assert (forth == back).all()


def test_the_reference_lies_a_tenth_of_the_range_below_the_worst_that_the_models_say():
    found = modelled([WANTED["near"], WANTED["far"], WANTED["third"]], n=12, noise=0.05)

    reference = Hypervolume(found, seed=0).reference

    means = np.column_stack([one.process.fitted() for one in found])
    assert reference == pytest.approx(means.min(axis=0) - 0.1 * np.ptp(means, axis=0))


def test_a_reference_that_is_given_is_used_in_its_unit():
    far = Objective("far", goal="minimize", reference=42.0)
    found = modelled([WANTED["near"], far])

    reference = Hypervolume(found, seed=0).reference

    assert found[1].data.to_units(reference[1], 0.0)[0] == pytest.approx(42.0)
    assert reference[0] == Hypervolume(modelled([WANTED["near"], WANTED["far"]]), seed=0).reference[0]


def test_where_the_reference_leaves_nothing_the_way_there_is_still_shown():
    hard = [Objective("near", reference=1e-4), Objective("far", reference=40.0 + 1e-3)]
    criterion = Hypervolume(modelled(hard, n=6), seed=0)

    values, gradient = criterion.acquisition(np.empty((0, 2))).with_gradient(np.array([[0.4, 0.4], [0.9, 0.1]]))

    assert np.isfinite(values).all()
    assert np.abs(gradient).max() > 0.0


def test_data_of_one_objective_may_lack_points_that_another_has():
    whole = modelled([WANTED["near"]], n=10)
    part = modelled([WANTED["far"]], points=design(SQUARE, "sobol", 10, seed=1)[:6])
    criterion = Hypervolume([*whole, *part], seed=0)

    values = criterion.acquisition(np.empty((0, 2)))(np.random.default_rng(0).random((20, 2)))

    assert np.isfinite(values).all()
    assert set(criterion.predict(np.array([[0.5, 0.5]]))[0]) == {"near", "far"}


def test_a_point_that_hardly_meets_the_conditions_is_neither_on_the_front_nor_worth_looking_at():
    found = modelled([WANTED["near"], WANTED["far"]], n=16)
    third = modelled([WANTED["third"]], n=16)[0].process
    wanted = Conditions([Condition("third", third, Within(0.5, np.inf))])
    free, bound = Hypervolume(found, seed=0), Hypervolume(found, seed=0, conditions=wanted)
    x = np.random.default_rng(0).random((300, 2))
    chance = wanted.log_chance(x)

    gap = bound.acquisition(np.empty((0, 2)))(x) - free.acquisition(np.empty((0, 2)))(x)

    assert np.median(gap[chance < -5.0]) < -3.0
    assert (wanted.log_chance(bound.around()) > -0.7).all()
    gradient = bound.acquisition(np.array([[0.5, 0.5]])).with_gradient(x[:5])[1]
    assert gradient == pytest.approx(differences(bound.acquisition(np.array([[0.5, 0.5]])), x[:5]), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("is_pending", [False, True], ids=["observed", "pending"])
def test_a_point_that_breaks_the_conditions_does_not_bar_one_that_is_worse_but_meets_them(is_pending):
    good, near_by = np.array([[0.5, 0.5]]), np.array([[0.5, 0.75]])
    points = [{"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, {"a": 0.9, "b": 0.0}]
    found = modelled([WANTED["near"], WANTED["far"]], points=points[1:] if is_pending else points)
    kernel = Kernel(np.array([9.0, 0.1]), NUMBERS)
    known = GaussianProcess(np.array([[0.5, 0.5], [0.5, 0.8]]), np.array([-1.0, 1.0]), np.full(2, 1e-4), kernel)
    wanted = Conditions([Condition("third", known, Within(0.0, np.inf))])
    pending = good if is_pending else np.empty((0, 2))

    bound = Hypervolume(found, seed=0, conditions=wanted).acquisition(pending)(near_by)[0]
    free = Hypervolume(found, seed=0).acquisition(pending)(near_by)[0]

    assert bound > free + 0.05


def test_a_long_front_is_thinned_to_points_that_lie_apart_its_ends_among_them():
    t = np.linspace(0.0, 1.0, 500)
    values = np.column_stack([t, 1.0 - t**2])

    kept = np.sort(apart(values, 20))

    assert len(set(kept)) == 20
    assert {0, 499} <= set(kept)
    assert np.diff(kept).max() <= 60


def test_there_are_fewer_draws_where_there_are_many_boxes(monkeypatch):
    objectives = [WANTED["near"], WANTED["far"], WANTED["third"]]
    monkeypatch.setattr(pareto, "_MOST_BOXES", 300)

    acquisition = Hypervolume(modelled(objectives, n=40), seed=0).acquisition(np.empty((0, 2)))

    assert acquisition._n_draws < pareto._MOST_DRAWS
