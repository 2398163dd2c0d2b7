"""Tables: CSV files as rows of the dataset, and back.

In:    the bytes of a file, counted while they are read.
Out:   rows with the value of each cell in its variable's own type; lines of text.
Never: guesses: a cell that is no number where one is wanted is named, with its line and column.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from alchemy_async.experiment import Objective
from alchemy_async.service.definition.study import Study
from alchemy_async.service.problems import Flaw, InvalidError, ServiceError, TooMuchError
from alchemy_async.service.staged.dataset import RESERVED, noise_columns
from alchemy_async.service.staged.measures import Measured
from alchemy_async.service.staged.recording import Row
from alchemy_async.service.staged.staging import MOST_FLAWS
from alchemy_async.space import Categorical, Context, Fixed, Parameter

MOST_BYTES = 32 * 1024 * 1024
MOST_ROWS = 100_000
MOST_COLUMNS = 1000
DESIGN = "Initial Design"  # the reason of rows in a file without that column
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*\Z", re.ASCII)  # float() takes "1_0" as well
_LIKELY = ("output", "y", "target", "yield", "response")


@dataclass(frozen=True)
class Table:
    """A CSV file: its header, and the cells of each row with the row's line."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]
    digest: str


def read_table(file: BinaryIO) -> Table:
    """Read a CSV file; lines without any cell are left out.

    Raises:
        TooMuchError: If it is larger than what is read here.
        ServiceError: If it is no CSV in UTF-8, or has no header.
        InvalidError: If a row has more or fewer cells than the header.
    """
    data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise TooMuchError(f"The file has more than {MOST_BYTES} bytes. Send it in parts.")
    try:
        text = data.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        found = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except UnicodeDecodeError as error:
        raise ServiceError(f"The file is not UTF-8 (byte {error.start}). Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise ServiceError(f"The file is not CSV: {error}. Save it as CSV, with commas.") from error
    if not found:
        raise ServiceError("The file is empty: no columns to read. Send CSV with a header.")
    (_, header), rows = found[0], found[1:]
    columns = tuple(name.strip() for name in header)
    _check_shape(columns, rows)
    return Table(columns, tuple(rows), hashlib.sha256(data).hexdigest())


def _check_shape(columns: tuple[str, ...], rows: Sequence[tuple[int, list[str]]]) -> None:
    if len(rows) > MOST_ROWS or len(columns) > MOST_COLUMNS:
        what = f"{len(rows)} rows and {len(columns)} columns"
        raise TooMuchError(f"The file has {what}; at most {MOST_ROWS} and {MOST_COLUMNS} are read. Send it in parts.")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice or "" in columns:
        what = f"the column {twice[0][:60]!r} twice" if twice else "a column without a name"
        raise ServiceError(f"The file has {what}. Give each column a name of its own in the first line.")
    uneven = [(line, cells) for line, cells in rows if len(cells) != len(columns)][:MOST_FLAWS]
    if uneven:
        raise InvalidError(
            [
                Flaw(("file", f"line {line}"), f"has {len(cells)} cells, and the header has {len(columns)}")
                for line, cells in uneven
            ]
        )


def likely_target(table: Table, objectives: Sequence[str]) -> str | None:
    """Return the column that may hold what was measured; None if there is one called Output, or none is likely."""
    if "Output" in table.columns:
        return None
    for name in table.columns:
        if name in objectives or name.lower() in _LIKELY:
            return name
    for i, name in enumerate(table.columns):
        if name not in RESERVED and table.rows and all(_NUMBER.match(cells[i]) for _, cells in table.rows):
            return name
    return None


def as_rows(study: Study, table: Table, targets: Sequence[str]) -> tuple[list[Row], list[tuple[str | int, ...]]]:
    """Return the rows of a file for the dataset, and where in the file each stands.

    Args:
        study: The session's.
        table: The file.
        targets: The column of each objective, in the objectives' order.

    Raises:
        ServiceError: If a target is not there, or there are more or fewer than objectives.
        InvalidError: If a column is unknown, or a cell is no number where one is wanted.
    """
    _check_columns(study, table, targets)
    reader = _Reader(study, table, targets)
    rows = [reader.row(line, cells) for line, cells in table.rows]
    if reader.flaws:
        raise InvalidError(reader.flaws)
    return rows, [("file", f"line {line}") for line, _ in table.rows]


def _check_columns(study: Study, table: Table, targets: Sequence[str]) -> None:
    objectives = [objective.name for objective in study.objectives]
    if len(targets) != len(objectives):
        raise ServiceError(
            f"target_columns names {len(targets)} columns, and there are {len(objectives)} objectives: "
            f"{', '.join(objectives)}. Name one column for each, in this order."
        )
    missing = [name for name in targets if name not in table.columns]
    if missing:
        raise ServiceError(
            f"Target column(s) {missing!r} not found in CSV file. Available columns: {list(table.columns)!r}. "
            "Name them as target_columns."
        )
    known = {*study.space.names, *targets, *RESERVED, *noise_columns(study.objectives).values()}
    strange = [name for name in table.columns if name not in known]
    if strange:
        names = ", ".join(study.space.names)
        raise InvalidError(
            [
                Flaw(("file", name[:60]), f"is no variable or objective. The variables are {names}. Leave it out")
                for name in strange[:MOST_FLAWS]
            ]
        )


class _Reader:
    """Reads rows and keeps every flaw that it meets."""

    def __init__(self, study: Study, table: Table, targets: Sequence[str]) -> None:
        self.flaws: list[Flaw] = []
        self._at = {name: i for i, name in enumerate(table.columns)}
        self._parameters = [one for one in study.space.parameters if one.name in self._at]
        self._targets: list[tuple[Objective, str]] = list(zip(study.objectives, targets, strict=True))
        self._noises = noise_columns(study.objectives)

    def row(self, line: int, cells: Sequence[str]) -> Row:
        """Return one row; where a cell is wrong, the flaw is kept."""
        inputs = {one.name: self._value(one, line, cells[self._at[one.name]]) for one in self._parameters}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        values, variances = {}, {}
        for objective, column in self._targets:
            values[objective.name] = self._number(line, column, cells[self._at[column]]) or 0.0
            noise = self._noises[objective.name]
            if cells[self._at[noise]].strip() if noise in self._at else "":
                variances[objective.name] = self._number(line, noise, cells[self._at[noise]]) or 0.0
        reason = cells[self._at["Reason"]] if "Reason" in self._at else DESIGN
        return Row(inputs, Measured(values, variances), reason, self._iteration(line, cells))

    def _iteration(self, line: int, cells: Sequence[str]) -> int | None:
        text = cells[self._at["Iteration"]] if "Iteration" in self._at else "0"
        if not text.strip():
            return None
        number = self._number(line, "Iteration", text)
        if number is not None and not (number.is_integer() and abs(number) < 2**53):
            self._flaw(line, "Iteration", "must be a whole number")
            return None
        return None if number is None else int(number)

    def _value(self, parameter: Parameter, line: int, text: str) -> Any:  # noqa: ANN401 - a value of the variable
        bare = parameter.of if isinstance(parameter, (Fixed, Context)) else parameter
        if isinstance(bare, Categorical):
            return text if text in bare.options else text.strip()
        if not text.strip() and isinstance(parameter, (Fixed, Context)):
            return None
        return self._number(line, parameter.name, text)

    def _number(self, line: int, column: str, text: str) -> float | None:
        number = float(text) if _NUMBER.match(text) else math.nan
        if math.isfinite(number):
            return number
        shown = repr(text[:40]) if text.strip() else "empty"
        self._flaw(line, column, f"is {shown}, and must be a finite number")
        return None

    def _flaw(self, line: int, column: str, what: str) -> None:
        if len(self.flaws) < MOST_FLAWS:
            self.flaws.append(Flaw(("file", f"line {line}", column[:60]), what))


def columns(study: Study, *, has_noise: bool) -> list[str]:
    """Return the columns of the dataset as a file."""
    if study.settings is None:
        return []
    noise = list(noise_columns(study.objectives).values()) if has_noise else []
    return [*study.space.names, *(one.name for one in study.objectives), *noise, "Iteration", "Reason", "ProvenanceId"]


def as_lines(rows: Sequence[Sequence[Any]]) -> str:
    """Return lines of CSV; numbers with every digit, what is not known empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
