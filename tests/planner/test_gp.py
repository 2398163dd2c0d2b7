"""The closed-form Gaussian process beside BoTorch's, with which it is to agree."""

import numpy as np
import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.constraints import GreaterThan, Interval
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior

from alchemy_async.planner import gp

CASES = {
    "numbers": (60, 6, 0, None),
    "a category": (30, 3, 1, None),
    "two categories": (25, 4, 2, None),
    "known noise": (20, 2, 0, 0.01),
}


def observed(n, d, n_categorical, noise, seed=0):
    rng = np.random.default_rng(seed)
    categorical = np.arange(d) >= d - n_categorical
    x = rng.random((n, d))
    x[:, categorical] = rng.integers(0, 3, (n, n_categorical)) / 2
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.7 * x[:, -1] + 0.05 * rng.standard_normal(n)
    variances = None if noise is None else np.full(n, noise)
    return x, (y - y.mean()) / y.std(ddof=1), variances, categorical


def reference(x, y, variances, categorical, *, is_rough):
    """BoTorch's model of the same data, with its own prior of the lengths, and ours of the noise."""
    numbers, names = (np.flatnonzero(mask).tolist() for mask in (~categorical, categorical))
    kernel = get_covar_module_with_dim_scaled_prior(
        ard_num_dims=len(numbers), active_dims=numbers, use_rbf_kernel=not is_rough
    )
    if names:
        interval = Interval(gp.SHORTEST, gp.LONGEST, initial_value=1.0)
        other = CategoricalKernel(ard_num_dims=len(names), active_dims=names, lengthscale_constraint=interval)
        other.register_prior("prior", LogNormalPrior(0.0, 1.0), lambda m: m.lengthscale)
        kernel = kernel * other
    known = None if variances is None else torch.tensor(variances)[:, None]
    likelihood = None
    if variances is None:
        likelihood = GaussianLikelihood(
            LogNormalPrior(*gp.NOISE_PRIOR),
            noise_constraint=GreaterThan(gp.LEAST_NOISE, transform=None, initial_value=1e-3),
        )
    return SingleTaskGP(
        torch.tensor(x), torch.tensor(y)[:, None], known, likelihood, covar_module=kernel, outcome_transform=None
    )


def set_to(model, process, categorical, noise):
    """Give BoTorch's model the hyperparameters of another."""
    kernels = getattr(model.covar_module, "kernels", [model.covar_module])
    for kernel, mask in zip(kernels, (~categorical, categorical), strict=False):
        kernel.lengthscale = torch.tensor(process.kernel.lengths[mask])
    if noise is None:
        model.likelihood.noise = torch.tensor([process.variances[0]])
    model.mean_module.initialize(constant=process.mean)


def log_posterior(model):
    """Return BoTorch's log posterior density, constants included."""
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    with torch.no_grad():
        return float(mll(model(*model.train_inputs), model.train_targets)) * len(model.train_targets)


