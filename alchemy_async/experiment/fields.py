"""Fields: how one field of a foreign document becomes a checked value.

In:    a document that anybody may have written.
Out:   texts, numbers, points, times and keys; or an error that names the field.
Never: guesses what was meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from alchemy_async import clock
from alchemy_async.errors import NewerFormatError, WireError
from alchemy_async.experiment.records import EXPERIMENT_ID, AttemptKey

if TYPE_CHECKING:
    from datetime import datetime

FORMAT = 1
CAMPAIGN_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
MAX_TEXT = 64 * 1024
MAX_KEYS = 1000
MAX_NAME = 64  # of a parameter or objective, as campaign.toml has it

Choice = TypeVar("Choice", bound=StrEnum)


class Document:
    """Takes the fields out of a document one by one, and refuses what is left over."""

    def __init__(self, document: Mapping[str, Any], known: tuple[str, ...]) -> None:
        form = document.get("format")
        if isinstance(form, bool) or not isinstance(form, int) or form < 1:
            raise WireError(
                f'format is {show(form)}; this is format {FORMAT}: write "format": {FORMAT}', field="format"
            )
        if form > FORMAT:
            raise NewerFormatError(
                f"format is {show(form)}, and this alchemy_async reads format {FORMAT}. Install a newer alchemy_async.",
                field="format",
            )
        unknown = sorted(set(document) - set(known) - {"format"})
        if unknown:
            raise WireError(
                f"{show(unknown[0])} is not a field of this message; it may have {', '.join(known)}",
                field=unknown[0][:60],
            )
        self._document = document

    def text(self, key: str, default: str | None = None, pattern: re.Pattern[str] | None = None) -> str:
        """Return a text."""
        value = self._document.get(key, default)
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise WireError(f"{key} is {show(value)}; it must be a text", field=key)
        if pattern is not None and not pattern.match(value):
            raise WireError(f"{key} is {show(value)}; allowed are letters, digits and -, at most 64", field=key)
        check_encodable(key, value)
        return value

    def integer(self, key: str, default: int | None = None, least: int = 0) -> int:
        """Return a whole number of at least ``least``."""
        value = self._document.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**53:
            raise WireError(f"{key} is {show(value)}; it must be a whole number from {least}", field=key)
        return value

    def number(self, key: str, default: float | None = None, least: float = -math.inf) -> float:
        """Return a finite number of at least ``least``."""
        value = _number(self._document.get(key, default))
        if value is None or value < least:
            raise WireError(f"{key} is {show(self._document.get(key))}; it must be a number", field=key)
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        value = self._document.get(key, default)
        if not isinstance(value, bool):
            raise WireError(f"{key} is {show(value)}; it must be true or false", field=key)
        return value

    def choice(self, key: str, kind: type[Choice]) -> Choice:
        """Return one of the words of ``kind``."""
        value = self._document.get(key)
        if not isinstance(value, str) or value not in set(kind):
            raise WireError(f"{key} is {show(value)}; it must be one of {', '.join(kind)}", field=key)
        return kind(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object, empty if it is missing."""
        value = self._document.get(key, {})
        if not isinstance(value, dict) or len(value) > MAX_KEYS:
            raise WireError(f"{key} is {show(value)}; it must be an object", field=key)
        for name in value:
            check_encodable(key, name)
        return value

    def numbers(self, key: str, least: float = -math.inf) -> dict[str, float]:
        """Return an object of finite numbers."""
        numbers: dict[str, float] = {}
        for name, value in self.mapping(key).items():
            _check_name(key, name)
            number = _number(value)
            if number is None or number < least:
                raise WireError(f"{key}.{name} is {show(value)}; it must be a number", field=f"{key}.{name}")
            numbers[name] = number
        return numbers

    def point(self, key: str) -> dict[str, float | int | str]:
        """Return an object of numbers and texts."""
        point: dict[str, float | int | str] = {}
        for name, value in self.mapping(key).items():
            _check_name(key, name)
            if isinstance(value, str):
                check_encodable(f"{key}.{name}", value)
                point[name] = value
            elif _number(value) is None:
                raise WireError(f"{key}.{name} is {show(value)}; it must be a number or a text", field=f"{key}.{name}")
            else:
                point[name] = value
        return point

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._document.get(key, [])
        if not isinstance(value, list) or len(value) > MAX_KEYS or not all(isinstance(item, str) for item in value):
            raise WireError(f"{key} is {show(value)}; it must be a list of texts", field=key)
        for item in value:
            check_encodable(key, item)
        return tuple(value)

    def moment(self, key: str) -> datetime:
        """Return a time, in UTC."""
        text = self.text(key)
        try:
            return clock.from_wire(text)
        except (ValueError, OverflowError):
            raise WireError(
                f"{key} is {show(text)}; it must be a UTC time such as 2026-11-22T10:33:27.000000Z", field=key
            ) from None

    def key(self) -> AttemptKey:
        """Return the attempt that the document is about."""
        experiment = self.text("experiment", pattern=EXPERIMENT_ID)
        return AttemptKey(experiment, self.integer("attempt", least=1))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _check_name(key: str, name: str) -> None:
    """Refuse what campaign.toml can't name: errors and logs quote these names as they are."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise WireError(
            f"{key} holds the name {show(name)}; a name has at most {MAX_NAME} printable characters", field=key
        )


def check_encodable(key: str, text: str) -> None:
    """Refuse half a Unicode character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise WireError(f"{key} holds half a Unicode character (a lone surrogate)", field=key) from None


def show(value: object) -> str:
    """Return a value as it may be quoted in an error."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
