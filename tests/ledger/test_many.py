from __future__ import annotations

import sqlite3

import pytest

from alchemy_async.errors import BudgetError, IllegalTransitionError
from alchemy_async.experiment import AttemptKey, AttemptState, Outcome, State, Status
from alchemy_async.ledger import RECORDED, Addition, Completion, Ledger

from .conftest import STUDY, Bench


def completion(bench, y=1.0, **more):
    now = bench.clock.now()
    return Completion(Outcome(Status.COMPLETED, now, now, {"y": y}), f"digest of {y}", **more)


def complete(bench, *experiments, worker="rest"):
    done = [(found, completion(bench, float(i))) for i, found in enumerate(experiments)]
    bench.do("complete_all", done, worker=worker)


def everything(ledger):
    """Return all rows of all tables but the times, so that two ways to one state can be compared."""
    tables = ("experiments", "attempts", "outcomes", "tallies")
    found = {}
    for table in tables:
        columns = [row["name"] for row in ledger._db.execute(f"PRAGMA table_info({table})")]
        kept = [name for name in columns if not name.endswith("_at") and name not in ("instance", "digest")]
        found[table] = [tuple(row) for row in ledger._db.execute(f"SELECT {', '.join(kept)} FROM {table}")]
    found["events"] = [(event["kind"], event["experiment"], event["attempt"]) for event in ledger.events()[1:]]
    return found


def test_many_are_queued_in_their_order_with_an_event_each(bench, ledger):
    found = bench.do("add_all", [Addition({"x": x}, "person", pinned=True, requires=("b", "a")) for x in (0.1, 0.2)])

    assert [one.id for one in found] == ["e0001", "e0002"]
    assert found == ledger.experiments()
    assert bench.kinds() == ["created", "queued", "queued"]


def test_all_or_none_of_many_are_queued(bench, ledger):
    bench.limit(3)
    bench.add()

    with pytest.raises(BudgetError, match="3 experiments do not fit: 2 of the 3 places of the budget are free"):
        bench.do("add_all", [Addition({"x": 0.1})] * 3)

    assert ledger.last_number() == 1


def test_queueing_none_needs_no_place(bench):
    bench.limit(0)

    assert bench.do("add_all", []) == []


def test_starts_that_are_left_limit_how_many_are_queued(bench):
    bench.limit(10, max_started=2)

    with pytest.raises(BudgetError, match="Of the 3 starts that this takes 2 are left"):
        bench.do("add_all", [Addition({"x": 0.1})] * 3)


def test_completing_many_leaves_what_completing_each_by_itself_does(bench, ledger, tmp_path, clock):
    with Ledger.create(tmp_path / "other.db", name="study", study=STUDY, clock=clock) as other_ledger:
        other = Bench(other_ledger, clock)
        for one in (bench, other):
            for x in (0.1, 0.2, 0.3):
                one.add(x)
            one.claim(AttemptKey("e0002", 1), worker="rest")

        complete(bench, *ledger.experiments())
        for i, found in enumerate(other_ledger.experiments()):
            other.report(found.key, worker="rest", y=float(i))

        assert everything(ledger) == everything(other_ledger)


def test_who_claimed_one_stays_its_worker(bench, ledger, first):
    bench.claim(first, worker="w-1")

    complete(bench, ledger.experiment(first.experiment))

    assert ledger.attempt(first).worker == "w-1"
    assert ledger.outcomes_of(first)[0]["worker"] == "w-1"


def test_an_interrupted_experiment_is_completed_as_well(bench, ledger, first):
    bench.claim(first)
    bench.do("interrupt", first, "silent")

    complete(bench, ledger.experiment(first.experiment))

    assert bench.state() is State.COMPLETED
    assert ledger.attempt(first).state is AttemptState.ENDED


def test_one_that_has_ended_keeps_all_of_them_from_being_completed(bench, ledger):
    ended, waiting = bench.add(0.1), bench.add(0.2)
    bench.report(ended.key)

    with pytest.raises(IllegalTransitionError, match="correct it instead"):
        complete(bench, waiting, ledger.experiment(ended.id))

    assert bench.state(waiting.id) is State.QUEUED


def test_one_that_changed_meanwhile_keeps_all_of_them_from_being_completed(bench, ledger):
    first, second = bench.add(0.1), bench.add(0.2)
    bench.claim(second.key)

    with pytest.raises(IllegalTransitionError, match="Another change came first"):
        complete(bench, first, second)  # the second is said to be queued

    assert (bench.state(first.id), ledger.n_observations()) == (State.QUEUED, 0)


def test_one_named_twice_keeps_all_of_them_from_being_completed(bench, ledger):
    found = bench.add()

    with pytest.raises((IllegalTransitionError, sqlite3.IntegrityError)):
        complete(bench, found, found)

    assert ledger.n_observations() == 0


def test_measurements_that_were_never_queued_leave_the_queue_at_its_version(bench, ledger):
    bench.add()
    version = ledger.queue_version()

    (found,) = bench.do("record_all", [(Addition({"x": 0.4}, RECORDED, iteration=3), completion(bench))], worker="rest")

    assert (found, found.state) == (ledger.experiment("e0002"), State.COMPLETED)
    assert ledger.queue_version() == version
    assert bench.kinds()[-3:] == ["queued", "claimed", "completed"]
    assert (ledger.tally()["queued"], ledger.tally()["completed"], ledger.tally()["starts"]) == (1, 1, 1)
    assert ledger.n_ended() == (0, 0)


def test_measurements_that_were_never_queued_take_places_too(bench, ledger):
    bench.limit(1)

    with pytest.raises(BudgetError, match="2 experiments do not fit"):
        bench.do("record_all", [(Addition({"x": 0.4}), completion(bench, y)) for y in (1.0, 2.0)], worker="rest")

    assert ledger.n_observations() == 0


def test_a_completion_can_set_reason_and_iteration_or_leave_them(bench, ledger):
    one, other = bench.add(0.1, reason="own", iteration=4), bench.add(0.2, reason="own")

    bench.do(
        "complete_all",
        [(one, completion(bench, 1.0)), (other, completion(bench, 2.0, reason="set", iteration=9))],
        worker="rest",
    )

    told = [(found.reason, found.iteration) for found in ledger.experiments()]
    assert told == [("own", 4), ("set", 9)]
