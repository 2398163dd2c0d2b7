"""Locking: a notice of who works on a session, which keeps nobody out.

In:    who says so; the token that was told to him.
Out:   the notice.
Never: keeps the token itself, or refuses anybody's work.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any

from alchemy_async.clock import to_wire
from alchemy_async.ledger import Ledger
from alchemy_async.service.problems import NotAllowedError
from alchemy_async.service.staged.desk import Turn

_FREE: dict[str, Any] = {"locked": False, "locked_by": None, "locked_at": None, "lock_token": None}


def locked(ledger: Ledger) -> dict[str, Any]:
    """Return the notice, without its token."""
    notice = json.loads(ledger.meta("lock") or "null")
    if notice is None:
        return dict(_FREE)
    return {"locked": True, "locked_by": notice["by"], "locked_at": notice["at"], "lock_token": None}


def lock(turn: Turn, by: str, client_id: str | None) -> dict[str, Any]:
    """Put up a notice, in place of any other; return it with its token."""
    token = str(uuid.uuid4())
    at = to_wire(turn.now)
    notice = {"by": by, "at": at, "client_id": client_id, "token": _digest(token)}
    turn.change.set_meta(lock=json.dumps(notice))
    turn.change.note("lock_status_changed", locked=True, locked_by=by, locked_at=at)
    return {"locked": True, "locked_by": by, "locked_at": at, "lock_token": token}


def unlock(turn: Turn, token: str | None) -> dict[str, Any]:
    """Take the notice down.

    Args:
        turn: The transaction.
        token: As `lock` told it; None: whosever it is.

    Raises:
        NotAllowedError: If the token is another notice's.
    """
    notice = json.loads(turn.ledger.meta("lock") or "null")
    if notice is None:
        return dict(_FREE)
    if token is not None and not hmac.compare_digest(_digest(token), notice["token"]):
        raise NotAllowedError("Invalid lock token: the notice is another one. Leave the token out to take it down.")
    turn.change.set_meta(lock=None)
    turn.change.note("lock_status_changed", locked=False, locked_by=None, locked_at=None)
    return dict(_FREE)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
