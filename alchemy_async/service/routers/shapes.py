"""Shapes: the parts that the bodies of the experiment routes have in common.

In:    JSON as clients send it.
Out:   typed parts, each with its description for the documentation.
Never: says whether a point fits: the search space does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from alchemy_async.experiment import Experiment
from alchemy_async.service.routers.given import Body, Said, request_text
from alchemy_async.service.staged.desk import Reply

MOST_ROWS = 10_000  # of one request
_MOST_METADATA = 65_536  # bytes of JSON
_LARGEST = 2**53  # what a JSON number can hold exactly
ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _whole(value: object) -> object:
    """Take 2.0 for 2, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(document: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(document, allow_nan=False)) > _MOST_METADATA:
        raise ValueError(f"must be at most {_MOST_METADATA} bytes; keep large results in files and name them here")
    return document


Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Variance = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Whole = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
Inputs = Annotated[
    dict[str, Annotated[Any, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})]],
    Field(
        description="A value for every variable of the session, by name.",
        examples=[{"Temperature": 325.0, "Pressure": 8.5, "Catalyst": "Pt"}],
        max_length=1000,
    ),
]
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_short),
    Field(description="Anything else that is to be kept with it; at most 64 KiB.", examples=[{"operator": "Ada"}]),
]
Output = Annotated[
    Number | dict[Name, Number],
    Field(
        description="The measured value; with several objectives a value of each, by name.",
        examples=[0.87],
    ),
]
Noise = Annotated[
    Variance | dict[Name, Variance],
    Field(
        description="The variance of the measurement's noise (the square of its standard error); with several "
        "objectives by name.",
        examples=[0.02],
    ),
]
Iteration = Annotated[
    Whole, Field(description="Number of the round that it belongs to; without one, the next.", examples=[5])
]
Reason = Annotated[str, Field(max_length=2000, description="Why, for the dataset's Reason column.", examples=["qEI"])]
Priority = Annotated[Number, Field(description="The highest is run first.", examples=[0])]
Labels = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]],
    Field(max_length=64, description="What a worker must be able to do; those without it are not given it."),
]
Worker = Annotated[
    str,
    Field(
        max_length=64, description="Who: 1 to 64 letters, digits, `-` or `_`; the same name in all of its requests.",
        examples=["robot-1"],
    ),
]  # fmt: skip
Try = Annotated[
    Whole,
    Field(ge=1, description="Which attempt, as the claim said; without it, the newest of this worker.", examples=[1]),
]
ExperimentId = Annotated[str, Path(max_length=64, description="Id of the experiment.", examples=["e0001"])]
After = Annotated[int, Query(ge=0, le=_LARGEST, description="Go on behind this one: `next` of the page before.")]
Limit = Annotated[int | None, Query(ge=1, le=100_000, description="How many at most; without it, all.")]


class Attachment(BaseModel):
    """A file that belongs to a measurement and is kept elsewhere."""

    model_config = Body.model_config

    name: Annotated[str, Field(min_length=1, max_length=500, examples=["spectrum-17.csv"])]
    size: Annotated[Whole, Field(ge=0, description="Its size in bytes.", examples=[52311])] | None = None
    digest: Annotated[str, Field(max_length=200, description="Such as `sha256:9f86d0...`.")] | None = None
    media_type: Annotated[str, Field(max_length=200, examples=["text/csv"])] | None = None
    uri: Annotated[str, Field(max_length=2000, description="Where it lies; the server never fetches it.")] | None = None


class Trained(Said):
    """What auto_train brought."""

    model_trained: bool = Field(default=False, description="Whether a model was trained.")
    training_metrics: dict[str, Any] | None = Field(
        default=None, description="How well it predicts: rmse, r2, backend.", examples=[{"rmse": 0.1, "r2": 0.9}]
    )
    training_message: str | None = Field(default=None, description="Why no model was trained, if one was asked for.")


class Reported(Said):
    """What became of a report."""

    id: str = Field(description="Id of the experiment.", examples=["e0001"])
    attempt: int = Field(description="Which attempt was reported.", examples=[1])
    status: str = Field(description="What was reported: completed, failed, infeasible or released.")
    recorded: str = Field(
        description="`counted`: it decided the experiment. `replicate`: a measurement more, of one that had ended. "
        "`superseded`: kept, but the experiment had gone on without it. `conflict`: kept, and out of the model."
    )
    worker: str = Field(description="Who reported.")
    measurement: int = Field(description="Its number in the ledger.", examples=[17])
    values: dict[str, float] = Field(description="What was measured, by objective.")
    sems: dict[str, float] = Field(description="Standard errors, where they are known.")


class Contradicted(Said):
    """A report that contradicts what was reported before; both are kept, the first one counts."""

    detail: str = Field(description="What is wrong, why, and how to mend it.")
    error_type: str = Field(examples=["ConflictError"])
    status_code: int = Field(examples=[409])
    stored: Reported | None = Field(default=None, description="What was reported first.")
    new: Reported | None = Field(default=None, description="What contradicts it.")


def respond(reply: Reply, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer as HTTP has it; its text is made here, once, and not checked again."""
    return Response(ENCODER.encode(reply.body), reply.status, headers, media_type="application/json")


def text_of(key: str | None, what: str, body: BaseModel | None = None, **more: object) -> str:
    """Return all of a request in short, where it has a key that may come with another request."""
    return "" if key is None else request_text(what, body, **more)


def staged_inputs(experiment: Experiment) -> dict[str, Any]:
    """Return the inputs of an experiment as JSON has them."""
    return dict(experiment.parameters)


def as_body(stored: Mapping[str, Any], name: str, attempt: int) -> dict[str, Any]:
    """Return what the ledger holds of a report, as `Reported` has it; the same at every repetition."""
    recorded = {"result": "counted"}.get(stored["role"], stored["role"])
    return {
        "id": name,
        "attempt": attempt,
        "status": stored["status"],
        "recorded": recorded,
        "worker": stored["worker"],
        "measurement": stored["id"],
        "values": stored["measured"],
        "sems": stored["sems"],
    }
