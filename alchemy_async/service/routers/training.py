"""Training: the query parameters that ask for a model after a completion, and what they bring.

In:    auto_train, training_backend, training_kernel.
Out:   the answer with what became of the training; the same answer for a repetition.
Never: keeps a completion from being acknowledged because a model can't be trained.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query

from alchemy_async.errors import AlchemyError
from alchemy_async.service.context import Service
from alchemy_async.service.models import minds
from alchemy_async.service.sessions.sessions import Session
from alchemy_async.service.staged.desk import Reply

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """Whether and how a model is to be trained."""

    auto_train: bool
    backend: str | None
    kernel: str | None

    def after(self, service: Service, session: Session, reply: Reply, key: str | None) -> Reply:
        """Train if that was asked for, and put what it brought into an answer.

        Args:
            service: The service.
            session: The session.
            reply: To what was recorded; a repetition that was answered with a training before stays as it is.
            key: Under which the answer is remembered.
        """
        if not self.auto_train or reply.status != 200 or "training_message" in reply.body:
            return reply
        body = {**reply.body, **self._train(service, session)}
        if not body["model_trained"]:
            body["message"] = f"{reply.body['message']}. {body['training_message']}"
        if key is not None:
            with session.desk.turn() as turn:
                turn.change.amend_reply(key, json.dumps(body, allow_nan=False))
        return Reply(body, reply.status)

    def _train(self, service: Service, session: Session) -> dict[str, object]:
        try:
            trained = minds.train(service, session, self.backend, self.kernel)
        except AlchemyError as error:
            return {"model_trained": False, "training_metrics": None, "training_message": str(error)}
        return {
            "model_trained": trained.model_trained,
            "training_metrics": dict(trained.metrics) if trained.model_trained else None,
            "training_message": trained.message,
        }


def training_wish(
    auto_train: Annotated[bool, Query(description="Train a model with what is in the dataset then.")] = False,
    training_backend: Annotated[
        Literal["sklearn", "botorch"] | None, Query(description="Both train the same model here; the answer names it.")
    ] = None,
    training_kernel: Annotated[
        Literal["Matern", "RBF", "matern", "rbf"] | None, Query(description="The model's kernel.")
    ] = None,
) -> Training:
    """Return what a request says about training."""
    return Training(auto_train, training_backend, training_kernel)


TrainingGiven = Annotated[Training, Depends(training_wish)]
