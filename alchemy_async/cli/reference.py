"""Reference: docs/commands.md, generated from the commands.

In:    the commands, with the help of each and of its options.
Out:   a page of Markdown; ``python -m alchemy_async.cli.reference > docs/commands.md`` renews it.
Never: says anything of a command that its `--help` does not say.
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from alchemy_async.cli.commands import app
from alchemy_async.cli.console import EPILOG

_INTRODUCTION = """\
# Commands

<!-- Generated from the commands: python -m alchemy_async.cli.reference > docs/commands.md -->

`alchemy-async COMMAND [FOLDER] ...`, or `python -m alchemy_async`. FOLDER is the campaign folder and comes first; where
nothing follows it, it may be left out and is the current one. Answers go to stdout, everything else to stderr.
`alchemy-async -v COMMAND` shows the traceback of an error.

"""


def reference() -> str:
    """Return the page."""
    parts, panel = [_INTRODUCTION + EPILOG + "\n"], ""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        if command.rich_help_panel != panel:
            panel = command.rich_help_panel
            parts.append(f"## {panel}\n")
        within = getattr(command, "commands", None) or {"": command}  # a group has commands of its own
        parts += [_command(f"{name} {inner}".strip(), found) for inner, found in within.items()]
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:  # noqa: ANN401 - typer keeps the types of its click to itself
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join(["alchemy-async", name, *(_usage(argument) for argument in arguments)])
    lines = [f"### `{usage}`\n", f"{command.help}\n"]
    explained = [argument for argument in arguments if argument.name != "folder"]
    if explained or options:
        lines += ["| | | default |", "| --- | --- | --- |"]
        lines += [f"| `{argument.metavar}` | {_cell(argument.help)} | |" for argument in explained]
        lines += [f"| `{', '.join(option.opts)}` | {_cell(option.help)} | {_default(option)} |" for option in options]
        lines.append("")
    return "\n".join(lines)


def _usage(argument: Any) -> str:  # noqa: ANN401 - same
    return str(argument.metavar) if argument.required else f"[{argument.metavar}]"


def _default(option: Any) -> str:  # noqa: ANN401 - same
    if option.required:
        return "required"
    is_told = option.default not in (None, False, "") and not callable(option.default)
    return f"`{option.default}`" if is_told else ""


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
