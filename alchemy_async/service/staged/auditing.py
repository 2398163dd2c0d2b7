"""Auditing: the ledger's events as the entries of an audit trail, and the words that people add to it.

In:    events; decisions that somebody wants kept.
Out:   entries, each with a hash of what it says; the trail as a document for people.
Never: changes an entry, or lets one that a client wrote pass for one of the ledger's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from alchemy_async.ledger import Ledger
from alchemy_async.service.problems import NoModelError
from alchemy_async.service.staged import dataset
from alchemy_async.service.staged.desk import Desk, Turn

NOTED = "audit"  # the kind of the events that hold an entry as it is
CONFIG = "config_changed"  # of the events that say how a model or an acquisition is set: component, old, new, iteration
_TRAFFIC = ("queued", "claimed", "requeued", "revised", "interrupted", "revived", "moved", "withdrawn", "cancelled")
_NAMES = {
    "completed": "experiment_completed", "corrected": "observation_corrected", "suggested": "acquisition_locked",
}  # fmt: skip
_KINDS = {name: kind for kind, name in _NAMES.items()}
_SHOWN_ROWS = 10_000  # in the document for people


def entries(ledger: Ledger, *, entry_type: str | None, after: int, limit: int) -> list[dict[str, Any]]:
    """Return up to ``limit`` entries that follow event number ``after``, oldest first.

    Args:
        ledger: The ledger.
        entry_type: Only these; None: all but the traffic of the queue.
        after: Number of an event.
        limit: How many.
    """
    kind = None if entry_type is None else _KINDS.get(entry_type, entry_type)
    found = ledger.audited(NOTED, kind=kind, entry_type=entry_type, without=_TRAFFIC, after=after, limit=limit)
    return [_entry(event) for event in found]


def _entry(event: Mapping[str, Any]) -> dict[str, Any]:
    details: dict[str, Any] = event["details"]
    if event["kind"] == NOTED:
        parameters, notes, entry_type = details["parameters"], details["notes"], details["entry_type"]
    else:
        entry_type, notes = _NAMES.get(event["kind"], event["kind"]), str(details.get("why", ""))
        named = {"id": event["experiment"], "attempt": event["attempt"]} if event["experiment"] else {}
        parameters = {**named, **details}
    return {
        "timestamp": event["at"],
        "entry_type": entry_type,
        "parameters": parameters,
        "hash": digest(parameters),
        "notes": notes,
        "seq": event["seq"],
        "source": details.get("source", "client") if event["kind"] == NOTED else "ledger",
    }


def digest(parameters: object) -> str:
    """Return sixteen hex digits that tell what an entry says from anything else."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def note(turn: Turn, entry_type: str, parameters: Mapping[str, Any], notes: str, *, source: str) -> dict[str, Any]:
    """Add an entry and return it.

    Args:
        turn: The transaction.
        entry_type: What kind of decision or event it is.
        parameters: What it says.
        notes: A person's words.
        source: ``lock``, where the service itself has filled in what was decided; else ``client``.
    """
    turn.change.note(NOTED, entry_type=entry_type, parameters=dict(parameters), notes=notes, source=source)
    return _entry(turn.ledger.last_events(1)[0])


def data_decision(turn: Turn) -> dict[str, Any]:
    """Return what a decision about the data says: how many rows there are, and a hash of all of them."""
    said = hashlib.sha256()
    after = 0
    while page := turn.ledger.measured(after=after, limit=dataset.PAGE):
        for found in page:
            row = [found.number, found.parameters, found.values, found.sems]
            said.update(json.dumps(row, sort_keys=True, allow_nan=False).encode())
        after = page[-1].number
    return {"n_experiments": turn.ledger.n_observations(), "data_hash": said.hexdigest()[:16]}


def model_decision(turn: Turn) -> dict[str, Any]:
    """Return what a decision about the model says: what was trained last.

    Raises:
        NoModelError: If nothing was.
    """
    model = json.loads(turn.ledger.meta("model") or "null")
    if not isinstance(model, dict):
        raise NoModelError("There is no trained model yet. Add observations, then POST /model/train.")
    return {**model, "iteration": turn.change.next_iteration()}


def document(desk: Desk, name: str, created_at: str) -> Iterator[str]:
    """Yield the audit trail as Markdown: what is studied, what was measured, what was decided.

    Args:
        desk: The session's.
        name: The session's.
        created_at: When it was begun.
    """
    yield "# Optimization Audit Trail\n\n## Session Metadata\n\n"
    yield f"- **Name**: {_cell(name)}\n- **Created At**: {created_at}\n"
    yield "\n## Search Space Definition\n\n"
    study = desk.study
    space, objectives = (study.space, study.objectives) if study.settings else (None, ())
    for parameter in () if space is None else space.parameters:
        yield f"- **{_cell(parameter.name)}** ({parameter.kind}): {_cell(parameter.allowed())}\n"
    yield "\n## Experimental Data\n\n"
    names = [] if space is None else [*space.names, *(objective.name for objective in objectives)]
    heads = ["Iteration", "Reason", *names]
    yield f"| {' | '.join(map(_cell, heads))} |\n|{'---|' * len(heads)}\n"
    for page in dataset.pages(desk, limit=_SHOWN_ROWS):
        for found in page:
            row = dataset.row(found, objectives, has_noise=False)
            yield f"| {' | '.join(_cell(row.get(head)) for head in heads)} |\n"
    yield "\n## Decisions\n"
    after = 0
    while True:
        with desk.look() as ledger:
            page_of = entries(ledger, entry_type=None, after=after, limit=1000)
        for entry in page_of:
            if entry["entry_type"] != _NAMES["completed"]:
                yield _decision(entry)
        if len(page_of) < 1000:
            return
        after = page_of[-1]["seq"]


def _decision(entry: Mapping[str, Any]) -> str:
    said = json.dumps(entry["parameters"], ensure_ascii=False).replace("`", "'")
    notes = f"\n\n{_cell(entry['notes'])}" if entry["notes"] else ""
    return f"\n### {_cell(entry['entry_type'])}\n\n{entry['timestamp']}, `{entry['hash']}`{notes}\n\n`{said}`\n"


def _cell(value: object) -> str:
    """Return a text as one line that means nothing to Markdown."""
    text = "" if value is None else str(value)
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
