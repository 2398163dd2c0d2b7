"""The demo for people: a bar while it runs, its figures in words at the end.

In:    progress a few times a second; the report.
Out:   a live line on stderr at a terminal; sentences.
Never: measures anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from alchemy_async.benchmark.demo import Progress as DemoProgress


@contextmanager
def watching(budget: int) -> Iterator[Callable[[DemoProgress], None]]:
    """Show a bar until the block ends; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=budget)

        def show(progress: DemoProgress) -> None:
            bar.update(task, completed=progress.completed, description=_line(progress))

        yield show


def _line(progress: DemoProgress) -> str:
    if progress.stage != "running":
        return progress.stage
    best = "" if progress.best is None else f", best value {progress.best:.4g}"
    return f"{progress.running} running, {progress.queued} queued{best}"


def in_words(report: Mapping[str, Any]) -> str:
    """Return the figures of a demo as sentences."""
    lines = [
        f"{report['completed']} experiments completed in {report['wall_s']:.1f} s, {report['failed']} failed, "
        f"{report['interrupted']} interrupted; {report['lost']} lost, {report['duplicated']} measured twice.",
    ]
    if report["best"]:
        values, parameters = (_pairs(report["best"][key]) for key in ("values", "parameters"))
        lines.append(f"Best: {values} at {parameters}; {report['regret']:.3g} above the minimum of the function.")
    lines += [
        f"The workers were busy {report['utilisation']:.1%} of the time; a schedule without any gap: "
        f"{report['utilisation_ideal']:.1%}.",
        f"From a result to the next start: {_number(report['turnaround_ms']['p50'])} ms (median); publishing one file "
        f"durably takes {_number(report['publish_ms'])} ms on this disk.",
    ]
    if report["ask_s"]["p50"] is not None:
        lines.append(
            f"Asking the planner took {_number(report['ask_s']['p50'])} s (median), while the workers went on."
        )
    lines.append(f"Everything is in {report['folder']}: look with `alchemy-async status {report['folder']}`.")
    return "\n".join(lines)


def _pairs(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:.4g}" for name, value in numbers.items())


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"
