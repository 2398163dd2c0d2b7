"""Publishing: how one writer's files get their names in the two folders.

In:    bytes and final paths.
Out:   files that appear whole; names that a power cut leaves alone, once they are confirmed.
Never: trusts an fsync that follows one that failed: what is to be confirmed then is written again first.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from alchemy_async.files import (
    NO_LINKS,
    NotRegularFileError,
    TooLargeError,
    fsync_folder,
    publish_once,
    publish_over,
    read_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alchemy_async.queues.layout import Layout


class Publisher:
    """Publishes the files of one writer by way of ``.staging/``.

    The first use removes what earlier holders of the same lock left half-written.

    Args:
        layout: The campaign folder.
        owner: ``planner`` or the worker's name; its lock is held.
        instance: Random text, unique to the process.
        durable: Whether anything waits for the disk; without it a power cut may lose what was published last.
    """

    def __init__(self, layout: Layout, owner: str, instance: str, *, durable: bool = True) -> None:
        self._folder = str(layout.staging)
        self._owner = owner
        self._prefix = f"{self._folder}{os.sep}{owner}.{instance}."
        self._numbers = itertools.count(1)
        self._durable = durable
        self._doubted: set[str] = set()  # folders whose last fsync failed
        self._spent: deque[str] = deque()  # of no more use, and still to be removed
        self._is_clean = False

    def once(self, final: str, data: bytes) -> None:
        """Publish under a name that must be free; `confirm` makes the name durable.

        Raises:
            FileExistsError: If the name is taken; nothing was changed.
            OSError: If the disk refuses; nothing was published.
        """
        publish_once(self._stage(), final, data, durable=self._durable)

    def over(self, final: str, data: bytes, *, durable: bool = True) -> None:
        """Publish over what may lie there.

        Raises:
            OSError: If the disk refuses.
        """
        publish_over(self._stage(), final, data, durable=durable and self._durable)

    def confirm(self, folder: Path, names: Iterable[str]) -> None:
        """Make names in a folder durable.

        An fsync that failed may have dropped what it was to write, and the next
        one would succeed without it. So after a failure each of these files is
        first renamed over itself, as a copy: then the next fsync speaks of a
        write of its own.

        Args:
            folder: The folder.
            names: Paths in it that must be there after a power cut; those that can't be read are passed over.

        Raises:
            OSError: If the disk refuses; nothing may be built upon these names yet.
        """
        if not self._durable:
            return
        place = str(folder)
        if place in self._doubted:
            for name in names:
                with contextlib.suppress(FileNotFoundError, PermissionError, NotRegularFileError, TooLargeError):
                    publish_over(self._stage(), name, read_file(name), durable=True)
        self._doubted.add(place)
        fsync_folder(place)
        self._doubted.discard(place)

    def spend(self, name: str) -> None:
        """Take a file's name away; its content is removed by `tidy`.

        To free what a file holds takes some disks a millisecond, and delays what
        others write meanwhile. So it is only given another name at first.

        Raises:
            OSError: If the disk refuses; the name is still there.
        """
        aside = self._stage()
        try:
            os.link(name, aside)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            self._spent.append(aside)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)

    @property
    def n_spent(self) -> int:
        """How many files `tidy` has to remove."""
        return len(self._spent)

    def tidy(self, may_go_on: Callable[[], bool]) -> None:
        """Remove what was spent, as long as there is time; what stays the next holder of the lock removes."""
        while self._spent and may_go_on():
            try:
                os.unlink(self._spent[0])
            except FileNotFoundError:
                pass
            except OSError:  # they do no harm; tried again the next time
                return
            self._spent.popleft()

    def doubt(self, folder: Path) -> None:
        """Take the last fsync of a folder for failed: the next names to be confirmed in it are written again."""
        self._doubted.add(str(folder))

    def clean(self) -> None:
        """Remove what earlier holders of the same lock left behind."""
        self._is_clean = True
        with os.scandir(self._folder) as entries:
            leftovers = [entry.path for entry in entries if entry.name.startswith(f"{self._owner}.")]
        for leftover in leftovers:
            with contextlib.suppress(OSError):  # a leftover does no harm
                os.unlink(leftover)

    def _stage(self) -> str:
        """Return a path that nobody else writes to."""
        if not self._is_clean:
            self.clean()
        return f"{self._prefix}{next(self._numbers)}"
