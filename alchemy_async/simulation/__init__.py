"""Simulation: whole campaigns in simulated time, through the very daemon that runs real ones.

In:    a campaign, a function or driver, workers, durations, how long an ask takes, seeds.
Out:   campaigns' ledgers, filled as a lab would have filled them, and figures of each.
Never: sleeps, or copies a decision that the planner daemon makes.

    lab          workers around a planner daemon, moved from event to event
    machines     which of them each worker has
    queue        the planner's end of a queue in memory
    asker        an answer that is there after so many simulated seconds
    durations    how long an experiment takes
    instrument   what becomes of a driver's answer or exception
    figures      what one campaign showed
    campaigns    a campaign file, run once for each seed
"""

from alchemy_async.errors import AlchemyError


class SimulationError(AlchemyError):
    """A campaign can't be simulated as it was asked for."""
