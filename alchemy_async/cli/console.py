"""The console: how commands speak to a person, log, and fail.

In:    errors that the rooms raise on purpose; log records.
Out:   a red sentence on stderr and an exit code; log lines on stderr.
Never: shows a traceback for an error that its message explains (except with ``-v``).
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from alchemy_async import clock
from alchemy_async.errors import AlchemyError, AlreadyRunningError, PointError

_VERBOSE = "alchemy_async.verbose"


class Code(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    RUNNING = 3


EPILOG = (
    "Exit codes: 0 done, or ended properly (Ctrl-C too); 1 an error that a message explains; "
    "2 wrong usage, or not confirmed (see `clear --yes`); 3 a daemon is running that must not be."
)


def _remember(context: typer.Context, is_verbose: bool) -> bool:
    if is_verbose:
        context.meta[_VERBOSE] = True
    return is_verbose


Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=_remember, help="Log more, and show tracebacks of errors.")
]


class Commands(TyperGroup):
    """The group of all commands: the one place where errors become messages and exit codes."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - the context of a click that typer keeps to itself
        """Run a command and answer for its errors."""
        try:
            returned = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Code.OK) from None
        except (AlchemyError, sqlite3.Error, OSError) as error:
            if ctx.meta.get(_VERBOSE):
                traceback.print_exception(error)
            typer.secho(_in_words(error), fg=typer.colors.RED, err=True)
            raise typer.Exit(_code(error)) from error
        return returned


def _code(error: Exception) -> Code:
    return Code.RUNNING if isinstance(error, AlreadyRunningError) else Code.FAILED


def _in_words(error: Exception) -> str:
    if isinstance(error, PointError):
        return "\n".join(str(mistake) for mistake in error.mistakes)
    if isinstance(error, AlchemyError):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return (
            f"The ledger refuses: {error}. If it is locked, another program keeps it open: try again. "
            "Otherwise look whether its disk is full or may not be written. Nothing was changed."
        )
    return f"The disk refuses: {error}. Look whether it is full, and who may write there."


def note(text: str) -> None:
    """Tell a person something that is not the answer itself: on stderr, so that a pipe stays clean."""
    typer.secho(text, err=True)


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``at``, ``level``, ``logger``, ``message``, and ``error`` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "at": clock.to_wire(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(log_format: LogFormat, *, verbose: bool) -> None:
    """Send the log to stderr: colours at a terminal, plain lines elsewhere, JSON where asked for; times are UTC."""
    logging.basicConfig(level=logging.INFO, handlers=[_handler(log_format)], force=True)
    logging.getLogger("alchemy_async").setLevel(logging.DEBUG if verbose else logging.INFO)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the daemon's log away from a command that tells of each result by itself."""
    log = logging.getLogger("alchemy_async")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _handler(log_format: LogFormat) -> logging.Handler:
    if log_format is LogFormat.TEXT and sys.stderr.isatty():
        return _rich_handler()
    handler = logging.StreamHandler(sys.stderr)
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
    else:
        plain = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s")
        plain.converter = time.gmtime
        handler.setFormatter(plain)
    return handler


def _rich_handler() -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.text import Text

    handler = RichHandler(
        console=Console(stderr=True),
        show_path=False,
        log_time_format=lambda moment: Text(moment.astimezone(UTC).strftime("%H:%M:%SZ")),
    )
    handler.setFormatter(logging.Formatter("%(message)s"))  # without one, `basicConfig` adds level and logger once more
    return handler
