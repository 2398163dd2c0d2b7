"""Children: planner daemons as processes that the server starts, and that can't outlive it.

In:    a campaign folder, and whether experiments are to be suggested.
Out:   a process; how it ended, in its own words.
Never: decides when one is started or ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alchemy_async.service.autonomous.planning import STOP_S, Ending
from alchemy_async.worker_pool import output

NAME = "planner-daemon"  # of its log in the session's folder


class Child:
    """One planner daemon, running from here on; its standard input is a leash: where that ends, it stops.

    Args:
        folder: The campaign folder.
        suggests: Whether it suggests experiments, or only serves those that are staged.

    Raises:
        OSError: If it can't be started.
    """

    def __init__(self, folder: Path, *, suggests: bool) -> None:
        self._folder, self._log = folder, output.log_path(folder, NAME)
        self._log.parent.mkdir(exist_ok=True)
        self.cap_log()
        words = [sys.executable, "-m", "alchemy_async.service.autonomous.planning", str(folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module; in a session of its own: Ctrl-C is ours
                [*words, "suggests" if suggests else "serves"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.is_let_go = False

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None as long as it runs."""
        return self._process.poll()

    def cap_log(self) -> None:
        """Keep its log from growing for ever."""
        with contextlib.suppress(OSError):
            output.cap(self._log)

    def let_go(self) -> None:
        """Tell it to stop, in order."""
        self.is_let_go = True
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def last_word(self) -> tuple[Ending | None, str]:
        """Return how it says that it ended, without a path of this machine; None if it could not say anything."""
        self.let_go()
        if self._process.stdout is None or self._process.stdout.closed:
            return None, ""
        with self._process.stdout as said:
            os.set_blocking(said.fileno(), False)  # a process that it left behind may keep the pipe open
            data = said.read(64 * 1024) or b""
        try:
            document: dict[str, Any] = json.loads(data)
            detail = str(document["detail"]).replace(str(self._folder), "the session's folder")
            return Ending(document["ending"]), detail
        except (ValueError, KeyError, TypeError):
            return None, ""

    def wait(self) -> None:
        """Wait until it has ended; one that does not stop in time is killed."""
        try:
            self._process.wait(STOP_S + 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.last_word()


def stop_all(children: Iterable[Child]) -> None:
    """Stop several at once, in order."""
    stopping = list(children)
    for child in stopping:
        child.let_go()
    for child in stopping:
        child.wait()
