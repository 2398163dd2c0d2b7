"""Files: the dataset as CSV, in and out.

In:    CSV files with a header; a column for each variable and objective, and Noise, Iteration, Reason if wanted.
Out:   what a file has; its rows in the dataset: all, or none; the dataset as a file.
Never: replaces what is in the dataset, guesses a value, or takes a cell for anything but a number or a text.

Better than ALchemist: an upload adds its rows instead of replacing what was measured, every bad cell is named
with its line, and there is an export. Cells go out exactly as they came in: a text that begins with ``=`` stays one,
so open an export of texts that you do not trust as text, not in a spreadsheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, File, Query, Response, UploadFile
from pydantic import Field
from starlette.responses import StreamingResponse

from alchemy_async.ledger.dataset import USED
from alchemy_async.service.routers.given import DeskGiven, Key, Said, refusals
from alchemy_async.service.routers.shapes import respond, text_of
from alchemy_async.service.staged import dataset, recording, tables
from alchemy_async.service.staged.desk import Reply, Turn

router = APIRouter(tags=["experiments"], prefix="/sessions/{session_id}/experiments")

Csv = Annotated[UploadFile, File(description="A CSV file in UTF-8, with a header.")]


class Previewed(Said):
    """What a file has; nothing was recorded."""

    columns: list[str] = Field(examples=[["Temperature", "Catalyst", "Output"]])
    available_targets: list[str] = Field(description="Columns that may hold what was measured.")
    has_output: bool = Field(description="Whether there is a column Output.")
    recommended_target: str | None = None
    n_rows: int


class Uploaded(Said):
    """All rows of the file are in the dataset."""

    message: str = Field(examples=["Loaded 3 experiments successfully"])
    n_experiments: int = Field(description="How many rows the dataset has.")
    n_added: int = Field(description="How many rows the file had.")
    ids: list[str] = Field(default_factory=list)


@router.post("/preview", response_model=Previewed, responses=refusals(400, 404))
def preview_experiments(desk: DeskGiven, file: Csv) -> Response:
    """Say what a CSV file has, and record nothing."""
    found = tables.read_table(file.file)
    objectives = [str(one.get("name")) for one in desk.study.document.get("objectives", ())]
    targets = [name for name in found.columns if name not in dataset.RESERVED]
    return respond(
        Reply(
            {
                "columns": list(found.columns),
                "available_targets": targets,
                "has_output": "Output" in found.columns,
                "recommended_target": tables.likely_target(found, objectives),
                "n_rows": len(found.rows),
            }
        )
    )


@router.post("/upload", response_model=Uploaded, responses=refusals(400, 404, 409))
def upload_experiments(
    desk: DeskGiven,
    file: Csv,
    target_columns: Annotated[
        str,
        Query(max_length=2000, description="The column of each objective, in the objectives' order, with commas."),
    ] = "Output",
    key: Key = None,
) -> Response:
    """Add the rows of a CSV file to the dataset: all of them, or none.

    Rows without a column Iteration are iteration 0, and without a column Reason `Initial Design`.
    """
    found = tables.read_table(file.file)
    targets = tuple(name.strip() for name in target_columns.split(","))

    def make(turn: Turn) -> Reply:
        rows, places = tables.as_rows(turn.study, found, targets)
        done = recording.add_rows(turn, rows, *places)
        return Reply(
            {
                "message": f"Loaded {len(done)} experiments successfully",
                "n_experiments": turn.ledger.n_observations(),
                "n_added": len(done),
                "ids": [one.id for one in done],
            }
        )

    text = text_of(key, "upload", digest=found.digest, targets=targets)
    return respond(desk.answer(make, key=key, request=text))


@router.get("/export", responses={**refusals(404), 200: {"content": {"text/csv": {}}, "description": "CSV."}})
def export_experiments(
    desk: DeskGiven,
    outliers: Annotated[bool, Query(description="Also what was marked as an outlier, in a column Outlier.")] = False,
) -> StreamingResponse:
    """Return the dataset as CSV, every digit of every number; what /upload reads."""
    with desk.look() as ledger:
        has_noise = ledger.has_noise()
    objectives = desk.study.objectives if desk.study.settings else ()
    names = tables.columns(desk.study, has_noise=has_noise) + (["Outlier"] if outliers else [])

    def lines() -> Iterator[str]:
        yield tables.as_lines([names])
        for page in dataset.pages(desk, roles=(*USED, "outlier") if outliers else USED):
            made = [dataset.row(found, objectives, has_noise=has_noise) for found in page]
            marked = [
                {**one, "Outlier": str(found.role == "outlier").lower()} for one, found in zip(made, page, strict=True)
            ]
            yield tables.as_lines([[one.get(name) for name in names] for one in marked])

    headers = {"Content-Disposition": 'attachment; filename="experiments.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)
