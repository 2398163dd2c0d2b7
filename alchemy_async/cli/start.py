"""Commands to begin with: `init` and `demo`.

In:    a folder.
Out:   a campaign that can be run; or one that has run before your eyes.
Never: overwrites a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from alchemy_async.cli.arguments import HERE, Folder, Json
from alchemy_async.cli.console import Code
from alchemy_async.errors import FolderError


def init(
    folder: Folder = HERE,
    example: Annotated[
        str | None,
        typer.Option(help="Write a campaign that runs as it is: branin (simulated) or suzuki (real chemistry)."),
    ] = None,
) -> None:
    """Write a commented campaign.toml and a driver to begin with."""
    from alchemy_async.config.templates import STARTER, starter, template

    texts = {"campaign.toml": template(example)}
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file, and a campaign is a folder. Name another place.")
    for name in ("pickup", "dump"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if example is None and not (folder / STARTER).exists():
        texts[STARTER] = starter()
    for name, text in texts.items():
        _write_new(folder / name, text)
    where = "" if folder == HERE else f" {folder}"
    edit = "" if example else f"Next: edit {' and '.join(str(folder / name) for name in texts)}. "
    typer.echo(f"Wrote {' and '.join(texts)} in {folder.resolve()}.")
    typer.echo(f"{edit}Then, in two terminals:\n  alchemy-async plan{where}\n  alchemy-async work{where}")


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FolderError(
            f"{path} exists already, and `init` overwrites nothing. Edit it, or name another folder."
        ) from None


def _span(text: str) -> str:
    try:
        shortest, longest = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not two numbers. Write, for example, 0.5,3.") from None
    if not 0 <= shortest <= longest < 1e6:
        raise typer.BadParameter(f"{text!r} must be the shortest and the longest time in seconds, such as 0.5,3.")
    return text


def demo(
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="D", help="Run here; may exist if empty. Without it: a new folder.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="How many experiments.")] = 20,
    workers: Annotated[int, typer.Option(min=1, help="How many simulated instruments.")] = 3,
    durations: Annotated[
        str, typer.Option(callback=_span, help="Shortest and longest time of an experiment, in seconds.")
    ] = "0.5,3",
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of every random choice.")] = None,
    as_json: Json = False,
) -> None:
    """Run both daemons on a simulated instrument, show what happens, and measure it."""
    from alchemy_async.benchmark.demo import run_demo
    from alchemy_async.cli import demo_view

    shortest, longest = (float(part) for part in durations.split(","))
    with demo_view.watching(budget) as show:
        report = run_demo(folder, budget=budget, workers=workers, durations=(shortest, longest), seed=seed, show=show)
    typer.echo(json.dumps(report) if as_json else demo_view.in_words(report))
    if report["completed"] != budget or report["lost"] or report["duplicated"]:
        raise typer.Exit(Code.FAILED)
