"""The wire form: the messages of the two folders, format 1, as strict JSON documents.

In:    frozen messages, or documents that anybody may have written.
Out:   documents, or checked messages.
Never: reads or writes a file, or trusts a name, number or text it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, overload

from alchemy_async import clock
from alchemy_async.errors import WireError
from alchemy_async.experiment.fields import CAMPAIGN_ID, FORMAT, MAX_TEXT, Document, check_encodable, show
from alchemy_async.experiment.records import WORKER_ID, AttemptKey, Failure, Outcome
from alchemy_async.experiment.states import QueueState, Status

if TYPE_CHECKING:
    from alchemy_async.space import Point


class WorkerState(StrEnum):
    """What a worker says of itself."""

    IDLE = "idle"
    BUSY = "busy"
    SICK = "sick"
    GONE = "gone"


@dataclass(frozen=True)
class Offer:
    """One line of the queue: an attempt that a worker may claim."""

    key: AttemptKey
    parameters: Point
    priority: float = 0.0
    origin: str = "planner"
    requires: tuple[str, ...] = ()
    lease_s: float = 30.0
    timeout_s: float = 3600.0

    def to_wire(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "experiment": self.key.experiment,
            "attempt": self.key.attempt,
            "priority": self.priority,
            "parameters": dict(self.parameters),
            "origin": self.origin,
            "requires": list(self.requires),
            "lease_s": self.lease_s,
            "timeout_s": self.timeout_s,
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Offer:
        """Check a document and read it.

        Raises:
            WireError: If it is not valid.
        """
        known = ("experiment", "attempt", "priority", "parameters", "origin", "requires", "lease_s", "timeout_s")
        taken = Document({"format": FORMAT, **document}, known)
        return cls(
            key=taken.key(),
            parameters=taken.point("parameters"),
            priority=taken.number("priority", 0.0),
            origin=taken.text("origin", "planner"),
            requires=taken.texts("requires"),
            lease_s=taken.number("lease_s", 30.0, least=0.01),
            timeout_s=taken.number("timeout_s", 3600.0, least=0.01),
        )


@dataclass(frozen=True)
class Revision:
    """The whole queue as the planner renames it over the last one; the order counts."""

    campaign: str
    revision: int
    state: QueueState
    offers: Sequence[Offer] = ()
    cancel: tuple[AttemptKey, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "format": FORMAT,
            "campaign": self.campaign,
            "revision": self.revision,
            "state": str(self.state),
            "experiments": [offer.to_wire() for offer in self.offers],
            "cancel": [str(key) for key in self.cancel],
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Revision:
        """Check a document and read it.

        Raises:
            WireError: If it is not valid.
        """
        taken = Document(document, ("campaign", "revision", "state", "experiments", "cancel"))
        offers = document.get("experiments", [])
        if not isinstance(offers, list) or not all(isinstance(offer, dict) for offer in offers):
            raise WireError("experiments must be a list of objects", field="experiments")
        return cls(
            campaign=taken.text("campaign", pattern=CAMPAIGN_ID),
            revision=taken.integer("revision"),
            state=taken.choice("state", QueueState),
            offers=tuple(map(Offer.from_wire, offers)),
            cancel=tuple(AttemptKey.parse(text) for text in taken.texts("cancel")),
        )


Head = tuple[tuple[str, int], tuple[str, ...]]
"""Which attempt an offer is of, and what it requires; not checked."""


class Offers(Sequence[Offer]):
    """The lines of a queue, each checked when it is looked at: of many a worker needs one.

    Args:
        documents: As they stand in the queue.

    Raises:
        WireError: If one says no attempt, or no list of labels.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._documents = documents
        self._checked: dict[int, Offer] = {}
        self.heads: tuple[Head, ...] = tuple(map(_head, documents))

    def __len__(self) -> int:
        return len(self._documents)

    @overload
    def __getitem__(self, at: int) -> Offer: ...

    @overload
    def __getitem__(self, at: slice) -> list[Offer]: ...

    def __getitem__(self, at: int | slice) -> Offer | list[Offer]:
        if isinstance(at, slice):
            return [self[k] for k in range(len(self))[at]]
        if at not in self._checked:
            self._checked[at] = Offer.from_wire(self._documents[at])
        return self._checked[at]


def _head(document: Mapping[str, Any]) -> Head:
    experiment, attempt, requires = document.get("experiment"), document.get("attempt"), document.get("requires", [])
    is_list = isinstance(requires, list) and all(type(label) is str for label in requires)
    if type(experiment) is not str or type(attempt) is not int or not is_list:
        Offer.from_wire(document)
        raise WireError("an offer says no attempt", field="experiments")  # from_wire has told more of all there is
    return (experiment, attempt), tuple(requires)


def read_revision(document: Mapping[str, Any]) -> Revision:
    """Check a document and read it; its offers are checked when they are looked at.

    Raises:
        WireError: If it is not valid.
    """
    revision = Revision.from_wire({**document, "experiments": []})
    offers = document.get("experiments", [])
    if not isinstance(offers, list) or not all(isinstance(offer, dict) for offer in offers):
        raise WireError("experiments must be a list of objects", field="experiments")
    return replace(revision, offers=Offers(offers))


