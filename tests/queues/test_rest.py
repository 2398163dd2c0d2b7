"""The REST queue, over a real server: the folder's contract, and what a network may do to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alchemy_async import locks
from alchemy_async.clock import SystemClock
from alchemy_async.queues import WorkerEnd
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.rest import RestWorkerEnd, Server
from alchemy_async.testing.queue_contract import CAMPAIGN, QueueContract
from tests.service.serving import RealServer

SETTINGS = """
[campaign]
name = "contract"
[[parameters]]
name = "temperature"
type = "continuous"
bounds = [0, 1000]
[[objectives]]
name = "yield"
goal = "maximize"
[[workers]]
name = "w"
driver = "lab:f"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RealServer(tmp_path_factory.mktemp("served")).start()
    yield server
    server.stop()


class TestRestQueue(QueueContract):
    """Workers reach the queue through a server alone; the planner's end is the folder's, in the session's folder."""

    @pytest.fixture(autouse=True)
    def session(self, server, tmp_path):
        folder = server.root / tmp_path.name
        folder.mkdir()
        (folder / "campaign.toml").write_text(SETTINGS)
        where = {"url": server.url, "session": folder.name, "folder": str(folder)}
        (tmp_path / "where.json").write_text(json.dumps(where))
        with locks.hold(folder / "planner.lock", what="the test plans", mend=""):  # else the server would plan
            yield

    def planner_end(self, place: Path) -> FolderPlannerEnd:
        return FolderPlannerEnd(Path(_where(place)["folder"]), campaign=CAMPAIGN, clock=SystemClock())

    def worker_end(self, place: Path, worker: str, instance: str, labels: tuple[str, ...] = ()) -> RestWorkerEnd:
        where = _where(place)
        return RestWorkerEnd(
            Server(where["url"], where["session"]), place, worker=worker, instance=instance, labels=labels
        )

    def test_it_is_a_worker_end(self, tmp_path):
        assert isinstance(self.worker_end(tmp_path, "w1", "i1"), WorkerEnd)


def _where(place: Path) -> dict[str, str]:
    where: dict[str, str] = json.loads((place / "where.json").read_text())
    return where
