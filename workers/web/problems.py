"""How the front door answers: in JSON, and with problem details (RFC 9457) when it does not do what was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

MEDIA_TYPE = "application/problem+json"
#: Seconds after which a caller may try again when Redis cannot record.
TRY_AGAIN = 5
_PATH = re.compile(r"[\w\-]+(?:\[\d+\])*(?:\.[\w\-]+(?:\[\d+\])*)*")


def reply(document: Any, **more: Any) -> web.Response:
    """JSON that people can read, too: letters as they are, and a line's end for whoever sees it in a terminal."""
    text = json.dumps(document, ensure_ascii=False) + "\n"
    content = text.encode(errors="replace")  # half of a character is no reason to fail
    return web.Response(**{"content_type": "application/json", "charset": "utf-8", "body": content, **more})


class Problem(Exception):
    """An answer that is not a success. ``problems`` are single ones, such as ``items[0].price: is missing``.

    ``member`` says where these places are: in the body (``pointer``), or in address and headers (``parameter``).
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        problems: Sequence[str] = (),
        member: str = "pointer",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = problems
        self.member = member
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The answer."""
        body: dict[str, Any] = {
            "type": "about:blank",  # the status says it all, and "detail" the rest
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.problems:
            body["errors"] = [self._single(problem) for problem in self.problems]
        return reply(body, status=self.status, content_type=MEDIA_TYPE, headers=self.headers)

    def _single(self, problem: str) -> dict[str, str]:
        """``items[0].price: is missing`` as a sentence and, if it begins with one, the place it is about."""
        path, colon, rest = problem.partition(": ")
        if not colon or not _PATH.fullmatch(path):
            return {"detail": problem}
        if self.member == "parameter":
            return {"detail": rest, "parameter": path}
        steps = [step for step in re.split(r"[.\[\]]+", path) if step]
        return {"detail": rest, "pointer": "#/" + "/".join(steps)}


def unavailable(why: str) -> Problem:
    """Nothing can be recorded now, and later it can."""
    return Problem(503, why, headers={"Retry-After": str(TRY_AGAIN)})
