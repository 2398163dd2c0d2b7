from __future__ import annotations

import contextlib
import sqlite3
from functools import partial

import pytest

from alchemy_async.errors import LedgerError
from alchemy_async.experiment import Objective, State, Status, standing
from alchemy_async.ledger import Ledger

from .conftest import STUDY


def test_a_ledger_keeps_its_campaign_when_it_is_opened_again(path, ledger):
    again = Ledger.create(path, name="study", study=STUDY)

    assert again.campaign == ledger.campaign
    assert again.campaign.startswith("study-")
    again.close()


def test_another_study_is_refused_with_the_ways_out(path, ledger):
    with pytest.raises(LedgerError, match="alchemy-async clear"):
        Ledger.create(path, name="study", study={"parameters": []})


def test_a_missing_ledger_is_named(tmp_path):
    with pytest.raises(LedgerError, match="never started"):
        Ledger.open(tmp_path / "campaign.db")


def test_an_empty_file_is_a_campaign_that_was_never_started(path):
    path.touch()

    with pytest.raises(LedgerError, match="never started"):
        Ledger.open(path)


def test_garbage_is_refused_and_left_as_it_is(path):
    path.write_bytes(b"not a database, but something that somebody may want" * 100)

    with pytest.raises(LedgerError, match="can't be read as a ledger"):
        Ledger.create(path, name="study", study=STUDY)

    assert path.read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("page", [1, 2], ids=["the tables' list", "the table of what is true of all"])
def test_a_damaged_ledger_is_refused_before_anything_is_written(path, page):
    Ledger.create(path, name="study", study=STUDY).close()
    with contextlib.closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA journal_mode = DELETE")  # as in a copy that somebody made: to open it turns this round
    damaged = bytearray(path.read_bytes())
    damaged[100 if page == 1 else 4096 * (page - 1)] = 0
    path.write_bytes(damaged)

    for begin in (Ledger.open, partial(Ledger.create, name="study", study=STUDY)):
        with pytest.raises(LedgerError, match="can't be read as a ledger"):
            begin(path)

    assert path.read_bytes() == damaged


def test_the_sqlite_file_of_another_program_is_refused(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE spectra (id)")

    with pytest.raises(LedgerError, match="another program"):
        Ledger.create(path, name="study", study=STUDY)


def test_a_ledger_of_a_newer_version_is_refused_unchanged(path, ledger):
    ledger._db.execute("PRAGMA user_version = 99")

    with pytest.raises(LedgerError, match="Install a newer"):
        Ledger.open(path)


def test_commits_survive_the_loss_of_power_by_wal_and_full_fsync(ledger):
    assert ledger._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_reader_sees_commits_of_another_connection_and_its_stamp_moves(path, ledger):
    with Ledger.open(path) as reader:
        before = reader.stamp()
        with ledger.change() as change:
            change.add({"x": 1.0})

        assert reader.stamp() != before
        assert len(reader.experiments(State.QUEUED)) == 1


def test_floats_come_back_to_the_last_bit(bench, ledger):
    value = 0.1 + 0.2

    bench.add(value)

    assert ledger.experiments()[0].parameters["x"] == value


@pytest.mark.parametrize(("goal", "best"), [("maximize", 3.0), ("minimize", 1.0)])
def test_the_best_follows_the_goal_and_ignores_conflicts(bench, ledger, goal, best):
    for y in (2.0, 1.0, 3.0):
        bench.report(bench.add().key, y=y)
    bench.report(bench.ledger.experiments()[0].key, y=-9.0 if goal == "minimize" else 9.0, digest="other")

    found = ledger.best(Objective("y", goal))

    assert found is not None
    assert found.value == best


@pytest.mark.parametrize(
    ("wanted", "best"),
    [
        ((Objective("y", "target", target=2.2),), 2.0),
        ((Objective("y", "target", target=2.6),), 3.0),
        ((Objective("y", "maximize", at_most=2.5),), 2.0),
        ((Objective("y", "minimize", at_least=1.5),), 2.0),
        ((Objective("c", "limit", at_most=0.0), Objective("y", "maximize")), 1.0),
        ((Objective("y", "maximize", at_most=0.5),), 1.0),
        ((Objective("y", "minimize", at_least=3.5, at_most=9.0),), 3.0),
        ((Objective("y", "maximize"), Objective("never measured", "limit", at_most=0.0)), 3.0),
    ],
    ids=["near", "nearer above", "too much", "too little", "of another", "least too much", "least too little", "none"],
)
def test_the_best_keeps_the_limits_where_it_can_and_a_target_wants_the_nearest(bench, ledger, wanted, best):
    measured = [{"y": y, "c": y - 1.5} for y in (2.0, 1.0, 3.0)]
    for values in measured:
        bench.report(bench.add().key, **values)

    found = ledger.best(*wanted)

    assert found is not None
    assert found.value == best
    assert found.value == max(measured, key=lambda values: standing(wanted, values))["y"]
    assert found.keeps_limits == (standing(wanted, {"y": best, "c": best - 1.5})[0] == 0)


def test_tallies_equal_a_count(bench, ledger):
    for status in (Status.COMPLETED, Status.FAILED, Status.COMPLETED):
        bench.report(bench.add().key, status)
    bench.add()

    tally = ledger.tally()

    assert (tally[State.COMPLETED], tally[State.FAILED], tally[State.QUEUED], tally["starts"]) == (2, 1, 1, 3)
    for state in State:
        assert tally[state] == len(ledger.experiments(state))
