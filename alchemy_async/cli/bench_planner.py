"""The command that measures planners: `bench planner`.

In:    contenders, problems, seeds, a folder with the trials that were run before.
Out:   tables for people, JSON for programs, on stdout; figures where they are wanted.
Never: runs a trial again that still holds, unless told to.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alchemy_async.cli.arguments import Json
from alchemy_async.cli.console import note, quiet

if TYPE_CHECKING:
    from rich.table import Table

_PARTS = ("trials", "front", "failing", "latency", "growth", "schedule")
_Rows = Sequence[Mapping[str, Any]]
_WIDTH = 140  # of a file or pipe, which has none of its own


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _parts(text: str) -> str:
    unknown = [part for part in _names(text) if part not in (*_PARTS, "none")]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no part. Choose some of {', '.join(_PARTS)}, or none.")
    return text


def _problems(text: str) -> str:
    if text:
        from alchemy_async.benchmark.planning.catalogue import EVERY

        unknown = [name for name in _names(text) if name not in EVERY]
        if unknown:
            raise typer.BadParameter(f"{unknown[0]!r} is no problem. Choose some of {', '.join(EVERY)}.")
    return text


def _counts(text: str) -> str:
    if not all(part.isdecimal() and 0 < int(part) <= 1000 for part in _names(text)) or not _names(text):
        raise typer.BadParameter(f"{text!r} is no list of numbers of workers. Write, for example, 3 or 3,8.")
    return text


def _seeds(text: str) -> str:
    from alchemy_async.simulation.seeds import parse_seeds

    try:
        parse_seeds(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} names no seeds. Write, for example, 0-23 or 1,3,5.") from None
    return text


def planner(
    contenders: Annotated[
        str,
        typer.Option(
            help="Some of sobol, random, optuna-tpe, optuna-gp, qlognei, ax, bayesian, bayesian-ignore; or a strategy "
            "of your own, package.module:Name. Without it: all of these, each on the problems that it is compared on."
        ),
    ] = "",
    problems: Annotated[
        str, typer.Option(callback=_problems, help="Some of the problems. Without it: all of the parts.")
    ] = "",
    workers: Annotated[str, typer.Option(callback=_counts, help="Numbers of workers, such as 3 or 3,8.")] = "3",
    seeds: Annotated[str, typer.Option(callback=_seeds, help="One trial for each, such as 100-123.")] = "100-123",
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Start no trial after so many minutes; the next run goes on.")
    ] = None,
    only: Annotated[
        str, typer.Option(callback=_parts, help=f"Some of {', '.join(_PARTS)}; none: compare what is there.")
    ] = "",
    folder: Annotated[
        Path, typer.Option("--dir", metavar="D", help="Where trials are kept, a file for each contender.")
    ] = Path("benchmarks/planner"),
    figures: Annotated[
        Path | None, typer.Option(metavar="D", help="Draw figures into this folder, as SVG; needs matplotlib.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run trials again that are kept.")] = False,
    as_json: Json = False,
) -> None:
    """Compare planners on problems with a known optimum or front, through the planner daemon in simulated time.

    Trials are paired by seed: initial design, durations and noise are those of
    all contenders. They are kept, so that a run that was broken off is gone on
    with; those of our own planner hold until its source changes. Latencies are
    measured in turns within one run. Part front has two objectives; in part
    failing, experiments fail in 40 % of the space.
    """
    sys.path.append(str(Path.cwd()))  # a planner of one's own may lie here
    from alchemy_async.benchmark.planning.catalogue import EVERY
    from alchemy_async.benchmark.planning.contenders import CONTENDERS
    from alchemy_async.benchmark.planning.document import measure
    from alchemy_async.benchmark.planning.plots import draw
    from alchemy_async.benchmark.planning.run import Wanted
    from alchemy_async.benchmark.planning.store import Store
    from alchemy_async.simulation.seeds import parse_seeds

    wanted = Wanted(
        contenders=_names(contenders) or tuple(CONTENDERS),
        problems=_names(problems) or tuple(EVERY),
        n_workers=tuple(int(count) for count in _names(workers)),
        seeds=parse_seeds(seeds),
        minutes=minutes,
        is_fresh=fresh,
    )
    store, begun = Store(folder), time.monotonic()
    with quiet():
        document = measure(
            wanted, store, _names(only) or _PARTS, show=lambda what: note(f"{time.monotonic() - begun:7.1f} s  {what}")
        )
    if figures is not None:
        keys = set(wanted.each())
        records = {key: record for key, record in store.read(wanted.contenders).items() if key in keys}
        for path in draw(records, figures):
            note(f"wrote {path}")
    if as_json:
        typer.echo(json.dumps(document, indent=1, allow_nan=False))
    else:
        show(document)


# -- tables ----------------------------------------------------------------


def show(document: Mapping[str, Any]) -> None:
    """Print all tables of a document."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    trials = document["n_trials"]
    console.print(f"{trials['there']} of {trials['wanted']} trials are there.", highlight=False)
    for one in tables(document):
        console.print(one)
    for failure in document["failures"]:
        console.print(f"not measured: {failure['what']}: {failure['why']}", style="red", markup=False)


