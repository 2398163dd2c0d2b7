"""Reference: docs/campaign.md, generated from the settings models.

In:    the models, with the description and the example of each key.
Out:   a page of Markdown; ``python -m alchemy_async.config.reference > docs/campaign.md`` renews it.
Never: says anything of a key that its model does not say.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from alchemy_async.config.base import Settings, toml
from alchemy_async.config.campaign import LISTS, TABLES, CampaignSettings, header
from alchemy_async.config.templates import template

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_INTRODUCTION = """\
# campaign.toml

<!-- Generated from the settings models: python -m alchemy_async.config.reference > docs/campaign.md -->

A campaign folder holds one file that people write, `campaign.toml`. `alchemy-async init FOLDER` makes one, and
`--example` makes one that runs as it is. It is read once, at the start of each command; all its mistakes are told at
once, each with its place and how to mend it, and a key that is not listed here is a mistake. Once there are results,
names, types and ranges of the parameters, the objectives and the constraints stay as they are; everything else may
change between two starts.

The settings of a section stand in a table below; those without a default must be given.
"""

_EXAMPLE = """\
## The whole file

This is what `alchemy-async init` writes.

```toml
{text}```
"""


def reference() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    section = ""
    for keys, model in TABLES.items():
        if not keys:
            continue
        if keys[0] != section:
            section = keys[0]
            parts.append(_section(section))
        if len(keys) > 1:
            title = f'type = "{keys[1]}"' if section == "parameters" else f"{keys[1]} = {{ ... }}"
            parts.append(f"### `{title}`\n")
        parts.append(_table(model))
    parts.append(_EXAMPLE.format(text=template()))
    return "\n".join(parts)


def _section(name: str) -> str:
    field = CampaignSettings.model_fields[name]
    need = "Required" if field.is_required() else "May be left out"
    times = "; one section for each" if name in LISTS else ""
    return f"## `{header(name)}`\n\n{field.description} {need}{times}.\n"


def _table(model: type[Settings]) -> str:
    """Return a row for each key: name, type, default, meaning, example."""
    rows = ["| key | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        example = f"`{name} = {toml(field.examples[0])}`" if field.examples else ""
        cells = (f"`{name}`", _type(field), _default(field), field.description or "", example)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None or isinstance(default, Settings):
        return ""
    return f"`{toml(default)}`"


def _type(field: FieldInfo) -> str:
    """Return the type of a key in a chemist's words."""
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    return _in_words(schema)


def _in_words(schema: dict[str, Any]) -> str:
    choices = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if len(choices) > 1:
        return " or ".join(_in_words(choice) for choice in choices)
    (only,) = choices
    if "const" in only or "enum" in only:
        return " or ".join(f"`{toml(value)}`" for value in only.get("enum", [only.get("const")]))
    kind = only.get("type", "")
    if kind == "array":
        item = only.get("items") or only["prefixItems"][0]
        count = f"{only['minItems']} " if "prefixItems" in only else ""
        return f"list of {count}{_in_words(item)}s"
    words = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false"}
    return words.get(kind, "table") + _limits(only)


def _limits(schema: dict[str, Any]) -> str:
    limits = (("exclusiveMinimum", "> "), ("minimum", ">= "))
    told = [f"{sign}{toml(schema[key])}" for key, sign in limits if abs(schema.get(key, 1e100)) < 1e15]
    return f" {told[0]}" if told else ""


if __name__ == "__main__":
    sys.stdout.write(reference())
