"""Pool: the worker pool's end of a session's queue, for instruments that share no drive with the server.

In:    what worker processes elsewhere ask and say: news, claims, beats, results.
Out:   the same files that a worker in the session's folder writes; answers once the disk has them.
Never: runs anything, or chooses for a worker: `alchemy-async work --server` speaks with these routes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query
from pydantic import Field, StrictBool, StrictFloat, StrictInt

from alchemy_async.errors import WireError
from alchemy_async.experiment import Heartbeat, QueueState, Result, Revision, Status, WorkerState
from alchemy_async.experiment.fields import FORMAT
from alchemy_async.files import TooLargeError
from alchemy_async.queues.folder_relay import Asker, FolderRelay
from alchemy_async.service.autonomous.daemons import Daemons
from alchemy_async.service.autonomous.relays import Relays
from alchemy_async.service.context import Service
from alchemy_async.service.problems import ConflictError, InvalidError, TooMuchError
from alchemy_async.service.routers import control
from alchemy_async.service.routers.control import DaemonsGiven, make_daemons
from alchemy_async.service.routers.given import Body, Said, Scalar, ServiceGiven, SessionGiven, refusals
from alchemy_async.service.staged.taking import check_worker, read_key


@asynccontextmanager
async def _daemons_begin(app: FastAPI) -> AsyncIterator[None]:
    """Start the planner daemons of the sessions that were to run when the server ended."""
    service: Service = app.state.service
    service.part(make_daemons, Daemons.close).begin()
    yield


router = APIRouter(tags=["pool"], lifespan=_daemons_begin)
router.include_router(control.router)

LOOK_S = 0.05  # between two looks whether the queue was published anew, while somebody waits for it
MOST_WAIT_S = 30.0
MOST_OFFERS = 64


def make_relays(_: Service) -> Relays:
    """Return the relays of a service."""
    return Relays()


def get_relay(service: ServiceGiven, session: SessionGiven) -> FolderRelay:
    """Return the relay of the session that the path names."""
    return service.part(make_relays).relay(session)


RelayGiven = Annotated[FolderRelay, Depends(get_relay)]
Worker = Annotated[
    str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Name of the worker.")
]
Instance = Annotated[
    str, Field(min_length=1, max_length=64, description="Random text, unique to the worker's process.",
               examples=["5f1c0a9be2d34c77"])
]  # fmt: skip
Host = Annotated[str, Field(max_length=255, description="Machine of the worker.", examples=["instrument-pc"])]
Pid = Annotated[StrictInt, Field(ge=0, lt=2**53, description="Number of its process there.", examples=[4711])]
Number = StrictFloat | StrictInt
Key = Annotated[str, Field(max_length=80, description="<experiment>.<attempt>", examples=["e0001.1"])]


class PoolSettings(Said):
    """What a worker pool has to know of a session."""

    session: str = Field(description="Id of the session.")
    campaign: str = Field(description="Id of its campaign.")
    settings: dict[str, Any] = Field(
        description="campaign.toml as far as workers need it: `campaign`, `parameters`, `objectives`, `workers`."
    )


class OfferSaid(Said):
    """An attempt that a worker may claim."""

    experiment: str
    attempt: int
    priority: float
    parameters: dict[str, Scalar]
    origin: str
    requires: list[str]
    lease_s: float
    timeout_s: float


class NewsSaid(Said):
    """The queue as it was published last."""

    campaign: str | None = Field(description="Id of the campaign; null while there is no queue.")
    revision: int | None = Field(description="Number of the revision; null while there is no queue.")
    state: QueueState | None = Field(description="running, paused, draining or stopped.")
    cancel: list[str] = Field(description="Attempts that are to be broken off.")
    offers: list[OfferSaid] = Field(description="The best that nobody has and that these labels may run.")


class ClaimGiven(Body):
    """Who wants an attempt, and which would do."""

    campaign: str = Field(max_length=64, description="As the news said.", examples=["amide-coupling-0a1b2c3d"])
    instance: Instance
    host: Host = ""
    pid: Pid = 0
    idempotent: StrictBool = Field(
        default=False, description="Whether an attempt that is cut off may simply be run again."
    )
    attempts: list[Key] = Field(
        min_length=1, max_length=MOST_OFFERS, description="The first of these that is free is claimed."
    )


class ClaimMade(Said):
    """A claim as it lies in the folder."""

    campaign: str
    experiment: str
    attempt: int
    revision: int
    parameters: dict[str, Scalar]
    worker: str
    instance: str
    host: str
    pid: int
    idempotent: bool


class ClaimSaid(Said):
    """What was claimed."""

    claim: ClaimMade | None = Field(description="null: others were faster, or nothing is offered.")


class BeatGiven(Body):
    """That a worker process lives, and what it holds."""

    campaign: str = Field(default="", max_length=64)
    instance: Instance
    host: Host = ""
    pid: Pid = 0
    beat: StrictInt = Field(ge=0, lt=2**53, description="Counts up within one process; a later one is never undone.")
    state: WorkerState
    labels: list[str] = Field(default=[], max_length=100)
    holds: Annotated[str, Field(max_length=80)] = Field(default="", description="What it measures; empty: nothing.")


class BeatSaid(Said):
    """The last beat under a worker's name."""

    heartbeat: dict[str, Any] | None = Field(description="null: there was none yet.")


