"""Contract suites: what every queue, driver and planner must pass, a user's own included.

In:    a way to make the thing.
Out:   pytest classes to subclass.
Never: is imported by the package itself.
"""

from alchemy_async.testing.driver_contract import DriverContract
from alchemy_async.testing.planner_contract import PlannerContract
from alchemy_async.testing.queue_contract import QueueContract

__all__ = ["DriverContract", "PlannerContract", "QueueContract"]
