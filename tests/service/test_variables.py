from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from alchemy_async.service.context import ServiceSettings, make_service
from alchemy_async.service.server.app import create_app

T = {"name": "T", "type": "real", "min": 300, "max": 400, "unit": "K", "description": "oil bath"}
N = {"name": "n", "type": "integer", "min": 1, "max": 8}
CATALYST = {"name": "catalyst", "type": "categorical", "categories": ["Pt", "Ni"]}
LOADING = {"name": "loading", "type": "discrete", "allowed_values": [1, 0.5]}


@pytest.fixture
def client(tmp_path):
    service = make_service(ServiceSettings(root=tmp_path))
    yield TestClient(create_app(service), base_url="http://127.0.0.1:8000")  # not entered: nothing runs beside it
    service.close()


@pytest.fixture
def at(client):
    return "/api/v1/sessions/" + client.post("/api/v1/sessions").json()["session_id"]


@pytest.fixture
def filled(client, at):
    for variable in (T, N, CATALYST, LOADING):
        assert client.post(f"{at}/variables", json=variable).status_code == 200
    return at


def places(answer):
    assert answer.status_code == 422
    return [tuple(one["loc"]) for one in answer.json()["errors"]]


def load(client, at, content):
    return client.post(f"{at}/variables/load", files={"file": ("v.json", content)})


def test_a_variable_is_echoed_as_it_was_sent_with_what_was_left_out(client, at):
    real = client.post(f"{at}/variables", json=T).json()
    category = client.post(f"{at}/variables", json=CATALYST).json()

    assert real == {
        "message": "Variable added successfully",
        "variable": {**T, "min": 300.0, "max": 400.0, "role": "controllable", "changes": "easy"},
    }
    assert category["variable"]["values"] == ["Pt", "Ni"]


def test_a_variable_without_a_type_is_a_real_one(client, at):
    answer = client.post(f"{at}/variables", json={"name": "x", "min": 0, "max": 1})

    assert answer.json()["variable"]["type"] == "real"


def test_variables_are_listed_in_alchemists_words(client, filled):
    listed = client.get(f"{filled}/variables").json()

    assert listed["n_variables"] == 4
    assert listed["variables"][0] == {
        "name": "T", "type": "real", "role": "controllable", "changes": "easy", "bounds": [300.0, 400.0],
        "categories": None, "unit": "K", "description": "oil bath",
    }  # fmt: skip
    assert listed["variables"][1]["bounds"] == [1, 8]
    assert listed["variables"][2]["categories"] == ["Pt", "Ni"]
    assert listed["variables"][3]["allowed_values"] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({**T, "min": 400, "max": 300}, ("body", "max")),
        ({**T, "min": 300, "max": 300}, ("body", "max")),
        ({"name": "x", "type": "real", "min": 0}, ("body", "real", "max")),
        ({**T, "min": "0"}, ("body", "real", "min")),
        ({**T, "min": True}, ("body", "real", "min")),
        ({**T, "max": 1e300}, ("body", "real", "max")),
        ({**T, "surprise": 1}, ("body", "real", "surprise")),
        ({**T, "name": ""}, ("body", "real", "name")),
        ({**T, "name": "a/b"}, ("body", "name")),
        ({**T, "name": "Noise"}, ("body", "name")),
        ({**T, "type": "foo"}, ("body",)),
        ({**N, "min": 1.5}, ("body", "integer", "min")),
        ({**CATALYST, "categories": ["Pt"]}, ("body", "categorical", "categories")),
        ({**CATALYST, "categories": ["Pt", "Pt"]}, ("body", "categories")),
        ({**CATALYST, "categories": [1, 2]}, ("body", "categorical", "categories", 0)),
        ({**CATALYST, "categories": ["Pt", " "]}, ("body", "categories", 1)),
        ({**LOADING, "allowed_values": [1, 1]}, ("body", "allowed_values")),
        ({**LOADING, "allowed_values": [1]}, ("body", "discrete", "allowed_values")),
        ({**T, "role": "observed", "changes": "hard"}, ("body", "changes")),
        ({**T, "min": 0, "log": True}, ("body", "log")),
        ({**LOADING, "allowed_values": [0, 1], "log": True}, ("body", "log")),
        ({**T, "unit": "K\nC"}, ("body", "unit")),
    ],
)
def test_a_variable_that_does_not_fit_is_refused_with_its_field(client, at, body, place):
    answer = client.post(f"{at}/variables", json=body)

    assert place in places(answer)
    assert client.get(f"{at}/variables").json()["n_variables"] == 0


def test_numbers_to_choose_from_may_lie_on_a_logarithmic_scale(client, at):
    client.post(f"{at}/variables", json={**LOADING, "allowed_values": [10, 0.1, 1], "log": True})

    (listed,) = client.get(f"{at}/variables").json()["variables"]

    assert (listed["allowed_values"], listed["log"]) == ([0.1, 1, 10], True)


