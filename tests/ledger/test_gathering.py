from __future__ import annotations

import random
import sqlite3

import pytest

from alchemy_async.errors import AlchemyError, IllegalTransitionError
from alchemy_async.experiment import AttemptKey, AttemptState, Claim, Failure, Outcome, Result, State, Status
from alchemy_async.ledger import Ingested, Ledger, gathering

from .conftest import STUDY, Bench

N = 12  # experiments of a story
N_THINGS = 150  # that happen in it


def all_rows(ledger):
    """Return all rows of all tables but the random campaign id."""
    tables = [row["name"] for row in ledger._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {table: [tuple(row) for row in ledger._db.execute(f"SELECT * FROM {table}")] for table in tables}
    found["meta"] = [row for row in found["meta"] if row[0] != "campaign"]
    return found


def an_outcome(rng, now):
    status = rng.choice([Status.COMPLETED] * 6 + list(Status))
    kind = rng.choice(["error", "retryable", "retryable"])
    return Outcome(
        status,
        now,
        now,
        values={"y": rng.random()} if status is Status.COMPLETED else {},
        sems=rng.choice([{}, {"y": 0.1}]) if status is Status.COMPLETED else {},
        parameters=rng.choice([None, None, {"x": rng.random()}]),
        error=None if status is Status.COMPLETED else Failure(kind, "why"),
    )


def a_story(rng, clock):
    """Return what happens, as names of changes and what they are called with; some of it is refused."""
    names = [f"e{i + 1:04d}" for i in range(N)]
    told = []
    things = []
    for _ in range(N_THINGS):
        name = rng.choice([*names, rng.choice([*names, "E0001", "e0099"])])
        key = AttemptKey(name, rng.choice([1, 1, 1, 2, 2, 3]))
        worker = rng.choice(["w-1", "w-1", "w-1", "w-2", "unknown"])
        parameters = rng.choice([{}, {"x": rng.random()}])
        claim = Claim("study", key, 1, parameters, worker, "a", "host", 7, rng.choice([False, False, True]))
        told.append((Result("study", key, worker, an_outcome(rng, clock.now())), f"digest {len(told)}"))
        things.append(
            rng.choice(
                [("claim", claim)] * 8
                + [("ingest", *told[-1])] * 8
                + [("ingest", *rng.choice(told))] * 2
                + [("withdrawn", key, "why"), ("list_attempts", [key]), ("request_cancel", name)]
                + [("interrupt", key, "silent"), ("requeue", name), ("revive", key), ("note", "said", key)]
                + [("attempt", key), ("experiment", name), ("move", name, rng.random())]
            )
        )
    return things


def happen(change, name, *args):
    try:
        return getattr(change, name)(*args)
    except (AlchemyError, sqlite3.Error) as error:
        return repr(error)


def prepare(bench, seed):
    rng = random.Random(seed)
    if rng.random() < 0.7:
        bench.limit(100, max_started=rng.choice([N + 2, 2 * N]))
    for i in range(N):
        key = bench.add(i / N, pinned=rng.random() < 0.3).key
        if rng.random() < 0.6:
            bench.do("list_attempts", [key])


@pytest.mark.parametrize("seed", range(12))
def test_what_is_gathered_leaves_the_rows_and_answers_that_each_by_itself_does(tmp_path, clock, seed, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr(gathering, "MOST_AHEAD", rng.choice([2, 4, 256]))
    story = a_story(rng, clock)
    found = []
    for gathers in (False, True):
        with Ledger.create(tmp_path / f"{gathers}.db", name="study", study=STUDY, durable=False, clock=clock) as ledger:
            prepare(Bench(ledger, clock), seed)
            answers, sizes, left = [], random.Random(seed), list(story)
            while left:
                batch, left = left[: (size := sizes.randint(1, 40))], left[size:]
                ahead = [getattr(one[1], "key", one[1])[0] for one in batch if one[0] in ("claim", "ingest")]
                sizes.shuffle(ahead)
                with ledger.change() as change:
                    if gathers:
                        with change.gathering(ahead):
                            answers += [happen(change, *one) for one in batch]
                    else:
                        answers += [happen(change, *one) for one in batch]
            found.append((answers, all_rows(ledger)))

    (apart, rows_apart), (together, rows_together) = found

    assert together == apart
    assert rows_together == rows_apart


def claim_of(key, worker="w-1"):
    return Claim("study", key, 1, {}, worker, "a")


def result_of(key, clock, status=Status.COMPLETED, worker="w-1", kind="error"):
    now = clock.now()
    is_measured = status is Status.COMPLETED
    outcome = Outcome(
        status, now, now, {"y": 1.0} if is_measured else {}, error=None if is_measured else Failure(kind, "why")
    )
    return Result("study", key, worker, outcome)


def statements(ledger, work):
    """Return the different statements, values included, that some work reads and updates with."""
    said = []
    ledger._db.set_trace_callback(said.append)
    work()
    ledger._db.set_trace_callback(None)
    return {line for line in said if line.startswith(("SELECT", "UPDATE"))}


def test_the_rows_of_many_are_read_with_a_few_statements_and_each_is_updated_once(bench, ledger, clock):
    keys = [bench.add(i / 100).key for i in range(40)]

    def take_all_in():
        with ledger.change() as change, change.gathering(key.experiment for key in keys):
            for key in keys:
                change.claim(claim_of(key))
            for key in keys:
                change.ingest(result_of(key, clock), "d")

    said = statements(ledger, take_all_in)

    assert len([line for line in said if line.startswith("SELECT")]) <= 3
    assert len([line for line in said if line.startswith("UPDATE attempts")]) == len(keys)
    assert len([line for line in said if line.startswith("UPDATE experiments")]) == len(keys)
    assert ledger.tally()["completed"] == len(keys)


def test_what_waits_is_seen_within_the_change_and_not_by_the_ledger_until_the_block_ends(bench, ledger, first):
    with ledger.change() as change:
        with change.gathering([first.experiment]):
            change.claim(claim_of(first))

            assert change.attempt(first).state is AttemptState.RUNNING
            assert change.experiment(first.experiment).state is State.RUNNING
            assert ledger.attempt(first).state is AttemptState.QUEUED
        assert ledger.attempt(first).state is AttemptState.RUNNING


def test_an_error_that_is_caught_within_the_block_takes_nothing_back(bench, ledger, first, clock):
    with ledger.change() as change, change.gathering([first.experiment, "e0099"]):
        change.claim(claim_of(first))
        with pytest.raises(AlchemyError, match="e0099"):
            change.ingest(result_of(AttemptKey("e0099", 1), clock), "d")

    assert bench.state() is State.RUNNING


def test_an_error_that_leaves_the_change_takes_all_of_it_back(bench, ledger, clock):
    first, second = bench.add(0.1).key, bench.add(0.2).key
    before = all_rows(ledger)

    def fail_half_way():
        with ledger.change() as change, change.gathering(["e0001", "e0002"]):
            change.claim(claim_of(first))
            change.ingest(result_of(second, clock), "d")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    assert all_rows(ledger) == before


def test_a_row_that_another_way_changed_under_the_block_ends_the_change(bench, ledger, first):
    def change_it_twice():
        with ledger.change() as change, change.gathering([first.experiment]):
            change.claim(claim_of(first))
            ledger._db.execute("UPDATE attempts SET state = 'running' WHERE experiment = 'e0001'")

    with pytest.raises(IllegalTransitionError, match="Another change came first"):
        change_it_twice()

    assert ledger.attempt(first).state is AttemptState.QUEUED


def test_the_next_attempt_of_a_failure_in_the_block_can_be_claimed_and_measured_in_it(bench, ledger, first, clock):
    second = AttemptKey(first.experiment, 2)

    with ledger.change() as change, change.gathering([first.experiment]):
        change.claim(claim_of(first))
        change.ingest(result_of(first, clock, Status.FAILED, kind="retryable"), "d1")
        ingested = change.ingest(result_of(second, clock), "d2")

    assert ingested is Ingested.COUNTED
    assert bench.state() is State.COMPLETED
    assert bench.kinds()[-5:] == ["claimed", "failed", "requeued", "claimed", "completed"]
