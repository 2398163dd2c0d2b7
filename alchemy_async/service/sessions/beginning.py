"""Beginning: a session without variables, in an empty folder.

In:    what a client says of it.
Out:   campaign.toml and a ledger.
Never: writes anything that a client wrote into a name of a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alchemy_async import files
from alchemy_async.clock import Clock
from alchemy_async.config import check_campaign
from alchemy_async.errors import SettingsError
from alchemy_async.ledger import Ledger
from alchemy_async.service.definition.rewriting import rewrite
from alchemy_async.service.definition.study import FILE
from alchemy_async.service.definition.variables import in_their_words

UNTITLED = "Untitled Session"
LONGEST_NAME = 55  # of a campaign
OUTPUT = {"name": "Output", "goal": "maximize"}
_ANY = {"name": "any variable will do here", "type": "continuous", "bounds": [0.0, 1.0]}


def begin(
    folder: Path,
    said: Mapping[str, Any],
    objectives: Sequence[Mapping[str, Any]],
    clock: Clock,
    request: str | None = None,
) -> None:
    """Write campaign.toml and the ledger of a session without variables.

    Args:
        folder: Empty.
        said: ``name``, ``description``, ``tags`` and ``author``.
        objectives: As campaign.toml has them; none: ``Output``, to be maximised.
        clock: For the time of its making.
        request: All that was asked for, if it may be asked for again.

    Raises:
        InvalidError: If the objectives have mistakes.
    """
    name = campaign_name(str(said.get("name", "")))
    tables = [dict(one) for one in objectives] or [OUTPUT]
    document = {"campaign": {"name": name}, "objectives": tables}
    check_objectives(tables, "objectives")
    files.write_file(folder / FILE, rewrite("", document).encode(), durable=True)
    with Ledger.create(folder / "campaign.db", name=name, study={}, clock=clock) as ledger, ledger.change() as change:
        change.set_meta(session=json.dumps({**said, "name": said.get("name") or UNTITLED}), begun_by=request)


def campaign_name(name: str) -> str:
    """Return the name that a campaign can have: letters, digits and -."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:LONGEST_NAME].strip("-") or "session"


def check_objectives(tables: Sequence[Mapping[str, Any]], *place: str | int) -> None:
    """Check objectives by themselves, before there is a variable.

    Raises:
        InvalidError: If they have mistakes.
    """
    document = {"campaign": {"name": "any"}, "parameters": [_ANY], "objectives": [dict(one) for one in tables]}
    try:
        check_campaign(document)
    except SettingsError as error:
        places = {("objectives", i): (*place, i) for i in range(len(tables))}
        raise in_their_words(error.mistakes, places) from error
