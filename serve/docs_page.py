"""``/docs``: the OpenAPI document as one page of HTML, made here. The usual pages load scripts from elsewhere, which
a server without internet cannot, and one that holds faces should not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "pre{overflow-x:auto;padding:.75rem;border:1px solid #8888;border-radius:.4rem}"
    "summary{cursor:pointer}code{font-size:.95em}h2{margin-top:2.5rem}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}"
)

STYLE_ADDRESS = "/docs.css"


def page(document: dict[str, Any]) -> str:
    """The whole page; it has no scripts."""
    info = document["info"]
    body = "\n".join(_paths(document))
    parts = "\n".join(_fields(document, name, name) for name in sorted(document["components"]["schemas"]))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="{STYLE_ADDRESS}">'
        f'<link rel="icon" href="icon.svg">'
        f"<h1>{escape(info['title'])} API, version {escape(info['version'])}</h1>"
        f"<p>{_text(info['description'])}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>{body}'
        f"<h2>All parts of questions and answers</h2>{parts}</html>"
    )


def _paths(document: dict[str, Any]) -> Iterator[str]:
    for path, verbs in document["paths"].items():
        for verb, told in verbs.items():
            yield f"<h2><code>{verb.upper()} {escape(path)}</code></h2><p>{_text(told.get('description', ''))}</p>"
            content = told.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                yield f"<pre>{escape(json.dumps(content['example'], indent=2))}</pre>"
                yield _fields(document, content["schema"]["$ref"], "Fields of the question")
            answer = told["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in answer:
                yield _fields(document, answer["$ref"], "Fields of the answer")


def _fields(document: dict[str, Any], reference: str, title: str) -> str:
    """Of a schema, by its name or a reference to it."""
    schema = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td><code>{escape(_kind(field))}</code></td>"
        f"<td>{_text(field.get('description', ''))}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return (
        f"<details><summary>{title}</summary><table><tr><th>field</th><th>is</th><th>means</th></tr>{rows}"
        f"</table></details>"
    )


def _kind(field: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[1])
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"name to {_kind(field['additionalProperties'])}"
    limits = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    told = [f"{word} {field[key]:g}" for key, word in limits.items() if key in field]
    return " ".join([str(field.get("type", "anything")), *told])


def _text(markdown: str) -> str:
    """Paragraphs and code; nothing else is used."""
    parts = escape(markdown).split("`")
    marked = "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return marked.replace("\n\n", "</p><p>")
