"""One HTTP exchange, bounded in time and size, that cannot leak a credential.

It works below ``requests.Session.request``: the headers are prepared once, cookies are never kept, a
redirect is never followed, and the body is read piece by piece under a deadline. It raises
:class:`NoAnswer` or returns an :class:`Answer`; what either means for an order is decided elsewhere.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from workers.net.bounded import SILENCES, BoundedAdapter
from workers.settings import is_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_BODY = 64 * 2**20
LARGEST_ERROR_BODY = 64 * 2**10
_PIECE = 2**18
_LONGEST_CONNECT = 5.0
_FIRST_ERROR_STATUS = 300
_TIMEOUTS = (urllib3.exceptions.ReadTimeoutError, requests.ReadTimeout, TimeoutError)


def user_agent() -> str:
    """How we introduce ourselves."""
    try:
        return f"vtex-order-workers/{version('vtex-order-workers')}"
    except PackageNotFoundError:  # run from a checkout
        return "vtex-order-workers/0"


class NoAnswer(Exception):
    """No status line arrived. ``sent``: the request may have reached the other side."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body; ``problem`` says why the body is not whole, if it is not."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    problem: str | None = None


class HiddenHeaders(CaseInsensitiveDict[str]):
    """Headers that do not show in a traceback with local variables."""

    def __repr__(self) -> str:
        return "<headers, not shown>"

    def copy(self) -> HiddenHeaders:
        """A copy that hides, too."""
        return HiddenHeaders(self.items())


class Transport:
    """Connections to a few hosts, shared by all threads of a process.

    ``timeout`` (seconds) is how long the other side may stay silent; a whole answer may take twice that.
    ``largest`` (bytes) bounds the body of a success. A session that is handed in (by a test) brings its own
    connections.
    """

    def __init__(
        self,
        *,
        timeout: float,
        pool: int,
        largest: int | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._owned = session is None
        self._session = session or _new_session(pool)
        self._timeout: tuple[float, float] = (min(timeout, _LONGEST_CONNECT), timeout)
        self._deadline = SILENCES * timeout
        self._largest = largest
        self._proxies: dict[str, dict[str, str]] = {}
        self._verify = _ca_bundle()

    def __repr__(self) -> str:
        return f"<Transport timeout={self._timeout[1]:g}s>"

    def prepare(self, host: str) -> None:
        """Read the proxy settings for that base address, once: each reading costs more than a call."""
        local = is_here(urlsplit(host).hostname)  # where a proxy would look at its own machine
        self._proxies[host] = {} if local else get_environ_proxies(host)

    def exchange(
        self, host: str, method: str, target: str, headers: HiddenHeaders, body: bytes | None
    ) -> Answer:
        """Send one request to ``host`` + ``target``; :class:`NoAnswer` if no answer comes."""
        deadline = time.monotonic() + self._deadline
        response = self._send(host, method, target, headers, body)
        if isinstance(response, NoAnswer):
            raise response  # not where it was caught: the caught error carries the request and its headers
        limit = LARGEST_ERROR_BODY
        if response.status_code < _FIRST_ERROR_STATUS:
            limit = self._largest or LARGEST_BODY
        content, problem = _read(response, limit, deadline)
        return Answer(response.status_code, response.headers, content, problem)

    def close(self) -> None:
        """Close the idle connections (of our own session, not of one that was handed in)."""
        if self._owned:
            self._session.close()

    def _send(
        self, host: str, method: str, target: str, headers: HiddenHeaders, body: bytes | None
    ) -> requests.Response | NoAnswer:
        request = requests.PreparedRequest()
        request.method, request.url, request.headers, request.body = method, host + target, headers, body
        request.hooks = {}
        try:
            # Not Session.send: it would read a redirect's body without a limit, and keep cookies.
            return self._session.get_adapter(request.url).send(
                request,
                stream=True,
                timeout=self._timeout,
                verify=self._verify,
                proxies=self._proxies.get(host, {}),
            )
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # requests' errors are OSErrors
            return _no_answer(error)


def _new_session(pool: int) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    adapter = BoundedAdapter(pool_connections=4, pool_maxsize=pool, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _ca_bundle() -> str | bool:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(name):
            return path
    return True


def ca_file() -> str:
    """The file of those whom https trusts, for others that speak TLS."""
    named = _ca_bundle()
    return named if isinstance(named, str) and Path(named).is_file() else DEFAULT_CA_BUNDLE_PATH


def _read(response: requests.Response, limit: int, deadline: float) -> tuple[bytes, str | None]:
    """The body, decoded as its Content-Encoding says, and why it is not whole, if so.

    ``read1`` returns what one read of the socket brought, so the deadline is looked at after each.
    A body read to its end gives the connection back to the pool; any other is closed.
    """
    pieces: list[bytes] = []
    size = 0
    problem: str | None = None
    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                problem = f"it is larger than {limit} bytes"
            elif time.monotonic() > deadline:
                problem = "it did not end in time"
            if problem:
                break
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        problem = "it stopped in the middle" if not _is_timeout(error) else "it did not end in time"
    if problem:
        response.close()
    return b"".join(pieces), problem


# From the surest to the vaguest: the first kind found among an error's causes tells. Only what certainly
# happened before sending counts as not sent.
_REASONS: tuple[tuple[tuple[type[BaseException], ...], str, bool], ...] = (
    ((urllib3.exceptions.NameResolutionError, socket.gaierror), "the host's name cannot be resolved", False),
    (
        (ssl.SSLCertVerificationError,),
        "the host's certificate is not trusted (REQUESTS_CA_BUNDLE names your own)",
        False,
    ),
    (
        (urllib3.exceptions.ProxyError, requests.exceptions.ProxyError),
        "the proxy cannot be reached, or refuses",
        False,
    ),
    ((urllib3.exceptions.ConnectTimeoutError, requests.ConnectTimeout), "no connection in time", False),
    ((urllib3.exceptions.NewConnectionError,), "no connection", False),
    (_TIMEOUTS, "no answer in time", True),
    ((ssl.SSLError, urllib3.exceptions.SSLError), "the encrypted connection failed", True),
    ((urllib3.exceptions.ProtocolError, ConnectionError), "the connection was cut", True),
    ((requests.RequestException, urllib3.exceptions.HTTPError), "the exchange failed", True),
    ((OSError,), "the CA bundle or the client certificate cannot be read", False),
)


def _no_answer(error: BaseException) -> NoAnswer:
    """Why there is no answer, and whether the request may have been sent."""
    causes = list(_causes(error))
    for kinds, why, sent in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return NoAnswer(why, sent=sent)
    return NoAnswer(f"the request cannot be made ({type(error).__name__})", sent=False)


def _is_timeout(error: BaseException) -> bool:
    return any(isinstance(cause, _TIMEOUTS) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps: a cause may hide in ``reason``, in args or in the context."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args]
