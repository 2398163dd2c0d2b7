"""Arguments that several commands share, and what a text or number from the command line may be.

In:    texts as the shell gives them.
Out:   typed arguments; a usage error where one can't be meant.
Never: opens a folder.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

HERE = Path()


def _check_folder(folder: Path) -> Path:
    if str(folder)[:1] in "{[":
        raise typer.BadParameter(f"{str(folder)[:40]!r} is no folder. FOLDER comes first; write . for this one.")
    return folder


def _check_finite(number: float) -> float:
    if not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no number to sort by. Give a finite one, such as 1.")
    return number


def check_line(text: str) -> str:
    """Return a text that is one printable line.

    Raises:
        typer.BadParameter: If it is not, or has more than 1000 characters.
    """
    if not text.isprintable() or len(text) > 1000:
        raise typer.BadParameter(f"{text[:40]!r} must be one line of at most 1000 printable characters.")
    return text


Folder = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", callback=_check_folder, help="The campaign folder, with campaign.toml."),
]
ExperimentId = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its id, such as e0007 (see `status`).")]
Priority = Annotated[
    float,
    typer.Option(callback=_check_finite, help="The highest goes first; what the planner chooses has 0."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
