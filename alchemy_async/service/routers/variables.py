"""Variables: what can be changed from one experiment to the next, constraints between them, words for objectives.

In:    variables and constraints, one by one or as a file.
Out:   the same, as the session has them.
Never: decide what fits; the session's rooms do.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, UploadFile
from fastapi.responses import JSONResponse
from pydantic import Field

from alchemy_async.service.definition.variables import (
    Constraint,
    Variable,
    as_constraint,
    as_exported,
    read_constraint,
    read_variable,
)
from alchemy_async.service.problems import InvalidError
from alchemy_async.service.routers.copies import Message
from alchemy_async.service.routers.given import Body as Wanted
from alchemy_async.service.routers.given import DeskGiven, Said, SessionGiven, refusals
from alchemy_async.service.sessions import changing, overview
from alchemy_async.service.transfer.uploads import read_upload

router = APIRouter(tags=["variables"])

MOST_BYTES = 4 * 1024 * 1024
_EXAMPLES: Any = {
    "real": {"value": {"name": "Temperature", "type": "real", "min": 300.0, "max": 400.0, "unit": "K"}},
    "integer": {"value": {"name": "Equivalents", "type": "integer", "min": 1, "max": 8}},
    "categorical": {"value": {"name": "Catalyst", "type": "categorical", "categories": ["Pt", "Ni"]}},
    "discrete": {"value": {"name": "Loading", "type": "discrete", "allowed_values": [0.1, 0.5, 1.0], "unit": "%"}},
}
VariableGiven = Annotated[Variable, Body(openapi_examples=_EXAMPLES)]


class VariableSaid(Said):
    """A variable, in the form in which it was sent."""

    message: str = "Variable added successfully"
    variable: dict[str, Any] = Field(examples=[{"name": "Temperature", "type": "real", "min": 300.0, "max": 400.0}])


class VariableList(Said):
    """All variables."""

    variables: list[dict[str, Any]] = Field(
        examples=[[{"name": "Temperature", "type": "real", "role": "controllable", "bounds": [300.0, 400.0]}]]
    )
    n_variables: int


class Removed(Message):
    """What was taken out."""

    n_variables: int


class Loaded(Message):
    """What was loaded."""

    n_variables: int
    n_constraints: int


class ConstraintMade(Message):
    """A constraint."""

    constraint: dict[str, Any] = Field(
        examples=[{"type": "inequality", "coefficients": {"A": 1.0, "B": 1.0}, "rhs": 10.0, "name": "constraint_0"}]
    )


class ConstraintList(Said):
    """All constraints."""

    constraints: list[dict[str, Any]]
    n_constraints: int


class ObjectiveWords(Wanted):
    """What people call an objective; null takes a word back."""

    label: str | None = Field(default=None, max_length=200, examples=["Yield"])
    unit: str | None = Field(default=None, max_length=200, examples=["%"])


class ObjectiveMetadata(Said):
    """What people call the objectives."""

    metadata: dict[str, dict[str, Any]] = Field(examples=[{"Output": {"label": "Yield", "unit": "%"}}])


class ObjectiveMetadataWanted(Wanted):
    """What people are to call the objectives; what is not spoken of stays."""

    metadata: dict[str, ObjectiveWords] = Field(examples=[{"Output": {"label": "Yield", "unit": "%"}}])


@router.post("/sessions/{session_id}/variables", response_model=VariableSaid, responses=refusals(400, 404, 409))
def add_variable(desk: DeskGiven, variable: VariableGiven) -> dict[str, Any]:
    """Add a variable, as long as the session has no experiments."""
    changing.add_variable(desk, variable)
    return {"message": "Variable added successfully", "variable": _echo(variable)}


@router.get("/sessions/{session_id}/variables", response_model=VariableList, responses=refusals(404, 409))
def list_variables(desk: DeskGiven) -> dict[str, Any]:
    """List the variables."""
    with desk.look() as ledger:
        variables = overview.listed(ledger, desk.study)
    return {"variables": variables, "n_variables": len(variables)}


@router.post("/sessions/{session_id}/variables/load", response_model=Loaded, responses=refusals(400, 404, 409, 413))
def load_variables(desk: DeskGiven, file: UploadFile) -> dict[str, Any]:
    """Put the variables of a JSON file in place of all that there are, and its constraints, if it has any.

    The file holds a list of variables, or `variables` and `constraints`, as the export has them.
    """
    document = read_upload(file.file, MOST_BYTES)
    if isinstance(document, list):
        document = {"variables": document}
    if not isinstance(document, dict) or not isinstance(document.get("variables"), list):
        raise InvalidError.at("file", what="must hold a list of variables, or an object with `variables`")
    strange = sorted(set(document) - {"variables", "constraints"})
    if strange:
        raise InvalidError.at("file", strange[0][:60], what="is not known here. Send `variables` and `constraints`")
    given = document.get("constraints") or []
    if not isinstance(given, list):
        raise InvalidError.at("file", "constraints", what="must be a list")
    variables = [read_variable(one, "file", "variables", i) for i, one in enumerate(document["variables"])]
    constraints = [read_constraint(one, "file", "constraints", i) for i, one in enumerate(given)]
    changing.load_variables(desk, variables, constraints, "file")
    n_variables, n_constraints = len(variables), len(constraints)
    also = f" and {n_constraints} constraints" if "constraints" in document else ""
    message = f"Loaded {n_variables} variables{also} successfully"
    return {"message": message, "n_variables": n_variables, "n_constraints": n_constraints}


@router.get("/sessions/{session_id}/variables/export", response_model=None, responses=refusals(404, 409))
def export_variables(
    session: SessionGiven,
    include_constraints: Annotated[bool, Query(description="Whether constraints come along.")] = False,
) -> JSONResponse:
    """Return the variables as a JSON file, which `load` reads: a list, or with constraints an object of two lists."""
    desk = session.desk
    with desk.look() as ledger:
        labels = changing.labels_of(ledger)
    settings = desk.study.settings
    changes = labels.get("changes", {})
    parameters = settings.parameters if settings else ()
    variables = [as_exported(one, changes.get(one.name, "easy")) for one in parameters]
    content: Any = variables
    if include_constraints:
        constraints = [one for one in _constraints(desk) if one["type"] != "function"]
        content = {"variables": variables, "constraints": constraints}
    name = f"variables_{session.id[:8]}.json"
    return JSONResponse(content, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.put(
    "/sessions/{session_id}/variables/{variable_name}",
    response_model=VariableSaid,
    responses=refusals(400, 404, 409),
)
def replace_variable(desk: DeskGiven, variable_name: str, variable: VariableGiven) -> dict[str, Any]:
    """Say anew what a variable is; its name stays. With experiments in the session, all of them must still fit."""
    changing.replace_variable(desk, variable_name, variable)
    return {"message": "Variable updated successfully", "variable": _echo(variable)}


@router.delete("/sessions/{session_id}/variables/{variable_name}", response_model=Removed, responses=refusals(404, 409))
def remove_variable(desk: DeskGiven, variable_name: str) -> dict[str, Any]:
    """Take a variable out, as long as the session has no experiments and no constraint names it."""
    study = changing.remove_variable(desk, variable_name)
    return {"message": f"Variable {variable_name!r} deleted successfully", "n_variables": study.n_variables}


@router.post("/sessions/{session_id}/constraints", response_model=ConstraintMade, responses=refusals(400, 404, 409))
def add_constraint(desk: DeskGiven, constraint: Constraint) -> dict[str, Any]:
    """Add a constraint; whatever is still to be run must meet it, what was measured need not."""
    name = changing.add_constraint(desk, constraint)
    made = next(one for one in _constraints(desk) if one["name"] == name)
    return {"message": "Constraint added successfully", "constraint": made}


@router.get("/sessions/{session_id}/constraints", response_model=ConstraintList, responses=refusals(404, 409))
def list_constraints(desk: DeskGiven) -> dict[str, Any]:
    """List the constraints; one that is a person's function has the type `function`."""
    constraints = _constraints(desk)
    return {"constraints": constraints, "n_constraints": len(constraints)}


