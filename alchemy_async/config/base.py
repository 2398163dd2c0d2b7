"""Base: what the settings models of every room share.

In:    values as TOML or JSON has them.
Out:   one strict, frozen model class; texts, names and numbers with their rules; errors in plain English.
Never: guesses: "5" is no number, 1 is not true.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")

LARGEST = 1e100  # so that a product of a number and a coefficient stays finite
LARGEST_INTEGER = 2**53  # whole numbers up to here survive JSON and floating point
MAX_NAME = 64


class Settings(BaseModel):
    """Base of every settings model: frozen, without coercion, and an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def wrong(what: str, mend: str, *, of_table: bool = False) -> PydanticCustomError:
    """Return the error that a validator raises.

    Args:
        what: What is wrong, as the rest of a sentence that begins with the key.
        mend: How to mend it, a sentence.
        of_table: True if the whole table is to blame rather than this key.
    """
    return PydanticCustomError("mistake", "{what}", {"what": what, "mend": mend, "of_table": of_table})


def show(value: object) -> str:
    """Return a value as a person would name it, never longer than a line."""
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=not value.isprintable())
        return text if len(text) <= 60 else text[:57] + '..."'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a whole number of more than 18 digits"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a table" if isinstance(value, dict) else f"{value}"


def toml(value: object) -> str:
    """Return a plain value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).removesuffix(".0")


def _check_line(text: str) -> str:
    if not text.isprintable() or len(text) > 200:
        raise wrong(
            f"is {show(text)}, but must be one line of at most 200 printable characters",
            "Leave out line breaks and tabs.",
        )
    return text


def _check_word(text: str) -> str:
    _check_line(text)
    if not text or text != text.strip():
        raise wrong(f"is {show(text)}, which is empty or has spaces at its ends", "Write the text without them.")
    return text


def _check_name(name: str) -> str:
    letter_first = name[:1].isalpha() or name[:1] == "_"
    if not letter_first or not name.isprintable() or name != name.strip() or len(name) > MAX_NAME:
        raise wrong(
            f"is {show(name)}, which can't be a name",
            f"Begin it with a letter, end it without a space, and use at most {MAX_NAME} printable characters.",
        )
    return name


def check_id(text: str, *, allowed: str, in_words: str, longest: int) -> str:
    """Return a text that may become part of a file name.

    Raises:
        PydanticCustomError: If it is empty, too long or has other characters.
    """
    if re.fullmatch(f"[{allowed}]{{1,{longest}}}", text):
        return text
    better = re.sub(f"[^{allowed}]+", "-", text).strip("-")[:longest]
    hint = f" such as {show(better)}" if better else ""
    raise wrong(f"is {show(text)}, which can't be an id", f"Write 1 to {longest} {in_words}{hint}.")


def _check_some(value: object) -> object:
    if isinstance(value, (list, tuple, dict)) and not value:
        raise wrong("is empty", "Give at least one.")
    return value


Several = Annotated[tuple[T, ...], Field(strict=False)]  # TOML and JSON have lists; a frozen model keeps tuples
NotEmpty = BeforeValidator(_check_some)  # looks before the entries are judged: a faulty one is an entry, too
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Whole = Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
Line = Annotated[str, AfterValidator(_check_line)]
Word = Annotated[str, AfterValidator(_check_word)]
Name = Annotated[str, AfterValidator(_check_name)]


def _check_free_value(value: object) -> object:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
    if not is_number and not isinstance(value, str):
        raise wrong(
            f"is {show(value)}, but must be a number or a text", "Give the value that the parameter shall have."
        )
    return value


FreeValue = Annotated[Any, AfterValidator(_check_free_value)]
"""A number or a text whose fit only the parameter itself can judge."""
