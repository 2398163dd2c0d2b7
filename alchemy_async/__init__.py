"""alchemy_async: choose the next experiment while the last ones still run, and lose none of them.

In:    what a driver or planner of your own needs: `from alchemy_async import Observation, LimitError`.
Out:   the few public names; everything else lives in its room.
Never: loads torch, numpy, scipy or pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alchemy_async.drivers import Context
    from alchemy_async.errors import (
        AlchemyError,
        LimitError,
        NotStartedError,
        PlannerError,
        RetryableError,
        StoppedError,
    )
    from alchemy_async.experiment import History, Observation, Suggestion

__version__ = "0.1.0"

__all__ = [
    "AlchemyError",
    "Context",
    "History",
    "LimitError",
    "NotStartedError",
    "Observation",
    "PlannerError",
    "RetryableError",
    "StoppedError",
    "Suggestion",
]

_ROOMS = {"Context": "drivers", "History": "experiment", "Observation": "experiment", "Suggestion": "experiment"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - typed as the imports above
    """Load a public name when it is asked for: every room imports this one first, and few need them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}"), name)
