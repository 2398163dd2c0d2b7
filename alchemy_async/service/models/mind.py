"""A mind: the process in which jobs are done, run as a module of its own by `thinking`.

In:    questions on standard input, which is its leash: where that ends, it ends, whatever it is at.
Out:   answers on standard output, and nothing else: what a person's rule prints goes to the log.
Never: keeps anything that changes an answer; what it keeps of a history is what it was sent.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from collections import OrderedDict
from typing import Any, BinaryIO

from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import History, Observed

_KNOWN = 8  # histories that a process keeps
_HEAD = struct.Struct("<Q")
_JOBS = "alchemy_async.service.models."

log = logging.getLogger(__name__)


def keep(kept: OrderedDict[str, Any], about: str, what: object) -> None:
    """Keep the last few; both ends do it alike."""
    kept[about] = what
    kept.move_to_end(about)
    if len(kept) > _KNOWN:
        kept.popitem(last=False)


def write(stream: BinaryIO | Any, message: bytes) -> None:  # noqa: ANN401 - what Popen gives
    """Write one message."""
    stream.write(_HEAD.pack(len(message)))
    stream.write(message)
    stream.flush()


def read(stream: BinaryIO | Any) -> bytes:  # noqa: ANN401 - what Popen gives
    """Return one message.

    Raises:
        EOFError: If the other end is gone.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    (size,) = _HEAD.unpack(head)
    message: bytes = stream.read(size)
    if len(message) < size:
        raise EOFError
    return message


def main() -> None:
    """Do jobs until the leash ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)  # instruments and the server go first: a model that is fitted must not delay a claim
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a person's rule prints goes to the log
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, asked), daemon=True).start()
    if "loads" in sys.argv[1:]:
        with contextlib.suppress(Exception):  # the first job tells what is wrong
            _warm_up()
    kept: OrderedDict[str, History] = OrderedDict()
    while True:
        write(answers, _answer(asked.get(), kept))


def _listen(stream: BinaryIO, asked: queue.SimpleQueue[bytes]) -> None:
    """Pass questions on; end the process with the leash, whatever it is at."""
    while True:
        try:
            asked.put(read(stream))
        except (EOFError, OSError):
            os._exit(0)


def _warm_up() -> None:
    """Load what a suggestion needs, and take every step once."""
    from alchemy_async.experiment import Objective
    from alchemy_async.planner.bayesian import BayesianPlanner
    from alchemy_async.service.models import suggesting
    from alchemy_async.space import Continuous, Space

    space = Space((Continuous("x"), Continuous("y")))
    BayesianPlanner(space, (Objective("value"),)).warm_up()
    suggesting.warm_up()


def _answer(message: bytes, kept: OrderedDict[str, History]) -> bytes:
    job, args, told = pickle.loads(message)  # noqa: S301 - our own server wrote it
    if told is not None:
        args = (_recalled(kept, *told), *args)
    try:
        answer: tuple[Any, ...] = ("done", _find(job)(*args))
    except AlchemyError as error:
        answer = ("refused", f"{type(error).__module__}.{type(error).__qualname__}", str(error))
    except Exception as error:
        log.exception("a job failed")
        answer = ("failed", type(error).__name__, str(error))
    return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)


def _recalled(
    kept: OrderedDict[str, History], about: str, n_kept: int, news: tuple[Observed, ...], refused: tuple[Any, ...]
) -> History:
    begun = kept[about].observations[:n_kept] if n_kept else ()
    history = History(begun + news, refused)
    keep(kept, about, history)
    return history


def _find(job: str) -> Any:  # noqa: ANN401 - a function
    module, _, name = job.partition(":")
    return getattr(importlib.import_module(module if "." in module else _JOBS + module), name)


if __name__ == "__main__":
    main()
