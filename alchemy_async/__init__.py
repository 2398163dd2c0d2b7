"""alchemy_async: choose the next experiment while the last ones still run, and lose none of them.

In:    what a driver or planner of your own needs: `from alchemy_async import Observation, LimitError`.
Out:   the few public names; everything else lives in its room.
Never: loads torch, numpy, scipy or pydantic.
"""

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
