from __future__ import annotations

from pathlib import Path

from alchemy_async.clock import SystemClock
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN, QueueContract


class TestFolderQueue(QueueContract):
    def planner_end(self, place: Path) -> FolderPlannerEnd:
        return FolderPlannerEnd(place, campaign=CAMPAIGN, clock=SystemClock())

    def worker_end(self, place: Path, worker: str, instance: str, labels: tuple[str, ...] = ()) -> FolderWorkerEnd:
        return FolderWorkerEnd(place, worker=worker, instance=instance, labels=labels)
