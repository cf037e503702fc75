"""A front door for flow tests: the real server in a thread, and a client without any comfort."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from types import SimpleNamespace

import requests

from workers.web.office import Office
from workers.web.serve import listen, runner_of

ALL, LOOKS, SENDS, OTHERS = (
    "all-may-be-done-00",
    "only-to-look-at-it",
    "only-sends-commands",
    "of-another-store-0",
)
TOKENS = f"{ALL},{LOOKS}:read,{SENDS}:command,{OTHERS}@other"
SECRET = "the-secret-of-the-hook"


@contextlib.contextmanager
def front_door(settings, client=None):
    """The address of a running server, and a way to ask it."""
    started, running = threading.Event(), SimpleNamespace()

    async def serve():
        running.loop, running.stop = asyncio.get_running_loop(), asyncio.Event()
        runner = runner_of(Office(settings, client))
        await runner.setup()
        server = await listen(runner, "127.0.0.1", 0)
        running.port = server.sockets[0].getsockname()[1]
        started.set()
        await running.stop.wait()
        server.close()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="front door")
    thread.start()
    try:
        assert started.wait(30)
        with requests.Session() as session:
            session.trust_env = False
            yield Door(f"http://127.0.0.1:{running.port}", running.port, session)
    finally:
        if started.is_set():
            running.loop.call_soon_threadsafe(running.stop.set)
        thread.join()


class Door:
    def __init__(self, url, port, session):
        self.url, self.port, self.session = url, port, session

    def ask(self, method, path, body=None, *, token=ALL, key=None, headers=None, **more):
        """The answer to one request; a problem is one in form, too."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"Idempotency-Key": key} if key else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
            more["data"] = body if isinstance(body, bytes) else json.dumps(body)
        answer = self.session.request(
            method, self.url + path, headers=sent | (headers or {}), timeout=30, **more
        )
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
            problem = answer.json()
            assert problem["status"] == answer.status_code
            assert problem["title"]
            assert problem["detail"]
        return answer

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, body, **more)

    def event(self, order, *, account="teststore", key="flow-app-key", secret=SECRET, **more):
        """VTEX calls the hook."""
        body = {
            "Domain": "Fulfillment",
            "OrderId": order,
            "State": "ready-for-handling",
            "LastState": "window-to-cancel",
            "LastChange": "2026-01-01T10:00:00.1234567Z",
            "CurrentChange": "2026-01-01T10:00:01.1234567Z",
            "Origin": {"Account": account, "Key": key},
        } | more
        return self.post("/hooks/vtex/teststore", body, token=None, headers={"X-Hook-Secret": secret})
