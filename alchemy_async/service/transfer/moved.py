"""Moved: the rows of a ledger that came in a file, checked before anything is made of them.

In:    rows of every table, as a client sent them.
Out:   rows that fit one another and the study; what was running is interrupted, since whoever had it is elsewhere.
Never: trusts a row: ids, states and values are checked as if nobody ever had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from alchemy_async.clock import from_wire
from alchemy_async.errors import PointError
from alchemy_async.experiment import PENDING, TERMINAL, State, Status
from alchemy_async.ledger.copying import TABLES
from alchemy_async.service.definition.study import Study
from alchemy_async.service.problems import Flaw, InvalidError

MOST_FLAWS = 100
Rows = dict[str, list[dict[str, Any]]]

Id = Annotated[str, Field(pattern=r"^e[0-9]{4,12}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Flag = Annotated[int, Field(ge=0, le=1)]
Short = Annotated[str, Field(max_length=300)]
Long = Annotated[str, Field(max_length=100_000)]
Time = Annotated[str, Field(max_length=40)]
Worker = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
Finite = Annotated[float, Field(ge=-1e308, le=1e308)]
Scalar = Annotated[int | float | str, Field()]


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Experiment(_Row):
    number: Annotated[int, Field(ge=1, le=10**12)]
    id: Id
    state: Literal[tuple(map(str, State))]  # type: ignore[valid-type]  # the states themselves
    parameters: dict[str, Scalar]
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    priority: Finite
    origin: Short
    reason: Long
    iteration: Annotated[int, Field(ge=-(2**53), le=2**53)] | None
    pinned: Flag
    requires: list[Short]
    is_cancelling: Flag
    metadata: dict[str, Any]
    added_at: Time | None


class _Attempt(_Row):
    experiment: Id
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    state: Literal["queued", "running", "interrupted", "ended"]
    parameters: dict[str, Scalar]
    worker: Worker
    instance: Short
    host: Short
    pid: Count
    idempotent: Flag
    claimed_at: Time | None
    ending: Short
    lease_s: Annotated[float, Field(gt=0, le=1e9)] | None
    beat: Count


class _Point(_Row):
    experiment: Id
    parameters: dict[str, Scalar]


class _Outcome(_Row):
    id: Annotated[int, Field(ge=1, le=2**53)]
    experiment: Id
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    worker: Worker
    status: Literal[tuple(map(str, Status))]  # type: ignore[valid-type]  # the words themselves
    role: Literal["result", "replicate", "conflict", "superseded"]
    parameters: dict[str, Scalar]
    measured: dict[str, Finite]
    sems: dict[str, Annotated[float, Field(ge=0, le=1e308)]]
    started_at: Time
    finished_at: Time
    error_kind: Short
    error_message: Long
    metadata: dict[str, Any]
    digest: Short
    recorded_at: Time


class _Correction(_Row):
    id: Annotated[int, Field(ge=1, le=2**53)]
    outcome: Count
    at: Time
    who: Short
    why: Long
    is_outlier: Flag
    measured: dict[str, Finite]
    sems: dict[str, Annotated[float, Field(ge=0, le=1e308)]]


class _Event(_Row):
    seq: Annotated[int, Field(ge=1, le=2**53)]
    at: Time
    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{1,64}$")]
    experiment: Annotated[str, Field(pattern=r"^(e[0-9]{4,12})?$")]
    attempt: Count
    details: dict[str, Any]


class _Ask(_Row):
    id: Annotated[int, Field(ge=1, le=2**53)]
    at: Time
    n: Annotated[int, Field(ge=1, le=10**6)]
    n_observations: Count
    n_pending: Count
    seconds: Annotated[float, Field(ge=0, le=1e9)]


_MODELS: dict[str, TypeAdapter[Any]] = {
    "experiments": TypeAdapter(list[_Experiment]),
    "attempts": TypeAdapter(list[_Attempt]),
    "points": TypeAdapter(list[_Point]),
    "outcomes": TypeAdapter(list[_Outcome]),
    "corrections": TypeAdapter(list[_Correction]),
    "events": TypeAdapter(list[_Event]),
    "asks": TypeAdapter(list[_Ask]),
}


def read_rows(given: object, study: Study, *place: str | int) -> Rows:
    """Check all rows of a ledger, and give up what was running.

    Args:
        given: Rows by table.
        study: What they are to be results of.
        place: Where they stand in the file.

    Raises:
        InvalidError: If anything does not fit, with the first flaws.
    """
    if not isinstance(given, Mapping) or set(given) - set(TABLES):
        raise InvalidError.at(*place, what=f"must be an object of the tables {', '.join(TABLES)}")
    found: Rows = {table: _read(table, given.get(table, []), *place, table) for table in TABLES}
    flaws = [*_flaws_of_experiments(found, study, place), *_flaws_of_outcomes(found, study, place)]
    if flaws:
        raise InvalidError(flaws[:MOST_FLAWS])
    _give_up(found)
    return found


def n_starts(found: Rows) -> int:
    """Return how many experiments were started, what was given back untouched left aside."""
    return sum(row["claimed_at"] is not None and row["ending"] != "released" for row in found["attempts"])


def _read(table: str, given: object, *place: str | int) -> list[dict[str, Any]]:
    try:
        _MODELS[table].validate_python(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:MOST_FLAWS]
        raise InvalidError([Flaw((*place, *one["loc"]), one["msg"], one["type"]) for one in found]) from error
    listed: list[dict[str, Any]] = given  # type: ignore[assignment]  # the model has looked at it
    return [dict(row) for row in listed]


def _flaws_of_experiments(found: Rows, study: Study, place: Sequence[str | int]) -> list[Flaw]:
    flaws: list[Flaw] = []
    attempts: dict[str, dict[int, str]] = {}
    for row in found["attempts"]:
        attempts.setdefault(row["experiment"], {})[row["attempt"]] = row["state"]
    for i, row in enumerate(found["experiments"]):
        at = (*place, "experiments", i)
        if row["id"] != f"e{row['number']:04d}":
            flaws.append(Flaw((*at, "id"), f"must be e{row['number']:04d}, as its number is {row['number']}"))
        own = attempts.get(row["id"], {})
        if sorted(own) != list(range(1, row["attempt"] + 1)):
            flaws.append(Flaw((*at, "attempt"), "does not go with the attempts that are there"))
        elif not _goes_with(row["state"], own[row["attempt"]]):
            flaws.append(Flaw((*at, "state"), f"is {row['state']}, and its newest attempt is {own[row['attempt']]}"))
        if row["state"] != State.CANCELLED:  # that one may be of a time before the last variable
            flaws += _flaws_of_point(study, row["parameters"], (*at, "parameters"), is_open=row["state"] in PENDING)
    known = {row["id"] for row in found["experiments"]}
    strange = [name for name in attempts if name not in known]
    flaws += [Flaw((*place, "attempts"), f"{name} is no experiment of this file") for name in strange]
    return flaws


def _goes_with(state: str, newest: str) -> bool:
    if state in TERMINAL:
        return newest in ("ended", "running", "interrupted")
    return state == newest


def _flaws_of_point(study: Study, point: Mapping[str, Any], place: Sequence[str | int], *, is_open: bool) -> list[Flaw]:
    try:
        if is_open:
            study.space.check(point)
        else:
            study.space.check_as_run(point)
    except PointError as error:
        return list(InvalidError.of(error.mistakes, *place).flaws)
    return []


def _flaws_of_outcomes(found: Rows, study: Study, place: Sequence[str | int]) -> list[Flaw]:
    flaws: list[Flaw] = []
    names = {str(table.get("name")) for table in study.document.get("objectives", ())}
    completed = {row["id"] for row in found["experiments"] if row["state"] == State.COMPLETED}
    decided: set[str] = set()
    for i, row in enumerate(found["outcomes"]):
        at = (*place, "outcomes", i)
        if row["status"] == Status.COMPLETED:
            flaws += _flaws_of_point(study, row["parameters"], (*at, "parameters"), is_open=False)
            if set(row["measured"]) != names or not set(row["sems"]) <= names:
                flaws.append(Flaw((*at, "measured"), f"must have {', '.join(sorted(names))}"))
            if row["role"] == "result":
                decided.add(row["experiment"])
        flaws += [Flaw((*at, key), "is no time") for key in ("started_at", "finished_at") if not _is_time(row[key])]
    for i, row in enumerate(found["corrections"]):
        if set(row["measured"]) != names or not set(row["sems"]) <= names:
            flaws.append(Flaw((*place, "corrections", i, "measured"), f"must have {', '.join(sorted(names))}"))
    for name in sorted(completed ^ decided)[:MOST_FLAWS]:
        flaws.append(Flaw((*place, "outcomes"), f"{name} is completed, or has a result, and not both"))
    return flaws


def _is_time(text: str) -> bool:
    try:
        from_wire(text)
    except ValueError:
        return False
    return True


def _give_up(found: Rows) -> None:
    """Interrupt what was running; end the attempts that nobody will hear of again."""
    states = {row["id"]: row for row in found["experiments"]}
    for row in found["attempts"]:
        experiment = states[row["experiment"]]
        if row["state"] == "ended" or row["state"] == "queued":
            continue
        if experiment["state"] in TERMINAL or row["attempt"] != experiment["attempt"]:
            row["state"], row["ending"] = "ended", row["ending"] or "moved"
        else:
            row["state"] = experiment["state"] = str(State.INTERRUPTED)
