"""Changing: what a session studies, at a client's request.

In:    a desk; variables, constraints and words for objectives.
Out:   campaign.toml and the ledger's idea of it, changed together; a crash between the two heals at the next start.
Never: lets in what was staged or measured would not fit, or a name that would run code; changes anything while a
       planner runs, which has read the file.
"""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alchemy_async import locks
from alchemy_async.errors import AlreadyRunningError, SettingsError
from alchemy_async.ledger import Change, planner_lock
from alchemy_async.ledger.reading import Reader
from alchemy_async.service.definition import variables as words
from alchemy_async.service.definition.fitting import check_fits
from alchemy_async.service.definition.study import Study, make_study, put_text, read_study, write_study
from alchemy_async.service.definition.variables import Constraint, Variable
from alchemy_async.service.problems import ConflictError, InvalidError, Place, ServiceError, UnknownError
from alchemy_async.service.staged.desk import Desk

Places = dict[tuple[str, int], Place]


@dataclass
class Draft:
    """A study while it is being changed.

    Args:
        document: All that campaign.toml is to say.
        labels: What clients said that has no place in campaign.toml.
        places: Where in the request each table stands.
    """

    document: dict[str, Any]
    labels: dict[str, Any]
    places: Places = field(default_factory=dict)

    @property
    def variables(self) -> list[dict[str, Any]]:
        """The tables of the variables."""
        found: list[dict[str, Any]] = self.document.setdefault("parameters", [])
        return found

    @property
    def constraints(self) -> list[dict[str, Any]]:
        """The tables of the constraints."""
        found: list[dict[str, Any]] = self.document.setdefault("constraints", [])
        return found

    def find(self, name: str) -> int:
        """Return the index of a variable.

        Raises:
            UnknownError: If there is none of that name.
        """
        for i, table in enumerate(self.variables):
            if table.get("name") == name:
                return i
        raise UnknownError(f"The session has no variable {name[:80]!r}. GET /variables lists all.")

    def label(self, variable: Variable) -> None:
        """Keep how hard a variable is to change."""
        changes = self.labels.setdefault("changes", {})
        changes.pop(variable.name, None)
        if variable.changes != "easy":
            changes[variable.name] = variable.changes

    def name_constraints(self, names: Sequence[str]) -> None:
        """Keep the names of all constraints, each with what it says."""
        self.labels["constraints"] = [list(pair) for pair in zip(names, self.constraints, strict=True)]


def labels_of(ledger: Reader) -> dict[str, Any]:
    """Return what clients said of variables, constraints and objectives that has no place in campaign.toml."""
    found: dict[str, Any] = json.loads(ledger.meta("labels") or "{}")
    return found


