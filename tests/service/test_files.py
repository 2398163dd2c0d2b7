from __future__ import annotations

import csv
import io

import pytest

UPLOAD, PREVIEW, EXPORT = "/experiments/upload", "/experiments/preview", "/experiments/export"


def send(api, path, text, **more):
    data = text if isinstance(text, bytes) else text.encode()
    return api.post(path, files={"file": ("a.csv", data, "text/csv")}, **more)


def test_a_preview_says_what_a_file_has_and_records_nothing(api):
    answer = send(api, PREVIEW, "T,c,yield,Noise\n1,A,0.5,0.01\n2,B,0.7,0.02\n").json()

    assert answer == {
        "columns": ["T", "c", "yield", "Noise"], "available_targets": ["T", "c", "yield"], "has_output": False,
        "recommended_target": "yield", "n_rows": 2,
    }  # fmt: skip
    assert api.rows() == []


@pytest.mark.parametrize(
    ("header", "target"), [("T,c,Output", None), ("c,T,x", "T"), ("c,RESPONSE,T", "RESPONSE"), ("c,Noise", None)]
)
def test_the_target_that_is_recommended_is_the_likeliest_column(api, header, target):
    cells = {"T": "1", "c": "A"}

    answer = send(api, PREVIEW, f"{header}\n{','.join(cells.get(name, '2.5') for name in header.split(','))}\n").json()

    assert answer["recommended_target"] == target


def test_the_rows_of_a_file_are_added_to_the_dataset(api):
    api.did("POST", "/experiments", {"inputs": {"T": 9.0, "c": "B"}, "output": 9.0})

    answer = send(api, UPLOAD, "T,c,Output,Noise\n1,A,0.5,0.01\n\n2.5,B,0.7,\n").json()

    assert (answer["message"], answer["n_experiments"]) == ("Loaded 2 experiments successfully", 3)
    assert api.rows()[1:] == [
        {"T": 1.0, "c": "A", "Output": 0.5, "Noise": 0.01, "Iteration": 0, "Reason": "Initial Design",
         "ProvenanceId": "e0002"},
        {"T": 2.5, "c": "B", "Output": 0.7, "Noise": None, "Iteration": 0, "Reason": "Initial Design",
         "ProvenanceId": "e0003"},
    ]  # fmt: skip


def test_iteration_and_reason_of_a_file_are_kept(api):
    send(api, UPLOAD, "T,c,Output,Iteration,Reason,ProvenanceId\n1,A,0.5,4,x,abc\n")

    (row,) = api.rows()
    assert (row["Iteration"], row["Reason"], row["ProvenanceId"]) == (4, "x", "e0001")


def test_the_columns_of_the_objectives_are_named_in_their_order(two):
    text = "T,c,y,price\n1,A,0.5,3\n"

    short = send(two, UPLOAD, text, params={"target_columns": "y"})
    right = send(two, UPLOAD, text, params={"target_columns": "y, price"})

    assert (short.status_code, right.status_code) == (400, 200)
    assert (two.rows()[0]["Output"], two.rows()[0]["cost"]) == (0.5, 3.0)


def test_a_target_that_is_not_there_is_refused(api):
    answer = send(api, UPLOAD, "T,c,yield\n1,A,3\n")

    assert answer.status_code == 400
    assert "Target column(s) ['Output'] not found" in answer.json()["detail"]


def test_every_bad_cell_is_named_with_its_line_and_nothing_is_recorded(api):
    text = "T,c,Output,Noise,Iteration\n1,A,0.5,,\nx,A,,0.1,\n3,Z,nan,-1,1.5\n99,A,1_0,inf,0\n"

    answer = send(api, UPLOAD, text)

    assert answer.status_code == 422
    places = [flaw["loc"][1:] for flaw in answer.json()["errors"]]
    assert places == [
        ["file", "line 3", "T"], ["file", "line 3", "Output"], ["file", "line 4", "Output"],
        ["file", "line 4", "Iteration"], ["file", "line 5", "Output"], ["file", "line 5", "Noise"],
    ]  # fmt: skip
    assert api.rows() == []


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ("99,A,1,", ["line 3", "inputs", "T"]),
        ("1,Z,1,", ["line 3", "inputs", "c"]),
        ("1,A,1,-1", ["line 3", "output", "Output"]),
    ],
)
def test_a_row_that_does_not_fit_the_space_is_named_with_its_line(api, cells, place):
    answer = send(api, UPLOAD, f"T,c,Output,Noise\n1,A,0.5,\n{cells}\n")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "file", *place]
    assert api.rows() == []


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        ("\n\n", 400),
        ("T,T,c,Output\n1,1,A,1\n", 400),
        ("T,,Output\n1,A,1\n", 400),
        (b"T,c,Output\n1,\xff,1\n", 400),
        ('T,c,Output\n1,"A,1\n', 400),
        ("T,c,Output\n1,A\n", 422),
        ("T,c,Output,colour\n1,A,1,red\n", 422),
        ("c,Output\nA,1\n", 422),
    ],
)
def test_a_file_that_is_no_table_of_this_session_is_refused(api, text, status):
    assert send(api, UPLOAD, text).status_code == status
    assert api.rows() == []


def test_a_file_of_a_header_alone_adds_nothing(api):
    assert send(api, UPLOAD, "T,c,Output\n").json()["n_experiments"] == 0


def test_a_request_without_a_file_is_refused(api):
    assert api.post(UPLOAD).status_code == 422


def test_a_file_sent_twice_under_its_key_is_added_once(api):
    for _ in range(2):
        answer = send(api, UPLOAD, "T,c,Output\n1,A,1\n", headers={"Idempotency-Key": "k"})

    assert (answer.status_code, len(api.rows())) == (200, 1)


def test_what_is_exported_can_be_uploaded_and_is_the_same(api, at_hand):
    send(api, UPLOAD, 'T,c,Output,Noise,Reason\n0.1,A,0.30000000000000004,0.02,"a, ""b"""\n2,B,1e-300,,=1+1\n')

    text = api.get(EXPORT).text
    other = at_hand("other")
    send(other, UPLOAD, text)

    assert other.rows() == api.rows()
    assert list(csv.DictReader(io.StringIO(text)))[1]["Reason"] == "=1+1"


def test_an_export_leaves_outliers_out_unless_they_are_asked_for(api):
    send(api, UPLOAD, "T,c,Output\n1,A,1\n2,A,2\n")
    api.did("PATCH", "/experiments/e0001/observation", {"outlier": True, "why": "x"})

    plain = list(csv.DictReader(io.StringIO(api.get(EXPORT).text)))
    marked = list(csv.DictReader(io.StringIO(api.get(EXPORT, params={"outliers": "true"}).text)))

    assert [row["Output"] for row in plain] == ["2.0"]
    assert [row["Outlier"] for row in marked] == ["true", "false"]


def test_an_export_of_nothing_is_a_header(api):
    answer = api.get(EXPORT)

    assert answer.text == "T,c,Output,Iteration,Reason,ProvenanceId\n"
    assert answer.headers["content-type"].startswith("text/csv")
