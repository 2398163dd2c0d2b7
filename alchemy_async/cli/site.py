"""The site of a campaign: its folder, its settings, its ledger, and who plans it.

In:    a campaign folder.
Out:   what a command needs to read the ledger or to change it.
Never: leaves a ledger behind where a command only looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alchemy_async.config import CampaignSettings
    from alchemy_async.ledger import Ledger
    from alchemy_async.locks import Holder


@dataclass(frozen=True)
class Site:
    """Where one campaign lives on this machine."""

    folder: Path
    settings: CampaignSettings
    ledger_path: Path

    @property
    def lock_path(self) -> Path:
        """The lock that a running planner holds."""
        from alchemy_async.ledger import planner_lock

        return planner_lock(self.ledger_path)

    def planner(self) -> Holder | None:
        """Return the process that plans this campaign now, or None."""
        from alchemy_async import locks

        return locks.holder(self.lock_path)

    def has_ledger(self) -> bool:
        """Return whether the campaign was ever begun."""
        return self.ledger_path.exists()

    def open_ledger(self) -> Ledger:
        """Open the ledger.

        Raises:
            LedgerError: If there is none yet, or it can't be read.
        """
        from alchemy_async.ledger import Ledger

        return Ledger.open(self.ledger_path)

    def begin_ledger(self) -> Ledger:
        """Open the ledger, and begin it if there is none, so that experiments can be staged before the first `plan`.

        While no planner lives, the budget that counts is the one campaign.toml has now.

        Raises:
            LedgerError: If it can't be opened, or belongs to another study.
        """
        from alchemy_async.ledger import Ledger

        ledger = Ledger.create(self.ledger_path, name=self.settings.campaign.name, study=self.settings.study())
        if self.planner() is None:
            budget = self.settings.budget
            with ledger.change() as change:
                change.set_limits(experiments=budget.experiments, starts=budget.most_started())
        return ledger


def open_site(folder: Path) -> Site:
    """Read the settings of a campaign folder and find its ledger.

    Raises:
        FolderError: If there is no campaign.toml.
        SettingsError: If it has mistakes.
    """
    from alchemy_async.config import load_campaign

    folder = folder.resolve()
    settings = load_campaign(folder)
    return Site(folder, settings, settings.ledger_path(folder))
