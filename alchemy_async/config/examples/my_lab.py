"""The instrument of this campaign: one function runs one experiment and returns what was measured.

It gets each parameter of campaign.toml by its name. As it stands it waits two seconds and computes
the yield of B in the reaction A -> B -> C; put the calls of your instrument in its place.
"""

from math import exp

from alchemy_async import Context


def reaction(temperature: float, time: float, context: Context) -> float:
    """Run one experiment and return its yield in %; temperature in K, time in minutes."""
    context.sleep(2)  # a wait that `alchemy-async cancel` can end; leave `context` out if you do not need it
    to_product = 0.05 * exp(-8000 * (1 / temperature - 1 / 350))  # rate of A -> B, per minute
    to_waste = 0.01 * exp(-12000 * (1 / temperature - 1 / 350))  # rate of B -> C, per minute
    return 100 * to_product / (to_waste - to_product) * (exp(-to_product * time) - exp(-to_waste * time))
