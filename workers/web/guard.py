"""Lets a request in: a token, its pace, its scope, its store."""

from __future__ import annotations

import math

from aiohttp import web

from workers.web import tokens
from workers.web.clerk import Commands
from workers.web.office import Office
from workers.web.operations import Ask, Operation
from workers.web.pace import Pace
from workers.web.problems import Problem
from workers.web.strangers import Strangers
from workers.web.tokens import Token


class Guard:
    """Stands before every operation."""

    def __init__(self, office: Office, clerk: Commands, strangers: Strangers) -> None:
        self._office = office
        self._clerk = clerk
        self._strangers = strangers
        written = office.settings.web_tokens.reveal()
        self._tokens = tokens.parse(written) if written else ()
        self._pace = Pace(office.settings.web_requests_per_minute)

    async def admit(self, operation: Operation, request: web.Request) -> web.Response:
        """Hand the request to the operation, or refuse it."""
        token = self._token(request)
        if token is None:
            wrong = Problem(
                401,
                "send Authorization: Bearer and a token of WEB_TOKENS",
                headers={"WWW-Authenticate": "Bearer"},
            )
            guess = request.headers.get("Authorization", "")
            raise await self._strangers.refuse(request, "token", guess, wrong)
        if wait := self._pace.wait(token.digest):
            raise Problem(
                429,
                "this token makes too many requests (WEB_REQUESTS_PER_MINUTE)",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        if not token.scopes.intersection(operation.scopes):
            raise Problem(
                403, f"this token may not do that: it needs the scope {' or '.join(operation.scopes)}"
            )
        return await operation.handler(
            Ask(request, self._office, self._clerk, token, self._account(token, request))
        )

    def _token(self, request: web.Request) -> Token | None:
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        return tokens.find(self._tokens, presented.strip()) if scheme.lower() == "bearer" else None

    def _account(self, token: Token, request: web.Request) -> str:
        """The store: as the address says, or the token's, or the only one."""
        known = self._office.settings.accounts
        asked = request.query.get("account")
        if token.account is not None:
            if asked not in (None, token.account):
                raise Problem(403, "this token is for another store")
            return token.account
        if asked is None and len(known) == 1:
            return next(iter(known))
        if asked in known:
            return str(asked)
        raise Problem(
            422,
            "say which store: ?account=NAME",
            problems=["account: is not a store of the settings"],
            member="parameter",
        )
