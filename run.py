#!/usr/bin/env python3
"""Run: set-up and the everyday commands, with nothing but Python itself.

In:    a command, and arguments that are handed on to it.
Out:   `.venv/` beside this file, made once and repaired when it is broken; then the command's exit code.
Never: touches another Python, or installs anything a second time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
INCOMPLETE = "incomplete"
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
USAGE = """usage: python3 run.py COMMAND [ARGUMENTS]

  demo     a whole campaign in this terminal; arguments as in `alchemy-async demo`
  test     every check, then the tests; arguments go to pytest
  lint     the checks alone
  faults   every row of the fault table, and a table of what was shown; `faults --help` says more
  setup    only make .venv

The first start makes .venv and installs into it; a later one starts at once.
"""


class SetUpError(Exception):
    """The set-up can't go on; the message says why and how to mend it."""


def main(arguments: Sequence[str]) -> int:
    """Make sure that .venv is there, then run a command; return its exit code."""
    commands = {"demo": demo, "test": test, "lint": lint, "faults": faults, "setup": setup}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    command, *rest = arguments
    if command not in commands:
        print(f"{command!r} is no command.\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        check_python(sys.version_info[:3])
        set_up(ROOT)
    except (SetUpError, OSError) as error:
        advice = "" if isinstance(error, SetUpError) else f". Is there room, and may you write in {ROOT}?"
        print(f"run.py: {error}{advice}", file=sys.stderr)
        return 1
    return commands[command](ROOT, rest)


def setup(root: Path, arguments: Sequence[str]) -> int:  # noqa: ARG001  every command has the same shape
    """Do nothing more than what comes before every command."""
    print(f"run.py: {root / '.venv'} is complete.")
    return 0


def demo(root: Path, arguments: Sequence[str]) -> int:
    """Run `alchemy-async demo`."""
    return call([str(venv_python(root)), "-m", "alchemy_async", "demo", *arguments])


def faults(root: Path, arguments: Sequence[str]) -> int:
    """Run the tests of the fault table, quick and slow, as far as they have not passed on this tree."""
    return call([str(venv_python(root)), "-m", "tests.faults", *arguments], cwd=root)


def lint(root: Path, arguments: Sequence[str]) -> int:  # noqa: ARG001  every command has the same shape
    """Run every check, whatever the others say; return 1 if any failed."""
    python = str(venv_python(root))
    checks = {
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "mypy": [python, "-m", "mypy", "--strict", "alchemy_async"],
        "lint-imports": [str(venv_script(root, "lint-imports"))],
    }
    failed = []
    for name, check in checks.items():
        print(f"== {name}", flush=True)
        if call(check, cwd=root):
            failed.append(name)
    print(f"== checks: {'failed: ' + ', '.join(failed) if failed else 'all passed'}", flush=True)
    return 1 if failed else 0


def test(root: Path, arguments: Sequence[str]) -> int:
    """Run the checks, then the tests, whose closing line comes last; fail if anything failed."""
    checked = lint(root, ())
    print("== pytest", flush=True)
    pytest = ["-m", "pytest", "-n", "2", "-m", "not slow", *arguments]
    return call([str(venv_python(root)), *pytest], cwd=root) or checked


def call(command: Sequence[str], cwd: Path | None = None) -> int:
    """Run a command and return its exit code; Ctrl-C reaches it, and its own ending counts."""
    try:
        process = subprocess.Popen(command, cwd=cwd)
    except OSError as error:
        print(f"run.py: {command[0]} can't be started: {error}. Delete .venv and start again.", file=sys.stderr)
        return 1
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal sent it to the command too, which decides
            continue


def check_python(version: Sequence[int]) -> None:
    """Refuse a Python that is too old.

    Raises:
        SetUpError: If it is.
    """
    if tuple(version[:2]) < OLDEST_PYTHON:
        found, oldest = (".".join(str(part) for part in parts) for parts in (version, OLDEST_PYTHON))
        raise SetUpError(
            f"this is Python {found}, and alchemy_async needs {oldest} or newer. "
            f"Install one and start it by name, for example `python{oldest} run.py`."
        )


def venv_python(root: Path, os_name: str = os.name) -> Path:
    """Return the path of the environment's Python."""
    return root / ".venv" / ("Scripts/python.exe" if os_name == "nt" else "bin/python")


def venv_script(root: Path, name: str, os_name: str = os.name) -> Path:
    """Return the path of a command that was installed into the environment."""
    return root / ".venv" / (f"Scripts/{name}.exe" if os_name == "nt" else f"bin/{name}")


def stamp(root: Path, version: str | None = None) -> str:
    """Return a digest of all that the environment is made from: it changes when anything must be installed anew.

    Args:
        root: The checkout; an environment that was moved does not work any more, so its path counts.
        version: Version of Python; the running one if None.
    """
    import tomllib  # here, so that an old Python gets as far as its message

    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = document.get("project", {})
    keys = ("dependencies", "optional-dependencies", "scripts", "entry-points", "requires-python", "version")
    made_from = {
        "build": document.get("build-system", {}),
        "project": {key: project.get(key) for key in keys},
        "constraints": (root / "constraints.txt").read_text(encoding="utf-8"),
        "python": version or platform.python_version(),
        "root": str(root),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def stamp_file(root: Path) -> Path:
    """Return where the digest of the finished environment lies."""
    return root / ".venv" / "set-up.stamp"


def read_stamp(root: Path) -> str:
    """Return what the last set-up wrote: a digest, ``incomplete``, or nothing."""
    try:
        return stamp_file(root).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def is_ready(root: Path) -> bool:
    """Whether the environment is complete and made from what the checkout says now."""
    return venv_python(root).exists() and read_stamp(root) == stamp(root)


def set_up(root: Path) -> None:
    """Make the environment, mend it, or do nothing.

    Raises:
        SetUpError: If something is missing on this machine.
    """
    if is_ready(root):
        return
    with only_one(root) as lock:
        if is_ready(root):  # another set-up has just done it
            return
        make_venv(root, lock)
        stamp_file(root).write_text(INCOMPLETE, encoding="utf-8")
        install(root, lock)
        finished = stamp_file(root).with_suffix(".tmp")
        finished.write_text(stamp(root), encoding="utf-8")
        finished.replace(stamp_file(root))
        print("run.py: .venv is ready.", flush=True)


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[int]:
    """Hold the set-up of this checkout; wait while another process has it.

    The lock lies on this very file, so it ends with its holder (or with a step
    that has outlived it) and leaves nothing behind.
    """
    itself = root / "run.py"
    descriptor = os.open(itself, os.O_RDWR if os.access(itself, os.W_OK) else os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            print("run.py: another set-up of this checkout is running; waiting for it.", flush=True)
            while not try_lock(descriptor):
                time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Try to lock an open file; False if another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the end: nobody's reading is hindered
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def make_venv(root: Path, lock: int) -> None:
    """Make `.venv` if there is none that works; until the set-up has ended it is marked as incomplete.

    Raises:
        SetUpError: If this Python can't make one.
    """
    folder = root / ".venv"
    if is_usable(root):
        return
    if folder.exists():
        print("run.py: .venv is unfinished or broken; making it anew.", flush=True)
        shutil.rmtree(folder)
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetUpError(
            f"this Python has no {missing[0]}, which makes virtual environments. "
            "Install it (Debian and Ubuntu: `apt install python3-venv`), then start again."
        )
    print(f"run.py: making {folder}", flush=True)
    folder.mkdir()
    stamp_file(root).write_text(INCOMPLETE, encoding="utf-8")
    if start([sys.executable, "-m", "venv", str(folder)], root, lock):
        raise SetUpError(
            f"{folder} can't be made; the lines above say why. Is there room on the disk, and may you write here? "
            "On Debian and Ubuntu, `apt install python3-venv` may be missing."
        )


def is_usable(root: Path) -> bool:
    """Whether `.venv` was made here, by this version of Python, is not half-made, and has a pip that starts."""
    if read_stamp(root) == INCOMPLETE or not was_made_here(root):
        return False
    asked = "import pip, platform; print(platform.python_version())"
    try:
        answer = subprocess.run([str(venv_python(root)), "-c", asked], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == platform.python_version()


def was_made_here(root: Path) -> bool:
    """Whether `.venv` still lies where it was made: its commands hold that path and break when it is moved."""
    try:
        made_by = (root / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return str(root / ".venv") in made_by


def install(root: Path, lock: int) -> None:
    """Install torch, first and alone, then this project with its tools.

    Raises:
        SetUpError: If pip fails.
    """
    torch = pinned(root, "torch")
    print(f"run.py: installing {torch} (this takes a few minutes, once)", flush=True)
    if not install_cpu_torch(root, torch, lock) and pip(root, lock, "install", torch):
        raise SetUpError(could_not(f"install {torch}"))
    print("run.py: installing alchemy_async and its tools", flush=True)
    if pip(root, lock, "install", "-c", "constraints.txt", "-e", ".[dev]"):
        raise SetUpError(could_not("install what pyproject.toml asks for"))


def install_cpu_torch(root: Path, torch: str, lock: int) -> bool:
    """Try to get torch without its gigabytes for graphics cards; only Linux' default build has those."""
    if sys.platform != "linux":
        return False
    short = ("--retries", "1", "--timeout", "10", "--index-url", CPU_WHEELS)
    if pip(root, lock, "install", "--no-deps", *short, torch) == 0:
        return True
    print("run.py: PyTorch's CPU wheels can't be reached; taking the default build.", flush=True)
    return False


def pip(root: Path, lock: int, *arguments: str) -> int:
    """Run the environment's pip; return its exit code."""
    return start([str(venv_python(root)), *PIP, "--quiet", *arguments], root, lock)


def start(command: Sequence[str], root: Path, lock: int) -> int:
    """Run one step of the set-up; it inherits the lock, so that nobody clears .venv under it if this process dies."""
    inherited = () if os.name == "nt" else (lock,)
    return subprocess.run(command, cwd=root, check=False, pass_fds=inherited).returncode


def could_not(what: str) -> str:
    """Return the message for a pip that failed."""
    return (
        f"pip could not {what}; its own lines above say why. If this machine is offline, connect it (behind a proxy: "
        "set HTTPS_PROXY) and start again; what is there already is not used before it is complete."
    )


def pinned(root: Path, package: str) -> str:
    """Return the line of constraints.txt that pins a package, such as ``torch==2.13.0``.

    Raises:
        SetUpError: If there is none.
    """
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{package}=="):
            return line.strip()
    raise SetUpError(f"constraints.txt does not pin {package}. Add a line such as {package}==1.2.3.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
