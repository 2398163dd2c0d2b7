from __future__ import annotations

import pytest

from alchemy_async.experiment import AttemptKey, Status


def plans(ledger, ask):
    """Return how SQLite carries out what a reader asks."""
    asked = []
    ledger._db.set_trace_callback(asked.append)
    ask()
    ledger._db.set_trace_callback(None)
    return [row["detail"] for one in asked for row in ledger._db.execute(f"EXPLAIN QUERY PLAN {one}")]


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: ledger.measured(after=5, limit=10),
        lambda ledger: ledger.measurements_of("e0001"),
        lambda ledger: ledger.item("e0001"),
        lambda ledger: ledger.open_items(),
        lambda ledger: ledger.ended_items(10, after=3),
        lambda ledger: ledger.n_waiting(),
        lambda ledger: ledger.n_ended(),
        lambda ledger: ledger.n_observations(),
        lambda ledger: ledger.has_noise(),
        lambda ledger: ledger.outcomes_of(AttemptKey("e0001", 1)),
        lambda ledger: ledger.last_attempt_of("e0001", "w-1"),
        lambda ledger: ledger.waiting(),
        lambda ledger: ledger.window(3),
    ],
)
def test_no_question_reads_a_whole_table_of_a_long_campaign(ledger, first, ask):
    found = plans(ledger, lambda: ask(ledger))

    tables = ("experiments", "attempts", "outcomes", "corrections", "events", "measurements", "e", "a", "o", "m")
    assert found
    assert not [step for step in found if step in {f"SCAN {table}" for table in tables} or "MATERIALIZE" in step]


def test_measurements_are_read_in_pages_up_to_an_end(bench, ledger):
    for i in range(5):
        bench.report(bench.add(i / 10).key, y=float(i))

    page = ledger.measured(after=1, limit=2)
    rest = ledger.measured(after=page[-1].number, before_end=4)

    assert [one.values["y"] for one in page + rest] == [1.0, 2.0, 3.0]


def test_a_measurement_says_what_was_asked_and_what_was_run(bench, ledger, first):
    bench.claim(first)
    bench.report(first, parameters={"x": 0.47})

    (found,) = ledger.measured()

    assert (found.asked, found.parameters, found.is_recorded) == ({"x": 0.5}, {"x": 0.47}, False)


def test_an_item_shows_what_decided_it(bench, ledger):
    done, failed = bench.add(0.1).key, bench.add(0.2).key
    bench.report(done, y=2.0)
    bench.report(failed, Status.FAILED)
    waiting = bench.add(0.3)

    assert [(item.id, item.values, item.error) for item in ledger.ended_items(10)] == [
        ("e0001", {"y": 2.0}, ""), ("e0002", {}, "why"),
    ]  # fmt: skip
    assert [item.id for item in ledger.open_items()] == [waiting.id]
    assert ledger.n_ended() == (1, 1)


def test_of_what_has_ended_the_last_are_shown(bench, ledger):
    for i in range(5):
        bench.report(bench.add(i / 10).key, y=float(i))

    assert [item.id for item in ledger.ended_items(2)] == ["e0004", "e0005"]
    assert [item.id for item in ledger.ended_items(9, after=3)] == ["e0004", "e0005"]


def test_what_is_to_be_cancelled_does_not_wait(bench, ledger, first):
    bench.add(0.2)
    bench.do("request_cancel", first.experiment)

    assert (ledger.n_waiting(), [one.id for one in ledger.waiting()]) == (1, ["e0002"])


def test_the_summary_of_values_is_that_of_a_textbook(bench, ledger):
    assert ledger.summary("y") is None
    for y in (1e9 + 1.0, 1e9 + 2.0, 1e9 + 6.0):
        bench.report(bench.add(y / 1e10).key, y=y)

    found = ledger.summary("y")

    assert (found.n, found.min, found.max, found.mean) == (3, 1e9 + 1, 1e9 + 6, 1e9 + 3)
    assert found.std == pytest.approx(7**0.5)


def test_a_single_value_has_no_standard_deviation(bench, ledger, first):
    bench.report(first)

    assert ledger.summary("y").std is None


def test_all_reports_of_an_attempt_are_told_oldest_first(bench, ledger, first):
    bench.report(first, y=1.0)
    bench.report(first, y=2.0, digest="other")

    assert [(one["measured"], one["role"]) for one in ledger.outcomes_of(first)] == [
        ({"y": 1.0}, "result"), ({"y": 2.0}, "conflict"),
    ]  # fmt: skip
    assert [one["status"] for one in ledger.decisive_outcomes("e0001")] == ["completed"]


def test_the_newest_attempt_of_a_worker_is_found(bench, ledger, first):
    bench.claim(first, worker="w-1", idempotent=True)
    bench.do("interrupt", first, "silent")
    bench.claim(AttemptKey("e0001", 2), worker="w-2")

    assert ledger.last_attempt_of("e0001", "w-1") == 1
    assert ledger.last_attempt_of("e0001", "w-2") == 2
    assert ledger.last_attempt_of("e0001", "w-3") is None
