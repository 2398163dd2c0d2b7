"""Uploads: JSON files that a client sends.

In:    an uploaded file.
Out:   what it holds, as plain values.
Never: reads more than is allowed, or what means more than one thing.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from alchemy_async import files
from alchemy_async.service.problems import ServiceError, TooMuchError

_BOM = b"\xef\xbb\xbf"


def read_upload(file: BinaryIO, most_bytes: int) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return the JSON that a file holds, its bytes counted while they are read.

    Args:
        file: At its beginning.
        most_bytes: That it may have.

    Raises:
        TooMuchError: If it has more.
        ServiceError: If it is not JSON, or means more than one thing.
    """
    data = file.read(most_bytes + 1).removeprefix(_BOM)
    if len(data) > most_bytes:
        raise TooMuchError(f"The file has more than {most_bytes} bytes, which is all that is read here.")
    try:
        found = files.parse_json(b'{"file":' + data + b"}")  # a file may hold a list, a message of a folder may not
    except ValueError as error:
        raise ServiceError(f"The file {error}. Send JSON in UTF-8.") from error
    if found.keys() != {"file"}:
        raise ServiceError("The file is not JSON: something follows its end. Send JSON in UTF-8.")
    return found["file"]
