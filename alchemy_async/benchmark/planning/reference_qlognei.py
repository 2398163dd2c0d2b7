"""The reference: plain BoTorch, as its tutorials have it; a planner. Loads torch.

In:    space and objective; history, pending points, n and a seed at each ask.
Out:   points at which log noisy expected improvement is largest, given what is pending.
Never: gains from anything of this package's own planner: it is what that one is measured against.

Every ask fits a model from cold by the marginal likelihood with BoTorch's priors, and searches from 10 of
256 starts: once for each combination of categories, and with numbers between those allowed rounded afterwards.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.transforms.outcome import Standardize
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from botorch.optim.optimize import optimize_acqf, optimize_acqf_mixed
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Suggestion
from alchemy_async.space import Array, Categorical, Continuous, Discrete, Integer, Point, Space

RESTARTS, RAW_SAMPLES, MC_SAMPLES = 10, 256, 512
_EXACT_VARIANCE = 1e-6  # of standardised values: what a Cholesky factor needs


class ReferencePlanner:
    """qLogNEI with ``X_pending``.

    Args:
        space: A space without constraints.
        objectives: Exactly one.
        is_exact: Whether a measurement repeats exactly; else one noise variance is inferred.

    Raises:
        PlannerError: If there are several objectives, or constraints.
    """

    def __init__(self, space: Space, objectives: tuple[Objective, ...], *, is_exact: bool = False) -> None:
        if len(objectives) != 1 or space.constraints:
            raise PlannerError("The reference plans one objective without constraints. Choose another strategy.")
        self._space, self._objective, self._is_exact = space, objectives[0], is_exact

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return ``n`` points, each as if those before it were pending; copies are not looked for."""
        x = torch.tensor(self._space.to_unit([observed.parameters for observed in history.observations]))
        values = [observed.values[self._objective.name] for observed in history.observations]
        y = self._objective.sign * torch.tensor(values, dtype=torch.float64).unsqueeze(-1)
        with _seeded(seed + len(values)):
            model = self._model(x, y)
            waiting = [torch.tensor(self._space.to_unit([point])) for point in pending]
            points: list[Suggestion] = []
            for _ in range(n):
                acquisition = qLogNoisyExpectedImprovement(
                    model,
                    X_baseline=x,
                    sampler=SobolQMCNormalSampler(torch.Size([MC_SAMPLES]), seed=seed),
                    X_pending=torch.cat(waiting) if waiting else None,
                )
                (point,) = self._space.from_unit(self._largest(acquisition))
                points.append(Suggestion(point))
                waiting.append(torch.tensor(self._space.to_unit([point])))
        return points

    def _model(self, x: torch.Tensor, y: torch.Tensor) -> SingleTaskGP:
        variances = torch.full_like(y, _EXACT_VARIANCE) * y.var() if self._is_exact else None
        model = SingleTaskGP(
            x, y, train_Yvar=variances, covar_module=self._kernel(), outcome_transform=Standardize(m=1)
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model

    def _kernel(self) -> Kernel | None:
        """Return BoTorch's kernel of numbers times its kernel of categories; None where there are only numbers.

        The sum and product that `MixedSingleTaskGP` has takes 6 s to fit from cold with 30 observations.
        """
        names, numbers = self._columns(Categorical), self._columns(Continuous, Integer, Discrete)
        if not names:
            return None
        prior = LogNormalPrior(0.0, 1.0)
        floor = GreaterThan(2.5e-2, transform=None, initial_value=prior.mode)
        kernel = CategoricalKernel(
            ard_num_dims=len(names), active_dims=names, lengthscale_prior=prior, lengthscale_constraint=floor
        )
        if not numbers:
            return kernel
        return get_covar_module_with_dim_scaled_prior(ard_num_dims=len(numbers), active_dims=numbers) * kernel

    def _largest(self, acquisition: qLogNoisyExpectedImprovement) -> Array:
        d = len(self._space.names)
        bounds = torch.stack([torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64)])
        chosen: dict[str, Any] = {"q": 1, "num_restarts": RESTARTS, "raw_samples": RAW_SAMPLES}
        if self._columns(Integer, Discrete):
            chosen["post_processing_func"] = self._rounded
        categories = self._columns(Categorical)
        if categories:
            each = itertools.product(*(self._coordinates(column) for column in categories))
            fixed = [dict(zip(categories, coordinates, strict=True)) for coordinates in each]
            best, _ = optimize_acqf_mixed(acquisition, bounds, fixed_features_list=fixed, **chosen)
        else:
            best, _ = optimize_acqf(acquisition, bounds, **chosen)
        return np.asarray(best.detach().numpy(), dtype=np.float64)

    def _rounded(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.detach().reshape(-1, x.shape[-1]).numpy()
        return torch.tensor(self._space.to_unit(self._space.from_unit(rows))).reshape(x.shape)

    def _columns(self, *kinds: type) -> list[int]:
        return [k for k, parameter in enumerate(self._space.parameters) if isinstance(parameter, kinds)]

    def _coordinates(self, column: int) -> list[float]:
        parameter = self._space.parameters[column]
        return [parameter.to_unit(value) for value in parameter.values()]  # type: ignore[union-attr]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch inside, and keep the libraries' warnings from the log."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield
