"""Stories: what planner, workers and people do while the power may fail; each is filmed for `power_cut`.

In:    a world with an empty folder.
Out:   steps on its disk, promises that were made.
Never: asserts what comes of it: `after_power_cut` does.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from alchemy_async.experiment import AttemptKey, Offer, State, Status, WorkerState
from tests.system.cut_world import Story, World, refused
from tests.system.power_cut import Told


def nothing(world: World) -> None:
    """An empty folder."""


def a_campaign_begins(world: World) -> None:
    world.open()


def a_campaign_begins_and_a_worker_starts(world: World) -> None:
    world.open()
    worker = world.worker()
    world.report(worker, world.start(worker))


def an_experiment_is_claimed_run_reported_and_ingested(world: World) -> None:
    worker = world.worker()
    offer = world.start(worker)
    world.lab.step()
    world.report(worker, offer)
    world.lab.step()


def a_campaign_is_run_to_its_end(world: World) -> None:
    first, second = world.worker(), world.worker("w-2")
    offers = [world.start(first), world.start(second)]
    world.lab.step()
    world.report(first, offers[0])
    world.lab.step()
    third = world.start(first)
    world.report(second, offers[1])
    world.report(first, third)
    world.lab.step(3)


def the_planner_sees_a_claim_before_its_fsync(world: World) -> None:
    worker = world.worker()
    world.meanwhile["claim.linked"] = world.lab.step
    offer = world.start(worker)
    world.report(worker, offer)
    world.lab.step()


def the_planner_sees_a_result_before_its_fsync(world: World) -> None:
    worker = world.worker()
    offer = world.start(worker)
    world.meanwhile["result.linked"] = world.lab.step
    world.report(worker, offer)
    world.lab.step()


def a_worker_claims_while_the_queue_is_replaced(world: World) -> None:
    first, second = world.worker(), world.worker("w-2")
    world.report(first, world.start(first))
    started: list[Offer] = []
    world.meanwhile["queue.written"] = lambda: started.append(world.start(second))
    world.lab.step()
    world.report(second, started[0])
    world.lab.step()


def two_workers_want_the_same_experiment(world: World) -> None:
    first, second = world.worker(), world.worker("w-2")
    others: list[Offer] = []
    world.meanwhile["claim.fsynced"] = lambda: others.append(world.start(second))
    offer = world.start(first)
    world.report(second, others[0])
    world.report(first, offer)
    world.lab.step()


def a_person_cancels_what_is_queued(world: World) -> None:
    with world.lab.ledger.change() as change:
        change.request_cancel("e0001")
    world.lab.step()


def a_person_cancels_what_runs(world: World) -> None:
    worker = world.worker()
    offer = world.start(worker)
    world.lab.step()
    with world.lab.ledger.change() as change:
        change.request_cancel(offer.key.experiment)
    world.lab.step()
    world.report(worker, offer, Status.CANCELLED)
    world.lab.step()


def a_worker_is_faster_than_a_withdrawal(world: World) -> None:
    worker, offers = world.worker(), []
    with world.lab.ledger.change() as change:
        change.request_cancel("e0001")
    world.meanwhile["claim.fsynced"] = lambda: offers.append(world.start(worker))
    world.lab.step()
    world.report(worker, offers[0])
    world.lab.step()


def a_worker_runs(world: World) -> None:
    world.open()
    world.offer = world.start(world.worker())
    world.lab.step()


def a_spoiled_result_is_rejected(world: World) -> None:
    world.tell(Told("spoiled", f"worker_result_w-1_{world.offer.key}.json"))
    world.lab.step(seconds=0.1)
    world.lab.step(2, seconds=0.6)


def something_spoiled(content: bytes | None) -> Callable[[World], None]:
    """Return a beginning: a worker runs, and what lies under its result's name is no result."""

    def begin(world: World) -> None:
        a_worker_runs(world)
        path = world.folder / "dump" / f"worker_result_w-1_{world.offer.key}.json"
        path.mkdir() if content is None else path.write_bytes(content)

    return begin


def a_result_comes_without_a_claim(world: World) -> None:
    worker = world.worker()
    key = AttemptKey("e0001", 1)
    offer = next(offer for offer in world.lab.published().offers if offer.key == key)
    worker.news()
    world.report(worker, offer)
    world.lab.step()


