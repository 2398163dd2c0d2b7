"""Variables: the words that clients have for parameters, constraints and objectives.

In:    variables and constraints as ALchemist's clients write them.
Out:   tables as campaign.toml has them, and the way back; mistakes of the settings, told in the client's words.
Never: decides whether a change may be made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from alchemy_async.config import ConstraintSettings, ParameterSettings
from alchemy_async.errors import Mistake
from alchemy_async.service.problems import Flaw, InvalidError, Place

LARGEST = 1e100
LARGEST_INTEGER = 2**53
TAKEN = (
    "noise",
    "provenanceid",
    "wholeplot",
    "subplot",
    "runorder",
)  # columns of the data set, beside a campaign's own

TYPES = {"real": "continuous", "integer": "integer", "categorical": "categorical", "discrete": "discrete"}
WORDS = {ours: theirs for theirs, ours in TYPES.items()}

Number = Annotated[float, Field(strict=True, ge=-LARGEST, le=LARGEST)]
Changes = Literal["easy", "hard", "very_hard"]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]


class _Variable(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(
        min_length=1,
        max_length=64,
        description="Its name, unique without case: begins with a letter, and has no `/`.",
        examples=["Temperature"],
    )
    role: Literal["controllable", "observed"] = Field(
        default="controllable", description="`observed`: a reading that nobody chooses, such as the humidity."
    )
    changes: Changes = Field(default="easy", description="How hard it is to change between two runs; for people.")
    unit: str | None = Field(default=None, max_length=200, examples=["K"])
    description: str | None = Field(default=None, max_length=2000, examples=["Temperature of the oil bath"])


class RealVariable(_Variable):
    """Any number between two bounds."""

    type: Literal["real"] = "real"
    min: Number = Field(description="The lowest value, in `unit`.", examples=[300.0])
    max: Number = Field(description="The highest value, in `unit`; more than `min`.", examples=[400.0])
    log: bool | None = Field(default=None, description="Whether its scale is logarithmic; null: as it is.")


class IntegerVariable(_Variable):
    """Any whole number between two bounds."""

    type: Literal["integer"] = "integer"
    min: Whole = Field(description="The lowest value, in `unit`.", examples=[1])
    max: Whole = Field(description="The highest value, in `unit`; more than `min`.", examples=[8])
    log: bool | None = Field(default=None, description="Whether its scale is logarithmic; null: as it is.")


class CategoricalVariable(_Variable):
    """One of several names."""

    type: Literal["categorical"] = "categorical"
    categories: list[str] = Field(
        min_length=2, max_length=1000, description="The names, each once.", examples=[["Pt", "Ni"]]
    )


class DiscreteVariable(_Variable):
    """One of several numbers."""

    type: Literal["discrete"] = "discrete"
    allowed_values: list[Number] = Field(
        min_length=2, max_length=10_000, description="The numbers, each once, in `unit`.", examples=[[0.1, 0.5, 1.0]]
    )
    log: bool | None = Field(default=None, description="Whether its scale is logarithmic; null: as it is.")


def _type_of(value: Any) -> str | None:  # noqa: ANN401 - whatever a client sent
    found = value.get("type", "real") if isinstance(value, Mapping) else getattr(value, "type", None)
    return found if isinstance(found, str) else None


Variable = Annotated[
    Annotated[RealVariable, Tag("real")]
    | Annotated[IntegerVariable, Tag("integer")]
    | Annotated[CategoricalVariable, Tag("categorical")]
    | Annotated[DiscreteVariable, Tag("discrete")],
    Discriminator(
        _type_of,
        custom_error_type="type",
        custom_error_message="type must be real, integer, categorical or discrete",
    ),
]
"""A variable as a client writes it; without `type` it is a real one."""

_VARIABLE: TypeAdapter[Variable] = TypeAdapter(Variable)


class Constraint(BaseModel):
    """A bound on a weighted sum of numeric variables."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    constraint_type: Literal["inequality", "equality"] = Field(
        description="`inequality`: the sum is at most `rhs`; `equality`: it is `rhs`."
    )
    coefficients: dict[str, Number] = Field(
        min_length=1, max_length=1000, description="The factor of each variable.", examples=[{"A": 1.0, "B": 1.0}]
    )
    rhs: Number = Field(description="The bound.", examples=[10.0])
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[^/]+$",
        description="Its name; null: `constraint_0`, `constraint_1` ...",
        examples=["total_flow"],
    )


