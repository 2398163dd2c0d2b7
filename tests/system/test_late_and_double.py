"""Results that nobody waits for any more, that come twice, or that nobody ever asked for."""

from __future__ import annotations

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import AttemptKey, Outcome, Result, State, Status, WorkerState
from alchemy_async.files import dump_json
from tests.planner_daemon.conftest import Lab

pytestmark = pytest.mark.fault(7)


@pytest.fixture
def here(tmp_path):
    lab = Lab(tmp_path / "lab", SimulatedClock(), n_initial=3, budget="experiments = 6")
    lab.worker()
    lab.step()
    yield lab
    lab.close()


def written(here, key, *, worker="w-1", y=0.25, status=Status.COMPLETED) -> bytes:
    """Return a result as a worker writes it."""
    now = here.clock.now()
    values = {"y": y} if status is Status.COMPLETED else {}
    return dump_json(Result(here.ledger.campaign, key, worker, Outcome(status, now, now, values)).to_wire())


def put(here, key, data: bytes, *, worker="w-1") -> str:
    name = f"worker_result_{worker}_{key}.json"
    staged = here.folder / ".staging" / name
    staged.write_bytes(data)
    staged.rename(here.folder / "dump" / name)
    return name


def interrupt(here):
    """Let a worker claim and fall silent for its lease; return what it holds."""
    offer = here.claim(here.workers["w-1"])
    here.step(12, seconds=1.0)
    assert here.state(offer.key.experiment) is State.INTERRUPTED
    return offer


def roles(here) -> list[tuple[str, str]]:
    return [(f"{row['experiment']}.{row['attempt']}", row["role"]) for row in here.ledger.outcomes()]


def left_in_dump(here) -> list[str]:
    return sorted(path.name for path in (here.folder / "dump").glob("worker_result_*"))


@pytest.mark.parametrize("key", [AttemptKey("e0777", 1), AttemptKey("e0001", 2), AttemptKey("E0001", 1)])
def test_a_result_that_nobody_asked_for_is_rejected_and_changes_nothing(here, key, caplog):
    data = written(here, key)
    name = put(here, key, data)
    before = here.ledger.tally()

    here.step(2)

    assert (here.folder / "dump" / "rejected" / name).read_bytes() == data
    assert "is no attempt of this campaign" in (here.folder / "dump" / "rejected" / f"{name}.reason.txt").read_text()
    assert f"rejected '{name}'" in caplog.text
    assert here.ledger.tally() == before
    assert not (here.folder / "dump" / "claims" / f"{key}.json").exists()
    assert left_in_dump(here) == []


def test_the_very_same_result_again_is_taken_away_and_counts_once_even_after_a_restart(here):
    offer = here.claim(here.workers["w-1"])
    data = written(here, offer.key)
    for _ in range(3):
        put(here, offer.key, data)
        here.step(2)

    here.restart()
    put(here, offer.key, data)
    here.step(2)

    assert roles(here) == [(str(offer.key), "result")]
    assert here.ledger.n_observations() == 1
    assert here.ledger.tally()["completed"] == 1
    assert left_in_dump(here) == []
    assert not list((here.folder / "dump" / "rejected").iterdir())


def test_other_values_under_the_same_id_are_kept_as_a_conflict_with_a_warning_and_the_model_never_sees_them(
    here, caplog
):
    offer = here.claim(here.workers["w-1"])
    put(here, offer.key, written(here, offer.key, y=0.25))
    here.step(2)

    put(here, offer.key, written(here, offer.key, y=99.0))
    here.step(2)

    assert roles(here) == [(str(offer.key), "result"), (str(offer.key), "conflict")]
    (warning,) = [record for record in caplog.records if "conflict" in record.getMessage()]
    assert warning.levelname == "WARNING"
    assert "y=99" in warning.getMessage()
    assert [observed.values for observed in here.ledger.history().observations] == [{"y": 0.25}]
    assert here.state(offer.key.experiment) is State.COMPLETED
    assert left_in_dump(here) == []


