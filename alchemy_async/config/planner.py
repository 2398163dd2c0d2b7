"""Settings of the planner: how the next experiments are chosen.

In:    the table ``[planner]`` with its ``initial`` table.
Out:   checked settings.
Never: loads a planner; its name stays a text.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from alchemy_async.config.base import FreeValue, Settings, Several, Word, show, wrong

STRATEGIES = ("bayesian", "sobol", "random", "ax", "optuna")
GROUP = "alchemy_async.planners"  # of entry points: an installed package may bring planners of its own
MAX_INITIAL = 100_000
MAX_LOOK_AHEAD = 10_000
MAX_REPLICATES = 100


class InitialSettings(Settings):
    """The first experiments, before a model can choose."""

    method: Literal["sobol", "lhs", "random", "grid", "points"] = Field(
        default="sobol",
        description="How they are spread: a Sobol sequence, a Latin hypercube, at random, a grid, or the given points.",
        examples=["sobol"],
    )
    n: Annotated[int, Field(ge=1, le=MAX_INITIAL)] | None = Field(
        default=None,
        description="How many. Without it: twice the number of parameters and at least 3, with a fidelity twice as "
        "many, but no more than half of `budget.experiments`.",
        examples=[5],
    )
    wait: bool = Field(
        default=False,
        description="True if the model is to be asked only once all of them are in; "
        "until then free workers get nothing else.",
        examples=[True],
    )
    points: Annotated[Several[dict[str, FreeValue]], Field(max_length=10_000)] = Field(
        default=(),
        description='The points of method "points", a table each with a value for every parameter.',
        examples=[[{"temperature": 350, "time": 30}]],
        validate_default=True,
    )

    @field_validator("points")
    @classmethod
    def _go_with_the_method(cls, points: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        method, n = info.data.get("method"), info.data.get("n")
        if method == "points" and not points:
            raise wrong('is empty, but the method is "points"', "Give the points, or choose another method.")
        if method not in {None, "points"} and points:
            raise wrong(f'is given, but the method is "{method}"', 'Write `method = "points"`, or leave points out.')
        if points and n not in {None, len(points)}:
            raise wrong(f"lists {len(points)}, but n is {n}", "Leave n out: every point is measured.")
        return points


def default_n_initial(n_parameters: int, experiments: int | None, *, has_fidelity: bool = False) -> int:
    """Return how many initial experiments there are where ``n`` is not given, >= 1.

    With a fidelity most of them are cheap, and there must be enough to see what one level tells of another.
    """
    enough = max(3, 2 * n_parameters) * (2 if has_fidelity else 1)
    return enough if experiments is None else max(1, min(enough, experiments // 2))


def _check_strategy(strategy: str) -> str:
    if strategy in STRATEGIES or re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", strategy):
        return strategy
    if strategy in _installed():
        return strategy
    near = get_close_matches(strategy.lower(), STRATEGIES, n=1)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    raise wrong(
        f"is {show(strategy)}, which is no strategy",
        f'{hint}Write "bayesian", "sobol", "random", "ax", "optuna", '
        'or "package.module:Name" for a planner of your own.',
    )


@cache
def _installed() -> frozenset[str]:
    """Return the names of the planners that installed packages bring; looked up once: that reads many files."""
    return frozenset(entry.name for entry in entry_points(group=GROUP))


def _check_look_ahead(value: object) -> object:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LOOK_AHEAD
    if value != "auto" and not is_count:
        mend = f'Write `look_ahead = "auto"`, or a whole number from 0 to {MAX_LOOK_AHEAD}.'
        raise wrong(f"is {show(value)}", mend)
    return value


class PlannerSettings(Settings):
    """How the next experiments are chosen; every key may be left out."""

    strategy: Annotated[Word, AfterValidator(_check_strategy)] = Field(
        default="bayesian",
        description='`"bayesian"`, `"sobol"` or `"random"`; `"ax"` or `"optuna"` where the extra of that name is '
        'installed; `"package.module:Name"` for a planner of your own.',
        examples=["bayesian"],
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(
        default=None,
        description="Seed of every random choice; without it, each campaign draws its own.",
        examples=[1],
    )
    initial: InitialSettings = Field(
        default=InitialSettings(),
        description="The first experiments, before a model can choose.",
        examples=[{"method": "sobol", "n": 5, "wait": False}],
    )
    replicates: Annotated[int, Field(ge=1, le=MAX_REPLICATES)] = Field(
        default=1,
        description="How many times each point that the planner chooses is measured: so many experiments, one after "
        "the other in the queue. What people stage is measured as often as they stage it.",
        examples=[3],
    )
    batch: Annotated[int, Field(ge=1, le=MAX_INITIAL)] | None = Field(
        default=None,
        description="With shared parameters: how many experiments are run at one value before the next. Without it: "
        "two for each worker that lives.",
        examples=[8],
    )
    look_ahead: Annotated[Literal["auto"] | int, BeforeValidator(_check_look_ahead)] = Field(
        default="auto",
        description="How many experiments the queue holds ready beyond the idle workers; "
        "`auto` follows the measured times of asking and of experiments.",
        examples=[3],
    )
    when_late: Literal["wait", "fill"] = Field(
        default="wait",
        description="When a free worker finds the queue empty: wait for the planner, or fill in a space-filling point.",
        examples=["fill"],
    )
    device: Word | None = Field(
        default=None,
        description='Where `"bayesian"` reckons with thousands of results: `"auto"` (as without it: a GPU if there is '
        'one), `"cpu"`, or a device of torch, such as `"cuda"`. Another planner gets it as a keyword.',
        examples=["auto"],
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to the planner as keywords.", examples=[{}]
    )

    def keywords(self) -> dict[str, Any]:
        """Return what the planner is made with, besides the space and the objectives."""
        return dict(self.options) if self.device is None else {"device": self.device, **self.options}
