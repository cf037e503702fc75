"""What VTEX's answers mean: one ladder from a status (or no answer at all) to the error tree.

The difference between a read and a write decides most: a read that failed did not happen, a write without a
readable answer may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from workers.errors import (
    AccessDenied,
    Conflict,
    NotFound,
    OrderLinkError,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unavailable,
)
from workers.net.words import pointed_to, retry_after
from workers.people import fit_to_print
from workers.vtex import refusals
from workers.vtex.schemas import load_json

if TYPE_CHECKING:
    from workers.net.transport import Answer, NoAnswer
    from workers.settings import Account

_SUCCESS, _REDIRECT, _CLIENT_ERROR = 2, 3, 4  # the first digit of a status
_MOST_WORDS = 200
_CLIENT_ERRORS_TO_REPEAT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
_REFUSALS: dict[int, type[OrderLinkError]] = {HTTPStatus.NOT_FOUND: NotFound, HTTPStatus.CONFLICT: Conflict}
_NOT_FOLLOWED = (
    "; not followed, the credentials would go there. Check VTEX_ACCOUNT, VTEX_ENVIRONMENT and VTEX_BASE_URL"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call.

    ``does`` is its name in a message, ``permission`` the License Manager resource that the application key
    needs for it. ``succeeds`` lists the statuses that mean success, if VTEX promises certain ones. ``wordless``: VTEX
    documents a 4xx of it without a body.
    """

    name: str
    does: str
    method: str
    permission: str
    writes: bool = False
    feed: bool = False
    succeeds: tuple[int, ...] = ()
    wordless: bool = False


def failure_of(  # noqa: PLR0911 (one ladder, read from top to bottom)
    endpoint: Endpoint, about: str, answer: Answer, account: Account, document: str | None = None
) -> OrderLinkError | None:
    """What an answer means; None if it is a success.

    ``about`` is the order that the call was about, "" if about none, and ``document`` that order's, if it is known: it
    says whom VTEX's words may quote. Of an order that is not known only status and code are told.
    """
    status, kind, after = answer.status, answer.status // 100, retry_after(answer.headers)
    call = _name(endpoint, about)
    if kind == _SUCCESS:
        return _doubt(endpoint, call, answer)
    hidden = account.app_key.reveal(), account.app_token.reveal()
    refusal = refusals.read(answer, hidden, wordless=endpoint.wordless or endpoint.feed)
    code = refusal.code
    said = fit_to_print(refusal.message, document or "", hidden, _MOST_WORDS) if document or not about else ""
    heard = f"{call}: VTEX answered {status}" + (f" {code}" if code else "") + (f" ({said})" if said else "")
    if kind == _REDIRECT:
        return Unavailable(
            f"{heard} and points to {pointed_to(answer.headers)}{_NOT_FOLLOWED}", status=status
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return AccessDenied(
            f"{heard}: VTEX_APP_KEY and VTEX_APP_TOKEN are not valid for it", status=status, code=code
        )
    if status == HTTPStatus.FORBIDDEN:
        return AccessDenied(
            f'{heard}: the application key needs the permission "{endpoint.permission}" (License Manager)',
            status=status,
            code=code,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"{heard}: too many calls for this account", status=status, code=code, after=after)
    if kind == _CLIENT_ERROR and status not in _CLIENT_ERRORS_TO_REPEAT:
        if refusal.theirs:
            return _REFUSALS.get(status, Rejected)(heard, status=status, code=code)
        heard = f"{heard}, not in VTEX's words: something between us and VTEX answered"
    if endpoint.writes:
        return OutcomeUnknown(f"{heard}: it may have happened", status=status, code=code, after=after)
    return Unavailable(heard, status=status, code=code, after=after)


def _doubt(endpoint: Endpoint, call: str, answer: Answer) -> OrderLinkError | None:
    """A 2xx that proves nothing: a part of a body, somebody else's page, a start-handling without its 204."""
    problem = answer.problem
    if problem is None and _is_page(answer):
        problem = "it is a web page: something between us and VTEX answered, or the address is wrong"
    if problem is None and endpoint.succeeds and answer.status not in endpoint.succeeds:
        problem = f"only {endpoint.succeeds[0]} means success here"
    if problem is None:
        return None
    kind = OutcomeUnknown if endpoint.writes else Unavailable
    return kind(f"{call}: VTEX answered {answer.status}, but {problem}", status=answer.status)


def unanswered(endpoint: Endpoint, about: str, failure: NoAnswer) -> OrderLinkError:
    """What no answer at all means."""
    message = f"{_name(endpoint, about)}: {failure.why}"
    if endpoint.writes and failure.sent:
        return OutcomeUnknown(f"{message}: it may have happened")
    return Unavailable(message)


def _name(endpoint: Endpoint, about: str) -> str:
    return f"{endpoint.does} {about}".strip()


def _is_page(answer: Answer) -> bool:
    kind = answer.headers.get("Content-Type", "").lower()
    return "html" in kind or answer.body[:256].lstrip().startswith(b"<")


def text_of(endpoint: Endpoint, answer: Answer, about: str = "") -> str:
    """The body as UTF-8, which JSON always is, whatever the header says."""
    try:
        return answer.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise Unavailable(f"{_name(endpoint, about)}: the answer is not valid UTF-8", status=answer.status)


def json_of(endpoint: Endpoint, answer: Answer) -> Any:
    """The value of a JSON body; Unavailable if it is not whole JSON."""
    text = text_of(endpoint, answer)
    try:
        return load_json(text)
    except ValueError:
        pass
    raise Unavailable(f"{endpoint.does}: the answer is not JSON, or only a part of it", status=answer.status)
