"""The commands: thin; each opens what it needs, calls one room, and says what became of it.

In:    the command line.
Out:   words or JSON on stdout, complaints on stderr, an exit code.
Never: decides about experiments, or loads torch, numpy or pydantic before a command needs them.

    commands                              all of them, as `--help` groups them
    start, daemons, see, steer, reset, bench
                                          each group's commands
    console, arguments, site              errors and logging; arguments that recur; the folder, opened
    demo_view | staging | picture, insight, render, beats | explain, explain_words | table | leftovers | bench_view
                                          what stands behind demo | stage | status | explain | export | clear | bench
    amounts                               how numbers, points and times stand in a sentence
"""

from __future__ import annotations

import signal
import sys
from typing import Any

_DAEMONS = ("plan", "work", "serve")


def main() -> None:
    """Run the command that the command line names."""
    words = sys.argv[1:]
    command = next((word for word in words if not word.startswith("-")), "")
    if command in _DAEMONS:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it heeds it: an exception can get lost in an import
    if command == "work" and "--help" not in words:
        from alchemy_async.worker_pool import processes

        over_rest = any(word.partition("=")[0] == "--server" for word in words)
        processes.prepare(over_rest=over_rest)  # loads on another core, beside what this process needs
    from alchemy_async.cli.commands import app

    app(prog_name="alchemy-async")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - typed as whatever is asked for
    """Load the program when it is asked for: `main` has something to do before."""
    if name == "app":
        from alchemy_async.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
