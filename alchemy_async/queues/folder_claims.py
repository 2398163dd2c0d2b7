"""Folder claims: how somebody who keeps the ledger hands out what stands in a published queue.

In:    a claim.
Out:   the same link that a worker in the folder makes; or whose claim lies there already.
Never: starts anything, or removes a claim.
"""

from __future__ import annotations

from pathlib import Path

from alchemy_async.errors import WireError
from alchemy_async.experiment import AttemptKey, Claim
from alchemy_async.files import dump_json
from alchemy_async.queues.layout import RESERVED, UNKNOWN, Layout
from alchemy_async.queues.publishing import Publisher
from alchemy_async.queues.reading import parse_message, read_message


class FolderClaims:
    """Links claims into ``dump/claims/`` for those who ask elsewhere.

    Args:
        folder: The campaign folder; its queue was published once.
        owner: Who links; its lock is held by this process alone.
        instance: Random text, unique to this process.
        durable: Whether a claim waits for the disk.
    """

    def __init__(self, folder: Path, owner: str, instance: str, *, durable: bool = True) -> None:
        self._layout = Layout(folder)
        self._publisher = Publisher(self._layout, owner, instance, durable=durable)

    def take(self, claim: Claim) -> Claim:
        """Link a claim, durably, and return the one that lies there: this one, or whoever was faster.

        Raises:
            OSError: If the disk refuses; nothing may be started.
        """
        self._layout.check()
        path, taken = self._layout.claim(claim.key), claim
        try:
            self._publisher.once(path, dump_json(claim.to_wire()))
        except FileExistsError:
            found = self._read(path, claim)
            if found.worker in RESERVED - {claim.worker} or found.instance != claim.instance:
                taken = found
        self._publisher.confirm(self._layout.claims, [path])  # whoever's: nothing is committed that a power cut undoes
        return taken

    def lying(self, campaign: str, key: AttemptKey) -> Claim | None:
        """Return the claim that lies there for an attempt, whoever linked it; None if nobody has."""
        if not self._layout.is_claimed(key):
            return None
        found = self._read(self._layout.claim(key), Claim(campaign, key, 0, {}, UNKNOWN, ""))
        self._publisher.confirm(self._layout.claims, [self._layout.claim(key)])
        return found

    def _read(self, path: str, asked: Claim) -> Claim:
        try:
            found = Claim.from_wire(parse_message(read_message(path)))
        except (FileNotFoundError, WireError):
            return Claim(asked.campaign, asked.key, 0, {}, UNKNOWN, "")
        return found if found.key == asked.key else Claim(asked.campaign, asked.key, 0, {}, UNKNOWN, "")
