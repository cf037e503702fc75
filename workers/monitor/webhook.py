"""Tells an address of the operator's (ALARM_URL) that an alarm was raised or cleared: one POST of a small JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from workers import telemetry
from workers.net.transport import HiddenHeaders, NoAnswer, Transport, user_agent

if TYPE_CHECKING:
    from workers.settings import Secret

log = telemetry.get(__name__)

#: How long the other side may stay silent. Seconds.
TIMEOUT = 5.0
_SUCCESS = range(200, 300)


class Webhook:
    """Calls one address. It may hold a key, so it is never shown."""

    def __init__(self, url: Secret) -> None:
        parts = urlsplit(url.reveal())
        self._host = f"{parts.scheme}://{parts.netloc}"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._transport = Transport(timeout=TIMEOUT, pool=1)
        self._transport.prepare(self._host)

    def __call__(self, document: dict[str, Any]) -> bool:
        """Send it; whether it arrived."""
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = HiddenHeaders(
            {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Idempotency-Key": document["id"],
                "User-Agent": user_agent(),
            }
        )
        try:
            answer = self._transport.exchange(self._host, "POST", self._target, headers, body)
        except NoAnswer as error:
            log.warning("alarm_not_sent", alarm=document["alarm"], why=error.why)
            return False
        if answer.status not in _SUCCESS:
            log.warning("alarm_not_sent", alarm=document["alarm"], why=f"the answer was {answer.status}")
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()