@router.delete(
    "/sessions/{session_id}/constraints/{constraint_name}", response_model=Message, responses=refusals(404, 409)
)
def remove_constraint(desk: DeskGiven, constraint_name: str) -> dict[str, Any]:
    """Take a constraint out."""
    changing.remove_constraint(desk, constraint_name)
    return {"message": f"Constraint {constraint_name!r} deleted successfully"}


@router.get("/sessions/{session_id}/objective-metadata", response_model=ObjectiveMetadata, responses=refusals(404, 409))
def get_objective_metadata(desk: DeskGiven) -> dict[str, Any]:
    """Return what people call the objectives."""
    with desk.look() as ledger:
        return {"metadata": changing.labels_of(ledger).get("objectives", {})}


@router.put("/sessions/{session_id}/objective-metadata", response_model=ObjectiveMetadata, responses=refusals(404, 409))
def update_objective_metadata(desk: DeskGiven, wanted: ObjectiveMetadataWanted) -> dict[str, Any]:
    """Say what people call the objectives: name by name, and word by word."""
    said = {name: words.model_dump(exclude_unset=True) for name, words in wanted.metadata.items()}
    return {"metadata": changing.describe_objectives(desk, said)}


def _echo(variable: Variable) -> dict[str, Any]:
    """Return a variable as it was sent, with what was left out."""
    said = variable.model_dump(exclude={"log"} if getattr(variable, "log", None) is None else None)
    if "categories" in said:
        said["values"] = said["categories"]
    return said


def _constraints(desk: DeskGiven) -> list[dict[str, Any]]:
    with desk.look() as ledger:
        study = desk.study
        tables = study.document.get("constraints", ()) if study.settings is not None else ()
        names = changing.constraint_names(changing.labels_of(ledger), tables)
    settings = study.settings.constraints if study.settings is not None else ()
    return [as_constraint(one, name) for one, name in zip(settings, names, strict=True)]
