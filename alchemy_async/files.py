"""Files: how one file becomes visible whole, durable, and at most once.

In:    bytes and two paths on one file system, a staging one and a final one.
Out:   the final file, complete; strict JSON read back from files nobody vouches for.
Never: knows what the bytes mean, follows a symlink, or overwrites by a link.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

MAX_BYTES = 4 * 1024 * 1024  # of one message; a bigger measurement belongs in a file that metadata names
MAX_DEPTH = 32

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_WINDOWS = sys.platform == "win32"


class NotRegularFileError(OSError):
    """What was to be read is a symlink, FIFO, device or folder."""


class TooLargeError(OSError):
    """What was to be read is larger than a message may be."""


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable (Windows has no such call: nothing is done there)."""
    if _WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes, *, durable: bool) -> None:
    """Write a whole file; if durable, fsync it.

    Raises:
        OSError: If the disk refuses. The half-written file is taken away; a
            failed fsync is never retried, because its pages may be gone.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def publish_once(staging: Path, final: Path, data: bytes) -> None:
    """Publish by ``link``: the file appears whole, and only if the name is free.

    The caller fsyncs the folder when it needs the name to survive a power cut.
    Where the file system has no hard links the name itself is created
    exclusively, so that it is still taken at most once; a reader may then see
    the file before it is complete.

    Raises:
        FileExistsError: If the name is taken; nothing was changed.
        OSError: If the disk refuses; nothing was published.
    """
    write_file(staging, data, durable=True)
    try:
        os.link(staging, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create_exclusively(final, data)
    finally:
        with contextlib.suppress(OSError):
            staging.unlink()


def _create_exclusively(final: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(final, flags, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_over(staging: Path, final: Path, data: bytes, *, durable: bool) -> None:
    """Publish by ``rename``: the file replaces the last one in a single step.

    Raises:
        OSError: If the disk refuses; the last file is still there.
    """
    write_file(staging, data, durable=durable)
    _replace(staging, final)
    if durable:
        fsync_folder(final.parent)


def _replace(staging: Path, final: Path) -> None:
    for _ in range(50 if _WINDOWS else 0):  # Windows refuses while a reader has the file open
        try:
            os.replace(staging, final)
            return
        except PermissionError:
            time.sleep(0.01)
    os.replace(staging, final)


def read_file(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file that anybody may have put there.

    Raises:
        FileNotFoundError: If there is none.
        NotRegularFileError: If it is a symlink, FIFO, device or folder.
        TooLargeError: If it has more than ``limit`` bytes.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # looked at before opening: opening a device may act
            raise NotRegularFileError(f"{path.name!r} is not a regular file")
        descriptor = os.open(path, _READ | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotRegularFileError(f"{path.name!r} is a symbolic link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularFileError(f"{path.name!r} is not a regular file")
        data = file.read(limit + 1) if found.st_size <= limit else b""
        if found.st_size > limit or len(data) > limit:
            raise TooLargeError(f"{path.name!r} has {found.st_size} bytes; a message may have {limit}")
        return data


def dump_json(document: dict[str, Any]) -> bytes:
    """Return a document as UTF-8 JSON, one key a line at the top level.

    Raises:
        ValueError: If it holds NaN or infinity.
    """
    return (json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def parse_json(data: bytes) -> dict[str, Any]:
    """Read strict JSON: UTF-8, an object, no NaN or infinity, no key twice, not nested deeply.

    Raises:
        ValueError: If it is anything else; the message says what.
    """
    try:
        document = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        what = "is empty" if not data.strip() else f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise ValueError(what) from None
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    if not _is_shallow(document, MAX_DEPTH):
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"has the key {twice!r} twice")
    return document


def _refuse_constant(text: str) -> float:
    raise ValueError(f"holds {text}, which is no number that can be measured")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"holds {text[:20]}, which is too large")
    return number


def _is_shallow(document: Any, levels: int) -> bool:
    if isinstance(document, dict):
        return levels > 0 and all(_is_shallow(value, levels - 1) for value in document.values())
    if isinstance(document, list):
        return levels > 0 and all(_is_shallow(value, levels - 1) for value in document)
    return True
