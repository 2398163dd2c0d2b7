"""Ends: which end of which queue a worker speaks to, as its plan says.

In:    a worker's plan.
Out:   an end in the folder, or one over REST; whether the instrument was left in somebody's hands.
Never: loads what only the other kind needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.queues.spool import was_left

if TYPE_CHECKING:
    from alchemy_async.queues.rest import RestWorkerEnd
    from alchemy_async.worker_pool.messages import WorkerPlan

    End = FolderWorkerEnd | RestWorkerEnd


def make_end(plan: WorkerPlan, instance: str) -> End:
    """Return the worker's end of the queue that a plan names.

    Args:
        plan: The plan.
        instance: Random text, unique to this process.
    """
    if plan.server is None:
        return FolderWorkerEnd(
            plan.folder, worker=plan.worker, instance=instance, labels=plan.labels, durable=plan.durable
        )
    from alchemy_async.queues.rest import RestWorkerEnd

    return RestWorkerEnd(
        plan.server, plan.folder, worker=plan.worker, instance=instance, labels=plan.labels, durable=plan.durable
    )


def is_left(plan: WorkerPlan) -> bool:
    """Tell whether this machine itself knows that the process before this one died with the instrument in its hands.

    In the folder its last beat says so. A server may be out of reach, and a heater must not stay on so long.
    """
    return plan.server is not None and (plan.must_recover or was_left(plan.folder, plan.worker))
