"""Translate: what pydantic found wrong, as mistakes that a chemist can mend.

In:    the errors of one validation.
Out:   a mistake each: path, what, mend; and the place of each in the document.
Never: decides what is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from alchemy_async.config.base import Settings, show, toml
from alchemy_async.config.campaign import LISTS, TABLES, header
from alchemy_async.errors import Mistake

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]
"""The keys and list indices that lead to a value of the document."""

_WANTED = {
    "string_type": "a text, in quotes",
    "string_unicode": "a text of whole Unicode characters",
    "int_type": "a whole number, without quotes or a decimal point",
    "float_type": "a number, without quotes",
    "finite_number": "a finite number",
    "bool_type": "true or false, in small letters and without quotes",
    "tuple_type": "a list, in square brackets",
    "dict_type": "a table, in braces",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "literal_error": "one of {expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def translate(error: ErrorDetails) -> Mistake:
    """Return an error of ``CampaignSettings`` as a mistake."""
    at, table, key = _locate(error)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "mistake":
        return Mistake(path_text(at[:-1] if context["of_table"] else at), context["what"], context["mend"])
    path, example = path_text(at), _example(table, key)
    if kind == "extra_forbidden":
        return Mistake(path, "is not a setting", _name_another(key, table))
    if kind == "missing":
        return Mistake(path, "is missing", f"Add {example}.")
    if kind == "too_long":
        return Mistake(path, f"has more than {context['max_length']} entries", "Leave some out.")
    wanted = _WANTED[kind].format(**context).replace("'", '"').removesuffix(".0") if kind in _WANTED else error["msg"]
    what = f"is {show(error['input'])}, but must be {wanted}"
    return Mistake(path, what, _near(error["input"], context) or f"Write {example}.")


def place(error: ErrorDetails) -> Place:
    """Return where in the document an error is."""
    return _locate(error)[0]


def path_text(at: Place) -> str:
    """Return a place as people write it: ``parameters[0].bounds``."""
    text = ""
    for step in at:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", step) else show(step)
            text += f".{key}" if text else key
    return text


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a question that offers the nearest known word, or an empty text."""
    lower = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), list(lower), n=1)
    return f"Did you mean `{path_text((lower[near[0]],))}`?" if near else ""


def _locate(error: ErrorDetails) -> tuple[Place, type[Settings], str]:
    """Return where an error is: its place, the model of its table, and its key there."""
    steps = error["loc"]
    if steps[-1] == "[key]" and error["type"].startswith("string"):  # so pydantic marks a key that is wrong in itself
        steps = steps[:-1]
    keys = tuple(step for step in steps if isinstance(step, str))
    at = steps[:2] + steps[3:] if keys[0] == "parameters" else steps  # behind its index stands a parameter's type
    n = next(n for n in (2, 1, 0) if keys[:n] in TABLES and n < len(keys))
    return at, TABLES[keys[:n]], keys[n]


def _name_another(key: str, table: type[Settings]) -> str:
    known = list(table.model_fields)
    return did_you_mean(key, known) or f"Leave it out; the settings here are {', '.join(known)}."


def _near(value: object, context: dict[str, Any]) -> str:
    choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    return did_you_mean(value, choices) if isinstance(value, str) else ""


def _example(table: type[Settings], key: str) -> str:
    if table is TABLES[()]:
        brackets = " (two brackets on each side)" if key in LISTS else ""
        return f"a section that begins with the line `{header(key)}`{brackets}"
    field = table.model_fields.get(key)
    return f"for example `{key} = {toml(field.examples[0])}`" if field and field.examples else "another value"
