"""What all calls of VTEX have in common: the account's hosts and headers, the pace, and what an answer means."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from workers.errors import Invalid, OrderLinkError, OutcomeUnknown, Unavailable
from workers.net.transport import Answer, HiddenHeaders, NoAnswer, Transport, user_agent
from workers.vtex.answers import Endpoint, failure_of, unanswered
from workers.vtex.schemas import load_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from workers.settings import Account

_LONGEST_PART = 200
#: As many orders as the threads of a process have at hand; one of the usual kind has some 10 kB.
_MOST_REMEMBERED, _LARGEST_REMEMBERED = 64, 200_000
_Read = TypeVar("_Read")


class Calls:
    """One VTEX account's calls, without any call in particular."""

    def __init__(
        self,
        account: Account,
        *,
        timeout: float = 10.0,
        pool: int = 64,
        session: requests.Session | None = None,
        pace: Callable[[str], None] | None = None,
        observe: Callable[[str, int | None, float], None] | None = None,
    ) -> None:
        self._account = account
        self._pace = pace
        self._observe = observe
        self._transport = Transport(timeout=timeout, pool=pool, session=session)
        self._oms, self._feed = account.oms_url, account.feed_url
        for host in {self._oms, self._feed}:
            self._transport.prepare(host)
        self._headers = _headers(account)
        self._post_headers = self._headers.copy()
        self._post_headers["Content-Length"] = "0"
        #: The Date of VTEX's last answer, as it was sent.
        self.server_date: str | None = None
        #: The newest documents by their orders: they say whom VTEX's words may quote.
        self._documents: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Vtex {self._account.name}>"

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def _call(
        self, endpoint: Endpoint, target: str, *, body: Mapping[str, Any] | None = None, about: str = ""
    ) -> Answer:
        """Make the call; return a success or raise what its answer, or the lack of one, means."""
        if self._pace:
            self._pace(endpoint.name)
        headers, content = self._headers, None
        if body is not None:
            content = json.dumps(body).encode()
            headers = self._headers.copy()
            headers["Content-Length"] = str(len(content))
        elif endpoint.method != "GET":
            headers = self._post_headers
        host = self._feed if endpoint.feed else self._oms
        status: int | None = None
        failure: OrderLinkError | None
        started = time.perf_counter()
        try:
            answer = self._transport.exchange(host, endpoint.method, target, headers, content)
            status = answer.status
            self.server_date = answer.headers.get("Date")
            failure = failure_of(endpoint, about, answer, self._account, self._documents.get(about))
        except NoAnswer as no_answer:
            failure = unanswered(endpoint, about, no_answer)
        finally:
            if self._observe:
                self._observe(endpoint.name, status, time.perf_counter() - started)
        if failure:
            raise failure
        return answer

    def _remember(self, order_id: str, document: str) -> None:
        """Keep an order's document for as long as calls about it may fail; calls of other threads go on meanwhile."""
        if len(document) > _LARGEST_REMEMBERED:
            return
        self._documents.pop(order_id, None)
        self._documents[order_id] = document
        for oldest in list(self._documents)[:-_MOST_REMEMBERED]:
            self._documents.pop(oldest, None)

    def _ask(
        self,
        endpoint: Endpoint,
        target: str,
        read: Callable[[Any], _Read],
        *,
        body: Mapping[str, Any] | None = None,
        about: str = "",
        empty: Any = None,
    ) -> _Read:
        """Make the call and read its JSON (``empty``: for no body). A write whose answer is none may have happened."""
        answer = self._call(endpoint, target, body=body, about=about)
        try:
            return read(load_json(answer.body.decode("utf-8-sig")) if answer.body.strip() else empty)
        except ValueError:
            problem = "the answer is not JSON, or only a part of it"
        except Unavailable as error:
            problem = str(error)
        call = f"{endpoint.does} {about}".strip()
        if endpoint.writes:
            raise OutcomeUnknown(
                f"{call}: VTEX answered {answer.status}, but {problem}: it may have happened",
                status=answer.status,
            )
        raise Unavailable(f"{call}: {problem}", status=answer.status)


def part(text: str) -> str:
    """A text as one part of a path; Invalid if a path would lose or cannot hold it."""
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_PART or text in {".", ".."}:
        raise Invalid("an order id, an invoice number or a change's id that no address can hold")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        pass
    raise Invalid("an order id, an invoice number or a change's id that no address can hold")


def _headers(account: Account) -> HiddenHeaders:
    key, token = account.app_key.reveal(), account.app_token.reveal()
    if not (key + token).isascii() or not (key + token).isprintable():
        raise Invalid("VTEX_APP_KEY or VTEX_APP_TOKEN has characters that cannot be sent in a header")
    return HiddenHeaders(
        {
            "X-VTEX-API-AppKey": key,
            "X-VTEX-API-AppToken": token,
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/json",
            "User-Agent": user_agent(),
        }
    )
