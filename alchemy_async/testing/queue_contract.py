"""Queue contract: what every queue promises, as tests that run over any of them.

In:    a subclass that says how the two ends are made.
Out:   pytest tests, one promise each.
Never: looks behind the two protocols: no file, table or socket is named here.

    class TestMyQueue(QueueContract):
        def planner_end(self, place):
            return MyPlannerEnd(place, campaign=CAMPAIGN)

        def worker_end(self, place, worker, instance, labels=()):
            return MyWorkerEnd(place, worker=worker, instance=instance, labels=labels)
"""

# ruff: noqa: D102, S101  (a contract is made of assertions, and a test is named by its sentence)

from __future__ import annotations

import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alchemy_async.experiment import (
    AttemptKey,
    Offer,
    Outcome,
    QueueState,
    Revision,
    Status,
    WorkerState,
)
from alchemy_async.queues import PlannerEnd, WorkerEnd

CAMPAIGN = "contract-0a1b2c3d"

_START = datetime(2026, 11, 22, 10, 33, 27, tzinfo=UTC)
_N_CONTESTED = 200
_N_PROCESSES = 4


def an_offer(number: int = 1, *, attempt: int = 1, requires: tuple[str, ...] = ()) -> Offer:
    """Return the offer of experiment ``e<number>``."""
    parameters: dict[str, float | int | str] = {
        "temperature": 300.0 + number / 7,
        "stirrer": number,
        "solvent": "THF µ",
    }
    return Offer(AttemptKey(f"e{number:04d}", attempt), parameters, priority=1.5, requires=requires)


def a_revision(
    *offers: Offer, number: int = 1, state: QueueState = QueueState.RUNNING, cancel: tuple[AttemptKey, ...] = ()
) -> Revision:
    """Return a revision of the contract's campaign."""
    return Revision(CAMPAIGN, number, state, offers, cancel)


def an_outcome(value: float = 0.1 + 0.2, *, after_s: float = 0.0) -> Outcome:
    """Return a measurement that ended ``after_s`` seconds after a fixed time."""
    finished_at = _START + timedelta(seconds=after_s, microseconds=1)
    return Outcome(Status.COMPLETED, _START, finished_at, {"yield": value}, {"yield": 0.01}, metadata={"lot": "ü-7"})


