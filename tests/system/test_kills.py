"""kill -9 of both daemons and of workers in mid-campaign: nothing is lost, nothing runs or counts twice."""

from __future__ import annotations

import sys

import pytest

from tests.system.kills import Fire

KILLS_PER_CASE = 25  # what a resumed run may have to do again

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds its own processes by /proc, and results by inotify"),
    pytest.mark.fault(1),
    pytest.mark.fault(2),
    pytest.mark.fault(3),
]


def pytest_generate_tests(metafunc):
    """Cut the many kills into cases."""
    if "kills" in metafunc.fixturenames:
        left, cases = metafunc.config.getoption("--rounds"), []
        while left > 0:
            cases.append((len(cases) + 1, min(left, KILLS_PER_CASE)))
            left -= KILLS_PER_CASE
        metafunc.parametrize(("case", "kills"), cases, ids=[f"{case}-{kills}" for case, kills in cases])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_experiment_is_accounted_for_after_a_few_kills(tmp_path, seed, figures):
    report = Fire(tmp_path / "campaign", rounds=5, seed=seed).run()

    print(report)
    assert report.violations == []
    assert sum(report.kills.values()) == 5
    figures(**report.figures())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_experiment_is_accounted_for_after_many_kills(tmp_path, case, kills, fault_seed, figures):
    report = Fire(tmp_path / "campaign", rounds=kills, seed=1_000 * fault_seed + case).run()

    print(report)
    assert report.violations == []
    figures(**report.figures())
