"""A backlog: thousands of staged experiments cost the daemon no more than the few that are about to run."""

from __future__ import annotations

import pytest

from alchemy_async.planner_daemon.daemon import WINDOW

SMALL = ("attempts_listed", "attempts_held", "experiments_revisable", "experiments_cancelling")  # partial indexes


@pytest.fixture
def backlog(lab):
    def make(n, **settings):
        here = lab(budget=f"experiments = {2 * n + 10 * WINDOW}", n_initial=1, **settings)
        with here.ledger.change() as change:
            for k in range(n):
                change.add({"x": k / n}, origin="person", pinned=True, requires=("hplc",) if k % 10 == 9 else ())
        here.step()
        return here

    return make


def test_a_queue_that_lacks_only_the_tail_of_a_backlog_is_not_published_for_each_result(backlog):
    here = backlog(5 * WINDOW)
    worker = here.worker()
    here.step()
    first = here.published().revision

    for _ in range(5):
        here.run_one(worker)
        here.step()

    assert here.published().revision == first


def test_a_queue_is_published_before_half_of_it_is_taken(backlog):
    here = backlog(5 * WINDOW)
    worker = here.worker()

    for _ in range(2 * WINDOW):
        assert here.claim(worker) is not None
        here.step()
        free = {offer.key for offer in here.published().offers if not here.queue._layout.is_claimed(offer.key)}
        assert 2 * len(free) >= WINDOW


def test_what_a_person_puts_in_front_is_published_at_once(backlog):
    here = backlog(5 * WINDOW)

    with here.ledger.change() as change:
        change.move("e0200", 5.0)
    here.step()

    assert here.published().offers[0].key.experiment == "e0200"


def test_a_scarce_kind_is_published_at_once_though_the_rest_of_the_queue_is_long(backlog):
    here = backlog(9)
    with here.ledger.change() as change:
        for k in range(5 * WINDOW):
            change.add({"x": 0.5 + k / 1000}, origin="person", pinned=True)
    here.step()

    with here.ledger.change() as change:
        staged = change.add({"x": 0.123}, origin="person", pinned=True, requires=("hplc",))
    here.step()

    assert staged.id in [offer.key.experiment for offer in here.published().offers]


def test_a_question_tells_of_the_head_of_a_backlog_alone(backlog, monkeypatch):
    monkeypatch.setattr("alchemy_async.planner_daemon.refresh.MOST_PENDING", 20)
    here = backlog(40, look_ahead=60)
    worker = here.worker()
    for _ in range(3):
        here.run_one(worker)
        here.step()

    _, pending, _, _ = here.planner.questions[-1]

    assert 20 <= len(pending) < 100


def test_no_statement_of_a_step_reads_the_whole_backlog(backlog):
    here = backlog(2000)
    worker = here.worker()
    here.run_one(worker)
    here.step()
    statements = []
    here.ledger._db.set_trace_callback(statements.append)
    here.run_one(worker)
    here.step()
    here.ledger._db.set_trace_callback(None)

    for statement in {text for text in statements if text.lstrip().startswith(("SELECT", "UPDATE", "WITH"))}:
        plan = [row[3] for row in here.ledger._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = [line for line in plan if line.startswith("SCAN") and not line.endswith(SMALL)]
        assert not [line for line in scans if any(table in line for table in ("experiments", "attempts", "points"))], (
            statement, plan,
        )  # fmt: skip


def test_the_queue_shows_as_many_as_are_taken_in_a_second_and_few_again_when_that_is_over(backlog):
    here = backlog(10 * WINDOW)
    worker = here.worker()
    for _ in range(4):
        for _ in range(WINDOW // 2):
            assert here.claim(worker) is not None
        here.step()

    assert len(here.daemon._offers()) > here.daemon._window >= 2 * WINDOW
    here.step(3, seconds=1.1)
    assert here.daemon._window == WINDOW
