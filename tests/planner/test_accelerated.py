"""The way over torch, taken on the processor: what differs on a GPU is where the very same calls run."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from alchemy_async.errors import PlannerError
from alchemy_async.planner import gp
from alchemy_async.planner.accelerated import covariance_factor
from alchemy_async.planner.growth import Limits, Values, device_for, process_for
from alchemy_async.planner.improvement import NoisyImprovement

MIXED = np.array([False, False, True])
PENDING = np.array([[0.5, 0.5, 0.5], [0.1, 0.9, 0.0]])
KERNEL = gp.Kernel(np.array([0.4, 0.6, 1.5]), MIXED)
DEVICES = [
    "cpu:0",  # torch's processor
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")),
]


def values(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3))
    x[:, 2] = np.round(2 * x[:, 2]) / 2
    return Values(x, np.sin(6 * x[:, 0]) + x[:, 1] + x[:, 2] + 0.1 * rng.standard_normal(n), None, MIXED)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "limits", [{"exact": 1000}, {"exact": 430, "active": 200}], ids=["all values", "a core and neighbours"]
)
def test_a_device_makes_the_same_model_and_the_same_acquisition(device, limits):
    history, at = values(450), values(20, seed=7).x

    here = process_for(history, limits=Limits(**limits, device="cpu"))
    there = process_for(history, limits=Limits(**limits, device=device))

    ours, theirs = (NoisyImprovement(process, PENDING, seed=0).with_gradient(at) for process in (here, there))
    assert not isinstance(there.factor, np.ndarray)
    assert there.mean == pytest.approx(here.mean, abs=1e-9)
    assert there.fitted() == pytest.approx(here.fitted(), abs=1e-9)
    assert np.array(there.predict(at)) == pytest.approx(np.array(here.predict(at)), abs=1e-9)
    assert theirs[0] == pytest.approx(ours[0], rel=1e-6)
    assert theirs[1] == pytest.approx(ours[1], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_factor_on_a_device_solves_grows_and_inverts_like_one_here(device):
    x, variances = values(60).x, np.linspace(0.01, 0.1, 60)
    whole = gp.covariance_factor(x, variances, KERNEL)

    grown = gp.extended(covariance_factor(x[:40], variances[:40], KERNEL, device), x, variances, KERNEL)

    right = np.random.default_rng(2).random((60, 3))
    assert gp.solve(grown, right) == pytest.approx(gp.solve(whole, right), abs=1e-9)
    assert gp.solve(grown, right, transposed=True) == pytest.approx(gp.solve(whole, right, transposed=True), abs=1e-9)
    assert grown.inverse() == pytest.approx(np.linalg.inv(whole @ whole.T), abs=1e-8)


def test_leaving_one_out_is_the_same_with_a_factor_on_a_device():
    history, variances = values(50), np.full(50, 0.05)
    here = gp.GaussianProcess(history.x, history.y, variances, KERNEL)
    there = gp.GaussianProcess(
        history.x, history.y, variances, KERNEL, covariance_factor(history.x, variances, KERNEL, "cpu:0")
    )

    assert np.array(there.leave_one_out()) == pytest.approx(np.array(here.leave_one_out()), abs=1e-9)


def test_what_is_no_covariance_has_no_factor_there_either():
    with pytest.raises(gp.NotPositiveDefiniteError, match="no Cholesky factor"):
        covariance_factor(np.zeros((2, 3)), np.array([-2.0, 0.0]), KERNEL, "cpu:0")


@pytest.mark.parametrize("name", ["warp-drive", "cuda:77"])
def test_a_device_that_is_not_there_is_named_with_what_to_write_instead(name):
    with pytest.raises(PlannerError, match=f'device is "{name}".*Set it to "auto" or to "cpu"'):
        covariance_factor(np.zeros((1, 3)), np.zeros(1), KERNEL, name)


def test_a_gpu_is_looked_for_only_where_it_would_pay(monkeypatch):
    monkeypatch.setattr("alchemy_async.planner.growth.has_gpu", lambda: True)

    assert device_for(Limits(), 999) == "cpu"
    assert device_for(Limits(), 1000) == "cuda"
    assert device_for(Limits(device="cpu"), 1000) == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, for which torch is wanted")
def test_without_a_gpu_a_long_history_is_learnt_without_torch():
    script = (
        "import sys; import numpy as np; from alchemy_async.planner.growth import *\n"
        "x = np.random.default_rng(0).random((1000, 2))\n"
        "process_for(Values(x, np.sin(5 * x[:, 0]), None, np.zeros(2, dtype=bool)))\n"
        "print('torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
