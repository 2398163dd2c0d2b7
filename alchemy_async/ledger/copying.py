"""Copying: the whole of a ledger as lines of JSON or as another file, and a ledger made of such rows.

In:    a ledger's file; rows that somebody has checked.
Out:   the rows of each table, as they were at one moment; a ledger that goes on where the other one stood.
Never: holds up whoever writes meanwhile, or makes half a ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alchemy_async.clock import Clock, to_wire
from alchemy_async.errors import LedgerError
from alchemy_async.experiment import State
from alchemy_async.ledger import rows, schema
from alchemy_async.ledger.ledger import Ledger
from alchemy_async.ledger.reading import Reader
from alchemy_async.space import Value

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "experiments": (
        "number",
        ("number", "id", "state", "parameters", "attempt", "priority", "origin", "reason", "iteration", "pinned",
         "requires", "is_cancelling", "metadata", "added_at"),
    ),
    "attempts": (
        "experiment, attempt",
        ("experiment", "attempt", "state", "parameters", "worker", "instance", "host", "pid", "idempotent",
         "claimed_at", "ending", "lease_s", "beat"),
    ),
    "points": ("rowid", ("experiment", "parameters")),
    "outcomes": (
        "id",
        ("id", "experiment", "attempt", "worker", "status", "role", "parameters", "measured", "sems", "started_at",
         "finished_at", "error_kind", "error_message", "metadata", "digest", "recorded_at"),
    ),
    "corrections": ("id", ("id", "outcome", "at", "who", "why", "is_outlier", "measured", "sems")),
    "events": ("seq", ("seq", "at", "kind", "experiment", "attempt", "details")),
    "asks": ("id", ("id", "at", "n", "n_observations", "n_pending", "seconds")),
}  # fmt: skip
"""What is copied: the columns of each table, and the order of its rows. Tallies and counters follow from them."""

JSON_COLUMNS = frozenset({"parameters", "requires", "metadata", "measured", "sems", "details"})
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Snapshot(Reader):
    """A ledger as it is at one moment, whatever is written meanwhile; one thread at a time may use it."""

    def lines(self, table: str) -> Iterator[str]:
        """Yield the rows of a table, each as a JSON object; what is kept as JSON goes in as it is.

        Args:
            table: One of ``TABLES``.
        """
        order, columns = TABLES[table]
        encode = _ENCODER.encode
        shown = [(f"{', ' if i else ''}{encode(key)}: ", key in JSON_COLUMNS) for i, key in enumerate(columns)]
        for row in self._db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):  # noqa: S608 - constants
            parts = [
                key + (value if is_json else encode(value)) for (key, is_json), value in zip(shown, row, strict=True)
            ]
            yield f"{{{''.join(parts)}}}"


def values_of(ledger: Reader, name: str) -> Iterator[tuple[str, Value]]:
    """Yield every value that a parameter was chosen or run with, each with its experiment.

    What was withdrawn before anybody had it is left out.
    """
    path = f"$.{_ENCODER.encode(name)}"
    found = ledger._db.execute(
        "SELECT id, json_extract(parameters, ?1) AS value FROM experiments WHERE value IS NOT NULL AND (state <> ?2"
        " OR EXISTS (SELECT 1 FROM attempts WHERE experiment = experiments.id AND worker <> ''))"
        " UNION ALL SELECT experiment, json_extract(parameters, ?1) AS value FROM outcomes WHERE value IS NOT NULL",
        (path, str(State.CANCELLED)),
    )
    return ((row[0], row[1]) for row in found)


@contextmanager
def snapshot(path: Path) -> Iterator[Snapshot]:
    """Open a ledger for reading, as it is now.

    Raises:
        LedgerError: If there is none, or it can't be read.
    """
    connection = schema.connect(path, create=False, shared=True)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM meta").fetchone()  # what is read later is of this moment
        yield Snapshot(connection)
    finally:
        connection.close()


def copy(path: Path, to: Path) -> None:
    """Copy a ledger as it is now, while others write; durable.

    Args:
        path: The ledger.
        to: Where there is none.

    Raises:
        LedgerError: If there is none, or it can't be read.
    """
    with (
        contextlib.closing(schema.connect(path, create=False)) as source,
        contextlib.closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)
    with to.open("rb") as file:
        os.fsync(file.fileno())


def renew(path: Path, clock: Clock) -> None:
    """Make a copy of a ledger another campaign, which goes on by itself.

    What was running is interrupted: whoever has it reports to the original.

    Raises:
        LedgerError: If it can't be read.
    """
    with Ledger.open(path, clock=clock) as ledger, ledger.change() as change:
        change.set_meta(campaign=f"{ledger.meta('name')}-{secrets.token_hex(4)}")
        for attempt in ledger.held():
            change.interrupt(attempt.key, "the campaign was copied: whoever runs this reports to the original")
        change.note("restored")


def rebuild(
    path: Path,
    *,
    name: str,
    study: Mapping[str, Any],
    tables: Mapping[str, Iterable[Mapping[str, Any]]],
    meta: Mapping[str, str],
    n_starts: int,
    clock: Clock,
) -> None:
    """Make a ledger of rows; it is another campaign, which goes on by itself.

    Args:
        path: Where there is none.
        name: The campaign's name.
        study: What it holds results of.
        tables: Rows of ``TABLES``, which fit one another.
        meta: What else is true of the whole campaign.
        n_starts: How many experiments were started.
        clock: For the time of its making.

    Raises:
        LedgerError: If the rows contradict one another; there is no ledger then.
    """
    connection = schema.connect(path, create=True)
    try:
        with Ledger(connection, clock).change() as change:
            campaign = f"{name}-{secrets.token_hex(4)}"
            first = {"created_at": to_wire(clock.now()), "wanted": "running"}
            change.set_meta(campaign=campaign, name=name, study=json.dumps(study), **{**first, **meta})
            for table, (_, columns) in TABLES.items():
                _fill(connection, table, columns, tables.get(table, ()))
            connection.execute("UPDATE tallies SET n = ? WHERE name = 'starts'", (n_starts,))
    except sqlite3.IntegrityError as error:
        connection.close()
        path.unlink()
        raise LedgerError(
            f"The rows contradict one another ({error}): the file was changed since it was exported. Export it anew."
        ) from error
    finally:
        connection.close()


def _fill(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], found: Iterable[Mapping[str, Any]]
) -> None:
    marks = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - constants
        ([rows.to_text(row[key]) if key in JSON_COLUMNS else row[key] for key in columns] for row in found),
    )
