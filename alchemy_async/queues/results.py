"""Results: reading and judging what workers, and anybody else, put into ``dump/``.

In:    every entry whose name claims to be a result.
Out:   valid results; spoiled ones, once they have not changed for half a second.
Never: moves or removes anything, knows the ledger, or reads more in one go than its bounds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from alchemy_async.errors import WireError
from alchemy_async.experiment.records import AttemptKey
from alchemy_async.experiment.wire import Result
from alchemy_async.files import MAX_BYTES
from alchemy_async.queues import Delivery, Spoiled
from alchemy_async.queues.layout import is_result_name, parse_result_name
from alchemy_async.queues.reading import parse_message, read_message

if TYPE_CHECKING:
    from alchemy_async.clock import Clock
    from alchemy_async.queues.layout import Layout

UNCHANGED_S = 0.5  # what does not change for so long is not being written
MAX_READ = 1000  # files read in one look, so that 30,000 don't hold the loop up
READ_S = 0.05  # after which what is left waits for the next look: claims are looked for, and the queue filled, between
MAX_READ_BYTES = 4 * MAX_BYTES  # of all files in one look: parsed JSON takes up to 20 times its size
MAX_SPOILED = 200  # each costs the caller two fsyncs


class Signature(NamedTuple):
    """What changes when a file is written or replaced; ``changed_ns`` also moves with its links."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Signature:
        """Return the signature of what ``lstat`` found."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_same_content(self, other: Signature) -> bool:
        """Return whether nothing but the number of links may have changed."""
        return self[:3] == other[:3]


@dataclass(frozen=True)
class Look:
    """What one look into ``dump/`` brought; ``again_in_s`` is None if no further look is needed.

    ``n_waiting`` were seen and left for the next look.
    """

    deliveries: tuple[Delivery, ...]
    spoiled: tuple[Spoiled, ...]
    again_in_s: float | None
    n_waiting: int = 0


@dataclass(frozen=True)
class _Suspect:
    signature: Signature
    since_s: float
    spoiled: Spoiled


class ResultReader:
    """Judges the entries of ``dump/``.

    Args:
        layout: The campaign folder.
        campaign: Results of another one are spoiled.
        clock: Says how long a file has not changed.
    """

    def __init__(self, layout: Layout, campaign: str, clock: Clock) -> None:
        self._layout = layout
        self._campaign = campaign
        self._clock = clock
        self._suspects: dict[str, _Suspect] = {}
        self._read_as: dict[str, Signature] = {}

    def look(self, first: Collection[AttemptKey]) -> Look:
        """Read ``dump/`` once, the results of ``first`` before all others.

        Raises:
            OSError: If the disk refuses.
        """
        began_s = self._clock.monotonic()
        names = self._list(first)
        listed_s = self._clock.monotonic()
        until_s = listed_s + max(READ_S, 3 * (listed_s - began_s))  # a long list is not made for a few files
        present = set(names)
        self._suspects = {name: suspect for name, suspect in self._suspects.items() if name in present}
        self._read_as = {name: signature for name, signature in self._read_as.items() if name in present}
        deliveries: list[Delivery] = []
        spoiled: list[Spoiled] = []
        waits_s: list[float] = []
        n_read = n_bytes = n_waiting = 0
        for place, name in enumerate(names):
            if n_read >= MAX_READ or n_bytes >= MAX_READ_BYTES or (n_read and self._clock.monotonic() > until_s):
                waits_s.append(0.0)
                n_waiting = len(names) - place
                break
            signature = self._sign(name)
            suspect = self._suspects.get(name)
            if signature is not None and (suspect is None or suspect.signature != signature):
                n_read += 1
                n_bytes += min(signature.size, MAX_BYTES)
                suspect = self._read(name, signature, deliveries)
            if signature is None or suspect is None:
                continue
            remaining_s = suspect.since_s + UNCHANGED_S - self._clock.monotonic()
            if remaining_s <= 0 and len(spoiled) < MAX_SPOILED:
                spoiled.append(suspect.spoiled)
            else:
                waits_s.append(max(remaining_s, 0.0))
        deliveries.sort(key=lambda delivery: (delivery.result.outcome.finished_at, delivery.name))
        return Look(tuple(deliveries), tuple(spoiled), min(waits_s, default=None), n_waiting)

    def is_as_read(self, name: str) -> bool:
        """Return whether an entry is still what the last look judged (or gone, or never looked at)."""
        judged, present = self._read_as.get(name), self._sign(name)
        return judged is None or present is None or judged.is_same_content(present)

    def _list(self, first: Collection[AttemptKey]) -> list[str]:
        with os.scandir(self._layout.dump) as entries:
            names = [entry.name for entry in entries if is_result_name(entry.name)]
        endings = {f"{key}.json" for key in first}  # what follows the last underscore of a valid name
        names.sort(key=lambda name: name.rpartition("_")[2] not in endings)
        return names

    def _sign(self, name: str) -> Signature | None:
        try:
            return Signature.of(os.lstat(self._layout.entry(name)))
        except FileNotFoundError:
            return None

    def _read(self, name: str, signature: Signature, deliveries: list[Delivery]) -> _Suspect | None:
        """Add a valid result to ``deliveries``, or return what is suspect about it."""
        self._suspects.pop(name, None)
        self._read_as[name] = signature
        try:
            deliveries.append(self._judge(name))
        except FileNotFoundError:
            pass
        except WireError as error:
            suspect = _Suspect(signature, self._clock.monotonic(), Spoiled(name, str(error), *_whose(name)))
            self._suspects[name] = suspect
            return suspect
        return None

    def _judge(self, name: str) -> Delivery:
        whose = parse_result_name(name)
        data = read_message(self._layout.entry(name))
        result = Result.from_wire(parse_message(data))
        if result.campaign != self._campaign:
            raise WireError(
                f"campaign is {result.campaign!r}; this folder belongs to {self._campaign!r}. "
                "Move the file into the dump/ of the campaign that it names"
            )
        if (result.worker, result.key) != whose:
            raise WireError(
                f"the name says {whose[0]} and {whose[1]}, the content says {result.worker} and {result.key}; "
                "they must agree"
            )
        return Delivery(name, result, hashlib.sha256(data).hexdigest())


def _whose(name: str) -> tuple[str, AttemptKey | None]:
    try:
        return parse_result_name(name)
    except WireError:
        return "", None
