from __future__ import annotations

import json
import sqlite3
import tracemalloc

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Match

from alchemy_async.errors import LedgerError, Mistake, SettingsError
from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.gateway import bodies
from alchemy_async.service.problems import ConflictError, NoModelError, TooMuchError
from alchemy_async.service.server.app import create_app
from alchemy_async.service.server.switchboard import Switchboard, placed

API = "/api/v1"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def service(tmp_path):
    return make_service(ServiceSettings(root=tmp_path / "root"))


@pytest.fixture
def app(service):
    return create_app(service)


@pytest.fixture
def client(app):
    with TestClient(app) as made:
        yield made


@pytest.fixture
def raising(app):
    """Add an operation that raises what a test wants, and call it."""

    def call(error):
        def fail():
            raise error

        app.add_api_route("/fail", fail)
        return TestClient(app).get("/fail")

    return call


def is_of_the_one_form(answer):
    body = answer.json()
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert isinstance(body["error_type"], str)
    assert body["status_code"] == answer.status_code
    assert ("errors" in body) == (answer.status_code == 422)
    return body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", f"{API}/nothing", 404),
        ("GET", f"{API}/sessions/nobody", 404),
        ("PUT", f"{API}/sessions", 405),
        ("HEAD", f"{API}/sessions/nobody", 405),
        ("GET", f"{API}/sessions/nobody/", 404),
    ],
)
def test_what_is_not_there_is_refused_in_the_one_form(client, method, path, status):
    answer = client.request(method, path, follow_redirects=False)

    assert answer.status_code == status
    if method != "HEAD":
        is_of_the_one_form(answer)


def test_an_unknown_session_has_the_name_that_clients_of_alchemist_look_for(client):
    body = is_of_the_one_form(client.get(f"{API}/sessions/nobody/state"))

    assert body["error_type"] == "SessionNotFoundError"
    assert "POST /sessions" in body["detail"]


def test_a_refused_method_says_which_are_allowed(client):
    assert client.put(f"{API}/sessions").headers["allow"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"name": NaN}', "NaN"),
        (b'{"name": -Infinity}', "Infinity"),
        (b'{"name": 1e999}', "too large"),
        (b'{"name": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"name": "a", "name": "b"}', "twice"),
        (b'{"tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
        (b'{"tags": ' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
        (b'{"name": "\xff"}', "UTF-8"),
        (b'{"name": "\\ud800"}', "Unicode"),
        (b'{"name": ', "JSON"),
        (b"[1, 2]", "object"),
        ('{"name": "x"}'.encode("utf-16"), "UTF-8"),
        (b'{"tags": [' + b"1.5, " * 100_000 + b"NaN]}", "NaN"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused_with_what_is_wrong(client, body, said):
    answer = client.post(f"{API}/sessions", content=body, headers=JSON)

    assert answer.status_code == 422
    assert said in is_of_the_one_form(answer)["detail"]


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (b'{"name": "a", "x": NaN}', [["x"]]),
        (b'{"a": [{"T": 1}, {"T": -Infinity, "p": 1e999}], "b": Infinity}', [["a", 1, "T"], ["a", 1, "p"], ["b"]]),
        (b'{"x": ' + b"9" * 5000 + b"}", [["x"]]),
        (b'{"' + b"k" * 500 + b'": NaN}', [["k" * 100]]),
        (b'{"a": [' + b"1.5, " * 100_000 + b"NaN]}", [["a", 100_000]]),
        (b'{"a": ' + b"[" * 100_000 + b"NaN" + b"]" * 100_000 + b"}", [[]]),
        (b'{"a": NaN, ', [[]]),
    ],
)
def test_a_number_that_is_none_is_refused_with_the_field_in_which_it_stands(client, body, places):
    answer = client.post(f"{API}/sessions", content=body, headers=JSON)

    assert answer.status_code == 422
    assert [error["loc"] for error in is_of_the_one_form(answer)["errors"]] == [["body", *place] for place in places]
    assert all(".".join(map(str, place)) in answer.json()["detail"] for place in places)


def test_to_find_the_field_takes_little_more_than_to_read_the_body():
    body = b'{"a": [' + b"1, " * 300_000 + b"NaN]}"
    tracemalloc.start()
    try:
        json.loads(body)
        read = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        flaw = bodies._flaw(body, "application/json")
        found = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [error["loc"] for error in flaw.errors] == [["body", "a", 300_000]]
    assert found < 2 * read


def test_of_very_many_fields_without_a_number_the_first_hundred_are_told(client):
    answer = client.post(f"{API}/sessions", content=b'{"a": [' + b"NaN, " * 1000 + b"1]}", headers=JSON)

    assert [error["loc"][2] for error in answer.json()["errors"]] == list(range(100))
    assert len(answer.json()["detail"]) < 200


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
def test_json_that_does_not_say_so_is_refused_with_the_header_to_send(client, headers):
    answer = client.post(f"{API}/sessions", content=b'{"name": "a"}', headers=headers)

    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_a_body_that_does_not_fit_names_each_place_and_never_repeats_a_value(client):
    answer = client.post(f"{API}/sessions", json={"name": {"secret": 1}, "tags": "hunter2", "shoe_size": 43})

    body = is_of_the_one_form(answer)
    assert answer.status_code == 422
    assert body["error_type"] == "ValidationError"
    places = {one["loc"][-1] for one in body["errors"]}
    assert {"name", "tags", "shoe_size"} <= places
    assert all(set(one) == {"loc", "msg", "type"} for one in body["errors"])
    assert "hunter2" not in answer.text
    assert "shoe_size" in body["detail"]


def test_what_nobody_foresaw_is_500_without_stack_or_path_and_the_server_goes_on(raising, caplog, client, tmp_path):
    answer = raising(ZeroDivisionError(f"in {tmp_path}/secret.py"))

    body = is_of_the_one_form(answer)
    assert (answer.status_code, body["error_type"]) == (500, "InternalError")
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert "secret.py" in caplog.text
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left", "/data/campaign.db"), sqlite3.OperationalError("/data/campaign.db is locked")],
)
def test_a_disk_that_refuses_is_503_and_says_when_to_ask_again(raising, error):
    answer = raising(error)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "campaign.db" not in answer.text
    is_of_the_one_form(answer)


