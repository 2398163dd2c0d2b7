"""Errors: one base, so that a caller can catch all that this package raises on purpose.

In:    values that explain what went wrong.
Out:   exceptions whose message says what, why, and how to mend it.
Never: decides what happens next.

    AlchemyError
    ├── SettingsError            campaign.toml has mistakes, or does not fit the ledger
    ├── PointError               parameters that do not fit the search space
    ├── WireError                a message in a folder that is not valid
    │   └── NewerFormatError     ... because a newer version wrote it
    ├── FolderError              a campaign folder that can't be used
    ├── AlreadyRunningError      somebody else holds the lock
    ├── LedgerError              the ledger can't be opened
    │   ├── UnknownExperimentError
    │   ├── IllegalTransitionError
    │   └── BudgetError          no place left
    ├── PlannerError             a planner that can't do what the campaign asks for
    ├── RuleError                a person's function of what is possible that can't say
    └── DriverError              raised by, or about, an instrument driver
        ├── LimitError           the point is outside what the instrument allows: infeasible, no retry
        ├── RetryableError       worth another attempt
        ├── NotStartedError      nothing was done: give the experiment back
        └── StoppedError         the measurement was broken off because somebody asked for it
"""

from __future__ import annotations

from dataclasses import dataclass


class AlchemyError(Exception):
    """Base of every error that alchemy_async raises on purpose."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a file: where it is, what is wrong, and how to mend it."""

    path: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {self.mend}"


class SettingsError(AlchemyError):
    """A settings file has mistakes; ``mistakes`` holds every one of them."""

    def __init__(self, source: str, mistakes: list[Mistake]) -> None:
        self.source = source
        self.mistakes = list(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        super().__init__(f"{source} has {count}:\n{lines}")


class PointError(AlchemyError):
    """Parameters do not fit the search space; ``mistakes`` holds every reason."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("; ".join(str(mistake) for mistake in mistakes))


class WireError(AlchemyError):
    """A file of the folder protocol is not valid; ``field`` says where."""

    def __init__(self, message: str, *, field: str = "") -> None:
        self.field = field
        super().__init__(message)


class NewerFormatError(WireError):
    """A file was written by a newer version of the folder protocol."""


class FolderError(AlchemyError):
    """A campaign folder is missing, belongs to another campaign, or can't be written."""


class AlreadyRunningError(AlchemyError):
    """Another process holds the lock; ``holder`` describes it."""

    def __init__(self, message: str, *, holder: str = "") -> None:
        self.holder = holder
        super().__init__(message)


class LedgerError(AlchemyError):
    """The ledger can't be opened, or was made by another version or campaign."""


class UnknownExperimentError(LedgerError):
    """The ledger has no such experiment."""

    def __init__(self, experiment: str) -> None:
        self.experiment = experiment
        super().__init__(
            f"The ledger has no experiment {experiment!r}. "
            "`alchemy-async export --format csv` lists all that there are."
        )


class IllegalTransitionError(LedgerError):
    """An experiment can't go from its present state to the one asked for."""

    def __init__(self, experiment: str, present: str, wanted: str, mend: str) -> None:
        self.experiment, self.present, self.wanted = experiment, present, wanted
        super().__init__(f"{experiment} is {present} and can't be {wanted}. {mend}")


class BudgetError(LedgerError):
    """No place is left in the budget."""


class PlannerError(AlchemyError):
    """A planner can't be loaded, or can't do what the campaign asks for."""


class RuleError(AlchemyError):
    """A person's function of what is possible can't be imported or called, or failed at a point."""

    def __init__(self, what: str, mend: str) -> None:
        self.what, self.mend = what, mend
        super().__init__(f"{what}. {mend}")


class DriverError(AlchemyError):
    """An instrument driver can't be loaded, or failed."""


class LimitError(DriverError):
    """The instrument refuses this point; the experiment is infeasible and not tried again."""


class RetryableError(DriverError):
    """The attempt failed in a way that is worth another attempt."""


class NotStartedError(DriverError):
    """Nothing was done to the sample; the experiment goes back to the queue."""


class StoppedError(DriverError):
    """The measurement was broken off because somebody asked for it."""
