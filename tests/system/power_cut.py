"""Power cut: every state of a campaign that a cut at any instant of a story may leave.

In:    the steps of `disk`, the ledger's content after each commit, what people were told meanwhile.
Out:   distinct states of the folder and its ledger, each with what had been promised by then.
Never: runs code of the product. What a disk may show is `disk_model`'s; a commit of the ledger is atomic, and durable
       when it returns (`test_torn_ledger` looks at SQLite's own files).
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.disk import Step
from tests.system.disk_model import FOLDER, Disk, Entry, parent_of

LEDGER = "campaign.db"


@dataclass(frozen=True)
class Told:
    """What somebody relied on before the power failed.

    Args:
        what: ``started`` by a driver; ``reported``: its worker was told yes; ``published``: a queue that workers saw;
            ``spoiled``: an invalid result that somebody put there.
        about: The attempt; the revision; the name.
        worker: Whose.
        x: What was run; also what was measured.
    """

    what: str
    about: str
    worker: str = ""
    x: float | None = None


@dataclass(frozen=True)
class DiskState:
    """One state after a power cut.

    Args:
        entries: All of the exchange, sorted; folders have no content.
        ledger: The SQLite file; None: there is none.
        told: What had been promised.
        at: The step that the cut came before, for messages.
        is_torn: Whether a message under its final name is not what was written.
    """

    entries: tuple[Entry, ...]
    ledger: bytes | None
    told: tuple[Told, ...]
    at: str
    is_torn: bool

    def lay_out(self, folder: Path) -> None:
        """Make this state of an empty folder."""
        first: dict[int, Path] = {}
        for entry in self.entries:
            path = folder / entry.path
            if entry.file == FOLDER:
                path.mkdir()
            elif entry.file in first:
                os.link(first[entry.file], path)
            else:
                first[entry.file] = path
                path.write_bytes(entry.content)
        if self.ledger is not None:
            (folder / LEDGER).write_bytes(self.ledger)


@dataclass
class Film:
    """Watches the steps of one story and collects the states that a cut at any instant of it may leave.

    Args:
        folder: The campaign folder as it is now; all of it is durable.
    """

    folder: Path
    told: list[Told] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._disk = Disk(self.folder)
        self._states: dict[tuple[tuple[Entry, ...], bytes | None], DiskState] = {}
        self._ledgers: tuple[bytes | None, ...] = (self._read_ledger(),)

    def tell(self, *told: Told) -> None:
        """Note a promise, from this instant on."""
        self.told += told

    def take(self, step: Step) -> None:
        """Collect the states before a step, then let it happen; this is the ``after`` of `disk.watching`."""
        if self._ledgers == (None,) and (self.folder / LEDGER).exists():
            self._ledgers = (None, b"", self._read_ledger())  # its name is not durable yet
        self.names.append(step.name)
        self._collect(step.name)
        self._disk.take(step)
        if step.op == "commit":
            self._ledgers = (*self._ledgers[:-1], self._read_ledger())
        elif step.op == "fsync_folder" and step.name == "folder.fsynced":
            self._ledgers = self._ledgers[-1:]

    def refuse(self, step: Step) -> None:
        """Let a step fail."""
        self._collect(step.name)
        self._disk.refuse(step)

    def end(self) -> None:
        """Collect what a cut may leave when all has happened.

        Raises:
            ValueError: If the model is not where the real folder is: a step went by unseen.
        """
        self._collect("the end")
        shown, really = self._disk.shown(), Disk(self.folder).shown()
        if shown != really:
            raise ValueError(f"steps went by unseen: {set(shown.items()) ^ set(really.items())}")
        if self._ledgers[-1] != self._read_ledger():
            raise ValueError("a commit of the ledger went by unseen")

    @property
    def states(self) -> list[DiskState]:
        """Every distinct state of the whole story."""
        return list(self._states.values())

    def _collect(self, at: str) -> None:
        told = tuple(self.told)
        for (entries, is_torn), ledger in itertools.product(self._disk.states(), self._ledgers):
            # The same state at a later instant is the same state with more promises: the later one is the harder.
            self._states[entries, ledger] = DiskState(entries, ledger, told, at, is_torn)

    def _read_ledger(self) -> bytes | None:
        path = self.folder / LEDGER
        if not path.exists():
            return None
        with closing(sqlite3.connect(path)) as ledger:
            return ledger.serialize()


def files_of(entries: Iterable[Entry], under: str) -> dict[str, bytes]:
    """Return name and content of the files right in a folder of a state."""
    return {
        entry.path.rpartition("/")[2]: entry.content
        for entry in entries
        if entry.file != FOLDER and parent_of(entry.path) == under
    }