def tables(document: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a document; a part that was not measured has none."""
    from alchemy_async.cli.bench_view import table

    found = [
        table(
            ("Problem", "workers", "planner", "trials", "regret p50", "p25", "p75", "ask wall p50 s", "p95 s",
             "CPU p50 s", "asks", "copies", "nearest pending"),
            (
                (row["problem"], row["n_workers"], row["contender"], row["n_trials"], row["regret"]["p50"],
                 row["regret"]["p25"], row["regret"]["p75"], row["ask_wall_s"]["p50"], row["ask_wall_s"]["p95"],
                 row["ask_cpu_s"]["p50"], row["n_asks"], row["n_copies"], row["nearest_pending_min"])
                for row in document["problems"]
            ),
        ),
        table(
            ("Ours against", "workers", "on", "pairs", "wins", "losses", "log10 ratio", "95 % upper bound"),
            (
                (row["peer"], row["n_workers"], row["problem"] or ("all exact" if row["is_exact"] else "all"),
                 row["n_pairs"], row["n_wins"], row["n_losses"], row["log10_ratio"], row["upper"])
                for row in document["comparisons"]
            ),
        ),
    ]  # fmt: skip
    found += [
        _TABLES[part, kind](rows) for part in ("front", "failing") for kind, rows in document[part].items() if rows
    ]
    for part, head in (("latency", "Ask, side by side"), ("growth", "Ask, many observations")):
        if document.get(part):
            found.append(_latencies(head, document[part]))
    if document.get("schedule"):
        keys = ("n_workers", "n_seeds", "utilisation", "utilisation_ratio", "speed_up")
        heads = ("Schedule, workers", "seeds", "utilisation", "of that without latency", "times quicker than batches")
        found.append(table(heads, (tuple(row[key] for key in keys) for row in document["schedule"])))
    goals = ((goal["goal"], goal["figure"], goal["limit"], _verdict(goal)) for goal in document["goals"])
    return [*found, table(("Goal", "figure", "limit", ""), goals)]


def _verdict(goal: Mapping[str, Any]) -> str:
    return "met" if goal["is_met"] else "NOT MET"


def _latencies(head: str, rows: _Rows) -> Table:
    from alchemy_async.cli.bench_view import table

    heads = (head, "n", "planner", "asks", "wall p50 ms", "p95 ms", "CPU p50 ms", "p95 ms", "first ms")
    return table(
        heads,
        (
            (row["problem"], row["n"], row["contender"], row["n_asks"], row["wall_ms"]["p50"], row["wall_ms"]["p95"],
             row["cpu_ms"]["p50"], row["cpu_ms"]["p95"], row["first_ms"])
            for row in rows
        ),
    )  # fmt: skip


def _front_problems(rows: _Rows) -> Table:
    from alchemy_async.cli.bench_view import table

    return table(
        ("Two objectives", "workers", "planner", "trials", "hypervolume p50", "p25", "p75",
         "ask wall p50 s", "p95 s", "CPU p50 s", "asks", "copies"),
        (
            (row["problem"], row["n_workers"], row["contender"], row["n_trials"], row["share"]["p50"],
             row["share"]["p25"], row["share"]["p75"], row["ask_wall_s"]["p50"], row["ask_wall_s"]["p95"],
             row["ask_cpu_s"]["p50"], row["n_asks"], row["n_copies"])
            for row in rows
        ),
    )  # fmt: skip


def _front_comparisons(rows: _Rows) -> Table:
    from alchemy_async.cli.bench_view import table

    return table(
        ("Front against", "workers", "on", "pairs", "wins", "losses", "theirs is larger by", "95 % bound",
         "pairs timed", "ask wall", "CPU, of theirs"),
        (
            (row["peer"], row["n_workers"], row["problem"] or "all", row["n_pairs"], row["n_wins"], row["n_losses"],
             row["difference"], row["upper"], row["n_timed_pairs"], row["ask_wall_ratio"], row["ask_cpu_ratio"])
            for row in rows
        ),
    )  # fmt: skip


def _failing_problems(rows: _Rows) -> Table:
    from alchemy_async.cli.bench_view import table

    return table(
        ("40 % fails", "workers", "planner", "trials", "found", "failed", "until found", "initially", "regret p50",
         "CPU p50 s", "copies"),
        (
            (row["problem"], row["n_workers"], row["contender"], row["n_trials"], row["n_found"], row["n_failed"],
             row["n_failed_until_found"], row["n_failed_initial"], row["regret"]["p50"], row["ask_cpu_s"]["p50"],
             row["n_copies"])
            for row in rows
        ),
    )  # fmt: skip


def _failing_comparisons(rows: _Rows) -> Table:
    from alchemy_async.cli.bench_view import table

    return table(
        ("Failures", "workers", "pairs", "to the end", "ignored", "ratio", "until found", "ignored", "ratio",
         "chosen", "log10", "95 % bound"),
        (
            (row["problem"] or "all", row["n_workers"], row["n_pairs"], row["n_failed"], row["n_failed_peer"],
             row["ratio"], row["n_failed_until_found"], row["n_failed_until_found_peer"], row["ratio_until_found"],
             row["ratio_chosen"], row["log10_ratio"], row["upper"])
            for row in rows
        ),
    )  # fmt: skip


_TABLES = {
    ("front", "problems"): _front_problems,
    ("front", "comparisons"): _front_comparisons,
    ("failing", "problems"): _failing_problems,
    ("failing", "comparisons"): _failing_comparisons,
}
