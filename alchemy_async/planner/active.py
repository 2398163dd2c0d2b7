"""The active set: which observations a model keeps where it can't hold all of them.

In:    coordinates and values in the order in which they came, the kernel.
Out:   the rows to keep.
Never: costs more than a few passes over the history.

An acquisition function is looked at closely where values are best, and roughly everywhere else. So are the data: of
those ranked by their nearness to the best places every one is kept at first, then ever fewer, evenly in the
logarithm of the rank; then the newest, without which the search would go back to where it has just been; then those
that lie farthest from all that are kept. The best places are where a rough model's mean is highest, not where a
value is: of many noisy values the highest are the luckiest.

Source:
    Snelson & Ghahramani (2007), AISTATS, "Local and global sparse Gaussian process approximations";
    Moss, Ober & Picheny (2023), AISTATS, "Inducing point allocation for sparse Gaussian processes in
    high-throughput Bayesian optimisation"; Gonzalez (1985), Theor. Comput. Sci. 38, 293-306, for the farthest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alchemy_async.planner import gp
from alchemy_async.space import Array

Rows = NDArray[np.intp]

_SHARE_NEAR, _SHARE_NEWEST = 0.6, 0.1  # the rest are the farthest
_ROUGH = 512  # values that the rough model holds
_MOST_TRIED = 256  # of the highest values: those that may be the best
_N_PLACES = 8
_APART = 0.7  # correlation above which two good places are one
_PER_FARTHEST = 4  # rows looked at for each farthest one


def active(x: Array, y: Array, variances: Array, kernel: gp.Kernel, n: int) -> Rows:
    """Return the rows to keep, ascending, shape ``(n,)``, or all where there are no more.

    Args:
        x: Unit-cube coordinates, shape ``(m, d)``, oldest first.
        y: Standardised values, larger is better, shape ``(m,)``.
        variances: Noise variance of each value, shape ``(m,)``.
        kernel: The covariance.
        n: How many to keep, > 0.
    """
    if len(x) <= n:
        return np.arange(len(x))
    kept = np.zeros(len(x), dtype=bool)
    kept[-int(_SHARE_NEWEST * n) :] = True
    nearness = kernel(x, _best_places(x, y, variances, kernel)).max(axis=1)
    _keep_near(kept, np.argsort(-nearness, kind="stable"), int(_SHARE_NEAR * n))
    _keep_farthest(kept, x / np.where(kernel.categorical, 1.0, kernel.lengths), n)
    return np.flatnonzero(kept)


def _best_places(x: Array, y: Array, variances: Array, kernel: gp.Kernel) -> Array:
    """Return where a rough model is highest, in places apart from each other, shape ``(k, d)``."""
    rough = np.linspace(0, len(x) - 1, _ROUGH).astype(np.intp)
    highest = np.argsort(-y, kind="stable")[:_MOST_TRIED]
    tried = np.unique(np.concatenate([rough, highest]))
    model = gp.GaussianProcess(x[rough], y[rough], variances[rough], kernel)
    order = tried[np.argsort(-model.predict(x[tried])[0], kind="stable")]
    places = x[order[:1]]
    for row in order[1:]:
        if len(places) < _N_PLACES and kernel(x[row : row + 1], places).max() < _APART:
            places = np.vstack([places, x[row]])
    return np.asarray(places)


def _keep_near(kept: NDArray[np.bool_], ranked: Rows, n: int) -> None:
    """Keep ``n`` more: the nearest half of them all, and the others evenly in the logarithm of their rank."""
    free = ranked[~kept[ranked]]
    kept[free[: n // 2]] = True
    rest = free[n // 2 :]
    wanted = n - n // 2
    ranks = np.geomspace(n // 2 + 1, len(free), wanted) - (n // 2 + 1)
    # Where the spacing is finer than one rank, the next free one is taken.
    steps = np.maximum.accumulate(ranks.astype(np.intp) - np.arange(wanted)) + np.arange(wanted)
    kept[rest[np.minimum(steps, len(rest) - wanted + np.arange(wanted))]] = True


def _keep_farthest(kept: NDArray[np.bool_], scaled: Array, n: int) -> None:
    """Keep rows until there are ``n``, each as far as possible from all that are kept."""
    wanted = n - int(kept.sum())
    free = np.flatnonzero(~kept)
    looked_at = free[np.linspace(0, len(free) - 1, min(_PER_FARTHEST * wanted, len(free))).astype(np.intp)]
    points, others = scaled[looked_at], scaled[kept]
    squares = np.sum(points**2, axis=1)
    nearest = (squares[:, None] + np.sum(others**2, axis=1) - 2.0 * points @ others.T).min(axis=1)
    for _ in range(wanted):
        best = int(np.argmax(nearest))
        kept[looked_at[best]] = True
        nearest = np.minimum(nearest, squares + squares[best] - 2.0 * points @ points[best])
        nearest[best] = -np.inf