class ReportGiven(Body):
    """What came of an attempt."""

    campaign: str = Field(max_length=64, examples=["amide-coupling-0a1b2c3d"])
    experiment: str = Field(max_length=64, examples=["e0001"])
    attempt: StrictInt = Field(ge=1, lt=10**9, examples=[1])
    status: Status
    values: dict[str, Number] = Field(default={}, examples=[{"yield": 0.42}])
    sems: dict[str, Number] = Field(default={}, description="Standard errors.")
    parameters: dict[str, Scalar] = Field(default={}, description="As run; empty: as claimed.")
    started_at: str = Field(examples=["2026-11-22T10:33:27.000000Z"])
    finished_at: str = Field(examples=["2026-11-22T10:34:27.000000Z"])
    error: dict[str, str] = Field(
        default={},
        description="Why it brought no measurement: `kind` for programs, `message` for people.",
        examples=[{"kind": "retryable", "message": "the pump was dry"}],
    )
    metadata: dict[str, Any] = Field(default={})


class Stored(Said):
    """That what was sent is durable."""

    stored: bool = True


@router.get("/sessions/{session_id}/pool/settings", response_model=PoolSettings, responses=refusals(400, 404))
def get_pool_settings(session: SessionGiven, daemons: DaemonsGiven) -> dict[str, Any]:
    """Return what a worker pool needs to begin; nothing of it is run on the server."""
    study = session.desk.study
    document = study.document if study.checked else {}
    daemons.attend(session.id, begins=True)
    with session.desk.look() as ledger:
        campaign = ledger.campaign
    table = {key: value for key, value in document["campaign"].items() if key in ("name", "durable")}
    settings = {"campaign": table} | {key: document.get(key, []) for key in ("parameters", "objectives", "workers")}
    return {"session": session.id, "campaign": campaign, "settings": _plain(settings)}


@router.get("/sessions/{session_id}/pool/news", response_model=NewsSaid, responses=refusals(404))
async def get_pool_news(
    service: ServiceGiven,
    session: SessionGiven,
    relay: RelayGiven,
    daemons: DaemonsGiven,
    seen: Annotated[
        int | None,
        Query(ge=-1, lt=2**53, description="The revision that is known; -1: none. Another one is waited for."),
    ] = None,
    wait_s: Annotated[float, Query(ge=0, le=MOST_WAIT_S, description="For so long at most.")] = 0.0,
    labels: Annotated[list[str], Query(max_length=100, description="What the worker can do.")] = [],  # noqa: B006 - FastAPI copies it
    offers: Annotated[int, Query(ge=0, le=MOST_OFFERS, description="How many offers are wanted at most.")] = 0,
) -> dict[str, Any]:
    """Return the state of the queue, and the best offers; on demand as soon as it is another one than is known."""
    daemons.attend(session.id, has_work=False)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        signature = relay.signature()
        queue = await asyncio.to_thread(relay.queue)
        is_news = seen is None or seen != (-1 if queue is None else queue.revision)
        if is_news or service.is_closing or loop.time() >= until:
            return await asyncio.to_thread(_told, relay, queue, labels, offers)
        while relay.signature() == signature and loop.time() < until and not service.is_closing:
            await asyncio.sleep(min(LOOK_S, max(until - loop.time(), 0.001)))


