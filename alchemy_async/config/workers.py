"""Settings of the workers: which instruments there are, and who speaks to them.

In:    the tables ``[[workers]]``.
Out:   checked settings, and the names of the worker processes.
Never: loads a driver; its name stays a text.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from alchemy_async.config.base import Settings, Several, Word, check_id, show, wrong

MAX_GROUP_NAME = 58  # with "-1000" behind it, it is still an id
MAX_COUNT = 1000
LONGEST_S = 1e9

_LETTERS = "letters (a-z), digits, _ or -"


def _check_group(name: str) -> str:
    return check_id(name, allowed="A-Za-z0-9_-", in_words=_LETTERS, longest=MAX_GROUP_NAME)


def _check_instrument(name: str) -> str:
    return check_id(name, allowed="A-Za-z0-9_-", in_words=_LETTERS, longest=64)


def _check_driver(name: str) -> str:
    if not re.fullmatch(r"[^\W\d][\w.]*:\S.*", name):
        raise wrong(
            f"is {show(name)}, which names no driver",
            'Write `driver = "my_lab:reaction"` for the function `reaction` in my_lab.py beside campaign.toml, '
            'or a shipped one such as "olympus:Branin".',
        )
    return name


class WorkerSettings(Settings):
    """One or several worker processes with the same driver."""

    name: Annotated[str, AfterValidator(_check_group)] = Field(
        description="Name of the group; its processes are `<name>-1`, `<name>-2` ...", examples=["reactor"]
    )
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = Field(
        default=1, description="How many processes, one for each instrument.", examples=[3]
    )
    driver: Annotated[Word, AfterValidator(_check_driver)] = Field(
        description='What runs an experiment: `"module:name"` of a function or class in a file beside campaign.toml '
        'or in an installed package; or a shipped driver, such as `"olympus:Branin"` and `"dataset:suzuki"`.',
        examples=["my_lab:reaction"],
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to the driver as keywords.", examples=[{"port": "COM3"}]
    )
    labels: Several[Word] = Field(
        default=(),
        description="What these workers can do; an experiment that requires a label runs only where it is.",
        examples=[["hplc"]],
    )
    timeout_s: Annotated[float, Field(gt=0, le=LONGEST_S)] = Field(
        default=3600.0, description="Break an experiment off after this many seconds.", examples=[3600]
    )
    lease_s: Annotated[float, Field(ge=0.1, le=LONGEST_S)] = Field(
        default=30.0,
        description="After this many seconds without a heartbeat a worker counts as lost, "
        "and its experiment as interrupted.",
        examples=[30],
    )
    grace_s: Annotated[float, Field(ge=0, le=LONGEST_S)] = Field(
        default=30.0,
        description="How many seconds a driver that was told to stop has for it, before its process is killed.",
        examples=[30],
    )
    instrument: Annotated[str, AfterValidator(_check_instrument)] | None = Field(
        default=None,
        description="Name of the instrument, so that no two processes of this machine, of whatever campaign, "
        "drive it at once. Without it: the name of the process.",
        examples=["furnace"],
    )

    @field_validator("instrument")
    @classmethod
    def _is_driven_by_one(cls, instrument: str | None, info: ValidationInfo) -> str | None:
        count = info.data.get("count", 1)
        if instrument is not None and count > 1:
            mend = "Write `count = 1`, or leave instrument out so that each process has its own."
            raise wrong(f"is one instrument, but there would be {count} processes", mend)
        return instrument

    def worker_names(self) -> tuple[str, ...]:
        """Return the names of the worker processes."""
        return tuple(f"{self.name}-{k}" for k in range(1, self.count + 1))
