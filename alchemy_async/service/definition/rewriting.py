"""Rewriting: a TOML text made to say something else, with a person's comments left where they are.

In:    the text, and a document of plain values.
Out:   a text that says that document, and differs as little as can be.
Never: returns a text that says anything else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Item, Table

Tables = MutableMapping[str, Any]


def rewrite(text: str, document: Mapping[str, Any]) -> str:
    """Return a TOML text that says ``document``.

    Comments, order and spacing of ``text`` stay where tomlkit can keep them; if
    it can't, the text is written afresh.

    Args:
        text: What there is; empty: nothing.
        document: What is to be said.
    """
    wanted = {key: value for key, value in document.items() if value != []}
    try:
        parsed = tomlkit.parse(text if text.endswith("\n") or not text else text + "\n")
        _sync(parsed, wanted)
        changed = tomlkit.dumps(parsed)
        if _says(changed, wanted):
            return changed
    except (TOMLKitError, KeyError, IndexError, ValueError, TypeError, AttributeError):
        pass  # a layout that tomlkit can't edit: what is said matters more than how
    afresh = tomlkit.document()
    _sync(afresh, wanted)
    return tomlkit.dumps(afresh)


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    return _is_same(tomllib.loads(text), wanted)


def _is_same(a: object, b: object) -> bool:
    """Tell whether two plain values are one, types included: 1, 1.0 and true are three values."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_is_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_is_same, a, b))
    return type(a) is type(b) and a == b


def _plain(value: object) -> object:
    return value.unwrap() if hasattr(value, "unwrap") else value


def _sync(table: Tables, wanted: Mapping[str, Any]) -> None:
    """Make a table say what is wanted, key by key; what is right already is not touched."""
    for key in [key for key in table if key not in wanted]:
        del table[key]
    for key, value in wanted.items():
        present = table.get(key)
        if present is None:
            table[key] = _item(value, is_top=not isinstance(table, (Table, InlineTable)))
        elif _is_same(_plain(present), value):
            continue
        elif isinstance(value, Mapping) and isinstance(present, MutableMapping):
            _sync(present, value)
        elif not (isinstance(present, AoT) and _is_tables(value) and _sync_tables(present, value)):
            table[key] = _item(value, is_top=isinstance(present, (AoT, Table)))


def _sync_tables(tables: AoT, wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Make the tables ``[[like these]]`` say what is wanted; one is known by its name, or by all it says.

    Returns:
        False if they would have to change places, which they can't.
    """
    present = [_key(table.unwrap()) for table in tables]
    keys = [_key(table) for table in wanted]
    for i in reversed(range(len(present))):
        if present[i] not in keys:
            del tables[i], present[i]
    if present != keys[: len(present)]:
        return False
    for table, value in zip(list(tables), wanted, strict=False):
        _sync(table, value)
    for value in wanted[len(present) :]:
        added = _table(value)
        added.trivia.indent = "\n"  # an empty line before it
        tables.append(added)
    return True


def _key(table: Mapping[str, Any]) -> object:
    return table["name"] if "name" in table else repr(sorted(table.items(), key=lambda pair: pair[0]))


def _is_tables(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _item(value: Any, *, is_top: bool = False) -> Item:  # noqa: ANN401 - whatever TOML can hold
    """Return a value as TOML has it; a table within a table stands on one line."""
    if is_top and isinstance(value, Mapping):
        return _table(value)
    if is_top and _is_tables(value):
        tables = tomlkit.aot()
        for one in value:
            added = _table(one)
            added.trivia.indent = "\n" if len(tables) else ""
            tables.append(added)
        return tables
    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        for key, one in value.items():
            inline.append(key, _item(one))
        return inline
    if isinstance(value, (list, tuple)):
        array: Array = tomlkit.array()
        for one in value:
            array.append(_item(one))
        return array
    made: Item = tomlkit.item(value)
    return made


def _table(value: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for key, one in value.items():
        table.append(key, _item(one))
    return table
