"""The study of a session: what campaign.toml says, read from the file and written back to it.

In:    a campaign folder; a document that the file is to say.
Out:   space, objectives and settings; campaign.toml, replaced in one step, with its comments.
Never: decides whether a change may be made, or lets a path of this machine into an error.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alchemy_async import files
from alchemy_async.config import CampaignSettings, check_campaign
from alchemy_async.errors import SettingsError
from alchemy_async.experiment import Objective
from alchemy_async.service.definition.rewriting import rewrite
from alchemy_async.service.problems import NoVariablesError, UnavailableError
from alchemy_async.space import Space

FILE = "campaign.toml"
MOST_BYTES = 1024 * 1024  # as `alchemy_async.config` has it
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Study:
    """What a session studies.

    Args:
        document: All of campaign.toml, as plain values.
        settings: The same, checked; None as long as the session has no variable.
        folder: The campaign folder.
        text: The file itself.
        stamp: Differs once the file has been written again.
    """

    document: Mapping[str, Any]
    settings: CampaignSettings | None
    folder: Path
    text: str = ""
    stamp: Stamp = (0, 0, 0)

    @cached_property
    def space(self) -> Space:
        """The search space.

        Raises:
            NoVariablesError: If the session has no variable yet.
        """
        return self.checked.as_space()

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured, in the order of the outputs.

        Raises:
            NoVariablesError: If the session has no variable yet.
        """
        return self.checked.as_objectives()

    @property
    def checked(self) -> CampaignSettings:
        """The settings.

        Raises:
            NoVariablesError: If the session has no variable yet.
        """
        if self.settings is None:
            raise NoVariablesError("The session has no variable yet. Add the first one with POST /variables.")
        return self.settings

    @property
    def name(self) -> str:
        """The campaign's name."""
        return str(self.document.get("campaign", {}).get("name", "session"))

    @property
    def n_variables(self) -> int:
        """How many variables there are."""
        return 0 if self.settings is None else len(self.settings.parameters)

    @property
    def ledger_path(self) -> Path:
        """Where the ledger is kept."""
        if self.settings is not None:
            return self.settings.ledger_path(self.folder)
        return self.folder / str(self.document.get("campaign", {}).get("ledger") or "campaign.db")

    def as_study(self) -> dict[str, Any]:
        """Return what the ledger holds results of: nothing that is fixed, as long as there is no variable."""
        return {} if self.settings is None else self.settings.study()


def read_study(folder: Path) -> Study:
    """Read what the campaign.toml of a session says.

    Raises:
        UnavailableError: If it can't be read, or has mistakes other than that there is no variable yet.
    """
    path = Path(os.path.realpath(folder / FILE))  # a link to the file is as good as a file
    try:
        stamp = stamp_of(folder)
        text = files.read_file(path, limit=MOST_BYTES).decode("utf-8-sig")
        return make_study(tomllib.loads(text), folder, text=text, stamp=stamp)
    except SettingsError as error:
        raise UnavailableError(f"This session can't be used: its {error}\nA person has to mend the file.") from error
    except (OSError, ValueError, RecursionError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)[:200]
        raise UnavailableError(
            f"This session can't be used: its campaign.toml can't be read ({what}). A person has to mend the file."
        ) from error


def make_study(document: Mapping[str, Any], folder: Path, *, text: str = "", stamp: Stamp = (0, 0, 0)) -> Study:
    """Return what a document says.

    Raises:
        SettingsError: If it has mistakes other than that there is no variable yet.
    """
    settings = check_campaign(document).in_folder(folder) if document.get("parameters") else None
    return Study(document, settings, folder, text, stamp)


def stamp_of(folder: Path) -> Stamp:
    """Return what differs once the campaign.toml of a folder has been written again.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = os.stat(folder / FILE)  # noqa: PTH116 - at each request; a Path costs as much as the call
    return found.st_mtime_ns, found.st_size, found.st_ino


def write_study(study: Study) -> Study:
    """Write campaign.toml over what a session had before, durable; return the study with its text.

    Raises:
        OSError: If the disk refuses; the file is as it was.
    """
    text = rewrite(study.text, study.document)
    put_text(study.folder, text)
    return Study(study.document, study.settings, study.folder, text, stamp_of(study.folder))


def put_text(folder: Path, text: str) -> None:
    """Replace campaign.toml in one step, durable.

    Raises:
        OSError: If the disk refuses; the file is as it was.
    """
    path = os.path.realpath(folder / FILE)
    files.publish_over(f"{path}.new", path, text.encode(), durable=True)
