"""Contenders: which planners are compared, and with which options.

In:    a name, a problem.
Out:   a planner made for the problem; what identifies it, so that old figures are told from present ones.
Never: tells a planner more of a problem than a user could, or one planner more than another.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.planning.problem import Problem
from alchemy_async.planner import Planner
from alchemy_async.planner.load import load_planner

OURS = "bayesian"
IGNORING = "bayesian-ignore"  # ours, told that failures teach nothing
_PACKAGE = Path(__file__).resolve().parents[2]
_PEERS = ("ax-platform", "optuna", "botorch", "gpytorch", "torch", "numpy", "scipy")


@dataclass(frozen=True)
class Contender:
    """One planner.

    Args:
        name: Its name in tables and files.
        strategy: As [planner] strategy names it.
        options: As [planner] options has them.
        exact: Further options where the problem is declared exact.
        is_frozen: Whether its figures are kept whatever becomes of this package: it is a baseline.
    """

    name: str
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: Mapping[str, Any] = field(default_factory=dict)
    is_frozen: bool = True

    def make(self, problem: Problem) -> Planner:
        """Load the planner for a problem.

        Raises:
            PlannerError: If it can't be loaded, or can't do what the problem asks for.
        """
        settings = problem.settings(0)
        options = {**self.options, **(self.exact if problem.is_declared_exact else {})}
        return load_planner(self.strategy, settings.as_space(), settings.as_objectives(), options)

    @property
    def fingerprint(self) -> str:
        """What its figures hold for: of a planner that is being worked on, its source; of a baseline, nothing more."""
        return "" if self.is_frozen else _source()


_REFERENCE = "alchemy_async.benchmark.planning.reference_qlognei:ReferencePlanner"
_OPTUNA = "alchemy_async.planner.optuna:OptunaPlanner"

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender("sobol", "sobol"),
        Contender("random", "random"),
        Contender("optuna-tpe", _OPTUNA, {"sampler": "tpe"}),
        Contender("optuna-gp", _OPTUNA, {"sampler": "gp"}, exact={"noise": "none"}),
        Contender("qlognei", _REFERENCE, exact={"is_exact": True}),
        Contender("ax", "alchemy_async.planner.ax:AxPlanner", exact={"noise": "none"}),
        Contender(OURS, "bayesian", exact={"noise": "none"}, is_frozen=False),
        Contender(IGNORING, "bayesian", {"failures": "ignore"}, exact={"noise": "none"}, is_frozen=False),
    )
}
"""By name, the cheap ones first."""


def contender(name: str) -> Contender:
    """Return a contender by its name; any other strategy is one without options, and being worked on."""
    return CONTENDERS.get(name) or Contender(name, name, is_frozen=False)


@cache
def _source() -> str:
    """Return a digest of what decides our planners' choices."""
    digest = hashlib.sha256()
    for path in sorted([*(_PACKAGE / "planner").rglob("*.py"), *(_PACKAGE / "space").rglob("*.py")]):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(room: Path) -> list[Path]:
    """Return the files of a room, which may be one file or a folder."""
    return [room] if room.is_file() else list(room.rglob("*.py"))


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that figures depend on; those that are not installed are left out."""
    found: dict[str, str] = {}
    for name in _PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


Show = Callable[[str], None]
