"""Plots: regret over time with bands, and ask latency over observations.

In:    trials of several contenders.
Out:   SVG files.
Never: needs a screen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alchemy_async.benchmark.planning.problem import Record
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.benchmark.planning.trial import Key
from alchemy_async.errors import AlchemyError
from alchemy_async.space import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_N_MOMENTS = 200


class PlotError(AlchemyError):
    """The figures can't be drawn."""


def draw(records: Mapping[Key, Record], folder: Path) -> list[Path]:
    """Draw the figures of all trials on problems with one optimum where nothing fails; return the files.

    Raises:
        PlotError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError("Figures are drawn by matplotlib. Install it: pip install 'alchemy-async[bench]'.") from error
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    records = {key: record for key, record in records.items() if key.problem in PROBLEMS}
    for n_workers in sorted({key.n_workers for key in records}):
        found = {key: record for key, record in records.items() if key.n_workers == n_workers}
        problems = [name for name in PROBLEMS if any(key.problem == name for key in found)]
        for kind, plot in (("regret", _plot_regret), ("latency", _plot_latency)):
            figure = Figure(figsize=(4.2 * len(problems), 3.6), layout="constrained")
            for axes, problem in zip(figure.subplots(1, len(problems), squeeze=False)[0], problems, strict=True):
                plot(axes, problem, found)
            written.append(folder / f"planner_{kind}_{n_workers}_workers.svg")
            figure.savefig(written[-1], metadata={"Date": None})
    return written


def over_time(records: Sequence[Record], moments_s: Array, floor: float) -> Array:
    """Return the regret of each trial at each moment, shape ``(trials, moments)``; NaN before its first result.

    Args:
        records: Trials.
        moments_s: Simulated seconds, ascending, shape ``(moments,)``.
        floor: What a smaller regret is shown as.
    """
    rows = np.full((len(records), len(moments_s)), np.nan)
    for row, record in zip(rows, records, strict=True):
        last = np.searchsorted(record["t_s"], moments_s, side="right") - 1
        row[last >= 0] = np.maximum(np.asarray(record["regret_so_far"]), floor)[last[last >= 0]]
    return rows


def _plot_regret(axes: Axes, problem: str, records: Mapping[Key, Record]) -> None:
    for name, found in _by_contender(problem, records).items():
        first_s = max(record["t_s"][0] for record in found)
        moments_s = np.linspace(first_s, min(record["t_s"][-1] for record in found), _N_MOMENTS)
        low, middle, high = np.quantile(over_time(found, moments_s, PROBLEMS[problem].floor), (0.25, 0.5, 0.75), axis=0)
        (line,) = axes.plot(moments_s, middle, label=f"{name} ({len(found)})")
        axes.fill_between(moments_s, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
    axes.set(title=problem, xlabel="simulated time, s", ylabel="regret: median, 25 % to 75 %", yscale="log")
    axes.legend(fontsize="x-small")


def _plot_latency(axes: Axes, problem: str, records: Mapping[Key, Record]) -> None:
    for name, found in _by_contender(problem, records).items():
        seconds: dict[int, list[float]] = defaultdict(list)
        for record in found:
            for n, cpu_s in zip(record["asks"]["n"], record["asks"]["cpu_s"], strict=True):
                seconds[n].append(cpu_s)
        sizes = sorted(seconds)
        axes.plot(sizes, [np.median(seconds[n]) for n in sizes], label=name)
    axes.set(title=problem, xlabel="observations", ylabel="processor time of an ask, s, median", yscale="log")
    axes.legend(fontsize="x-small")


def _by_contender(problem: str, records: Mapping[Key, Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for key, record in sorted(records.items()):
        if key.problem == problem:
            found[key.contender].append(record)
    return found