def read_variable(entry: object, *place: str | int) -> Variable:
    """Read a variable from a file, in the form of a request, of an export or of a listing.

    Args:
        entry: What the file says.
        place: Where it stands there.

    Raises:
        InvalidError: If it does not fit, with every flaw.
    """
    found: Variable = _read(_VARIABLE, _as_request(entry), *place)
    return found


def read_constraint(entry: object, *place: str | int) -> Constraint:
    """Read a constraint from a file, in the form of a request or of an export.

    Raises:
        InvalidError: If it does not fit, with every flaw.
    """
    if isinstance(entry, Mapping) and "type" in entry:
        entry = {"constraint_type" if key == "type" else key: value for key, value in entry.items()}
    found: Constraint = _read(TypeAdapter(Constraint), entry, *place)
    return found


def _read(adapter: TypeAdapter[Any], entry: object, *place: str | int) -> Any:  # noqa: ANN401 - what the adapter makes
    try:
        return adapter.validate_python(entry)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        tags = len(found) and isinstance(entry, Mapping) and adapter is _VARIABLE
        flaws = [
            Flaw((*place, *one["loc"][1 if tags and one["loc"] else 0 :]), one["msg"], one["type"]) for one in found
        ]
        raise InvalidError(flaws) from error


def _as_request(entry: object) -> object:
    """Return an entry of a file with the keys that a request has, and without those that say nothing."""
    if not isinstance(entry, Mapping):
        return entry
    found = {str(key): value for key, value in entry.items() if value is not None}
    if found.get("type") == "categorical" and "values" in found and "categories" not in found:
        found["categories"] = found.pop("values")
    if found.get("type") == "discrete" and "values" in found and "allowed_values" not in found:
        found["allowed_values"] = found.pop("values")
    bounds = found.pop("bounds", None)
    if isinstance(bounds, Sequence) and not isinstance(bounds, str) and len(bounds) == 2:
        found.setdefault("min", bounds[0])
        found.setdefault("max", bounds[1])
    return found


def check_variable(variable: Variable, *place: str | int) -> None:
    """Check what one field of a variable says of another, and that its name is free for a column.

    Raises:
        InvalidError: If it does not fit, with every flaw.
    """
    flaws = []
    if "/" in variable.name or variable.name.startswith("_"):
        flaws.append(Flaw((*place, "name"), "must begin with a letter, and have no `/`: it becomes part of an address"))
    if variable.name.casefold() in TAKEN:
        flaws.append(Flaw((*place, "name"), "is a column of the data set already. Choose another name"))
    if isinstance(variable, (RealVariable, IntegerVariable)) and not variable.min < variable.max:
        flaws.append(Flaw((*place, "max"), f"must be more than min, which is {variable.min:g}"))
    choices = getattr(variable, "categories", None) or getattr(variable, "allowed_values", None) or []
    if len(set(choices)) != len(choices):
        field = "categories" if isinstance(variable, CategoricalVariable) else "allowed_values"
        flaws.append(Flaw((*place, field), "has a value twice. Leave one of the two out"))
    if variable.role == "observed" and variable.changes != "easy":
        flaws.append(Flaw((*place, "changes"), "is of controllable variables only: nobody changes a reading"))
    if flaws:
        raise InvalidError(flaws)


