"""The search space: parameters, constraints, rules, the unit cube, distance.

In:    definitions of parameters, and points from people, planners or instruments.
Out:   checked points; coordinates in the unit cube and back; distances.
Never: chooses a point.

    parameters    what can be chosen
    held          what nobody chooses: fixed, or a reading
    fidelity      what makes an experiment cheap or true, and what it costs
    constraints   bounds on weighted sums
    rules         a person's own function of what is possible
    space         all of them together
"""

from alchemy_async.space.constraints import LinearConstraint
from alchemy_async.space.fidelity import Fidelity
from alchemy_async.space.held import Context, Fixed
from alchemy_async.space.parameters import (
    Array,
    Categorical,
    Chosen,
    Continuous,
    Discrete,
    Integer,
    Point,
    Value,
)
from alchemy_async.space.rules import Rule
from alchemy_async.space.space import COPY_DISTANCE, MAX_LISTED, Parameter, Space

__all__ = [
    "COPY_DISTANCE",
    "MAX_LISTED",
    "Array",
    "Categorical",
    "Chosen",
    "Context",
    "Continuous",
    "Discrete",
    "Fidelity",
    "Fixed",
    "Integer",
    "LinearConstraint",
    "Parameter",
    "Point",
    "Rule",
    "Space",
    "Value",
]