def constraint_names(labels: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name of each constraint; one that nobody named is ``constraint_`` and a number of its own."""
    known = [(name, table) for name, table in labels.get("constraints", ())]
    names: list[str | None] = []
    for table in tables:
        found = next((pair for pair in known if pair[1] == table), None)
        if found is not None:
            known.remove(found)
        names.append(None if found is None else found[0])
    taken = {name for name in names if name is not None}
    free = (f"constraint_{k}" for k in range(2 * len(names) + 1) if f"constraint_{k}" not in taken)
    return [next(free) if name is None else name for name in names]


def add_variable(desk: Desk, variable: Variable) -> Study:
    """Add a variable.

    Raises:
        ServiceError: If there is one of that name.
        InvalidError: If it does not fit the study.
        ConflictError: If the session has experiments, or a planner runs.
    """
    words.check_variable(variable)
    with _changing(desk) as draft:
        if any(table.get("name") == variable.name for table in draft.variables):
            raise ServiceError(f"Variable {variable.name!r} exists already. PUT /variables/{variable.name} changes it.")
        draft.places["parameters", len(draft.variables)] = ()
        draft.variables.append(words.as_table(variable))
        draft.label(variable)
    return desk.study


def replace_variable(desk: Desk, name: str, variable: Variable) -> Study:
    """Say anew what a variable is; its name stays.

    Raises:
        ServiceError: If the variable has another name.
        UnknownError: If there is none of that name.
        InvalidError: If it does not fit the study.
        ConflictError: If an experiment of the session would not fit, or a planner runs.
    """
    if variable.name != name:
        raise ServiceError(f"The body says {variable.name!r} and the address {name[:80]!r}. A variable keeps its name.")
    words.check_variable(variable)
    with _changing(desk) as draft:
        i = draft.find(name)
        draft.places["parameters", i] = ()
        draft.variables[i] = words.as_table(variable, draft.variables[i])
        draft.label(variable)
    return desk.study


def remove_variable(desk: Desk, name: str) -> Study:
    """Take a variable out.

    Raises:
        UnknownError: If there is none of that name.
        ConflictError: If the session has experiments, a constraint names it, or a planner runs.
    """
    with _changing(desk) as draft:
        i = draft.find(name)
        names = constraint_names(draft.labels, draft.constraints)
        using = [label for label, one in zip(names, draft.constraints, strict=True) if name in (one.get("terms") or {})]
        if using:
            raise ConflictError(
                f"Variable {name!r} stands in {', '.join(using)}. DELETE /constraints/{using[0]} first."
            )
        del draft.variables[i]
        draft.labels.get("changes", {}).pop(name, None)
    return desk.study


def load_variables(desk: Desk, variables: Sequence[Variable], constraints: Sequence[Constraint], *place: str) -> Study:
    """Put these variables and constraints in place of all that there are; a person's functions stay.

    Args:
        desk: The session.
        variables: All of them.
        constraints: All of them.
        place: Where in the request they stand.

    Raises:
        InvalidError: If they do not fit one another.
        ConflictError: If an experiment of the session would not fit, or a planner runs.
    """
    for i, variable in enumerate(variables):
        words.check_variable(variable, *place, "variables", i)
    with _changing(desk) as draft:
        was = {table.get("name"): table for table in draft.variables}
        draft.document["parameters"] = [words.as_table(one, was.get(one.name)) for one in variables]
        draft.labels.pop("changes", None)
        functions = [table for table in draft.constraints if "function" in table]
        tables = [words.constraint_table(one, *place, "constraints", i) for i, one in enumerate(constraints)]
        draft.document["constraints"] = [*functions, *tables]
        names = [one.name for one in constraints]
        _check_distinct(names, *place)
        draft.labels["constraints"] = [[name, table] for name, table in zip(names, tables, strict=True) if name]
        for i, variable in enumerate(variables):
            draft.label(variable)
            draft.places["parameters", i] = (*place, "variables", i)
        for i in range(len(tables)):
            draft.places["constraints", len(functions) + i] = (*place, "constraints", i)
    return desk.study


def _check_distinct(names: Sequence[str | None], *place: str) -> None:
    given = [name for name in names if name is not None]
    for i, name in enumerate(names):
        if name is not None and given.count(name) > 1:
            raise InvalidError.at(*place, "constraints", i, "name", what="is given twice. Rename one of the two")


def add_constraint(desk: Desk, constraint: Constraint) -> str:
    """Add a constraint; return its name.

    Raises:
        ServiceError: If there is one of that name.
        InvalidError: If it does not fit the study.
        ConflictError: If an experiment that is still to be run would not meet it, or a planner runs.
    """
    with _changing(desk) as draft:
        if not draft.variables:
            raise InvalidError.at("coefficients", what="name variables, and the session has none. Add them first")
        names = constraint_names(draft.labels, draft.constraints)
        if constraint.name in names:
            raise ServiceError(
                f"Constraint {constraint.name!r} exists already. DELETE it first, or choose another name."
            )
        k = len(names)
        while f"constraint_{k}" in names:
            k += 1
        name = constraint.name or f"constraint_{k}"
        draft.places["constraints", len(names)] = ()
        draft.constraints.append(words.constraint_table(constraint))
        draft.name_constraints([*names, name])
    return name


def remove_constraint(desk: Desk, name: str) -> Study:
    """Take a constraint out.

    Raises:
        UnknownError: If there is none of that name.
        ConflictError: If it is a person's function, or a planner runs.
    """
    with _changing(desk) as draft:
        names = constraint_names(draft.labels, draft.constraints)
        if name not in names:
            listed = ", ".join(names) or "none"
            raise UnknownError(f"The session has no constraint {name[:80]!r}. Those that it has: {listed}.")
        i = names.index(name)
        if "function" in draft.constraints[i]:
            raise ConflictError(f"{name} is a person's function in campaign.toml. Only a person can take it out there.")
        del names[i], draft.constraints[i]
        draft.name_constraints(names)
    return desk.study


def describe_objectives(desk: Desk, said: Mapping[str, Mapping[str, str | None]]) -> dict[str, dict[str, str | None]]:
    """Keep what people call the objectives; None takes a word back.

    Raises:
        InvalidError: If there is no such objective.
    """
    known = [str(table.get("name")) for table in desk.study.document.get("objectives", ())]
    for name in said:
        if name not in known:
            raise InvalidError.at("metadata", name, what=f"is no objective. The objectives are {', '.join(known)}")
    with desk.turn() as turn:
        labels = labels_of(turn.ledger)
        noted = labels.setdefault("objectives", {})
        for name, fields in said.items():
            noted.setdefault(name, {}).update(fields)
        turn.change.set_meta(labels=json.dumps(labels))
        turn.change.note("objective_label_changed", metadata={name: dict(fields) for name, fields in said.items()})
    found: dict[str, dict[str, str | None]] = noted
    return found


@contextmanager
def _changing(desk: Desk) -> Iterator[Draft]:
    """Change a study: all of it, or nothing.

    Raises:
        InvalidError: If the changed study has mistakes.
        ConflictError: If the ledger would not fit it, or a planner runs.
    """
    with desk.look(), no_planner(desk):
        present = read_study(desk.folder)
        written: Study | None = None
        try:
            with desk.turn() as turn:
                draft = Draft(copy.deepcopy(dict(present.document)), labels_of(turn.ledger))
                yield draft
                wanted = _check(draft, present)
                check_fits(turn.ledger, wanted)
                written = write_study(wanted)  # first: what the file says, the next start brings the ledger to
                follow(turn.change, written, labels=json.dumps(draft.labels))
        except (OSError, sqlite3.Error):
            if written is not None:
                put_text(desk.folder, present.text)
            raise
        desk.study = written


def _check(draft: Draft, present: Study) -> Study:
    document = {key: value for key, value in draft.document.items() if value != []}
    try:
        return make_study(document, present.folder, text=present.text)
    except SettingsError as error:
        raise words.in_their_words(error.mistakes, draft.places) from error


def follow(change: Change, study: Study, **more: str) -> None:
    """Bring the ledger's idea of the study to what campaign.toml says."""
    change.set_meta(study=json.dumps(study.as_study()), **more)
    change.note("study_changed", study=study.as_study())


@contextmanager
def no_planner(desk: Desk) -> Iterator[None]:
    """Keep planners off the session for as long as the block lasts.

    Raises:
        ConflictError: If one runs.
    """
    path = planner_lock(desk.study.ledger_path)
    mend = (
        "Stop it first: PUT /control with requested `pause`, which ends it once nothing runs, or stop the `plan` "
        "command in its folder."
    )
    try:
        lock = locks.hold(path, what="A planner runs on this session, and has read what it studies", mend=mend)
    except AlreadyRunningError as error:
        what = f"A planner runs on this session, and has read what it studies ({error.holder})"
        raise ConflictError(f"{what}. {mend}") from error
    with lock:
        yield
