"""Tokens: who may use a server, as its root folder remembers them.

In:    a root folder; tokens as clients send them.
Out:   what each may do; each token once, when it is made.
Never: writes a token down, or lets the time that a comparison takes tell anything about one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from alchemy_async import files, locks
from alchemy_async.clock import Clock, SystemClock, to_wire
from alchemy_async.errors import FolderError
from alchemy_async.service.problems import UnknownError

PREFIX = "alchemy_"  # so that whoever finds one in a file knows what it is
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_Stat = tuple[int, int, int]


class Scope(StrEnum):
    """What a token is good for; each includes those before it."""

    READ = "read"
    WORK = "work"
    ADMIN = "admin"

    def allows(self, needed: Scope) -> bool:
        """Tell whether this scope is enough."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class Token:
    """A token without its text: its name, what it is good for, and its digest."""

    name: str
    scope: Scope
    session: str
    created_at: str
    digest: str


class Tokens:
    """The tokens of one root folder; those who use it see at once what another process adds or revokes.

    Args:
        root: The folder whose sessions are served.
        clock: For the times at which they are made.
    """

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self._path = root / ".tokens.json"
        self._clock = clock or SystemClock()
        self._read: tuple[_Stat | None, tuple[Token, ...]] | None = None

    def all(self) -> tuple[Token, ...]:
        """Return all that there are, oldest first.

        Raises:
            FolderError: If the file can't be read, or is damaged: then nobody is let in.
        """
        stamp = self._stamp()
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, () if stamp is None else self._load())
        return self._read[1]

    def find(self, text: str) -> Token | None:
        """Return the token that a client sent, or None; takes as long for a wrong one as for a right one."""
        digest = _digest(text)
        found = None
        for token in self.all():
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def add(self, scope: Scope, *, name: str, session: str = "") -> str:
        """Make a token, and return its text, which is not kept.

        Args:
            scope: What it is good for.
            name: What people call it; unique.
            session: The one session that it is for; ``""``: all.

        Raises:
            FolderError: If the name can't be given, or the file can't be written.
        """
        if not _NAME.match(name):
            raise FolderError(f"{name[:60]!r} is no name for a token. Take 1 to 64 letters, digits, -, _ or dots.")
        text = PREFIX + secrets.token_urlsafe(32)
        with self._alone():
            known = self.all()
            if any(token.name == name for token in known):
                raise FolderError(f"There is a token {name!r} already. Take another name, or revoke that one.")
            made = Token(name, scope, session, to_wire(self._clock.now()), _digest(text))
            self._write((*known, made))
        return text

    def revoke(self, name: str) -> Token:
        """Take a token away; who sends it is refused from that moment.

        Raises:
            UnknownError: If there is none of that name.
            FolderError: If the file can't be written.
        """
        with self._alone():
            known = self.all()
            gone = next((token for token in known if token.name == name), None)
            if gone is None:
                raise UnknownError(f"There is no token {name[:60]!r}. `alchemy-async token list` shows all.")
            self._write(tuple(token for token in known if token is not gone))
        return gone

    # -- the file ----------------------------------------------------------

    def _alone(self) -> locks.Lock:
        return locks.hold(
            self._path.with_name(".tokens.lock"), what="The tokens are being changed by another process",
            mend="Try again.",
        )  # fmt: skip

    def _stamp(self) -> _Stat | None:
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _load(self) -> tuple[Token, ...]:
        try:
            document = files.parse_json(files.read_file(self._path))
            return tuple(_from_wire(one) for one in document["tokens"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FolderError(
                f"{self._path} can't be read: {error}. Nobody is let in until it can be. Restore it, or take it away "
                "and make tokens anew."
            ) from error

    def _write(self, tokens: tuple[Token, ...]) -> None:
        data = files.dump_json({"format": 1, "tokens": [_to_wire(token) for token in tokens]})
        staging = self._path.with_name(f".tokens.{os.getpid()}.tmp")
        try:
            staging.unlink(missing_ok=True)
            os.close(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # nobody else reads it, ever
            files.publish_over(staging, self._path, data, durable=True)
        except OSError as error:
            raise FolderError(
                f"{self._path} can't be written: {error.strerror or error}. Nothing was changed. Give this user the "
                "right to write there."
            ) from error
        self._read = None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _to_wire(token: Token) -> dict[str, Any]:
    return {
        "name": token.name, "scope": str(token.scope), "session": token.session, "created_at": token.created_at,
        "sha256": token.digest,
    }  # fmt: skip


def _from_wire(one: dict[str, Any]) -> Token:
    digest = str(one["sha256"])
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError("a digest is damaged")
    return Token(str(one["name"]), Scope(one["scope"]), str(one["session"]), str(one["created_at"]), digest)
