"""Foreign: a session made of a file that ALchemist wrote.

In:    its variables, constraints, rows, and what was still to be run.
Out:   a session that goes on from there; what has no place here is named.
Never: takes a row in that was not checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from alchemy_async.clock import Clock
from alchemy_async.errors import PointError
from alchemy_async.ledger import RECORDED, Addition, Completion, Ledger
from alchemy_async.service.definition import variables as words
from alchemy_async.service.definition.study import Study
from alchemy_async.service.definition.variables import Constraint, Variable
from alchemy_async.service.problems import Flaw, InvalidError
from alchemy_async.service.sessions.beginning import OUTPUT, campaign_name
from alchemy_async.service.staged.auditing import NOTED
from alchemy_async.service.staged.measures import Measured, digest_of
from alchemy_async.service.staged.staging import BY_HAND, REST
from alchemy_async.service.transfer.brought import (
    MOST_FLAWS,
    Places,
    note_origin,
    read_labels,
    read_metadata,
    read_study,
    write_study,
)

_COLUMNS = ("Noise", "Iteration", "Reason", "ProvenanceId")


@dataclass
class Brought:
    """What a file brings.

    Args:
        said: Name, description, tags, author, time of its making.
        document: What campaign.toml is to say.
        labels: What has no place there.
        left_out: What is not taken over, in words.
    """

    said: dict[str, Any]
    document: dict[str, Any]
    labels: dict[str, Any]
    left_out: list[str] = field(default_factory=list)


def bring_foreign(folder: Path, given: Mapping[str, Any], clock: Clock) -> list[str]:
    """Make a session of a file that ALchemist wrote, in an empty folder; return what is not taken over.

    Args:
        folder: The folder.
        given: What the file holds.
        clock: For times.

    Raises:
        InvalidError: If anything does not fit; the folder is then of no use.
    """
    rows = _list_of(given, "experiments", "data")
    brought, places = _read_other(given, rows)
    study = read_study(brought.document, folder, places)
    if rows and study.settings is None:
        raise InvalidError.at("file", "experiments", what="has rows, and there is no variable")
    recorded = list(_recorded(study, rows, clock))
    staged, n_left = _staged(study, _list_of(given, "staged_experiments"))
    if n_left:
        brought.left_out.append(f"{n_left} failed experiments of the queue: only what was measured is taken over")
    for key in ("derived_variables", "outcome_constraints"):
        if given.get(key) or _search_space(given).get(key):
            brought.left_out.append(f"{key}, which are not known here")
    audited = list(_audited(_list_of(given, "audit_log", "entries")))
    write_study(folder, study)
    path = folder / "campaign.db"
    with Ledger.create(path, name=study.name, study=study.as_study(), clock=clock) as ledger, ledger.change() as change:
        change.set_meta(session=json.dumps(brought.said), labels=json.dumps(brought.labels))
        change.record_all(recorded, worker=REST)
        change.add_all(staged)
        for entry in audited:
            change.note(NOTED, **entry, source="client")
    note_origin(folder, clock, given, brought.left_out)
    return brought.left_out


def _audited(entries: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Yield the entries of an audit trail but for what was measured, which the rows tell.

    Raises:
        InvalidError: If one does not fit.
    """
    for i, entry in enumerate(entries):
        at = ("file", "audit_log", "entries", i)
        if not isinstance(entry, Mapping) or not isinstance(entry.get("parameters", {}), dict):
            raise InvalidError.at(*at, what="must be an object with `entry_type` and `parameters`")
        kind = str(entry.get("entry_type", ""))[:100]
        if kind and kind != "experiment_completed":
            parameters = {**entry.get("parameters", {}), "timestamp": str(entry.get("timestamp", ""))[:40]}
            yield {"entry_type": kind, "parameters": parameters, "notes": str(entry.get("notes") or "")[:10_000]}


def _list_of(given: Mapping[str, Any], *keys: str) -> list[Any]:
    """Return a list of the file, empty if it is not there.

    Raises:
        InvalidError: If something else stands in its place.
    """
    found: Any = given
    for i, key in enumerate(keys):
        if found is None:
            return []
        if not isinstance(found, Mapping):
            raise InvalidError.at("file", *keys[:i], what="must be an object")
        found = found.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidError.at("file", *keys, what="must be a list")
    return found


def _search_space(given: Mapping[str, Any]) -> Mapping[str, Any]:
    found = given.get("search_space") or {}
    if not isinstance(found, Mapping):
        raise InvalidError.at("file", "search_space", what="must be an object")
    return found


