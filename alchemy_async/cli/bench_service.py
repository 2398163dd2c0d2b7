"""The command that measures the service: `bench service`.

In:    which parts, how many rows, seeds and clients, an interpreter that has ALchemist.
Out:   tables for people, JSON for programs, on stdout.
Never: hides a figure that misses its goal, or leaves behind what it made.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alchemy_async.cli.arguments import Json
from alchemy_async.cli.bench import NoPeers, Place, Quick, ended_by_signals
from alchemy_async.cli.console import note

if TYPE_CHECKING:
    from rich.table import Table

_PARTS = ("start", "staged", "mixed", "suggest", "regret", "growth")
_WIDTH = 140  # of a file or pipe, which has none of its own


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _parts(text: str) -> str:
    unknown = [part for part in _names(text) if part not in _PARTS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no part. Choose some of {', '.join(_PARTS)}.")
    return text


def _seeds(text: str) -> str:
    from alchemy_async.simulation.seeds import parse_seeds

    try:
        parse_seeds(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} names no seeds. Write, for example, 0-4 or 1,3,5.") from None
    return text


def service(
    alchemist: Annotated[
        str,
        typer.Option(
            metavar="PYTHON", help="An interpreter that has alchemist-nrel 0.4.0. Without it: the one that runs this."
        ),
    ] = "",
    observations: Annotated[
        int, typer.Option(min=10, max=1_000_000, help="Rows of the session whose requests must cost no more.")
    ] = 100_000,
    seeds: Annotated[str, typer.Option(callback=_seeds, help="Studies of the regret, such as 0-4.")] = "0-4",
    clients: Annotated[int, typer.Option(min=1, max=256, help="Clients at once.")] = 8,
    folder: Place = None,
    only: Annotated[str, typer.Option(callback=_parts, help=f"Some of {', '.join(_PARTS)}.")] = "",
    no_peers: NoPeers = False,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Measure the REST service beside ALchemist's, each in its own process, in turns.

    Staging, completing, clients at once, suggestions and how near the optimum they lead, start and memory; and that
    requests cost no more in a session that holds very many rows. What that makes is taken away again.
    """
    from alchemy_async.benchmark.service.run import QUICK, Plan, run
    from alchemy_async.benchmark.service.servers import Peer
    from alchemy_async.simulation.seeds import parse_seeds

    plan = QUICK if quick else Plan(n_observations=observations, seeds=tuple(parse_seeds(seeds)), n_clients=clients)
    begun = time.monotonic()
    with ended_by_signals():
        document = run(
            dataclasses.replace(plan, parts=_names(only) or _PARTS),
            None if no_peers else Peer(alchemist or sys.executable),
            folder,
            show=lambda what: note(f"{time.monotonic() - begun:6.1f} s  {what}"),
        )
    if as_json:
        typer.echo(json.dumps(document, indent=1, allow_nan=False))
    else:
        show(document)


# -- tables ----------------------------------------------------------------


def show(document: Mapping[str, Any]) -> None:
    """Print all tables of a document."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for one in tables(document):
        console.print(one)
    for failure in document["failures"]:
        console.print(f"not measured: {failure['what']}: {failure['why']}", style="red", markup=False)
    console.print(f"{document['wall_s']:.0f} s in all.", highlight=False)


def tables(document: Mapping[str, Any]) -> list[Table]:
    """Return a table for each part that was measured, and the goals."""
    from alchemy_async.cli.bench_view import table

    found = [make(document[part]) for part, make in _TABLES.items() if document.get(part)]
    goals = (
        (goal["goal"], goal["figure"], goal["limit"], "met" if goal["is_met"] else "NOT MET")
        for goal in document["goals"]
    )
    return [*found, table(("Goal", "figure", "limit", ""), goals)]


def _each(rows: list[Mapping[str, Any]], head: str) -> Table:
    from alchemy_async.cli.bench_view import table

    heads = (head, "server", "n", "p50 ms", "p95 ms", "per s", "ours: times as quick")
    return table(
        heads,
        (
            (row["what"], name, one["n"], one["p50_ms"], one["p95_ms"], one["per_s"], row["times_quicker"])
            for row in rows
            for name, one in row["each"].items()
        ),
    )


def _staged(rows: list[Mapping[str, Any]]) -> Table:
    return _each(rows, "Requests")


def _mixed(found: Mapping[str, Any]) -> Table:
    from alchemy_async.cli.bench_view import table

    heads = (f"{found['n_clients']} clients at once", "served", "per s", "p50 ms", "p95 ms", "refused", "rows missing")
    keys = ("n", "per_s", "p50_ms", "p95_ms", "n_refused", "n_missing")
    return table(heads, ((name, *(one[key] for key in keys)) for name, one in found["each"].items()))


def _suggest(rows: list[Mapping[str, Any]]) -> Table:
    from alchemy_async.cli.bench_view import table

    heads = ("Suggestions", "server", "n", "p50 ms", "p95 ms", "CPU ms, trained", "train p50 ms",
             "ours: times as quick", "with training")  # fmt: skip
    return table(
        heads,
        (
            (row["what"], name, one["n"], one["p50_ms"], one["p95_ms"], row["cpu_ms"][name],
             row["train_p50_ms"] if name == "ALchemist" else None, row["times_quicker"],
             row["times_quicker_than_train_and_suggest"])
            for row in rows
            for name, one in row["each"].items()
        ),
    )  # fmt: skip


def _regret(found: Mapping[str, Any]) -> Table:
    from alchemy_async.cli.bench_view import table

    heads = (f"Regret on {found['problem']}", "geometric mean", *(f"seed {seed}" for seed in found["seeds"]))
    return table(heads, ((name, found["geometric_mean"][name], *regrets) for name, regrets in found["regrets"].items()))


def _start(found: Mapping[str, Any]) -> Table:
    from alchemy_async.cli.bench_view import table

    rows = ((name, one["ready_s"], one["memory_mb"]) for name, one in found["each"].items())
    return table(("Start", "to the first session, s", "PSS after a first suggestion, MB"), rows)


def _growth(rows: list[Mapping[str, Any]]) -> Table:
    from alchemy_async.cli.bench_view import table

    heads = (f"In a session of {rows[0]['n_rows']} rows", "p50 ms", "empty, p50 ms", "ratio")
    return table(heads, ((row["what"], row["full_ms"], row["empty_ms"], row["ratio"]) for row in rows))


_TABLES: dict[str, Callable[[Any], Table]] = {
    "start": _start,
    "staged": _staged,
    "mixed": _mixed,
    "suggest": _suggest,
    "regret": _regret,
    "growth": _growth,
}
