from __future__ import annotations

import pytest

from alchemy_async.errors import UnknownExperimentError


def test_what_the_planner_noted_is_that_of_the_last_revision(bench, ledger):
    name = bench.add(metadata={"seed": 1, "expected": {"y": {"mean": 2.5, "sd": 0.5}}}).id

    first = ledger.metadata(name)
    bench.do("revise", name, {"x": 0.7}, metadata={"seed": 2})

    assert first == {"seed": 1, "expected": {"y": {"mean": 2.5, "sd": 0.5}}}
    assert ledger.metadata(name) == {"seed": 2}


def test_of_what_a_person_staged_nothing_is_noted(bench, ledger):
    assert ledger.metadata(bench.add(origin="person").id) == {}


def test_nothing_is_noted_of_an_experiment_that_there_is_not(ledger):
    with pytest.raises(UnknownExperimentError, match="export"):
        ledger.metadata("e0007")


def test_the_events_of_one_experiment_leave_out_those_of_the_others(bench, ledger, first):
    other = bench.add(0.9).key
    bench.claim(first)
    bench.report(first)
    bench.do("revise", other.experiment, {"x": 0.1})

    assert [event["kind"] for event in ledger.events_of(first.experiment)] == ["queued", "claimed", "completed"]
    assert [event["kind"] for event in ledger.events_of(other.experiment)] == ["queued", "revised"]


def test_each_measurement_of_the_history_has_the_name_of_its_experiment(bench, ledger, first):
    second, third = bench.add(0.2).key, bench.add(0.3).key
    for key, y in ((second, 2.0), (first, 1.0)):
        bench.claim(key)
        bench.report(key, y=y)
    bench.report(first, y=7.0, digest="another")  # a conflict: kept, out of the history
    bench.claim(third)

    values = [observed.values["y"] for observed in ledger.history().observations]
    assert dict(zip(ledger.observed(), values, strict=True)) == {second.experiment: 2.0, first.experiment: 1.0}
