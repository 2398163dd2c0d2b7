"""Damaged files without end, the same for the same seed; and a watch over what their readers do meanwhile.

A case is a valid file in which something was changed: bits, pieces, tokens, or keys and values of its document.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DEEP = [[1]]
for _ in range(60):
    DEEP = [DEEP]
ODD_VALUES = [
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 1.7e308, 1e-320, 5e-324, 1e200, float("nan")),
    *(float("inf"), -float("inf"), 2**31, 2**53, 2**53 - 1, 2**63, -(2**63), 10**299, 10**308, 10**400),
    *("", " ", "0", "1", "NaN", "true", "e0001", "e0001.1", "E0001", "w1", "planner", "unknown", "PLANNER", "f" * 64),
    *("f" * 65, "x" * 70_000, "../../outside", "/etc/passwd", "a/b", "..", ".", "\x00", "a\x00b", "\ud800", "\udfff"),
    *("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "line\nline", "\r", "\u202eright", "\u2028", "ü", "e\u0301", "\ufeff"),
    *("😀", "x'; DROP TABLE experiments; --", "%s%n", "{0}", "$(touch outside)", "`id`", "os.system", "__class__"),
    *("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00Z"),
    *("completed", "failed", "running", "stopped", "idle", "gone", "2026-11-22", [], {}, [[]], [{}], {"": ""}, DEEP),
    *([1] * 2000, {"a": {"b": 1}}, ["e0001.1"] * 3, {f"k{i}": i for i in range(1500)}, ["\x1b[2J"], {"\x1b[2J": 1}),
]
TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b"'", b",", b":", b"=", b"\n", b"\r\n", b"\r", b"\x00", b"\\", b"\\u0000", b"#"),
    *(
        b"\\ud800",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xef\xbb\xbf",
        b"null",
        b"NaN",
        b"-Infinity",
    ),
    *(
        b"1e999",
        b"1e308",
        b"-0",
        b"0x10",
        b"1_000",
        b"9" * 400,
        b"9" * 5000,
        b"1e-400",
        b"[[",
        b"]]",
        b'"""',
        b"..",
        b"/",
    ),
    *(b"inf", b"nan", b"true", b"  ", b"\t", b"--", b"1979-05-27T07:32:00Z", b"{}", b"[]", b'"a":1,', b"a=1\n", b";"),
]


WORST = [
    "@1e999@",
    "../../outside",
    float("nan"),
    1e308,
    10**400,
    "\ud800",
    "\x1b[31m",
    None,
    DEEP,
    -1,
    True,
    "x" * 70_000,
    "",
    {},
]


class Bomb:
    """What a pickle may do to whoever loads it."""

    def __reduce__(self):
        return os.system, ("touch outside",)


PICKLES = [pickle.dumps(each) for each in ({"priority": [{"x": 1.0}]}, [{"x": 1.0, "obj": 0.2}], Bomb())]
PICKLES += [pickle.dumps(Bomb(), 0), b"cos\nsystem\n(S'touch outside'\ntR."]


