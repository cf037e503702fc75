"""Answers in the forms that VTEX uses."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

_JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML_PAGE = (
    "<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center><hr></body></html>"
)


def answer(value: Any, status: int = 200) -> web.Response:
    """Answer with JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return raw(body, status)


def raw(body: bytes, status: int = 200) -> web.Response:
    """Answer with JSON that is already written."""
    return web.Response(body=body, status=status, headers=_JSON)


def refusal(status: int, code: str, message: str) -> web.Response:
    """Answer with an error as VTEX's order management writes it."""
    return answer({"error": {"code": code, "message": message, "exception": None}}, status)


def html(status: int) -> web.Response:
    """Answer with a page, as the machines in front of VTEX do when something is wrong."""
    return web.Response(text=HTML_PAGE.format(status=status), status=status, content_type="text/html")
