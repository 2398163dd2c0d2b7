"""Rejecting: what is no valid result goes to ``dump/rejected/``, with the reason beside it.

In:    the name of an entry of ``dump/`` and what is wrong with it.
Out:   the same entry under a free name in ``dump/rejected/``, and ``<name>.reason.txt``.
Never: overwrites, opens or follows anything, or takes an entry away before its copy is durable.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alchemy_async import clock
from alchemy_async.files import NO_LINKS

if TYPE_CHECKING:
    from datetime import datetime

    from alchemy_async.queues.layout import Layout
    from alchemy_async.queues.publishing import Publisher

_REASON = ".reason.txt"
_MAX_NAME_BYTES = 255 - len(_REASON) - len("-999999")


def reject(layout: Layout, publisher: Publisher, name: str, reason: str, when: datetime) -> None:
    """Move an entry of ``dump/`` to ``dump/rejected/``; one that is gone is fine.

    It is linked and unlinked, as a rename out of a watched folder stalls
    watchdog for 500 ms; only what can't be linked (a folder) is renamed.

    Raises:
        OSError: If the disk refuses; the entry is still in ``dump/``, or already among the rejected.
    """
    source = layout.dump / name
    try:
        found = os.lstat(source)
    except FileNotFoundError:
        return
    target = _take_name(layout.rejected, source, found)
    with contextlib.suppress(FileExistsError):  # from before a crash
        publisher.once(str(_reason_file(target)), _explain(name, reason, when))
    publisher.confirm(layout.rejected, [])
    if not stat.S_ISDIR(found.st_mode):
        source.unlink(missing_ok=True)


def _take_name(rejected: Path, source: Path, found: os.stat_result) -> Path:
    candidates = _candidates(source.name)
    while True:
        target = rejected / next(candidates)
        if _is_same_file(target, found):  # of an earlier try: an fsync must speak of a fresh link
            os.unlink(target)
        elif os.path.lexists(target) or os.path.lexists(_reason_file(target)):
            continue
        with contextlib.suppress(FileExistsError):
            _link_or_rename(source, target, found)
            return target


def _link_or_rename(source: Path, target: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        try:
            os.link(source, target, follow_symlinks=False)
            return
        except NotImplementedError:
            pass
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
    source.rename(target)


def _candidates(name: str) -> Iterator[str]:
    short = os.fsdecode(os.fsencode(name)[:_MAX_NAME_BYTES])
    stem, suffix = Path(short).stem, Path(short).suffix
    yield short
    for number in itertools.count(2):
        yield f"{stem}-{number}{suffix}"


def _reason_file(target: Path) -> Path:
    return target.with_name(target.name + _REASON)


def _is_same_file(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), found)
    except FileNotFoundError:
        return False


def _explain(name: str, reason: str, when: datetime) -> bytes:
    lines = (
        f"{name!r} was not taken as a result.",
        f"Why:  {reason}",
        f"When: {clock.to_wire(when)}",
        f"Mend: correct the file and move it back to dump/ under its name, {name!r};",
        "      then remove this note. If it is of no use, remove both.",
    )
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
