from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.folder_worker import FolderWorkerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def planner(tmp_path, clock):
    end = FolderPlannerEnd(tmp_path, campaign=CAMPAIGN, clock=clock)
    yield end
    end.close()


@pytest.fixture
def new_worker(tmp_path) -> Callable[..., FolderWorkerEnd]:
    def make(worker: str = "w1", instance: str = "i1", **rest) -> FolderWorkerEnd:
        return FolderWorkerEnd(tmp_path, worker=worker, instance=instance, **rest)

    return make


@pytest.fixture
def dump(tmp_path, planner) -> Path:
    return tmp_path / "dump"
