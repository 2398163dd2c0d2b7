from __future__ import annotations

import pytest

from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import AttemptKey, Claim, Failure, Outcome, Result, Status
from alchemy_async.ledger import Ledger

STUDY = {"parameters": [{"name": "x"}], "objectives": [{"name": "y"}]}


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "campaign.db"


@pytest.fixture
def ledger(path, clock):
    with Ledger.create(path, name="study", study=STUDY, clock=clock) as opened:
        yield opened


class Bench:
    """Does to a ledger what workers, planners and people do, one transaction each."""

    def __init__(self, ledger, clock):
        self.ledger, self.clock = ledger, clock

    def limit(self, budget, max_started=None):
        with self.ledger.change() as change:
            change.set_meta(budget=str(budget), max_started=None if max_started is None else str(max_started))

    def add(self, x=0.5, **kwargs):
        with self.ledger.change() as change:
            return change.add({"x": x}, **kwargs)

    def claim(self, key, worker="w-1", instance="a", idempotent=False, x=None):
        parameters = {} if x is None else {"x": x}
        with self.ledger.change() as change:
            change.list_attempts([key])
            return change.claim(
                Claim(self.ledger.campaign, key, 1, parameters, worker, instance, idempotent=idempotent)
            )

    def report(
        self, key, status=Status.COMPLETED, *, worker="w-1", y=1.0, kind="error", digest="d1", parameters=None, **more
    ):
        now = self.clock.now()
        outcome = Outcome(
            status,
            now,
            now,
            values={"y": y, **more} if status is Status.COMPLETED else {},
            parameters=parameters,
            error=None if status is Status.COMPLETED else Failure(kind, "why"),
        )
        with self.ledger.change() as change:
            return change.ingest(Result(self.ledger.campaign, key, worker, outcome), digest)

    def do(self, name, *args, **kwargs):
        with self.ledger.change() as change:
            return getattr(change, name)(*args, **kwargs)

    def state(self, experiment="e0001"):
        return self.ledger.experiment(experiment).state

    def kinds(self):
        return [event["kind"] for event in self.ledger.events()]


@pytest.fixture
def bench(ledger, clock):
    return Bench(ledger, clock)


@pytest.fixture
def first(bench):
    return bench.add().key


def second_of(key):
    return AttemptKey(key.experiment, 2)
