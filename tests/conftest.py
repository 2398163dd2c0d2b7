from __future__ import annotations

import json
from pathlib import Path

import pytest

FAULT_ROWS = range(1, 16)  # docs/guarantees.md numbers them


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=200, help="kills in the slow fault tests")
    parser.addoption("--fault-seed", type=int, default=0, help="seed of the slow fault tests")
    parser.addoption("--fuzz-cases", type=int, default=1000, help="damaged files that each fuzz test tries")
    parser.addoption("--figures", type=Path, default=None, help="file to which fault tests append what they counted")


@pytest.fixture
def rounds(request):
    return request.config.getoption("--rounds")


@pytest.fixture
def fault_seed(request):
    return request.config.getoption("--fault-seed")


@pytest.fixture
def fuzz_cases(request):
    return request.config.getoption("--fuzz-cases")


@pytest.fixture
def figures(request):
    """Take note of what a fault test counted, for the table of `python3 run.py faults`."""

    def note(**counted):
        path = request.config.getoption("--figures")
        line = json.dumps({"test": request.node.nodeid, "counted": counted})
        print(line)
        if path is not None:
            with path.open("a") as file:
                file.write(line + "\n")

    return note
