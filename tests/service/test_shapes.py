"""What our operations answer has the shape of what ALchemist 0.4.0 answered.

The shapes in tests/assets/alchemist_shapes.json were reduced from bodies that its server gave to
hundreds of requests: status, keys, kinds of values; none of its words or numbers is kept. A key
that was always there must be there, a kind that never came must not come; more keys are allowed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app
from tests.service.test_rest_document import THEIRS

SHAPES = {
    one["operation"]: one
    for one in json.loads((Path(__file__).parents[1] / "assets" / "alchemist_shapes.json").read_text(encoding="utf-8"))
}
OFFERED = [operation for operation, (verdict, _) in THEIRS.items() if verdict != "not offered"]
KINDS = {str: "str", bool: "bool", int: "num", float: "num", type(None): "null"}
X, Y = ({"name": name, "type": "real", "min": 0.0, "max": 1.0} for name in "xy")
AXES = {"x_var": "x", "y_var": "y", "grid_resolution": 10, "include_suggestions": True}


def misfits(shape, said, place=""):
    """Return where a body has not the shape that a client expects."""
    if shape == "any":
        return []
    if isinstance(shape, str):
        kind = KINDS.get(type(said), type(said).__name__)
        return [] if kind in shape.split("|") else [f"{place or 'the body'} is {kind}, not {shape}"]
    if isinstance(shape, list):
        if not isinstance(said, list):
            return [f"{place} is {type(said).__name__}, not a list"]
        inner = shape[0] or "any"
        return [one for k, item in enumerate(said) for one in misfits(inner, item, f"{place}[{k}]")]
    if "or null" in shape:
        return [] if said is None else misfits(shape["or null"], said, place)
    if not isinstance(said, dict):
        return [f"{place or 'the body'} is {type(said).__name__}, not an object"]
    found = []
    for key, inner in shape.items():
        name = key.rstrip("?")
        if name == "*":
            found += [one for name, item in said.items() for one in misfits(inner, item, f"{place}.{name}")]
        elif name in said:
            found += misfits(inner, said[name], f"{place}.{name}")
        elif not key.endswith("?"):
            found.append(f"{place}.{name} is missing")
    return found


class Story:
    """A session in which everything has happened that a request may need."""

    def __init__(self, client):
        self.client, self.s = client, "/sessions/none"
        self.s = "/sessions/" + self.must("POST", "/sessions", json={"name": "story", "tags": ["t"]})["session_id"]
        for variable in (X, Y):
            self.must("POST", "S/variables", json=variable)
        self.must("POST", "S/constraints", json={"constraint_type": "inequality", "coefficients": {"x": 1.0, "y": 1.0},
                                                "rhs": 1.9, "name": "limit"})  # fmt: skip
        rows = [{"inputs": {"x": k / 11, "y": (5 * k % 12) / 12}, "output": (k - 4.5) ** 2 / 9} for k in range(12)]
        self.must("POST", "S/experiments/batch", json={"experiments": rows})
        staged = self.must("POST", "S/experiments/staged/batch", json={"experiments": self.points(3), "reason": "r"})
        self.item, self.done, self.failed = staged["ids"]
        self.must("POST", f"S/experiments/queue/{self.done}/complete", json={"outputs": [0.5]})
        self.must("POST", f"S/experiments/queue/{self.failed}/fail", json={"error": "it broke"})

    def points(self, n):
        return [{"x": 0.1 + 0.07 * k, "y": 0.3} for k in range(n)]

    def send(self, method, path, **request):
        url = path.replace("S/", f"{self.s}/", 1) if path.startswith("S/") else path.replace("/sessions/S", self.s)
        url = url.replace("/recovery/S/", f"/recovery/{self.s.rpartition('/')[2]}/")
        prefix = "" if url in ("/", "/health") else "/api/v1"
        return self.client.request(method, prefix + url, **request)

    def must(self, method, path, **request):
        answer = self.send(method, path, **request)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content and "json" in answer.headers["content-type"] else answer.content

    def train(self):
        self.must("POST", "S/model/train", json={"backend": "botorch"})


def upload(text, name="file.json"):
    return {"files": {"file": (name, text if isinstance(text, bytes) else json.dumps(text).encode())}}


CSV = b"x,y,Output\n0.1,0.2,1.5\n0.3,0.4,1.7\n"
ENTRY = {"inputs": {"x": 0.9, "y": 0.4}, "output": 0.7, "noise": 0.01}


def exported(story):
    return story.must("GET", "S/export")


def first_provenance(story):
    return story.must("GET", "S/experiments/provenance")["records"][0]["id"]


def trained(request=None):
    """Return a request that is sent once a model is there."""

    def make(story):
        story.train()
        return request or {}

    return make


def backed_up(request=None):
    def make(story):
        story.must("POST", "S/backup")
        return request or {}

    return make


REQUESTS = {
    "POST /sessions": {"json": {"name": "n", "description": "d", "tags": ["t"], "author": "a"}},
    "POST /sessions/import": lambda story: upload(exported(story)),
    "POST /sessions/upload": lambda story: upload(exported(story)),
    "PATCH /sessions/S/metadata": {"json": {"name": "other"}},
    "POST /sessions/S/audit/lock": {"json": {"lock_type": "data", "notes": "n"}},
    "PUT /sessions/S/control": {"json": {"requested": "pause", "requested_by": "me"}},
    "POST /sessions/S/audit/event": {"json": {"entry_type": "seen", "parameters": {"k": 1}}},
    "DELETE /sessions/S/backup": backed_up(),
    "GET /recovery/list": backed_up(),
    "POST /recovery/S/restore": backed_up(),
    "POST /sessions/S/lock": {"json": {"locked_by": "me", "client_id": "c"}},
    "DELETE /sessions/S/lock": lambda story: {
        "params": {"lock_token": story.must("POST", "S/lock", json={"locked_by": "me"})["lock_token"]}
    },
    "POST /sessions/S/variables": {"json": X | {"unit": "K", "description": "d"}, "fresh": True},
    "POST /sessions/S/variables/load": lambda story: upload([X, Y]) | {"fresh": True},
    "GET /sessions/S/variables/export": {"params": {"include_constraints": "true"}},
    "PUT /sessions/S/variables/{variable_name}": {"path": "x", "json": X | {"max": 2.0}},
    "DELETE /sessions/S/variables/{variable_name}": lambda story: {"path": "x", "fresh": [X, Y]},
    "POST /sessions/S/constraints": {
        "json": {"constraint_type": "inequality", "coefficients": {"x": 1.0}, "rhs": 1.5, "name": "other"}
    },
    "DELETE /sessions/S/constraints/{constraint_name}": {"path": "limit"},
    "POST /sessions/S/experiments": {"json": ENTRY},
    "POST /sessions/S/experiments/batch": {"json": {"experiments": [ENTRY]}},
    "POST /sessions/S/initial-design": {"json": {"method": "lhs", "n_points": 4, "random_seed": 1}},
    "POST /sessions/S/optimal-design/info": {"json": {"model_type": "quadratic"}},
    "POST /sessions/S/optimal-design": {"json": {"model_type": "linear", "n_points": 6, "random_seed": 1}},
    "POST /sessions/S/experiments/preview": upload(CSV, "rows.csv"),
    "POST /sessions/S/experiments/upload": upload(CSV, "rows.csv"),
    "POST /sessions/S/experiments/staged": {"json": {"inputs": {"x": 0.5, "y": 0.6}, "reason": "r"}},
    "POST /sessions/S/experiments/staged/batch": {"json": {"experiments": [{"x": 0.5, "y": 0.6}], "reason": "r"}},
    "POST /sessions/S/experiments/staged/complete": {"json": {"outputs": [0.4], "noises": [0.01], "iteration": 3}},
    "POST /sessions/S/experiments/record-batch": lambda story: {
        "json": {"entries": [ENTRY, {"item_id": story.item, "inputs": {"x": 0.1, "y": 0.31}, "output": 0.2}]}
    },
    "POST /sessions/S/experiments/queue": {"json": {"items": [{"inputs": {"x": 0.5, "y": 0.6}, "reason": "r"}]}},
    "GET /sessions/S/experiments/queue/{item_id}": lambda story: {"path": story.done},
    "DELETE /sessions/S/experiments/queue/{item_id}": lambda story: {"path": story.item},
    "POST /sessions/S/experiments/queue/{item_id}/start": lambda story: {"path": story.item},
    "POST /sessions/S/experiments/queue/{item_id}/complete": lambda story: {
        "path": story.item, "json": {"outputs": [0.5], "noise": [0.01], "actual_inputs": {"x": 0.11, "y": 0.3}}
    },
    "POST /sessions/S/experiments/queue/{item_id}/fail": lambda story: {
        "path": story.item, "json": {"error": "it broke"}
    },
    "GET /sessions/S/experiments/provenance/{provenance_id}": lambda story: {"path": first_provenance(story)},
    "PUT /sessions/S/objective-metadata": {"json": {"metadata": {"Output": {"label": "Yield", "unit": "%"}}}},
    "POST /sessions/S/model/train": {"json": {"backend": "botorch", "kernel": "Matern"}},
    "GET /sessions/S/model": trained(),
    "GET /sessions/S/audit/config-changes": trained(),
    "POST /sessions/S/model/predict": trained({"json": {"inputs": [{"x": 0.5, "y": 0.5}]}}),
    "POST /sessions/S/acquisition/suggest": trained(
        {"json": {"strategy": "qEI", "goal": "maximize", "n_suggestions": 2}}
    ),
    "POST /sessions/S/acquisition/find-optimum": trained({"json": {"goal": "maximize"}}),
    "POST /sessions/S/visualizations/contour": trained({"json": AXES}),
    "POST /sessions/S/visualizations/surface": trained({"json": AXES}),
    **{
        f"GET /sessions/S/visualizations/{kind}": trained()
        for kind in ("parity", "metrics", "qq-plot", "calibration-curve", "hyperparameters")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    app = create_app(make_service(ServiceSettings(root=tmp_path_factory.mktemp("shapes") / "root")))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def story(client):
    return Story(client)


@pytest.mark.parametrize("operation", OFFERED)
def test_an_answer_has_the_status_and_shape_that_clients_of_alchemist_know(story, operation):
    method, path = operation.split(" ")
    wanted = SHAPES[operation]
    request = REQUESTS.get(operation, {})
    request = dict(request(story)) if callable(request) else dict(request)
    if fresh := request.pop("fresh", None):
        story.s = "/sessions/" + story.must("POST", "/sessions", json={"name": "fresh"})["session_id"]
        for variable in fresh if isinstance(fresh, list) else ():
            story.must("POST", "S/variables", json=variable)
    path = path.partition("{")[0] + request.pop("path", "") + path.partition("}")[2]

    answer = story.send(method, path, **request)

    assert answer.status_code == wanted["status"], answer.text
    if wanted["shape"] is not None:
        assert misfits(wanted["shape"], answer.json()) == []


@pytest.mark.parametrize(
    ("shape", "said", "found"),
    [
        ({"n": "num"}, {"n": 1, "more": "x"}, []),
        ({"n": "num"}, {"n": "1"}, [".n is str, not num"]),
        ({"n": "num"}, {}, [".n is missing"]),
        ({"n?": "num|null"}, {"n": None}, []),
        ([{"n": "bool"}], [{"n": True}, {"n": 1}], ["[1].n is num, not bool"]),
        ({"*": "str"}, {"a": "x", "b": 2}, [".b is num, not str"]),
        ({"or null": {"a": "str"}}, None, []),
    ],
)
def test_a_misfit_is_named_by_its_place(shape, said, found):
    assert misfits(shape, said) == found


def test_every_operation_that_is_offered_was_seen_there():
    assert sorted(set(OFFERED) - set(SHAPES)) == []
    assert sorted(set(REQUESTS) - set(OFFERED)) == []
