"""kill -9 of both daemons and of workers in mid-campaign: nothing is lost, nothing runs or counts twice."""

from __future__ import annotations

import sys

import pytest

from tests.system.kills import Fire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds its own processes by /proc")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_experiment_is_accounted_for_after_a_few_kills(tmp_path, seed):
    report = Fire(tmp_path / "campaign", rounds=5, seed=seed).run()

    print(report)
    assert report.violations == []
    assert sum(report.kills.values()) == 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_experiment_is_accounted_for_after_many_kills(tmp_path, rounds, fault_seed):
    report = Fire(tmp_path / "campaign", rounds=rounds, seed=fault_seed).run()

    print(report)
    assert report.violations == []
