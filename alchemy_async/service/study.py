"""The study of a session: what campaign.toml says, and how clients change it.

In:    a campaign folder; wishes of clients.
Out:   space, objectives and settings; campaign.toml written back with its comments.
Never: lets a change in that what was staged or measured would not fit, or a name that would run code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomlkit

from alchemy_async.config import CampaignSettings, check_campaign
from alchemy_async.experiment import Objective
from alchemy_async.service.problems import ConflictError
from alchemy_async.space import Space


@dataclass(frozen=True)
class Study:
    """What a session studies.

    Args:
        document: All of campaign.toml, as plain values.
        settings: The same, checked; None as long as the session has no variable.
        folder: The campaign folder.
    """

    document: Mapping[str, Any]
    settings: CampaignSettings | None
    folder: Path

    @cached_property
    def space(self) -> Space:
        """The search space.

        Raises:
            ConflictError: If the session has no variable yet.
        """
        return self.checked.as_space()

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured, in the order of the outputs.

        Raises:
            ConflictError: If the session has no variable yet.
        """
        return self.checked.as_objectives()

    @property
    def checked(self) -> CampaignSettings:
        """The settings.

        Raises:
            ConflictError: If the session has no variable yet.
        """
        if self.settings is None:
            raise ConflictError("The session has no variable yet. Add the first one with POST /variables.")
        return self.settings

    @property
    def name(self) -> str:
        """The campaign's name."""
        return str(self.document.get("campaign", {}).get("name", "session"))

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
        SettingsError: If it has mistakes other than that there is no variable yet.
    """
    document = tomllib.loads((folder / "campaign.toml").read_text(encoding="utf-8"))
    settings = check_campaign(document).in_folder(folder) if document.get("parameters") else None
    return Study(document, settings, folder)


def begin_study(folder: Path, name: str) -> None:
    """Write the campaign.toml of a session without variables."""
    document = tomlkit.document()
    document["campaign"] = {"name": name or "session"}
    document["objectives"] = [{"name": "Output", "goal": "maximize"}]
    (folder / "campaign.toml").write_text(tomlkit.dumps(document), encoding="utf-8")
