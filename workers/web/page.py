"""The page at ``/``: the OpenAPI document for people, in one piece of HTML that loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

_STYLE = (Path(__file__).parent / "page.css").read_text()


def render(described: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    info = described["info"]
    operations = [
        (method, path, one) for path, found in described["paths"].items() for method, one in found.items()
    ]
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>',
            '<meta name="viewport" content="width=device-width">',
            f"<style>{_STYLE}</style>",
            f"<h1>{escape(info['title'])}</h1>",
            *(f"<p>{_words(part)}</p>" for part in info["description"].split("\n\n")),
            '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>',
            "<ul>",
            *(
                f'<li><a href="#{one["operationId"]}">{escape(one["summary"])}</a></li>'
                for *_, one in operations
            ),
            "</ul>",
            *(part for operation in operations for part in _operation(*operation)),
            "<h1>What is sent and answered</h1>",
            *(
                part
                for name, schema in sorted(described["components"]["schemas"].items())
                for part in _schema(name, schema)
            ),
            "</html>",
        ]
    )


def _operation(method: str, path: str, one: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="{one["operationId"]}"><h2>{escape(one["summary"])}</h2>'
    yield f"<p><code>{method.upper()} {escape(path)}</code></p><p>{_words(one['description'])}</p>"
    rows = [
        (
            f"<code>{escape(given['name'])}</code> ({given['in']})",
            _words(given.get("description") or given["schema"].get("description", "")),
        )
        for given in one["parameters"]
    ]
    content = one.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        rows.append(("the body", _type(content["schema"])))
    yield from _table(rows)
    yield from _table(
        (status, f"{_words(answer['description'])}: {_type(_only(answer['content'])['schema'])}")
        for status, answer in one["responses"].items()
        if status.startswith("2")
    )
    yield f"<pre>{escape(_curl(method, path, one, content))}</pre></section>"


def _curl(method: str, path: str, one: dict[str, Any], content: dict[str, Any] | None) -> str:
    examples = {given["name"]: given["schema"].get("example", "…") for given in one["parameters"]}
    for name, value in examples.items():
        path = path.replace(f"{{{name}}}", str(value))
    if "state" in examples:
        path += "?state=dead"
    lines = [f"curl --request {method.upper()} http://localhost:8080{path}"]
    lines.append('--header "Authorization: Bearer $TOKEN"')
    if any(given["in"] == "header" for given in one["parameters"]):
        lines.append("--header 'Idempotency-Key: nf-9999'")
    if content:
        lines.append("--header 'Content-Type: application/json'")
        lines.append(f"--data '{json.dumps(content.get('example', {}), ensure_ascii=False)}'")
    return " \\\n  ".join(lines)


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="schema-{escape(name)}"><h2>{escape(name)}</h2>'
    yield f"<p>{_words(schema.get('description', ''))}</p>"
    required = set(schema.get("required", ()))
    yield from _table(
        (
            f"<code>{escape(field)}</code>{' *' if field in required else ''}",
            f"{_type(about)} {_words(about.get('description', ''))}",
        )
        for field, about in schema.get("properties", {}).items()
    )
    yield "</section>"


def _table(rows: Any) -> Iterator[str]:
    yield "<table>"
    yield from (f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows)
    yield "</table>"


def _type(schema: dict[str, Any]) -> str:
    """What kind of value it is; a form is a link to its table."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    for how in ("allOf", "anyOf", "oneOf"):
        if how in schema:
            return " or ".join(_type(one) for one in schema[how])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "enum" in schema:
        return f"<em>{escape(' | '.join('null' if v is None else str(v) for v in schema['enum']))}</em>"
    kinds = schema.get("type", "")
    return f"<em>{escape(' | '.join(kinds) if isinstance(kinds, list) else str(kinds))}</em>"


def _only(content: dict[str, Any]) -> Any:
    [found] = content.values()
    return found


def _words(text: str) -> str:
    """Escaped, with what stands in backquotes as code."""
    return "".join(
        f"<code>{escape(part)}</code>" if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    )
