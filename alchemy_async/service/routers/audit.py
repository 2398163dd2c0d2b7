"""Audit: what was decided and what happened, in entries that stay as they are.

In:    decisions and events that a client wants kept.
Out:   entries, configuration changes, the trail as a document.
Never: changes or deletes an entry.

The same as ALchemist: shapes and entry types. Better: entries are the ledger's own events, so that none can be left
out; each says where it comes from (``source``) and has a number (``seq``), and long trails can be read in pages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from alchemy_async.service.problems import ServiceError
from alchemy_async.service.routers.given import Body, DeskGiven, Key, Said, SessionGiven, refusals
from alchemy_async.service.routers.shapes import MOST_ROWS, After, Inputs, Metadata, respond, text_of
from alchemy_async.service.sessions import overview
from alchemy_async.service.staged import auditing
from alchemy_async.service.staged.desk import Reply, Turn

router = APIRouter(tags=["audit"], prefix="/sessions/{session_id}/audit")

Notes = Annotated[str, Field(max_length=10_000, description="A person's words.")]
Page = Annotated[int, Query(ge=1, le=10_000, description="How many at most.")]


class Entry(Said):
    """One entry."""

    timestamp: str
    entry_type: str = Field(examples=["data_locked"])
    parameters: dict[str, Any]
    hash: str = Field(description="Of the parameters.")
    notes: str = ""
    seq: int = Field(description="Number of the event in the ledger.")
    source: str = Field(description="`ledger`: it happened. `lock`: a decision, filled in here. `client`: said by one.")


class Entries(Said):
    """Entries, oldest first."""

    entries: list[Entry]
    n_entries: int = Field(description="How many are here.")
    next: int | None = Field(default=None, description="For ?after=; null: there are no more.")


class LockWanted(Body):
    """A decision to be kept: what the data are, what the model is, or what is to be run next."""

    lock_type: Literal["data", "model", "acquisition"]
    notes: Notes | None = None
    strategy: Annotated[str, Field(max_length=200)] | None = None
    parameters: Metadata | None = None
    suggestions: Annotated[list[Inputs], Field(max_length=MOST_ROWS)] | None = None


class Locked(Said):
    """The decision is kept."""

    success: bool = True
    entry: Entry
    message: str = Field(examples=["Data decision locked successfully"])


class EventWanted(Body):
    """Something that happened outside, to be kept in the trail."""

    entry_type: Annotated[str, Field(min_length=1, max_length=200, examples=["column_changed"])]
    parameters: Annotated[Metadata, Field(default_factory=dict)]
    notes: Notes = ""


class Kept(Said):
    """The event is in the trail."""

    entry: Entry


class ConfigChange(Said):
    """How a model or an acquisition was set, and how before."""

    timestamp: str
    component: str = Field(description="model or acquisition")
    old: dict[str, Any]
    new: dict[str, Any]
    iteration: int | None = None


class ConfigChanges(Said):
    """All changes of how models and acquisitions are set, oldest first."""

    changes: list[ConfigChange]


@router.get("", response_model=Entries, responses=refusals(404))
def get_audit(
    desk: DeskGiven,
    entry_type: Annotated[str | None, Query(max_length=200, description="Only these.")] = None,
    after: After = 0,
    limit: Page = 10_000,
) -> Response:
    """Return the entries of the audit trail; what merely moved in the queue is in the events."""
    with desk.look() as ledger:
        found = auditing.entries(ledger, entry_type=entry_type, after=after, limit=limit)
    following = found[-1]["seq"] if len(found) == limit else None
    return respond(Reply({"entries": found, "n_entries": len(found), "next": following}))


@router.post("/lock", response_model=Locked, responses=refusals(400, 404, 409))
def lock_decision(desk: DeskGiven, body: LockWanted, key: Key = None) -> Response:
    """Keep a decision, with what it was made on."""
    is_whole = body.strategy is not None and body.parameters is not None and body.suggestions is not None
    if body.lock_type == "acquisition" and not is_whole:
        raise ServiceError("Acquisition lock requires strategy, parameters, and suggestions. Send all three.")

    def make(turn: Turn) -> Reply:
        if body.lock_type == "data":
            said = auditing.data_decision(turn)
        elif body.lock_type == "model":
            said = auditing.model_decision(turn)
        else:
            given = {"strategy": body.strategy, "parameters": body.parameters, "suggestions": body.suggestions}
            said = {**given, "iteration": turn.change.next_iteration()}
        entry = auditing.note(turn, f"{body.lock_type}_locked", said, body.notes or "", source="lock")
        message = f"{body.lock_type.capitalize()} decision locked successfully"
        return Reply({"success": True, "entry": entry, "message": message})

    return respond(desk.answer(make, key=key, request=text_of(key, "lock_decision", body)))


@router.post("/event", response_model=Kept, responses=refusals(404, 409))
def note_event(desk: DeskGiven, body: EventWanted, key: Key = None) -> Response:
    """Keep something that happened outside in the trail."""

    def make(turn: Turn) -> Reply:
        return Reply({"entry": auditing.note(turn, body.entry_type, body.parameters, body.notes, source="client")})

    return respond(desk.answer(make, key=key, request=text_of(key, "note_event", body)))


@router.get("/config-changes", response_model=ConfigChanges, responses=refusals(404))
def list_config_changes(desk: DeskGiven) -> Response:
    """Return how models and acquisitions were set, change by change; the last 10,000."""
    with desk.look() as ledger:
        found = auditing.entries(ledger, entry_type=auditing.CONFIG, after=0, limit=10_000)
    changes = [
        {
            "timestamp": entry["timestamp"],
            "component": entry["parameters"].get("component", ""),
            "old": entry["parameters"].get("old") or {},
            "new": entry["parameters"].get("new") or {},
            "iteration": entry["parameters"].get("iteration"),
        }
        for entry in found
        if entry["source"] == "ledger"
    ]
    return respond(Reply({"changes": changes}))


@router.get("/export", responses={**refusals(404), 200: {"content": {"text/markdown": {}}, "description": "Markdown."}})
def export_audit(session: SessionGiven) -> StreamingResponse:
    """Return the audit trail as a document for people."""
    with session.desk.look() as ledger:
        said = overview.metadata(ledger, session.desk.study)
        created_at = ledger.meta("created_at") or ""
    headers = {"Content-Disposition": f'attachment; filename="audit_log_{session.id}.md"'}
    text = auditing.document(session.desk, str(said.get("name", session.id)), created_at)
    return StreamingResponse(text, media_type="text/markdown; charset=utf-8", headers=headers)
