"""Adopting: what lies in a campaign folder and the ledger does not know of, after a crash.

In:    a session that is being opened, while nobody plans in its folder.
Out:   claims that were linked and never committed, taken into the ledger.
Never: takes a claim away, or does what a running planner daemon does.
"""

from __future__ import annotations

import logging

from alchemy_async import locks
from alchemy_async.experiment import AttemptKey, AttemptState
from alchemy_async.ledger import Ledger, planner_lock
from alchemy_async.service.staged.desk import Desk

log = logging.getLogger(__name__)


def adopt(desk: Desk) -> int:
    """Take note of every claim that was linked for an attempt that the ledger still calls queued.

    A server that was killed between the link of a claim and its commit leaves one: the name is used up, and
    without this the experiment would stay queued and could be had by nobody.

    Returns:
        How many there were.

    Raises:
        sqlite3.Error: If the ledger can't be written.
        OSError: If the disk refuses.
    """
    with desk.look() as ledger:
        if not _unclaimed(ledger):
            return 0
    if locks.holder(planner_lock(desk.study.ledger_path)) is not None:
        return 0
    n_found = 0
    with desk.turn() as turn:
        for key in _unclaimed(turn.ledger):
            claim = turn.claims().lying(turn.ledger.campaign, key)
            if claim is not None:
                turn.heed(claim)
                n_found += 1
    if n_found:
        log.warning("%d claims were linked and not yet in the ledger; they are now", n_found)
    return n_found


def _unclaimed(ledger: Ledger) -> list[AttemptKey]:
    """Return the attempts that stood in a published queue and that nobody has, as far as the ledger knows."""
    return [key for key in ledger.listed() if ledger.attempt(key).state is AttemptState.QUEUED]