def _read_other(given: Mapping[str, Any], rows: Sequence[Any]) -> tuple[Brought, Places]:
    said = read_metadata(given)
    at = ("file", "search_space")
    variables: list[Variable] = []
    for i, entry in enumerate(_list_of(given, "search_space", "variables")):
        variable = words.read_variable(_with_bounds(entry, rows), *at, "variables", i)
        words.check_variable(variable, *at, "variables", i)
        variables.append(variable)
    constraints: list[Constraint] = [
        words.read_constraint(entry, *at, "constraints", i)
        for i, entry in enumerate(_list_of(given, "search_space", "constraints"))
    ]
    tables = [words.constraint_table(one, *at, "constraints", i) for i, one in enumerate(constraints)]
    document = {
        "campaign": {"name": campaign_name(said["name"])},
        "parameters": [words.as_table(one) for one in variables],
        "objectives": [{**OUTPUT, "name": name} for name in _targets(given)],
        "constraints": tables,
    }
    labels = {
        "changes": {one.name: one.changes for one in variables if one.changes != "easy"},
        "constraints": [[one.name, table] for one, table in zip(constraints, tables, strict=True) if one.name],
        "objectives": given.get("objective_metadata") or {},
    }
    places: Places = {
        **{("parameters", i): (*at, "variables", i) for i in range(len(variables))},
        **{("constraints", i): (*at, "constraints", i) for i in range(len(tables))},
    }
    return Brought(said, document, read_labels(labels, "file", "objective_metadata")), places


def _targets(given: Mapping[str, Any]) -> list[str]:
    found = _list_of(given, "experiments", "target_columns") or ["Output"]
    for i, name in enumerate(found):
        if not isinstance(name, str):
            raise InvalidError.at("file", "experiments", "target_columns", i, what="must be a text")
    return found


def _with_bounds(entry: object, rows: Sequence[Any]) -> object:
    """Return a reading of which no bounds are known with those of its values."""
    if not isinstance(entry, Mapping) or entry.get("role") != "observed" or entry.get("min") is not None:
        return entry
    found = [row.get(entry.get("name")) for row in rows if isinstance(row, Mapping)]
    numbers = [value for value in found if isinstance(value, (int, float)) and math.isfinite(value)]
    if len(set(numbers)) < 2:
        return entry
    return {**entry, "min": min(numbers), "max": max(numbers)}


def _recorded(study: Study, rows: Sequence[Any], clock: Clock) -> Iterator[tuple[Addition, Completion]]:
    """Yield what was measured.

    Raises:
        InvalidError: If any row does not fit, with the first flaws.
    """
    flaws: list[Flaw] = []
    now, objectives = clock.now(), [objective.name for objective in study.objectives] if rows else []
    for i, row in enumerate(rows):
        at = ("file", "experiments", "data", i)
        try:
            yield _record(study, row, objectives, at, now)
        except InvalidError as error:
            flaws += error.flaws
            if len(flaws) >= MOST_FLAWS:
                break
    if flaws:
        raise InvalidError(flaws)


def _record(
    study: Study, row: object, objectives: Sequence[str], at: tuple[str | int, ...], now: datetime
) -> tuple[Addition, Completion]:
    if not isinstance(row, Mapping):
        raise InvalidError.at(*at, what="must be an object")
    inputs = {key: value for key, value in row.items() if key not in (*objectives, *_COLUMNS)}
    try:
        point = study.space.check_as_run(inputs)
    except PointError as error:
        raise InvalidError.of(error.mistakes, *at) from error
    values = {name: _number(row.get(name), *at, name) for name in objectives}
    noise = row.get("Noise")
    variances = {} if noise is None else {objectives[0]: _number(noise, *at, "Noise", least=0.0)}
    iteration = row.get("Iteration")
    if iteration is not None and not (isinstance(iteration, (int, float)) and float(iteration).is_integer()):
        raise InvalidError.at(*at, "Iteration", what="must be a whole number")
    origin = {"provenance": str(row["ProvenanceId"])[:100]} if row.get("ProvenanceId") else {}
    outcome = Measured(values, variances, metadata=origin).as_outcome(now)
    addition = Addition(
        point,
        origin=RECORDED,
        reason=str(row.get("Reason") or "")[:10_000],
        pinned=True,
        iteration=None if iteration is None else int(iteration),
    )
    return addition, Completion(outcome, digest_of(outcome))


def _number(value: object, *at: str | int, least: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < least:
        raise InvalidError.at(*at, what="must be a finite number" + (", at least 0" if least == 0.0 else ""))
    return float(value)


def _staged(study: Study, items: Sequence[Any]) -> tuple[list[Addition], int]:
    """Return what was still to be run, and how many failed; whoever ran one is elsewhere, so it is offered again.

    Raises:
        InvalidError: If an item does not fit.
    """
    staged: list[Addition] = []
    n_left = 0
    for i, item in enumerate(items):
        at = ("file", "staged_experiments", i)
        if not isinstance(item, Mapping) or not isinstance(item.get("inputs"), Mapping):
            raise InvalidError.at(*at, what="must be an object with `inputs`")
        if item.get("status") not in ("pending", "running"):
            n_left += item.get("status") == "failed"
            continue
        try:
            point = study.space.check(item["inputs"])
        except PointError as error:
            raise InvalidError.of(error.mistakes, *at, "inputs") from error
        staged.append(Addition(point, origin=BY_HAND, reason=str(item.get("reason") or "")[:10_000], pinned=True))
    return staged, n_left
