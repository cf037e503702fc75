"""Orders to an ERP's own HTTP endpoint: one POST a delivery. ``docs/erp.md`` is the contract for its author.

A write without a readable answer is no problem here: it is sent again with the same key.
"""

from __future__ import annotations

import base64
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from workers import errors
from workers.erp import signature
from workers.erp.envelope import envelope
from workers.erp.sink import COMMANDS
from workers.net.transport import Answer, HiddenHeaders, NoAnswer, Transport, user_agent
from workers.net.words import pointed_to, retry_after
from workers.people import fit_to_print
from workers.settings.address_secrets import secrets_in
from workers.vtex.schemas import load_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from workers.erp.sink import Delivery, Sink, SinkOptions

#: How much of an answer is read, in bytes. Nothing but the status counts when it is a success.
LARGEST_ANSWER = 64 * 2**10

_SUCCESS, _REDIRECT, _SERVER_ERROR = 2, 3, 5  # the first digit of a status
_REFUSES_THE_ORDER = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_REFUSES_US = {
    HTTPStatus.UNAUTHORIZED: "check ERP_TOKEN",
    HTTPStatus.FORBIDDEN: "what ERP_TOKEN stands for may not put orders there",
    HTTPStatus.NOT_FOUND: "check the path in ERP_URL",
    HTTPStatus.METHOD_NOT_ALLOWED: "check the path in ERP_URL, it does not take POST",
}
#: What a check need not worry about.
_SAYS_NOTHING_ABOUT_POST = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_IN_SPITE_OF_OPTIONS = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_IN_SPITE_OF_NO_BODY = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR})  # it stumbled, so it was let in
#: Where ERPs put their reasons.
_REASONS = (
    "error", "errors", "erro", "erros", "code", "title", "message", "mensagem", "msg", "detail", "details",
    "detailedmessage", "reason", "description", "errormessage", "error_description",
)  # fmt: skip
_MOST_REASONS = 4


def open_sink(url: str, options: SinkOptions) -> Sink:
    """See :func:`workers.erp.sink.open_sink`."""
    return HttpSink(url, options)


