"""Pages: the list of operations for people, made from the OpenAPI document.

In:    an OpenAPI document.
Out:   one page of plain HTML.
Never: loads anything from elsewhere.
"""

from __future__ import annotations

import html
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { background: #f4f4f4; padding: 0.7rem; overflow-x: auto; }
summary { cursor: pointer; } summary b { display: inline-block; width: 4.5rem; }
details { border-bottom: 1px solid #ddd; padding: 0.3rem 0; } h2 { margin-top: 2.5rem; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd; } pre { background: #22262c; } }
"""


def operations(document: Mapping[str, Any], address: str) -> str:
    """Return a page that shows every operation, what it takes, and what it answers.

    Args:
        document: An OpenAPI document.
        address: Where the document itself lies.
    """
    sections: dict[str, list[str]] = defaultdict(list)
    for path, methods in document.get("paths", {}).items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                tag = (operation.get("tags") or ["else"])[0]
                sections[tag].append(_operation(document, path, method, operation))
    title = html.escape(f"{document['info']['title']} {document['info']['version']}")
    links = " · ".join(f'<a href="#{html.escape(tag)}">{html.escape(tag)}</a>' for tag in sections)
    body = "".join(
        f'<h2 id="{html.escape(tag)}">{html.escape(tag)}</h2>{"".join(found)}' for tag, found in sections.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{_paragraphs(document['info'].get('description', ''))}"
        f'<p>{links} · <a href="{html.escape(address)}">OpenAPI</a></p>{body}</html>'
    )


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    answers = ", ".join(f"<code>{status}</code>" for status in operation.get("responses", {}))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code></summary>"
        f"{_paragraphs(operation.get('description') or operation.get('summary', ''))}"
        f"{_parameters(operation)}{_body(document, operation)}<p>Answers {answers}</p></details>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = [
        f"<li><code>{html.escape(one['name'])}</code> ({one['in']}) {html.escape(one.get('description', ''))}</li>"
        for one in operation.get("parameters", ())
    ]
    return f"<ul>{''.join(rows)}</ul>" if rows else ""


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    shown = []
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, content.get("schema", {}))
        example = content.get("example") or next(iter(schema.get("examples", ())), None)
        text = json.dumps(example if example is not None else schema.get("properties", schema), indent=2)
        shown.append(f"<p>Body, <code>{html.escape(kind)}</code>:</p><pre>{html.escape(text)}</pre>")
    return "".join(shown)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = document.get("components", {}).get("schemas", {}).get(name, schema)
    return found


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n") if part)
