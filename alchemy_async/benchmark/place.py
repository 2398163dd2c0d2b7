"""The place: where a benchmark works, on the disk in question.

In:    a folder, or none for the current one.
Out:   an empty folder in it, which is taken away at the end.
Never: touches what was there before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alchemy_async.errors import FolderError


@contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """Make an empty folder, and take it away again.

    Nothing in it should be removed before: on some disks (seen on an ext4 without a journal) new files become dear
    where many were removed lately, so that one measurement's clearing up would slow the next one down.

    Args:
        folder: On the disk in question; it may exist. None: the current folder.

    Raises:
        FolderError: If the folder can't be used.
    """
    home = Path.cwd() if folder is None else folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix="alchemy-bench-", dir=home)
    except OSError as error:
        mend = "Name a folder that can be written, with --dir."
        raise FolderError(f"nothing can be measured in {home}: {error.strerror or error}. {mend}") from error
    with place:
        yield Path(place.name).resolve()
