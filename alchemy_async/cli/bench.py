"""Commands that measure: `bench exchange`.

In:    which parts, how many workers and jobs, a folder on the disk in question.
Out:   tables, or one JSON document.
Never: hides a figure that misses its goal, or leaves behind what it made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from alchemy_async.cli.arguments import Json
from alchemy_async.cli.console import note

_PARTS = "floor, throughput, turnaround, backlog, restart, idle, memory, start, peers"
_MOST = 900_000  # experiments of one campaign, with room for those that warm up

app = typer.Typer(no_args_is_help=True, help="Measure this installation on this machine.")


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end this command as Ctrl-C does: what it has started ends first, and its folder is taken away."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _counts(text: str) -> str:
    _as_counts(text)
    return text


def _as_counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers. Write, for example, 1,3,32.") from None
    if not all(0 < count <= _MOST for count in counts):
        raise typer.BadParameter(f"{text!r} must hold whole numbers from 1 to {_MOST}, such as 1,3,32.")
    return tuple(dict.fromkeys(counts))


def _parts(text: str) -> str:
    unknown = [part for part in _as_parts(text) if part not in _PARTS.split(", ")]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no part. Choose some of {_PARTS}.")
    return text


def _as_parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


Workers = Annotated[str, typer.Option(callback=_counts, help="Numbers of workers, for throughput and peers.")]
Jobs = Annotated[
    int, typer.Option(min=1, max=_MOST, help="No-op experiments of each of these; at least 4 for each worker.")
]
Turnarounds = Annotated[
    int, typer.Option(min=10, max=_MOST, help="No-op experiments whose turnaround is measured, with 3 workers.")
]
Backlogs = Annotated[
    str, typer.Option(callback=_counts, help="How many experiments wait in the ledger; the most also at a restart.")
]
IdleSeconds = Annotated[float, typer.Option(min=1, max=3600, help="For how long idle daemons are watched.")]
Place = Annotated[
    Path | None,
    typer.Option("--dir", metavar="D", help="Measure the disk of this folder. Without it: the current folder's."),
]
Only = Annotated[str, typer.Option(callback=_parts, help=f"Some of {_PARTS}.")]
NoPeers = Annotated[bool, typer.Option("--no-peers", help="Leave out the other programs.")]
Quick = Annotated[bool, typer.Option("--quick", help="A first look: small numbers instead of those above.")]


@app.command()
def exchange(
    workers: Workers = "1,3,32,256",
    jobs: Jobs = 1000,
    turnarounds: Turnarounds = 10_000,
    backlogs: Backlogs = "100,1000,10000,100000",
    idle_seconds: IdleSeconds = 60.0,
    folder: Place = None,
    only: Only = "",
    no_peers: NoPeers = False,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Measure floor, throughput, turnaround, backlog, restart, idle daemons and peers, side by side in one run.

    The real daemons run no-op experiments; all parts and peers take a while. What that makes is taken away again.
    """
    from alchemy_async.benchmark.exchange.run import PARTS, QUICK, Plan, run
    from alchemy_async.cli import bench_view

    wanted = _as_parts(only) or PARTS
    plan = QUICK if quick else Plan(
        workers=_as_counts(workers),
        jobs=jobs,
        turnarounds=turnarounds,
        backlogs=_as_counts(backlogs),
        idle_s=idle_seconds,
    )  # fmt: skip
    parts = tuple(part for part in PARTS if part in wanted and not (no_peers and part == "peers"))
    begun = time.monotonic()
    with ended_by_signals():
        document = run(
            dataclasses.replace(plan, parts=parts),
            folder,
            show=lambda what: note(f"{time.monotonic() - begun:6.1f} s  {what}"),
        )
    if as_json:
        typer.echo(json.dumps(document, indent=1, allow_nan=False))
    else:
        bench_view.show(document)
