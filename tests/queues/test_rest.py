"""The REST queue, over a real server: the folder's contract, and what a network may do to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alchemy_async import locks
from alchemy_async.client import UnreachableError
from alchemy_async.clock import SimulatedClock, SystemClock
from alchemy_async.errors import FolderError
from alchemy_async.experiment import WorkerState
from alchemy_async.queues import WorkerEnd
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.rest import RestWorkerEnd, Server
from alchemy_async.queues.spool import KeptError, was_left
from alchemy_async.testing.queue_contract import CAMPAIGN, QueueContract, a_revision, an_offer, an_outcome
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

    @pytest.mark.fault(7)
    def test_a_claim_whose_answer_was_lost_is_ones_own_although_the_queue_has_moved_on(self, tmp_path, lossy):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(1), an_offer(2)))
        line = lossy(worker)
        line.loses("claim")
        with pytest.raises(OSError, match="lost"):
            worker.claim()

        planner.publish(a_revision(an_offer(3), number=2))

        assert [worker.claim(), worker.claim(), worker.claim()] == [an_offer(1), an_offer(3), None]

    def test_a_claim_that_was_never_heard_is_asked_for_again_and_then_another_one_is_taken(self, tmp_path, lossy):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(1), an_offer(2)))
        line = lossy(worker)
        line.swallows("claim")
        with pytest.raises(OSError, match="lost"):
            worker.claim()
        self.worker_end(tmp_path, "w2", "i2").claim()

        assert worker.claim() == an_offer(2)

    def test_a_report_whose_answer_was_lost_is_kept_and_counts_once(self, tmp_path, lossy):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()
        line = lossy(worker)
        line.loses("report")
        with pytest.raises(KeptError):
            worker.report(an_offer().key, an_outcome())
        assert worker.published_at_monotonic is None
        assert len(spooled(tmp_path)) == 1

        worker.report(an_offer().key, an_outcome())

        assert spooled(tmp_path) == []
        assert len(planner.collect([an_offer().key]).deliveries) == 1
        assert worker.published_at_monotonic is not None

    @pytest.mark.fault(2)
    def test_a_fresh_process_sends_what_the_last_one_left_before_it_claims(self, tmp_path, lossy):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(1), an_offer(2)))
        worker.claim()
        line = lossy(worker)
        line.swallows("report")
        with pytest.raises(KeptError):
            worker.report(an_offer(1).key, an_outcome())

        fresh = self.worker_end(tmp_path, "w1", "i2")
        other = self.worker_end(tmp_path, "w10", "i3")
        other.claim()
        assert len(spooled(tmp_path)) == 1
        fresh.claim()

        assert spooled(tmp_path) == []
        (delivery,) = planner.collect([an_offer(1).key, an_offer(2).key]).deliveries
        assert (delivery.result.worker, delivery.result.key) == ("w1", an_offer(1).key)

    def test_what_an_earlier_process_left_and_can_not_be_read_is_set_aside(self, tmp_path):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        torn = tmp_path / "spool" / CAMPAIGN / "worker_result_w1_e0009.1.json"
        torn.parent.mkdir(parents=True)
        torn.write_text("{")

        assert worker.claim() == an_offer()

        assert (tmp_path / "spool" / "refused" / torn.name).read_text() == "{"
        assert "can't be read" in (tmp_path / "spool" / "refused" / f"{torn.name}.reason.txt").read_text()

    def test_results_of_other_sessions_are_left_where_they_are_and_told(self, tmp_path, caplog):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        other = tmp_path / "spool" / "other-00000000" / "worker_result_w1_e0009.1.json"
        other.parent.mkdir(parents=True)
        other.write_text("{}")

        worker.claim()

        assert other.exists()
        assert "1 results of other sessions wait" in caplog.text

    def test_a_session_that_became_another_campaign_is_told_and_nothing_is_claimed_from_it(self, tmp_path):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.news()
        queue = Path(_where(tmp_path)["folder"]) / "pickup" / "priority_queue.json"
        queue.write_text(queue.read_text().replace(CAMPAIGN, "other-00000000"))

        with pytest.raises(FolderError, match="alchemy-async work"):
            worker.claim()

    def test_metadata_that_are_larger_than_a_message_may_be_are_left_out_and_the_measurement_is_not(self, tmp_path):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()

        worker.report(an_offer().key, replace(an_outcome(), metadata={"spectrum": "x" * 5_000_000}))

        (delivery,) = planner.collect([an_offer().key]).deliveries
        assert delivery.result.outcome.values == an_outcome().values
        assert "left_out" in delivery.result.outcome.metadata

    def test_an_outcome_that_can_not_be_written_is_refused_and_nothing_is_kept(self, tmp_path):
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()

        with pytest.raises(ValueError, match="Out of range"):
            worker.report(an_offer().key, an_outcome(float("nan")))

        assert spooled(tmp_path) == []

    def test_a_server_that_does_not_answer_for_long_is_left_alone_for_a_while(self, tmp_path, lossy):
        clock = SimulatedClock()
        where = _where(tmp_path)
        worker = RestWorkerEnd(
            Server(where["url"], where["session"]), tmp_path, worker="w1", instance="i1", clock=clock
        )
        line = lossy(worker)
        line.swallows("news", then=lambda: clock.advance(5))
        with pytest.raises(OSError, match="lost"):
            worker.news()

        with pytest.raises(OSError, match="lost"):
            worker.beat(WorkerState.IDLE)
        assert line.asked == ["news"]

        clock.advance(2.1)
        worker.beat(WorkerState.IDLE)
        assert line.asked == ["news", "beat"]

    def test_a_beat_that_is_refused_is_trouble_of_the_network_to_a_worker(self, tmp_path):
        worker = RestWorkerEnd(Server(_where(tmp_path)["url"], "no-such-session"), tmp_path, worker="w1", instance="i1")

        with pytest.raises(OSError, match="no session"):
            worker.beat(WorkerState.IDLE)

    def test_an_instrument_is_known_to_be_left_until_its_worker_says_goodbye(self, tmp_path):
        worker = self.worker_end(tmp_path, "w1", "i1")
        assert not was_left(tmp_path, "w1")

        worker.beat(WorkerState.IDLE)
        assert was_left(tmp_path, "w1")

        worker.beat(WorkerState.GONE)
        assert not was_left(tmp_path, "w1")

    @pytest.mark.parametrize("name", ["planner", "a b", "../x"])
    def test_a_name_that_no_worker_may_have_is_refused(self, tmp_path, name):
        with pytest.raises(FolderError, match=r"Change `name` under"):
            self.worker_end(tmp_path, name, "i1")


class Lossy:
    """A line that loses what it is told to, once: the question, or the answer."""

    def __init__(self, worker: RestWorkerEnd, monkeypatch: pytest.MonkeyPatch) -> None:
        self._call, self._losing = worker._transport.call, {}
        self.asked: list[str] = []
        monkeypatch.setattr(worker._transport, "call", self)

    def loses(self, what: str) -> None:
        self._losing[what] = (True, lambda: None)

    def swallows(self, what: str, then: Callable[[], None] = lambda: None) -> None:
        self._losing[what] = (False, then)

    def __call__(self, method: str, path: str, **more: object) -> object:
        what = path.rpartition("/")[2]
        self.asked.append(what)
        if what not in self._losing:
            return self._call(method, path, **more)
        is_heard, then = self._losing.pop(what)
        if is_heard:
            self._call(method, path, **more)
        then()
        raise UnreachableError("it was lost on the way")


@pytest.fixture
def lossy(monkeypatch):
    return lambda worker: Lossy(worker, monkeypatch)


def spooled(place: Path) -> list[str]:
    return [path.name for path in place.glob("spool/*/worker_result_*.json") if path.parent.name != "refused"]


def _where(place: Path) -> dict[str, str]:
    where: dict[str, str] = json.loads((place / "where.json").read_text())
    return where