def test_nan_and_infinity_are_refused_with_their_field(client, at):
    for text in ("NaN", "Infinity", "1e999"):
        body = f'{{"name": "x", "type": "real", "min": 0, "max": {text}}}'
        answer = client.post(f"{at}/variables", content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code == 422


def test_a_name_that_is_taken_is_refused_as_alchemist_does(client, filled):
    answer = client.post(f"{filled}/variables", json=T)

    assert answer.status_code == 400
    assert "exists already" in answer.json()["detail"]


def test_an_observed_variable_is_a_reading_that_nobody_has_to_stage(client, filled):
    humidity = {"name": "humidity", "min": 0, "max": 100, "role": "observed"}
    client.post(f"{filled}/variables", json=humidity)

    listed = client.get(f"{filled}/variables").json()["variables"][-1]
    inputs = {"T": 310, "n": 2, "catalyst": "Pt", "loading": 1}
    staged = client.post(f"{filled}/experiments/staged", json={"inputs": inputs})

    assert (listed["role"], listed["changes"]) == ("observed", None)
    assert staged.status_code == 200


def test_how_hard_a_variable_is_to_change_is_kept(client, at):
    client.post(f"{at}/variables", json={**T, "changes": "very_hard"})
    client.post(f"{at}/variables", json=N)

    assert [one["changes"] for one in client.get(f"{at}/variables").json()["variables"]] == ["very_hard", "easy"]
    client.put(f"{at}/variables/T", json=T)
    assert client.get(f"{at}/variables").json()["variables"][0]["changes"] == "easy"


def test_a_variable_can_be_said_anew_under_its_name_and_no_other(client, filled):
    changed = client.put(f"{filled}/variables/T", json={"name": "T", "type": "real", "min": 0, "max": 2, "unit": "bar"})
    renamed = client.put(f"{filled}/variables/T", json={**T, "name": "P"})
    unknown = client.put(f"{filled}/variables/P", json={**T, "name": "P"})

    assert changed.json()["message"] == "Variable updated successfully"
    assert client.get(f"{filled}/variables").json()["variables"][0]["bounds"] == [0.0, 2.0]
    assert renamed.status_code == 400
    assert unknown.status_code == 404


def test_a_variable_can_be_taken_out_once(client, filled):
    first = client.delete(f"{filled}/variables/n")
    second = client.delete(f"{filled}/variables/n")

    assert first.json() == {"message": "Variable 'n' deleted successfully", "n_variables": 3}
    assert second.status_code == 404


def test_names_with_spaces_and_signs_can_be_addressed(client, at):
    name = "Flow rate (mL/min)".replace("/", " per ")
    client.post(f"{at}/variables", json={**T, "name": name})

    answer = client.put(f"{at}/variables/{name}", json={**T, "name": name, "max": 500})

    assert answer.status_code == 200


def test_constraints_are_added_listed_and_taken_out_by_name(client, filled):
    body = {"constraint_type": "inequality", "coefficients": {"T": 1, "n": 2, "loading": 0}, "rhs": 390}
    made = client.post(f"{filled}/constraints", json=body).json()
    client.post(f"{filled}/constraints", json={**body, "constraint_type": "equality", "name": "sum"})

    listed = client.get(f"{filled}/constraints").json()
    gone = client.delete(f"{filled}/constraints/sum")

    assert made["constraint"] == {
        "type": "inequality", "coefficients": {"T": 1.0, "n": 2.0}, "rhs": 390.0, "name": "constraint_0",
    }  # fmt: skip
    assert [one["name"] for one in listed["constraints"]] == ["constraint_0", "sum"]
    assert listed["n_constraints"] == 2
    assert gone.status_code == 200
    assert client.delete(f"{filled}/constraints/sum").status_code == 404


def test_staging_heeds_a_constraint_from_the_next_request_on(client, filled):
    inputs = {"T": 399, "n": 8, "catalyst": "Pt", "loading": 1}
    body = {"constraint_type": "inequality", "coefficients": {"T": 1, "n": 2}, "rhs": 390}
    client.post(f"{filled}/constraints", json=body)

    assert client.post(f"{filled}/experiments/staged", json={"inputs": inputs}).status_code == 422


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"coefficients": {}}, ("body", "coefficients")),
        ({"coefficients": {"T": 0}}, ("body", "coefficients")),
        ({"coefficients": {"nope": 1}}, ("body", "coefficients", "nope")),
        ({"coefficients": {"catalyst": 1}}, ("body", "coefficients", "catalyst")),
        ({"rhs": 1}, ("body", "rhs")),
        ({"rhs": "1"}, ("body", "rhs")),
        ({"function": "os:system"}, ("body", "function")),
        ({"constraint_type": "at_most"}, ("body", "constraint_type")),
    ],
)
def test_a_constraint_that_does_not_fit_is_refused_with_its_field(client, filled, change, place):
    body = {"constraint_type": "inequality", "coefficients": {"T": 1}, "rhs": 390, **change}

    assert place in places(client.post(f"{filled}/constraints", json=body))


