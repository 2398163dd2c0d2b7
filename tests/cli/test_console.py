from __future__ import annotations

import json
import logging
import sqlite3

import pytest
from typer.testing import CliRunner

from alchemy_async.cli import see
from alchemy_async.cli.commands import app
from alchemy_async.cli.console import LogFormat, set_up_logging
from alchemy_async.errors import AlreadyRunningError, LedgerError


@pytest.fixture
def failing(monkeypatch):
    """Make `status` fail with a given error."""

    def fail_with(error):
        def open_site(_folder):
            raise error

        monkeypatch.setattr(see, "open_site", open_site)

    return fail_with


@pytest.fixture
def log(capsys):
    """Return what is logged to stderr, and leave the test run's own logging as it was."""
    root, package = logging.getLogger(), logging.getLogger("alchemy_async")
    before = root.handlers[:], root.level, package.level
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level, package.level = before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (LedgerError("It is broken. Mend it."), 1, "It is broken. Mend it."),
        (AlreadyRunningError("Somebody is there."), 3, "Somebody is there."),
        (sqlite3.OperationalError("database is locked"), 1, "database is locked"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
    ],
)
def test_an_error_becomes_its_message_and_an_exit_code(failing, error, code, words):
    failing(error)

    shown = CliRunner().invoke(app, ["status"])

    assert (shown.exit_code, shown.stdout) == (code, "")
    assert words in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_traceback_is_there_for_those_who_ask(failing):
    failing(LedgerError("It is broken."))

    shown = CliRunner().invoke(app, ["-v", "status"])

    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr


def test_a_mistake_of_the_program_is_not_dressed_up_as_the_users(failing):
    failing(KeyError("oops"))

    shown = CliRunner().invoke(app, ["status"])

    assert isinstance(shown.exception, KeyError)


def test_json_log_lines_hold_time_level_message_and_traceback(log):
    set_up_logging(LogFormat.JSON, verbose=False)

    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("alchemy_async.x").exception("experiment=%s failed", "e0001")

    line = json.loads(log())
    assert (line["level"], line["logger"]) == ("error", "alchemy_async.x")
    assert line["message"] == "experiment=e0001 failed"
    assert line["at"].endswith("Z")
    assert "ValueError: bad" in line["error"]


def test_a_log_line_at_a_terminal_tells_its_level_once_and_no_logger(log, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    set_up_logging(LogFormat.TEXT, verbose=False)

    logging.getLogger("alchemy_async.x").info("ready")

    line = log()
    assert "ready" in line
    assert line.count("INFO") == 1
    assert "alchemy_async.x" not in line


@pytest.mark.parametrize(("verbose", "n_lines"), [(False, 1), (True, 2)])
def test_more_is_logged_where_asked_but_only_of_this_package(log, verbose, n_lines):
    set_up_logging(LogFormat.TEXT, verbose=verbose)

    logging.getLogger("alchemy_async.x").info("usual")
    logging.getLogger("alchemy_async.x").debug("more")
    logging.getLogger("watchdog").debug("noise")

    assert len(log().splitlines()) == n_lines
