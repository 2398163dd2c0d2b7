"""Machines: what simulated workers can run, where the options of a parameter are machines.

In:    a campaign, and how many workers are simulated.
Out:   the labels of each of them; a refusal where they are too few for all machines.
Never: says who runs what; workers choose for themselves among what they can run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product, zip_longest

from alchemy_async.config import CampaignSettings
from alchemy_async.simulation import SimulationError

Labels = tuple[str, ...]


def labels(settings: CampaignSettings, n_workers: int) -> list[Labels]:
    """Return the labels of each of so many workers.

    They are those of the campaign's own workers, one of each group before the second of any, and so on in turn;
    where the campaign names no workers, each has one machine, in turn.

    Args:
        settings: The campaign.
        n_workers: How many workers are simulated, > 0.
    """
    known = _known(settings)
    return [known[k % len(known)] for k in range(n_workers)]


def check(settings: CampaignSettings, n_workers: int) -> None:
    """Refuse too few workers: what is planned for a machine that nobody has would wait for ever.

    Args:
        settings: The campaign.
        n_workers: How many workers are to be simulated, > 0.

    Raises:
        SimulationError: If they can't run on every machine that the campaign's workers have.
    """
    machines, known = list(product(*settings.ties().values())), _known(settings)
    needed = next(n for n in range(1, len(known) + 1) if _run_by(known[:n], machines) == _run_by(known, machines))
    if n_workers < needed:
        can = _run_by(known[:n_workers], machines)
        left = next(machine for machine in _run_by(known, machines) if machine not in can)
        raise SimulationError(
            f"{len(machines)} machines and {n_workers} worker{'' if n_workers == 1 else 's'}: nobody could run what is "
            f"planned for {' with '.join(left)}. Give --workers {needed} or more."
        )


def _known(settings: CampaignSettings) -> list[Labels]:
    groups = [[group.labels] * group.count for group in settings.workers]
    own = [labels for row in zip_longest(*groups) for labels in row if labels is not None]
    return own or list(product(*settings.ties().values()))


def _run_by(workers: Sequence[Labels], machines: Sequence[Labels]) -> list[Labels]:
    return [machine for machine in machines if any(set(machine) <= set(labels) for labels in workers)]
