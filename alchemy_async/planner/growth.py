"""Growth: one Gaussian process for ten observations or a hundred thousand, at a bounded price.

In:    coordinates, values and their noise; how much a model may hold.
Out:   a Gaussian process: of all data, or of those that matter.
Never: lets what it keeps change an answer: that saves time, nothing else.

Up to ``EVERY_TIME`` values the hyperparameters are fitted to all of them at each ask, and their order means nothing.
Beyond, three things grow within bounds:

- Hyperparameters are those of a milestone: the first part of the history, at each milestone longer by a
  twentieth. At most ``SAMPLE`` of its values, evenly spaced in time, say what they are. The kernel is the
  squared-exponential one, unless the other is asked for.
- Up to ``Limits.exact`` values the process holds all of them. Its factor is that of the milestone's part, with
  the rows since then below it.
- Beyond, it holds those that matter (see `alchemy_async.planner.active`).

So the answer depends on the order in which a history came, which a ledger never changes. It does not depend, to
the last bit, on whether anything was kept since an ask before: what was not is made by the same steps.

Source:
    Rasmussen & Williams (2006), sec. 8.3.3 (a subset of data) and appendix A.3 (a partitioned matrix);
    Hayashi, Imaizumi & Yoshida (2020), ACML, "On random subsampling of Gaussian process regression".
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alchemy_async.planner import gp
from alchemy_async.planner.active import active
from alchemy_async.planner.factors import Factor
from alchemy_async.planner.local import LocalProcess
from alchemy_async.space import Array

EVERY_TIME = 400  # values up to which each ask fits anew: that takes less than half a second
SAMPLE = 512  # values that hyperparameters are fitted to beyond
WORTH_A_DEVICE = 1000  # values from which the factor of a process is made and kept on a GPU, if there is one
_COARSE = 4  # every fourth of these first: they say where the climb on all of them begins
_GROWTH = 1.05  # from one milestone to the next
_DIGITS = 9  # kept of a value: standardised again, it differs by less from one ask to the next


@dataclass(frozen=True)
class Limits:
    """How much a model may hold.

    Args:
        exact: Up to how many values a process holds all of them.
        active: How many it holds of more, > 0.
        device: Where large factors are made and kept: ``auto``, ``cpu``, or a device of torch, such as ``cuda``.
    """

    exact: int = 2000
    active: int = 1500
    device: str = "auto"


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Values:
    """What a process is conditioned on.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        y: Standardised values, shape ``(n,)``.
        variances: Known noise variance of each value, shape ``(n,)``; None: one variance is inferred.
        categorical: Which coordinates are categorical, shape ``(d,)``.
    """

    x: Array
    y: Array
    variances: Array | None
    categorical: gp.Mask

    def __len__(self) -> int:
        return len(self.y)

    def at(self, rows: slice | NDArray[np.intp]) -> Values:
        """Return some of them."""
        variances = None if self.variances is None else self.variances[rows]
        return Values(self.x[rows], self.y[rows], variances, self.categorical)


class _Content:
    """Arrays that are the same where their content is: by it, what was kept is found again."""

    def __init__(self, *arrays: Array | gp.Mask | None) -> None:
        self.arrays: tuple[Any, ...] = arrays
        digest = hashlib.blake2b()
        for array in arrays:
            digest.update(
                b"none" if array is None else f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
            )
        self._key = digest.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def process_for(
    values: Values, came: NDArray[np.intp] | None = None, limits: Limits = DEFAULT_LIMITS, kernel: str = "auto"
) -> gp.GaussianProcess:
    """Return a Gaussian process of standardised values, at a bounded price.

    Args:
        values: The values.
        came: Place of each in the history, shape ``(n,)``, 0 for the oldest; None: they are in its order.
        limits: How much the process may hold.
        kernel: One of `gp.KERNELS`.

    Returns:
        Up to `EVERY_TIME` values: of all, in their order. Beyond: of all or some, in the order in which they came,
        its variances and its own variance 1 in units of the milestone's values, not of all values.

    Raises:
        NotPositiveDefiniteError: If no hyperparameters give a factor.
        PlannerError: If the device is none that torch has.
    """
    if len(values) <= EVERY_TIME:
        return gp.fit(values.x, values.y, values.variances, values.categorical, kernel)
    ordered = values if came is None else values.at(np.argsort(came, kind="stable"))
    first = milestone(len(ordered))
    scaled = _scaled(ordered, first)
    sample = scaled.at(np.linspace(0, first - 1, min(SAMPLE, first)).astype(np.intp))
    is_rough = kernel == "matern"
    lengths, noise = _hyperparameters(_Content(sample.x, sample.y, sample.variances, sample.categorical), is_rough)
    found = gp.Kernel(lengths, ordered.categorical, is_rough)
    variances = np.full(len(ordered), noise) if scaled.variances is None else scaled.variances
    if len(ordered) > limits.exact:
        rows = active(ordered.x, ordered.y, variances, found, limits.active)
        held = _Content(ordered.x[rows], variances[rows], lengths, ordered.categorical)
        factor = _made(held, is_rough, device_for(limits, len(rows)))
        return LocalProcess(ordered.x, ordered.y, variances, found, rows, factor)
    begun = _Content(ordered.x[:first], variances[:first], lengths, ordered.categorical)
    first_factor = _factor(begun, is_rough, device_for(limits, len(ordered)))
    factor = gp.extended(first_factor, ordered.x, variances, found)
    return gp.GaussianProcess(ordered.x, ordered.y, variances, found, factor)


def device_for(limits: Limits, n: int) -> str:
    """Return where a factor of ``n`` values is to be made, ``cpu`` or a name of torch; loads no torch in vain."""
    if limits.device != "auto":
        return limits.device
    return "cuda" if n >= WORTH_A_DEVICE and has_gpu() else "cpu"


@lru_cache(maxsize=1)
def has_gpu() -> bool:
    """Tell whether torch can use a GPU; where there is no driver of one, torch is not asked."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    from alchemy_async.planner.accelerated import is_available

    return is_available()


