from __future__ import annotations

import json
from pathlib import Path

import pytest

FAULT_ROWS = range(1, 19)  # docs/guarantees.md numbers them


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=200, help="kills in the slow fault tests")
    parser.addoption("--fault-seed", type=int, default=0, help="seed of the slow fault tests")
    parser.addoption("--fuzz-cases", type=int, default=1000, help="damaged files that each fuzz test tries")
    parser.addoption("--figures", type=Path, default=None, help="file to which tests append how they ended and counted")
    parser.addoption("--fault-list", type=Path, default=None, help="file that gets a line for each fault or slow test")


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
    """Take note of what a fault test counted, for the table of `python3 run.py faults`.

    Where several cases of one test count the same thing, integers are added up
    and of other numbers the largest is shown.
    """

    def note(**counted):
        print(json.dumps(counted))
        append(request.config, {"test": request.node.nodeid, "counted": counted})

    return note


def append(config, entry):
    path = config.getoption("--figures")
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(entry, default=str) + "\n")


class EndingNotes:
    """Writes how each test ended, so that another process need not read pytest's words."""

    def __init__(self, config):
        self.config, self.bad, self.seconds = config, {}, {}

    def pytest_runtest_logreport(self, report):
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if report.failed or report.skipped or hasattr(report, "wasxfail"):
            kind = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            reason = report.longrepr[-1] if report.skipped and isinstance(report.longrepr, tuple) else ""
            self.bad.setdefault(name, (kind, str(reason)))
        if report.when == "teardown":
            outcome, reason = self.bad.get(name, ("passed", ""))
            entry = {"test": name, "outcome": outcome, "reason": reason, "seconds": round(self.seconds[name], 3)}
            append(self.config, entry)


def pytest_configure(config):
    if config.getoption("--figures") is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(EndingNotes(config), "ending-notes")


def pytest_collection_finish(session):
    path = session.config.getoption("--fault-list")
    if path is None:
        return
    with path.open("w") as file:
        for item in session.items:
            rows = sorted({row for mark in item.iter_markers("fault") for row in mark.args})
            is_slow = item.get_closest_marker("slow") is not None
            if not rows and not is_slow:
                continue
            if not set(rows) <= set(FAULT_ROWS):
                raise pytest.UsageError(f"{item.nodeid} names fault rows {rows}; there are 1 to {FAULT_ROWS[-1]}")
            doc = (getattr(item.function, "__doc__", None) or "").strip().partition("\n")[0]
            entry = {"test": item.nodeid, "rows": rows, "slow": is_slow, "what": doc}
            file.write(json.dumps(entry) + "\n")
