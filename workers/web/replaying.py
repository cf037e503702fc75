"""The answer to "do it again"."""

from __future__ import annotations

from aiohttp import web

from workers.books import WHY_NOT
from workers.web.problems import Problem, reply


def answer_of(verdict: str, id_: str, where: str) -> web.Response:
    """202 if it is on its way, else a problem that says why not."""
    if verdict == "open":
        return reply({"id": id_, "state": "open", "url": where}, status=202, headers={"Location": where})
    raise Problem(404 if verdict == "unknown" else 409, WHY_NOT[verdict])