class Damage:
    """Damages files.

    Args:
        seed: The same seed and number give the same case.
        wholes: Valid files.
        form: ``json`` also changes documents; ``toml`` and ``csv`` also change tokens; ``bytes`` neither.
    """

    def __init__(self, seed: object, wholes: Sequence[bytes], form: str):
        self.seed, self.wholes, self.form = seed, list(wholes), form
        self.first = [b"", *PICKLES, *self._bombs(), *self._worst(), *self._cells()]
        self.pieces = sorted({piece for whole in wholes for piece in whole.split() if len(piece) < 80})

    def case(self, number: int) -> bytes:
        """Return the case of that number."""
        if number < len(self.first):
            return self.first[number]
        rng = random.Random(f"{self.seed}/{self.form}/{number}")
        whole, kind = rng.choice(self.wholes), rng.random()
        if kind < 0.04:
            return rng.choice(
                [b"", *PICKLES, rng.randbytes(rng.randint(1, 300)), whole.decode("latin1").encode("utf-16")]
            )
        if self.form == "json" and kind < 0.6:
            whole = self._document(rng, json.loads(whole))
            if kind < 0.5:
                return whole
        for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
            whole = self._bytes(rng, whole)
        return whole

    def _bombs(self) -> Iterator[bytes]:
        """Yield what is deep or long, within a valid file and without."""
        openers = {"json": [b"[", b'{"a":', b'[{"":'], "toml": [b"a = [", b"[a.", b"{a="], "csv": [b'"', b",", b"1,"]}
        for n in (1_000, 200_000):
            for opener in openers.get(self.form, [b"\x00"]):
                yield opener * n
                yield self.wholes[0][:-2] + b"," + opener * n
            yield from (b'{"values": ' + b"9" * n + b"}", b'"' + b"x" * n + b'"', b"\n" * n, b"k=1\n" * n)

    def _worst(self) -> Iterator[bytes]:
        """Yield a document with each of the worst values in each place of it, and with each key twice."""
        whole = json.loads(self.wholes[0]) if self.form == "json" else {}
        for at in range(len(list(places_in(whole)))):
            for value in WORST:
                document = json.loads(self.wholes[0])
                parent, key = list(places_in(document))[at]
                parent[key] = value
                yield json.dumps(document).replace('"@1e999@"', "1e999").encode()
        tables = [whole, *(parent[key] for parent, key in places_in(whole) if isinstance(parent[key], dict))]
        for table in tables if whole else ():
            for key in ("x" * 70_000, "\x1b[31m", "\ud800", "../outside"):
                table[key] = 1
                yield json.dumps(whole).encode()
                del table[key]
        for key, value in whole.items():
            yield json.dumps(whole).encode()[:-1] + b", " + json.dumps({key: value})[1:].encode()

    def _cells(self) -> Iterator[bytes]:
        """Yield a table with each of the worst words in each of its cells."""
        lines = [line.split(b",") for line in self.wholes[0].splitlines()] if self.form == "csv" else []
        for row, column in [(row, column) for row, line in enumerate(lines) for column in range(len(line))]:
            for word in (
                b"1e308",
                b"-1e308",
                b"1e200",
                b"5e-324",
                b"nan",
                b"-inf",
                b"1_0",
                b"",
                b"\x1b[31m",
                b"x" * 200_000,
            ):
                worse = [list(line) for line in lines]
                worse[row][column] = word
                yield b"\n".join(b",".join(line) for line in worse)

    def _bytes(self, rng: random.Random, data: bytes) -> bytes:
        at = rng.randrange(len(data) + 1)
        to = min(at + rng.choice([1, 1, 2, 5, 20, 100]), len(data))
        other = rng.choice(self.wholes)
        return rng.choice([
            lambda: data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at:to][:1]) + data[at + 1 :],
            lambda: data[:at] + rng.randbytes(to - at) + data[to:],
            lambda: data[:at] + data[to:],
            lambda: data[:at] + data[at:to] * rng.choice([2, 3, 50]) + data[to:],
            lambda: data[:at],
            lambda: data[at:],
            lambda: data[:at] + other[rng.randrange(len(other)) :],
            lambda: data[:at] + rng.choice(TOKENS) + data[at:],
            lambda: data[:at] + rng.choice(TOKENS) + data[to:],
            lambda: data[:at] + rng.choice(self.pieces) + data[to:],
            lambda: self._token(rng, data),
            lambda: self._token(rng, data),
        ])()  # fmt: skip

    def _token(self, rng: random.Random, data: bytes) -> bytes:
        """Put another word in place of one."""
        piece = rng.choice(self.pieces)
        odd = rng.choice(ODD_VALUES)
        text = odd if isinstance(odd, str) else json.dumps(odd)
        word = rng.choice([rng.choice(self.pieces), rng.choice(TOKENS), text.encode("utf-8", "surrogatepass")])
        return data.replace(piece, word, rng.choice([1, 1, -1]) if len(data) < 10_000 else 1)

    def _document(self, rng: random.Random, document: dict) -> bytes:
        twice = b""
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            places = list(places_in(document))
            parent, key = rng.choice(places)
            odd = rng.choice(ODD_VALUES)
            act = rng.randrange(12)
            if act == 0:
                del parent[key]
            elif act == 1 and isinstance(parent, dict):
                parent[str(odd)[:100]] = parent.pop(key)
            elif act == 2 and isinstance(parent, dict):
                parent[rng.choice([str(odd)[:80_000], "format", "metadata", "key"])] = rng.choice(ODD_VALUES)
            elif act == 3:
                other, its = rng.choice(places)
                with contextlib.suppress(KeyError, IndexError):
                    parent[key] = json.loads(json.dumps(other[its]))
            elif act == 4:
                twice = json.dumps({str(key): odd})[1:-1].encode() + b","
            elif act < 9:
                parent[key] = near(rng, parent[key])
            else:
                parent[key] = json.loads(json.dumps(odd))
        whole = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        return whole[:1] + twice + whole[1:]


