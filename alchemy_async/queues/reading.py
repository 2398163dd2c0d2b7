"""Reading: one message from a file that anybody may have put there.

In:    a path.
Out:   its bytes, or its strict JSON; an error that says what is wrong with the file itself.
Never: follows a link, waits for a FIFO, or mistakes a sick disk for a bad message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from alchemy_async.errors import WireError
from alchemy_async.files import MAX_BYTES, NotRegularFileError, StrPath, TooLargeError, parse_json, read_file

Message = TypeVar("Message")


def read_message(path: StrPath, *, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a message.

    Raises:
        FileNotFoundError: If there is none.
        WireError: If what lies there can't be a message.
        OSError: If the disk refuses: the message may be good.
    """
    try:
        return read_file(path, limit=limit)
    except NotRegularFileError:
        raise WireError("it is a link, folder, pipe or device; a message must be a regular file") from None
    except TooLargeError:
        raise WireError(
            f"it is larger than {limit} bytes; keep large measurements in a file of their own and name it in metadata"
        ) from None
    except PermissionError:
        raise WireError("it may not be read; give the planner and the workers the right to read it") from None


def parse_message(data: bytes) -> dict[str, Any]:
    """Return the document that the bytes hold.

    Raises:
        WireError: If they hold none.
    """
    try:
        return parse_json(data)
    except ValueError as error:
        raise WireError(f"it {error}") from None


class LatestMessages(Generic[Message]):
    """Reads files that are renamed over, and parses one again only when its bytes changed.

    Bytes are compared, not times: two revisions may fall within one tick of a
    file system's clock, and a share may show old attributes for seconds.

    Args:
        parse: Turns a document into a checked message.
        limit: Bytes that such a message may have.
    """

    def __init__(self, parse: Callable[[Mapping[str, Any]], Message], *, limit: int = MAX_BYTES) -> None:
        self._parse = parse
        self._limit = limit
        self._known: dict[str, tuple[bytes, Message]] = {}

    def read(self, path: str) -> Message:
        """Return the message that lies there now.

        Raises:
            FileNotFoundError: If there is none.
            WireError: If what lies there is not valid.
            OSError: If the disk refuses.
        """
        data = read_message(path, limit=self._limit)
        known = self._known.get(path)
        if known is not None and known[0] == data:
            return known[1]
        message = self._parse(parse_message(data))
        self._known[path] = (data, message)
        return message

    def keep_only(self, paths: Iterable[str]) -> None:
        """Forget every other file."""
        kept = set(paths)
        self._known = {path: known for path, known in self._known.items() if path in kept}
