"""Expected products: what a point is worth in each of many draws, and on average over them.

In:    processes conditioned on draws, and what their values are worth.
Out:   an acquisition function: the log of the mean over the draws, with its gradient.
Never: chooses what is drawn, or where.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.gains import Gain
from alchemy_async.space import Array

N_DRAWS = 64
_COLUMNS = 1024  # of random numbers made at once

_LOG_DRAWS = math.log(N_DRAWS)

Factor = tuple[DrawnProcess, Gain]


class Product:
    """Log of the mean over draws of a product of gains.

    Args:
        factors: Of each factor the process it is of, conditioned on draws, and what its values are worth.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self._factors = factors

    def __call__(self, x: Array) -> Array:
        """Return the log expected product at each point, shape ``(q,)``.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
        """
        logs = np.zeros((len(x), N_DRAWS))
        for drawn, gain in self._factors:
            now = drawn.moments(x)
            logs += gain.logs(now.mean, now.sd)
        return _log_mean(logs)

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return the log expected product at each point, shape ``(q,)``, and its gradient, shape ``(q, d)``.

        The gradient is 0 in categorical coordinates.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
        """
        moments = [drawn.moments(x) for drawn, _ in self._factors]
        logs = [gain.logs(now.mean, now.sd) for now, (_, gain) in zip(moments, self._factors, strict=True)]
        total = functools.reduce(np.add, logs)
        value = _log_mean(total)
        share = np.exp(total - (value[:, None] + _LOG_DRAWS))
        gradient = np.zeros_like(x)
        for now, log, (drawn, gain) in zip(moments, logs, self._factors, strict=True):
            by_mean, by_sd = gain.slopes(now.mean, now.sd, log)
            gradient += drawn.pull(x, now, share * by_mean, np.sum(share * by_sd, axis=1))
        return value, gradient


def normal_draws(m: int, seed: int, stream: int = 0) -> Array:
    """Return draws of ``m`` independent normal numbers, shape ``(m, N_DRAWS)``: antithetic pairs, whose mean is 0.

    Args:
        m: How many.
        seed: Seed of the draws.
        stream: Those of another stream are independent of these.
    """
    columns = _COLUMNS * max(-(-m // _COLUMNS), 1)
    return _pairs(columns, seed, stream)[:, :m].T


@functools.lru_cache(maxsize=8)
def _pairs(columns: int, seed: int, stream: int) -> Array:
    entropy = [seed, N_DRAWS, stream] if stream else [seed, N_DRAWS]
    half = np.random.default_rng(entropy).standard_normal((N_DRAWS // 2, columns))
    return np.vstack([half, -half])


def _log_mean(logs: Array) -> Array:
    largest = logs.max(axis=1)
    return np.asarray(largest + (np.log(np.exp(logs - largest[:, None]).sum(axis=1)) - _LOG_DRAWS))
