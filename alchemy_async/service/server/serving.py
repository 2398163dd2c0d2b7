"""Serving: one server for one root folder, from its start to its orderly end.

In:    settings; Ctrl-C or SIGTERM.
Out:   a listening server, and a line that says where.
Never: runs twice on one root, or opens a root without tokens to other machines.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from alchemy_async import locks
from alchemy_async.errors import FolderError
from alchemy_async.service.context import Service, ServiceSettings, make_service
from alchemy_async.service.gateway.access import is_loopback
from alchemy_async.service.gateway.connections import Guarded
from alchemy_async.service.gateway.tokens import Tokens
from alchemy_async.service.problems import NotAllowedError
from alchemy_async.service.routers.root import DOCS
from alchemy_async.service.server.app import create_app

log = logging.getLogger(__name__)

_FAREWELL_S = 5  # that requests in progress have to end
_IDLE_S = 75  # that a connection is kept for a next request; clients that come every minute find it open
_MESSAGE_BYTES = 64 * 1024  # that a WebSocket may send: nobody reads it
_BACKLOG = 1024


def run_service(settings: ServiceSettings, say: Callable[[str], None]) -> None:
    """Serve a root folder until a signal ends it.

    Args:
        settings: How.
        say: Tells a person where the server is, once it is ready.

    Raises:
        NotAllowedError: If other machines could reach it, and there is no token.
        AlreadyRunningError: If the root is served already.
        FolderError: If the root can't be used, or the address can't be listened at.
    """
    root = settings.root
    check_exposure(settings)
    with _signals() as stop:
        root.mkdir(parents=True, exist_ok=True)
        mend = "Use that server, stop it (Ctrl-C), or serve another folder with --root."
        with (
            locks.hold(root / ".service.lock", what=f"{root} is served already", mend=mend),
            _listening(settings.host, settings.port) as listener,
        ):
            service = make_service(settings)
            try:
                server = _Server(_config(service), service, say)
                stop.server = server
                if not stop.is_wanted:
                    server.run(sockets=[listener])
            finally:
                service.close()
    log.info("the server has ended; what is staged, claimed and measured is in the ledgers")


def check_exposure(settings: ServiceSettings) -> None:
    """Check that a server which other machines can reach wants a token, and that its root is no campaign itself.

    Raises:
        NotAllowedError: If nobody has made a token.
        FolderError: If the root is a campaign's own folder, or its tokens can't be read.
    """
    root = settings.root
    if (root / "campaign.toml").is_file():
        raise FolderError(
            f"{root} is a campaign itself, and a server serves the campaigns in the folders below its root. Serve the "
            "folder that holds it: --root .."
        )
    if not is_loopback(settings.host) and not Tokens(root).all():
        raise NotAllowedError(
            f"{settings.host} can be reached from other machines, and {root} has no token: anybody there could read "
            f"and change everything. Make one with `alchemy-async token add --root {root} --name me --scope admin`, or "
            "leave out --host."
        )


def _config(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(service), http=Guarded, ws="websockets-sansio", ws_max_size=_MESSAGE_BYTES, lifespan="on",
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=_FAREWELL_S, timeout_keep_alive=_IDLE_S,
    )  # fmt: skip


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        bare = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Only sockets that say they are TCP are let send small answers at once; else each would wait for 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=bare.detach())
    except (OSError, UnicodeError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise FolderError(
            f"{host} port {port} can't be listened at: {why}. Give another one with --port, or see who has it."
        ) from error
    with listener:
        yield listener


class _Server(uvicorn.Server):
    """A server that says when it is ready, and that tells those who watch when it ends."""

    def __init__(self, config: uvicorn.Config, service: Service, say: Callable[[str], None]) -> None:
        super().__init__(config)
        self._service, self._say = service, say
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            for line in _greeting(self._service, sockets[0]):
                self._say(line)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.farewell()
        await asyncio.sleep(0)  # those who wait hear of it before their connections are closed
        await super().shutdown(sockets)


def _greeting(service: Service, listener: socket.socket) -> Iterator[str]:
    host, port = listener.getsockname()[:2]
    n = len(service.sessions.ids())
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    yield f"alchemy_async serves {n} session{'' if n == 1 else 's'} of {service.sessions.root} at {url}"
    yield f"Operations: {url}{DOCS}. Ctrl-C ends it."
    if service.access.is_open():
        yield "Whoever works on this machine may use it; `alchemy-async token add` makes it want a token."


class _Stop:
    """Whether a signal came before there was a server that could heed it."""

    def __init__(self) -> None:
        self.is_wanted = False
        self.server: uvicorn.Server | None = None

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        self.is_wanted = True
        if self.server is not None:
            self.server.should_exit = True


@contextmanager
def _signals() -> Iterator[_Stop]:
    """Let SIGINT and SIGTERM end the server in order; uvicorn raises them once more after its own end."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
