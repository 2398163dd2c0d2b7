"""Commands that run until the campaign ends: `plan` and `work`.

In:    a campaign folder; or the address of a server, and a session there.
Out:   a log on stderr, and a summary at the end.
Never: run twice on one campaign (the rooms' locks see to that).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alchemy_async import files
from alchemy_async.cli.arguments import HERE, Folder
from alchemy_async.cli.console import LogFormat, Verbose, set_up_logging

if TYPE_CHECKING:
    from alchemy_async.queues.rest import Server

TOKEN = "ALCHEMY_TOKEN"  # noqa: S105 - the name of a variable, not a token
LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="Lines for people, or JSON for programs.")]


def plan(folder: Folder = HERE, log_format: LogFormatOption = LogFormat.TEXT, verbose: Verbose = False) -> None:
    """Choose experiments and learn from results, until the campaign ends. Ctrl-C stops it; start it again to go on."""
    set_up_logging(log_format, verbose=verbose)
    from alchemy_async.planner_daemon.run import run_planner

    summary = run_planner(folder.resolve())
    if summary is not None:
        typer.echo(str(summary))


def work(
    folder: Folder = HERE,
    name: Annotated[str, typer.Option(help="Name of this pool; each machine runs one of a name.")] = "pool",
    workers: Annotated[
        int | None, typer.Option(min=1, help="So many processes instead of `count` in campaign.toml.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Work for a session of this server, such as http://lab-server:8000; FOLDER is then a local one, for "
            "drivers, logs, results that wait, and a workers.toml if this machine has workers of its own.",
        ),
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Which session; with --server.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"Holds the token that the server wants; or the variable {TOKEN} does."),
    ] = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    verbose: Verbose = False,
) -> None:
    """Run the instruments, one process each. Ctrl-C lets them finish; a second Ctrl-C stops them."""
    set_up_logging(log_format, verbose=verbose)
    where = _server(server, session, token_file)
    from alchemy_async.worker_pool import run_pool

    raise typer.Exit(run_pool(folder.resolve(), name=name, n_workers=workers, server=where))


def _server(url: str | None, session: str | None, token_file: Path | None) -> Server | None:
    if (url is None) != (session is None) or (url is None and token_file is not None):
        raise typer.BadParameter("--server URL and --session ID go together; --token-file goes with them.")
    if url is None or session is None:
        return None
    from alchemy_async.queues.rest import Server

    server = Server(url, session, _token(token_file))
    server.transport()  # an address that is none is refused before anything begins
    return server


def _token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(TOKEN, "").strip() or None
    return files.read_file(path, limit=10_000).decode(errors="replace").strip()
