"""What stands behind the front door: the ledgers and the queue, reached from threads so that nobody waits in line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import redis
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers import redis_address, telemetry
from workers.books import Books
from workers.ledger import Ledger
from workers.runtime import ledger_of
from workers.settings import Settings
from workers.web.problems import unavailable

P = ParamSpec("P")
T = TypeVar("T")

log = telemetry.get(__name__)

THREADS = 16
#: Seconds. VTEX counts what takes longer than 5 as failed, so all of it must end well before.
PATIENCE = 4.0
_REDIS_SILENCE = 1.5


class Office:
    """One a process."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self.settings = settings
        self.redis = client if client is not None else connect(settings)
        #: The settings as they are for each store: to make them anew for a request would cost too much.
        self.stores = {name: settings.of(name) for name in settings.accounts}
        self._books = {name: Books.of(ledger_of(self.redis, settings, name)) for name in settings.accounts}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="web")

    def books(self, account: str) -> Books:
        """The ledgers of a store of the settings."""
        return self._books[account]

    def ledger(self, account: str) -> Ledger:
        """The orders of a store of the settings."""
        return self._books[account].orders

    async def do(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it in a thread; a :class:`Problem` (503) if Redis does not let us, or not in time.

        What is given up here may have its effect all the same: who asks again under the same key, is told.
        """
        running = asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))
        try:
            async with asyncio.timeout(PATIENCE):
                return await running
        except (redis.RedisError, OperationalError) as error:
            log.error("redis_cannot_be_used", kind=type(error).__name__, why=str(error)[:200])
            raise unavailable(
                "the ledger cannot be reached or written now; try again, with the same key"
            ) from None
        except TimeoutError:
            log.error("redis_does_not_answer", seconds=PATIENCE)
            raise unavailable("the ledger does not answer now; try again, with the same key") from None

    def close(self) -> None:
        """Give back connections and threads."""
        from workers.app import app  # noqa: PLC0415 - only who has enqueued needs it

        self._threads.shutdown(cancel_futures=True)
        self.redis.close()
        app.close()


def connect(settings: Settings) -> redis.Redis:
    """A client that gives up soon: somebody waits for the answer."""
    return redis_address.connect(
        settings,
        socket_timeout=_REDIS_SILENCE,
        socket_connect_timeout=_REDIS_SILENCE,
        retry=Retry(NoBackoff(), 1),  # a connection that Redis' restart has cut is replaced
    )


def hint(send: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Enqueue what is recorded. If that fails it is no failure of the request: the sweeper sends it again."""
    try:
        send(*args, **kwargs)
    except (redis.RedisError, OperationalError, OSError) as error:
        log.warning("not_enqueued", kind=type(error).__name__, do="nothing: the sweeper sends it again")
