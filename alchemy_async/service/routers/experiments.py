"""Experiments: the dataset: add results, list them, tell where each comes from.

In:    measurements that nobody staged, one or many; results of staged items among them.
Out:   rows, a summary, provenance.
Never: replaces or deletes a row; a wrong one is corrected or marked as an outlier (``observations``).

The same as ALchemist: columns, iteration and reason of rows that say none. Better: a batch is recorded as a whole
or not at all; what does not fit is 422 with its field; long lists can be read in pages (``after``, ``limit``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from alchemy_async.experiment import Objective
from alchemy_async.ledger import Measurement
from alchemy_async.ledger.dataset import USED
from alchemy_async.service.problems import UnknownError
from alchemy_async.service.routers.given import (
    Body,
    DeskGiven,
    Key,
    Said,
    ServiceGiven,
    SessionGiven,
    refusals,
)
from alchemy_async.service.routers.shapes import (
    ENCODER,
    MOST_ROWS,
    After,
    Inputs,
    Iteration,
    Limit,
    Noise,
    Output,
    Reason,
    Trained,
    respond,
    text_of,
)
from alchemy_async.service.routers.training import TrainingGiven
from alchemy_async.service.staged import dataset, recording
from alchemy_async.service.staged.desk import Desk, Reply, Turn
from alchemy_async.service.staged.measures import Measured, by_objective
from alchemy_async.service.staged.recording import Row

router = APIRouter(tags=["experiments"], prefix="/sessions/{session_id}/experiments")


class AddOne(Body):
    """One measurement."""

    inputs: Inputs
    output: Output
    noise: Noise | None = None
    iteration: Iteration | None = None
    reason: Reason | None = None


class AddMany(Body):
    """Measurements: all are recorded, or none."""

    experiments: Annotated[list[AddOne], Field(max_length=MOST_ROWS)]


class Added(Trained):
    """The measurements are in the dataset."""

    message: str = "Experiment added successfully"
    n_experiments: int = Field(description="How many rows the dataset has.")
    ids: list[str] = Field(default_factory=list, description="Of the new rows.", examples=[["e0001"]])


class RecordOne(Body):
    """One result: of an item, or of inputs that were never queued."""

    item_id: Annotated[str, Field(max_length=64)] | None = None
    inputs: Inputs
    output: Output
    noise: Noise | None = None
    iteration: Iteration | None = None
    reason: Reason | None = None


class RecordMany(Body):
    """Results: all are recorded, or none."""

    entries: Annotated[list[RecordOne], Field(min_length=1, max_length=MOST_ROWS)]


class RecordedMany(Trained):
    """All results are in the dataset."""

    message: str = "Results recorded"
    n_added: int
    n_experiments: int
    completed_item_ids: list[str] = Field(default_factory=list)
    ids: list[str] = Field(default_factory=list, description="Of the experiments, in the order of the entries.")


class Rows(Said):
    """Rows of the dataset, in the order in which they came in."""

    experiments: list[dict[str, Any]] = Field(
        examples=[
            [{"Temperature": 325.0, "Catalyst": "Pt", "Output": 0.87, "Noise": 0.02, "Iteration": 0, "Reason": "qEI",
              "ProvenanceId": "e0001"}]
        ]
    )  # fmt: skip
    n_experiments: int = Field(description="How many rows the dataset has in all.")
    next: int | None = Field(default=None, description="For ?after=; null: there are no more.")


class DataSummary(Said):
    """What the dataset looks like."""

    n_experiments: int
    has_data: bool
    has_noise: bool | None = None
    target_stats: dict[str, float | None] | None = Field(
        default=None, description="Of the first objective: min, max, mean, std (n - 1)."
    )
    feature_names: list[str] | None = None


class ProvenanceRecord(Said):
    """Where one row comes from."""

    id: str
    iteration: int | None = None
    strategy: str = Field(description="The row's reason.")
    acq_params: dict[str, Any] = Field(
        default_factory=dict, description="What the planner noted when it chose the inputs."
    )
    suggested: dict[str, Any] | None = Field(default=None, description="What was asked; null: nobody asked.")
    actual: dict[str, Any] = Field(description="What was run.")
    delta: dict[str, Any] = Field(default_factory=dict)
    output: Any | None = None
    noise: Any | None = None
    timestamp: str | None = None


class ProvenanceRecords(Said):
    """Where the rows come from."""

    records: list[ProvenanceRecord]
    n_records: int = Field(description="How many there are in all.")
    next: int | None = Field(default=None, description="For ?after=; null: there are no more.")


@router.post("", response_model=Added, responses=refusals(400, 404, 409))
def add_experiment(
    service: ServiceGiven, session: SessionGiven, body: AddOne, training: TrainingGiven, key: Key = None
) -> Response:
    """Record one measurement of inputs that were never staged."""

    def make(turn: Turn) -> Reply:
        objectives = turn.study.objectives
        done = recording.add_rows(turn, [_row(objectives, body)], ())
        return _added(turn, "Experiment added successfully", [one.id for one in done])

    reply = session.desk.answer(make, key=key, request=text_of(key, "add", body, training=training))
    return respond(training.after(service, session, reply, key))


@router.post("/batch", response_model=Added, responses=refusals(400, 404, 409))
def add_experiments(
    service: ServiceGiven, session: SessionGiven, body: AddMany, training: TrainingGiven, key: Key = None
) -> Response:
    """Record measurements of inputs that were never staged: all of them, or none."""

    def make(turn: Turn) -> Reply:
        objectives = turn.study.objectives
        rows = [_row(objectives, one, "experiments", i) for i, one in enumerate(body.experiments)]
        done = recording.add_rows(turn, rows, *(("experiments", i) for i in range(len(rows))))
        return _added(turn, f"Added {len(done)} experiments successfully", [one.id for one in done])

    reply = session.desk.answer(make, key=key, request=text_of(key, "add_batch", body, training=training))
    return respond(training.after(service, session, reply, key))


@router.post("/record-batch", response_model=RecordedMany, responses=refusals(400, 404, 409))
def record_results(
    service: ServiceGiven, session: SessionGiven, body: RecordMany, training: TrainingGiven, key: Key = None
) -> Response:
    """Record results, of items and of inputs that were never queued: all of them, or none.

    The reason of an entry replaces its item's. Entries without an iteration share the next one.
    """

    def make(turn: Turn) -> Reply:
        objectives = turn.study.objectives
        rows = [_row(objectives, one, "entries", i) for i, one in enumerate(body.entries)]
        done = recording.add_rows(turn, rows, *(("entries", i) for i in range(len(rows))), is_one_iteration=True)
        ids = [one.id for one in done]
        named = [name for name, row in zip(ids, rows, strict=True) if row.experiment is not None]
        more = {"n_added": len(done), "completed_item_ids": named}
        return _added(turn, f"Recorded {len(done)} results", ids, **more)

    reply = session.desk.answer(make, key=key, request=text_of(key, "record", body, training=training))
    return respond(training.after(service, session, reply, key))


def _row(objectives: tuple[Objective, ...], one: AddOne | RecordOne, *place: str | int) -> Row:
    measured = Measured(
        by_objective(objectives, one.output, *place, "output"), by_objective(objectives, one.noise, *place, "noise")
    )
    item = one.item_id if isinstance(one, RecordOne) else None
    return Row(one.inputs, measured, one.reason, one.iteration, item)


def _added(turn: Turn, message: str, ids: list[str], **more: Any) -> Reply:  # noqa: ANN401 - more of the body
    return Reply(
        {
            "message": message,
            "n_experiments": turn.ledger.n_observations(),
            "model_trained": False,
            "training_metrics": None,
            "ids": ids,
            **more,
        }
    )


@router.get("", response_model=Rows, responses=refusals(404))
def list_experiments(
    desk: DeskGiven,
    after: After = 0,
    limit: Limit = None,
    outliers: Annotated[bool, Query(description="Also what was marked as an outlier, in a column Outlier.")] = False,
) -> Response:
    """Return the rows of the dataset, corrected; what is staged or running is not among them."""
    with desk.look() as ledger:
        n, has_noise = ledger.n_observations(), ledger.has_noise()
    objectives = desk.study.objectives if desk.study.settings else ()

    def shown(found: Measurement) -> dict[str, Any]:
        made = dataset.row(found, objectives, has_noise=has_noise)
        return {**made, "Outlier": found.role == "outlier"} if outliers else made

    roles = (*USED, "outlier") if outliers else USED
    return _stream(desk, "experiments", shown, {"n_experiments": n}, after, limit, roles)


def _stream(
    desk: Desk,
    name: str,
    shown: Callable[[Measurement], dict[str, Any]],
    more: dict[str, Any],
    after: int,
    limit: int | None,
    roles: Sequence[str],
) -> Response:
    """Answer with a list that is read page by page while it is sent."""

    def parts() -> Iterator[str]:
        yield f'{{"{name}":['
        comma, last, n_sent = "", None, 0
        for page in dataset.pages(desk, after=after, limit=limit, roles=roles):
            yield comma + ENCODER.encode([shown(found) for found in page])[1:-1]
            comma, last, n_sent = ",", page[-1].number, n_sent + len(page)
        end = {**more, "next": last if limit is not None and n_sent == limit else None}
        yield f"],{ENCODER.encode(end)[1:]}"

    if limit is None or limit > dataset.PAGE:
        return StreamingResponse(parts(), media_type="application/json")
    return Response("".join(parts()), media_type="application/json")


@router.get("/summary", response_model=DataSummary, responses=refusals(404))
def summarise_experiments(desk: DeskGiven) -> Response:
    """Return what the dataset looks like."""
    return respond(Reply(summary(desk)))


def summary(desk: Desk) -> dict[str, Any]:
    """Return what the dataset of a session looks like, as `DataSummary` has it."""
    with desk.look() as ledger:
        n = ledger.n_observations()
        if not n:
            return {
                "n_experiments": 0, "has_data": False, "has_noise": None, "target_stats": None, "feature_names": None
            }  # fmt: skip
        found, has_noise = ledger.summary(desk.study.objectives[0].name), ledger.has_noise()
    stats = None if found is None else {"min": found.min, "max": found.max, "mean": found.mean, "std": found.std}
    return {
        "n_experiments": n,
        "has_data": True,
        "has_noise": has_noise,
        "target_stats": stats,
        "feature_names": list(desk.study.space.names),
    }


@router.get("/provenance", response_model=ProvenanceRecords, responses=refusals(404))
def list_provenance(desk: DeskGiven, after: After = 0, limit: Limit = None) -> Response:
    """Return where each row comes from."""
    with desk.look() as ledger:
        n = ledger.n_observations()
    objectives = desk.study.objectives if desk.study.settings else ()
    return _stream(
        desk, "records", lambda found: dataset.provenance(found, objectives), {"n_records": n}, after, limit, USED
    )


@router.get("/provenance/{provenance_id}", response_model=ProvenanceRecord, responses=refusals(404))
def get_provenance(desk: DeskGiven, provenance_id: Annotated[str, Path(max_length=80)]) -> Response:
    """Return where one row comes from."""
    with desk.look() as ledger:
        found = dataset.find(ledger, provenance_id)
    if found is None:
        raise UnknownError(f"Unknown provenance id: {provenance_id[:80]!r}. GET /experiments lists all.")
    return respond(Reply(dataset.provenance(found, desk.study.objectives)))