def near(rng: random.Random, value: object) -> object:
    """Return a value that is nearly the same."""
    if isinstance(value, int) and abs(value) > 2**1000:
        return value // 3
    if isinstance(value, (int, float)):
        return rng.choice([-value, value + 1, value * 10, value / 3, value * 1e30, str(value), [value]])
    if isinstance(value, str):
        return rng.choice([value.upper(), value[::-1], value * 2, value[:-1], value + "\n", " " + value, value + "é"])
    return rng.choice([[value], {"": value}, [value, value]])


def places_in(document: object) -> Iterator[tuple[dict | list, object]]:
    """Yield container and key of every value of a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(items):
        yield document, key
        yield from places_in(value)


def smallest(data: bytes, is_bad: Callable[[bytes], bool], tries: int = 300) -> bytes:
    """Return a part of the data that is still bad, as short as can be found soon."""
    size = max(len(data) // 2, 1)
    while size and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if is_bad(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


# -- the watch -------------------------------------------------------------

_ACTS = {"exec", "compile", "import", "pickle.find_class", "marshal.loads", "os.system", "os.fork", "os.exec"}
_ACTS |= {"os.posix_spawn", "os.spawn", "subprocess.Popen", "os.putenv", "ctypes.dlopen", "code.__new__", "os.chdir"}
_ACTS |= {"socket.connect", "socket.bind", "socket.getaddrinfo", "builtins.input", "os.kill", "signal.pthread_kill"}
_PATHS = {"open": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1}
_PATHS |= {"os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "os.scandir": 1, "os.listdir": 1}
_PATHS |= {"sqlite3.connect": 1, "shutil.rmtree": 1, "shutil.move": 2, "shutil.copyfile": 2, "os.setxattr": 1}


class _Watch:
    folder = ""
    allowed: frozenset[str] = frozenset()
    seen: list[str] | None = None


_watch = _Watch()


def _hook(event: str, arguments: tuple) -> None:
    if _watch.seen is None:
        return
    if event in _ACTS and event not in _watch.allowed:
        _watch.seen.append(f"{event} {arguments!r}"[:300])
    for path in arguments[: _PATHS.get(event, 0)]:
        if isinstance(path, (str, bytes, os.PathLike)):
            name = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))  # noqa: PTH109, PTH118
            if not name.startswith(_watch.folder):
                _watch.seen.append(f"{event} {name!r}"[:300])


class _Loud(logging.Handler):
    """Formats every record, as a real handler would, and keeps those that would do something to a terminal."""

    def __init__(self):
        super().__init__()
        self.bad: list[str] = []
        self.longest = 0

    def emit(self, record):
        text = record.getMessage()
        self.longest = max(self.longest, len(text))
        if not all(line.isprintable() for line in text.split("\n")):
            self.bad.append(ascii(text)[:300])


@dataclass
class Watched:
    """What readers did: forbidden acts, log lines that steer a terminal, the slowest case, megabytes gained."""

    acts: list[str] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    longest_line: int = 0
    slowest_s: float = 0.0
    slowest: bytes = b""
    gained_mb: float = 0.0

    def time(self, act: Callable[[], int], cases: list[bytes]) -> int:
        """Time what reads a batch, by the processor's clock: other processes are none of its business."""
        began, _watch.seen = time.process_time(), self.acts
        try:
            answer = act()
        finally:
            _watch.seen = None
        seconds = (time.process_time() - began) / len(cases)
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, max(cases, key=len)
        return answer


def forget_peak() -> None:
    """Have the kernel count the most memory anew, where it can: what was used before says nothing of what follows."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the most memory that this process had at once since `forget_peak`; if there is no such thing, ever."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextlib.contextmanager
def watch(folder: Path, *, allowed: Sequence[str] = ()) -> Iterator[Watched]:
    """Watch what this process does, beside reading and writing within the folder."""
    if not getattr(sys, "_fuzz_hook", False):
        sys.addaudithook(_hook)
        sys._fuzz_hook = True  # type: ignore[attr-defined]  # a hook can't be taken away again
    found, loud, log = Watched(), _Loud(), logging.getLogger("alchemy_async")
    level, propagates = log.level, log.propagate
    log.addHandler(loud)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    _watch.folder, _watch.allowed = str(folder), frozenset(allowed)
    forget_peak()
    before_mb = peak_mb()
    try:
        yield found
    finally:
        log.removeHandler(loud)
        log.propagate = propagates
        log.setLevel(level)
        found.bad_lines, found.longest_line = loud.bad, loud.longest
        found.gained_mb = peak_mb() - before_mb
