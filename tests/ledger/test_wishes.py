from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from alchemy_async.errors import IllegalTransitionError, LedgerError
from alchemy_async.experiment import Objective
from alchemy_async.ledger import Ledger
from alchemy_async.ledger.schema import VERSION

from .conftest import STUDY

FIRST_VERSION = Path(__file__).parent.parent / "assets" / "ledger_v1.sql"
Y = Objective("y", "maximize")


def measured(bench, *values):
    """Measure one experiment for each value; return the numbers of the measurements."""
    for i, y in enumerate(values):
        bench.report(bench.add(i / 10).key, y=y, digest=f"d{y}")
    return [one.number for one in bench.ledger.measured()]


def correct(bench, number, **more):
    bench.do("correct", number, who="Ada", why="looked again", **more)


# -- amending


def test_what_a_person_amends_the_planner_does_not_revise_again(bench, ledger, first):
    bench.do("amend", first.experiment, {"x": 0.9})

    assert (ledger.experiment("e0001").parameters, ledger.experiment("e0001").pinned) == ({"x": 0.9}, True)
    assert ledger.attempt(first).parameters == {"x": 0.9}
    with pytest.raises(IllegalTransitionError, match="unpinned"):
        bench.do("revise", first.experiment, {"x": 0.1})


def test_every_point_that_was_offered_is_remembered_when_it_is_amended(bench, ledger, first):
    bench.do("amend", first.experiment, {"x": 0.9})

    assert ledger.offered_points(10) == {"e0001": [{"x": 0.5}, {"x": 0.9}]}


@pytest.mark.parametrize("had", ["claimed", "offered again", "to be cancelled"])
def test_what_somebody_had_keeps_its_parameters(bench, first, had):
    if had == "to be cancelled":
        bench.do("request_cancel", first.experiment)
    else:
        bench.claim(first, idempotent=True)
    if had == "offered again":
        bench.do("interrupt", first, "silent")

    with pytest.raises(IllegalTransitionError, match="Stage another one"):
        bench.do("amend", first.experiment, {"x": 0.9})


def test_reason_and_iteration_are_set_each_by_itself_until_the_end(bench, ledger, first):
    bench.do("annotate", first.experiment, reason="why")
    bench.do("annotate", first.experiment, iteration=3)

    assert (ledger.experiment("e0001").reason, ledger.experiment("e0001").iteration) == ("why", 3)
    assert [event["details"] for event in ledger.events()[-2:]] == [{"reason": "why"}, {"iteration": 3}]
    bench.report(first)
    with pytest.raises(IllegalTransitionError, match="stays as it is"):
        bench.do("annotate", first.experiment, reason="other")


def test_iterations_begin_at_0_and_follow_the_largest(bench):
    assert bench.do("next_iteration") == 0
    bench.add(iteration=7)
    bench.add(iteration=2)

    assert bench.do("next_iteration") == 8


# -- correcting


def test_the_history_has_the_corrected_values(bench, ledger):
    first, _ = measured(bench, 1.0, 2.0)
    before = ledger.history_version()
    assert len(ledger.history().observations) == 2

    correct(bench, first, measured={"y": 1.5}, sems={"y": 0.1})

    found = ledger.history().observations[0]
    assert (found.values, found.sems) == ({"y": 1.5}, {"y": 0.1})
    assert ledger.history_version() > before


def test_an_outlier_is_in_neither_history_nor_count_nor_best(bench, ledger):
    _, second = measured(bench, 1.0, 9.0)
    assert ledger.best(Y).value == 9.0

    correct(bench, second, is_outlier=True)

    assert [one.values["y"] for one in ledger.history().observations] == [1.0]
    assert (ledger.n_observations(), ledger.observed(), ledger.best(Y).value) == (1, ["e0001"], 1.0)
    assert [row["role"] for row in ledger.outcomes()] == ["result", "outlier"]


def test_the_count_follows_every_change_of_mind(bench, ledger):
    first, _ = measured(bench, 1.0, 2.0)
    counts = []
    for is_outlier in (True, True, False, None, True):
        correct(bench, first, is_outlier=is_outlier)
        counts.append(ledger.n_observations())

    assert counts == [1, 1, 2, 2, 1]
    assert len(ledger.history().observations) == 1


def test_marking_a_conflict_as_an_outlier_changes_no_count(bench, ledger, first):
    bench.report(first, y=1.0)
    bench.report(first, y=7.0, digest="another")
    conflict = ledger.measurements_of("e0001")[1]

    correct(bench, conflict.number, is_outlier=True)
    correct(bench, conflict.number, is_outlier=False)

    assert ledger.n_observations() == 1