class QueueContract:
    """Subclass it, make the two ends, and pytest finds the promises."""

    def planner_end(self, place: Path) -> PlannerEnd:
        """Return the planner's end of campaign ``CAMPAIGN`` at an empty place."""
        raise NotImplementedError

    def worker_end(self, place: Path, worker: str, instance: str, labels: tuple[str, ...] = ()) -> WorkerEnd:
        """Return a worker's end at the same place; called in other processes, too."""
        raise NotImplementedError

    def test_what_was_offered_comes_back_claimed_and_measured(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(), number=7))

        offer = worker.claim()
        assert offer == an_offer()
        worker.report(offer.key, an_outcome())
        collected = planner.collect([offer.key])

        (claim,), (delivery,) = collected.claims, collected.deliveries
        assert (claim.campaign, claim.key, claim.revision) == (CAMPAIGN, offer.key, 7)
        assert (claim.worker, claim.instance, claim.parameters) == ("w1", "i1", offer.parameters)
        assert (delivery.result.worker, delivery.result.key) == ("w1", offer.key)
        assert delivery.result.outcome == an_outcome()
        assert not collected.spoiled

    def test_before_the_first_revision_there_is_no_news_and_nothing_to_claim(self, tmp_path: Path) -> None:
        _, worker = self._ends(tmp_path)

        assert worker.news() is None
        assert worker.claim() is None

    def test_the_order_of_the_list_is_the_order_of_claims(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(3), an_offer(1), an_offer(2)))

        claimed = [worker.claim() for _ in range(3)]

        assert claimed == [an_offer(3), an_offer(1), an_offer(2)]

    def test_two_workers_never_get_the_same_attempt(self, tmp_path: Path) -> None:
        planner, first = self._ends(tmp_path)
        second = self.worker_end(tmp_path, "w2", "i2")
        planner.publish(a_revision(an_offer(1), an_offer(2)))

        claimed = [first.claim(), second.claim(), first.claim(), second.claim()]

        assert claimed == [an_offer(1), an_offer(2), None, None]

    def test_processes_that_contend_for_many_attempts_get_each_exactly_once(self, tmp_path: Path) -> None:
        planner = self.planner_end(tmp_path)
        offers = [an_offer(number) for number in range(_N_CONTESTED)]
        planner.publish(a_revision(*offers, state=QueueState.PAUSED))

        with multiprocessing.get_context("spawn").Pool(_N_PROCESSES) as pool:
            names = [f"w{number}" for number in range(_N_PROCESSES)]
            drained = pool.starmap_async(_drain, [(type(self), tmp_path, name) for name in names])
            while len(planner.collect([]).heartbeats) < _N_PROCESSES:
                planner.wait(0.02)
            planner.publish(a_revision(*offers, number=2))
            claimed = drained.get(timeout=120)

        keys = [key for of_one in claimed for key in of_one]
        assert sorted(keys) == sorted(offer.key for offer in offers)
        assert all(claimed), "every process got some, else nothing was contended for"
        collected: list[AttemptKey] = []
        while deliveries := planner.collect([offer.key for offer in offers]).deliveries:
            collected += [delivery.result.key for delivery in deliveries]
            for delivery in deliveries:
                planner.settle(delivery.name)
        assert sorted(collected) == sorted(keys)
        planner.close()

    def test_what_was_withdrawn_is_never_claimed(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(1), an_offer(2)))

        assert planner.withdraw(an_offer(1).key)
        assert planner.withdraw(an_offer(1).key), "a repetition says the same"

        assert [worker.claim(), worker.claim()] == [an_offer(2), None]

    def test_what_was_claimed_is_never_withdrawn(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()

        assert not planner.withdraw(an_offer().key)

    def test_a_reader_of_an_old_list_never_runs_an_ended_attempt(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()
        worker.report(an_offer().key, an_outcome())
        (delivery,) = planner.collect([an_offer().key]).deliveries
        planner.settle(delivery.name)

        late = self.worker_end(tmp_path, "w2", "i2")

        assert late.claim() is None

    def test_the_next_attempt_of_an_ended_one_can_be_claimed(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()

        planner.publish(a_revision(an_offer(attempt=2), number=2))

        assert worker.claim() == an_offer(attempt=2)

    def test_a_worker_claims_only_what_its_labels_allow(self, tmp_path: Path) -> None:
        planner, plain = self._ends(tmp_path)
        able = self.worker_end(tmp_path, "w2", "i2", labels=("hot", "dry", "big"))
        special = an_offer(1, requires=("hot", "dry"))
        planner.publish(a_revision(special, an_offer(2)))

        assert [plain.claim(), plain.claim()] == [an_offer(2), None]
        assert able.claim() == special

    def test_nothing_is_claimed_unless_the_queue_is_running(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)

        for number, state in enumerate((QueueState.PAUSED, QueueState.DRAINING, QueueState.STOPPED)):
            planner.publish(a_revision(an_offer(), number=number, state=state))
            news = worker.news()

            assert news is not None
            assert (news.campaign, news.revision, news.state) == (CAMPAIGN, number, state)
            assert worker.claim() is None

    def test_a_report_that_is_repeated_is_one_result(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()

        worker.report(an_offer().key, an_outcome())
        worker.report(an_offer().key, an_outcome())

        assert len(planner.collect([an_offer().key]).deliveries) == 1

    def test_a_result_is_collected_until_it_is_settled(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        key = an_offer().key
        planner.publish(a_revision(an_offer()))
        worker.claim()
        worker.report(key, an_outcome())

        first, second = planner.collect([key]), planner.collect([key])
        planner.settle(first.deliveries[0].name)
        planner.settle(first.deliveries[0].name)
        third = planner.collect([key])

        assert second == first
        assert not third.deliveries
        assert third.claims == first.claims

    def test_a_planner_that_starts_again_finds_every_claim_and_result(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer(1), an_offer(2)))
        worker.claim()
        worker.report(an_offer(1).key, an_outcome())
        keys = [an_offer(1).key, an_offer(2).key]
        before = planner.collect(keys)
        planner.close()

        assert self.planner_end(tmp_path).collect(keys) == before

    def test_results_come_in_the_order_in_which_they_were_finished(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        offers = [an_offer(number) for number in (1, 2, 3)]
        planner.publish(a_revision(*offers))
        for offer, after_s in zip(offers, (30, 10, 20), strict=True):
            worker.claim()
            worker.report(offer.key, an_outcome(after_s=after_s))

        deliveries = planner.collect([offer.key for offer in offers]).deliveries

        assert [delivery.result.key.experiment for delivery in deliveries] == ["e0002", "e0003", "e0001"]

    def test_a_result_without_a_claim_gets_one_so_that_nobody_starts_it_again(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.report(an_offer().key, an_outcome())

        (claim,) = planner.collect([an_offer().key]).claims

        assert claim.worker == "w1"
        assert self.worker_end(tmp_path, "w2", "i2").claim() is None

    def test_the_last_beat_of_each_worker_is_collected(self, tmp_path: Path) -> None:
        planner, first = self._ends(tmp_path)
        second = self.worker_end(tmp_path, "w2", "i2", labels=("hot",))
        first.beat(WorkerState.IDLE)
        first.beat(WorkerState.BUSY, an_offer().key)
        second.beat(WorkerState.GONE)

        busy, gone = planner.collect([]).heartbeats

        assert (busy.worker, busy.instance, busy.state, busy.holds) == ("w1", "i1", WorkerState.BUSY, an_offer().key)
        assert (gone.worker, gone.state, gone.holds, gone.labels) == ("w2", WorkerState.GONE, None, ("hot",))
        first.beat(WorkerState.BUSY, an_offer().key)
        assert planner.collect([]).heartbeats[0].beat > busy.beat

    def test_a_worker_sees_what_is_to_be_broken_off(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(cancel=(AttemptKey("e0001", 1), AttemptKey("e0002", 3))))

        news = worker.news()

        assert news is not None
        assert news.cancel == {AttemptKey("e0001", 1), AttemptKey("e0002", 3)}

    def test_a_result_ends_the_planners_wait(self, tmp_path: Path) -> None:
        planner, worker = self._ends(tmp_path)
        planner.publish(a_revision(an_offer()))
        worker.claim()
        for _ in range(3):  # whatever is still to be heard of the claim
            planner.wait(0.3)

        worker.report(an_offer().key, an_outcome())

        assert planner.wait(10)
        planner.close()

    def _ends(self, place: Path) -> tuple[PlannerEnd, WorkerEnd]:
        return self.planner_end(place), self.worker_end(place, "w1", "i1")


def _drain(contract: type[QueueContract], place: Path, worker: str) -> list[AttemptKey]:
    end = contract().worker_end(place, worker, f"instance-of-{worker}")
    end.beat(WorkerState.IDLE)
    while (news := end.news()) is None or news.state is QueueState.PAUSED:
        time.sleep(0.001)
    claimed: list[AttemptKey] = []
    while (offer := end.claim()) is not None:
        end.report(offer.key, an_outcome())
        claimed.append(offer.key)
    return claimed
