import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.sampling import SobolQMCNormalSampler

from alchemy_async.planner import gp
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.improvement import NoisyImprovement, may_be_best

NUMBERS = np.zeros(2, dtype=bool)
PENDING = np.array([[0.35, 0.55], [0.8, 0.1]])


@pytest.fixture(scope="module")
def process():
    rng = np.random.default_rng(0)
    x = rng.random((14, 2))
    y = np.sin(5 * x[:, 0]) + np.cos(4 * x[:, 1]) + 0.1 * rng.standard_normal(14)
    kernel = gp.Kernel(np.array([0.35, 0.5]), NUMBERS)
    return gp.GaussianProcess(x, (y - y.mean()) / y.std(ddof=1), np.full(14, 0.02), kernel)


def joint_draws(process, points, n=200_000):
    mean, covariance = process.covariance(points)
    draws = np.random.default_rng(1).standard_normal((n, len(points)))
    return mean + draws @ gp.root(covariance).T


@pytest.mark.parametrize("pending", [PENDING[:0], PENDING], ids=["nothing pending", "two pending"])
def test_it_is_the_improvement_over_all_observed_and_pending_that_joint_draws_show(process, pending):
    at = np.random.default_rng(2).random((6, 2))
    known = np.vstack([process.x, pending])
    draws = joint_draws(process, np.vstack([known, at]))
    gains = np.maximum(draws[:, len(known) :] - draws[:, : len(known)].max(axis=1)[:, None], 0.0).mean(axis=0)

    values = np.mean([np.exp(NoisyImprovement(process, pending, seed)(at)) for seed in range(60)], axis=0)

    assert values == pytest.approx(gains, rel=0.15, abs=1e-5)


def test_it_ranks_points_as_botorch_does_with_many_samples(process):
    at = np.random.default_rng(3).random((60, 2))
    model = SingleTaskGP(
        torch.tensor(process.x),
        torch.tensor(process.y)[:, None],
        torch.tensor(process.variances)[:, None],
        outcome_transform=None,
    ).eval()
    model.covar_module.lengthscale = torch.tensor(process.kernel.lengths)
    model.mean_module.initialize(constant=process.mean)
    theirs = qLogNoisyExpectedImprovement(
        model,
        X_baseline=torch.tensor(process.x),
        X_pending=torch.tensor(PENDING),
        sampler=SobolQMCNormalSampler(torch.Size([1024]), seed=0),
        prune_baseline=False,
        fat=False,
        tau_max=1e-4,
        tau_relu=1e-6,
    )

    values = NoisyImprovement(process, PENDING, seed=0)(at)

    # What is chosen together with what is pending is worth their joint improvement over the observed.
    with torch.no_grad():
        alone = float(theirs.forward(torch.tensor(PENDING)[:1]).exp())
        gains = theirs(torch.tensor(at)[:, None]).exp().numpy() - alone
    high = gains > 0.1 * gains.max()
    assert np.argmax(values) == np.argmax(gains)
    assert np.exp(values[high]) == pytest.approx(gains[high], rel=0.25)


def test_its_gradient_is_that_of_finite_differences(process):
    acquisition = NoisyImprovement(process, PENDING, seed=0)
    at = np.random.default_rng(4).random((9, 2))

    value, gradient = acquisition.with_gradient(at)

    steps = 1e-5 * np.eye(2)
    slopes = np.column_stack([(acquisition(at + step) - acquisition(at - step)) / 2e-5 for step in steps])
    assert value == pytest.approx(acquisition(at), abs=1e-9)
    assert gradient == pytest.approx(slopes, rel=1e-4, abs=1e-4)


def test_a_pending_point_is_worth_nothing_and_its_neighbourhood_less(process):
    best = np.array([[0.35, 0.55]])
    free = NoisyImprovement(process, PENDING[:0], seed=0)
    waiting = NoisyImprovement(process, best, seed=0)

    assert waiting(best)[0] < free(best)[0] - 5.0
    assert waiting(best + 0.02)[0] < free(best + 0.02)[0]


def test_the_points_that_may_be_best_are_those_that_joint_draws_find_to_be(process):
    winners = np.bincount(joint_draws(process, process.x).argmax(axis=1), minlength=len(process.x)) / 200_000

    rows = may_be_best(process, seed=0)

    assert set(np.flatnonzero(winners > 0.02)) <= set(rows)
    assert winners[rows].sum() > 0.97


def test_of_many_points_those_with_the_highest_hopes_are_tried():
    x = np.random.default_rng(7).random((600, 2))
    many = gp.GaussianProcess(x, -np.sum((x - 0.4) ** 2, axis=1), np.full(600, 1e-3), gp.Kernel(np.ones(2), NUMBERS))

    rows = may_be_best(many, seed=0)

    assert np.linalg.norm(x[rows] - 0.4, axis=1).max() < 0.2


def test_drawn_values_have_the_posterior_mean_and_covariance(process):
    drawn = DrawnProcess(process, PENDING, np.random.default_rng(5).standard_normal((2, 50_000)))

    mean, covariance = process.covariance(PENDING)
    assert drawn.values.mean(axis=1) == pytest.approx(mean, abs=0.02)
    assert np.cov(drawn.values) == pytest.approx(covariance, abs=0.02)


def test_given_one_draw_it_is_the_process_that_has_seen_the_drawn_values(process):
    drawn = DrawnProcess(process, PENDING, np.array([[0.3], [-1.2]]))
    at = np.random.default_rng(6).random((5, 2))

    moments = drawn.moments(at)

    x, variances = np.vstack([process.x, PENDING]), np.append(process.variances, [1e-8, 1e-8])
    seen = gp.GaussianProcess(x, np.append(process.y, drawn.values[:, 0]), variances, process.kernel)
    known = process.mean + gp.solve(
        seen.factor, gp.solve(seen.factor, (seen.y - process.mean)[:, None]), transposed=True
    )[:, 0] @ process.kernel(x, at)
    assert moments.mean[:, 0] == pytest.approx(known, abs=1e-4)
    assert moments.sd**2 == pytest.approx(seen.predict(at)[1], abs=1e-5)


def test_without_further_points_it_is_the_process_itself(process):
    drawn = DrawnProcess(process, np.empty((0, 2)), np.empty((0, 3)))
    at = np.random.default_rng(6).random((5, 2))

    moments = drawn.moments(at)

    mean, variance = process.predict(at)
    assert moments.mean == pytest.approx(np.tile(mean[:, None], 3))
    assert moments.sd**2 == pytest.approx(variance)
