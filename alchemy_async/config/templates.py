"""Templates: the files that ``alchemy-async init`` writes.

In:    the name of an example, or nothing.
Out:   the text of a campaign.toml that loads as it is, and of a driver to begin with.
Never: writes a file.
"""

from __future__ import annotations

from pathlib import Path

from alchemy_async.errors import Mistake, SettingsError

STARTER = "my_lab.py"  # the file that the commented campaign.toml takes its driver from

_FOLDER = Path(__file__).with_name("examples")
_COMMENTED = "campaign"


def examples() -> tuple[str, ...]:
    """Return the names of the examples that run as they are."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml") if path.stem != _COMMENTED))


def template(example: str | None = None) -> str:
    """Return the text of a campaign.toml.

    Args:
        example: One of ``examples()``; None for the commented file, whose driver is in ``starter()``.

    Raises:
        SettingsError: If there is no such example.
    """
    if example is not None and example not in examples():
        what = f"is {example!r}, which is no example"
        raise SettingsError("init", [Mistake("--example", what, f"Write {' or '.join(examples())}.")])
    return (_FOLDER / f"{example or _COMMENTED}.toml").read_text(encoding="utf-8")


def starter() -> str:
    """Return the text of a driver to begin with, to be written as ``STARTER`` beside the commented file."""
    return (_FOLDER / STARTER).read_text(encoding="utf-8")
