"""Whatever is sent to any operation: no answer is a server's mistake, and none is one that OpenAPI does not name."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
VARIABLES = (
    {"name": "Temperature", "type": "real", "min": 250.0, "max": 400.0},
    {"name": "Pressure", "type": "real", "min": 1.0, "max": 20.0},
    {"name": "Catalyst", "type": "categorical", "categories": ["Pt", "Ni"]},
)
QUICK, THOROUGH = 2, 100  # examples that are drawn, besides those at the edges of what is documented


class World:
    """An app with a session in which everything has happened once; it is made anew where a request took it away."""

    def __init__(self, client):
        self.client, self.ids = client, {}
        self._turn = itertools.count()
        self.refresh()

    def refresh(self):
        self.ids = {"session_id": self.client.post("/api/v1/sessions", json={"name": "w"}).json()["session_id"]}
        s = f"/api/v1/sessions/{self.ids['session_id']}"
        for variable in VARIABLES:
            self.must("POST", f"{s}/variables", variable)
        inputs = {"Temperature": 300.0, "Pressure": 5.0, "Catalyst": "Pt"}
        rows = [{"inputs": inputs | {"Temperature": 260.0 + 10 * k}, "output": float(k)} for k in range(6)]
        self.must("POST", f"{s}/experiments/batch", {"experiments": rows})
        points = [inputs | {"Pressure": 2.0 + k} for k in range(3)]
        staged = self.must("POST", f"{s}/experiments/staged/batch", {"experiments": points})
        body = {"n": 1, "worker": "bench-1", "lease_s": 600}
        claimed = self.must("POST", f"{s}/experiments/staged/claim", body)["experiments"]
        provenance = self.must("GET", f"{s}/experiments/provenance")["records"]
        self.ids |= {
            "variable_name": "Pressure", "provenance_id": provenance[0]["id"], "worker": "bench-1",
            "item_id": staged["ids"][1], "experiment_id": claimed[0]["id"], "constraint_name": "constraint_0",
        }  # fmt: skip

    def must(self, method, path, body=None):
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json()

    def put_real_ids(self, case):
        """Name real things in two of three cases."""
        if next(self._turn) % 3:
            for name in case.path_parameters:
                case.path_parameters[name] = self.ids.get(name, case.path_parameters[name])


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return create_app(make_service(ServiceSettings(root=tmp_path_factory.mktemp("openapi") / "root")))


@pytest.fixture(scope="module")
def world(app):
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        served.app = app
        yield World(client)


class Served:
    """The app of the fixture, for a second client beside the one that has started it and will end it."""

    app = None

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})


def read_schema(served):
    """Read what an app says of itself; the app that answers is another one, of the fixture."""
    with TemporaryDirectory() as root:
        said = create_app(make_service(ServiceSettings(root=Path(root)))).openapi()
    found = schemathesis.openapi.from_dict(said)
    found.app = served
    return found


served = Served()
schema = read_schema(served)
OPERATIONS = {found.ok().label: found.ok() for found in schema.get_all_operations()}


def check(case, world):
    world.put_real_ids(case)
    for place in (case.body, case.query):
        if isinstance(place, dict) and "wait_s" in place:
            place["wait_s"] = 0  # a request may be long by wish
        if isinstance(place, dict) and place.get("n_suggestions") in range(3, 65):
            place["n_suggestions"] = 2  # same
    case.call_and_validate(checks=CHECKS, headers={"Host": "127.0.0.1:8000"}, timeout=60)
    if case.operation.path.endswith("{session_id}/control"):
        world.must("PUT", f"/api/v1/sessions/{world.ids['session_id']}/control", {"requested": "pause"})
    if (case.method, case.operation.path) == ("DELETE", "/api/v1/sessions/{session_id}"):
        world.refresh()


def send_everything(label, world, n_examples):
    """Send an operation's documented examples, what lies at the edges of its schema, and what is drawn from it.

    Schemathesis' own parametrization gives all operations one name under this pytest; so its tests are made here.
    """
    ways = [HypothesisTestMode.EXAMPLES, HypothesisTestMode.COVERAGE, HypothesisTestMode.FUZZING]
    drawn = settings(
        max_examples=n_examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    config = HypothesisTestConfig(project=schema.config, modes=ways, settings=drawn)
    create_test(operation=OPERATIONS[label], test_func=lambda case: check(case, world), config=config)()


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_makes_a_server_error_or_an_answer_that_is_not_documented(label, world):
    send_everything(label, world, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_of_very_many_does_either(label, world):
    send_everything(label, world, THOROUGH)


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_operation_says_what_it_does_and_shows_what_it_takes(app):
    document = app.openapi()

    unsaid = [(method, path) for method, path, one in operations(document) if not one.get("summary")]
    names = [one["operationId"] for _, _, one in operations(document)]
    assert unsaid == []
    assert len(names) == len(set(names))


def test_every_body_has_an_example(app):
    document = app.openapi()

    bare = []
    for method, path, one in operations(document):
        taken = one.get("requestBody", {}).get("content", {}).get("application/json")
        if taken is not None and not has_example(taken, document):
            bare.append((method, path))
    assert "\n".join(map(" ".join, bare)) == ""


def has_example(node, document):
    """Look for an example anywhere in a body's schema."""
    if isinstance(node, list):
        return any(has_example(one, document) for one in node)
    if not isinstance(node, dict):
        return False
    if {"example", "examples"} & node.keys():
        return True
    if "$ref" in node:
        return has_example(document["components"]["schemas"][node["$ref"].rpartition("/")[2]], document)
    return any(has_example(one, document) for one in node.values())


def test_an_unknown_session_is_refused_by_every_operation(app, world):
    refused = {}
    for method, path, one in operations(app.openapi()):
        if "{session_id}" in path and not one.get("deprecated") and "WS" not in path:
            url = path.replace("{session_id}", "nobody").replace("{", "").replace("}", "")
            refused[method, path] = world.client.request(method, url, json={}).status_code

    forgetful = refused.pop(("DELETE", "/api/v1/sessions/{session_id}/backup"))  # of a session that may be gone itself
    assert {key: status for key, status in refused.items() if status not in (404, 422)} == {}
    assert forgetful == 200


def test_no_answer_names_a_path_of_the_server(app, world, tmp_path_factory):
    root = str(tmp_path_factory.getbasetemp())
    session = world.ids["session_id"]
    said = [
        world.client.get(f"/api/v1/sessions/{session}").text,
        world.client.get(f"/api/v1/sessions/{session}/export").text,
        world.client.get("/api/v1/recovery/list").text,
        world.client.post(f"/api/v1/sessions/{session}/experiments", content=b'{"inputs": {"Temperature": NaN}}').text,
        json.dumps(app.openapi()),
    ]

    assert [text[:200] for text in said if root in text or "Traceback" in text or "site-packages" in text] == []
