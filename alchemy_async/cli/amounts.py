"""Amounts: how numbers, points and times stand in a sentence.

In:    plain values, as the picture and the explanation have them.
Out:   short texts: as many digits as mean something, units, UTC.
Never: rounds a number that a program reads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping


def value(number: object) -> str:
    """Return a parameter's or objective's value: six digits of a number, any other as it is."""
    if isinstance(number, float):
        return f"{number:.6g}"
    return number if isinstance(number, str) else json.dumps(number)


def measured(number: float, unit: str) -> str:
    """Return a value with its unit."""
    return f"{number:.6g} {unit}".rstrip()


def with_doubt(mean: float, sd: float, unit: str) -> str:
    """Return a prediction with its standard deviation, to two digits of that: ``86.9 ± 2.8 %``."""
    if not sd > 0 or not math.isfinite(sd):
        return measured(mean, unit)
    digits = 1 - math.floor(math.log10(float(f"{sd:.1e}")))
    if not -4 <= digits <= 6:
        return f"{mean:.4g} ± {sd:.2g} {unit}".rstrip()
    return f"{round(mean, digits):.{max(digits, 0)}f} ± {round(sd, digits):.{max(digits, 0)}f} {unit}".rstrip()


def share(part: float) -> str:
    """Return a share or a chance in percent, without claiming that anything is sure."""
    if part < 0.01:
        return "less than 1 %"
    return "more than 99 %" if part > 0.99 else f"{part:.0%}".replace("%", " %")


def point(parameters: Mapping[str, object], units: Mapping[str, str]) -> str:
    """Return all parameters of a point with their units."""
    return ", ".join(f"{name} = {value(found)} {units.get(name, '')}".rstrip() for name, found in parameters.items())


def moment(at: str) -> str:
    """Return a time of the wire format to the second."""
    return at[:19].replace("T", " ")


def clock_time(at: str, since: str) -> str:
    """Return a time of the wire format; of the same day as ``since``, only the time of day."""
    return at[11:19] if at[:10] == since[:10] else moment(at)


def listed(names: list[str], most: int = 6) -> str:
    """Return names in a row, ``and 3 more`` where there are more than ``most``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
