"""Overview: what a session is, in short, for people and programs that look at many.

In:    an open ledger and its study.
Out:   name and dates, counts, and what was last suggested and learnt.
Never: reads more of a ledger than a few rows, but for the statistics of the values.
"""

from __future__ import annotations

import json
from typing import Any

from alchemy_async.ledger import Change
from alchemy_async.ledger.reading import Reader
from alchemy_async.service.definition.study import Study
from alchemy_async.service.definition.variables import as_listed
from alchemy_async.service.sessions.beginning import UNTITLED
from alchemy_async.service.sessions.changing import labels_of

FIELDS = ("name", "description", "tags", "author")


def metadata(ledger: Reader, study: Study) -> dict[str, Any]:
    """Return what people said of a session; of a folder that a person made, what its campaign.toml says."""
    said = json.loads(ledger.meta("session") or "null")
    if said is None:
        table = study.document.get("campaign", {})
        said = {"name": table.get("name", UNTITLED), "description": table.get("description", "")}
    created, last = ledger.meta("created_at") or "", ledger.last_events(1)
    return {
        "name": said.get("name", UNTITLED),
        "description": said.get("description", ""),
        "tags": list(said.get("tags", ())),
        "author": said.get("author", ""),
        "created_at": said.get("created_at") or created,
        "last_modified": last[-1]["at"] if last else created,
    }


def describe(change: Change, ledger: Reader, study: Study, said: dict[str, Any]) -> None:
    """Keep what people say of a session; what they do not speak of stays."""
    present = metadata(ledger, study)
    kept = {key: said.get(key, present[key]) for key in (*FIELDS, "created_at")}
    change.set_meta(session=json.dumps(kept))
    change.note("metadata_changed", **{key: said[key] for key in FIELDS if key in said})


def noted(ledger: Reader, key: str) -> dict[str, Any]:
    """Return what the ledger keeps under a key as JSON; empty if there is nothing."""
    found = json.loads(ledger.meta(key) or "{}")
    return found if isinstance(found, dict) else {}


def state(ledger: Reader, study: Study) -> dict[str, Any]:
    """Return where a session stands; its cost does not depend on how much was measured."""
    tally, model, last = ledger.tally(), noted(ledger, "model"), noted(ledger, "last_suggestion")
    return {
        "n_variables": study.n_variables,
        "n_experiments": ledger.n_observations(),
        "model_trained": bool(model),
        "model_backend": model.get("backend"),
        "last_suggestion": last.get("parameters"),
        "last_acquisition_value": last.get("value"),
        "last_goal": last.get("goal"),
        "n_staged": tally["queued"],
        "n_running": tally["running"],
        "n_interrupted": tally["interrupted"],
        "n_failed": tally["failed"] + tally["infeasible"],
        "queue_version": ledger.queue_version(),
        "last_event": ledger.last_events(1)[-1]["seq"] if ledger.last_events(1) else 0,
    }


def search_space(ledger: Reader, study: Study) -> dict[str, Any]:
    """Return the variables in short."""
    variables = listed(ledger, study)
    return {
        "n_variables": len(variables),
        "variables": variables,
        "categorical_variables": [one["name"] for one in variables if one["type"] == "categorical"],
        "discrete_variables": [one["name"] for one in variables if one["type"] == "discrete"],
    }


def listed(ledger: Reader, study: Study) -> list[dict[str, Any]]:
    """Return the variables as listings have them."""
    changes = labels_of(ledger).get("changes", {})
    parameters = study.settings.parameters if study.settings is not None else ()
    return [as_listed(one, changes.get(one.name, "easy")) for one in parameters]


def target_columns(study: Study) -> list[str]:
    """Return the names of what is measured."""
    return [str(table.get("name")) for table in study.document.get("objectives", ())]


def measured(ledger: Reader, study: Study) -> dict[str, Any]:
    """Return what was measured in short; the statistics are of the first objective."""
    n = ledger.n_observations()
    columns = target_columns(study)
    summary = ledger.summary(columns[0]) if n and columns else None
    stats = None if summary is None else {key: getattr(summary, key) for key in ("min", "max", "mean", "std")}
    return {
        "n_experiments": n,
        "has_data": n > 0,
        "has_noise": ledger.has_noise(),
        "target_stats": stats,
        "feature_names": [one.name for one in study.settings.parameters] if n and study.settings else None,
        "error": None,
    }


def model(ledger: Reader) -> dict[str, Any] | None:
    """Return the model that was trained last, in short; None before the first."""
    found = noted(ledger, "model")
    if not found:
        return None
    return {
        "backend": found.get("backend", ""),
        "hyperparameters": found.get("hyperparameters", {}),
        "metrics": found.get("metrics", {}),
        "is_trained": True,
    }
