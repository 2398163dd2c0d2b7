"""Importing: a session made of a file, be it this service's own or ALchemist's.

In:    the document that a file holds, from anybody.
Out:   a session of its own; all of it, or none.
Never: lets anything into campaign.toml that names code, or a row in that was not checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alchemy_async.clock import Clock
from alchemy_async.errors import LedgerError
from alchemy_async.ledger.copying import rebuild
from alchemy_async.service.problems import Flaw, InvalidError
from alchemy_async.service.transfer.brought import note_origin, read_labels, read_metadata, read_study, write_study
from alchemy_async.service.transfer.exporting import FORMAT, OWN, SAFE
from alchemy_async.service.transfer.foreign import bring_foreign
from alchemy_async.service.transfer.moved import n_starts, read_rows


def bring(folder: Path, given: object, clock: Clock) -> list[str]:
    """Make a session of what a file holds, in an empty folder.

    Args:
        folder: The folder.
        given: What the file holds.
        clock: For times.

    Returns:
        What is not taken over, in words.

    Raises:
        InvalidError: If anything does not fit; the folder is then of no use.
    """
    if not isinstance(given, Mapping):
        raise InvalidError.at("file", what="must hold an object: a session as it was exported")
    if OWN in given:
        return _bring_own(folder, given, clock)
    return bring_foreign(folder, given, clock)


def _bring_own(folder: Path, given: Mapping[str, Any], clock: Clock) -> list[str]:
    own = given[OWN]
    if not isinstance(own, Mapping) or own.get("format") != FORMAT:
        raise InvalidError.at("file", OWN, "format", what=f"must be {FORMAT}, the format that is read here")
    document = own.get("document")
    if not isinstance(document, dict):
        raise InvalidError.at("file", OWN, "document", what="must be an object")
    _check_safe(document)
    study = read_study(document, folder, {})
    rows = read_rows(own.get("ledger"), study, "file", OWN, "ledger")
    said, labels = read_metadata(given), read_labels(own.get("labels"), "file", OWN, "labels")
    write_study(folder, study)
    try:
        rebuild(
            folder / "campaign.db",
            name=study.name,
            study=study.as_study(),
            tables=rows,
            meta={"session": json.dumps(said), "labels": json.dumps(labels)},
            n_starts=n_starts(rows),
            clock=clock,
        )
    except LedgerError as error:
        raise InvalidError.at("file", OWN, "ledger", what=str(error)) from error
    note_origin(folder, clock, given, [])
    return []


def _check_safe(document: Mapping[str, Any]) -> None:
    """Refuse whatever could name code, a file or a machine.

    Raises:
        InvalidError: If there is any.
    """
    place = ("file", OWN, "document")
    strange = [key for key in document if key not in SAFE]
    flaws = [Flaw((*place, key[:60]), "is not taken from a file. Leave it out") for key in strange]
    campaign = document.get("campaign")
    if not isinstance(campaign, Mapping) or set(campaign) != {"name"}:
        flaws.append(Flaw((*place, "campaign"), "must have a name, and nothing else"))
    constraints = document.get("constraints", [])
    for i, table in enumerate(constraints if isinstance(constraints, list) else [None]):
        if not isinstance(table, Mapping) or "function" in table:
            flaws.append(Flaw((*place, "constraints", i), "must be terms and a bound: a function is a person's"))
    if flaws:
        raise InvalidError(flaws)