def test_a_ledger_that_cant_be_read_is_503_and_its_path_stays_in_the_log(raising, caplog):
    answer = raising(LedgerError("/data/campaign.db can't be read as a ledger"))

    assert answer.status_code == 503
    assert "/data" not in answer.text
    assert "/data/campaign.db" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ConflictError("taken"), 409, "ConflictError"),
        (NoModelError("none yet"), 400, "NoModelError"),
        (OverflowError("int too large"), 422, "ValidationError"),
        (
            SettingsError("/data/campaign.toml", [Mistake("budget", "is negative", "Take one above 0")]),
            422,
            "ValidationError",
        ),
    ],
)
def test_each_kind_of_refusal_has_its_status_and_name(raising, error, status, kind):
    body = is_of_the_one_form(raising(error))

    assert (body["status_code"], body["error_type"]) == (status, kind)
    assert "/data" not in str(body)


def test_too_much_says_when_to_ask_again(raising):
    answer = raising(TooMuchError("slowly", status=429, again_in_s=2.6))

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


def test_the_page_of_operations_loads_nothing_from_elsewhere_and_shows_every_path(client, app):
    page = client.get("/api/docs").text

    assert "<script" not in page
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert "https://" not in page
    assert all(path in page for path in app.openapi()["paths"])


def test_the_openapi_document_lies_where_alchemist_and_where_fastapi_have_it(client):
    assert client.get("/api/openapi.json").json() == client.get("/openapi.json").json()


def test_every_operation_documents_what_any_of_them_may_answer(app):
    missing = [
        (path, method, status)
        for path, methods in app.openapi()["paths"].items()
        if path.startswith(API)
        for method, one in methods.items()
        for status in ("401", "403", "413", "422", "429", "503")
        if status not in one["responses"]
    ]

    assert missing == []


def test_a_part_of_the_service_is_made_once_and_closed_with_it(service):
    closed = []

    class Part:
        pass

    def make(_):
        return Part()

    first = service.part(make, closed.append)

    assert service.part(make, closed.append) is first
    service.close()
    assert closed == [first]


def test_the_switchboard_finds_the_very_operation_that_the_router_would(app):
    routes = [route for route in app.router.routes if isinstance(route, APIRoute)]
    differing = []
    for wanted in routes:
        path = wanted.path.replace("{", "x").replace("}", "")
        for method in wanted.methods:
            scope = {"type": "http", "path": path, "method": method, "root_path": ""}
            plain = next(route for route in routes if route.matches(scope)[0] is Match.FULL)
            quick = app.router.middleware_stack.find(scope)
            if quick is None or quick[0] is not plain:
                differing.append((method, path))

    assert len(routes) > 50
    assert differing == []


def test_a_path_of_its_own_goes_before_one_with_a_parameter():
    room = APIRouter()
    for path in ("/items/{name}", "/items/all"):
        room.add_api_route(path, lambda: None, methods=["GET"])
    room.add_api_route("/items/{name}", lambda: None, methods=["DELETE"])
    board = Switchboard(room, list(placed(room, "/v1")))

    found = {
        (method, path): board.find({"type": "http", "method": method, "path": f"/v1/items/{path}", "root_path": ""})
        for method, path in (("GET", "all"), ("GET", "one"), ("DELETE", "all"), ("PUT", "all"), ("GET", "one/more"))
    }

    assert {key: one and one[0].path for key, one in found.items()} == {
        ("GET", "all"): "/v1/items/all", ("GET", "one"): "/v1/items/{name}", ("DELETE", "all"): "/v1/items/{name}",
        ("PUT", "all"): None, ("GET", "one/more"): None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/", "//", "/{}", "/api/v1/sessions//state", "/api/v1/sessions/a/b/c/d/e/f/g/h", "/%2F"]
)
def test_odd_paths_are_answered_in_order(client, path):
    assert client.get(path).status_code in (200, 404)