def an_experiment_is_released_and_run_again(world: World) -> None:
    worker = world.worker()
    offer = world.start(worker)
    world.report(worker, offer, Status.RELEASED)
    world.lab.step()
    offer = world.start(worker)
    world.report(worker, offer)
    world.lab.step()


def a_lease_ends_and_the_result_comes_late(world: World) -> None:
    worker, other = world.worker(), world.worker("w-2")
    offer = world.start(worker)
    world.lab.step()
    world.lab.step(8, seconds=2.0)
    assert world.lab.state(offer.key.experiment) is State.INTERRUPTED
    with world.lab.ledger.change() as change:
        change.requeue(offer.key.experiment)
    other.beat(WorkerState.IDLE)
    world.lab.step()
    world.report(worker, offer)
    world.lab.step(2)


def a_campaign_is_drained(world: World) -> None:
    worker = world.worker()
    offer = world.start(worker)
    world.lab.step()
    with world.lab.ledger.change() as change:
        change.set_meta(wanted="draining")
    world.lab.step()
    world.report(worker, offer)
    world.lab.step(2)


def the_planner_is_started_again(world: World) -> None:
    worker = world.worker()
    offer = world.start(worker)
    world.report(worker, offer)
    world.lab.restart()
    world.lab.step(2)


def both_daemons_come_back(world: World) -> None:
    worker = world.worker("w-2")
    world.run_if_offered(worker)  # from whatever list it finds, before any planner runs
    world.open()
    world.run_if_offered(worker)
    world.lab.step(2, seconds=0.6)


def the_folders_were_made_by_somebody_who_was_killed(world: World) -> None:
    """A worker that starts first makes the folders, and is killed before it fsyncs them."""
    (world.folder / "campaign.toml").touch()
    for name in (".staging", "pickup", "dump", "dump/claims", "dump/workers", "dump/rejected"):
        os.mkdir(world.folder / name)  # noqa: PTH102 - as the product does it
    world.open()
    world.report(worker := world.worker(), world.start(worker))
    world.lab.step()


def the_disk_refuses_a_worker(world: World) -> None:
    """Each fsync fails once; what it was for is done again."""
    worker = world.worker()
    for name in ("claim.fsynced", "claims.fsynced"):
        with refused(world, name):
            world.start(worker)
    offer = world.start(worker)
    for name in ("result.fsynced", "dump.fsynced"):
        with refused(world, name):
            world.report(worker, offer)
    world.report(worker, offer)
    world.lab.step()


def the_disk_refuses_the_planner(world: World) -> None:
    """Each fsync fails once; what it was for is done again."""
    worker = world.worker()
    world.report(worker, world.start(worker))
    with world.lab.ledger.change() as change:
        change.request_cancel("e0002")
    for name in ("claims.fsynced", "claim.fsynced", "claims.fsynced", "queue.fsynced", "pickup.fsynced"):
        with refused(world, name):
            world.lab.step()
    world.lab.step()


STORIES = (
    Story(a_campaign_begins, nothing),
    Story(a_campaign_begins_and_a_worker_starts, nothing),
    Story(an_experiment_is_claimed_run_reported_and_ingested),
    Story(a_campaign_is_run_to_its_end),
    Story(the_planner_sees_a_claim_before_its_fsync),
    Story(the_planner_sees_a_result_before_its_fsync),
    Story(a_worker_claims_while_the_queue_is_replaced),
    Story(two_workers_want_the_same_experiment),
    Story(a_person_cancels_what_is_queued),
    Story(a_person_cancels_what_runs),
    Story(a_worker_is_faster_than_a_withdrawal),
    Story(a_spoiled_result_is_rejected, something_spoiled(b'{"format": 1')),
    Story(a_spoiled_result_is_rejected, something_spoiled(None), name="a_folder_in_place_of_a_result_is_rejected"),
    Story(a_result_comes_without_a_claim),
    Story(an_experiment_is_released_and_run_again),
    Story(a_lease_ends_and_the_result_comes_late),
    Story(a_campaign_is_drained),
    Story(the_planner_is_started_again),
    Story(the_disk_refuses_a_worker),
    Story(the_disk_refuses_the_planner),
    Story(the_folders_were_made_by_somebody_who_was_killed, nothing),
    Story(
        an_experiment_is_claimed_run_reported_and_ingested,
        has_links=False,
        name="an_experiment_is_run_where_there_are_no_hard_links",
    ),
)