def test_the_best_is_that_of_the_corrected_values(bench, ledger):
    first, _ = measured(bench, 1.0, 2.0)

    correct(bench, first, measured={"y": 3.0})

    assert (ledger.best(Y).value, ledger.best(Y).experiment) == (3.0, "e0001")


def test_what_was_recorded_and_every_correction_stay(bench, ledger):
    (number,) = measured(bench, 1.0)
    correct(bench, number, measured={"y": 2.0})
    correct(bench, number, is_outlier=True)

    assert ledger.recorded_values(number) == ({"y": 1.0}, {})
    told = [(one["values"], one["outlier"]) for one in ledger.corrections_of(number)]
    assert told == [({"y": 2.0}, False), ({"y": 2.0}, True)]
    for statement in ("DELETE FROM corrections", "UPDATE corrections SET why = ''"):
        with pytest.raises(sqlite3.IntegrityError):
            ledger._db.execute(statement)


def test_a_correction_that_is_rolled_back_is_none(bench, ledger):
    (number,) = measured(bench, 1.0)

    def correct_and_fail():
        with ledger.change() as change:
            change.correct(number, who="", why="", is_outlier=True)
            raise RuntimeError(len(ledger.history().observations))

    with pytest.raises(RuntimeError, match="0"):
        correct_and_fail()

    assert len(ledger.history().observations) == ledger.n_observations() == 1


def test_where_there_is_no_measurement_there_is_nothing_to_correct(bench):
    with pytest.raises(LedgerError, match="no measurement number 7"):
        correct(bench, 7, is_outlier=True)


# -- ledgers of the first version


@pytest.fixture
def old(path):
    """Make a ledger as the first version wrote it, with one experiment measured and one queued."""
    db = sqlite3.connect(path)
    db.executescript(FIRST_VERSION.read_text())
    db.executescript(f"""
        INSERT INTO meta VALUES ('campaign', 'study-1'), ('name', 'study'), ('study', '{json.dumps(STUDY)}'),
            ('created_at', '2026-01-01T00:00:00Z'), ('wanted', 'running');
        INSERT INTO experiments (number, id, state, parameters, origin, iteration) VALUES
            (1, 'e0001', 'completed', '{{"x":0.1}}', 'planner', 4),
            (2, 'e0002', 'queued', '{{"x":0.2}}', 'planner', NULL);
        INSERT INTO attempts (experiment, attempt, state, parameters, worker) VALUES
            ('e0001', 1, 'ended', '{{"x":0.1}}', 'w-1'), ('e0002', 1, 'queued', '{{"x":0.2}}', '');
        INSERT INTO outcomes (experiment, attempt, worker, status, role, parameters, measured, sems, started_at,
            finished_at, digest, recorded_at) VALUES ('e0001', 1, 'w-1', 'completed', 'result', '{{"x":0.1}}',
            '{{"y":2.0}}', '{{"y":0.5}}', '2026-01-01T00:00:00Z', '2026-01-01T00:01:00Z', 'd', '2026-01-01T00:01:00Z');
    """)
    db.commit()
    db.close()
    return path


def test_a_ledger_of_the_first_version_is_brought_up_with_all_that_it_holds(old, clock):
    with Ledger.create(old, name="study", study=STUDY, clock=clock) as ledger:
        assert ledger._db.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert (ledger.n_observations(), ledger.has_noise(), ledger.n_waiting()) == (1, True, 1)
        assert ledger.measured()[0].values == {"y": 2.0}
        assert [item.id for item in ledger.open_items()] == ["e0002"]
        with ledger.change() as change:
            assert change.next_iteration() == 5
            change.correct(1, who="Ada", why="x", is_outlier=True)
            change.amend("e0002", {"x": 0.3})
        assert (ledger.n_observations(), ledger.queue_version()) == (0, 1)


def test_a_ledger_of_the_first_version_is_brought_up_once_by_whoever_comes_first(old, clock):
    with Ledger.open(old, clock=clock) as first, Ledger.open(old, clock=clock) as second:
        assert first.n_observations() == second.n_observations() == 1


def test_a_ledger_that_was_brought_up_has_the_tables_of_one_that_was_made(old, path, tmp_path, clock):
    def tables(ledger):
        found = ledger._db.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name")
        names = [row["name"] for row in found]
        return {name: sorted(row["name"] for row in ledger._db.execute(f"PRAGMA table_info({name})")) for name in names}

    fresh = Ledger.create(tmp_path / "fresh.db", name="study", study=STUDY, clock=clock)
    with Ledger.open(old, clock=clock) as brought, fresh:
        assert tables(brought) == tables(fresh)
