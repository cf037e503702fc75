"""VTEX's hook: records that an order is to be looked at, answers exactly 200, and enqueues it. Nothing else.

VTEX counts any other answer, or one after 5 seconds, as failed and tries again, for four days. It signs nothing:
that a call comes from VTEX shows in the header that ``hook configure`` asked it to send, and in the event's Origin.
Source: VTEX's guide to feed and hook.
"""

from __future__ import annotations

import hmac

from aiohttp import web

from workers import telemetry
from workers.settings import Account
from workers.vtex import hook_event
from workers.web import body
from workers.web.clerk import Events
from workers.web.office import Office
from workers.web.problems import Problem
from workers.web.strangers import Strangers

log = telemetry.get(__name__)

PATH = "/hooks/vtex/{account}"
#: The header that VTEX sends with each call, because we ask it to.
SECRET_HEADER = "X-Hook-Secret"  # noqa: S105 - a header's name
#: Bytes; an event has some hundreds.
LARGEST = 64 * 2**10


class Hook:
    """The receiver, for all stores of the settings."""

    def __init__(self, office: Office, clerk: Events, strangers: Strangers) -> None:
        self._office = office
        self._clerk = clerk
        self._strangers = strangers

    async def receive(self, request: web.Request) -> web.Response:
        """A ping, or an event."""
        account = await self._admitted(request)
        told = await body.read(request, LARGEST)
        if hook_event.is_ping(told):
            return web.json_response({})
        found = hook_event.load(told)
        if found is None:
            log.error("unusable_hook_event", account=account.name, do="look: vtexorders feed oddities")
            await self._office.do(self._office.ledger(account.name).keep_oddity, told)
            return web.json_response({})  # as it is now, it would be unusable the next time, too
        if not _is_from(account, found):
            log.warning("hook_of_another", account=account.name, origin=str(found.account)[:60])
            raise Problem(403, "the event's Origin is another account's, or another application key's")
        await self._clerk.accept(self._office.ledger(account.name), found.event)
        return web.json_response({})

    async def _admitted(self, request: web.Request) -> Account:
        """The account that is meant, if the secret is right: without it nobody learns which accounts there are."""
        settings = self._office.settings
        account = settings.accounts.get(request.match_info["account"])
        stores = self._office.stores
        wanted = stores[account.name] if account else settings
        secret = wanted.hook_secret.reveal()
        if not secret and not any(store.hook_secret for store in stores.values()):
            raise Problem(404, "no hook is received here: HOOK_SECRET is not set")
        presented = request.headers.get(SECRET_HEADER, "")
        right = hmac.compare_digest(presented.encode(errors="surrogateescape"), secret.encode())
        if not (secret and right):
            wrong = "the hook's secret is missing or wrong: vtexorders hook configure sets it at VTEX"
            raise await self._strangers.refuse(request, "hook", presented, Problem(401, wrong))
        if account is None:
            raise Problem(404, "there is no such store in the settings")
        return account


def _is_from(account: Account, found: hook_event.HookEvent) -> bool:
    """Whether the event is of this account's hook; VTEX may leave its origin out.

    The front door knows no application key where it runs in a process of its own
    (:func:`workers.settings.spare_credentials`): there the secret alone says whose hook it is.
    """
    known = account.app_key.reveal()
    key = (found.key or known).encode()
    ours = not known or hmac.compare_digest(key, known.encode())
    return ours and found.account in (None, account.name)
