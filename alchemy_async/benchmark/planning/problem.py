"""Problem: what every problem is, however many objectives it has and whatever fails in it.

In:    name, parameters, budget, who is compared on it.
Out:   its campaign for a seed, its instrument, and the figures of a campaign that was run.
Never: tells a planner more than a campaign.toml could.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.config import CampaignSettings, check_campaign
from alchemy_async.drivers import Driver
from alchemy_async.experiment import Status
from alchemy_async.simulation.lab import Ran

Record = dict[str, Any]


@dataclass(frozen=True)
class Problem(ABC):
    """One problem.

    Args:
        name: Its name.
        parameters: As campaign.toml has them.
        budget: How many completed experiments a campaign has; those of the initial design count.
        contenders: Those of the named contenders that are compared on it.
        is_declared_exact: Whether planners are told that a measurement repeats exactly.
        max_started: How many experiments may be started, failed ones included; None: twice the budget.
    """

    name: str
    parameters: tuple[dict[str, Any], ...]
    budget: int
    contenders: frozenset[str] = field(kw_only=True)
    is_declared_exact: bool = field(default=False, kw_only=True)
    max_started: int | None = field(default=None, kw_only=True)

    @property
    @abstractmethod
    def objectives(self) -> tuple[dict[str, str], ...]:
        """The objectives, as campaign.toml has them."""

    @abstractmethod
    def instrument(self, seed: int) -> Driver:
        """Return what measures it; all that is random in it follows from seed and experiment."""

    @abstractmethod
    def figures(self, ran: Sequence[Ran]) -> Record:
        """Return what a finished campaign came to, as JSON can hold it."""

    @abstractmethod
    def in_words(self, record: Mapping[str, Any]) -> str:
        """Return what a campaign came to, in a few words."""

    def is_complete(self, counts: Mapping[str, int]) -> bool:
        """Return whether a campaign with so many experiments in each state came to its end as it should."""
        return counts["completed"] == self.budget

    @property
    def n_initial(self) -> int:
        """How many experiments the initial design has: two for each parameter, and two more."""
        return 2 * (len(self.parameters) + 1)

    def settings(self, seed: int) -> CampaignSettings:
        """Return its campaign; the initial design follows from the seed, whatever the planner."""
        starts = {} if self.max_started is None else {"max_started": self.max_started}
        return check_campaign(
            {
                "campaign": {"name": self.name.replace("_", "-")},
                "parameters": list(self.parameters),
                "objectives": list(self.objectives),
                "budget": {"experiments": self.budget, **starts},
                "planner": {
                    "seed": seed,
                    "look_ahead": 0,  # asks cost no simulated time: each knows every result
                    "initial": {"method": "sobol", "n": self.n_initial},
                },
            },
            source=f"the problem {self.name}",
        )


def completed(ran: Sequence[Ran]) -> list[Ran]:
    """Return what was measured, by the time it ended."""
    return sorted((one for one in ran if one.outcome.status is Status.COMPLETED), key=lambda one: one.finished_s)


def short(value: float) -> float:
    """Return three digits that count: thousands of them are kept in a file."""
    return float(f"{value:.3g}")


def continuous(name: str, low: float, high: float, **more: object) -> dict[str, Any]:
    """Return a continuous parameter, as campaign.toml has it."""
    return {"name": name, "type": "continuous", "bounds": [low, high], **more}


def cube(n: int, low: float = 0.0, high: float = 1.0) -> tuple[dict[str, Any], ...]:
    """Return ``n`` continuous parameters ``x0``, ``x1`` ... with the same bounds."""
    return tuple(continuous(f"x{k}", low, high) for k in range(n))
