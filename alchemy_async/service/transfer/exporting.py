"""Exporting: a whole session as JSON, in the shape of ALchemist's session files and with the whole ledger beside.

In:    a session.
Out:   text, piece by piece, of the session as it was at one moment.
Never: holds up whoever works on the session, keeps all of a large one in memory, or lets a name of code or a path out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from alchemy_async.ledger import Item, Ledger, Measurement
from alchemy_async.ledger.copying import TABLES, Snapshot, snapshot
from alchemy_async.service.definition.study import Study
from alchemy_async.service.definition.variables import as_constraint, as_exported
from alchemy_async.service.sessions import overview
from alchemy_async.service.sessions.changing import constraint_names, labels_of
from alchemy_async.service.sessions.opening import Session
from alchemy_async.service.staged import auditing
from alchemy_async.service.staged.dataset import provenance, row

VERSION = "1.1.0"  # of the shape that ALchemist 0.4.0 writes and reads
OWN = "alchemy_async"
FORMAT = 1
SAFE = ("campaign", "parameters", "objectives", "constraints", "budget")  # sections that name no code
AUDITED = ("timestamp", "entry_type", "parameters", "hash", "notes")
_PAGE = 1000
_CONTROL: dict[str, Any] = {
    "requested": "run", "requested_at": None, "requested_by": None,
    "reported": "idle", "reported_at": None, "reported_by": None, "detail": None,
}  # fmt: skip
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_STATUS = {"queued": "pending", "running": "running", "interrupted": "running", "completed": "done"}


def export(session: Session, session_id: str | None = None) -> Iterator[str]:
    """Yield the text of a session's file.

    Args:
        session: The session.
        session_id: Its name in the file; None: its own.

    Raises:
        LedgerError: If its ledger can't be read.
    """
    study = session.desk.study
    with snapshot(study.ledger_path) as ledger:
        yield "{"
        for key, value in _head(ledger, study, session_id or session.id).items():
            yield f"{_text(key)}: {_text(value)},\n"
        yield '"audit_log": {"entries": '
        yield from _listed(_audit(ledger))
        yield '},\n"experiments": {"data": '
        objectives, has_noise = study.objectives if study.settings else (), ledger.has_noise()
        yield from _listed(row(one, objectives, has_noise=has_noise) for one in _measured(ledger))
        yield f', "n_total": {ledger.n_observations()}, "target_columns": {_text(overview.target_columns(study))}}},\n'
        yield '"staged_experiments": '
        yield from _listed(_item(item) for item in ledger.open_items())
        yield ',\n"provenance": '
        yield from _listed(provenance(one, objectives) for one in _measured(ledger))
        yield f',\n"{OWN}": {{"format": {FORMAT}, "campaign": {_text(ledger.campaign)}, '
        yield f'"document": {_text(safe_document(study))}, "labels": {_text(labels_of(ledger))}, "ledger": {{'
        for i, table in enumerate(TABLES):
            yield f"{', ' if i else ''}\n{_text(table)}: "
            yield from _joined(ledger.lines(table))
        yield "}}}\n"


def safe_document(study: Study) -> dict[str, Any]:
    """Return what campaign.toml says, without what names code: drivers, strategies, functions, and where the ledger is.

    A reader of the file would refuse them, and need not know them.
    """
    document = {key: study.document[key] for key in SAFE if key in study.document}
    document["campaign"] = {key: value for key, value in document.get("campaign", {}).items() if key == "name"}
    document["constraints"] = [one for one in document.get("constraints", ()) if "function" not in one]
    return document


def _head(ledger: Snapshot, study: Study, session_id: str) -> dict[str, Any]:
    labels = labels_of(ledger)
    settings = study.settings
    changes, tables = labels.get("changes", {}), study.document.get("constraints", ()) if settings else ()
    named = zip(settings.constraints if settings else (), constraint_names(labels, tables), strict=True)
    last = overview.noted(ledger, "last_suggestion").get("parameters")
    return {
        "version": VERSION,
        "metadata": {"session_id": session_id, **overview.metadata(ledger, study)},
        "search_space": {
            "variables": [
                as_exported(one, changes.get(one.name, "easy")) for one in (settings.parameters if settings else ())
            ],
            "derived_variables": [],
            "constraints": [as_constraint(one, name) for one, name in named if one.function is None],
        },
        "outcome_constraints": [],
        "objective_metadata": labels.get("objectives", {}),
        "control": {**_CONTROL, **overview.noted(ledger, "control")},
        "last_suggestions": [] if last is None else [last],
        "config": {"random_state": 42, "verbose": True, "auto_train": False, "auto_train_threshold": 5},
    }


def _measured(ledger: Snapshot) -> Iterator[Measurement]:
    after = 0
    while True:
        page = ledger.measured(after=after, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].number


def _audit(ledger: Snapshot) -> Iterator[dict[str, Any]]:
    """Yield the audit trail but for what was measured, which the provenance tells."""
    after = 0
    while True:
        page = auditing.entries(cast(Ledger, ledger), entry_type=None, after=after, limit=_PAGE)
        for entry in page:
            if entry["entry_type"] != "experiment_completed":
                yield {key: entry[key] for key in AUDITED}
        if len(page) < _PAGE:
            return
        after = page[-1]["seq"]


def _item(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "inputs": dict(item.parameters),
        "reason": item.reason or None,
        "status": _STATUS.get(item.state, "failed"),
        "output": None,
        "noise": None,
        "error": item.error or None,
        "dataset_ref": None,
        "actual_inputs": None,
        "staged_at": item.added_at,
        "started_at": item.claimed_at,
        "completed_at": None,
        "plot": None,
    }


def _listed(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    return _joined(map(_text, found))


def _joined(found: Iterable[str]) -> Iterator[str]:
    """Yield a JSON list of texts that are JSON, a thousand at a time."""
    yield "["
    lines: list[str] = []
    before = "\n"
    for line in found:
        lines.append(line)
        if len(lines) == _PAGE:
            yield before + ",\n".join(lines)
            lines, before = [], ",\n"
    if lines:
        yield before + ",\n".join(lines)
    yield "]"


def _text(value: object) -> str:
    return _ENCODER.encode(value)
