"""The ledger as a whole: opening it, and opening a change.

In:    the path of an SQLite file on a local disk.
Out:   whatever `Reader` reads; a `Change` within one durable transaction.
Never: changes anything outside `change`.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from alchemy_async.clock import Clock, SystemClock, to_wire
from alchemy_async.errors import LedgerError
from alchemy_async.ledger import schema
from alchemy_async.ledger.change import Change
from alchemy_async.ledger.reading import Reader


class Ledger(Reader):
    """The durable record of one campaign.

    One object belongs to one thread, or if it is ``shared`` to one at a time. Any
    number of processes may read, and short-lived ones may write, while the planner daemon runs.

    Args:
        connection: An open connection, as `schema.connect` makes it.
        clock: For the times of events.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock | None = None) -> None:
        super().__init__(connection)
        self._clock = clock or SystemClock()

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        name: str,
        study: Mapping[str, Any],
        durable: bool = True,
        clock: Clock | None = None,
        shared: bool = False,
    ) -> Self:
        """Open the ledger of a campaign, and begin it if there is none.

        Args:
            path: The SQLite file.
            name: The campaign's name.
            study: What may not change once there are results: parameters, objectives, constraints.
            durable: Whether each change waits for the disk; without it a power cut may lose the last ones.
            clock: For the times of events.
            shared: Whether several threads use it, one at a time.

        Raises:
            LedgerError: If it can't be opened, or belongs to another study.
        """
        ledger = cls(schema.connect(path, create=True, durable=durable, shared=shared), clock)
        with ledger._closed_on_error(path):
            ledger._begin(path, name, study)
        return ledger

    @classmethod
    def open(cls, path: Path, *, durable: bool = True, clock: Clock | None = None, shared: bool = False) -> Self:
        """Open a ledger that exists, whatever study it belongs to.

        Raises:
            LedgerError: If there is none, or it can't be read.
        """
        ledger = cls(schema.connect(path, create=False, durable=durable, shared=shared), clock)
        with ledger._closed_on_error(path):
            if ledger.meta("campaign") is None:
                raise LedgerError(f"{path} is empty: the campaign was never started. `alchemy-async plan` starts it.")
        return ledger

    @contextmanager
    def _closed_on_error(self, path: Path) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError:  # a full or busy disk: the ledger may be good
            self.close()
            raise
        except sqlite3.DatabaseError as error:
            self.close()
            raise LedgerError(schema.unreadable(path, error)) from error
        except BaseException:
            self.close()
            raise

    def _begin(self, path: Path, name: str, study: Mapping[str, Any]) -> None:
        with self.change() as change:
            if self.meta("campaign") is None:
                campaign = f"{name}-{secrets.token_hex(4)}"
                created = to_wire(self._clock.now())
                change.set_meta(
                    campaign=campaign, name=name, study=json.dumps(study), created_at=created, wanted="running"
                )
                change.note("created", name=name)
        if self.meta("name") != name or json.loads(self.meta("study") or "{}") != json.loads(json.dumps(study)):
            raise LedgerError(
                f"{path} holds the campaign {self.meta('name')!r} with other parameters, objectives or constraints "
                "than campaign.toml now says, so its results can't be compared. Put campaign.toml back, or start over "
                "with `alchemy-async clear` (which archives the ledger), or use another folder."
            )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def change(self, *, waits: bool = True) -> Iterator[Change]:
        """Open a transaction; all of it is durable when the block ends, or none of it happened.

        Args:
            waits: Whether the end waits for the disk; without, a power cut may take it back.
        """
        if not waits:
            with self._hasty(), self.change() as change:
                yield change
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield Change(self._db, self._clock)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _hasty(self) -> Iterator[None]:
        """Let a commit be in memory alone for a while."""
        before = int(self._db.execute("PRAGMA synchronous").fetchone()[0])
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._db.execute(f"PRAGMA synchronous = {before}")


def planner_lock(path: Path) -> Path:
    """Return the lock that whoever plans from this ledger holds; ``planner.lock`` beside ``campaign.db``."""
    return path.with_name("planner.lock" if path.name == "campaign.db" else f"{path.stem}.planner.lock")