@dataclass(frozen=True)
class Claim:
    """That a worker has an attempt, and which parameters it took."""

    campaign: str
    key: AttemptKey
    revision: int
    parameters: Point
    worker: str
    instance: str
    host: str = ""
    pid: int = 0
    idempotent: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "format": FORMAT,
            "campaign": self.campaign,
            "experiment": self.key.experiment,
            "attempt": self.key.attempt,
            "revision": self.revision,
            "parameters": dict(self.parameters),
            "worker": self.worker,
            "instance": self.instance,
            "host": self.host,
            "pid": self.pid,
            "idempotent": self.idempotent,
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Claim:
        """Check a document and read it.

        Raises:
            WireError: If it is not valid.
        """
        known = ("campaign", "experiment", "attempt", "revision", "parameters", "worker", "instance", "host", "pid")
        taken = Document(document, (*known, "idempotent"))
        return cls(
            campaign=taken.text("campaign", pattern=CAMPAIGN_ID),
            key=taken.key(),
            revision=taken.integer("revision", 0),
            parameters=taken.point("parameters"),
            worker=taken.text("worker", pattern=WORKER_ID),
            instance=taken.text("instance", ""),
            host=taken.text("host", ""),
            pid=taken.integer("pid", 0),
            idempotent=taken.flag("idempotent"),
        )


@dataclass(frozen=True)
class Heartbeat:
    """That a worker process lives, and what it holds; ``beat`` counts up within one instance."""

    worker: str
    instance: str
    beat: int
    state: WorkerState
    holds: AttemptKey | None = None
    campaign: str = ""
    host: str = ""
    pid: int = 0
    labels: tuple[str, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "format": FORMAT,
            "campaign": self.campaign,
            "worker": self.worker,
            "instance": self.instance,
            "host": self.host,
            "pid": self.pid,
            "beat": self.beat,
            "state": str(self.state),
            "labels": list(self.labels),
            "holds": "" if self.holds is None else str(self.holds),
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Heartbeat:
        """Check a document and read it.

        Raises:
            WireError: If it is not valid.
        """
        known = ("campaign", "worker", "instance", "host", "pid", "beat", "state", "labels", "holds")
        taken = Document(document, known)
        holds = document.get("holds") or ""
        if not isinstance(holds, str):
            raise WireError(f"holds is {show(holds)}; it must be <experiment>.<attempt> or empty", field="holds")
        return cls(
            worker=taken.text("worker", pattern=WORKER_ID),
            instance=taken.text("instance"),
            beat=taken.integer("beat"),
            state=taken.choice("state", WorkerState),
            holds=AttemptKey.parse(holds) if holds else None,
            campaign=taken.text("campaign", ""),
            host=taken.text("host", ""),
            pid=taken.integer("pid", 0),
            labels=taken.texts("labels"),
        )


@dataclass(frozen=True)
class Result:
    """What a worker reports of one attempt, with the names that say whose it is."""

    campaign: str
    key: AttemptKey
    worker: str
    outcome: Outcome = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """Return the document."""
        outcome, error = self.outcome, self.outcome.error
        return {
            "format": FORMAT,
            "campaign": self.campaign,
            "experiment": self.key.experiment,
            "attempt": self.key.attempt,
            "worker": self.worker,
            "status": str(outcome.status),
            "values": dict(outcome.values),
            "sems": dict(outcome.sems),
            "parameters": dict(outcome.parameters or {}),
            "started_at": clock.to_wire(outcome.started_at),
            "finished_at": clock.to_wire(outcome.finished_at),
            "error": {} if error is None else {"kind": error.kind, "message": error.message},
            "metadata": dict(outcome.metadata),
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Result:
        """Check a document and read it; empty ``parameters`` mean "as claimed".

        Raises:
            WireError: If it is not valid.
        """
        known = ("campaign", "experiment", "attempt", "worker", "status", "values", "sems", "parameters")
        taken = Document(document, (*known, "started_at", "finished_at", "error", "metadata"))
        error = taken.mapping("error") if document.get("error") is not None else {}
        if not set(error) <= {"kind", "message"} or not all(isinstance(text, str) for text in error.values()):
            raise WireError('error must be {"kind": text, "message": text}', field="error")
        for text in error.values():
            check_encodable("error", text)
        outcome = Outcome(
            status=taken.choice("status", Status),
            started_at=taken.moment("started_at"),
            finished_at=taken.moment("finished_at"),
            values=taken.numbers("values"),
            sems=taken.numbers("sems", least=0.0),
            parameters=taken.point("parameters") or None,
            error=Failure(error.get("kind", "error"), error.get("message", "")[:MAX_TEXT]) if error else None,
            metadata=taken.mapping("metadata"),
        )
        return cls(
            campaign=taken.text("campaign", pattern=CAMPAIGN_ID),
            key=taken.key(),
            worker=taken.text("worker", pattern=WORKER_ID),
            outcome=outcome,
        )
