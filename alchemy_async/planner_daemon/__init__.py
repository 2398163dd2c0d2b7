"""The planner daemon: one of the two loops. It meets the worker pool only in the queue.

In:    results, claims and heartbeats from the queue; wishes of people from the ledger.
Out:   a queue that is refreshed at every result, conditioned on all that is pending.
Never: imports the worker pool, loads torch, or lets a planner that thinks hold an instrument up.
"""

from alchemy_async.planner_daemon.run import run_planner

__all__ = ["run_planner"]
