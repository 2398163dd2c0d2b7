"""Running the planner daemon on a campaign folder, as `alchemy-async plan` does.

In:    a folder with campaign.toml.
Out:   the daemon's loop, until the campaign ends or somebody stops it.
Never: runs twice on one ledger.
"""

from __future__ import annotations

import logging
import secrets
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from alchemy_async import locks
from alchemy_async.clock import Clock, SystemClock
from alchemy_async.config import CampaignSettings, load_campaign
from alchemy_async.errors import FolderError
from alchemy_async.ledger import Ledger, planner_lock
from alchemy_async.planner_daemon.asker import PlannerRecipe, ProcessAsker
from alchemy_async.planner_daemon.daemon import PlannerDaemon
from alchemy_async.planner_daemon.ending import Summary
from alchemy_async.queues.folder_planner import FolderPlannerEnd
from alchemy_async.queues.layout import Layout

log = logging.getLogger(__name__)

_POLL_LEDGER_S = 0.5
_GATHER_S = 0.02  # a worker claims its next experiment some milliseconds after a result: take both in one turn
_RETRY_S = (1.0, 30.0)


def run_planner(folder: Path, *, clock: Clock | None = None, suggests: bool = True) -> Summary | None:
    """Plan a campaign until it ends; None if a signal stopped it before.

    Args:
        folder: The campaign folder.
        clock: The clock.
        suggests: Whether experiments are suggested; else only what people stage is offered, until somebody
            sets `suggests` to yes in the ledger.

    Raises:
        SettingsError: If campaign.toml has mistakes.
        FolderError: If the folder belongs to another campaign or can't be used.
        AlreadyRunningError: If another planner runs on this ledger.
        LedgerError: If the ledger can't be opened, or holds another study.
        PlannerError: If the planner can't do what the campaign asks for.
    """
    clock = clock or SystemClock()
    settings = load_campaign(folder)
    recipe = PlannerRecipe(
        settings.planner.strategy, settings.as_space(), settings.as_objectives(), settings.planner.keywords(), folder
    )
    recipe.space.check_rules()
    recipe.make()  # a campaign that this planner can't plan is refused before anything is written
    path, durable = settings.ledger_path(folder), settings.campaign.durable
    with ExitStack() as stack:
        stop = stack.enter_context(_signals())  # first, so that a signal finds the ledger closed or heeds it
        mend = f"Stop it there (Ctrl-C, or `alchemy-async drain {folder}`), or plan another folder."
        stack.enter_context(locks.hold(planner_lock(path), what=f"{folder} already has a planner", mend=mend))
        _check_ledger_is_there(Layout(folder), path)
        ledger = stack.enter_context(
            Ledger.create(path, name=settings.campaign.name, study=settings.study(), durable=durable, clock=clock)
        )
        with ledger.change() as change:
            change.set_meta(suggests="yes" if suggests else "no")
        queue = FolderPlannerEnd(folder, campaign=ledger.campaign, clock=clock, durable=durable)
        stack.callback(queue.close)
        log.info("campaign=%s planner started in %s", ledger.campaign, folder)
        asker = ProcessAsker(recipe, queue.wake)
        stack.callback(asker.close)
        daemon = PlannerDaemon(settings, ledger, queue, asker, clock, _seed(ledger, settings))
        return _loop(daemon, ledger, queue, asker, stop)


class _Stop:
    """Whether a signal asked the daemon to stop; a plain flag, because handlers must not take locks."""

    is_wanted = False


def _loop(
    daemon: PlannerDaemon, ledger: Ledger, queue: FolderPlannerEnd, asker: ProcessAsker, stop: _Stop
) -> Summary | None:
    retry_s, is_started = _RETRY_S[0], False
    while not stop.is_wanted:
        try:
            if not is_started:
                daemon.start()
                is_started = True
            summary = daemon.step()
            if summary is not None:
                return summary
            if daemon.has_to_ask:
                asker.warm_up()  # after the first step: loading torch must not hold up the first offers
            _wait(daemon.again_in_s, ledger, queue, ledger.stamp(), stop)
        except (OSError, sqlite3.OperationalError) as error:
            mend = _mend(error)
            log.error("the disk refuses (%s). Nothing is lost. %s; trying again in %g s.", error, mend, retry_s)
            _nap(retry_s, stop)
            retry_s = min(2 * retry_s, _RETRY_S[1])
            continue
        retry_s = _RETRY_S[0]
        if not (asker.is_answered or daemon.is_pressed):
            time.sleep(_GATHER_S)
    log.info("stopped by a signal; the queue stays as it is, and `alchemy-async plan` goes on from here")
    return None


def _mend(error: OSError | sqlite3.OperationalError) -> str:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another program keeps the ledger locked: close what has campaign.db open"
    return "Make room, or see that the folder can be written"


def _wait(seconds: float, ledger: Ledger, queue: FolderPlannerEnd, stamp: tuple[int, int], stop: _Stop) -> None:
    """Wait until the queue or the ledger may have changed."""
    waited_s = 0.0
    while waited_s < seconds and not stop.is_wanted:
        nap_s = min(_POLL_LEDGER_S, seconds - waited_s)
        if queue.wait(nap_s) or ledger.stamp() != stamp:
            return
        waited_s += nap_s


def _nap(seconds: float, stop: _Stop) -> None:
    until = time.monotonic() + seconds
    while not stop.is_wanted and time.monotonic() < until:
        time.sleep(min(_POLL_LEDGER_S, seconds))


def _seed(ledger: Ledger, settings: CampaignSettings) -> int:
    """Return the campaign's seed; one that is not in campaign.toml is drawn once and kept."""
    if settings.planner.seed is not None:
        return settings.planner.seed
    if ledger.meta("seed") is None:
        with ledger.change() as change:
            change.set_meta(seed=str(secrets.randbelow(2**31)))
    return int(ledger.meta("seed") or 0)


def _check_ledger_is_there(layout: Layout, ledger: Path) -> None:
    if layout.queue_file.exists() and not ledger.exists():
        raise FolderError(
            f"{layout.queue_file} is the queue of a campaign, and its ledger {ledger} is missing. Put the ledger back, "
            f"or clear the folder with `alchemy-async clear {layout.folder}`."
        )


@contextmanager
def _signals() -> Iterator[_Stop]:
    """Turn SIGINT and SIGTERM into a flag that the loop looks at."""
    stop = _Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.is_wanted = True

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
