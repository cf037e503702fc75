"""A Redis client that keeps its connections at hand.

redis-py's pool takes a lock, asks the socket whether something unread waits in it, and counts, at each loan and each
return: more than half of a short call's processor time. Here a connection that served a call lies ready for the next
one. One that a call did not leave clean is never used again, and the call is made once more the usual way, with
redis-py's own repeats, as it does itself after an error of a connection.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import Any

import redis


class Kept(redis.Redis):
    """For one server, not for Sentinels: those have idle connections closed when the primary is another one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ready: deque[Any] = deque()
        self._owner = os.getpid()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """See redis-py."""
        if self._owner != os.getpid():  # after a fork: they are the other process's
            self._ready, self._owner = deque(), os.getpid()
        try:
            connection = self._ready.pop()
        except IndexError:
            return self._by_a_new_one(*args, **options)
        try:
            connection.send_command(*args, **options)
            answer = self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError:  # an answer like any other
            self._ready.append(connection)
            raise
        except (redis.ConnectionError, redis.TimeoutError):
            self._give_up(connection)
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except BaseException:
            self._give_up(connection)
            raise
        self._ready.append(connection)
        return answer

    def _by_a_new_one(self, *args: Any, **options: Any) -> Any:
        """The usual way, and one connection more lies ready from now on."""
        answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        with suppress(redis.RedisError):  # the call itself was answered
            self._ready.append(self.connection_pool.get_connection())
        return answer

    def _give_up(self, connection: Any) -> None:
        connection.disconnect()
        self.connection_pool.release(connection)