class HttpSink:
    """Delivers by POST. A ``session`` that is handed in (by a test) brings its own connections."""

    def __init__(
        self,
        url: str,
        options: SinkOptions,
        *,
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host, self._target, credentials = _parts(url)
        self._name = urlsplit(self._host).netloc
        self._headers = _headers(options.token.reveal(), credentials)
        self._secrets = _secrets(options, url)
        self._keys = _keys(options)
        self._clock = clock
        self._transport = Transport(
            timeout=options.timeout, pool=options.threads, largest=LARGEST_ANSWER, session=session
        )
        self._transport.prepare(self._host)

    def __repr__(self) -> str:
        return f"<HttpSink: {self._name}>"

    def deliver(self, delivery: Delivery) -> None:
        """See :class:`workers.erp.sink.Sink`."""
        body = envelope(delivery)
        failure = self._failure(self._ask("POST", body, delivery.key), delivery)
        if failure:
            raise failure

    def check(self) -> None:
        """Ask in a way that does no harm: OPTIONS, and a POST without a body if that is not let through.

        Many servers do not know OPTIONS, and some firewalls stop it; that says nothing about POST. A POST
        without a body is no order, so an ERP refuses it, and how it does tells whether it would let us in.
        """
        answer = self._ask("OPTIONS")
        fine = _IN_SPITE_OF_OPTIONS
        # many servers let anybody ask for OPTIONS: only a POST tells whether our token and signature are right
        asks_who = bool(self._keys) or "Authorization" in self._headers
        if isinstance(answer, Answer) and (
            answer.status in _SAYS_NOTHING_ABOUT_POST or (asks_who and self._failure(answer) is None)
        ):
            answer = self._ask("POST", b"")
            fine = _IN_SPITE_OF_NO_BODY
        failure = self._failure(answer)
        if failure is None or failure.status in fine:
            return
        if isinstance(failure, errors.AccessDenied) or (failure.status or 500) // 100 == _SERVER_ERROR:
            raise failure

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def _ask(self, method: str, body: bytes | None = None, key: str = "") -> Answer | NoAnswer:
        headers = self._headers.copy()
        if key:
            headers["Idempotency-Key"] = quote(key, safe="!#$&'()*+,/:;=?@[]^`{|}~")
        if body is not None:
            headers["Content-Length"] = str(len(body))
            headers["Content-Type"] = "application/json; charset=utf-8"
            if self._keys:
                now = int(self._clock())
                identity = signature.message_id(key or f"check at {now}")
                headers.update(signature.headers(self._keys, identity, now, body))
        try:
            return self._transport.exchange(self._host, method, self._target, headers, body)
        except NoAnswer as failure:
            return failure

    def _failure(  # noqa: PLR0911 (one ladder, read from top to bottom)
        self, answer: Answer | NoAnswer, delivery: Delivery | None = None
    ) -> errors.OrderLinkError | None:
        """What an answer means; None if the ERP has the order."""
        if isinstance(answer, NoAnswer):
            kind = errors.OutcomeUnknown if answer.sent else errors.Unavailable
            return kind(f"{self._name}: {answer.why}")
        status = answer.status
        if status // 100 == _SUCCESS or status == HTTPStatus.CONFLICT:
            return None
        if status // 100 == _REDIRECT:
            return errors.AccessDenied(
                f"{self._name} answered {status} and points to {pointed_to(answer.headers)}; not followed, the"
                " token would go there: put the final address into ERP_URL",
                status=status,
            )
        words = ""
        if delivery is None or delivery.type not in COMMANDS:
            # a check is about nobody's order; of a command no order is at hand that says whom words may quote
            document = delivery.document if delivery else ""
            words = fit_to_print(" ".join(_reasons(answer)), document, self._secrets)
        heard = f"{self._name} answered {status}" + (f": {words}" if words else "")
        if status in _REFUSES_THE_ORDER:
            return errors.Rejected(heard, status=status)
        if status in _REFUSES_US:
            return errors.AccessDenied(f"{heard} ({_REFUSES_US[HTTPStatus(status)]})", status=status)
        after = retry_after(answer.headers)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            # Not RateLimited: that is about the pace at VTEX. Nothing happened, and this order comes again.
            return errors.Unavailable(heard, status=status, after=after)
        return errors.OutcomeUnknown(heard, status=status, after=after)


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme and host, the rest as it is asked for, and ``user:password`` if the address holds one."""
    problem = ""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        problem = "cannot be read"
    else:
        if not parts.hostname or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
            problem = "must look like https://host:port/path, with nothing but ASCII in it"
    if problem:
        raise errors.Invalid(f"the ERP's address {problem}")
    userinfo, _, host = parts.netloc.rpartition("@")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{host}", target, unquote(userinfo)


def _headers(token: str, credentials: str) -> HiddenHeaders:
    if not token.isascii() or not token.isprintable():
        raise errors.Invalid("ERP_TOKEN has characters that cannot be sent in a header")
    headers = HiddenHeaders(
        {
            "Accept": "application/json, text/plain;q=0.9, */*;q=0.1",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": user_agent(),
        }
    )
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif credentials:
        headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
    return headers


def _secrets(options: SinkOptions, url: str) -> tuple[str, ...]:
    """What the ERP may echo and nobody may read: in its words it is hidden. The longest first."""
    found = {options.token.reveal(), *options.signing_secret.reveal().split(), *secrets_in(url)}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def _keys(options: SinkOptions) -> tuple[bytes, ...]:
    problem = ""
    try:
        return signature.keys_of(options.signing_secret.reveal())
    except ValueError as error:
        problem = str(error)
    raise errors.Invalid(f"ERP_SIGNING_SECRET {problem}")


def _reasons(answer: Answer) -> list[str]:
    """The ERP's own words, out of JSON in one of the usual forms, or a plain text; a web page has none."""
    text = answer.body.decode("utf-8-sig", errors="replace")
    try:
        body = load_json(text)
    except ValueError:
        is_page = "html" in answer.headers.get("Content-Type", "").lower() or text.lstrip().startswith("<")
        return [] if is_page else [text]
    return list(dict.fromkeys(_said(body)))[:_MOST_REASONS]


def _said(value: Any, depth: int = 4) -> Iterator[str]:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list) and depth:
        for inner in value[:_MOST_REASONS]:
            yield from _said(inner, depth - 1)
    elif isinstance(value, dict) and depth:
        named = {str(name).lower(): inner for name, inner in value.items()}
        for name in _REASONS:
            if name in named:
                yield from _said(named[name], depth - 1)