@router.post("/sessions/{session_id}/pool/{worker}/claim", response_model=ClaimSaid, responses=refusals(404, 409))
def claim_for_pool(
    worker: Worker, body: ClaimGiven, session: SessionGiven, relay: RelayGiven, daemons: DaemonsGiven
) -> dict[str, Any]:
    """Claim the first of some attempts that is free; the same request, repeated, brings the same claim.

    When the answer comes, the claim is durable and nobody else can start the attempt.
    """
    check_worker(worker)
    keys = [read_key(text) for text in body.attempts]
    queue = relay.queue()
    if queue is not None and queue.campaign != body.campaign:
        raise ConflictError(
            f"This session is campaign {queue.campaign}, and the worker works for {body.campaign[:64]!r}. Start its "
            "pool again."
        )
    daemons.attend(session.id)
    asker = Asker(body.campaign, worker, body.instance, body.host, body.pid, body.idempotent)
    claim = relay.claim(asker, keys)
    return {"claim": None if claim is None else claim.to_wire()}


@router.get("/sessions/{session_id}/pool/{worker}/beat", response_model=BeatSaid, responses=refusals(404))
def get_pool_beat(worker: Worker, relay: RelayGiven) -> dict[str, Any]:
    """Return the last beat under a worker's name, of any process on any machine."""
    check_worker(worker)
    found = relay.previous_beat(worker)
    return {"heartbeat": None if found is None else found.to_wire()}


@router.post("/sessions/{session_id}/pool/{worker}/beat", response_model=Stored, responses=refusals(404))
def beat_for_pool(
    worker: Worker, body: BeatGiven, session: SessionGiven, relay: RelayGiven, daemons: DaemonsGiven
) -> dict[str, Any]:
    """Take note that a worker process lives; a beat that was overtaken by a later one does nothing."""
    check_worker(worker)
    try:
        heartbeat = Heartbeat.from_wire({"format": FORMAT, "worker": worker, **body.model_dump(mode="json")})
    except WireError as error:
        raise InvalidError.at(error.field or "body", what=str(error)) from error
    if heartbeat.holds is not None:
        daemons.attend(session.id)
    relay.beat(heartbeat)
    return {"stored": True}


@router.post("/sessions/{session_id}/pool/{worker}/report", response_model=Stored, responses=refusals(404, 409))
def report_for_pool(
    worker: Worker, body: ReportGiven, session: SessionGiven, relay: RelayGiven, daemons: DaemonsGiven
) -> dict[str, Any]:
    """Take a result, durably and once; a repetition does nothing.

    The session's planner daemon decides what becomes of it, as of any result in the folder.
    """
    check_worker(worker)
    document = body.model_dump(mode="json") | {"format": FORMAT, "worker": worker}
    try:
        result = Result.from_wire(document)
    except WireError as error:
        raise InvalidError.at(error.field or "body", what=str(error)) from error
    _check_campaign(result, relay.queue(), session)
    daemons.attend(session.id)
    try:
        relay.report(result)
    except TooLargeError as error:
        raise TooMuchError(str(error)) from error
    except ValueError as error:  # NaN within the metadata, or half a character
        raise InvalidError.at("metadata", what=f"can't be written as JSON: {error}") from error
    return {"stored": True}


def _check_campaign(result: Result, queue: Revision | None, session: SessionGiven) -> None:
    if queue is not None:
        campaign = queue.campaign
    else:
        with session.desk.look() as ledger:
            campaign = ledger.campaign
    if result.campaign != campaign:
        raise ConflictError(
            f"This session is campaign {campaign}, and the result belongs to {result.campaign}. Send it to the session "
            "that is that campaign."
        )


def _told(relay: FolderRelay, queue: Revision | None, labels: list[str], n_offers: int) -> dict[str, Any]:
    if queue is None:
        return {"campaign": None, "revision": None, "state": None, "cancel": [], "offers": []}
    offers = relay.free(queue, labels, n_offers) if n_offers and queue.state is QueueState.RUNNING else []
    return {
        "campaign": queue.campaign,
        "revision": queue.revision,
        "state": queue.state,
        "cancel": [str(key) for key in queue.cancel],
        "offers": [offer.to_wire() for offer in offers],
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever TOML can hold
    """Return a value as JSON can hold it: TOML also has times, and numbers that are none."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