@pytest.mark.parametrize("is_rough", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_density_of_the_hyperparameters_is_the_one_that_botorch_maximises(case, is_rough):
    x, y, variances, categorical = observed(*CASES[case])
    posterior = gp.Posterior(x, y, variances, categorical)
    posterior = posterior.of_rough_functions() if is_rough else posterior
    logs = posterior.starts()[0] + 0.1 * np.random.default_rng(1).standard_normal(len(posterior.starts()[0]))
    lengths, noise = posterior.read(logs)
    model = reference(x, y, variances, categorical, is_rough=is_rough)
    set_to(model, gp.GaussianProcess(x, y, noise, gp.Kernel(lengths, categorical, is_rough)), categorical, variances)

    loss, _ = posterior.loss(logs)

    assert -loss == pytest.approx(log_posterior(model), abs=1e-5)


@pytest.mark.parametrize("is_rough", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_its_gradient_is_that_of_finite_differences(case, is_rough):
    posterior = gp.Posterior(*observed(*CASES[case]))
    posterior = posterior.of_rough_functions() if is_rough else posterior
    logs = posterior.starts()[0] + 0.1

    _, gradient = posterior.loss(logs)

    steps = 1e-5 * np.eye(len(logs))
    differences = [(posterior.loss(logs + step)[0] - posterior.loss(logs - step)[0]) / 2e-5 for step in steps]
    assert gradient == pytest.approx(np.array(differences), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
@pytest.mark.parametrize("case", CASES)
def test_the_fit_is_no_less_probable_than_that_of_botorch(case, kernel):
    x, y, variances, categorical = observed(*CASES[case])
    theirs = reference(x, y, variances, categorical, is_rough=kernel == "matern")
    fit_gpytorch_mll(ExactMarginalLogLikelihood(theirs.likelihood, theirs))

    process = gp.fit(x, y, variances, categorical, kernel)

    ours = reference(x, y, variances, categorical, is_rough=process.kernel.is_rough)
    set_to(ours, process, categorical, variances)
    assert log_posterior(ours) >= log_posterior(theirs) - 0.01


def test_a_function_with_kinks_is_taken_for_a_rough_one_and_a_polynomial_for_a_smooth_one():
    x = np.random.default_rng(0).random((40, 1))
    kinks, hill = np.abs(np.mod(5 * x[:, 0], 2) - 1), x[:, 0] * (1 - x[:, 0])

    rough, smooth = (gp.fit(x, (y - y.mean()) / y.std(), np.full(40, 1e-6), np.array([False])) for y in (kinks, hill))

    assert rough.kernel.is_rough
    assert not smooth.kernel.is_rough


def test_a_smooth_function_is_taken_for_one_only_when_its_values_say_so_strongly():
    few, some = ((x := np.linspace(0, 1, n)[:, None], np.sin(5 * x[:, 0])) for n in (6, 10))

    with_few, with_some = (
        gp.fit(x, (y - y.mean()) / y.std(), np.full(len(x), 1e-6), np.array([False])) for x, y in (few, some)
    )

    assert with_few.kernel.is_rough  # though they are four times as probable if it is smooth
    assert not with_some.kernel.is_rough


@pytest.mark.parametrize("case", CASES)
def test_its_predictions_are_those_of_botorch_with_the_same_hyperparameters(case):
    x, y, variances, categorical = observed(*CASES[case])
    process = gp.fit(x, y, variances, categorical)
    model = reference(x, y, variances, categorical, is_rough=process.kernel.is_rough)
    set_to(model, process, categorical, variances)
    elsewhere, *_ = observed(*CASES[case], seed=5)

    mean, variance = process.predict(elsewhere)
    joint_mean, covariance = process.covariance(elsewhere)

    with torch.no_grad():
        theirs = model.eval().posterior(torch.tensor(elsewhere))
    assert mean == pytest.approx(theirs.mean.numpy().ravel(), abs=1e-6)
    assert variance == pytest.approx(theirs.variance.numpy().ravel(), abs=1e-6)
    assert joint_mean == pytest.approx(mean, abs=1e-12)
    assert covariance == pytest.approx(theirs.mvn.covariance_matrix.numpy(), abs=1e-6)


def test_the_means_at_the_data_are_those_that_it_predicts_there():
    process = gp.fit(*observed(40, 3, 1, None))

    assert process.fitted() == pytest.approx(process.predict(process.x)[0], abs=1e-9)


def test_leaving_one_out_is_the_same_as_never_having_seen_it():
    x, y, variances, categorical = observed(15, 2, 0, 0.02)
    kernel = gp.Kernel(np.array([0.4, 0.6]), categorical)
    # A mean that is known: the shortcut takes it from all values.
    process = gp.GaussianProcess(x, y, variances, kernel)

    mean, variance = process.leave_one_out()

    rest = np.arange(15) != 4
    weights = np.linalg.solve(kernel(x[rest], x[rest]) + np.diag(variances[rest]), kernel(x[rest], x[4:5]))[:, 0]
    assert mean[4] == pytest.approx(process.mean + weights @ (y[rest] - process.mean), abs=1e-9)
    assert variance[4] == pytest.approx(1.02 - weights @ kernel(x[rest], x[4:5])[:, 0], abs=1e-9)


def test_a_factor_that_grew_by_rows_is_that_of_all_of_them():
    x, _, _, categorical = observed(50, 3, 1, None)
    kernel, variances = gp.Kernel(np.array([0.3, 0.5, 0.8]), categorical), np.linspace(0.01, 0.1, 50)

    grown = gp.extended(gp.covariance_factor(x[:40], variances[:40], kernel), x, variances, kernel)

    assert grown == pytest.approx(gp.covariance_factor(x, variances, kernel), abs=1e-12)


def test_what_is_no_covariance_has_no_factor_and_says_so():
    with pytest.raises(gp.NotPositiveDefiniteError, match="no Cholesky factor"):
        gp.covariance_factor(np.zeros((2, 1)), np.array([-1.0, 0.0]), gp.Kernel(np.ones(1), np.zeros(1, dtype=bool)))


def test_a_root_of_what_is_far_from_a_covariance_is_refused_rather_than_sought_for_ever():
    with pytest.raises(np.linalg.LinAlgError):
        gp.root(-10.0 * np.eye(2))
