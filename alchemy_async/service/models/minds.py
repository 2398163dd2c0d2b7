"""Minds: what a session's model is asked, and what the ledger keeps of a training.

In:    a session, and what a client wants to know.
Out:   answers of the processes beside the server; a trained model's description, kept in the ledger.
Never: holds the desk while a process thinks, or keeps a model: it is made of the ledger at each question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.clock import to_wire
from alchemy_async.experiment import History
from alchemy_async.service.context import Service
from alchemy_async.service.models.basis import MODEL, Basis, basis_of, objective_named, trained
from alchemy_async.service.models.thinking import Known, Pool
from alchemy_async.service.sessions.sessions import Session

LEAST = 5  # results, before a model is trained without anybody's asking for it
BACKENDS = ("sklearn", "botorch")
KERNELS = {"matern": "Matern", "rbf": "RBF"}


@dataclass(frozen=True)
class Trained:
    """What a training brought.

    Args:
        model_trained: Whether there is a model.
        message: That there is, or why not.
        backend: What the client calls it.
        kernel: The kernel that it has.
        hyperparameters: What was fitted.
        figures: How well it predicts: rmse, mae, r2, mape.
        importance: Of each variable, 0 to 1.
    """

    model_trained: bool
    message: str
    backend: str
    kernel: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        """How well it predicts, and what it is called."""
        return {**self.figures, "backend": self.backend}


def make_minds(_: Service) -> Pool:
    """Return the processes of a service."""
    return Pool()


def pool_of(service: Service) -> Pool:
    """Return the processes of a service, made when they are first asked for."""
    return service.part(make_minds, Pool.close)


def ask(service: Service, session: Session, job: str, *args: object, history: History | None = None) -> Any:  # noqa: ANN401 - what the job returns
    """Ask a question about a session, with its history unless another one is given.

    Raises:
        AlchemyError: What the job raised.
        TooMuchError: If too many wait already.
        UnavailableError: If it took too long, or its process died twice.
    """
    history = history_of(session) if history is None else history
    known = Known(session.id, history)
    begun_s = service.clock.monotonic()
    answer = pool_of(service).do(job, *args, known=known, folder=session.desk.folder)
    service.metrics.asked(service.clock.monotonic() - begun_s)
    return answer


def history_of(session: Session) -> History:
    """Return all that was measured in a session."""
    with session.desk.look() as ledger:
        return ledger.history()


def basis(session: Session, **options: object) -> Basis:
    """Return what a session's models are made of, with the kernel that was trained last.

    Raises:
        NoVariablesError: If there is no variable yet.
    """
    study = session.desk.study
    with session.desk.look() as ledger:
        kernel = trained(ledger).get("wanted_kernel")
    return basis_of(study, kernel, **options)


def train(
    service: Service,
    session: Session,
    backend: str | None = None,
    kernel: str | None = None,
    *,
    least: int = LEAST,
    config: Mapping[str, Any] | None = None,
) -> Trained:
    """Train a model of the first objective that is optimised, and keep what it learnt in the ledger.

    Args:
        service: The service.
        session: The session.
        backend: ``sklearn`` or ``botorch``: what the same model is called; None: as the last time.
        kernel: ``Matern`` or ``RBF``, in any case; None: as the last time, else whichever the data make more probable.
        least: How many results it takes.
        config: What else the client said, to be kept with it.

    Raises:
        NoVariablesError: If there is no variable yet.
        UnavailableError: If no process answers.
    """
    study = session.desk.study
    with session.desk.look() as ledger:
        before, history = trained(ledger), ledger.history()
    backend = backend or before.get("backend") or BACKENDS[0]
    wanted = kernel.lower() if kernel else before.get("wanted_kernel")
    made = basis_of(study, wanted)
    objective = objective_named(made.objectives, None)
    n = sum(objective.name in one.values for one in history.observations)
    named = KERNELS.get(wanted or "", "auto")
    if n < least:
        message = f"No model was trained: it takes {least} results, and so far there are {n}. Add observations."
        return Trained(False, message, backend, named)
    found = ask(service, session, "modelling:train", made, objective, history=history)
    if found["why"]:
        return Trained(False, found["why"], backend, named)
    settings = {"backend": backend, "kernel": found["kernel"], "kernel_params": None, **(config or {})}
    kept = {
        "backend": backend, "kernel": found["kernel"], "wanted_kernel": wanted, "n_observations": n,
        "n_used": found["n_used"], "hyperparameters": found["hyperparameters"], "metrics": found["metrics"],
        "importance": found["importance"], "calibration_factor": found["calibration"], "training_config": settings,
    }  # fmt: skip
    _keep(session, kept, before.get("training_config") or {})
    return Trained(
        True, "Model trained successfully", backend, found["kernel"], found["hyperparameters"], found["metrics"],
        found["importance"],
    )  # fmt: skip


def _keep(session: Session, kept: Mapping[str, Any], was: Mapping[str, Any]) -> None:
    """Keep what a model learnt, and that its settings are others than they were."""
    with session.desk.turn() as turn:
        document = {**kept, "trained_at": to_wire(turn.now)}
        turn.change.set_meta(**{MODEL: json.dumps(document, allow_nan=False)})
        metrics = {**kept["metrics"], "backend": kept["backend"]}
        told = ("backend", "kernel", "n_observations", "hyperparameters")
        turn.change.note("model_trained", metrics=metrics, **{key: kept[key] for key in told})
        settings = kept["training_config"]
        if was != settings:
            turn.change.note(
                "config_changed", component="model", old=dict(was), new=settings,
                iteration=turn.change.next_iteration(),
            )  # fmt: skip
