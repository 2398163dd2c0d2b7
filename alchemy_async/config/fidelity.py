"""Settings of a fidelity: the keys by which a numeric parameter says how true and how dear an experiment is.

In:    the keys ``fidelity`` and ``costs`` of a table ``[[parameters]]``.
Out:   the same, checked each for itself, and the fidelity of ``alchemy_async.space`` made from them.
Never: looks at another table; what two keys or tables must agree on is in ``checks``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from alchemy_async.config.base import LARGEST, NotEmpty, Number, Settings, Several

if TYPE_CHECKING:  # the space needs numpy, which a pool of workers can do without
    from alchemy_async.space import Continuous, Discrete, Fidelity, Integer

Cost = Annotated[float, Field(gt=0, le=LARGEST)]


class FidelitySettings(Settings):
    """What continuous, integer and discrete parameters have beside their values."""

    fidelity: Number | None = Field(
        default=None,
        description="For the one parameter that makes an experiment cheap and rough or dear and true, such as the "
        "length of a run or the fineness of a simulation: its value at which the answer is wanted. The planner also "
        "runs other values where that tells enough for its cost; only results at this one count as best, for "
        "`budget.target` and as what is recommended. Needs `costs`; may be changed between two starts.",
        examples=[60],
    )
    costs: Annotated[Several[Cost], NotEmpty] | None = Field(
        default=None,
        description="With `fidelity`: what an experiment costs, in any unit. Of a discrete parameter one number for "
        "each of `values`, in their order; else two, at the lower and at the upper bound, with a straight line "
        "between, or of an integer one for each value.",
        examples=[[1, 3, 10]],
    )

    def as_chosen(self) -> Continuous | Integer | Discrete:
        """Return the parameter of the search space as if it were to be chosen."""
        raise NotImplementedError

    def priced(self) -> Sequence[float]:
        """Return the values that ``costs`` are of, in their order."""
        raise NotImplementedError

    def as_fidelity(self) -> Fidelity | None:
        """Return the fidelity of the search space; None where the parameter has none."""
        if self.fidelity is None or self.costs is None:
            return None
        from alchemy_async.space import Fidelity

        return Fidelity.of(self.as_chosen(), self.fidelity, list(zip(self.priced(), self.costs, strict=True)))
