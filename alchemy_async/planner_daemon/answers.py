"""Answers: whether what a planner said can be offered to an instrument.

In:    an answer; a planner of one's own may put anything into it.
Out:   the same with its points in canonical form, or an answer that says what is wrong.
Never: mends a point, or lets half an answer through.
"""

from __future__ import annotations

import dataclasses
import json

from alchemy_async.errors import PointError
from alchemy_async.experiment import Suggestion
from alchemy_async.planner_daemon.asker import Answer
from alchemy_async.space import Space


def check(answer: Answer, space: Space) -> Answer:
    """Return the answer if each suggestion is a point of the space that the ledger can keep, else one with an error."""
    try:
        return dataclasses.replace(answer, suggestions=tuple(_checked(one, space) for one in answer.suggestions))
    except (PointError, TypeError, ValueError) as error:
        return Answer((), answer.seconds, f"it suggested what can't be measured: {error}")


def _checked(suggestion: object, space: Space) -> Suggestion:
    if not isinstance(suggestion, Suggestion):
        raise TypeError(f"a {type(suggestion).__name__}. Let `ask` return a list of `Suggestion`s.")
    if not isinstance(suggestion.origin, str) or not isinstance(suggestion.reason, str):
        raise TypeError("a point whose origin or reason is no text.")
    try:
        json.dumps(dict(suggestion.metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata that JSON can't hold ({error}). Turn arrays into lists of plain numbers.") from None
    return dataclasses.replace(suggestion, parameters=space.check(suggestion.parameters))
