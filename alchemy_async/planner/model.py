"""The model: a Gaussian process over the unit cube. Loads torch.

In:    training data, and how noisy they are.
Out:   a fitted model; one with its prior's hyperparameters where fitting fails.
Never: sees a unit, a goal or a pending point.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from botorch.exceptions.errors import BotorchError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.utils.gpytorch_modules import (
    get_covar_module_with_dim_scaled_prior,
    get_gaussian_likelihood_with_lognormal_prior,
)
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.errors import NotPSDError
from numpy.typing import NDArray

from alchemy_async.space import Array

NUMERICAL_ERRORS = (BotorchError, NotPSDError, RuntimeError, ValueError, FloatingPointError)

Mask = NDArray[np.bool_]

_LEAST_VARIANCE = 1e-6  # of the standardised values: what a Cholesky factor needs on its diagonal
_NOISE_FLOOR = 1e-3  # the least inferred variance of a second fit, where the first one failed


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed every random choice inside, and leave the generators outside as they were."""
    before = random.getstate()
    random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before)


@contextmanager
def hushed() -> Iterator[None]:
    """Keep the libraries' warnings from the log: what they warn of is answered here, or does no harm."""
    with warnings.catch_warnings(record=True):  # recorded, because botorch turns its own on again inside
        warnings.simplefilter("ignore")
        yield


def tensor(array: Array) -> torch.Tensor:
    """Return an array as a tensor of doubles."""
    return torch.tensor(array, dtype=torch.float64)


def fit(x: Array, y: Array, variances: Array | None, categorical: Mask) -> SingleTaskGP:
    """Fit a Gaussian process.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        y: Standardised values, larger is better, shape ``(n,)``.
        variances: Known noise variance of each value, shape ``(n,)``; None: one variance is inferred.
        categorical: Which coordinates are categorical, shape ``(d,)``.

    Returns:
        A model in evaluation mode.

    Source:
        Hvarfner, Hellsten & Nardi (2024), ICML: priors scaled by the dimension.
    """
    attempts = [(variances, 1e-4), (None, _NOISE_FLOOR)]
    for known, floor in attempts:
        model = _prior(x, y, known, floor, categorical)
        try:
            with hushed():
                fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        except NUMERICAL_ERRORS:
            continue
        return model.eval()
    return _prior(x, y, None, _NOISE_FLOOR, categorical).eval()


def _prior(x: Array, y: Array, variances: Array | None, floor: float, categorical: Mask) -> SingleTaskGP:
    likelihood = None
    if variances is None:
        likelihood = get_gaussian_likelihood_with_lognormal_prior()
        likelihood.noise_covar.register_constraint(
            "raw_noise", GreaterThan(floor, transform=None, initial_value=max(floor, 2.5e-3))
        )
    with hushed():  # coordinates as run may lie outside the cube
        return SingleTaskGP(
            tensor(x),
            tensor(y).unsqueeze(-1),
            None if variances is None else tensor(variances).clamp_min(_LEAST_VARIANCE).unsqueeze(-1),
            likelihood=likelihood,
            covar_module=_kernel(categorical),
            outcome_transform=None,
        )


def _kernel(categorical: Mask) -> Kernel:
    """Return a kernel of distance over the ordinal coordinates, times one of difference over the others."""
    ordinal = [i for i, is_category in enumerate(categorical) if not is_category]
    names = [i for i, is_category in enumerate(categorical) if is_category]
    distance = (
        get_covar_module_with_dim_scaled_prior(ard_num_dims=len(ordinal), active_dims=ordinal) if ordinal else None
    )
    if not names:
        return distance
    prior = LogNormalPrior(0.0, 1.0)
    difference = CategoricalKernel(
        ard_num_dims=len(names),
        active_dims=names,
        lengthscale_prior=prior,
        lengthscale_constraint=GreaterThan(2.5e-2, transform=None, initial_value=prior.mode),
    )
    return difference if distance is None else distance * difference
