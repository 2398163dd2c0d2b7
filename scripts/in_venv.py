"""Starting a command with the Python of this checkout's `.venv`, whichever Python and folder one is in.

In:    the name of a command, and the arguments of the script.
Out:   the command, in place of the script's process, on the campaign in the checkout's root.
Never: needs anything but the standard library.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def python_of(venv: Path) -> Path:
    """Return where a virtual environment has its Python."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def run(command: str) -> None:
    """Become ``alchemy-async <command>`` in the root of the checkout; does not return."""
    python = python_of(ROOT / ".venv")
    if not python.exists():
        sys.exit(f"{ROOT} has no .venv yet. `python3 run.py test` (or demo), started there, sets it up.")
    os.chdir(ROOT)
    line = [str(python), "-m", "alchemy_async", command, ".", *sys.argv[1:]]
    if os.name == "nt":  # there, exec leaves the terminal to the shell while the command still runs
        sys.exit(subprocess.call(line))
    os.execv(python, line)
