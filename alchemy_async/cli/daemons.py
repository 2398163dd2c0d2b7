"""Commands that run until the campaign ends: `plan` and `work`.

In:    a campaign folder.
Out:   a log on stderr, and a summary at the end.
Never: run twice on one campaign (the rooms' locks see to that).
"""

from __future__ import annotations

from typing import Annotated

import typer

from alchemy_async.cli.arguments import HERE, Folder
from alchemy_async.cli.console import LogFormat, Verbose, set_up_logging

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
    log_format: LogFormatOption = LogFormat.TEXT,
    verbose: Verbose = False,
) -> None:
    """Run the instruments, one process each. Ctrl-C lets them finish; a second Ctrl-C stops them."""
    set_up_logging(log_format, verbose=verbose)
    from alchemy_async.worker_pool import run_pool

    raise typer.Exit(run_pool(folder.resolve(), name=name, n_workers=workers))
