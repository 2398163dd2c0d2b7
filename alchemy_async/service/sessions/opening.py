"""Opening: a session's campaign.toml and ledger brought together, and kept together.

In:    a campaign folder, whoever made it.
Out:   a desk; one whose file a person has edited goes on with what the file says, if all that was done fits.
Never: lets the ledger say another study than the file, or follows a file that a running planner has not read.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alchemy_async import locks
from alchemy_async.clock import Clock
from alchemy_async.errors import LedgerError
from alchemy_async.ledger import Ledger, planner_lock
from alchemy_async.service.definition.fitting import check_fits, studied
from alchemy_async.service.definition.study import Stamp, Study, read_study, stamp_of
from alchemy_async.service.problems import ConflictError, UnavailableError
from alchemy_async.service.sessions.changing import follow
from alchemy_async.service.sessions.feed import Feed
from alchemy_async.service.staged.adopting import adopt
from alchemy_async.service.staged.desk import Desk

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Session:
    """One session that is open in this process."""

    id: str
    desk: Desk
    feed: Feed
    problem: str | None = None  # why campaign.toml, as it is now, is not followed
    refused: Stamp | None = None

    @property
    def is_planned(self) -> bool:
        """Whether a planner runs on it, be it this server's or a person's."""
        return locks.holder(planner_lock(self.desk.study.ledger_path)) is not None


def open_session(session_id: str, folder: Path, clock: Clock, instance: str) -> Session:
    """Open a session.

    Args:
        session_id: Its name.
        folder: Its folder.
        clock: For times.
        instance: Random text, unique to this server process.

    Raises:
        UnavailableError: If its campaign.toml can't be used, or its ledger does not fit it.
        LedgerError: If the ledger can't be read.
    """
    study = read_study(folder)
    ledger = _open_ledger(study, clock)
    try:
        _set_limits(ledger, study)
    except BaseException:
        ledger.close()
        raise
    waker: list[Feed] = []
    desk = Desk(folder, study, ledger, clock, instance=instance, on_change=lambda: waker[0].changed())
    feed = Feed(_stamp(weakref.ref(desk)))
    waker.append(feed)
    adopt(desk)
    return Session(session_id, desk, feed)


def _stamp(desk: weakref.ref[Desk]) -> Callable[[], tuple[int, int]]:
    """Return what a feed looks at; weakly, so that a desk that nobody uses any more is closed at once."""

    def stamp() -> tuple[int, int]:
        found = desk()
        if found is None:
            raise sqlite3.ProgrammingError("the session was put away")
        return found.stamp()

    return stamp


def _open_ledger(study: Study, clock: Clock) -> Ledger:
    path, durable = study.ledger_path, study.settings is None or study.settings.campaign.durable
    try:
        return Ledger.create(
            path, name=study.name, study=study.as_study(), durable=durable, clock=clock, shared=True
        )  # fmt: skip
    except LedgerError:
        ledger = Ledger.open(path, durable=durable, clock=clock, shared=True)
    try:
        _heal(ledger, study)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _heal(ledger: Ledger, study: Study) -> None:
    """Bring a ledger to a campaign.toml that was changed beside it.

    Raises:
        UnavailableError: If what was done does not fit, or a planner runs that has read the file as it was.
    """
    if ledger.meta("name") != study.name:
        raise UnavailableError(
            f"campaign.toml calls this campaign {study.name!r}, and its ledger {ledger.meta('name')!r}. A person has "
            "to put the name back."
        )
    if locks.holder(planner_lock(study.ledger_path)) is not None:
        raise UnavailableError("campaign.toml was changed while a planner runs that has read it. Stop the planner.")
    try:
        check_fits(ledger, study)
    except ConflictError as error:
        raise UnavailableError(f"campaign.toml was changed, and does not fit what was done. {error}") from error
    with ledger.change() as change:
        follow(change, study)


def keep_up(session: Session) -> None:
    """Take note of a campaign.toml that somebody has written since it was read.

    A file that can't be followed is left alone, and `Session.problem` says why: whoever measures meanwhile must be
    able to report. As long as a planner runs that has read it as it was, so it stays.

    Raises:
        FileNotFoundError: If it is gone.
    """
    desk = session.desk
    stamp = stamp_of(desk.folder)
    if stamp in (desk.study.stamp, session.refused):
        return
    with desk.look() as ledger:
        if stamp_of(desk.folder) == desk.study.stamp:  # this server wrote it meanwhile
            session.problem = None
            return
        try:
            found = read_study(desk.folder)
            if json.loads(json.dumps(found.as_study())) != studied(ledger):
                if session.is_planned:
                    return
                _heal(ledger, found)
        except UnavailableError as error:
            session.problem, session.refused = str(error), stamp
            log.warning("session=%s goes on with campaign.toml as it was: %s", session.id, error)
            return
        _set_limits(ledger, found)
        desk.study, session.problem = found, None


def _set_limits(ledger: Ledger, study: Study) -> None:
    """Let a person's budget hold for whoever stages; a planner that runs has set its own."""
    if study.settings is None:
        return
    budget = study.settings.budget
    wanted = {"budget": budget.experiments, "max_started": budget.most_started()}
    texts = {key: None if limit is None else str(limit) for key, limit in wanted.items()}
    if all(ledger.meta(key) == text for key, text in texts.items()):
        return
    if locks.holder(planner_lock(study.ledger_path)) is None:
        with ledger.change() as change:
            change.set_limits(experiments=wanted["budget"], starts=wanted["max_started"])
