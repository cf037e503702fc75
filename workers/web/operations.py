"""One operation of the API: where it is, who may ask for it, what it answers. Routes and OpenAPI are made of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

from aiohttp import web
from marshmallow import Schema

from workers.books import Books
from workers.web.clerk import Commands
from workers.web.office import Office
from workers.web.tokens import Token


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of somebody who may make it."""

    request: web.Request
    office: Office
    clerk: Commands
    token: Token
    account: str

    @property
    def books(self) -> Books:
        return self.office.books(self.account)

    def part(self, name: str) -> str:
        """A part of the address."""
        return self.request.match_info[name]


Handler: TypeAlias = Callable[[Ask], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """``answers`` are the successes; what every operation may answer besides is added where it is described.

    ``scopes``: any one of them is enough. ``refusals``: statuses of its own, and what they mean.
    """

    method: str
    path: str
    name: str
    about: str
    scopes: tuple[str, ...]
    handler: Handler
    answers: Mapping[int, tuple[str, type[Schema]]]
    body: type[Schema] | None = None
    body_required: bool = True
    query: type[Schema] | None = None
    keyed: bool = False
    refusals: Mapping[int, str] = field(default_factory=dict)
    example: Any = None


def address(*parts: str) -> str:
    """A path of the API, each part %-encoded."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
