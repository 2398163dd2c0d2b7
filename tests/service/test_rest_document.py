"""docs/rest.md tells the truth: its tables name every operation, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app

DOCUMENT = (Path(__file__).parents[2] / "docs" / "rest.md").read_text(encoding="utf-8")
VERDICTS = {"same", "better", "not offered"}
WITHOUT_PREFIX = ("/", "/health", "/ready", "/metrics", "/ws/")
DOCUMENTATION = {"/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect"}


def table(name):
    """Return the rows between two marks: operation, and what stands beside it."""
    text = DOCUMENT.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]
    return {operation.strip("`"): rest for operation, *rest in cells}


THEIRS, OWN = table("operations"), table("own")


def whole(operation):
    """Return an operation with its whole path, and names of parameters left out."""
    method, _, path = operation.partition(" ")
    path = re.sub(r"/S(?=/|$)|/\{[^}]+\}|/ID(?=/|$)", "/{}", path)
    is_bare = path == "/" or path.startswith(("/api/", *WITHOUT_PREFIX[1:]))
    return f"{method} {path if is_bare else '/api/v1' + path}"


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """Every route of the app, in the same form."""
    app = create_app(make_service(ServiceSettings(root=tmp_path_factory.mktemp("root"))))
    found = {f"WS {place(path)}" for path in ("/ws/sessions/{session_id}", "/api/v1/ws/sessions/{session_id}")}
    for path, methods in app.openapi()["paths"].items():
        found |= {f"{method.upper()} {place(path)}" for method in methods}
    return found


def place(path):
    return re.sub(r"\{[^}]+\}", "{}", path)


def test_all_81_operations_of_alchemist_stand_in_the_table_once():
    assert len(THEIRS) == 81
    assert {verdict for verdict, _ in THEIRS.values()} == VERDICTS
    assert DOCUMENT.count("| `POST /sessions` |") == 1


def test_what_is_better_or_not_offered_says_how_or_why():
    assert [operation for operation, (verdict, why) in THEIRS.items() if verdict != "same" and not why] == []


def test_what_the_table_offers_is_there(routes):
    offered = {whole(operation) for operation, (verdict, _) in THEIRS.items() if verdict != "not offered"}

    assert sorted(offered - routes) == []


def test_what_the_table_does_not_offer_is_not_there(routes):
    refused = {whole(operation) for operation, (verdict, _) in THEIRS.items() if verdict == "not offered"}

    assert sorted(refused & routes) == []


def test_every_operation_of_our_own_stands_in_its_table_and_no_other(routes):
    theirs = {whole(operation) for operation in THEIRS}

    assert {whole(operation) for operation in OWN} == routes - theirs


def test_every_path_that_the_guide_names_is_one_of_the_app(routes):
    shown = re.findall(r"(?:^|`)((?:GET|POST|PUT|PATCH|DELETE) +/[^\s`?]*)", DOCUMENT, re.MULTILINE)

    assert len(shown) > 81
    offered = {re.sub(" +", " ", one) for one in shown}
    unknown = {one for one in offered if whole(one) not in routes and THEIRS.get(one, [""])[0] != "not offered"}
    assert sorted(unknown) == []
