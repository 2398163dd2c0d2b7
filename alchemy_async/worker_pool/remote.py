"""Remote: what a pool has to know of a session that a server has.

In:    a server; a local folder that may hold workers.toml.
Out:   checked settings of the session, with this machine's workers where the folder names them.
Never: gives up on a server that does not answer yet, or leaves an instrument in use until it does: what it said
       at the last start is kept in the folder, and good enough to make an instrument safe.
"""

from __future__ import annotations

import contextlib
import logging
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alchemy_async import files
from alchemy_async.client.problems import RefusedError, UnreachableError
from alchemy_async.client.transport import part
from alchemy_async.errors import FolderError, Mistake, SettingsError
from alchemy_async.queues.spool import FOLDER
from alchemy_async.worker_pool.backoff import Backoff

if TYPE_CHECKING:
    from alchemy_async.config import CampaignSettings
    from alchemy_async.queues.rest import Server

WORKERS = "workers.toml"
MAX_BYTES = 1024 * 1024
AGAIN_S = 15.0

log = logging.getLogger(__name__)


def load_session(server: Server, folder: Path, *, sleep: Callable[[float], None] = time.sleep) -> CampaignSettings:
    """Return the settings of a session, as far as workers need them.

    Where its server does not answer, they are those of the last start here; if there was none, it is waited for.

    Args:
        server: Where the session is.
        folder: The local working folder; it must exist. The ``[[workers]]`` of a
            workers.toml in it are those of this machine, in place of the session's.
        sleep: Waits between two tries.

    Raises:
        FolderError: If the folder is missing, or workers.toml can't be read.
        SettingsError: If the workers have mistakes.
        RefusedError: If the server refuses: there is no such session, or the token is not enough.
        ClientError: If the address is none.
    """
    from alchemy_async.config import check_campaign

    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder. Make it: drivers, logs and results that wait are kept there.")
    workers = _own_workers(folder)
    document = _ask(server, folder, sleep)
    source = f"session {server.session} of {server.url}"
    if workers is not None:
        document, source = document | {"workers": workers}, str(folder / WORKERS)
    return check_campaign(document, source=source).in_folder(folder)


def _ask(server: Server, folder: Path, sleep: Callable[[float], None]) -> dict[str, Any]:
    transport, again, is_told = server.transport(timeout_s=10.0), Backoff(most_s=AGAIN_S), False
    while True:
        try:
            said: dict[str, Any] = transport.call("GET", server.path("settings"))["settings"]
            _keep(_kept(folder, server), said)
            return said
        except UnreachableError as error:
            known = _read(_kept(folder, server))
            if known is not None:
                log.warning("%s Its settings of the last start are taken.", error)
                return known
            if not is_told:
                log.warning("%s Waiting for it; Ctrl-C ends this.", error)
            is_told = True
        except RefusedError as error:
            raise RefusedError(
                f"{error} See that `GET /api/v1/sessions` lists the --session, and that the token has the scope work.",
                status=error.status,
                detail=error.detail,
                kind=error.kind,
            ) from error
        sleep(again.failed())


def _kept(folder: Path, server: Server) -> Path:
    return folder / FOLDER / f"settings-{part(server.session)}.json"


def _keep(path: Path, document: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the server will say it again
        path.parent.mkdir(exist_ok=True)
        files.publish_over(path.with_suffix(".new"), path, files.dump_json(document), durable=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return files.parse_json(files.read_file(path))
    except (OSError, ValueError):
        return None


def _own_workers(folder: Path) -> list[Any] | None:
    """Return the tables ``[[workers]]`` of the folder's own file, None if there is no such file."""
    path = folder / WORKERS
    try:
        document = tomllib.loads(files.read_file(path, limit=MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error}. Check who may read it.") from error
    except ValueError as error:
        raise SettingsError(str(path), [Mistake(WORKERS, f"is not TOML: {str(error)[:100]}", _MEND)]) from None
    workers = document.pop("workers", None)
    if document or not isinstance(workers, list):
        what = f"has {next(iter(document))!r} beside workers" if document else "has no table [[workers]]"
        raise SettingsError(str(path), [Mistake(WORKERS, what, _MEND)])
    return workers


_MEND = 'Write nothing but tables [[workers]] with `name = "reactor"` and `driver = "my_lab:reaction"`.'
