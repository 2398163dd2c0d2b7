from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from alchemy_async.cli.bench_planner import planner as command
from alchemy_async.cli.console import Commands


@pytest.fixture
def shown(tmp_path):
    """Return a function that runs the command on a folder of trials."""
    app = typer.Typer(cls=Commands)
    app.command()(command)
    app.command("other")(lambda: None)

    def invoke(*arguments):
        return CliRunner().invoke(app, ["planner", "--dir", str(tmp_path), *arguments])

    return invoke
