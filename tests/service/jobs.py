"""Jobs that processes beside the server are given by tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from alchemy_async.errors import PlannerError
from alchemy_async.service.problems import NoModelError


def add(a, b):
    return a + b


def count(history, factor):
    return factor * len(history.observations), [one.values["y"] for one in history.observations], len(history.refused)


def which():
    return os.getpid()


def die_once(mark):
    """End the process at the first call, as by `kill -9`; answer at the second."""
    place = Path(mark)
    if not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "answered"


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds):
    time.sleep(seconds)
    return os.getpid()


def reckon():
    """Keep a processor busy in C, as a fit does."""
    import numpy as np

    while True:
        np.linalg.svd(np.random.default_rng(0).random((300, 300)))


def refuse(text):
    raise PlannerError(text)


def lack(text):
    raise NoModelError(text)


def stumble():
    return {}["no such key"]


def speak():
    print("a person's rule prints something")
    return "and the answer comes all the same"
