"""Hostile files: what may lie under a message's name, by accident or by malice.

Each maker puts one at a path. ``outside`` is a folder that nothing here may touch: links point there,
and whatever would be executed would leave a file there.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from alchemy_async.files import MAX_BYTES

Maker = Callable[[Path, Path], None]


class Payload:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def canary(outside: Path) -> Path:
    """Return what is there only if something hostile was executed."""
    return outside / "executed"


def content(data: bytes | str) -> Maker:
    """Return a maker of a regular file."""
    return lambda path, _outside: write(path, data)


def write(path: Path, data: bytes | str) -> None:
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def make_symlink(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "secret.json")


def make_device(path: Path, outside: Path) -> None:
    """Make what reads as zeros without end; where that is not allowed, a pipe."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(path)


def make_socket(path: Path, outside: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def make_folder(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "inside.txt").write_text("kept")


def make_gigabyte(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def make_pickle(path: Path, outside: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(canary(outside))))


def filled(head: str, unit: str, tail: str) -> bytes:
    """Return a text of the largest size that is read at all."""
    return (head + unit * ((MAX_BYTES - len(head) - len(tail)) // len(unit)) + tail).encode()


SPECIAL: dict[str, Maker] = {
    "symlink": make_symlink,
    "dangling symlink": lambda path, outside: path.symlink_to(outside / "nowhere"),
    "symlink to itself": lambda path, _outside: path.symlink_to(path.name),
    "symlink to a device": lambda path, _outside: path.symlink_to("/dev/zero"),
    "FIFO": lambda path, _outside: os.mkfifo(path),
    "device": make_device,
    "socket": make_socket,
    "folder": make_folder,
}

CONTENT: dict[str, Maker] = {
    "empty": content(b""),
    "garbage": content(bytes(range(256)) * 40),
    "a gigabyte": make_gigabyte,
    "pickle": make_pickle,
    "python": content("__import__('os').mkdir('executed')"),
    "a list": content("[1, 2]"),
    "deep lists": content(filled('{"format": 1, "metadata": ', "[", "}")),
    "deep objects": content('{"a":' * 5000 + "1" + "}" * 5000),
    "a long number": content(filled('{"format": ', "9", "}")),
    "a long fraction": content(filled('{"format": 0.', "3", "}")),
    "a key twice": content('{"format": 1, "format": 1}'),
    "NaN": content('{"format": NaN}'),
    "infinity": content('{"format": 1, "values": {"y": -Infinity}}'),
    "half a character": content('{"format": 1, "worker": "\\ud800"}'),
}

# Within the size that is read, and built so that reading takes as long as it can: seconds of the processor.
HEAVY: dict[str, Maker] = {
    "wide lists": content(filled('{"format": 1, "metadata": {"a": [', "[],", "[]]}}")),
    "many keys": content(b'{"format": 1' + b"".join(b', "k%06d": 1' % n for n in range(250_000)) + b"}"),
}


def make_all(makers: dict[str, Maker], path_of: Callable[[int], Path], outside: Path) -> list[Path]:
    """Put one of each kind at the paths with the numbers 0, 1, 2 ..."""
    outside.mkdir(exist_ok=True)
    write(outside / "secret.json", json.dumps({"format": 1, "kept": True}))
    paths = []
    for number, make in enumerate(makers.values()):
        paths.append(path_of(number))
        make(paths[-1], outside)
    return paths


def assert_untouched(outside: Path) -> None:
    """Assert that nothing was executed, and that nothing that links point to was changed."""
    assert [path.name for path in outside.iterdir()] == ["secret.json"]
    assert json.loads((outside / "secret.json").read_bytes()) == {"format": 1, "kept": True}


def replace(path: Path, make: Maker, outside: Path) -> None:
    """Put something hostile in the place of a file, at once as far as that kind can be."""
    beside = path.with_name("beside")
    make(beside, outside)
    if stat.S_ISDIR(os.lstat(beside).st_mode):
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    beside.rename(path)
