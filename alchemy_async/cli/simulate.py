"""The command that plays campaigns in simulated time: `simulate`.

In:    a campaign file, a function instead of instruments.
Out:   a table for people, JSON for programs, on stdout.
Never: sleeps, or writes beside the campaign file.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from alchemy_async.cli.arguments import Json
from alchemy_async.cli.console import note, quiet

_WIDTH = 120  # of a file or pipe, which has none of its own


def _seeds(text: str) -> str:
    from alchemy_async.simulation.seeds import parse_seeds

    try:
        parse_seeds(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} names no seeds. Write, for example, 0-7 or 1,3,5.") from None
    return text


def _latency(text: str) -> str:
    if text != "measured" and not _is_time(text):
        raise typer.BadParameter(f"{text!r} is no time. Write measured, or seconds >= 0, such as 0 or 2.5.")
    return text


def _is_time(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def _depth(text: str | None) -> str | None:
    if text is not None and text != "auto" and not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is no depth. Write auto, or a whole number >= 0.")
    return text


def _finite(number: float | None) -> float | None:
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no value that could be reached.")
    return number


def simulate(
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN.toml", help="The campaign file, or the folder that holds campaign.toml.")
    ],
    function: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            help="What is measured: a function in a file beside the campaign file, or a shipped driver such as "
            "olympus:Branin. It takes the parameters by name and returns a number or a mapping of the objectives; "
            "an experiment in which it raises has failed.",
        ),
    ],
    optimum: Annotated[
        float | None, typer.Option(callback=_finite, help="The best value that there is; without it, regret is null.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=10_000, help="How many instruments.")] = 3,
    durations: Annotated[
        str,
        typer.Option(
            help="How long an experiment takes, in seconds: SHORTEST,LONGEST; lognormal:MEAN,SD; or MODULE:NAME of a "
            "function that takes the parameters by name."
        ),
    ] = "5,30",
    budget: Annotated[
        int | None, typer.Option(min=1, help="How many experiments. Without it: as the campaign file says.")
    ] = None,
    seeds: Annotated[str, typer.Option(callback=_seeds, help="One campaign for each, such as 0-7 or 1,3,5.")] = "0",
    strategy: Annotated[
        str | None,
        typer.Option(
            help="The planner. Without it, or if it is the same: as the campaign file says, with its options."
        ),
    ] = None,
    ask_latency: Annotated[
        str,
        typer.Option(
            metavar="measured|0|SECONDS",
            callback=_latency,
            help="How much simulated time an ask costs: as long as it really takes here, none, or so many seconds.",
        ),
    ] = "0",
    sync: Annotated[
        bool, typer.Option("--sync", help="In batches: workers take experiments only when all of them are idle.")
    ] = False,
    depth: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            callback=_depth,
            help="Look-ahead: how many experiments the queue holds ready. Without it: as the campaign file says; "
            "with --sync 0.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play whole campaigns in simulated time: how many workers, async or batches, which depth, which planner?

    The planner daemon is the one that `plan` runs; only the instruments are
    simulated, and nothing sleeps. Campaigns of one seed are paired: the k-th
    experiment takes equally long whatever the planner.

    The object of --json has the key runs, a list of objects with the keys seed,
    best, regret, makespan_s, utilisation, utilisation_ideal (nobody waits for the
    planner), nearest_pending_min (distance of a chosen point to what was pending
    when it was taken), ask_s (p50 and p95, real time), trace (t_s, value and best
    so far, for each completed experiment), n_completed, n_failed (failed or
    refused) and ended (why). With several objectives they are about the first.
    """
    sys.path.append(str(Path.cwd()))  # the function may lie here instead of beside the campaign file
    from alchemy_async.simulation.campaigns import Wish
    from alchemy_async.simulation.campaigns import simulate as run
    from alchemy_async.simulation.seeds import parse_seeds

    wish = Wish(
        campaign=campaign,
        function=function,
        optimum=optimum,
        n_workers=workers,
        durations=durations,
        budget=budget,
        seeds=parse_seeds(seeds),
        strategy=strategy,
        latency_s=None if ask_latency == "measured" else float(ask_latency),
        is_synchronous=sync,
        depth=int(depth) if depth is not None and depth != "auto" else depth,
    )
    with quiet():
        document = run(wish, show=lambda one: note(_told(one)))
    if as_json:
        typer.echo(json.dumps(document, allow_nan=False))
    else:
        _show(document["runs"])


def _told(run: dict[str, Any]) -> str:
    failed = f", {run['n_failed']} failed" if run["n_failed"] else ""
    return f"seed {run['seed']}: best {_number(run['best'])}, {run['n_completed']} completed{failed}; {run['ended']}"


_COLUMNS = ("best", "regret", "makespan_s", "utilisation", "utilisation_ideal", "nearest_pending_min")


def _show(runs: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("seed")
    for head in (*_COLUMNS, "ask p50 s", "ask p95 s"):
        table.add_column(head.replace("_", " "), justify="right")
    for run in runs:
        table.add_row(str(run["seed"]), *map(_number, _row(run)))
    if len(runs) > 1:
        table.add_section()
        table.add_row("median", *(_number(_median(column)) for column in zip(*map(_row, runs), strict=True)))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def _row(run: dict[str, Any]) -> list[float | None]:
    return [*(run[key] for key in _COLUMNS), run["ask_s"]["p50"], run["ask_s"]["p95"]]


def _median(values: tuple[float | None, ...]) -> float | None:
    import statistics

    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