def as_table(variable: Variable, present: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the table ``[[parameters]]`` of a variable.

    Args:
        variable: As a client wrote it.
        present: The table that there is; what a client has no word for is kept, as long as the type is.
    """
    kind = TYPES[variable.type]
    table: dict[str, Any] = {"name": variable.name, "type": kind}
    if isinstance(variable, (RealVariable, IntegerVariable)):
        table["bounds"] = [variable.min, variable.max]
    elif isinstance(variable, CategoricalVariable):
        table["options"] = list(variable.categories)
    else:
        table["values"] = list(variable.allowed_values)
    kept = present if present is not None and present.get("type") == kind else {}
    log = getattr(variable, "log", None)
    table |= {key: kept[key] for key in ("log", "fixed", "descriptors") if key in kept}
    if log is not None:
        table["log"] = log
    if variable.role == "observed":
        table["context"] = True
        table.pop("fixed", None)
    table |= {"unit": variable.unit} if variable.unit else {}
    table |= {"description": variable.description} if variable.description else {}
    return table


def as_listed(parameter: ParameterSettings, changes: str = "easy") -> dict[str, Any]:
    """Return a variable as listings have it."""
    is_bounded = parameter.type in ("continuous", "integer")
    listed: dict[str, Any] = {
        "name": parameter.name,
        "type": WORDS[parameter.type],
        "role": "observed" if parameter.context else "controllable",
        "changes": None if parameter.context else changes,
        "bounds": list(parameter.bounds) if is_bounded else None,  # type: ignore[union-attr]
        "categories": list(parameter.options) if parameter.type == "categorical" else None,
        "unit": parameter.unit or None,
        "description": parameter.description or None,
    }
    if parameter.type == "discrete":
        listed["allowed_values"] = sorted(parameter.values)
    if parameter.fixed is not None:
        listed["fixed"] = parameter.fixed
    if parameter.type != "categorical" and parameter.log:
        listed["log"] = True
    return listed


def as_exported(parameter: ParameterSettings, changes: str = "easy") -> dict[str, Any]:
    """Return a variable as files of variables and of sessions have it."""
    said = as_listed(parameter, changes)
    exported: dict[str, Any] = {"name": said["name"], "type": said["type"]}
    if said["bounds"] is not None:
        exported["min"], exported["max"] = said["bounds"]
    if said["categories"] is not None:
        exported["values"] = said["categories"]
    exported |= {
        key: said[key] for key in ("allowed_values", "unit", "description", "log") if said.get(key) is not None
    }
    exported |= {"role": "observed"} if parameter.context else {}
    exported |= {"changes": changes} if changes != "easy" and not parameter.context else {}
    return exported


def constraint_table(constraint: Constraint, *place: str | int) -> dict[str, Any]:
    """Return the table ``[[constraints]]`` of a constraint.

    Raises:
        InvalidError: If every coefficient is 0.
    """
    terms = {name: factor for name, factor in constraint.coefficients.items() if factor != 0}
    if not terms:
        raise InvalidError.at(*place, "coefficients", what="are all 0. Give at least one variable another factor")
    return {"terms": terms, "at_most" if constraint.constraint_type == "inequality" else "equals": constraint.rhs}


def as_constraint(settings: ConstraintSettings, name: str) -> dict[str, Any]:
    """Return a constraint as clients have it: a sum that is at most, or is, the right-hand side.

    A person's function is named, and has neither.
    """
    if settings.function is not None:
        said: dict[str, Any] = {"type": "function", "coefficients": {}, "rhs": None, "function": settings.function}
        return {**said, "name": name}
    terms = {variable: float(factor) for variable, factor in (settings.terms or {}).items()}
    if settings.equals is not None:
        return {"type": "equality", "coefficients": terms, "rhs": float(settings.equals), "name": name}
    if settings.at_most is not None:
        return {"type": "inequality", "coefficients": terms, "rhs": float(settings.at_most), "name": name}
    turned = {variable: -factor for variable, factor in terms.items()}
    return {"type": "inequality", "coefficients": turned, "rhs": -float(settings.at_least or 0.0), "name": name}


_FIELDS = {
    "options": "categories", "values": "allowed_values", "context": "role",
    "terms": "coefficients", "at_most": "rhs", "equals": "rhs",
}  # fmt: skip


def in_their_words(mistakes: Sequence[Mistake], places: Mapping[tuple[str, int], Place]) -> InvalidError:
    """Return mistakes of the settings as flaws of what a client sent.

    Args:
        mistakes: As `check_campaign` told them.
        places: Where in the request each table stands, by section and index.
    """
    flaws = []
    for mistake in mistakes:
        found = re.match(r"(\w+)\[(\d+)\](?:\.(.+))?\Z", mistake.path, re.DOTALL)
        at = places.get((found[1], int(found[2]))) if found else None
        if found is None or at is None:
            flaws.append(Flaw((), f"{mistake.path}: {mistake.what}. {mistake.mend}"))
        else:
            flaws.append(Flaw((*at, *_field(found[3] or "")), f"{mistake.what}. {mistake.mend}"))
    return InvalidError(flaws)


def _field(path: str) -> tuple[str | int, ...]:
    """Return the way to a value within a table in the words of clients: ``options[1]`` is categories, 1."""
    first, _, key = path.partition(".")
    name, _, index = first.rstrip("]").partition("[")
    if name == "bounds":
        return ("max",) if index == "1" else ("min",)
    steps: list[str | int] = [_FIELDS.get(name, name)] if name else []
    steps += [int(index)] if index else []
    return (*steps, *([key.strip('"')] if key else []))
