"""Armed: a daemon or worker of a real campaign that kills itself, by SIGKILL, at a named step on the disk.

    python -m tests.system.armed plan FOLDER       the planner
    python -m tests.system.armed work FOLDER       the pool, each of whose worker processes arms itself as it begins

Whoever is armed reads the file ``planner`` or ``worker`` in the folder that `WHERE` names: ``claim.linked before``
kills it just before it links its next claim. The file is renamed to ``<name>.struck`` right before, so that it
kills once; the process that follows goes on unharmed until the file is there again. The names of all steps that
were met go to ``<name>.met``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.system.disk import Step, watching

WHERE = "ALCHEMY_ASYNC_ARMED"
BESIDE = ("counted.py", "tally.txt", "hurry", "planner.lock.holder", "__pycache__")

_alive = ExitStack()  # as long as this process


def arm(actor: str, folder: Path) -> None:
    """Watch every step of this process from here on, where the environment says so."""
    if WHERE not in os.environ:
        return
    order, met = Path(os.environ[WHERE]) / actor, set()

    def strike(step: Step, when: str) -> None:
        if step.name not in met:
            met.add(step.name)
            with order.with_suffix(".met").open("a") as file:
                file.write(f"{step.name}\n")
        try:
            wanted = order.read_text()
        except FileNotFoundError:
            return
        if wanted == f"{step.name} {when}":
            order.rename(order.with_suffix(".struck"))
            os.kill(os.getpid(), signal.SIGKILL)

    before, after = (lambda step: strike(step, "before")), (lambda step: strike(step, "after"))
    _alive.enter_context(watching(folder, before, after, beside=BESIDE))


def armed(target: Callable[..., None], folder: str, *args: object) -> None:
    """Be a worker process that is armed before it takes its first step."""
    arm("worker", Path(folder))
    target(*args)


def arm_workers(folder: str) -> None:
    """Have every worker process that this pool starts begin with `armed`."""
    from alchemy_async.worker_pool import processes

    start = processes.start

    def start_armed(target: Callable[..., None], *args: object, name: str) -> Any:
        return start(armed, target, folder, *args, name=name)

    processes.start = start_armed


if __name__ == "__main__":
    from alchemy_async.cli import main
    from tests.system import armed as importable  # the worker processes can't import this as __main__

    if sys.argv[1] == "plan":
        arm("planner", Path(sys.argv[2]))
    else:
        importable.arm_workers(sys.argv[2])
    sys.exit(main())
