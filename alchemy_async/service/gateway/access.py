"""Access: who may do what.

In:    a request's method, path, token and origin.
Out:   nothing, or the reason why it is refused.
Never: keeps a token (only its digest), or takes the page of a stranger for the person in front of it.

A server at a loopback address without any token is open to whoever works on its
machine, so that ALchemist's clients run unchanged; once there is a token, or at
any other address, a token is needed for everything but `/`, `/health`, `/ready`
and the documentation.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from alchemy_async.service.gateway.tokens import Scope, Token, Tokens
from alchemy_async.service.problems import NotAllowedError

READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SESSION = "/api/v1/sessions/([^/]+)"


@dataclass(frozen=True)
class Rule:
    """What a path needs.

    Args:
        pattern: Of the whole path; its group, if it has one, is the session.
        reads: The scope that reading needs; None: it is open to all.
        changes: The scope that anything else needs.
    """

    pattern: re.Pattern[str]
    reads: Scope | None
    changes: Scope | None


def _rule(pattern: str, reads: Scope | None, changes: Scope | None) -> Rule:
    return Rule(re.compile(pattern), reads, changes)


RULES = (
    _rule(r"/|/health|/ready|(?:/api)?/docs|(?:/api)?/openapi\.json|/api/v1/llm/config", None, Scope.ADMIN),
    _rule(r"/metrics", Scope.READ, Scope.ADMIN),
    _rule(r"(?:/api/v1)?/ws/sessions/([^/]+)", Scope.READ, Scope.ADMIN),
    # Sessions are made, taken in and taken away by who owns the server.
    _rule(r"/api/v1/sessions(?:/import|/upload)?", Scope.READ, Scope.ADMIN),
    _rule(r"/api/v1/recovery/.*", Scope.READ, Scope.ADMIN),
    _rule(_SESSION, Scope.READ, Scope.ADMIN),
    # What is studied decides what every result means.
    _rule(_SESSION + r"/(?:variables|constraints|objectives|settings|study)(?:/.*)?", Scope.READ, Scope.ADMIN),
    # These answer a question that is too long for a query.
    _rule(_SESSION + r"/(?:model/predict|acquisition/find-optimum|optimal-design/info|experiments/preview)",
          Scope.READ, Scope.READ),
    _rule(_SESSION + r"/visualizations/.*", Scope.READ, Scope.READ),
    # A driver's options may name what only its instrument should know.
    _rule(_SESSION + r"/pool(?:/.*)?", Scope.WORK, Scope.WORK),
    # The daily work.
    _rule(_SESSION + r"/(?:experiments|model|acquisition|audit|events)(?:/.*)?", Scope.READ, Scope.WORK),
    _rule(_SESSION + r"/(?:acquire|initial-design|optimal-design|split-plot-design|state|save|export|download|backup"
          r"|metadata|objective-metadata|control|lock)", Scope.READ, Scope.WORK),
)  # fmt: skip
ELSE = _rule(r".*", Scope.READ, Scope.ADMIN)
"""What a path needs that no rule speaks of."""


def rule_for(path: str) -> tuple[Rule, str]:
    """Return the rule of a path, and the session that it names, or ``""``."""
    for rule in RULES:
        found = rule.pattern.fullmatch(path)
        if found is not None:
            return rule, (found.group(1) or "") if rule.pattern.groups else ""
    return ELSE, ""


class Access:
    """Decides on each request of one server.

    Args:
        root: The folder whose sessions are served; its tokens lie there.
        host: Address that the server listens at.
        allow_origins: Web pages of other origins that may use it.

    Raises:
        AlchemyError: If the tokens can't be read.
    """

    def __init__(self, root: Path, host: str = "127.0.0.1", allow_origins: Sequence[str] = ()) -> None:
        self.tokens = Tokens(root)
        self.tokens.all()
        self._is_loopback = is_loopback(host)
        self._host = host.strip("[]").lower()
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allow_origins)
        self._allowed_hosts = {_netloc(origin) for origin in self._origins}

    def is_open(self) -> bool:
        """Tell whether no token is needed."""
        return self._is_loopback and not self.tokens.all()

    def check(self, method: str, path: str, token: str) -> str:
        """Check that whoever sends a request may; return the name of the token by which they do, ``""`` for none.

        Args:
            method: In capitals; ``GET`` for a WebSocket.
            path: As the router sees it.
            token: What came with it, or ``""``.

        Raises:
            NotAllowedError: 401 without a token that is known; 403 if its scope or session is another one.
        """
        rule, session = rule_for(path)
        needed = rule.reads if method in READING else rule.changes
        if needed is None or self.is_open():
            return ""
        found = self.tokens.find(token) if token else None
        if found is None:
            what = "That token is not known here" if token else "This server wants a token"
            raise NotAllowedError(
                f"{what}. Send `Authorization: Bearer TOKEN`; `alchemy-async token add` makes one.", status=401
            )
        self._check_scope(found, needed, session)
        return found.name

    def _check_scope(self, token: Token, needed: Scope, session: str) -> None:
        if not token.scope.allows(needed):
            raise NotAllowedError(
                f"The token {token.name!r} has the scope {token.scope}, and this needs {needed}. Ask for such a one."
            )
        if token.session and token.session != session:
            raise NotAllowedError(f"The token {token.name!r} is for the session {token.session} alone.")

    def check_host(self, host: str, server: str) -> None:
        """Check that a request without a token was meant for this server: a stranger's name may point to it.

        Args:
            host: The Host header.
            server: The address that the connection came to.

        Raises:
            NotAllowedError: If it was not.
        """
        if not _is_address_of_loopback(server) or not self.is_open():
            return
        name = _hostname(host)
        if is_name_of_loopback(name) or name == self._host or host.lower() in self._allowed_hosts:
            return
        raise NotAllowedError(
            f"This server is reached as localhost, not as {name[:80]!r}. Behind a proxy, start it with `--allow-origin "
            "https://THE-NAME`."
        )

    def check_origin(self, origin: str, host: str) -> None:
        """Check that a web page may change things here, or listen.

        Args:
            origin: The Origin header.
            host: The Host header.

        Raises:
            NotAllowedError: If the page is of another server that was not allowed.
        """
        if host and _netloc(origin) == host.lower():
            return
        if origin.rstrip("/").lower() not in self._origins:
            raise NotAllowedError(
                f"Pages of {origin[:100]!r} may not use this server. Start it with `--allow-origin` and their origin."
            )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens at an address or a name."""
    if not host.strip("[]"):  # to a socket that means every address
        return False
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_address_of_loopback(str(place[4][0])) for place in found)


def is_name_of_loopback(name: str) -> bool:
    """Tell whether a name always means this machine, whatever a name server says."""
    return name == "localhost" or name.endswith(".localhost") or _is_address_of_loopback(name)


@lru_cache(maxsize=1024)
def _is_address_of_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return host.lower()
