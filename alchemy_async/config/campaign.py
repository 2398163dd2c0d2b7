"""Settings of a whole campaign: every room's settings in one document.

In:    a document of plain values, as TOML or JSON has them.
Out:   one frozen object that says what the campaign is.
Never: reads a file, or changes once it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr

from alchemy_async.config.base import NotEmpty, Settings, Several, Word, check_id, show, wrong
from alchemy_async.config.budget import BudgetSettings
from alchemy_async.config.constraints import ConstraintSettings
from alchemy_async.config.fidelity import FidelitySettings
from alchemy_async.config.objectives import ObjectiveSettings
from alchemy_async.config.planner import InitialSettings, PlannerSettings, default_n_initial
from alchemy_async.config.space_settings import (
    CategoricalSettings,
    ContinuousSettings,
    DiscreteSettings,
    IntegerSettings,
    ParameterSettings,
)
from alchemy_async.config.workers import WorkerSettings

if TYPE_CHECKING:
    from alchemy_async.experiment import Objective
    from alchemy_async.space import Fidelity, Space

MAX_CAMPAIGN_NAME = 55  # a campaign's id is its name, "-" and 8 hexadecimal digits: at most 64


def _check_campaign_name(name: str) -> str:
    return check_id(name, allowed="A-Za-z0-9-", in_words="letters (a-z), digits or -", longest=MAX_CAMPAIGN_NAME)


def _check_ledger(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise wrong(f"is {show(text)}, and there is no such user", "Write the whole path.") from None


class CampaignTable(Settings):
    """What the study is called, and where its record is kept."""

    name: Annotated[str, AfterValidator(_check_campaign_name)] = Field(
        description="Its name; the id of the campaign begins with it.", examples=["amide-coupling"]
    )
    description: str = Field(
        default="", description="A sentence for people.", examples=["Amide coupling in flow, first ligand screen"]
    )
    ledger: Annotated[Word, AfterValidator(_check_ledger)] | None = Field(
        default=None,
        description="Where the ledger is kept, if not in `campaign.db` beside campaign.toml. It must be a local disk: "
        "name one if the folder is a network share.",
        examples=["~/campaigns/amide.db"],
    )
    durable: bool = Field(
        default=True,
        description="Whether claims, results and the ledger wait until the disk has them. `false` is for simulations: "
        "quicker, as safe when a process is killed, but a power cut may lose what came last.",
        examples=[False],
    )


class CampaignSettings(Settings):
    """All that campaign.toml says. ``check_campaign`` makes one from a document, and tells every mistake."""

    campaign: CampaignTable = Field(description="The study as a whole.")
    parameters: Annotated[Several[ParameterSettings], NotEmpty] = Field(
        description="What can be changed from one experiment to the next."
    )
    objectives: Annotated[Several[ObjectiveSettings], NotEmpty] = Field(
        description="What is measured, and which way is better."
    )
    constraints: Several[ConstraintSettings] = Field(default=(), description="Which combinations are allowed.")
    budget: BudgetSettings = Field(default=BudgetSettings(), description="When the campaign is done.")
    planner: PlannerSettings = Field(default=PlannerSettings(), description="How the next experiments are chosen.")
    workers: Several[WorkerSettings] = Field(default=(), description="Which instruments there are.")
    _folder: str = PrivateAttr(default="")  # where functions of constraints are looked for first

    def in_folder(self, folder: Path) -> CampaignSettings:
        """Return the same settings for a campaign folder: modules beside its campaign.toml are found."""
        placed = self.model_copy()
        placed._folder = str(folder.resolve())
        return placed

    def as_space(self) -> Space:
        """Return the search space."""
        from alchemy_async.space import Rule, Space  # needs numpy, which a pool of workers can do without

        parameters = tuple(parameter.as_parameter() for parameter in self.parameters)
        linear = tuple(constraint.as_constraint() for constraint in self.constraints if constraint.terms)
        functions = (constraint.function for constraint in self.constraints if constraint.function)
        rules = tuple(Rule(function, self._folder) for function in functions)
        return Space(parameters, linear, rules, self.as_fidelity())

    def as_fidelity(self) -> Fidelity | None:
        """Return which parameter makes experiments cheap or true; None where all are as true."""
        found = (one.as_fidelity() for one in self.parameters if isinstance(one, FidelitySettings))
        return next((one for one in found if one is not None), None)

    def as_objectives(self) -> tuple[Objective, ...]:
        """Return the objectives, in the order of the file."""
        return tuple(objective.as_objective() for objective in self.objectives)

    def ties(self) -> dict[str, tuple[str, ...]]:
        """Return the options of each parameter whose options are labels of workers, by its name."""
        tied = (one for one in self.parameters if isinstance(one, CategoricalSettings) and one.tied)
        return {one.name: (one.fixed,) if one.fixed is not None else one.options for one in tied}

    def shared(self) -> tuple[str, ...]:
        """Return the names of the parameters in which all that runs at the same time must agree."""
        return tuple(one.name for one in self.parameters if one.shared and not one.is_held)

    def labels_for(self, point: Mapping[str, object]) -> tuple[str, ...]:
        """Return the labels that a worker must have to run a point: its values of the tied parameters."""
        return tuple(sorted({str(point[name]) for name in self.ties()}))

    def n_initial(self) -> int:
        """Return how many points the initial design has, >= 1."""
        initial, experiments = self.planner.initial, self.budget.experiments
        if initial.method == "points":
            return len(initial.points)
        if initial.n is not None:
            return initial.n
        n_chosen = sum(not parameter.is_held for parameter in self.parameters)
        has_fidelity = any(isinstance(one, FidelitySettings) and one.fidelity is not None for one in self.parameters)
        most = None if experiments is None else max(experiments // self.planner.replicates, 1)
        return default_n_initial(n_chosen, most, has_fidelity=has_fidelity)

    def ledger_path(self, folder: Path) -> Path:
        """Return where the ledger of the campaign in ``folder`` is kept."""
        return folder / (self.campaign.ledger or "campaign.db")

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it.

        Names, types and ranges of the parameters, the goals, and the constraints;
        not units and descriptions, nor anything that says how the study is run, such as what is fixed.
        """
        return {
            "parameters": [parameter.study() for parameter in self.parameters],
            "objectives": [objective.study() for objective in self.objectives],
            "constraints": [constraint.study() for constraint in self.constraints],
        }


PARAMETER_TYPES: dict[str, type[Settings]] = {
    "continuous": ContinuousSettings,
    "integer": IntegerSettings,
    "discrete": DiscreteSettings,
    "categorical": CategoricalSettings,
}
LISTS = ("parameters", "objectives", "constraints", "workers")  # [[double brackets]]; the others have [single] ones

TABLES: dict[tuple[str, ...], type[Settings]] = {
    (): CampaignSettings,
    ("campaign",): CampaignTable,
    **{("parameters", kind): model for kind, model in PARAMETER_TYPES.items()},
    ("objectives",): ObjectiveSettings,
    ("constraints",): ConstraintSettings,
    ("budget",): BudgetSettings,
    ("planner",): PlannerSettings,
    ("planner", "initial"): InitialSettings,
    ("workers",): WorkerSettings,
}
"""The model of every table, by the keys that lead to it; a parameter's by its type."""


def header(section: str) -> str:
    """Return the line that begins a section of the file."""
    return f"[[{section}]]" if section in LISTS else f"[{section}]"
