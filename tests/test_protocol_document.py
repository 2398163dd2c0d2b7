"""docs/protocol.md tells the truth: its examples are messages, and its worker works."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from alchemy_async.experiment import AttemptKey, Claim, Heartbeat, Offer, QueueState, Result, Revision, Status

DOCUMENT = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)]
WORKER = re.search(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)[1]


def kind(document):
    marks = {"experiments": Revision, "beat": Heartbeat, "status": Result, "instance": Claim}
    return next(kind for mark, kind in marks.items() if mark in document)


def offer(experiment, requires=(), **parameters):
    return Offer(AttemptKey(experiment, 1), parameters, requires=requires)


def publish(folder, revision, state, offers):
    message = Revision("demo-0123abcd", revision, state, offers)
    staged = folder / ".staging" / "planner.queue"
    staged.write_text(json.dumps(message.to_wire()))
    staged.replace(folder / "pickup" / "priority_queue.json")


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, f"the worker ended: {process.communicate()}"
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path):
    for name in ("pickup", "dump/claims", ".staging"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def shell_worker(folder):
    script = folder / "shell_worker.sh"
    script.write_text(WORKER)
    command = ["sh", str(script), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_there_is_an_example_of_every_message():
    assert {kind(example) for example in EXAMPLES} == {Revision, Claim, Heartbeat, Result}


@pytest.mark.parametrize("example", EXAMPLES, ids=[kind(example).__name__ for example in EXAMPLES])
def test_every_example_is_a_complete_message(example):
    assert kind(example).from_wire(example).to_wire() == example


def test_the_shell_worker_claims_measures_and_reports_until_the_queue_stops(folder, shell_worker):
    taken = folder / "dump" / "claims" / "e0002.1.json"
    taken.touch()
    offers = (
        offer("e0001", requires=("glovebox",), x0=0.0, x1=0.0),
        offer("e0002", x0=0.0, x1=0.0),
        offer("e0003", x0=3.0, x1=1.0),
    )
    publish(folder, 5, QueueState.RUNNING, offers)

    reported = folder / "dump" / "worker_result_shell-1_e0003.1.json"
    wait_for(reported, shell_worker)
    publish(folder, 6, QueueState.STOPPED, ())
    output, errors = shell_worker.communicate(timeout=60)

    assert (shell_worker.returncode, output, errors) == (0, "", "")
    result = Result.from_wire(json.loads(reported.read_text()))
    assert result.key == AttemptKey("e0003", 1)
    assert result.outcome.status is Status.COMPLETED
    assert result.outcome.values == {"value": 13.0}
    claim = Claim.from_wire(json.loads((folder / "dump" / "claims" / "e0003.1.json").read_text()))
    assert (claim.worker, claim.revision, claim.parameters) == ("shell-1", 5, {"x0": 3.0, "x1": 1.0})
    assert claim.instance
    assert {path.name for path in (folder / "dump" / "claims").iterdir()} == {"e0002.1.json", "e0003.1.json"}
    assert taken.read_bytes() == b""


def test_the_shell_worker_reports_a_measurement_that_fails(folder, shell_worker):
    publish(folder, 1, QueueState.RUNNING, (offer("e0001", x0=1.0, **{"2bad": 1.0}),))

    reported = folder / "dump" / "worker_result_shell-1_e0001.1.json"
    wait_for(reported, shell_worker)

    result = Result.from_wire(json.loads(reported.read_text()))
    assert result.outcome.status is Status.FAILED
    assert result.outcome.error.kind == "measure"


def test_the_shell_worker_claims_nothing_while_paused_and_ends_when_draining(folder, shell_worker):
    publish(folder, 1, QueueState.PAUSED, (offer("e0001", x0=1.0, x1=1.0),))
    time.sleep(1.5)  # more than one look of the script, which has no clock to turn
    claimed = list((folder / "dump" / "claims").iterdir())
    publish(folder, 2, QueueState.DRAINING, (offer("e0001", x0=1.0, x1=1.0),))
    shell_worker.communicate(timeout=60)

    assert claimed == []
    assert list((folder / "dump" / "claims").iterdir()) == []
    assert shell_worker.returncode == 0
