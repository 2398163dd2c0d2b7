"""Tables: measured rows read from a CSV, and the points in them.

In:    a CSV file and, where it has no header row, the names of its columns.
Out:   points with the mean of their replicates; nearest points.
Never: guesses a value that is not there.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from alchemy_async.errors import DriverError

if TYPE_CHECKING:
    from alchemy_async.space import Point, Value

LARGEST = 1e100  # of a number: its square stays finite; campaign.toml has the same bound


@dataclass(frozen=True)
class Row:
    """One point of a table: its parameters, and mean and standard error over its replicates."""

    parameters: Mapping[str, float | str]
    values: Mapping[str, float]
    sems: Mapping[str, float]
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text; ``lines`` are their line numbers in it."""

    source: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def rows(self, parameters: Mapping[str, bool], objectives: Sequence[str]) -> tuple[Row, ...]:
        """Return the points; lines with the same parameters are replicates of one.

        A line with an empty cell, or NaN, in a column that is wanted is left out.

        Args:
            parameters: Column of each parameter, and whether it is categorical.
            objectives: Columns of the objectives.

        Raises:
            DriverError: If a column is missing, or a cell of a number holds none.
        """
        numeric = {**{name: not is_text for name, is_text in parameters.items()}, **dict.fromkeys(objectives, True)}
        places = {name: self._place(name) for name in numeric}
        found: dict[tuple[float | str, ...], list[tuple[int, list[float]]]] = {}
        for line, cells in zip(self.lines, self.cells, strict=True):
            read = {
                name: self._number(cells[place], name, line) if numeric[name] else cells[place].strip()
                for name, place in places.items()
            }
            if any(value == "" or value is None for value in read.values()):
                continue
            key = tuple(value for name in parameters if (value := read[name]) is not None)
            measured = [number for name in objectives if isinstance(number := read[name], float)]
            found.setdefault(key, []).append((line, measured))
        return tuple(
            _row(dict(zip(parameters, key, strict=True)), objectives, replicates) for key, replicates in found.items()
        )

    def _place(self, name: str) -> int:
        if name not in self.columns:
            close = get_close_matches(name, self.columns, n=3) or self.columns
            raise DriverError(
                f"{self.source} has no column {name!r}. It has {in_words(close)}. "
                "Give parameters and objectives of the campaign the names of the columns."
            )
        return self.columns.index(name)

    def _number(self, cell: str, name: str, line: int) -> float | None:
        if not cell.strip():
            return None
        try:
            number = float(cell)
        except ValueError:
            raise DriverError(
                f"{self.source}, line {line}: {name} is {cell[:40]!r}, which is no number. "
                "Mend the cell or leave it empty; a parameter of names must be categorical in the campaign."
            ) from None
        if LARGEST < abs(number) < math.inf:
            raise DriverError(
                f"{self.source}, line {line}: {name} is {cell[:40]!r}, beyond {LARGEST:g}. "
                "Mend the cell or leave it empty; or write the column in a larger unit."
            )
        return number if math.isfinite(number) else None


def read_table(path: Path, columns: Sequence[str] | None) -> Table:
    """Read a CSV file.

    Args:
        path: The file, UTF-8, cells separated by commas.
        columns: Names of its columns; None: its first line has them.

    Raises:
        DriverError: If it can't be read, or a line has another number of cells.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            numbered = [(reader.line_num, tuple(cells)) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DriverError(
            f"{path} can't be read: {error}. Put a CSV file there (UTF-8, commas), or mend the name in `driver`."
        ) from error
    if columns is None:
        columns = [cell.strip() for cell in numbered[0][1]] if numbered else []
        numbered = numbered[1:]
    twice = sorted(name for name, n in Counter(columns).items() if n > 1)
    if not numbered or twice:
        what = f"has the column {twice[0][:40]!r} twice" if twice else "has no rows"
        raise DriverError(f"{path} {what}. Its first line names the columns, each other line is one measurement.")
    for line, cells in numbered:
        if len(cells) != len(columns):
            raise DriverError(
                f"{path}, line {line} has {len(cells)} cells, and there are {len(columns)} columns: "
                f"{in_words(columns)}. Mend the line, or the option `columns`."
            )
    return Table(str(path), tuple(columns), tuple(cells for _, cells in numbered), tuple(line for line, _ in numbered))


def in_words(names: Sequence[str]) -> str:
    """Return names, each short and in one line, as an error may list them."""
    short = [name[:40] if name.isprintable() else repr(name[:40]) for name in names[:20]]
    return ", ".join([*short, *(["..."] if len(names) > 20 else [])])


def distances(rows: Sequence[Row], point: Point) -> list[float]:
    """Return the distance of a point to each row; infinite where a category differs.

    Euclidean, each number over the range of its column.

    Args:
        rows: The points of a table, ``n`` of them.
        point: A value for each parameter of the rows.

    Returns:
        Distances, ``n`` of them, without unit.
    """
    scales: dict[str, float] = {}
    for name in point:
        column = [number for row in rows if isinstance(number := row.parameters[name], float)]
        scales[name] = (max(column) - min(column) if column else 0.0) or 1.0
    return [
        math.hypot(*(_step(row.parameters[name], value, scales[name]) for name, value in point.items())) for row in rows
    ]


def _step(measured: float | str, asked: Value, scale: float) -> float:
    if isinstance(measured, str) or isinstance(asked, str):
        return 0.0 if measured == asked else math.inf
    return (measured - asked) / scale


def _row(
    parameters: Mapping[str, float | str], objectives: Sequence[str], replicates: Sequence[tuple[int, list[float]]]
) -> Row:
    values: dict[str, float] = {}
    sems: dict[str, float] = {}
    n = len(replicates)
    for place, name in enumerate(objectives):
        measured = [numbers[place] for _, numbers in replicates]
        values[name] = math.fsum(measured) / n
        spread = math.sqrt(math.fsum((number - values[name]) ** 2 for number in measured))
        if n > 1 and spread > 1e-12 * abs(values[name]):  # equal replicates say nothing of the error
            sems[name] = spread / math.sqrt(n * (n - 1))
    return Row(parameters, values, sems, tuple(line for line, _ in replicates))
