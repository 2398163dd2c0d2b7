"""Olympus' surfaces: their names, their physical bounds, and how one is had without the rest of Olympus.

In:    the name of a surface, and a number of parameters.
Out:   a function of the unit cube.
Never: imports Olympus' planners, datasets and databases, or leaves a module of it behind.

``import olympus`` runs 1,600 modules, prints, warns and writes a folder into
site-packages. A surface needs five of them. They are imported here beneath a
bare package of the same name, which is taken away again afterwards, so that
another driver of the same process may still import all of Olympus.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from alchemy_async.errors import DriverError

Bounds = tuple[float, float]
Surface = Callable[[Sequence[float]], float]

# Physical bounds of each parameter as Olympus itself scales the unit cube (one pair: the same for all);
# None: the surface is defined on the unit square alone.
SURFACES: dict[str, tuple[Bounds, ...] | None] = {
    "AckleyPath": ((-32, 32),),
    "Branin": ((-5, 10), (0, 15)),
    "Dejong": ((-5, 5),),
    "Denali": None,
    "DiscreteAckley": ((-50, 50),),
    "DiscreteDoubleWell": ((-15, 85),),
    "DiscreteMichalewicz": ((-40, 60),),
    "Everest": None,
    "GaussianMixture": None,
    "HyperEllipsoid": ((-5, 5),),
    "K2": None,
    "Kilimanjaro": None,
    "Levy": ((-10, 10),),
    "LinearFunnel": ((-5, 5),),
    "Matterhorn": None,
    "Michalewicz": ((0, math.pi),),
    "MontBlanc": None,
    "NarrowFunnel": ((-50, 50),),
    "Rastrigin": ((-5, 5),),
    "Rosenbrock": ((-2, 2),),
    "Schwefel": ((-500, 500),),
    "StyblinskiTang": ((-5, 5),),
    "Zakharov": ((-5, 10),),
}
_TWO_PARAMETERS = frozenset({"Branin", "Denali", "Everest", "K2", "Kilimanjaro", "Matterhorn", "MontBlanc"})
_LEAST_PARAMETERS = {"Rosenbrock": 2}
_importing = threading.Lock()


def n_parameters_wanted(surface: str) -> tuple[int, int | None]:
    """Return the least and the largest number of parameters of a surface; None: no largest."""
    if surface in _TWO_PARAMETERS:
        return 2, 2
    return _LEAST_PARAMETERS.get(surface, 1), None


def load_surface(surface: str) -> Callable[[int], Surface]:
    """Import a surface, and return what makes it for a number of parameters.

    Args:
        surface: One of ``SURFACES``.

    Returns:
        A function of the number of parameters, which returns a function of
        coordinates in the unit cube, shape ``(n,)``, which returns the value.

    Raises:
        DriverError: If Olympus is not installed, or is another release.
    """
    with _importing, _bare_olympus(surface):
        importlib.import_module("olympus.objects")
        loader: Any = importlib.import_module("olympus.surfaces")
        kind = loader.import_surface(surface)

    def make(n: int) -> Surface:
        made = _make(surface, kind, n)
        return lambda coordinates: float(made.run(list(coordinates))[0][0])

    return make


class _Runs(Protocol):
    def run(self, params: list[float]) -> Sequence[Sequence[float]]: ...


def _make(surface: str, kind: Callable[..., _Runs], n: int) -> _Runs:
    if surface in _TWO_PARAMETERS:
        return _with_global_stream_kept(kind)
    if surface == "GaussianMixture":  # drawn at random: with one seed, so that all workers measure the same surface
        return _with_global_stream_kept(lambda: kind(param_dim=n, random_seed=0))
    return kind(param_dim=n)


def _with_global_stream_kept(make: Callable[[], _Runs]) -> _Runs:
    """Make a surface that seeds numpy's global stream, and put the stream back."""
    import numpy as np

    state = np.random.get_state()
    try:
        return make()
    finally:
        np.random.set_state(state)


@contextlib.contextmanager
def _bare_olympus(surface: str) -> Iterator[None]:
    before = _olympus_modules()
    for name in before:
        del sys.modules[name]
    try:
        root = _package("olympus")
        logger: Any = importlib.import_module("olympus.utils.logger")
        root.Logger = logger.MessageLogger(verbosity=0)  # type: ignore[attr-defined]  # 0: fatal errors only
        _package("olympus.campaigns")  # its own __init__ imports the whole of Olympus
        yield
    except (ImportError, AttributeError, OSError) as error:
        raise DriverError(
            f"the surface {surface} could not be imported from Olympus: {type(error).__name__}: {error}. "
            f"Install the release that this driver knows: {sys.executable} -m pip install olymp==0.0.1b0"
        ) from error
    finally:
        for name in _olympus_modules():
            del sys.modules[name]
        sys.modules.update(before)


def _olympus_modules() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "olympus"}


def _package(name: str) -> ModuleType:
    """Put a package into ``sys.modules`` without running its ``__init__``."""
    package = ModuleType(name)
    package.__path__ = [str(olympus_folder().joinpath(*name.split(".")[1:]))]
    sys.modules[name] = package
    return package


def olympus_folder() -> Path:
    """Return the folder that Olympus is installed in, without importing it.

    Raises:
        DriverError: If it is not installed.
    """
    loaded = sys.modules.get("olympus")
    paths = getattr(loaded, "__path__", None)
    if paths is None:
        spec = importlib.util.find_spec("olympus")
        paths = spec.submodule_search_locations if spec else None
    if not paths:
        raise DriverError(f"Olympus is not installed. Install it: {sys.executable} -m pip install olymp==0.0.1b0")
    return Path(next(iter(paths)))