def test_a_persons_function_is_shown_and_can_not_be_taken_out(client, filled, tmp_path):
    folder = tmp_path / filled.rsplit("/", 1)[-1]
    with (folder / "campaign.toml").open("a") as file:
        file.write('\n[[constraints]]\nfunction = "my_lab:is_possible"\n')

    shown = client.get(f"{filled}/constraints").json()["constraints"]
    exported = client.get(f"{filled}/variables/export", params={"include_constraints": True}).json()

    assert [(one["type"], one["name"]) for one in shown] == [("function", "constraint_0")]
    assert client.delete(f"{filled}/constraints/constraint_0").status_code == 409
    assert exported["constraints"] == []


def test_exported_variables_can_be_loaded_into_another_session(client, filled):
    body = {"constraint_type": "inequality", "coefficients": {"T": 1, "n": 2}, "rhs": 390, "name": "sum"}
    client.post(f"{filled}/constraints", json=body)
    client.put(f"{filled}/variables/n", json={**N, "changes": "hard"})
    other = "/api/v1/sessions/" + client.post("/api/v1/sessions").json()["session_id"]

    exported = client.get(f"{filled}/variables/export", params={"include_constraints": True})
    loaded = load(client, other, exported.text)

    assert loaded.json() == {
        "message": "Loaded 4 variables and 1 constraints successfully", "n_variables": 4, "n_constraints": 1,
    }  # fmt: skip
    for path in ("variables", "constraints"):
        assert client.get(f"{other}/{path}").json() == client.get(f"{filled}/{path}").json()
    assert exported.headers["content-disposition"].startswith("attachment; filename=")


def test_a_file_of_alchemists_puts_its_variables_in_place_of_those_that_there_are(client, filled):
    content = [
        {"name": "q", "type": "real", "min": 0, "max": 1, "unit": None},
        {"name": "c", "type": "categorical", "values": ["a", "b"]},
        {"name": "d", "type": "discrete", "allowed_values": [1.0, 2.5]},
        {"name": "b", "type": "integer", "bounds": [1, 3]},
    ]

    answer = load(client, filled, json.dumps(content))

    assert answer.json()["n_variables"] == 4
    assert [one["name"] for one in client.get(f"{filled}/variables").json()["variables"]] == ["q", "c", "d", "b"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("nope", 400),
        ("[1, 2", 400),
        ("NaN", 400),
        ('[], "x": 2', 400),
        ('{"a": 1}', 422),
        ("7", 422),
        ('{"variables": [], "functions": []}', 422),
        ('[{"name": "x", "type": "real", "min": 1, "max": 0}]', 422),
        ('[{"name": "x", "min": 0, "max": 1}, {"name": "X", "min": 0, "max": 1}]', 422),
        ('{"variables": [{"name": "x", "min": 0, "max": 1}], "constraints": [{"function": "os:system"}]}', 422),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(client, filled, content, status):
    answer = load(client, filled, content)

    assert answer.status_code == status
    assert client.get(f"{filled}/variables").json()["n_variables"] == 4


def test_the_places_of_mistakes_in_a_file_are_told(client, filled):
    content = json.dumps({"variables": [T, {**N, "max": 0}], "constraints": []})

    assert places(load(client, filled, content)) == [("body", "file", "variables", 1, "max")]


def test_variables_stay_once_there_are_experiments_and_the_answer_says_why(client, filled):
    inputs = {"T": 310, "n": 2, "catalyst": "Pt", "loading": 1}
    client.post(f"{filled}/experiments/staged", json={"inputs": inputs})

    added = client.post(f"{filled}/variables", json={"name": "late", "min": 0, "max": 1})
    removed = client.delete(f"{filled}/variables/n")
    widened = client.put(f"{filled}/variables/T", json={**T, "max": 500})

    assert (added.status_code, removed.status_code, widened.status_code) == (409, 409, 200)
    assert "experiments" in added.json()["detail"]


def test_what_people_call_an_objective_is_kept_name_by_name_and_word_by_word(client, filled):
    first = client.put(f"{filled}/objective-metadata", json={"metadata": {"Output": {"label": "Yield", "unit": "%"}}})
    second = client.put(f"{filled}/objective-metadata", json={"metadata": {"Output": {"unit": None}}})

    assert first.json() == {"metadata": {"Output": {"label": "Yield", "unit": "%"}}}
    assert second.json() == {"metadata": {"Output": {"label": "Yield", "unit": None}}}
    assert client.get(f"{filled}/objective-metadata").json() == second.json()
    unknown = client.put(f"{filled}/objective-metadata", json={"metadata": {"nope": {"label": "x"}}})
    assert places(unknown) == [("body", "metadata", "nope")]


def test_an_unknown_session_is_told_as_such_by_every_operation(client):
    at = "/api/v1/sessions/00000000-0000-0000-0000-000000000000"
    answers = [
        client.get(f"{at}/variables"),
        client.post(f"{at}/variables", json=T),
        client.delete(f"{at}/variables/T"),
        client.get(f"{at}/constraints"),
        client.get(f"{at}/variables/export"),
        load(client, at, "[]"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["error_type"] for answer in answers} == {"SessionNotFoundError"}
