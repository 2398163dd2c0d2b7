"""Functions as drivers: a plain or ``async`` function, called with the parameters by name.

In:    a function, and the options of its worker.
Out:   a driver.
Never: changes what the function returns or raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from alchemy_async.drivers import Context
from alchemy_async.errors import DriverError

if TYPE_CHECKING:
    from alchemy_async.space import Point

AND_START_AGAIN = "and start `alchemy-async work` again"  # a pool reads campaign.toml once


class FunctionDriver:
    """A driver that calls a function.

    The function is given the parameters and the options as keywords, and the
    context if it has an argument of that name. What an ``async`` function
    returns is awaited by whoever runs the driver. A function that carries the
    attribute ``idempotent`` passes it on.

    Args:
        function: The function.
        options: What it is given at every call beside the parameters.

    Raises:
        DriverError: If the function takes no argument of an option's name.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, object]) -> None:
        self._function = function
        self._options = dict(options)
        self._signature = signature_of(function)
        self._name = getattr(function, "__name__", type(function).__name__)
        self._wants_context = self._signature is not None and "context" in self._signature.parameters
        self.idempotent = bool(getattr(function, "idempotent", False))
        self._check_options()

    def measure(self, parameters: Point, context: Context) -> Any:  # noqa: ANN401  (whatever the function returns; the executor checks it)
        """Call the function and return what it returns.

        Raises:
            DriverError: If it can't be called with these parameters.
        """
        twice = sorted(set(parameters) & set(self._options))
        if twice:
            raise DriverError(
                f"{', '.join(map(repr, twice))} is a parameter and an option too, so {self._name} would be given it "
                "twice. Rename it, or take it out of the worker's `options`."
            )
        arguments: dict[str, Any] = {**parameters, **self._options}
        if self._wants_context:
            arguments.setdefault("context", context)
        if self._signature is not None:
            try:
                self._signature.bind(**arguments)
            except TypeError as error:
                raise DriverError(
                    f"{self._name}{self._signature} can't be called with {', '.join(arguments) or 'nothing'}: {error}. "
                    "Give its arguments the names of the parameters in campaign.toml."
                ) from error
        return self._function(**arguments)

    def _check_options(self) -> None:
        if self._signature is None:
            return
        try:
            self._signature.bind_partial(**self._options)
        except TypeError as error:
            raise DriverError(
                f"the worker's `options` do not fit {self._name}{self._signature}: {error}. "
                f"Mend `options` in campaign.toml, or add the argument to {self._name}; {AND_START_AGAIN}."
            ) from error


def signature_of(called: Callable[..., Any]) -> inspect.Signature | None:
    """Return how something is called; None where it does not say, as some written in C."""
    try:
        return inspect.signature(called)
    except (TypeError, ValueError):
        return None
