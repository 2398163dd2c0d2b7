"""All commands, as `--help` groups them.

In:    the functions of the rooms beside this one.
Out:   the program.
Never: does what a command does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from alchemy_async.cli import bench, bench_planner, bench_service, daemons, reset, see, serve, simulate, start, steer
from alchemy_async.cli.console import EPILOG, Commands, Verbose

_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Start here": (start.init, start.demo),
    "The two daemons": (daemons.plan, daemons.work),
    "Serve": (serve.serve,),
    "See": (see.status, see.explain, see.export),
    "Steer": (
        steer.stage,
        steer.pause,
        steer.resume,
        steer.drain,
        steer.requeue,
        steer.abandon,
        steer.cancel,
        steer.move,
    ),
    "Reset": (reset.clear,),
}

app = typer.Typer(
    cls=Commands, epilog=EPILOG, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.command(rich_help_panel="Measure")(simulate.simulate)
bench.app.command("planner")(bench_planner.planner)
bench.app.command("service")(bench_service.service)
app.add_typer(bench.app, name="bench", rich_help_panel="Measure")
app.add_typer(serve.app, name="token", rich_help_panel="Serve")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from alchemy_async import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Choose the next experiment while the last ones still run: a planner and a worker pool around two folders."""
