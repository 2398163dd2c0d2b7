"""Clients that claim and complete, each with a tally of its own that only grows.

They know nothing of the product but its paths. Whatever a server does to them, they send the same
request again under the same Idempotency-Key until it is answered; what was acknowledged stands in
their tally the moment after.
"""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass, field

PATIENCE_S = 120.0
PAUSE_S = 0.02
AGAIN = 0.1  # of all completions are sent once more, though they were answered


class RefusedError(Exception):
    """A server answered what no client may be answered here."""


def value_of(inputs):
    """What is measured: it tells where it was measured."""
    return inputs["x"] + 1000.0 * inputs["y"]


@dataclass
class Tally:
    """What one client was told: a line for each, written down before the next request."""

    path: object
    claimed: list = field(default_factory=list)
    completed: dict = field(default_factory=dict)
    n_repeated: int = 0

    def write(self, **line):
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Client(threading.Thread):
    """Claims, measures and completes until nothing is left, or it is told to stop."""

    def __init__(self, name, port, session, folder, seed=0):
        super().__init__(name=name, daemon=True)
        self.port, self.session = port, session
        self.tally = Tally(folder / f"{name}.jsonl")
        self.error = None
        self._draw = random.Random(f"{seed} {name}")
        self._connection = None

    def run(self):
        try:
            while experiments := self._claim():
                for experiment in experiments:
                    self._complete(experiment)
        except Exception as error:  # noqa: BLE001 - the test that joins this thread tells it
            self.error = error

    def _claim(self):
        body = {"n": self._draw.randint(1, 3), "worker": self.name, "lease_s": 600}
        said = self._send("POST", "/claim", body)
        for experiment in said["experiments"]:
            key = f"{experiment['id']}.{experiment['attempt']}"
            self.tally.claimed.append(key)
            self.tally.write(claimed=key)
        return said["experiments"]

    def _complete(self, experiment):
        value = value_of(experiment["inputs"])
        body = {"worker": self.name, "attempt": experiment["attempt"], "values": {"Output": value}}
        path, key = f"/{experiment['id']}/complete", uuid.uuid4().hex
        said = self._send("POST", path, body, key)
        self.tally.completed[experiment["id"]] = value
        self.tally.write(completed=experiment["id"], value=value)
        if self._draw.random() < AGAIN:
            again = self._send("POST", path, body, self._draw.choice([key, None]))
            self.tally.n_repeated += 1
            if again != said:
                raise RefusedError(f"a repetition was answered {again}, the first time {said}")

    def _send(self, method, path, body, key="new"):
        """Send a request until it is answered; a repetition is the same request, word for word."""
        key = uuid.uuid4().hex if key == "new" else key
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._once(method, path, json.dumps(body), headers)
            except (OSError, http.client.HTTPException):
                self._connection = None
                if time.monotonic() > until:
                    raise
                time.sleep(PAUSE_S)

    def _once(self, method, path, text, headers):
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        url = f"/api/v1/sessions/{self.session}/experiments/staged{path}"
        self._connection.request(method, url, text, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 500:
            raise ConnectionError(f"{answer.status}: {said[:200]!r}")
        if answer.status >= 300:
            raise RefusedError(f"{method} {path} {text}: {answer.status} {said[:500]!r}")
        return json.loads(said)


def in_ledger(path):
    """Return what the ledger's file holds, by SQL of our own: rows, and how often each was started.

    Returns:
        For each experiment its state, number of attempts, and the values of its counted results.
    """
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as ledger:
        found = {name: [state, 0, []] for name, state in ledger.execute("SELECT id, state FROM experiments")}
        for name, n in ledger.execute("SELECT experiment, count(*) FROM attempts GROUP BY experiment"):
            found[name][1] = n
        results = "SELECT experiment, measured FROM outcomes WHERE role = 'result' AND status = 'completed'"
        for name, measured in ledger.execute(results):
            found[name][2].append(json.loads(measured)["Output"])
        others = ledger.execute("SELECT count(*) FROM outcomes WHERE role <> 'result'").fetchone()[0]
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return found, others
