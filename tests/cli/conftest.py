from __future__ import annotations

import json
import logging
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alchemy_async import files
from alchemy_async.cli.commands import app
from alchemy_async.cli.site import open_site
from alchemy_async.clock import SimulatedClock
from alchemy_async.experiment import (
    AttemptKey,
    Claim,
    Failure,
    Heartbeat,
    Outcome,
    Result,
    Status,
    WorkerState,
)
from alchemy_async.ledger import Ledger
from alchemy_async.queues.layout import Layout

CAMPAIGN = """
[campaign]
name = "study"

[[parameters]]
name = "temperature"
type = "continuous"
bounds = [300, 400]

[[parameters]]
name = "solvent"
type = "categorical"
options = ["DMF", "THF"]

[[objectives]]
name = "yield"
goal = "maximize"
unit = "%"

[budget]
experiments = 5

[planner]
strategy = "random"
seed = 1

[[workers]]
name = "reactor"
count = 2
driver = "my_lab:reaction"
labels = ["hplc"]
lease_s = 20
"""

DRIVER = """
def reaction(temperature, solvent):
    return temperature / 4 + (1 if solvent == "DMF" else 0)
"""


@pytest.fixture(autouse=True)
def _logging_as_before():
    """Take away the handlers that a command leaves for the rest of its process."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "study"
    place.mkdir()
    (place / "campaign.toml").write_text(CAMPAIGN)
    (place / "my_lab.py").write_text(DRIVER)
    return place


@pytest.fixture
def run(folder):
    """Run a command on the campaign folder, as the shell would."""

    def run_command(command, *arguments, typed=None):
        return CliRunner().invoke(app, [command, str(folder), *map(str, arguments)], input=typed)

    return run_command


@pytest.fixture
def status(run):
    def read_status():
        return json.loads(run("status", "--json").stdout)

    return read_status


class Bench:
    """Does to a campaign's ledger what the planner and the workers do."""

    def __init__(self, folder):
        self.site = open_site(folder)
        self.clock = SimulatedClock()
        self.ledger = Ledger.create(
            self.site.ledger_path, name="study", study=self.site.settings.study(), clock=self.clock
        )
        self.started()

    def started(self, state="running", budget=5):
        with self.ledger.change() as change:
            change.set_meta(state=state, budget=str(budget), max_started=str(2 * budget))

    def add(self, temperature, **kwargs):
        with self.ledger.change() as change:
            return change.add({"temperature": temperature, "solvent": "DMF"}, **kwargs).id

    def claim(self, experiment, worker="reactor-1", attempt=1):
        key = AttemptKey(experiment, attempt)
        with self.ledger.change() as change:
            change.list_attempts([key])
            change.claim(Claim(self.ledger.campaign, key, 1, {}, worker, "instance"))

    def interrupt(self, experiment, attempt=1):
        with self.ledger.change() as change:
            change.interrupt(AttemptKey(experiment, attempt), "its lease ended")

    def report(self, experiment, value=None, *, worker="reactor-1", attempt=1, sem=None, as_run=None, kind=None):
        now = self.clock.now()
        outcome = Outcome(
            Status.COMPLETED if kind is None else Status.FAILED,
            now,
            now + timedelta(seconds=2),
            values={} if value is None else {"yield": value},
            sems={} if sem is None else {"yield": sem},
            parameters=as_run,
            error=None if kind is None else Failure(kind, "why"),
        )
        result = Result(self.ledger.campaign, AttemptKey(experiment, attempt), worker, outcome)
        with self.ledger.change() as change:
            return change.ingest(result, digest=repr(outcome))


@pytest.fixture
def bench(folder):
    made = Bench(folder)
    yield made
    made.ledger.close()


@pytest.fixture
def beat(folder):
    """Write a worker's heartbeat, as it would lie there ``age_s`` seconds after it was written."""

    def write_beat(worker="reactor-1", state=WorkerState.BUSY, *, age_s=0.0, holds=None, host=None, pid=4711):
        layout = Layout(folder)
        layout.make()
        heartbeat = Heartbeat(worker, "instance", 7, state, holds, host=host or socket.gethostname(), pid=pid)
        path = Path(layout.heartbeat(worker))
        path.write_bytes(files.dump_json(heartbeat.to_wire()))
        written = path.stat().st_mtime - age_s
        os.utime(path, (written, written))

    return write_beat
