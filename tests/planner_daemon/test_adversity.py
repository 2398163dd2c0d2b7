"""What workers, planners and people get wrong, and a daemon that goes on all the same."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from alchemy_async.config import load_campaign
from alchemy_async.experiment import AttemptKey, Claim, State, Status, Suggestion
from alchemy_async.files import dump_json
from alchemy_async.ledger import Ledger
from alchemy_async.planner_daemon import run
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.queues import folder_planner

from . import conftest

FINITE = conftest.TEMPLATE.replace('type = "continuous"\nbounds = [0, 1]', 'type = "discrete"\nvalues = [0, 0.5, 1]')


@pytest.mark.fault(6)
@pytest.mark.parametrize("parameters", [{"x": "warm"}, {"z": 1.0}, {"x": 0.5, "z": 1.0}])
def test_a_claim_with_parameters_that_can_not_have_been_taken_holds_those_listed(lab, caplog, parameters):
    here = lab(n_initial=3, budget="experiments = 20", look_ahead=3)
    worker, key = here.worker("w-2"), AttemptKey("e0001", 1)
    here.step()
    listed = here.ledger.experiment("e0001").parameters
    claim = Claim(here.ledger.campaign, key, 1, parameters, "w-1", "i")
    (here.folder / "dump" / "claims" / f"{key}.json").write_bytes(dump_json(claim.to_wire()))
    here.run_one(worker)
    here.run_one(worker)

    here.step(5)

    assert here.state("e0001") is State.RUNNING
    assert here.ledger.attempt(key).parameters == listed
    assert here.planner.questions
    assert caplog.text.count("w-1 claimed e0001.1, and its parameters are wrong") == 1


def test_a_result_with_the_time_that_dot_net_gives_to_none_is_counted(lab):
    here = lab(n_initial=3)
    worker = here.worker()
    here.step()
    offer = here.claim(worker)
    document = {
        "format": 1,
        "campaign": here.ledger.campaign,
        "experiment": offer.key.experiment,
        "attempt": 1,
        "worker": "w-1",
        "status": "completed",
        "values": {"y": 1.0},
        "started_at": "0001-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:00:00Z",
    }
    (here.folder / "dump" / f"worker_result_w-1_{offer.key}.json").write_text(json.dumps(document))

    here.step(3)

    assert here.state(offer.key.experiment) is State.COMPLETED


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([Suggestion({"x": "warm"})], "'warm' does not fit"),
        ([Suggestion({"z": 0.5})], "is missing"),
        ([Suggestion({"x": 3.0})], "3.0 does not fit"),
        ([Suggestion({"x": 0.5}, metadata={"model": object()})], "JSON can't hold"),
        ([Suggestion({"x": 0.5}, reason=None)], "no text"),
        ([{"x": 0.5}], "list of `Suggestion`s"),
        (None, "NoneType"),
    ],
)
def test_a_planner_that_suggests_nonsense_has_failed_and_workers_get_space_filling_points(lab, caplog, said, why):
    here = lab(n_initial=2, budget="experiments = 20")
    here.planner.ask = lambda *_: said
    worker = here.worker()
    for _ in range(5):
        here.step()
        here.run_one(worker)

    here.step()

    assert why in caplog.text
    assert here.ledger.tally()["completed"] == 5
    assert all(0 <= found.parameters["x"] <= 1 for found in here.ledger.experiments())


def test_experiments_that_no_living_worker_can_run_do_not_count_as_look_ahead(lab):
    here = lab(n_initial=2, budget="experiments = 20", look_ahead=1)
    worker = here.worker()
    with here.ledger.change() as change:
        for i in range(5):
            change.add({"x": 0.1 * i + 0.01}, origin="person", pinned=True, requires=["xrd"])

    for _ in range(6):
        here.step()
        assert here.run_one(worker).requires == ()

    assert here.step() is None


@pytest.mark.parametrize(("n_initial", "status"), [(10, Status.COMPLETED), (3, Status.FAILED)])
def test_a_space_that_is_exhausted_before_the_first_model_ends_the_campaign(lab, monkeypatch, n_initial, status):
    monkeypatch.setattr(conftest, "TEMPLATE", FINITE)
    here = lab(n_initial=n_initial, budget="hours = 100")
    worker = here.worker()
    summary = None
    for _ in range(10):
        summary = here.step()
        offer = None if summary else here.claim(worker)
        if offer:
            here.report(worker, offer, status)

    assert summary is not None
    assert "exhausted" in summary.reason
    assert here.ledger.tally()[str(status)] == 3


def test_a_place_that_somebody_takes_while_space_filling_points_are_made_is_theirs(lab, monkeypatch):
    here = lab(n_initial=1, budget="experiments = 2", look_ahead=1)
    here.worker()
    filler = here.daemon._refresher._filler
    points = filler.points

    def points_while_somebody_stages(*question):
        found = points(*question)
        with Ledger.open(here.folder / "campaign.db", clock=here.clock) as other, other.change() as change:
            change.add({"x": 0.77}, origin="person", pinned=True)
        return found

    monkeypatch.setattr(filler, "points", points_while_somebody_stages)

    here.step()

    assert [found.origin for found in here.ledger.experiments(State.QUEUED)] == ["initial", "person"]


def test_a_budget_that_was_lowered_takes_queued_experiments_back_and_peoples_last(lab):
    here = lab(n_initial=3, budget="experiments = 12", look_ahead=3)
    here.worker()
    here.step()
    with here.ledger.change() as change:
        change.add({"x": 0.77}, origin="person", pinned=True)
    here.step()
    here.close()
    toml = here.folder / "campaign.toml"
    toml.write_text(toml.read_text().replace("experiments = 12", "experiments = 4"))
    here.settings = load_campaign(here.folder)

    here._open()
    here.step()

    assert [found.origin for found in here.ledger.experiments(State.QUEUED)] == ["initial"] * 3 + ["person"]
    assert len(here.published().offers) == 4


def test_a_drain_looks_at_each_staged_experiment_once(lab, monkeypatch):
    here = lab(n_initial=2, budget="hours = 1")
    worker = here.worker()
    here.step()
    here.claim(worker)
    with here.ledger.change() as change:
        for i in range(50):
            change.add({"x": i / 50}, origin="person", pinned=True)
        change.set_meta(wanted="draining")
    compared = []
    kind = type(here.ledger.experiment("e0001"))
    monkeypatch.setattr(kind, "__eq__", lambda self, other: compared.append(1) or self is other)

    here.step(2)

    assert len(compared) < 50
    assert len(here.ids(State.QUEUED)) == 51


@pytest.mark.fault(6)
def test_an_entry_that_can_not_be_moved_to_the_rejected_is_told_once_and_holds_nobody_up(lab, caplog, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    here = lab(n_initial=2, budget="experiments = 20")
    worker = here.worker()
    here.step()
    (here.folder / "dump" / "worker_result_foreign").mkdir()
    monkeypatch.setattr(folder_planner, "reject", refuse)

    for _ in range(12):
        here.step()
        here.run_one(worker)

    assert caplog.text.count("Take it away by hand") == 1
    assert [event["kind"] for event in here.ledger.events()].count("rejected") == 1


def test_a_rule_that_fails_at_a_point_is_told_and_asked_again_and_ends_nothing(lab, tmp_path, caplog):
    switch = tmp_path / "broken"
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "fragile_rule.py").write_text(
        f"from pathlib import Path\n\n\ndef is_possible(x):\n    if Path({str(switch)!r}).exists():\n"
        "        raise ValueError('the table of solubilities is gone')\n    return True\n"
    )
    here = lab(budget='experiments = 6\n\n[[constraints]]\nfunction = "fragile_rule:is_possible"', n_initial=2)
    worker = here.worker()
    here.step()
    switch.touch()
    offers = [here.claim(worker)]
    here.report(worker, offers[0])

    assert here.step(times=3) is None, "the campaign goes on"
    assert "the table of solubilities is gone" in caplog.text
    switch.unlink()
    here.step(times=2, seconds=2.0)

    assert here.ids(State.QUEUED), "points are offered again"


def test_a_ledger_that_another_program_keeps_locked_is_told_as_that(lab, caplog, monkeypatch):
    here = lab(n_initial=1, budget="experiments = 1")
    here.close()
    refusals, the_end = iter([True]), object()

    def locked_at_first(self):
        if next(refusals, False):
            ledger = here.folder / "campaign.db"
            with contextlib.closing(sqlite3.connect(ledger)) as holder:
                holder.execute("BEGIN IMMEDIATE")
                with contextlib.closing(sqlite3.connect(ledger, timeout=0)) as other:
                    other.execute("BEGIN IMMEDIATE")
        return the_end

    monkeypatch.setattr(PlannerDaemon, "step", locked_at_first)
    monkeypatch.setattr(run, "_RETRY_S", (0.01, 0.01))

    assert run.run_planner(here.folder) is the_end
    assert "close what has campaign.db open" in caplog.text
