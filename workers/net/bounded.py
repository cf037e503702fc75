"""Connections whose answers must be whole and end in time.

A socket's timeout bounds one silence, not an answer: a server that sends a byte every few seconds could hold
a thread for ever, also within the headers, where nothing above the socket gets a say. And the standard
library takes headers that were cut off for complete ones, so that a cut answer could pass for a success.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

#: An answer may take this many times as long as one silence.
SILENCES = 2


class _Watch(io.RawIOBase):
    """A socket's raw reader that stops at a deadline, and knows whether the other side has hung up."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._silence = sock.gettimeout()
        self._deadline = time.monotonic() + SILENCES * (self._silence or 0)
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self._silence is not None:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the answer did not end in time")
            if remaining < self._silence:
                self._sock.settimeout(remaining)  # urllib3 sets it anew for each request
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._watch = _Watch(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._watch)

    def begin(self) -> None:
        super().begin()
        if self._watch.ended:  # whole headers are never read up to the end of the connection
            raise http.client.RemoteDisconnected("the headers are cut off")


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class BoundedAdapter(HTTPAdapter):
    """requests' adapter on such connections, directly or through an HTTP proxy.

    Without a proxy the pool of a host is looked for once, and an answer has no cookies, whose jar costs more to make
    than all that :class:`~workers.net.transport.Transport` looks at.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pools: dict[tuple[str, object], Any] = {}
        super().__init__(*args, **kwargs)

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool of the request's host, as requests finds it."""
        if proxies or cert:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        which = request.url[: _end_of_host(request.url)], verify
        pool = self._pools.get(which)
        if pool is None:
            pool = self._pools[which] = super().get_connection_with_tls_context(request, verify)
        return pool

    def request_url(self, request: Any, proxies: Any) -> Any:
        """What stands in the request's first line."""
        if proxies:
            return super().request_url(request, proxies)
        return "/" + request.url[_end_of_host(request.url) :].lstrip(
            "/"
        )  # two slashes would begin with a host

    def build_response(self, req: Any, resp: Any) -> Any:
        """The answer, without cookies and encoding."""
        response: Any = requests.Response.__new__(requests.Response)
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        response.request, response.url = req, req.url
        response._content, response._content_consumed = False, False  # noqa: SLF001 - what close() looks at
        return response

    def close(self) -> None:
        """Close the idle connections; the next call opens others."""
        self._pools.clear()
        super().close()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests makes it, with our connections."""
        super().init_poolmanager(*args, **kwargs)
        _use(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """As requests makes it, with our connections; a SOCKS proxy needs its own."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            _use(manager)
        return manager


def _end_of_host(url: str) -> int:
    end = url.find("/", url.index("://") + 3)
    return end if end >= 0 else len(url)


def _use(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
