"""Planning: the ordinary planner daemon as a child of the server, ending when the server does.

In:    a campaign folder; standard input, whose end says that it is time to stop.
Out:   the daemon's loop; one line of JSON on standard output that says how it ended.
Never: outlives the server, even one that was killed, or runs beside another planner.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from alchemy_async.errors import AlchemyError, AlreadyRunningError

STOP_S = 10.0  # that the daemon has to stop in order

log = logging.getLogger(__name__)


class Ending(StrEnum):
    """How a planner daemon ended, where it could still say so; any other end is a crash."""

    FINISHED = "finished"  # the campaign is over
    STOPPED = "stopped"  # it was told to
    REFUSED = "refused"  # this campaign can't be planned as it stands
    ELSEWHERE = "elsewhere"  # somebody else plans it


def main(folder: Path, *, suggests: bool) -> None:
    """Plan a campaign until it ends or standard input does; say how that came about."""
    answers = _private_output()
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, format="%(asctime)sZ %(levelname)s %(message)s", stream=sys.stderr)
    threading.Thread(target=_stop_with_server, daemon=True).start()
    ending, detail = _plan(folder, suggests=suggests)
    answers.write(json.dumps({"ending": ending, "detail": detail}) + "\n")
    answers.flush()


def _plan(folder: Path, *, suggests: bool) -> tuple[Ending, str]:
    from alchemy_async.planner_daemon.run import run_planner  # numpy, pydantic: the watch over the server comes first

    try:
        summary = run_planner(folder, suggests=suggests)
    except AlreadyRunningError as error:
        return Ending.ELSEWHERE, error.holder
    except AlchemyError as error:
        log.error("%s", error)
        return Ending.REFUSED, str(error)
    return (Ending.STOPPED, "") if summary is None else (Ending.FINISHED, summary.reason)


def _private_output() -> TextIO:
    """Keep standard output for the one line; whatever a planner or a rule prints goes to the log."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _stop_with_server() -> None:
    """Wait until nobody holds the other end of standard input, then stop: in order, or else at once."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    log.error("the planner did not stop within %g s and is given up; nothing is lost", STOP_S)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), suggests=sys.argv[2] == "suggests")
