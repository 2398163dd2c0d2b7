"""Brought: the parts of a session's file that every kind of file has, checked.

In:    what a file says of a session.
Out:   what people said of it, labels, and a study; or every flaw, with its place.
Never: decides what becomes of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alchemy_async import files
from alchemy_async.clock import Clock
from alchemy_async.config import check_campaign
from alchemy_async.errors import SettingsError
from alchemy_async.ledger import Ledger
from alchemy_async.service.definition import variables as words
from alchemy_async.service.definition.rewriting import rewrite
from alchemy_async.service.definition.study import FILE, Study, make_study
from alchemy_async.service.problems import Flaw, InvalidError, Place
from alchemy_async.service.sessions.beginning import UNTITLED, check_objectives

MOST_FLAWS = 100
Places = dict[tuple[str, int], Place]


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str = Field(default=UNTITLED, max_length=200)
    description: str = Field(default="", max_length=10_000)
    author: str = Field(default="", max_length=200)
    tags: list[str] = Field(default_factory=list, max_length=100)
    created_at: str = Field(default="", max_length=40)


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid")

    changes: dict[str, words.Changes] = Field(default_factory=dict)
    constraints: list[tuple[str, dict[str, Any]]] = Field(default_factory=list)
    objectives: dict[str, dict[str, str | None]] = Field(default_factory=dict)


def read_metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people said of a session.

    Raises:
        InvalidError: If it has another form.
    """
    try:
        return _Metadata.model_validate(given.get("metadata") or {}).model_dump()
    except ValidationError as error:
        raise _invalid(error, "file", "metadata") from error


def read_labels(labels: object, *place: str | int) -> dict[str, Any]:
    """Return labels that have the form in which this service keeps them.

    Raises:
        InvalidError: If they have another.
    """
    try:
        return _Labels.model_validate({} if labels is None else labels).model_dump(mode="json")
    except ValidationError as error:
        raise _invalid(error, *place) from error


def read_study(document: Mapping[str, Any], folder: Path, places: Places) -> Study:
    """Return the study that a document says.

    Args:
        document: As campaign.toml would have it.
        folder: Where it is going to be.
        places: Where in the file each table stands.

    Raises:
        InvalidError: If it has mistakes, with all of them.
    """
    document = {key: value for key, value in document.items() if value != []}
    objectives = document.get("objectives")
    if not isinstance(objectives, list) or not all(isinstance(one, Mapping) for one in objectives):
        raise InvalidError.at("file", "objectives", what="must be a list of objects")
    check_objectives(objectives, "file", "objectives")
    try:
        if not document.get("parameters"):
            check_campaign({**document, "parameters": [{"name": "any", "type": "integer", "bounds": [0, 1]}]})
        return make_study(document, folder)
    except SettingsError as error:
        raise words.in_their_words(error.mistakes, places) from error


def write_study(folder: Path, study: Study) -> None:
    """Write the campaign.toml of a session that is being made."""
    files.write_file(folder / FILE, rewrite("", study.document).encode(), durable=True)


def note_origin(folder: Path, clock: Clock, given: Mapping[str, Any], left_out: Sequence[str]) -> None:
    """Keep in the ledger where the session came from, and what was not taken over."""
    metadata = given.get("metadata")
    origin = str(metadata.get("session_id", ""))[:100] if isinstance(metadata, Mapping) else ""
    with Ledger.open(folder / "campaign.db", clock=clock) as ledger, ledger.change() as change:
        change.note("imported", session=origin, left_out=list(left_out))


def _invalid(error: ValidationError, *place: str | int) -> InvalidError:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:MOST_FLAWS]
    return InvalidError([Flaw((*place, *one["loc"]), one["msg"], one["type"]) for one in found])
