"""Olympus as an instrument: its 23 analytic surfaces, with noise and durations if wanted.

In:    ``olympus:Branin`` and its options.
Out:   a driver whose measurement is the value of the surface.
Never: imports Olympus before ``connect`` or the first measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from alchemy_async.drivers import Context, Measured
from alchemy_async.drivers.durations import Durations, stream
from alchemy_async.drivers.surfaces import SURFACES, Bounds, Surface, load_surface, n_parameters_wanted
from alchemy_async.errors import DriverError, LimitError
from alchemy_async.experiment import Observation

if TYPE_CHECKING:
    from alchemy_async.space import Point

_SLACK = 1e-9  # of a parameter's range: rounding, not a violation


def driver(
    surface: str,
    *,
    domain: str = "unit",
    noise: float = 0.0,
    durations: Sequence[float] | None = None,
    seed: int | None = None,
    parameters: Sequence[str] | None = None,
) -> OlympusDriver:
    """Return a driver that measures a surface.

    Args:
        surface: Name of the surface, such as ``Branin``.
        domain: ``unit``: every parameter goes from 0 to 1; ``physical``: within
            the bounds of the literature, such as [-5, 10] and [0, 15] for Branin.
        noise: Standard deviation of a normal error, in units of the value; it
            is reported as the standard error.
        durations: Shortest and longest time of a measurement in seconds, drawn
            anew for each attempt; None: no time passes.
        seed: Seed of noise and durations; None: fresh entropy.
        parameters: Names of the parameters, x0 first; None: all, in the order of
            the campaign.

    Raises:
        DriverError: If there is no such surface, or an option does not fit it.
    """
    if surface not in SURFACES:
        close = get_close_matches(surface.title(), SURFACES, n=3, cutoff=0.5) or sorted(SURFACES)
        raise DriverError(f"Olympus has no surface {surface!r}. Name one of its own: {', '.join(close)}.")
    if domain not in ("unit", "physical"):
        raise DriverError(f'domain = {domain!r} is neither "unit" nor "physical". Write one of the two.')
    if domain == "physical" and SURFACES[surface] is None:
        raise DriverError(f'{surface} is defined on the unit square alone. Write domain = "unit", bounds = [0, 1].')
    if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 <= noise < math.inf:
        raise DriverError(f"noise = {noise!r} is no standard deviation. Give a number, 0 or larger.")
    limits = SURFACES[surface] if domain == "physical" else None
    return OlympusDriver(surface, limits or ((0.0, 1.0),), noise, Durations(durations, seed), seed, parameters)


class OlympusDriver:
    """A surface of Olympus behind ``measure``; `driver` describes the options."""

    idempotent = True

    def __init__(
        self,
        surface: str,
        limits: Sequence[Bounds],
        noise: float,
        durations: Durations,
        seed: int | None,
        parameters: Sequence[str] | None,
    ) -> None:
        self._surface = surface
        self._limits = tuple(limits)
        self._noise = float(noise)
        self._durations = durations
        self._seed = seed
        self._parameters = None if parameters is None else tuple(parameters)
        self._make: Callable[[int], Surface] | None = None
        self._made: dict[int, Surface] = {}

    def connect(self) -> None:
        """Import the surface.

        Raises:
            DriverError: If Olympus is not installed, or is another release.
        """
        self._make = self._make or load_surface(self._surface)

    def check(self, parameters: Point) -> None:
        """Refuse a point outside the bounds.

        Raises:
            LimitError: If it is.
            DriverError: If these are not parameters that the surface can have.
        """
        self._coordinates(parameters)

    def measure(self, parameters: Point, context: Context) -> Measured:
        """Return the value of the surface, with its noise.

        Raises:
            LimitError: If the point is outside the bounds.
            DriverError: If these are not parameters that the surface can have.
            StoppedError: If somebody asked to stop meanwhile.
        """
        coordinates = self._coordinates(parameters)
        value = self._surface_of(len(coordinates))(coordinates)
        self._durations.spend(context)
        if not self._noise:
            return value
        name = context.objectives[0] if context.objectives else "value"
        value += stream(self._seed, context, "noise").gauss(0.0, self._noise)
        return Observation({name: value}, sems={name: self._noise})

    def _surface_of(self, n: int) -> Surface:
        self.connect()
        if n not in self._made and self._make is not None:
            self._made[n] = self._make(n)
        return self._made[n]

    def _coordinates(self, parameters: Point) -> list[float]:
        """Return the point in the unit cube, in the surface's order."""
        names = self._names(parameters)
        limits = self._limits * len(names) if len(self._limits) == 1 else self._limits
        return [_to_unit(name, parameters[name], *bounds) for name, bounds in zip(names, limits, strict=True)]

    def _names(self, parameters: Point) -> tuple[str, ...]:
        names = tuple(parameters) if self._parameters is None else self._parameters
        missing = [name for name in names if name not in parameters]
        if missing:
            raise DriverError(
                f"the campaign has no parameter {missing[0]!r}; it has {', '.join(parameters)}. "
                "Mend `parameters` in the worker's options."
            )
        least, most = n_parameters_wanted(self._surface)
        if len(names) < least or (most is not None and len(names) > most):
            wanted = f"{least}" if most == least else f"at least {least}"
            raise DriverError(
                f"{self._surface} has {wanted} parameters and was given {len(names)}: {', '.join(names)}. "
                "Change the campaign, or say which ones in the worker's options: parameters = [...]."
            )
        return names


def _to_unit(name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        raise DriverError(f"{name} = {value!r} is no number, and a surface has only numbers. Make it continuous.")
    coordinate = (value - low) / (high - low)
    if not -_SLACK <= coordinate <= 1.0 + _SLACK:
        raise LimitError(
            f"{name} = {value:g} is outside {low:g} to {high:g}. "
            "Set its bounds to that, or the worker's option `domain`."
        )
    return min(max(coordinate, 0.0), 1.0)
