"""Rules: a person's own function that says which points are possible.

In:    the name of a function, the folder that its module lies in, points.
Out:   whether a point is possible, or an error that names the function and the point.
Never: moves a point, or asks twice about the same one.

A rule holds texts alone, so that it can be sent to another process, which then imports the module itself.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from alchemy_async.errors import RuleError
from alchemy_async.space.parameters import Point, Value

_MOST_KEPT = 100_000  # verdicts; a search asks about the same starts again and again


@dataclass(frozen=True)
class Rule:
    """A function that is given parameters by name and answers True where they are possible together.

    It is given those parameters that it has arguments for, or all of them with ``**parameters``. The
    same values must always bring the same answer.

    Args:
        function: ``module:function``.
        folder: Where the module is looked for first; empty: only where Python looks anyway.
    """

    function: str
    folder: str = ""

    def is_met(self, point: Point) -> bool:
        """Tell whether a point is possible.

        Raises:
            RuleError: If the function can't be imported or called, fails, or answers neither True nor False.
        """
        return _judge(self.function, self.folder, tuple(point)).verdict(point)

    def check(self, names: Sequence[str]) -> None:
        """Import the function and see whether it can be called with these parameters.

        Raises:
            RuleError: If it can't.
        """
        _judge(self.function, self.folder, tuple(names))

    def __str__(self) -> str:
        return self.function


class _Judge:
    """An imported function with its verdicts."""

    def __init__(self, name: str, function: Callable[..., object], wanted: tuple[str, ...]) -> None:
        self._name, self._function, self._wanted = name, function, wanted
        self._verdicts: dict[tuple[Value, ...], bool] = {}

    def verdict(self, point: Point) -> bool:
        key = tuple(point[name] for name in self._wanted)
        found = self._verdicts.get(key)
        if found is None:
            found = self._ask(dict(zip(self._wanted, key, strict=True)))
            if len(self._verdicts) >= _MOST_KEPT:
                self._verdicts.clear()
            self._verdicts[key] = found
        return found

    def _ask(self, arguments: dict[str, Value]) -> bool:
        shown = ", ".join(f"{name} = {value!r}" for name, value in arguments.items())
        try:
            answer = self._function(**arguments)
        except Exception as error:
            what = f"{self._name} failed at {shown}: {type(error).__name__}: {error}"
            raise RuleError(what, "Mend it: it must answer True or False for every point within the bounds.") from error
        if not isinstance(answer, (bool, np.bool_)):
            what = f"{self._name} answered {repr(answer)[:40]} at {shown}"
            raise RuleError(what, "Let it return True where the point is possible, and False where it is not.")
        return bool(answer)


@lru_cache(maxsize=16)
def _judge(name: str, folder: str, names: tuple[str, ...]) -> _Judge:
    module_name, _, attribute = name.partition(":")
    with _importable(folder):
        _forget_namesake(module_name, folder)
        module = _import(name, module_name)
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [key for key, found in vars(module).items() if callable(found) and not key.startswith("_")]
        close = get_close_matches(attribute, known, n=1)
        mend = f"Did you mean {close[0]!r}?" if close else f"Define `def {attribute}(...)` there."
        raise RuleError(f"{module.__file__ or module_name} has no function {attribute!r}", mend)
    return _Judge(name, function, _wanted(name, function, names))


def _import(name: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        what = f"{name} can't be imported: {type(error).__name__}: {error}"
        raise RuleError(what, f"Put {module}.py beside campaign.toml, or mend it.") from error


def _wanted(name: str, function: Callable[..., object], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return which parameters a function is given."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return names
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
        return names
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for argument in arguments:
        is_needed = argument.default is argument.empty and argument.kind is not argument.VAR_POSITIONAL
        if is_needed and (argument.name not in names or argument.kind not in by_name):
            close = get_close_matches(argument.name, names, n=1)
            mend = f"Did you mean {close[0]!r}?" if close else f"The parameters are {', '.join(names)}."
            raise RuleError(f"{name} has an argument {argument.name!r}, which is no parameter", mend)
    known = {argument.name for argument in arguments if argument.kind in by_name}
    return tuple(given for given in names if given in known)


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    if not folder:
        yield
        return
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the file may be younger than Python's last look at the folder
    try:
        yield
    finally:
        sys.path.remove(folder)


def _forget_namesake(module: str, folder: str) -> None:
    """Make room for the folder's module where one of its name was imported from elsewhere."""
    top = module.partition(".")[0]
    here = next(
        (p for p in (Path(folder, f"{top}.py"), Path(folder, top, "__init__.py")) if folder and p.is_file()), None
    )
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if here is None or not loaded or Path(loaded).resolve() == here.resolve() or top in sys.stdlib_module_names:
        return
    for key in [key for key in sys.modules if key == top or key.startswith(top + ".")]:
        del sys.modules[key]
