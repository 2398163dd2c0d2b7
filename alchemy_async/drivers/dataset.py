"""Datasets as instruments: real measurements, looked up or interpolated.

In:    ``dataset:suzuki`` (one of the ten that Olympus ships) or ``dataset:results.csv``, and its options.
Out:   a driver whose measurement comes from the rows of the table.
Never: imports Olympus, numpy or pandas; copies or changes the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from alchemy_async.drivers import Context, Measured
from alchemy_async.drivers.durations import Durations
from alchemy_async.drivers.surfaces import olympus_folder
from alchemy_async.drivers.table import Row, Table, distances, in_words, read_table
from alchemy_async.errors import DriverError, LimitError
from alchemy_async.experiment import Observation

if TYPE_CHECKING:
    from alchemy_async.space import Point, Value

DATASETS = (
    "alkox", "benzylation", "colors_bob", "colors_n9", "fullerenes", "hplc", "photo_pce10", "photo_wf3", "snar",
    "suzuki",
)  # fmt: skip
MODES = ("nearest", "exact", "interpolate")
_NEIGHBOURS = 5
_SAME = 1e-9  # of a column's range: rounding, not another point


def driver(
    name: str,
    *,
    folder: Path,
    mode: str = "nearest",
    objective: str | None = None,
    columns: Sequence[str] | None = None,
    durations: Sequence[float] | None = None,
    seed: int | None = None,
) -> DatasetDriver:
    """Return a driver that measures by looking into a table.

    Parameters and objectives of the campaign are found by the names of the
    columns. Lines with equal parameters are replicates: their mean is measured,
    and its standard error where they differ.

    Args:
        name: One of ``DATASETS``, or a CSV file with a header row, relative to
            the campaign folder. (The names that Olympus gives the columns of
            ``alkox`` are those of ``snar``; ``columns`` can give better ones.)
        folder: The campaign folder.
        mode: ``nearest``: the nearest row, each number over the range of its
            column, categories equal; its parameters are reported as run.
            ``exact``: that row or none. ``interpolate``: the mean of the five
            nearest points, weighted by the inverse square of their distances.
        objective: Column that is measured, where the only objective of the
            campaign has another name; None: the column of its name, else the
            one that the dataset calls its measurement.
        columns: Names of the columns of a file without a header row.
        durations: Shortest and longest time of a measurement in seconds, drawn
            anew for each attempt; None: no time passes.
        seed: Seed of the durations; None: fresh entropy.

    Raises:
        DriverError: If there is no such dataset, or an option is wrong.

    Source:
        D. Shepard (1968), A two-dimensional interpolation function for
        irregularly-spaced data, Proc. 23rd ACM National Conference, 517-524.
    """
    if mode not in MODES:
        raise DriverError(f"mode = {mode!r} is none of the three. Write one of {', '.join(MODES)}.")
    if name not in DATASETS and not name.endswith(".csv"):
        close = get_close_matches(name.lower(), DATASETS, n=3) or DATASETS
        raise DriverError(
            f"there is no dataset {name!r}. Name one of {', '.join(close)}, or a file whose name ends in .csv."
        )
    return DatasetDriver(name, folder, mode, objective, columns, Durations(durations, seed))


class DatasetDriver:
    """A table of measurements behind ``measure``; `driver` describes the options."""

    idempotent = True

    def __init__(
        self,
        name: str,
        folder: Path,
        mode: str,
        objective: str | None,
        columns: Sequence[str] | None,
        durations: Durations,
    ) -> None:
        self._name = name
        self._folder = folder
        self._mode = mode
        self._objective = objective
        self._columns = columns
        self._durations = durations
        self._table: Table | None = None
        self._shipped_parameters: tuple[str, ...] = ()
        self._rows: dict[tuple[object, ...], tuple[Row, ...]] = {}

    def connect(self) -> None:
        """Read the table.

        Raises:
            DriverError: If it can't be read.
        """
        self.table()

    def measure(self, parameters: Point, context: Context) -> Measured:
        """Return what the table has for a point.

        Raises:
            LimitError: If it has nothing: no row with these categories, or in
                mode ``exact`` no such row.
            DriverError: If a parameter or objective is no column of it.
            StoppedError: If somebody asked to stop meanwhile.
        """
        table = self.table()
        columns = self._measured_columns(table, parameters, context.objectives or ("value",))
        rows = self._rows_of(table, parameters, tuple(columns.values()))
        observation = self._look_up(rows, parameters, columns)
        self._durations.spend(context)
        return observation

    def table(self) -> Table:
        """Return the table; it is read once.

        Raises:
            DriverError: If it can't be read.
        """
        if self._table is not None:
            return self._table
        if self._name not in DATASETS:
            self._table = read_table(self._folder / self._name, self._columns)
            return self._table
        place = olympus_folder() / "datasets" / f"dataset_{self._name}"
        try:
            config = json.loads((place / "config.json").read_text(encoding="utf-8"))
            names = [column["name"] for kind in ("parameters", "measurements") for column in config[kind]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DriverError(
                f"the dataset {self._name} can't be read from {place}: {error}. Install olymp==0.0.1b0 anew."
            ) from error
        self._table = read_table(place / "data.csv", self._columns or names)
        n_measured = len(config["measurements"])
        self._shipped_parameters = self._table.columns[:-n_measured]
        return self._table

    def _measured_columns(self, table: Table, parameters: Point, objectives: Sequence[str]) -> dict[str, str]:
        """Return the column of each objective."""
        left = [name for name in table.columns if name not in (self._shipped_parameters or parameters)]
        if len(objectives) == 1:
            only = objectives[0]
            if self._objective is not None:
                return {only: self._objective}
            if only not in table.columns and len(left) == 1:
                return {only: left[0]}
        missing = [name for name in objectives if name not in left]
        if missing:
            raise DriverError(
                f"{table.source} has no column for the objective {missing[0]!r}; it could be {in_words(left)}. "
                'Give the objective that name, or the worker\'s options: objective = "...".'
            )
        return {name: name for name in objectives}

    def _rows_of(self, table: Table, parameters: Point, columns: tuple[str, ...]) -> tuple[Row, ...]:
        absent = [name for name in self._shipped_parameters if name not in parameters]
        if absent:
            raise DriverError(
                f"the dataset {self._name} was measured over {', '.join(self._shipped_parameters)}, and the campaign "
                f"has no {', '.join(absent)}. Add it to the parameters."
            )
        is_text = {name: isinstance(value, str) for name, value in parameters.items()}
        key = (*is_text.items(), columns)
        if key not in self._rows:
            self._rows[key] = table.rows(is_text, columns)
        if not self._rows[key]:
            raise DriverError(f"{table.source} has no line with {', '.join((*parameters, *columns))} all filled in.")
        return self._rows[key]

    def _look_up(self, rows: Sequence[Row], parameters: Point, columns: dict[str, str]) -> Observation:
        away = distances(rows, parameters)
        order = sorted((i for i in range(len(rows)) if away[i] < math.inf), key=away.__getitem__)
        if not order:
            texts = {name: value for name, value in parameters.items() if isinstance(value, str)}
            raise LimitError(f"{self._name} has no row with {texts}. Take those options out of the campaign.")
        nearest = rows[order[0]]
        if self._mode == "exact" and away[order[0]] > _SAME:
            raise LimitError(
                f"{self._name} has no row at {dict(parameters)}; the nearest is {dict(nearest.parameters)}. "
                'Make the parameters discrete with its values, or write mode = "nearest".'
            )
        if self._mode == "interpolate" and away[order[0]] > _SAME:
            near = order[:_NEIGHBOURS]
            values = _weighted(rows, near, [(away[order[0]] / away[i]) ** 2 for i in near], columns)
            return Observation(values, metadata={"lines": [line for i in near for line in rows[i].lines]})
        return Observation(
            {name: nearest.values[column] for name, column in columns.items()},
            sems={name: nearest.sems[column] for name, column in columns.items() if column in nearest.sems},
            parameters={name: _like(value, nearest.parameters[name]) for name, value in parameters.items()},
            metadata={"lines": list(nearest.lines)},
        )


def _weighted(
    rows: Sequence[Row], near: Sequence[int], weights: Sequence[float], columns: dict[str, str]
) -> dict[str, float]:
    return {
        name: math.fsum(weight * rows[i].values[column] for i, weight in zip(near, weights, strict=True))
        / math.fsum(weights)
        for name, column in columns.items()
    }


def _like(asked: Value, measured: float | str) -> Value:
    """Return a cell as an integer where one was asked for and it is one."""
    if isinstance(asked, int) and isinstance(measured, float) and measured.is_integer():
        return int(measured)
    return measured
