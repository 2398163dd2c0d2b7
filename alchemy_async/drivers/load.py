"""Loading: how the text after ``driver =`` becomes a driver.

In:    a name such as ``olympus:Branin`` or ``my_lab:reaction``, its options, the campaign folder.
Out:   a driver, not yet connected; or an error that says what to mend.
Never: connects to an instrument, or lets a driver's file end the process.

A prefix that is registered as entry point ``alchemy_async.drivers`` wins; its
factory is called with what follows the colon. Any other name is
``module:attribute``, and the campaign folder is the first place looked in.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast

from alchemy_async.drivers import Driver
from alchemy_async.drivers.function import AND_START_AGAIN, FunctionDriver, signature_of
from alchemy_async.errors import DriverError

GROUP = "alchemy_async.drivers"

Made = TypeVar("Made")


def load_driver(name: str, options: Mapping[str, object], folder: Path) -> Driver:
    """Return the driver of a name.

    Args:
        name: ``prefix:rest`` of a registered factory, or ``module:attribute``:
            a class with ``measure``, an object that has it, or a function.
        options: Passed by name to the factory, to the class, or to the
            function at each call. A factory that has an argument ``folder`` is
            given the campaign folder.
        folder: The campaign folder; put first on ``sys.path``.

    Raises:
        DriverError: If there is no such driver, its file can't be imported, or
            the options do not fit.
    """
    prefix, _, rest = name.partition(":")
    registered = entry_points(group=GROUP)
    if not prefix or not rest:
        raise DriverError(
            f'driver {name!r} must have two parts: `module:attribute`, such as "my_lab:reaction", '
            f'or one of {", ".join(sorted(registered.names))} and a name, such as "olympus:Branin".'
        )
    if prefix in registered.names:
        factory = _guarded(name, registered[prefix].load)
        if "folder" in getattr(signature_of(factory), "parameters", {}):
            options = {**options, "folder": folder}
        return _with_measure(name, _made(name, factory, (rest,), options))
    module = _import(name, prefix, folder, registered.names)
    return _as_driver(name, _attribute(name, module, rest), options)


def _as_driver(name: str, found: object, options: Mapping[str, object]) -> Driver:
    if inspect.isclass(found):
        return _with_measure(name, _made(name, found, (), options))
    if callable(getattr(found, "measure", None)):
        if options:
            raise DriverError(
                f"driver {name!r} is an object that exists already, so the options {', '.join(options)} reach nobody. "
                "Name its class instead, or take `options` out."
            )
        return _with_measure(name, found)
    if not callable(found):
        raise DriverError(
            f"driver {name!r} is a {type(found).__name__}. It must be a function, a class with `measure`, "
            "or an object that has it."
        )
    return FunctionDriver(found, options)


def _made(
    name: str, factory: Callable[..., object], arguments: tuple[str, ...], options: Mapping[str, object]
) -> object:
    signature = signature_of(factory)
    if signature is not None:
        try:
            signature.bind(*arguments, **options)
        except TypeError as error:
            known = [key for key in list(signature.parameters)[len(arguments) :] if key != "folder"]
            raise DriverError(
                f"the options of driver {name!r} do not fit: {error}. It takes {', '.join(known) or 'none'}; "
                f"mend the worker's `options` in campaign.toml, {AND_START_AGAIN}."
            ) from error
    return _guarded(name, lambda: factory(*arguments, **options))


def _with_measure(name: str, driver: object) -> Driver:
    measure = getattr(driver, "measure", None)
    if not callable(measure):
        raise DriverError(
            f"driver {name!r} makes a {type(driver).__name__} without `measure`. "
            "Give it `def measure(self, parameters, context)`."
        )
    signature = signature_of(measure)
    if signature is not None:
        try:
            signature.bind({}, None)
        except TypeError as error:
            raise DriverError(
                f"the `measure` of driver {name!r} takes {signature}. "
                "It is called with two things: `def measure(self, parameters, context)`."
            ) from error
    return cast("Driver", driver)


def _guarded(name: str, step: Callable[[], Made]) -> Made:
    try:
        return step()
    except DriverError:
        raise
    except (Exception, SystemExit) as error:
        raise DriverError(
            f"driver {name!r} could not be made: {type(error).__name__}: {error}. Mend it, or the worker's `options`."
        ) from error


def _import(name: str, module: str, folder: Path, registered: set[str]) -> ModuleType:
    _put_first(folder)
    _forget_namesake(name, module, folder)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DriverError(_what_is_missing(name, module, folder, registered, error.name or "")) from error
    except SyntaxError as error:
        raise DriverError(
            f"driver {name!r}: {error.filename}, line {error.lineno}, is not Python: {error.msg}. Mend that line."
        ) from error
    except (Exception, SystemExit) as error:  # a driver's file must not end the worker
        raise DriverError(
            f"driver {name!r}: importing {module} ended in {type(error).__name__}: {error}. "
            f"A driver's file should only define things; what acts belongs in `connect` or `setup`."
        ) from error


def _what_is_missing(name: str, module: str, folder: Path, registered: set[str], missing: str) -> str:
    if missing != module and not module.startswith(missing + "."):
        return (
            f"driver {name!r}: {module} imports {missing!r}, which is not installed. "
            f"Install it for {sys.executable}, or mend the import."
        )
    close = get_close_matches(module, registered, n=1)
    guess = f"Did you mean {close[0]!r}? Otherwise put" if close else "Put"
    return (
        f"driver {name!r}: there is no module {module!r}. Looked for {folder / module.replace('.', '/')}.py and "
        f"among the installed packages. {guess} the file there, or mend `driver` in campaign.toml, {AND_START_AGAIN}."
    )


def _put_first(folder: Path) -> None:
    place = str(folder.resolve())
    while place in sys.path:
        sys.path.remove(place)
    sys.path.insert(0, place)
    importlib.invalidate_caches()  # the file may be younger than Python's last look at the folder


def _forget_namesake(name: str, module: str, folder: Path) -> None:
    """Make room for the folder's module where one of its name was imported from elsewhere."""
    top = module.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    here = next((path for path in (folder / f"{top}.py", folder / top / "__init__.py") if path.is_file()), None)
    if here is None or top not in sys.modules or (loaded and Path(loaded).resolve() == here.resolve()):
        return
    if top in sys.stdlib_module_names or top == "alchemy_async":
        raise DriverError(
            f"driver {name!r}: {here} has the name of a module that is in use already. Rename the file, and the driver."
        )
    for key in [key for key in sys.modules if key == top or key.startswith(top + ".")]:
        del sys.modules[key]


def _attribute(name: str, module: ModuleType, attribute: str) -> object:
    try:
        return cast("object", getattr(module, attribute))
    except AttributeError as error:
        sys.modules.pop(module.__name__, None)  # the next try reads the file again, and somebody may have mended it
        names = [key for key in vars(module) if not key.startswith("_")]
        close = get_close_matches(attribute, names, n=3) or sorted(names)[:8]
        raise DriverError(
            f"driver {name!r}: {module.__file__ or module.__name__} has no {attribute!r}. "
            f"It has {', '.join(close) or 'nothing'}. Mend that file; or `driver` in campaign.toml, {AND_START_AGAIN}."
        ) from error