def test_of_two_results_that_come_at_once_only_that_of_the_worker_that_has_the_attempt_counts(here):
    offer = here.claim(here.workers["w-1"])
    put(here, offer.key, written(here, offer.key, y=0.25))
    put(here, offer.key, written(here, offer.key, worker="thief", y=0.01), worker="thief")

    here.step(2)

    assert sorted(role for _, role in roles(here)) == ["conflict", "result"]
    assert [observed.values for observed in here.ledger.history().observations] == [{"y": 0.25}]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.INFEASIBLE])
def test_a_late_result_of_an_interrupted_experiment_decides_it(here, status):
    offer = interrupt(here)

    put(here, offer.key, written(here, offer.key, status=status))
    here.step(2)

    assert str(here.state(offer.key.experiment)) == str(status)
    assert roles(here) == [(str(offer.key), "result")]


def test_a_late_measurement_ends_an_experiment_that_was_queued_again_and_nobody_can_start_it(here):
    offer = interrupt(here)
    with here.ledger.change() as change:
        newer = change.requeue(offer.key.experiment)
    here.step()
    assert newer in [offered.key for offered in here.published().offers]

    put(here, offer.key, written(here, offer.key))
    here.step(2)

    assert here.state(offer.key.experiment) is State.COMPLETED
    other = here.worker("w-2")
    taken = [here.claim(other) for _ in range(len(here.published().offers))]
    assert newer not in [offered.key for offered in taken if offered is not None]
    assert left_in_dump(here) == []


def test_a_late_measurement_beside_a_newer_attempt_that_runs_counts_and_the_newer_one_is_a_replicate(here):
    offer = interrupt(here)
    with here.ledger.change() as change:
        change.requeue(offer.key.experiment)
    other = here.worker("w-2")
    here.step()
    newer = here.claim(other)
    assert newer.key == AttemptKey(offer.key.experiment, 2)
    here.step()

    put(here, offer.key, written(here, offer.key, y=0.25))
    here.step(2)
    assert here.published().cancel == (newer.key,)
    here.report(other, newer, y=0.5)
    here.step(2)

    assert roles(here) == [(str(offer.key), "result"), (str(newer.key), "replicate")]
    assert here.ledger.tally()["completed"] == 1
    assert here.ledger.n_observations() == 2
    assert here.published().cancel == ()


def test_a_late_failure_of_an_older_attempt_does_not_end_the_newer_one(here):
    offer = interrupt(here)
    with here.ledger.change() as change:
        change.requeue(offer.key.experiment)

    put(here, offer.key, written(here, offer.key, status=Status.FAILED))
    here.step(2)

    assert roles(here) == [(str(offer.key), "superseded")]
    assert here.state(offer.key.experiment) is State.QUEUED


def test_a_late_measurement_of_what_was_abandoned_is_a_replicate_and_its_place_stays_free(here):
    offer = interrupt(here)
    with here.ledger.change() as change:
        change.abandon(offer.key.experiment)

    put(here, offer.key, written(here, offer.key))
    here.step(2)

    assert roles(here) == [(str(offer.key), "replicate")]
    assert here.state(offer.key.experiment) is State.ABANDONED
    assert here.ledger.tally()["completed"] == 0
    assert here.ledger.n_observations() == 1


def test_results_that_wait_from_before_the_campaign_ended_are_replicates_when_it_runs_again(here):
    offer = interrupt(here)
    with here.ledger.change() as change:
        change.abandon(offer.key.experiment)
    data = written(here, offer.key)
    here.close()
    put(here, offer.key, data)

    here._open()
    here.workers["w-1"].beat(WorkerState.IDLE)
    here.step(2)

    assert roles(here) == [(str(offer.key), "replicate")]
    assert left_in_dump(here) == []
