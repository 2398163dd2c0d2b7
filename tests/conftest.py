from __future__ import annotations

import pytest


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=100, help="kills in the slow fault tests")
    parser.addoption("--fault-seed", type=int, default=0, help="seed of the slow fault tests")


@pytest.fixture
def rounds(request):
    return request.config.getoption("--rounds")


@pytest.fixture
def fault_seed(request):
    return request.config.getoption("--fault-seed")
