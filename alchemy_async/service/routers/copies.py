"""Copies: sessions as files, sent out, taken in, kept as backups.

In:    sessions; files that were exported here or by ALchemist.
Out:   files; sessions made of them.
Never: change the session that a file was made of.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import Field

from alchemy_async.service.routers.given import Said, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.sessions import overview
from alchemy_async.service.sessions.opening import Session
from alchemy_async.service.transfer.backups import Backups
from alchemy_async.service.transfer.exporting import export
from alchemy_async.service.transfer.importing import bring
from alchemy_async.service.transfer.uploads import read_upload

router = APIRouter()

MOST_BYTES = 256 * 1024 * 1024
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "The session's file."}
}
SessionId = Annotated[str, Path(max_length=64, description="Id of the session, which need not be there any more.")]


class SessionBegun(Said):
    """A session that has begun."""

    session_id: str = Field(examples=["0b94f3a2-6a0c-4f3d-9a51-6d6c4a8e4f3b"])
    created_at: str = Field(description="UTC, ISO 8601.", examples=["2026-11-22T10:33:27.000000Z"])
    expires_at: str | None = Field(default=None, description="Sessions do not expire: always null.")


class SessionBrought(SessionBegun):
    """A session that was made of a file."""

    left_out: list[str] = Field(default_factory=list, description="What of the file has no place here, in words.")


class Message(Said):
    """What was done."""

    message: str


class BackupCleared(Message):
    """What was taken away."""

    deleted: bool = Field(description="Whether there was one.")


class Cleaned(Message):
    """What was taken away."""

    n_deleted: int


class Backup(Said):
    """A backup."""

    session_id: str
    session_name: str
    backup_time: str
    n_variables: int
    n_experiments: int
    model_trained: bool
    file_path: str = Field(description="Below the server's root.")


class BackupList(Said):
    """All backups, the newest first."""

    recoveries: list[Backup]
    count: int


def begun(session: Session) -> dict[str, Any]:
    """Return what a client is told of a session that has begun."""
    with session.desk.look() as ledger:
        created = ledger.meta("created_at") or ""
    return {"session_id": session.id, "created_at": created, "expires_at": None}


@router.get(
    "/sessions/{session_id}/export", response_class=StreamingResponse, responses={**_FILE, **refusals(404, 409)}
)
def export_session(session: SessionGiven) -> StreamingResponse:
    """Return all of a session as a file that `import` reads, and ALchemist's import, too."""
    return _as_file(session, f"session_{session.id}.json")


@router.get(
    "/sessions/{session_id}/download", response_class=StreamingResponse, responses={**_FILE, **refusals(404, 409)}
)
def download_session(session: SessionGiven) -> StreamingResponse:
    """Return the same file, named after the session."""
    with session.desk.look() as ledger:
        name = str(overview.metadata(ledger, session.desk.study)["name"])
    return _as_file(session, _plain_name(name), f"{name[:80] or 'session'}.json")


def _plain_name(name: str) -> str:
    """Return the name that a downloaded file can have on any machine."""
    return (re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80].strip("_") or "session") + ".json"


def _as_file(session: Session, plain: str, full: str | None = None) -> StreamingResponse:
    disposition = f'attachment; filename="{plain}"'
    if full is not None and full != plain:
        disposition += f"; filename*=UTF-8''{quote(full, safe='')}"
    pieces = export(session)
    first = next(pieces)  # a ledger that can't be read is told before the answer begins

    def whole() -> Any:  # noqa: ANN401 - a generator
        yield first
        yield from pieces

    return StreamingResponse(whole(), media_type="application/json", headers={"Content-Disposition": disposition})


@router.post("/sessions/import", status_code=201, response_model=SessionBrought, responses=refusals(400, 413, 429))
def import_session(service: ServiceGiven, file: UploadFile) -> dict[str, Any]:
    """Make a session of a file that was exported here or by ALchemist: all of it, or none.

    It has an id of its own. What was running is interrupted, since whoever runs it reports elsewhere; a file of
    ALchemist's offers it again. Nothing in a file is ever run: what names code is refused.
    """
    return _brought(service, file)


@router.post("/sessions/upload", status_code=201, response_model=SessionBrought, responses=refusals(400, 413, 429))
def upload_session(service: ServiceGiven, file: UploadFile) -> dict[str, Any]:
    """Do the same as `import`."""
    return _brought(service, file)


def _brought(service: ServiceGiven, file: UploadFile) -> dict[str, Any]:
    given = read_upload(file.file, MOST_BYTES)
    left_out: list[str] = []
    session = service.sessions.make(lambda folder: left_out.extend(bring(folder, given, service.clock)))
    return {**begun(session), "left_out": left_out}


@router.post("/sessions/{session_id}/backup", response_model=Message, responses=refusals(404, 409))
def backup_session(service: ServiceGiven, session: SessionGiven) -> dict[str, Any]:
    """Keep a copy of a session as it is now, in place of an older copy."""
    Backups(service.sessions).make(session)
    return {"message": "Recovery backup created"}


@router.delete("/sessions/{session_id}/backup", response_model=BackupCleared, responses=refusals())
def clear_backup(service: ServiceGiven, session_id: SessionId) -> dict[str, Any]:
    """Take the copy of a session away, if there is one."""
    return {"message": "Recovery backup cleared", "deleted": Backups(service.sessions).clear(session_id)}


@router.get("/recovery/list", response_model=BackupList)
def list_recoveries(service: ServiceGiven) -> dict[str, Any]:
    """List the copies that are kept."""
    found = Backups(service.sessions).listed()
    return {"recoveries": found, "count": len(found)}


@router.post(
    "/recovery/{session_id}/restore", status_code=201, response_model=SessionBegun, responses=refusals(404, 429)
)
def restore_session(service: ServiceGiven, session_id: SessionId) -> dict[str, Any]:
    """Make a session of a copy; it has an id of its own, and the copy is its own from now on."""
    return begun(Backups(service.sessions).restore(session_id))


@router.delete("/recovery/cleanup", response_model=Cleaned)
def clean_up_recoveries(
    service: ServiceGiven,
    max_age_hours: Annotated[int, Query(ge=0, le=1_000_000, description="What is older is taken away.")] = 24,
) -> dict[str, Any]:
    """Take old copies away."""
    n_deleted = Backups(service.sessions).clean_up(max_age_hours)
    return {"message": f"Cleaned up recovery files older than {max_age_hours} hours", "n_deleted": n_deleted}
