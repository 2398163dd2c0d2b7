"""Load: from campaign.toml to settings, or to every mistake in it at once.

In:    a campaign folder, or a document of plain values.
Out:   ``CampaignSettings``; or one error that lists all mistakes.
Never: writes, or goes on with half a file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alchemy_async import files
from alchemy_async.config.campaign import CampaignSettings
from alchemy_async.config.checks import CHECKS
from alchemy_async.config.draft import Draft, repair, spoil
from alchemy_async.config.translate import place, translate
from alchemy_async.errors import FolderError, Mistake, SettingsError

FILE = "campaign.toml"
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 16

_SYNTAX = (
    (r"(?i)overwrite|declare|mutate|namespace", "Write each key and each [section] once, and [[section]] for a list."),
    (r"Expected '='", "Write `key = value`; a comment begins with #."),
    (
        r"(?i)newline or end of document",
        "Write one `key = value` a line; put texts in quotes; a number has a point, not a comma.",
    ),
    (
        r"(?i)invalid value",
        'Put a text in quotes ("..."); write true or false in small letters, and 0.5 rather than .5.',
    ),
    (
        r"""(?i)illegal character|expected ("'|'")""",
        "End the text with the quote that it began with, on the same line.",
    ),
    (r"(?i)escape|hex value|scalar", "Write a path in single quotes ('C:\\data'), or double each backslash."),
    (r"(?i)unclosed|expected '\]", "Close every bracket that was opened."),
)


def load_campaign(folder: Path) -> CampaignSettings:
    """Read and check ``campaign.toml`` of a campaign folder.

    Raises:
        FolderError: If the file is missing or can't be read.
        SettingsError: If it has mistakes; all of them at once, or the first of its syntax.
    """
    path = folder / FILE
    return check_campaign(_parse(_read(path), str(path)), source=str(path)).in_folder(folder)


def check_campaign(document: Mapping[str, Any], *, source: str = FILE) -> CampaignSettings:
    """Check a document and return the settings that it says.

    Args:
        document: Plain values, as TOML or JSON has them.
        source: What to call the document in an error.

    Raises:
        SettingsError: If it has mistakes; all of them at once.
    """
    if not _is_shallow(document):
        mistake = Mistake(source, f"is nested deeper than {MAX_DEPTH} levels", "Take tables out of one another.")
        raise SettingsError(source, [mistake])
    mended, mistakes = repair(document)
    settings, places = None, []
    try:
        settings = CampaignSettings.model_validate(mended)
    except ValidationError as error:
        details = error.errors(include_url=False)
        mistakes += [translate(detail) for detail in details]
        places = [place(detail) for detail in details]
    draft = Draft(spoil(mended, places), stated=mended)
    mistakes += [mistake for check in CHECKS for mistake in check(draft)]
    if mistakes or settings is None:
        raise SettingsError(source, sorted(dict.fromkeys(mistakes), key=_section))
    return settings


def _section(mistake: Mistake) -> tuple[int, int]:
    found = re.match(r"(\w+)(?:\[(\d+)\])?", mistake.path)
    name, index = found.groups() if found else ("", None)
    order = list(CampaignSettings.model_fields)
    return (order.index(name) if name in order else len(order), int(index or 0))


def _read(path: Path) -> bytes:
    folder = path.parent
    try:
        return files.read_file(Path(os.path.realpath(path)), limit=MAX_BYTES)  # a link to the file is as good as a file
    except (FileNotFoundError, NotADirectoryError):
        what = f"{folder} holds no {FILE}" if folder.is_dir() else f"{folder} is not a folder"
        raise FolderError(f"{what}. `alchemy-async init {folder}` makes one.") from None
    except files.NotRegularFileError:
        raise FolderError(f"{path} is a folder or a device, not a file. Move it away and write a file.") from None
    except files.TooLargeError:
        mistake = Mistake(FILE, "has more than 1 MB", "Keep measured values out of it; a driver can read them itself.")
        raise SettingsError(str(path), [mistake]) from None
    except OSError as error:
        raise FolderError(f"{path} can't be read: {error.strerror}. Check who may read it.") from error


def _parse(data: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mend = "Save the file as UTF-8 (in Notepad: Save as, Encoding)."
        mistake = Mistake(f"line {line}", "is not UTF-8", mend)
    except RecursionError:
        mistake = Mistake(FILE, "is nested too deeply", "Take lists out of one another.")
    except ValueError as error:  # TOMLDecodeError, and a number with thousands of digits
        mistake = _syntax_mistake(str(error))
    raise SettingsError(source, [mistake])


def _syntax_mistake(message: str) -> Mistake:
    found = re.fullmatch(r"(.*) \(at (line \d+, column \d+|end of document)\)", message, re.DOTALL)
    what, where = found.groups() if found else (message, FILE)
    mend = next(
        (mend for pattern, mend in _SYNTAX if re.search(pattern, what)),
        "Compare it with what `alchemy-async init` writes.",
    )
    return Mistake(where, f"is not TOML: {what[:100]}", mend)


def _is_shallow(document: Mapping[str, Any]) -> bool:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        tables = [value.values() if isinstance(value, dict) else value for value in level]
        level = [item for values in tables for item in values if isinstance(item, (dict, list))]
    return not level
