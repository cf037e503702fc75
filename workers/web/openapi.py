"""The OpenAPI document: made of the operations and of the same marshmallow schemas that check the requests."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields

from workers.vtex import values
from workers.vtex.forms import Form
from workers.web.answers import ProblemSchema
from workers.web.operations import Operation
from workers.web.problems import MEDIA_TYPE

_ID = {"type": "string", "minLength": 1, "maxLength": 200}
_PARTS = {
    "orderId": _ID | {"pattern": "^[!-.0-~]{1,200}$", "example": "1172452900788-01"},
    "id": _ID | {"pattern": "^[!-~]{1,200}$", "example": "nf-9999"},
    "number": {
        "type": "string",
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9\-]*$",
        "maxLength": 60,
        "example": "9999",
    },
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Names this request for ever: the same key with the same body is the same command, so when in "
    "doubt send it again. Something that your ERP has anyway, such as nf-9999",
    "schema": _ID | {"pattern": "^[!-~]{1,200}$"},
    "example": "nf-9999",
}
_ACCOUNT = {
    "name": "account",
    "in": "query",
    "description": "Which store; may be left out when there is one, or when the token is for one",
    "schema": {"type": "string"},
}
_ALWAYS = {
    401: "no token, or a wrong one",
    403: "the token has not the scope, or is for another store",
    422: "the request cannot be used: every problem of it is named",
    429: "too many requests of this token: see Retry-After",
    503: "it cannot be recorded now: try again after Retry-After, under the same key",
}
_WITH_BODY = {
    400: "the body is not JSON in UTF-8",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is not of the type application/json",
}
#: Whoever sends digits for a number, or a number for a text, is understood.
_KINDS: dict[type, list[str]] = {
    values.Cents: ["integer", "string"],
    values.Count: ["integer", "string"],
    values.Flag: ["boolean"],
    values.Text: ["string", "integer"],
    values.When: ["string"],
    values.Xml: ["string"],
    values.Thing: ["object"],
}
_ABOUT = """\
Send invoices, tracking, cancellations and changes to VTEX, and see how orders and commands stand.

Every request needs `Authorization: Bearer` and a token. A command is answered with 202 once it is recorded durably;
it is then carried to VTEX whatever happens, and `GET /v1/commands/{id}` tells how it ended. Money is in whole cents.
Times are in UTC, in the form of RFC 3339: `2026-11-20T14:03:32.100Z`.
"""


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document, as JSON values."""
    plugin = _Plugin(schema_name_resolver=_name)
    spec = APISpec(
        title="VTEX orders for your ERP",
        version=version("vtex-order-workers"),
        openapi_version="3.1.0",
        info={"description": _ABOUT},
        plugins=[plugin],
        security=[{"token": []}],
    )
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for one in operations:
        spec.path(path=one.path, operations={one.method.lower(): _described(one)})
    made: dict[str, Any] = spec.to_dict()
    return made


def _described(one: Operation) -> dict[str, Any]:
    names = [part.partition("}")[0] for part in one.path.split("{")[1:]]
    parameters: list[Any] = [
        {"name": name, "in": "path", "required": True, "schema": _PARTS[name]} for name in names
    ]
    parameters += [{"in": "query", "schema": one.query}] if one.query else [_ACCOUNT]
    parameters += [_KEY] if one.keyed else []
    refusals: dict[int, str] = {**_ALWAYS, **(_WITH_BODY if one.body else {}), **one.refusals}
    described = {
        "operationId": one.name,
        "summary": one.about,
        "description": f"Needs the scope {' or '.join(one.scopes)}.",
        "parameters": parameters,
        "responses": {
            **{str(status): _json(words, schema) for status, (words, schema) in one.answers.items()},
            **{
                str(status): _json(words, ProblemSchema, MEDIA_TYPE)
                for status, words in sorted(refusals.items())
            },
        },
    }
    if one.body:
        content: dict[str, Any] = {"schema": one.body}
        if one.example is not None:
            content["example"] = one.example
        described["requestBody"] = {
            "required": one.body_required,
            "content": {"application/json": content},
        }
    return described


def _json(words: str, schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    return {"description": words, "content": {media_type: {"schema": schema}}}


def _name(schema: Any) -> str:
    cls = schema if isinstance(schema, type) else type(schema)
    return str(cls.__name__).removesuffix("Schema")


class _Converter(OpenAPIConverter):
    """Knows what the fields of the payloads take."""

    def init_attribute_functions(self) -> None:
        super().init_attribute_functions()  # type: ignore[no-untyped-call]
        self.add_attribute_function(_kinds)  # type: ignore[no-untyped-call]

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        made: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        cls = schema if isinstance(schema, type) else type(schema)
        made["description"] = (cls.__doc__ or "").strip()
        if issubclass(cls, Form):
            made["additionalProperties"] = cls.open_
        return made


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


def _kinds(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """The JSON types of a payload's field; one that may be left out may be null as well."""
    kinds = next((kinds for cls, kinds in _KINDS.items() if isinstance(field, cls)), None)
    if kinds is None:
        return {}
    kinds = kinds if field.required else [*kinds, "null"]
    found: dict[str, Any] = {"type": kinds if len(kinds) > 1 else kinds[0]}
    if "enum" in field.metadata and not field.required:
        found["enum"] = [*field.metadata["enum"], None]
    return found
