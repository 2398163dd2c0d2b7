from __future__ import annotations

from folder_messages import a_result, put_result

from alchemy_async.queues import folder_planner
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.testing.queue_contract import CAMPAIGN


class SlowClock:
    """A clock on which every look takes as long as a settled result may hold the planner up."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        self.seconds += folder_planner.TIDY_S
        return self.seconds


def settle_many(folder, n):
    planner = FolderPlannerEnd(folder, campaign=CAMPAIGN, clock=SlowClock())
    for number in range(1, n + 1):
        put_result(folder / "dump", a_result(attempt=number), f"worker_result_w1_e0001.{number}.json")
    for delivery in planner.collect([]).deliveries:
        planner.settle(delivery.name)
    return planner


def results_in(folder):
    return sorted(path.name for path in (folder / "dump").glob("worker_result_*"))


def test_of_many_results_settled_at_once_most_are_removed_later_and_none_comes_again(tmp_path):
    planner = settle_many(tmp_path, 20)

    assert len(results_in(tmp_path)) >= 18
    assert not planner.collect([]).deliveries
    planner.gather(1.0)
    assert not results_in(tmp_path)


def test_what_was_settled_is_removed_when_the_planner_closes(tmp_path):
    planner = settle_many(tmp_path, 20)

    planner.close()

    assert not results_in(tmp_path)


def test_a_settled_result_that_was_replaced_is_not_removed_but_collected(tmp_path):
    planner = settle_many(tmp_path, 20)
    name = results_in(tmp_path)[-1]
    number = int(name.split(".")[1])
    put_result(tmp_path / "dump", a_result(attempt=number, metadata={"corrected": True}), name)

    planner.gather(1.0)

    assert results_in(tmp_path) == [name]
    assert [delivery.name for delivery in planner.collect([]).deliveries] == [name]
