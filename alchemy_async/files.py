"""Files: how one file becomes visible whole, durable, and at most once.

In:    bytes and two paths on one file system, a staging one and a final one.
Out:   the final file, complete; strict JSON read back from files nobody vouches for.
Never: knows what the bytes mean, follows a symlink, or overwrites by a link.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import math
import os
import re
import stat
import sys
import time
from typing import Any

StrPath = str | os.PathLike[str]

MAX_BYTES = 4 * 1024 * 1024  # of one message; a bigger measurement belongs in a file that metadata names
MAX_DEPTH = 32
MAX_DIGITS = 300  # of an integer; more fit no float

NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})  # what `link` says where it can't

_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _PLAIN
_WRITE = os.O_WRONLY | os.O_CREAT | _PLAIN
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # made once: `dumps` makes one at each call
_WINDOWS = sys.platform == "win32"


class NotRegularFileError(OSError):
    """What was to be read is a symlink, FIFO, device or folder."""


class TooLargeError(OSError):
    """What was to be read is larger than a message may be."""


def fsync_folder(folder: StrPath) -> None:
    """Make the names in a folder durable (Windows has no such call: nothing is done there)."""
    if _WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: StrPath, data: bytes, *, durable: bool) -> None:
    """Write a whole file; if durable, fsync it.

    Raises:
        OSError: If the disk refuses, or a symlink is in the way. The half-written
            file is taken away; a failed fsync is never retried, because its
            pages may be gone.
    """
    _write(path, data, os.O_TRUNC, durable=durable)


def _write(path: StrPath, data: bytes, how: int, *, durable: bool) -> None:
    descriptor = os.open(path, _WRITE | how, 0o644)
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
            os.unlink(path)
        raise


def publish_once(staging: StrPath, final: StrPath, data: bytes, *, durable: bool = True) -> None:
    """Publish by ``link``: the file appears whole, and only if the name is free.

    If durable, its content is on the disk before its name is there; the caller
    fsyncs the folder when it needs the name to survive a power cut.
    Where the file system has no hard links the name itself is created
    exclusively, so that it is still taken at most once; a reader may then see
    the file before it is complete.

    Raises:
        FileExistsError: If the name is taken; nothing was changed.
        OSError: If the disk refuses; nothing was published.
    """
    write_file(staging, data, durable=durable)
    try:
        os.link(staging, final)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _write(final, data, os.O_EXCL, durable=durable)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(staging)


def publish_over(staging: StrPath, final: StrPath, data: bytes, *, durable: bool) -> None:
    """Publish by ``rename``: the file replaces the last one in a single step.

    Raises:
        OSError: If the disk refuses; the last file is still there.
    """
    write_file(staging, data, durable=durable)
    try:
        _replace(staging, final)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(staging)
        raise
    if durable:
        fsync_folder(os.path.dirname(final))


def _replace(staging: StrPath, final: StrPath) -> None:
    for _ in range(50 if _WINDOWS else 0):  # Windows refuses while a reader has the file open
        try:
            os.replace(staging, final)
            return
        except PermissionError:
            time.sleep(0.01)
    os.replace(staging, final)


def read_file(path: StrPath, *, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file that anybody may have put there.

    Raises:
        FileNotFoundError: If there is none.
        NotRegularFileError: If it is a symlink, FIFO, device or folder.
        TooLargeError: If it has more than ``limit`` bytes.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # looked at before opening: opening a device may act
            raise NotRegularFileError(f"{os.path.basename(path)!r} is not a regular file")
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotRegularFileError(f"{os.path.basename(path)!r} is a symbolic link") from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegularFileError(f"{os.path.basename(path)!r} is not a regular file")
        data = _read_all(descriptor, found.st_size, limit) if found.st_size <= limit else b""
    finally:
        os.close(descriptor)
    if found.st_size > limit or len(data) > limit:
        raise TooLargeError(f"{os.path.basename(path)!r} has {found.st_size} bytes; a message may have {limit}")
    return data


def _read_all(descriptor: int, size: int, limit: int) -> bytes:
    """Read to the end, which may have moved since the size was asked for; stop beyond the limit."""
    data = os.read(descriptor, size + 1)
    while 0 < len(data) <= limit:
        more = os.read(descriptor, limit + 1 - len(data))
        if not more:
            break
        data += more
    return data


def dump_json(document: dict[str, Any]) -> bytes:
    """Return a document as UTF-8 JSON, one line for each key and for each object of a list under it.

    Raises:
        ValueError: If it holds NaN or infinity.
    """
    lines = (f" {_compact(key)}: {_spread(value)}" for key, value in document.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _spread(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(map(_compact, value)) + "\n ]"
    return _compact(value)


def _compact(value: object) -> str:
    return _ENCODER.encode(value)


def parse_json(data: bytes) -> dict[str, Any]:
    """Read strict JSON: UTF-8, an object, no NaN, infinity or lone surrogate, no key twice, not nested deeply.

    Raises:
        ValueError: If it is anything else; the message says what.
    """
    was_collecting = gc.isenabled()
    gc.disable()  # a message has no cycles, and looking for them takes longer than reading a large one
    try:
        document = _DECODER.decode(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        what = (
            "is empty" if not data.strip() else f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        )
        raise ValueError(what) from None
    finally:
        if was_collecting:
            gc.enable()
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and not _is_shallow(document, MAX_DEPTH):
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if _SURROGATE.search(data) and not _is_encodable(document):
        raise ValueError("holds half a Unicode character (a lone surrogate)")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"has the key {twice[:60]!r} twice")
    return document


def _refuse_constant(text: str) -> float:
    raise ValueError(f"holds {text}, which is no number that can be measured")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"holds {text[:20]}, which is too large")
    return number


def _short_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"holds an integer of {len(text)} digits, which is too large")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite_float, parse_int=_short_integer
)


def _is_shallow(document: dict[str, Any], levels: int) -> bool:
    layer: list[Any] = [document]
    for _ in range(levels):
        inner: list[Any] = []
        for one in layer:
            inner += one.values() if type(one) is dict else one
        layer = [value for value in inner if type(value) is dict or type(value) is list]
        if not layer:
            return True
    return False


def _is_encodable(document: dict[str, Any]) -> bool:
    try:
        _compact(document).encode()
    except UnicodeEncodeError:
        return False
    return True
