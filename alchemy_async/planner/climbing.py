"""Climbing: many points uphill at once, within the unit cube.

In:    a function with its gradient, starting points, which coordinates may move.
Out:   local maxima.
Never: leaves the cube, or moves a point downhill.

Every point has its own quasi-Newton matrix, and one evaluation serves all of them: the cost of a
step is that of one call, whether one point climbs or ten.

Source:
    Bertsekas (1982), SIAM J. Control Optim. 20(2), 221-246, for the projection;
    Nocedal & Wright (2006), Numerical Optimization, ch. 6, for the matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from alchemy_async.planner.gp import Mask
from alchemy_async.space import Array

WithGradient = Callable[[Array], tuple[Array, Array]]

_MOST_STEPS = 60
_MOST_HALVINGS = 10
_FIRST_STEP = 0.05  # of a side of the cube: the gradient alone says nothing of the distance
_LONGEST_STEP = 0.5
_STEEP_ENOUGH = 1e-5  # of the function, over a side of the cube
_WORTH = 1e-6  # what a step must bring, or the point has arrived
_OUTLOOK = 5  # more steps like its last one must bring a point as high as the highest is, or it is given up
_FLAT = -40.0  # a logarithm this low is that of a plain without a hill in sight: there nobody is given up
_ARMIJO = 1e-4


def climb(function: WithGradient, starts: Array, moving: Mask) -> tuple[Array, Array]:
    """Return where each point arrived, shape ``(q, d)``, and the values there, shape ``(q,)``.

    Args:
        function: Takes coordinates of shape ``(q, d)``; returns values and gradients.
        starts: Unit-cube coordinates, shape ``(q, d)``.
        moving: Which coordinates may move, shape ``(d,)``.
    """
    x = np.clip(starts, 0.0, 1.0)
    value, gradient = function(x)
    gradient = np.where(moving, gradient, 0.0)
    inverse = np.zeros((*x.shape, x.shape[1]))  # of the negative Hessian; 0: not known yet
    going = np.arange(len(x))
    for _ in range(_MOST_STEPS):
        slope = np.where(_is_blocked(x[going], gradient[going]), 0.0, gradient[going])
        going = going[np.max(np.abs(slope), axis=1, initial=0.0) > _STEEP_ENOUGH]
        if not len(going):
            break
        direction = _direction(x[going], gradient[going], inverse[going])
        to, there, steeper = _advance(function, x[going], value[going], gradient[going], direction)
        steeper = np.where(moving, steeper, 0.0)
        inverse[going] = _learn(inverse[going], to - x[going], gradient[going] - steeper)
        gain = there - value[going]
        x[going], value[going], gradient[going] = to, there, steeper
        has_outlook = (there + _OUTLOOK * gain >= value.max()) | (value.max() < _FLAT)
        going = going[(gain > _WORTH) & has_outlook]
    return x, value


def _is_blocked(x: Array, gradient: Array) -> Mask:
    return np.asarray(((x <= 0.0) & (gradient < 0.0)) | ((x >= 1.0) & (gradient > 0.0)))


def _direction(x: Array, gradient: Array, inverse: Array) -> Array:
    """Return a step uphill for each point, none longer than allowed."""
    blocked = _is_blocked(x, gradient)
    slope = np.where(blocked, 0.0, gradient)
    steepest = _FIRST_STEP * slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-300)
    newton = np.where(blocked, 0.0, (inverse @ slope[:, :, None])[:, :, 0])
    is_uphill = np.sum(newton * slope, axis=1) > 1e-3 * np.sum(np.abs(newton * slope), axis=1)
    direction = np.where(is_uphill[:, None], newton, steepest)
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    return np.asarray(direction * np.minimum(1.0, _LONGEST_STEP / np.maximum(length, 1e-300)))


def _advance(
    function: WithGradient, x: Array, value: Array, gradient: Array, direction: Array
) -> tuple[Array, Array, Array]:
    """Step along the directions, half as far again and again where that is not uphill enough."""
    to, there, steeper = x.copy(), value.copy(), gradient.copy()
    left, share = np.arange(len(x)), 1.0
    for _ in range(_MOST_HALVINGS):
        tried = np.clip(x[left] + share * direction[left], 0.0, 1.0)
        found, slope = function(tried)
        promised = np.sum(gradient[left] * (tried - x[left]), axis=1)
        is_good = found >= value[left] + _ARMIJO * promised
        good = left[is_good]
        to[good], there[good], steeper[good] = tried[is_good], found[is_good], slope[is_good]
        left, share = left[~is_good], 0.5 * share if share > 0.2 else 0.2 * share
        if not len(left):
            break
    return to, there, steeper


def _learn(inverse: Array, step: Array, bend: Array) -> Array:
    """Return the quasi-Newton matrices after steps that changed the gradients by ``-bend`` (BFGS)."""
    curvature = np.sum(step * bend, axis=1)
    sizes = np.linalg.norm(step, axis=1) * np.linalg.norm(bend, axis=1)
    is_known = curvature > 1e-10 * np.maximum(sizes, 1e-300)
    safe = np.where(is_known, curvature, 1.0)
    identity = np.eye(step.shape[1])
    first = (safe / np.maximum(np.sum(bend * bend, axis=1), 1e-300))[:, None, None] * identity
    last = np.where(np.any(inverse, axis=(1, 2))[:, None, None], inverse, first)
    share = step / safe[:, None]
    turn = identity - share[:, :, None] * bend[:, None, :]
    updated = turn @ last @ turn.transpose(0, 2, 1) + share[:, :, None] * step[:, None, :]
    return np.asarray(np.where(is_known[:, None, None], updated, inverse))
