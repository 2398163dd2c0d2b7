"""Session: what a client does in one session: stage, take, report, ask, watch.

In:    inputs, outputs, ids.
Out:   what the server says, as frozen values.
Never: repeats a report under another name: each has a key of its own, so that it counts once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alchemy_async.client.answers import Event, Inputs, Queue, Reported, Staged, Taken, Value
from alchemy_async.client.transport import Transport, part

STAGED = "experiments/staged"


class Session:
    """One session of a server; made by `Client.session` and `Client.create_session`.

    Every method raises UnreachableError if the server does not answer for long,
    and RefusedError, with the server's reason, if it refuses.
    """

    def __init__(self, transport: Transport, session_id: str, patience_s: float) -> None:
        self.id = session_id
        self._transport, self._patience_s = transport, patience_s
        self._path = f"/sessions/{part(session_id)}"

    # -- the session -------------------------------------------------------

    def state(self) -> Mapping[str, Any]:
        """Return where the session stands: ``n_experiments``, ``n_staged``, ``n_running``, ``queue_version`` ..."""
        return dict(self._get("state"))

    def variables(self) -> list[Mapping[str, Any]]:
        """Return the variables."""
        return list(self._get("variables")["variables"])

    def add_variable(self, name: str, kind: str = "real", **more: Any) -> None:  # noqa: ANN401 - as the kind has it
        """Add a variable, as long as the session has no experiments.

        Args:
            name: Its name.
            kind: ``real``, ``integer``, ``categorical`` or ``discrete``.
            more: ``min`` and ``max``; or ``categories``; or ``allowed_values``; ``unit``, ``description``.
        """
        self._transport.call("POST", f"{self._path}/variables", body={"name": name, "type": kind, **more})

    def run_by_itself(self) -> None:
        """Have the session plan by itself: its own planner keeps the queue filled, from here on and after restarts."""
        self._put("control", {"requested": "run"})

    def pause(self) -> None:
        """Have the session offer nothing; what runs is finished."""
        self._put("control", {"requested": "pause"})

    # -- staging -----------------------------------------------------------

    def stage(self, inputs: Inputs, *, reason: str | None = None) -> Staged:
        """Stage one experiment."""
        said = self._post(STAGED, {"inputs": dict(inputs), "reason": reason})
        return Staged(str(said["id"]), dict(said["staged_inputs"]), int(said["queue_version"]))

    def stage_all(self, experiments: Sequence[Inputs], *, reason: str | None = None) -> list[Staged]:
        """Stage several: all of them, or none if one does not fit."""
        said = self._post(f"{STAGED}/batch", {"experiments": [dict(one) for one in experiments], "reason": reason})
        version = int(said["queue_version"])
        return [
            Staged(str(name), inputs, version) for name, inputs in zip(said["ids"], said["experiments"], strict=True)
        ]

    def staged(self) -> Queue:
        """Return what is staged, in the order in which outputs are to be sent."""
        said = self._get(STAGED)
        return Queue(tuple(said["ids"]), tuple(said["experiments"]), tuple(said["reasons"]), int(said["queue_version"]))

    def complete_staged(
        self,
        queue: Queue,
        outputs: Sequence[float],
        *,
        noises: Sequence[float] | None = None,
        iteration: int | None = None,
        reason: str | None = None,
    ) -> list[str]:
        """Complete all that is staged, in the order of a queue; return the ids.

        Args:
            queue: What `staged` returned: should the queue be another one meanwhile, nothing is recorded.
            outputs: One for each of its experiments.
            noises: Their variances.
            iteration: Of all of them; None: each is one of its own.
            reason: For those that were staged without one.
        """
        body = {"outputs": list(outputs), "iteration": iteration, "reason": reason, "queue_version": queue.version}
        if noises is not None:
            body["noises"] = list(noises)
        said = self._post(f"{STAGED}/complete", body)
        return [str(name) for name in said["ids"]]

    def clear_staged(self) -> int:
        """Withdraw all that is staged; return how many that were."""
        said = self._call("DELETE", STAGED, headers=new_key())
        return int(said["n_cleared"])

    def amend(self, experiment: str, *, inputs: Inputs | None = None, priority: float | None = None) -> None:
        """Change the inputs or the priority of an experiment that nobody has; the highest priority goes first."""
        body = {"inputs": None if inputs is None else dict(inputs), "priority": priority}
        self._call("PATCH", f"{STAGED}/{part(experiment)}", body=_given(body), headers=new_key())

    def withdraw(self, experiment: str) -> None:
        """Withdraw an experiment that nobody has, or have whoever runs it told to stop."""
        self._call("DELETE", f"{STAGED}/{part(experiment)}", headers=new_key())

    # -- one at a time -----------------------------------------------------

    def claim(
        self,
        worker: str,
        n: int = 1,
        *,
        labels: Sequence[str] = (),
        lease_s: float = 300.0,
        idempotent: bool = False,
        wait_s: float = 0.0,
    ) -> list[Taken]:
        """Take up to ``n`` of the best experiments; none, if nothing came up within ``wait_s`` seconds.

        Args:
            worker: Who takes them.
            n: How many.
            labels: What it can do.
            lease_s: How long each is the worker's without a heartbeat.
            idempotent: Whether one whose lease ends may simply be run again.
            wait_s: How long to wait for the first one.
        """
        body = {
            "n": n, "worker": worker, "labels": list(labels), "lease_s": lease_s, "idempotent": idempotent,
            "wait_s": wait_s,
        }  # fmt: skip
        said = self._post(f"{STAGED}/claim", body, timeout_s=wait_s + self._transport.timeout_s)
        return [
            Taken(str(one["id"]), int(one["attempt"]), dict(one["inputs"]), worker, lease_s, one["reason"])
            for one in said["experiments"]
        ]

    def heartbeat(self, taken: Taken) -> bool:
        """Say that an experiment is being worked on; return whether it is to be broken off."""
        return bool(self._post(_of(taken, "heartbeat"), _who(taken))["cancel"])

    def complete(
        self,
        taken: Taken,
        values: Mapping[str, float] | float,
        *,
        sems: Mapping[str, float] | None = None,
        inputs: Inputs | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Reported:
        """Report what was measured; late is better than never, and twice counts once.

        Args:
            taken: What `claim` returned.
            values: By objective; or one number, where there is one objective.
            sems: Standard errors by objective, same units.
            inputs: As they were actually run.
            metadata: Anything JSON can hold.
        """
        measured = {"values": dict(values)} if isinstance(values, Mapping) else {"output": values}
        more = _given({"sems": sems and dict(sems), "inputs": inputs and dict(inputs)})
        return self._report(taken, "complete", {**measured, **more, "metadata": dict(metadata or {})})

    def fail(self, taken: Taken, message: str, *, kind: str = "error", retryable: bool = False) -> Reported:
        """Report that there is no measurement; a retryable one is offered again."""
        return self._report(taken, "fail", {"kind": kind, "message": message, "retryable": retryable})

    def infeasible(self, taken: Taken, message: str = "") -> Reported:
        """Report that these inputs can't be run at all."""
        return self._report(taken, "infeasible", {"message": message})

    def release(self, taken: Taken) -> Reported:
        """Give an experiment back of which nothing was done."""
        return self._report(taken, "release", {})

    # -- asking and watching -----------------------------------------------

    def suggest(
        self, n: int = 1, *, strategy: str = "qEI", goal: str | None = None, hold: Inputs | None = None
    ) -> list[Mapping[str, Value]]:
        """Return points to measure next, the best first; each can be staged as it is."""
        body = _given({"strategy": strategy, "n_suggestions": n, "goal": goal, "hold": hold and dict(hold)})
        return list(self._transport.call("POST", f"{self._path}/acquire", body=body)["suggestions"])

    def initial_design(self, n: int, *, method: str = "lhs", seed: int | None = None) -> list[Mapping[str, Value]]:
        """Return points to begin with; nothing is staged."""
        body = _given({"method": method, "n_points": n, "random_seed": seed})
        return list(self._call("POST", "initial-design", body=body)["points"])

    def events(self, after: int = 0, *, wait_s: float = 0.0) -> Iterator[Event]:
        """Yield what happened behind an event, oldest first, until there is nothing more.

        Args:
            after: Number of the last event that is known; 0: from the beginning.
            wait_s: How long to wait for the next one, at most 60, before it ends.
        """
        while True:
            query = {"after": after, "wait_s": wait_s}
            page = self._call("GET", "events", query=query, timeout_s=wait_s + self._transport.timeout_s)
            for said in page["events"]:
                yield Event(
                    int(said["seq"]), said["at"], said["kind"], said["experiment"], said["attempt"], said["details"]
                )
            if not page["events"]:
                return
            after = int(page["next"])

    # -- what goes over the line -------------------------------------------

    def _report(self, taken: Taken, how: str, body: Mapping[str, Any]) -> Reported:
        return Reported.of(self._post(_of(taken, how), {**body, **_who(taken)}))

    def _get(self, path: str) -> Any:  # noqa: ANN401 - what JSON can hold
        return self._call("GET", path)

    def _put(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what JSON can hold
        return self._call("PUT", path, body=body)

    def _post(self, path: str, body: Mapping[str, Any], timeout_s: float | None = None) -> Any:  # noqa: ANN401 - same
        """Send what counts once, however often it comes: under a key of its own."""
        return self._call("POST", path, body=_given(body), headers=new_key(), timeout_s=timeout_s)

    def _call(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - as `Transport.call`
        return self._transport.call(method, f"{self._path}/{path}", patience_s=self._patience_s, **more)


def new_key() -> dict[str, str]:
    """Return the header that names a request which counts once, however often it is sent."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _of(taken: Taken, what: str) -> str:
    return f"{STAGED}/{part(taken.id)}/{what}"


def _who(taken: Taken) -> dict[str, Any]:
    return {"worker": taken.worker, "attempt": taken.attempt}
