"""Draft: what can be relied on in a document that has mistakes.

In:    a document of plain values, right or wrong.
Out:   its tables with every faulty value marked, so that checks across tables go on with the rest.
Never: lets one mistake hide another, or follows one up with a second.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from alchemy_async.config.base import show
from alchemy_async.config.campaign import LISTS, PARAMETER_TYPES, TABLES, header
from alchemy_async.config.space_settings import ParameterSettings
from alchemy_async.config.translate import Place, path_text
from alchemy_async.errors import Mistake

_SECTIONS = {keys[0] for keys in TABLES if keys}
_PARAMETER: TypeAdapter[ParameterSettings] = TypeAdapter(ParameterSettings)


@dataclass(frozen=True)
class Draft:
    """A document in which ``None``, which TOML does not have, stands for each faulty value."""

    document: Mapping[str, Any]
    stated: Mapping[str, Any]

    def table(self, *keys: str) -> dict[str, Any]:
        """Return a table, empty if it is missing or faulty."""
        found: Any = self.document
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def tables(self, section: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the tables of a section that are tables, each with its index."""
        return _tables(self.document, section)

    def names(self, section: str) -> list[tuple[int, str]]:
        """Return the names in a section as they are written, even those that break a rule."""
        pairs = ((i, table.get("name")) for i, table in _tables(self.stated, section))
        return [(i, name) for i, name in pairs if isinstance(name, str)]

    @cached_property
    def parameters(self) -> dict[str, ParameterSettings]:
        """The parameters without a mistake, by name."""
        sound = {}
        for _, table in self.tables("parameters"):
            try:
                parameter = _PARAMETER.validate_python({k: v for k, v in table.items() if v is not None})
            except ValidationError:  # told already
                continue
            sound[parameter.name] = parameter
        return sound


def _tables(document: Mapping[str, Any], section: str) -> Iterator[tuple[int, dict[str, Any]]]:
    found = document.get(section)
    for i, table in enumerate(found if isinstance(found, list) else []):
        if isinstance(table, dict):
            yield i, table


def repair(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """Mend, in a copy, what would keep whole tables from being checked.

    That is a section with the wrong brackets, and a parameter whose type is
    missing or unknown (the nearest is taken).

    Returns:
        The mended copy, and a mistake for each thing mended.
    """
    mended: dict[str, Any] = copy.deepcopy(dict(document))
    mistakes = []
    for section in sorted(_SECTIONS & mended.keys()):
        value, is_list = mended[section], section in LISTS
        if is_list and isinstance(value, dict):
            mended[section] = [value]
        elif not is_list and isinstance(value, list) and len(value) == 1:
            mended[section] = value[0]
        else:
            continue
        what = (
            "stands in single brackets, but may occur more than once"
            if is_list
            else "stands in double brackets, but occurs once only"
        )
        mistakes.append(Mistake(section, what, f"Begin it with the line `{header(section)}`."))
    for i, table in _tables(mended, "parameters"):
        given = table.get("type")
        if not isinstance(given, str) or given not in PARAMETER_TYPES:
            table["type"] = _guess_type(table)
            what = f"is {show(given)}, which is no type of parameter" if "type" in table and given else "is missing"
            mend = f'Write `type = "{table["type"]}"`; the types are {", ".join(PARAMETER_TYPES)}.'
            mistakes.append(Mistake(path_text(("parameters", i, "type")), what, mend))
    return mended, mistakes


def _guess_type(table: Mapping[str, Any]) -> str:
    given = table.get("type")
    near = get_close_matches(given.casefold() if isinstance(given, str) else "", PARAMETER_TYPES, n=1)
    if near:
        return near[0]
    if "options" in table:
        return "categorical"
    return "discrete" if "values" in table else "continuous"


def spoil(document: Mapping[str, Any], places: list[Place]) -> dict[str, Any]:
    """Return a copy of a document with ``None`` in place of each faulty value."""
    spoiled: dict[str, Any] = copy.deepcopy(dict(document))
    for at in places:
        parent: Any = spoiled
        for step in at[:-1]:
            parent = _step(parent, step)
        if _step(parent, at[-1]) is not None:
            parent[at[-1]] = None
    return spoiled


def _step(parent: object, step: str | int) -> object:
    if isinstance(parent, dict):
        return parent.get(step)
    return parent[step] if isinstance(parent, list) and isinstance(step, int) and step < len(parent) else None