def milestone(n: int) -> int:
    """Return how many of the first of ``n`` values say what the hyperparameters are, ``EVERY_TIME`` or more."""
    reached = EVERY_TIME
    while (following := int(reached * _GROWTH)) <= n:
        reached = following
    return reached


def _scaled(values: Values, first: int) -> Values:
    """Return values in units of the first of them, so that these stay the same, whatever came since."""
    begun = values.y[:first]
    spread = float(np.std(begun)) or 1.0
    y = np.round((values.y - float(np.mean(begun))) / spread, _DIGITS)
    if values.variances is None:
        return replace(values, y=y)
    known = np.maximum(np.round(values.variances / spread**2, _DIGITS), gp.LEAST_VARIANCE)
    return replace(values, y=y, variances=known)


@lru_cache(maxsize=16)
def _hyperparameters(content: _Content, is_rough: bool) -> tuple[Array, float]:
    """Return the most probable lengths, shape ``(d,)``, and the noise variance, where that is inferred."""
    x, y, variances, categorical = content.arrays
    few = slice(None, None, _COARSE)
    coarse = gp.Posterior(x[few], y[few], None if variances is None else variances[few], categorical)
    posterior = gp.Posterior(x, y, variances, categorical)
    if is_rough:
        coarse, posterior = coarse.of_rough_functions(), posterior.of_rough_functions()
    lengths, noise = posterior.read(gp.most_probable(posterior, [gp.most_probable(coarse, coarse.starts()[:1])]))
    return lengths, float(noise[0])


@lru_cache(maxsize=4)
def _factor(content: _Content, is_rough: bool, device: str) -> Factor:
    return _made(content, is_rough, device)


def _made(content: _Content, is_rough: bool, device: str) -> Factor:
    x, variances, lengths, categorical = content.arrays
    if device == "cpu":
        return gp.covariance_factor(x, variances, gp.Kernel(lengths, categorical, is_rough))
    from alchemy_async.planner import accelerated

    return accelerated.covariance_factor(x, variances, gp.Kernel(lengths, categorical, is_rough), device)
