"""Looks at the front door and at VTEX's hook: whether each answers, and whether they fit together."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from workers.check import Finding, good, tried
from workers.net.transport import Answer, HiddenHeaders, NoAnswer, Transport, user_agent
from workers.settings import Account, Settings, is_here
from workers.vtex.client import Vtex
from workers.vtex.receipts import HookConfig
from workers.web.hook import PATH, SECRET_HEADER

#: VTEX counts an answer after so many seconds as none; one that takes half of them deserves a look.
VTEX_WAITS = 5.0
_SLOW = VTEX_WAITS / 2
_CONFIGURE = "run: vtexorders hook configure https://…"
_PING = json.dumps({"hookConfig": "ping"}).encode()
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognized, not listened on


def check_door(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, and to whom; nothing, if nobody would be let in."""
    if settings.front_door:
        yield _door(settings)
    yield from _open(settings)


def check_hook(vtex: Vtex, account: Account, settings: Settings) -> Iterator[Finding]:
    """One store's; nothing, if no secret is set and VTEX has no hook."""
    config, problem = tried("VTEX hook", vtex.hook_config)
    if problem:
        if not problem.says.startswith("refused"):  # the feed's line has said so: it is the same permission
            yield problem
    elif config is not None:
        yield from _hook(config, account, settings)
    elif settings.hook_secret:
        yield Finding(
            "look", "VTEX hook", "HOOK_SECRET is set, and VTEX has no hook for this key", _CONFIGURE
        )


def _open(settings: Settings) -> Iterator[Finding]:
    """What listens for other machines: all of it speaks plain http, and no proxy can be seen from here."""
    for about, name, address, runs in (
        (
            "HTTP API" if settings.web_tokens else "hook's receiver",
            "WEB",
            settings.web_address,
            settings.front_door,
        ),
        ("Flower", "FLOWER", settings.flower_address, bool(settings.flower_basic_auth)),
        ("metrics", "METRICS", settings.metrics_address, bool(settings.metrics_port)),
    ):
        if runs and not is_here(address):
            yield Finding(
                "look",
                about,
                f"{name}_ADDRESS={address} lets other machines in by plain http",
                f"fine behind a proxy with TLS that alone reaches the port; without one: {name}_ADDRESS=127.0.0.1",
            )


def _door(settings: Settings) -> Finding:
    host = "127.0.0.1" if settings.web_address in _ANYWHERE else settings.web_address
    host = f"[{host}]" if ":" in host else host
    where, about = f"port {settings.web_port}", "HTTP API" if settings.web_tokens else "hook's receiver"
    answer = _ask(f"http://{host}:{settings.web_port}/health", "GET", {})
    if isinstance(answer, str):
        return Finding(
            "look", about, f"nothing answers at {where} of this machine", "run: vtexorders up (or web)"
        )
    if answer.headers.get("Server") != "vtexorders":
        return Finding("bad", about, f"another program answers at {where}", "set WEB_PORT to another one")
    if answer.status != HTTPStatus.OK:
        return Finding(
            "bad", about, f"answers at {where}, and cannot use Redis", "look at the lines about Redis"
        )
    return good(about, f"answers at {where}")


def _hook(config: HookConfig, account: Account, settings: Settings) -> Iterator[Finding]:
    secret, url = settings.hook_secret.reveal(), config.url or ""
    if not secret:
        yield Finding(
            "look",
            "VTEX hook",
            f"VTEX calls {_shown(url)}, and no hook is received here: HOOK_SECRET is not set",
            "set it and run: vtexorders hook configure https://…, or: vtexorders hook delete",
        )
        return
    fine = True
    path, sent = PATH.format(account=account.name), {name.lower(): it for name, it in config.headers.items()}
    if not urlsplit(url).path.endswith(path):
        fine = False
        yield Finding(
            "bad", "VTEX hook", f"VTEX calls {_shown(url)}, which does not end in {path}", _CONFIGURE
        )
    if sent.get(SECRET_HEADER.lower()) != secret:
        fine = False
        yield Finding(
            "bad", "VTEX hook", "VTEX does not send our HOOK_SECRET, so every call is refused", _CONFIGURE
        )
    if config.states and set(config.states) != set(settings.feed_states):
        yield Finding(
            "look",
            "VTEX hook",
            f"is configured for {', '.join(config.states)}, which are not FEED_STATES",
            _CONFIGURE,
        )
    if fine:
        yield _pinged(url, config.headers)


def _pinged(url: str, headers: Mapping[str, str]) -> Finding:
    """The call that VTEX makes when a hook is configured: nothing is recorded of it."""
    began = time.monotonic()
    answer = _ask(url, "POST", {**headers, "Content-Type": "application/json"}, _PING)
    took, where = time.monotonic() - began, _shown(url)
    if isinstance(answer, str):
        return Finding(
            "look",
            "VTEX hook",
            f"{where} cannot be reached from here: {answer}",
            "does it answer from outside? The feed brings the orders meanwhile",
        )
    if answer.status != HTTPStatus.OK:
        return Finding(
            "bad",
            "VTEX hook",
            f"{where} answers {answer.status} to a ping, and VTEX takes 200 alone",
            "does the proxy there lead to vtexorders web, and hand on all headers?",
        )
    if took > _SLOW:
        return Finding(
            "look",
            "VTEX hook",
            f"{where} took {took:.1f} s; VTEX waits {VTEX_WAITS:g} s",
            "is Redis slow, or the way?",
        )
    return good("VTEX hook", f"{where} answers in {took * 1000:.0f} ms, to our secret alone")


def _ask(url: str, method: str, headers: Mapping[str, str], body: bytes = b"") -> Answer | str:
    """The answer, or why there is none."""
    parts = urlsplit(url)
    host, target = f"{parts.scheme}://{parts.netloc}", parts.path + (f"?{parts.query}" if parts.query else "")
    sent = HiddenHeaders({**headers, "User-Agent": user_agent(), "Content-Length": str(len(body))})
    transport = Transport(timeout=VTEX_WAITS, pool=1)
    try:
        transport.prepare(host)
        return transport.exchange(host, method, target or "/", sent, body)
    except NoAnswer as error:
        return error.why
    finally:
        transport.close()


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
