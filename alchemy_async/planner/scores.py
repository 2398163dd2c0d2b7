"""Scores: acquisition values of many points in bounded memory. Loads torch.

In:    an acquisition function and unit-cube coordinates.
Out:   one value for each point, without a gradient.
Never: chooses.
"""

from __future__ import annotations

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement

from alchemy_async.planner.model import tensor
from alchemy_async.space import Array

_ENTRIES = 4_000_000  # of all covariance matrices held at once: 32 MB of doubles
_LARGEST_BATCH = 256


def score(acquisition: qLogNoisyExpectedImprovement, coordinates: Array) -> Array:
    """Return the acquisition value of each point taken alone, shape ``(n,)``.

    Args:
        acquisition: The function.
        coordinates: Unit-cube coordinates, shape ``(n, d)``.
    """
    size = acquisition.X_baseline.shape[-2] + 1
    batch = max(1, min(_LARGEST_BATCH, _ENTRIES // size**2))
    with torch.no_grad():
        blocks = [acquisition(block.unsqueeze(-2)) for block in torch.split(tensor(coordinates), batch)]
    return np.concatenate([block.numpy() for block in blocks])
