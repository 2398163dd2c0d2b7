from __future__ import annotations

import pytest

from alchemy_async.experiment import Objective, Status
from alchemy_async.space import Continuous, Fidelity

Y = Objective("y", goal="minimize")
FIDELITY = Fidelity.of(Continuous("x"), 0.8, [(0.0, 1.0), (1.0, 10.0)])


@pytest.fixture
def measured(bench):
    """Bring results: x, which is the fidelity here, and y."""

    def measured(*pairs):
        for x, y in pairs:
            key = bench.add(x).key
            bench.claim(key)
            bench.report(key, y=y, digest=f"{x}/{y}")

    return measured


def test_only_what_was_run_at_the_target_can_be_best(ledger, measured):
    measured((0.1, -5.0), (0.8, 2.0), (0.8, 1.0), (0.5, -7.0))

    assert ledger.best(Y).value == -7.0
    assert ledger.best(Y, fidelity=FIDELITY).value == 1.0
    assert ledger.n_at(FIDELITY) == (2, 4)


def test_before_anything_was_run_at_the_target_there_is_no_best(ledger, measured):
    measured((0.1, -5.0), (0.5, -7.0))

    assert ledger.best(Y, fidelity=FIDELITY) is None
    assert ledger.n_at(FIDELITY) == (0, 2)


def test_what_was_run_decides_not_what_was_asked_for(bench, ledger):
    for asked, ran, y in ((0.8, 0.6, -9.0), (0.6, 0.8005, 3.0)):
        key = bench.add(asked).key
        bench.claim(key)
        bench.report(key, y=y, parameters={"x": ran}, digest=f"{ran}")

    assert ledger.best(Y, fidelity=FIDELITY).value == 3.0


def test_limits_and_a_target_are_looked_at_as_ever(ledger, measured):
    measured((0.8, 4.0), (0.8, 1.0), (0.2, 2.9), (0.8, 2.0))

    assert ledger.best(Objective("y", "target", target=3.0), fidelity=FIDELITY).value in (4.0, 2.0)
    assert ledger.best(Objective("y", at_least=1.5), fidelity=FIDELITY).value == 2.0


def test_a_failed_run_at_the_target_is_no_result(bench, ledger):
    key = bench.add(0.8).key
    bench.claim(key)
    bench.report(key, Status.FAILED)

    assert ledger.n_at(FIDELITY) == (0, 0)
