"""The front door put together: routes, and what every answer has in common."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web

from workers import telemetry
from workers.web import body, commands, orders, page
from workers.web.clerk import of_commands, of_events
from workers.web.guard import Guard
from workers.web.hook import PATH, Hook
from workers.web.openapi import document
from workers.web.problems import Problem, reply
from workers.web.strangers import Strangers

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from workers.web.office import Office
    from workers.web.operations import Operation

log = telemetry.get(__name__)

OPERATIONS: tuple[Operation, ...] = (*commands.OPERATIONS, *orders.OPERATIONS)
STRANGERS = web.AppKey("strangers", Strangers)
#: Nothing that is answered here is to be kept, guessed at, or shown inside of another page.
HEADERS = {
    "Cache-Control": "no-store",
    "Server": "vtexorders",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def make(office: Office) -> web.Application:
    """The web application; it closes the office at its end."""
    app = web.Application(middlewares=[_answer_problems], client_max_size=body.LARGEST)
    clerk, events = of_commands(office), of_events(office)
    strangers = app[STRANGERS] = Strangers()
    guard, described = Guard(office, clerk, strangers), document(OPERATIONS)
    shown = page.render(described)

    async def openapi(_request: web.Request) -> web.Response:
        return reply(described)

    async def home(_request: web.Request) -> web.Response:
        return web.Response(text=shown, content_type="text/html", charset="utf-8")

    async def health(_request: web.Request) -> web.Response:
        await office.do(office.redis.ping)
        return reply({"ok": True})

    async def close(_app: web.Application) -> None:
        strangers.close()
        await asyncio.gather(clerk.close(), events.close())
        await asyncio.to_thread(office.close)

    app.router.add_get("/", home, expect_handler=_expected)
    app.router.add_get("/openapi.json", openapi, expect_handler=_expected)
    app.router.add_get("/health", health, expect_handler=_expected)
    app.router.add_post(PATH, Hook(office, events, strangers).receive, expect_handler=_expected)
    for one in OPERATIONS:
        # without the HEAD that aiohttp adds to a GET: it is not described
        app.router.add_route(one.method, one.path, partial(guard.admit, one), expect_handler=_expected)
    app.on_response_prepare.append(_set_headers)
    app.on_cleanup.append(close)
    return app


async def _expected(request: web.Request) -> web.StreamResponse | None:
    """Whoever asks whether to send the body may send it; HTTP/1.0 knows no such question."""
    if request.version < HttpVersion11:
        return None
    if request.headers.get("Expect", "").lower() != "100-continue":
        return Problem(417, "only Expect: 100-continue is known here").response()
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None


async def _set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


@web.middleware
async def _answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        if problem.status >= 500:  # noqa: PLR2004
            log.warning("not_now", status=problem.status, why=problem.detail)
        return problem.response()
    except web.HTTPException as refused:
        allowed = refused.headers.get("Allow")
        headers = {"Allow": allowed} if allowed else {}
        words = {404: "there is nothing here; GET / shows what there is", 405: f"only {allowed} works here"}
        return Problem(refused.status, words.get(refused.status, refused.reason), headers=headers).response()
    except (ConnectionError, asyncio.CancelledError):
        raise  # whoever asked is gone
    except Exception as error:  # noqa: BLE001 - somebody waits for an answer
        log.error("web_failed", kind=type(error).__name__, path=request.path[:100], where=_where(error))
        return Problem(500, "something went wrong here, and is in the log").response()


def _where(error: BaseException) -> str:
    """The line that failed; an error's text might quote what was sent."""
    trace, place = error.__traceback__, ""
    while trace:
        place = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
